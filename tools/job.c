// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * ringq job: what rings promise, tried on a real file between real processes.
 *
 * The file goes through a named ring from a `ringq send' to a `ringq recv'; again, with the
 * sender killed half-way; and again, with the receiver killed half-way and another one
 * taking over (job_kill.c). Each promise is a line "ok - ..." or "FAIL - ..." with what was
 * measured. Then the same file goes through a pipe, for comparison (job_compare.c).
 *
 * The digest is XXH3, 128 bits (`xxhsum -H2' prints the same): it has to tell accidents
 * from no accident at the speed of memory, not to withstand an attacker.
 */
#include "job.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOB_PATIENCE	(120 * TOOL_SECOND)	/* what takes longer, hangs */
#define JOB_BLOCK	(1u << 20)

static const char doc[] =
	"Move FILE through a ring between two processes; do it again and kill the sender "
	"half-way, and again and kill the receiver; check what each promise is worth."
	"\v"
	"Every promise is a line `ok - ...' or `FAIL - ...'; the status is 0 if all hold. "
	"Copies of FILE are made in $TMPDIR, or /tmp, and removed.";

static void show(const char *path)
{
	char line[512];
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof(line), f))
		fprintf(stderr, "    %s", line);
	if (f)
		fclose(f);
}

void job_promise(struct job *job, bool ok, const char *format, ...)
{
	va_list args;

	printf("%s - ", ok ? "ok" : "FAIL");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	if (ok)
		return;
	job->failed++;
	show(job->send_log);
	show(job->log);
}

int job_wait(struct child *c)
{
	return child_wait(c, JOB_PATIENCE);
}

static int start(struct job *job, struct child *c, char *command, char *path, const char *log)
{
	char memory[32], capacity[48];
	char *argv[] = { "ringq", command, memory, capacity, job->name, path, NULL };

	snprintf(memory, sizeof(memory), "--memory=%s", ringq_memory_name(job->memory));
	snprintf(capacity, sizeof(capacity), "--capacity=%" PRIu64, job->capacity);
	return child_start(c, argv, log);
}

int job_start_recv(struct job *job)
{
	return start(job, &job->recv, "recv", job->out, job->log);
}

int job_start_send(struct job *job)
{
	return start(job, &job->send, "send", (char *)job->path, job->send_log);
}

uint64_t job_received(const struct job *job)
{
	struct stat st;

	return stat(job->out, &st) < 0 ? 0 : st.st_size;
}

/* Reads on until the block is full or the file ends. */
static ssize_t read_block(int fd, void *block)
{
	size_t done = 0;

	while (done < JOB_BLOCK) {
		ssize_t n = read(fd, (char *)block + done, JOB_BLOCK - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : (ssize_t)done;
		done += n;
	}
	return done;
}

static int digest(const char *path, XXH128_hash_t *hash, uint64_t *size)
{
	XXH3_state_t *state = XXH3_createState();
	void *block = malloc(JOB_BLOCK);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -errno : state && block ? 0 : -ENOMEM;

	*size = 0;
	if (n == 0) {
		XXH3_128bits_reset(state);
		while ((n = read_block(fd, block)) > 0) {
			XXH3_128bits_update(state, block, n);
			*size += n;
		}
		*hash = XXH3_128bits_digest(state);
	}
	if (fd >= 0)
		close(fd);
	free(block);
	XXH3_freeState(state);
	return n;
}

bool job_is_whole(const struct job *job)
{
	XXH128_hash_t hash;
	uint64_t size;

	return digest(job->out, &hash, &size) == 0 && size == job->size &&
	       XXH128_isEqual(hash, job->digest);
}

bool job_is_prefix(const struct job *job)
{
	char *a = malloc(JOB_BLOCK), *b = malloc(JOB_BLOCK);
	int file = open(job->path, O_RDONLY | O_CLOEXEC);
	int out = open(job->out, O_RDONLY | O_CLOEXEC);
	bool same = a && b && file >= 0 && out >= 0;

	while (same) {
		ssize_t n = read_block(out, a), m = read_block(file, b);

		same = n >= 0 && m >= n && !memcmp(a, b, n);
		if (n < (ssize_t)JOB_BLOCK)
			break;
	}
	if (out >= 0)
		close(out);
	if (file >= 0)
		close(file);
	free(b);
	free(a);
	return same;
}

static int job_whole(struct job *job)
{
	char size[TOOL_FIGURE], rate[TOOL_FIGURE];
	int64_t begin = tool_now();
	int r = job_start_recv(job), received, sent;
	double seconds;

	if (r == 0)
		r = job_start_send(job);
	if (r < 0)
		return r;
	received = job_wait(&job->recv);
	if (received < 0)
		return received;
	sent = job_wait(&job->send);
	if (sent < 0)
		return sent;
	seconds = (tool_now() - begin) / (double)TOOL_SECOND;
	job_promise(job, received == 0 && sent == 0 && job_is_whole(job),
		    "whole: %s from one process to another, digests equal; %.0f ms from start to "
		    "end of both, %s/s", tool_bytes(size, job->size), seconds * 1e3,
		    tool_bytes(rate, job->size / seconds));
	return 0;
}

static int job_nothing_left(struct job *job)
{
	struct ringq_opts opts = { .size = sizeof(opts), .name = job->name };
	struct ringq *ring;
	int r = ringq_join(&opts, &ring);

	if (r == 0)
		ringq_leave(ring);
	job_promise(job, r == -ENOENT, "nothing is left: each ring went with its last member");
	return 0;
}

/* What the children will get: so we do not have to ask them. */
static int job_try_ring(const struct job *job)
{
	struct transfer t = { .name = job->name, .memory = job->memory,
			      .capacity = job->capacity };
	struct ringq_info info = { .size = sizeof(info) };
	struct ringq_opts opts = transfer_opts(&t);
	char size[TOOL_FIGURE];
	struct ringq *ring;
	int r = ringq_create(&opts, &ring);

	if (r < 0) {
		warnx("%s memory: %s", ringq_memory_name(job->memory), ringq_strerror(r));
		return r;
	}
	ringq_get_info(ring, &info);
	ringq_leave(ring);
	printf("%s: %s, xxh128 %016" PRIx64 "%016" PRIx64 "\n", job->path,
	       tool_bytes(size, job->size), (uint64_t)job->digest.high64,
	       (uint64_t)job->digest.low64);
	printf("memory: %s, in pages of %s; frames of 64 KiB: %" PRIu64 "\n",
	       ringq_memory_name(info.memory), tool_page(info.page_shift), info.capacity);
	return 0;
}

/*
 * The sender is at most the ring's capacity ahead of what has been received. For the middle
 * of the transfer to be the middle of the sending, the ring is small against the file.
 */
static uint64_t capacity_for(uint64_t size)
{
	uint64_t n = size / FRAME_ROOM / 8;

	return n < 1 ? 1 : n > TRANSFER_CAPACITY ? TRANSFER_CAPACITY : n;
}

static int prepare(struct job *job)
{
	const char *tmp = getenv("TMPDIR");
	int r = digest(job->path, &job->digest, &job->size);

	if (r < 0) {
		warnx("%s: %s", job->path, strerror(-r));
		return r;
	}
	job->capacity = capacity_for(job->size);
	snprintf(job->name, sizeof(job->name), "ringq-job-%d", getpid());
	if (snprintf(job->dir, sizeof(job->dir), "%s/ringq-job.XXXXXX", tmp ? tmp : "/tmp") >=
	    (int)sizeof(job->dir)) {
		warnx("TMPDIR is too long");
		return -ENAMETOOLONG;
	}
	if (!mkdtemp(job->dir)) {
		r = -errno;
		warn("%s", job->dir);
		job->dir[0] = '\0';
		return r;
	}
	snprintf(job->out, sizeof(job->out), "%s/received", job->dir);
	snprintf(job->log, sizeof(job->log), "%s/recv.log", job->dir);
	snprintf(job->send_log, sizeof(job->send_log), "%s/send.log", job->dir);
	return job_try_ring(job);
}

static void clean_up(struct job *job)
{
	child_end(&job->send);
	child_end(&job->recv);
	if (!job->dir[0])
		return;
	unlink(job->out);
	unlink(job->log);
	unlink(job->send_log);
	if (rmdir(job->dir) < 0)
		warn("%s", job->dir);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct job *job = state->input;

	switch (key) {
	case 'm':
		job->memory = tool_parse_memory(arg, state);
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num > 0)
			argp_usage(state);
		job->path = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
	}
	return ARGP_ERR_UNKNOWN;
}

int cmd_job(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ .name = "memory", .key = 'm', .arg = "MEMORY",
		  .doc = "auto (default), device or memfd" },
		{ 0 }
	};
	static const struct argp argp = { .options = options, .parser = parse,
					  .args_doc = "FILE", .doc = doc };
	static int (*const steps[])(struct job *) = {
		job_whole, job_kill_sender, job_kill_receiver, job_nothing_left, job_compare,
	};
	struct job job = { 0 };
	int r;

	argp_parse(&argp, argc, argv, 0, NULL, &job);
	tool_catch_signals();
	r = prepare(&job);
	if (r < 0) {
		clean_up(&job);
		return TOOL_FAILED;
	}
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && r == 0; i++)
		r = steps[i](&job);
	if (r < 0 && !tool_signal)
		job_promise(&job, false, "the job could not go on: %s", ringq_strerror(r));
	clean_up(&job);
	return r == 0 && !job.failed ? TOOL_OK : TOOL_FAILED;
}
