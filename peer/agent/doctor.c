/* What the doctor found, and how it is told; see doctor.h. The steps without a network. */
#include "peer/agent/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tasks/base/file.h"
#include "tasks/base/mem.h"

#define DISK_MIN   (1024ull << 20) /* data, models and results of a project */
#define DISK_TRIAL (1u << 20)
#define MEMORY_MIN (512ull << 20)
#define CLOCK_MIN  1735689600u /* 2025: no computer that runs this is older */

static const char *const result_words[] = {"ok", "warning", "BAD", "skipped"};

void doctor_note(struct doctor *d, const char *name, enum doctor_result result, const char *advice,
	const char *format, ...)
{
	struct doctor_step *s = &d->steps[d->count < DOCTOR_STEPS_MAX ? d->count++ : d->count - 1];
	va_list args;

	s->name = name;
	s->of_host = strcmp(name, "name") == 0 || strcmp(name, "connection") == 0 ||
		     strcmp(name, "handshake") == 0 || strcmp(name, "identity") == 0;
	s->result = result;
	s->advice = advice;
	va_start(args, format);
	vsnprintf(s->text, sizeof(s->text), format, args);
	va_end(args);
}

bool doctor_is_well(const struct doctor *d)
{
	for (size_t i = 0; i < d->count; i++) {
		if (d->steps[i].result == DOCTOR_BAD)
			return false;
	}
	return true;
}

void doctor_print(const struct doctor *d)
{
	for (size_t i = 0; i < d->count; i++) {
		const struct doctor_step *s = &d->steps[i];

		printf("%-8s %-16s %s\n", result_words[s->result], s->name, s->text);
		if (s->advice != NULL)
			printf("%-8s %-16s → %s\n", "", "", s->advice);
	}
	printf("\n%s\n", doctor_is_well(d) ? "Joining works."
					   : "Joining does not work: see the lines that say BAD.");
}

static void check_keys(struct doctor *d, const struct agent_home *h)
{
	char path[AGENT_PATH_MAX + 8];
	struct stat st;

	if (path_join(path, sizeof(path), h->path, "key") != TK_OK || stat(path, &st) != 0)
		doctor_note(d, "keys", DOCTOR_BAD, "join again: talkoot-peer join LINK",
			"%s/key cannot be read", h->path);
	else if ((st.st_mode & 077) != 0)
		doctor_note(d, "keys", DOCTOR_WARNING, "chmod 600 the file key in the home",
			"%s/key can be read by others, who could pretend to be this peer", h->path);
	else
		doctor_note(d, "keys", DOCTOR_OK, NULL, "an identity for this network is there");
}

/* What is free may be a quota's, or the file system's own: so a megabyte is written, and taken back. */
static bool disk_takes(const struct agent_home *h, struct errmsg *msg)
{
	char path[AGENT_PATH_MAX + 8];
	void *zeros = mem_calloc(1, DISK_TRIAL);
	int rc = path_join(path, sizeof(path), h->path, "doctor");

	if (zeros == NULL)
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory to try the disk");
	if (rc == TK_OK)
		rc = file_replace(path, span_of(zeros, DISK_TRIAL), 0600, msg);
	if (rc == TK_OK)
		(void)unlink(path);
	mem_free(zeros);
	return rc == TK_OK;
}

static void check_disk(struct doctor *d, const struct agent_home *h)
{
	struct errmsg msg = {""};
	unsigned long long room;
	struct statvfs fs;

	if (statvfs(h->path, &fs) != 0) {
		doctor_note(d, "disk", DOCTOR_BAD, "is the disk there, and may you use it?",
			"%s cannot be looked at", h->path);
		return;
	}
	room = (unsigned long long)fs.f_bavail * fs.f_frsize;
	if (!disk_takes(h, &msg))
		doctor_note(d, "disk", DOCTOR_BAD,
			"free some space, use an account that may write there, or move the home: "
			"talkoot-peer --home",
			"%.500s", msg.text);
	else if (room < DISK_MIN)
		doctor_note(d, "disk", DOCTOR_WARNING,
			"free some space, or move the home: talkoot-peer --home",
			"%llu MB are free at %s; a project may need 1 GB", room >> 20, h->path);
	else
		doctor_note(d, "disk", DOCTOR_OK, NULL, "%llu GB are free", room >> 30);
}

static void check_memory(struct doctor *d)
{
	unsigned long long all = (unsigned long long)sysconf(_SC_PHYS_PAGES) *
				 (unsigned long long)sysconf(_SC_PAGESIZE);

	doctor_note(d, "memory", all < MEMORY_MIN ? DOCTOR_WARNING : DOCTOR_OK,
		all < MEMORY_MIN ? "only small models can be computed here" : NULL,
		"%llu MB; half of it is lent at most", all >> 20);
}

static void check_home(struct doctor *d, const struct agent_home *h, enum doctor_home is)
{
	if (is == DOCTOR_HOME_NONE)
		doctor_note(d, "home", DOCTOR_SKIPPED, NULL,
			"nothing was joined here yet; the link is tried with a key made up for it");
	else if (is == DOCTOR_HOME_ELSEWHERE)
		doctor_note(d, "home", DOCTOR_SKIPPED,
			"join this one in a home of its own: talkoot-peer join LINK --home FOLDER",
			"%s belongs to another network; the link is tried with a key made up for "
			"it",
			h->path);
	else
		doctor_note(d, "home", DOCTOR_OK, NULL, "%s%s", h->path,
			agent_home_is_locked(h->path) ? ", in use by a running agent" : "");
	if (is == DOCTOR_HOME_JOINED)
		check_keys(d, h);
	if (is != DOCTOR_HOME_NONE)
		check_disk(d, h);
}

void doctor_local(struct doctor *d, const struct agent_home *h, enum doctor_home is, uint64_t now_s)
{
	check_home(d, h, is);
	check_memory(d);
	if (now_s < CLOCK_MIN)
		doctor_note(d, "clock", DOCTOR_BAD, "set this computer's date and time",
			"this computer's clock is years slow: every identity looks wrong to it");
}
