/* What earlier runs have left half-way; see part_file.h. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "peer/swarm/part_file.h"

#define HEX_DIGITS (DIGEST_HEX - 1)

struct left {
	uint64_t bytes; /* on disk, of all of them */
	uint64_t oldest_s;
	char oldest[DIGEST_HEX]; /* empty: there is none */
};

static bool is_ours(const char *name)
{
	return strspn(name, "0123456789abcdef") == HEX_DIGITS &&
	       (strcmp(name + HEX_DIGITS, ".part") == 0 || strcmp(name + HEX_DIGITS, ".tree") == 0);
}

static void look(const char *folder, struct left *left)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;

	*left = (struct left){0};
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		struct stat st;

		if (!is_ours(entry->d_name) || fstatat(dirfd(dir), entry->d_name, &st, 0) != 0)
			continue;
		left->bytes += (uint64_t)st.st_blocks * 512;
		if (left->oldest[0] != 0 && (uint64_t)st.st_mtim.tv_sec >= left->oldest_s)
			continue;
		left->oldest_s = (uint64_t)st.st_mtim.tv_sec;
		memcpy(left->oldest, entry->d_name, HEX_DIGITS);
	}
	if (dir != NULL)
		closedir(dir);
}

static bool drop(const char *folder, const char *digest)
{
	static const char *const endings[] = {"part", "tree"};
	bool gone = false;
	char path[1200];

	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s.%s", folder, digest, endings[i]);
		gone = unlink(path) == 0 || gone;
	}
	return gone;
}

void part_files_sweep(const char *folder, uint64_t now_s, uint64_t bytes)
{
	struct left left;

	do {
		look(folder, &left);
		if (left.oldest[0] == 0 ||
			(left.bytes <= bytes && left.oldest_s + PART_FILES_LEFT_S > now_s))
			return;
	} while (drop(folder, left.oldest));
}
