/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The address sanitizer's allocator does not survive a fork while another thread is inside
 * it: the child would wait for ever for a lock whose holder it does not have. So where there
 * is one, a test that forks first waits until its other threads (the library's agent, as it
 * starts) sleep. Without it nothing is waited for: the C library's allocator survives.
 */
#ifndef TESTS_QUIET_H
#define TESTS_QUIET_H

#ifdef __SANITIZE_ADDRESS__

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int others_awake(void)
{
	char path[64], state;
	struct dirent *entry;
	DIR *dir = opendir("/proc/self/task");
	int awake = 0;
	FILE *f;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || atoi(entry->d_name) == gettid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%.20s/stat", entry->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		awake += fscanf(f, "%*d (%*[^)]) %c", &state) == 1 && state != 'S';
		fclose(f);
	}
	if (dir)
		closedir(dir);
	return awake;
}

static inline void quiet(void)
{
	int looks = 0;

	/* Three times in a row; a thread that is asleep on its way in is not for long. */
	while (looks < 3) {
		looks = others_awake() ? 0 : looks + 1;
		usleep(500);
	}
}

#else

static inline void quiet(void)
{
}

#endif

#endif /* TESTS_QUIET_H */
