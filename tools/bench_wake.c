// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The cases of `ringq bench wake`: round trips of two threads that sleep at every turn, through
 * two rings whose ports block at once, or are polled. The controls, in the same run: an eventfd, a
 * pipe and a bare futex in each direction, and an eventfd that is polled.
 */
#include "bench_set.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WAKE_END	UINT64_MAX	/* the last message: no answer */

RINGQ_TYPED(wake_ring, uint64_t, spsc);

/* One direction, in every way. */
struct wake_way {
	uint64_t word __attribute__((aligned(RINGQ_LINE_PAIR)));
	uint32_t futex __attribute__((aligned(RINGQ_LINE_PAIR)));
	int eventfd;
	int pipe[2];
	struct ringq *ring;
	struct wake_ring_producer out;
	struct wake_ring_consumer in;
	bool attached;
};

struct wake {
	struct wake_way way[2];	/* there, and back */
};

static int eventfd_send(struct wake_way *w, uint64_t msg)
{
	w->word = msg;
	return eventfd_write(w->eventfd, 1);
}

static int eventfd_recv(struct wake_way *w, uint64_t *msg)
{
	eventfd_t count;
	int r = eventfd_read(w->eventfd, &count);

	*msg = w->word;
	return r;
}

static int eventfd_poll(struct wake_way *w, uint64_t *msg)
{
	struct pollfd p = { .fd = w->eventfd, .events = POLLIN };

	return poll(&p, 1, -1) == 1 ? eventfd_recv(w, msg) : -1;
}

static int pipe_send(struct wake_way *w, uint64_t msg)
{
	return write(w->pipe[1], &msg, sizeof(msg)) == sizeof(msg) ? 0 : -1;
}

static int pipe_recv(struct wake_way *w, uint64_t *msg)
{
	return read(w->pipe[0], msg, sizeof(*msg)) == sizeof(*msg) ? 0 : -1;
}

static int futex_send(struct wake_way *w, uint64_t msg)
{
	w->word = msg;
	ringq_store_release(&w->futex, 1);
	return syscall(SYS_futex, &w->futex, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) < 0 ? -1 : 0;
}

static int futex_recv(struct wake_way *w, uint64_t *msg)
{
	while (!ringq_load_acquire(&w->futex))
		syscall(SYS_futex, &w->futex, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	w->futex = 0;
	*msg = w->word;
	return 0;
}

static int ring_send(struct wake_way *w, uint64_t msg)
{
	return wake_ring_send(&w->out, &msg, RINGQ_FOREVER) == 1 ? 0 : -1;
}

static int ring_recv(struct wake_way *w, uint64_t *msg)
{
	return wake_ring_recv(&w->in, msg, RINGQ_FOREVER) == 1 ? 0 : -1;
}

static int ring_poll(struct wake_way *w, uint64_t *msg)
{
	struct pollfd p = { .fd = ringq_port_fd(&w->in.port), .events = POLLIN };
	int r;

	while ((r = wake_ring_recv(&w->in, msg, RINGQ_NOWAIT)) == -EAGAIN)
		poll(&p, 1, -1);
	return r == 1 ? 0 : -1;
}

/* The two loops; who waits sleeps, so the end is a message. */
#define WAKE_LOOPS(name, send, recv)							\
static void name##_ping(struct bench_run *run, void *queue, unsigned int me)		\
{											\
	static struct bench_groups groups;						\
	struct wake *q = queue;								\
	uint64_t seq = 0, msg;								\
											\
	(void)me;									\
	bench_groups_start(&groups);							\
	do {										\
		for (int i = 0; i < BENCH_GROUP; i++, seq++) {				\
			msg = 0;							\
			if (send(&q->way[0], seq) || recv(&q->way[1], &msg) ||		\
			    msg != ~seq)						\
				run->wrong++;						\
		}									\
		bench_groups_add(&groups);						\
	} while (!run->wrong && !bench_stopped(run));					\
	send(&q->way[0], WAKE_END);							\
	run->ns = bench_groups_end(&groups);						\
	bench_sent(run, seq);								\
}											\
static void name##_pong(struct bench_run *run, void *queue, unsigned int me)		\
{											\
	struct wake *q = queue;								\
	uint64_t msg;									\
											\
	(void)run;									\
	(void)me;									\
	while (!recv(&q->way[0], &msg) && msg != WAKE_END)				\
		send(&q->way[1], ~msg);							\
}

WAKE_LOOPS(eventfd, eventfd_send, eventfd_recv)
WAKE_LOOPS(eventfd_polled, eventfd_send, eventfd_poll)
WAKE_LOOPS(pipe, pipe_send, pipe_recv)
WAKE_LOOPS(futex, futex_send, futex_recv)
WAKE_LOOPS(ring, ring_send, ring_recv)
WAKE_LOOPS(ring_polled, ring_send, ring_poll)

#define WAKE_CASE(label, how, against)							\
	{										\
		.name = label, .size = sizeof(uint64_t), .capacity = 7,			\
		.threads = { 1, 1 }, .round_trips = true,				\
		.control = { against##_ping, against##_pong },				\
		.ringq = { how##_ping, how##_pong },					\
	}

static const struct bench_case wake_cases[] = {
	WAKE_CASE("blocked/eventfd", ring, eventfd),
	WAKE_CASE("blocked/pipe", ring, pipe),
	WAKE_CASE("blocked/futex", ring, futex),
	WAKE_CASE("polled/eventfd", ring_polled, eventfd_polled),
};

/* Each run leaves everything empty. */
static void wake_clear(void *queue)
{
	(void)queue;
}

static void wake_close(void *queue)
{
	struct wake *q = queue;

	for (int i = 0; i < 2; i++) {
		struct wake_way *w = &q->way[i];

		close(w->eventfd);
		close(w->pipe[0]);
		close(w->pipe[1]);
		if (w->attached) {
			ringq_detach(&w->out.port);
			ringq_detach(&w->in.port);
		}
		if (w->ring)
			ringq_leave(w->ring);
	}
	free(q);
}

static int wake_open_way(struct wake_way *w, const struct ringq_opts *opts)
{
	int r;

	w->eventfd = eventfd(0, EFD_CLOEXEC);
	if (w->eventfd < 0 || pipe(w->pipe) < 0)
		return -errno;
	r = ringq_create(opts, &w->ring);
	if (r == 0)
		r = wake_ring_attach_producer(w->ring, &w->out);
	if (r < 0)
		return r;
	w->attached = true;
	r = wake_ring_attach_consumer(w->ring, &w->in);
	return r < 0 ? r : ringq_set_strategy(&w->in.port, RINGQ_STRATEGY_BLOCK);
}

static int wake_open(const struct bench_case *c, uint32_t memory, struct ringq_info *info,
		     void **queue)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = memory, .elem_size = c->size,
		.capacity = c->capacity,
	};
	struct wake *q = aligned_alloc(RINGQ_LINE_PAIR, ringq_round_up(sizeof(*q),
								       RINGQ_LINE_PAIR));
	int r = 0;

	if (!q)
		return -ENOMEM;
	memset(q, 0, sizeof(*q));
	for (int i = 0; i < 2; i++)
		q->way[i].eventfd = q->way[i].pipe[0] = q->way[i].pipe[1] = -1;
	for (int i = 0; i < 2 && r == 0; i++)
		r = wake_open_way(&q->way[i], &opts);
	if (r == 0) {
		info->size = sizeof(*info);
		r = ringq_get_info(q->way[0].ring, info);
	}
	if (r < 0)
		wake_close(q);
	else
		*queue = q;
	return r;
}

const struct bench_set bench_wake = {
	.name = "wake",
	.cases = wake_cases,
	.count = sizeof(wake_cases) / sizeof(wake_cases[0]),
	.open = wake_open,
	.clear = wake_clear,
	.close = wake_close,
};
