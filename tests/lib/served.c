/* See served.h. Waiting is by looking: every few milliseconds, until something has happened or far more
 * time has passed than it ever takes. */
#include "tests/lib/served.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tasks/base/file.h"

#define PATIENCE_MS 200000u
#define LOOK_MS	    20u
#define ARGS_MAX    12u

static void nap(void)
{
	struct timespec t = {.tv_nsec = LOOK_MS * 1000000L};

	nanosleep(&t, NULL);
}

/* Starts PROGRAM ARGS… with its output in a file. ≤ 0: it did not start. */
static pid_t launch(const struct served *s, const char *output, unsigned files_max,
	const char *program, const char *const *args)
{
	char path[1200];
	char *argv[ARGS_MAX + 2] = {path};
	struct rlimit few = {files_max, files_max};
	int out, null;
	size_t n = 0;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/%s", s->programs, program);
	for (; args[n] != NULL && n < ARGS_MAX; n++)
		argv[n + 1] = (char *)(uintptr_t)args[n];
	pid = fork();
	if (pid != 0)
		return pid;
	out = open(output, O_WRONLY | O_CREAT | O_APPEND, 0600);
	null = open("/dev/null", O_RDONLY);
	if (out < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
		dup2(out, STDERR_FILENO) < 0)
		_exit(126);
	(void)close_range(3, ~0u, 0); /* not one of ours counts against its limit */
	if (files_max != 0 && setrlimit(RLIMIT_NOFILE, &few) != 0)
		_exit(126);
	execv(path, argv);
	_exit(127);
}

static bool run(
	const struct served *s, const char *output, const char *program, const char *const *args)
{
	pid_t pid = launch(s, output, 0, program, args);
	int status;

	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

/* The word after `before` in a file's last line that has it. */
static bool word_after(const char *path, const char *before, char *out, size_t size)
{
	static const char ends[] = " \n\",";
	struct bytes text = {0};
	const char *at = NULL;
	const char *next;
	bool found = false;

	if (file_read(&text, path, 16u << 20, NULL) != TK_OK || bytes_append(&text, "", 1) != TK_OK)
		goto out;
	next = (const char *)text.data;
	while ((next = strstr(next, before)) != NULL) {
		next += strlen(before);
		at = next;
	}
	if (at != NULL && strcspn(at, ends) < size) {
		snprintf(out, size, "%.*s", (int)strcspn(at, ends), at);
		found = out[0] != '\0';
	}
out:
	bytes_close(&text);
	return found;
}

static bool read_link(struct served *s)
{
	const char *args[] = {"invite", s->folder, NULL};
	char home[128], path[128], rest[256];
	struct link link;

	snprintf(home, sizeof(home), "%s/home", s->folder);
	snprintf(path, sizeof(path), "%s/invite.log", s->folder);
	args[1] = home;
	if (!run(s, path, "talkoot", args) || !word_after(path, "talkoot://", rest, 240))
		return false;
	snprintf(s->link, sizeof(s->link), "talkoot://%.240s", rest);
	if (link_parse(&link, s->link, NULL) != TK_OK)
		return false;
	s->network = link.network;
	s->port = (uint16_t)strtoul(strrchr(link.hosts[0], ':') + 1, NULL, 10);
	return true;
}

bool served_open(struct served *s, unsigned files_max)
{
	char home[128], path[128];
	const char *init[] = {"init", home, NULL};
	const char *serve[] = {"serve", home, "--listen", "127.0.0.1:0", NULL};
	ssize_t n;

	*s = (struct served){0};
	n = readlink("/proc/self/exe", s->programs, sizeof(s->programs) - 1);
	if (n <= 0)
		return false;
	for (int up = 0; up < 3; up++) /* BUILD/tests/room/test_x */
		dirname(s->programs);
	snprintf(s->folder, sizeof(s->folder), "/tmp/talkoot-served-XXXXXX");
	if (mkdtemp(s->folder) == NULL)
		return false;
	snprintf(home, sizeof(home), "%s/home", s->folder);
	snprintf(s->log, sizeof(s->log), "%s/serve.log", s->folder);
	snprintf(path, sizeof(path), "%s/init.log", s->folder);
	if (!run(s, path, "talkoot", init))
		return false;
	s->coordinator = launch(s, s->log, files_max, "talkoot", serve);
	return s->coordinator > 0 && served_log_gains(s, " serving ", 0) && read_link(s);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void end(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

void served_close(struct served *s)
{
	for (size_t i = 0; i < s->peer_count; i++)
		end(s->peers[i]);
	end(s->coordinator);
	if (getenv("TALKOOT_KEEP") != NULL)
		fprintf(stderr, "# kept: %s\n", s->folder);
	else if (s->folder[0] != '\0')
		(void)nftw(s->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

bool served_add_peer(struct served *s)
{
	char home[128], path[128];
	const char *join[] = {"join", s->link, "--yes", "--home", home, NULL};
	const char *work[] = {
		"run", "--home", home, "--listen", "127.0.0.1:0", "--no-port-mapping", NULL};
	pid_t pid;

	if (s->peer_count == SERVED_PEERS_MAX)
		return false;
	snprintf(home, sizeof(home), "%s/peer-%zu", s->folder, s->peer_count);
	snprintf(path, sizeof(path), "%s/peer-%zu.log", s->folder, s->peer_count);
	if (!run(s, path, "talkoot-peer", join))
		return false;
	pid = launch(s, path, 0, "talkoot-peer", work);
	if (pid <= 0)
		return false;
	s->peers[s->peer_count++] = pid;
	return true;
}

static bool write_project(const struct served *s, const char *name, unsigned rounds)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.txt", s->folder, name);
	f = fopen(path, "w");
	if (f == NULL)
		return false;
	for (unsigned i = 0, x = 7; i < 3000; i++) {
		x = x * 1103515245u + 12345u;
		fprintf(f, "%s ", (const char *const[]){"hay", "road", "well", "roof"}[x >> 30]);
	}
	fclose(f);
	snprintf(path, sizeof(path), "%s/%s.yaml", s->folder, name);
	f = fopen(path, "w");
	if (f == NULL)
		return false;
	fprintf(f,
		"project: {name: %s, seed: 7}\n"
		"model:   {type: char-mlp, context: 6, embedding: 8, hidden: [32]}\n"
		"data:    {path: %s.txt, format: text, validation_fraction: 0.1}\n"
		"train:   {batch_size: 16, rounds: %u, units_per_round: 4, inner_steps: 10}\n"
		"verify:  {policy: full, quorum: 2}\n",
		name, name, rounds);
	return fclose(f) == 0;
}

bool served_submit(struct served *s, const char *name, unsigned rounds)
{
	char home[128], file[200], path[128];
	const char *args[] = {"-C", home, "submit", file, NULL};

	snprintf(home, sizeof(home), "%s/home", s->folder);
	snprintf(file, sizeof(file), "%s/%s.yaml", s->folder, name);
	snprintf(path, sizeof(path), "%s/submit.log", s->folder);
	return write_project(s, name, rounds) && run(s, path, "talkoot", args);
}

bool served_finishes(struct served *s, const char *name)
{
	char home[128], file[200], path[200], state[32] = "", grid[80], local[80];
	const char *status[] = {"-C", home, "status", name, "--json", NULL};
	const char *train[] = {"train", file, NULL};

	snprintf(home, sizeof(home), "%s/home", s->folder);
	snprintf(file, sizeof(file), "%s/%s.yaml", s->folder, name);
	snprintf(path, sizeof(path), "%s/status.log", s->folder);
	for (unsigned waited = 0; waited < PATIENCE_MS; waited += LOOK_MS) {
		(void)unlink(path);
		if (run(s, path, "talkoot", status) &&
			word_after(path, "\"state\": \"", state, sizeof(state)) &&
			strncmp(state, "running", 7) != 0 && strncmp(state, "queued", 6) != 0)
			break;
		nap();
	}
	if (strncmp(state, "done", 4) != 0 ||
		!word_after(path, "\"model_digest\": \"", grid, sizeof(grid)))
		return false;
	snprintf(path, sizeof(path), "%s/train.log", s->folder);
	return run(s, path, "talkoot", train) &&
	       word_after(path, "\nmodel  ", local, sizeof(local)) && strncmp(grid, local, 64) == 0;
}

bool served_is_running(const struct served *s)
{
	return kill(s->coordinator, 0) == 0 && waitpid(s->coordinator, NULL, WNOHANG) == 0;
}

size_t served_log_count(const struct served *s, const char *text)
{
	FILE *f = fopen(s->log, "r");
	char line[2048];
	size_t count = 0;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		count += strstr(line, text) != NULL;
	if (f != NULL)
		fclose(f);
	return count;
}

bool served_log_gains(const struct served *s, const char *text, size_t before)
{
	for (unsigned waited = 0; waited < PATIENCE_MS / 5; waited += LOOK_MS) {
		if (served_log_count(s, text) > before)
			return true;
		if (!served_is_running(s))
			return false;
		nap();
	}
	return false;
}

size_t served_memory_peak_kib(const struct served *s)
{
	char path[64], kib[32];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)s->coordinator);
	for (FILE *f = fopen(path, "r"); f != NULL;) {
		char line[256];
		bool found = false;

		while (!found && fgets(line, sizeof(line), f) != NULL)
			found = sscanf(line, "VmHWM: %31s", kib) == 1;
		fclose(f);
		return found ? strtoul(kib, NULL, 10) : 0;
	}
	return 0;
}

size_t served_descriptors(const struct served *s)
{
	char path[64];
	size_t count = 0;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)s->coordinator);
	folder = opendir(path);
	while (folder != NULL && readdir(folder) != NULL)
		count++;
	if (folder != NULL)
		closedir(folder);
	return count;
}

bool served_descriptors_fall(const struct served *s, size_t most)
{
	for (unsigned waited = 0; waited < PATIENCE_MS / 5; waited += LOOK_MS) {
		if (served_descriptors(s) <= most)
			return true;
		if (!served_is_running(s))
			return false;
		nap();
	}
	return false;
}
