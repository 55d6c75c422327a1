// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The same file through a ring and through a pipe, in turn: two processes, one reads the
 * file, the other digests what comes. The pipe is as large as the ring, and what is written
 * to and read from it at once as large as a frame. Timed is from the first read of the file
 * to the digest; neither counts the start of the processes, nor the making of the ring or
 * the pipe. What differs is what is between: the pipe's bytes are copied into the kernel
 * and out again, the ring's are digested where they were read to.
 *
 * What counts is the median of the ratios of neighbours.
 */
#include "job.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define COMPARE_REPEAT	9

/* What two processes and their parent share. */
struct shared {
	uint32_t ready;		/* the second one waits for data */
	int64_t begin, end;
	XXH128_hash_t digest;
};

struct run {
	const struct job *job;
	struct shared *shared;
	struct ringq *ring;
	int pipe[2];
	int file;
	XXH3_state_t *state;
};

/* How bytes get from one process to another: both functions return 0 or an error. */
struct medium {
	int (*feed)(struct run *run);
	int (*digest)(struct run *run);
};

static void begin(struct run *run)
{
	while (!__atomic_load_n(&run->shared->ready, __ATOMIC_ACQUIRE))
		usleep(100);
	run->shared->begin = tool_now();
}

static void get_ready(struct run *run)
{
	__atomic_store_n(&run->shared->ready, 1, __ATOMIC_RELEASE);
}

static int attach(struct run *run, enum ringq_role role, struct ringq_port *port)
{
	int r = ringq_join_fd(ringq_fd(run->ring), NULL, &run->ring);

	return r < 0 ? r : ringq_attach(run->ring, role, port);
}

static int feed_ring(struct run *run)
{
	struct ringq_port port;
	ssize_t n = 1;
	int r = attach(run, RINGQ_PRODUCER, &port);

	if (r < 0)
		return r;
	begin(run);
	while (n > 0) {
		struct frame *frame;

		r = ringq_reserve(&port, 1, RINGQ_FOREVER);
		if (r < 0)
			return r;
		frame = ringq_at(&port, 0);
		n = read(run->file, frame->bytes, FRAME_ROOM);
		if (n < 0)
			return -errno;
		frame->length = n;
		ringq_commit(&port, 1);
	}
	return ringq_drain(&port, RINGQ_FOREVER);
}

static int digest_ring(struct run *run)
{
	struct ringq_port port;
	const struct frame *frame;
	int64_t n;
	int r = attach(run, RINGQ_CONSUMER, &port);

	if (r < 0)
		return r;
	get_ready(run);
	while ((n = ringq_peek(&port, 1, RINGQ_FOREVER)) > 0) {
		frame = ringq_at(&port, 0);
		if (!frame->length)
			break;
		XXH3_128bits_update(run->state, frame->bytes, frame->length);
		ringq_release(&port, 1);
	}
	if (n <= 0)
		return n < 0 ? n : -EPIPE;
	ringq_release(&port, 1);
	return 0;
}

static int feed_pipe(struct run *run)
{
	static char block[FRAME_SIZE];
	ssize_t n, m, done;

	begin(run);
	while ((n = read(run->file, block, sizeof(block))) > 0) {
		for (done = 0; done < n; done += m) {
			m = write(run->pipe[1], block + done, n - done);
			if (m < 0)
				return -errno;
		}
	}
	return n < 0 ? -errno : 0;
}

static int digest_pipe(struct run *run)
{
	static char block[FRAME_SIZE];
	ssize_t n;

	close(run->pipe[1]);
	get_ready(run);
	while ((n = read(run->pipe[0], block, sizeof(block))) > 0)
		XXH3_128bits_update(run->state, block, n);
	return n < 0 ? -errno : 0;
}

/* A child's life; what it got from its parent goes with it. */
static void be_child(struct run *run, int (*work)(struct run *), bool digests)
{
	int r;

	run->file = open(run->job->path, O_RDONLY | O_CLOEXEC);
	run->state = XXH3_createState();
	if (run->file < 0 || !run->state)
		_exit(TOOL_FAILED);
	XXH3_128bits_reset(run->state);
	r = work(run);
	if (r == 0 && digests) {
		run->shared->digest = XXH3_128bits_digest(run->state);
		run->shared->end = tool_now();
	}
	if (r < 0)
		warnx("%s", ringq_strerror(r));
	_exit(r < 0 ? TOOL_FAILED : TOOL_OK);
}

/* Once through a medium, in bytes a second. */
static int run_once(struct job *job, struct run *run, const struct medium *medium, double *rate)
{
	int r;

	memset(run->shared, 0, sizeof(*run->shared));
	if (pipe2(run->pipe, O_CLOEXEC) < 0)
		return -errno;
	fcntl(run->pipe[1], F_SETPIPE_SZ, TRANSFER_CAPACITY * FRAME_SIZE);
	r = child_fork(&job->recv);
	if (r > 0)
		be_child(run, medium->digest, true);
	if (r == 0)
		r = child_fork(&job->send);
	if (r > 0)
		be_child(run, medium->feed, false);
	close(run->pipe[0]);
	close(run->pipe[1]);
	if (r == 0)
		r = job_wait(&job->recv);
	/* One that failed leaves the other waiting. */
	if (r)
		child_end(&job->send);
	else
		r = job_wait(&job->send);
	if (r)
		return r < 0 ? r : -EIO;
	*rate = job->size / ((run->shared->end - run->shared->begin) / (double)TOOL_SECOND);
	return XXH128_isEqual(run->shared->digest, job->digest) ? 0 : -EBADMSG;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, COMPARE_REPEAT, sizeof(*values), compare);
	return values[COMPARE_REPEAT / 2];
}

/* The ring of the other transfers, without a name; and it ends with either side. */
static int make_ring(const struct job *job, struct ringq **ring)
{
	struct transfer t = { .memory = job->memory, .capacity = TRANSFER_CAPACITY };
	struct ringq_opts opts = transfer_opts(&t);

	opts.flags = 0;
	return ringq_create(&opts, ring);
}

int job_compare(struct job *job)
{
	static const struct medium ring = { feed_ring, digest_ring };
	static const struct medium pipe = { feed_pipe, digest_pipe };
	double rings[COMPARE_REPEAT], pipes[COMPARE_REPEAT], ratios[COMPARE_REPEAT];
	char ring_rate[TOOL_FIGURE], pipe_rate[TOOL_FIGURE];
	struct run run = { .job = job };
	int r = 0;

	if (!job->size)
		return 0;
	run.shared = mmap(NULL, sizeof(*run.shared), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (run.shared == MAP_FAILED)
		return -errno;
	for (int i = 0; i < COMPARE_REPEAT && r == 0; i++) {
		r = run_once(job, &run, &pipe, &pipes[i]);
		if (r == 0)
			r = make_ring(job, &run.ring);
		if (r < 0)
			break;
		r = run_once(job, &run, &ring, &rings[i]);
		ringq_leave(run.ring);
		ratios[i] = rings[i] / pipes[i];
	}
	munmap(run.shared, sizeof(*run.shared));
	if (r < 0)
		return r;
	job_promise(job, true, "compared: through a pipe %s/s, through a ring %s/s, %.1f times as "
		    "fast, digests equal (medians of %d, in turn)",
		    tool_bytes(pipe_rate, median(pipes)), tool_bytes(ring_rate, median(rings)),
		    median(ratios), COMPARE_REPEAT);
	return 0;
}
