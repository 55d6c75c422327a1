/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* What the files of `ringq job' know of each other. */
#ifndef RINGQ_JOB_H
#define RINGQ_JOB_H

#include "child.h"
#include "transfer.h"

#include <limits.h>
#include <xxhash.h>

struct job {
	const char *path;
	uint32_t memory;
	uint64_t capacity;
	uint64_t size;
	XXH128_hash_t digest;
	char name[RINGQ_NAME_SIZE];
	char dir[PATH_MAX / 2];		/* ours, removed at the end */
	char out[PATH_MAX];		/* what the receivers write */
	char log[PATH_MAX];		/* what the last receiver said */
	char send_log[PATH_MAX];
	struct child send, recv;
	unsigned int failed;
};

/* A line "ok - ..." or "FAIL - ...". */
void job_promise(struct job *job, bool ok, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Starts `ringq recv' or `ringq send' on the job's ring, output and file. */
int job_start_recv(struct job *job);
int job_start_send(struct job *job);

/* Waits for a child; what is left after long enough is killed. */
int job_wait(struct child *c);

/* The length of what has been received; 0: nothing yet. */
uint64_t job_received(const struct job *job);

/* Is what has been received the beginning of the file? */
bool job_is_prefix(const struct job *job);
bool job_is_whole(const struct job *job);

/* job_kill.c: the promises about kill -9. 0, or negative errno if they could not be tried. */
int job_kill_sender(struct job *job);
int job_kill_receiver(struct job *job);

/* job_compare.c: the same file through a ring and through a pipe. */
int job_compare(struct job *job);

#endif /* RINGQ_JOB_H */
