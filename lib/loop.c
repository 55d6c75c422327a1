// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* A thread that receives: ringq/loop.h, whose tags are used here. */
#include "internal.h"

#include <poll.h>
#include <ringq/backoff.h>
#include <ringq/loop.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* What is asked of a loop. It is never taken back. */
#define RINGQ_ASKED_STOP	1u
#define RINGQ_ASKED_DRAIN	2u

struct ringq_loop {
	struct ringq_port *port;
	ringq_loop_handler *handler;
	ringq_loop_mourner *on_death;
	void *arg;
	uint32_t batch;
	pid_t pid;		/* whose thread it is */
	pthread_t thread;
	int asked_fd;		/* readable as soon as anything is asked; nobody reads it */
	uint32_t asked;
	__u64 handled;

	/* The thread's, and after its end the joiner's. */
	struct ringq_backoff backoff;
	uint64_t lost;		/* of these the handler has been told */
	uint64_t epoch;		/* the ring's, when deaths were asked for last */
	bool over;
	int end;
};

static uint32_t ringq_loop_asked(const struct ringq_loop *l)
{
	return ringq_load_acquire(&l->asked);					/* T1 */
}

static bool ringq_loop_must_stop(const struct ringq_loop *l)
{
	return ringq_loop_asked(l) & RINGQ_ASKED_STOP;
}

static void ringq_loop_ends(struct ringq_loop *l, int end)
{
	if (!l->over)
		l->end = end;
	l->over = true;
}

static void ringq_loop_call(struct ringq_loop *l, const void *msg, size_t size, uint32_t flags)
{
	if (l->handler(l->arg, msg, size, flags))
		ringq_loop_ends(l, RINGQ_LOOP_ENOUGH);
}

/* A ringq_handler. */
static int ringq_loop_show(void *arg, const void *msg, size_t size)
{
	struct ringq_loop *l = arg;

	ringq_loop_call(l, msg, size, ringq_flags(l->port));
	ringq_store_release(&l->handled, l->handled + 1);
	return l->over || ringq_loop_must_stop(l);
}

static void ringq_loop_tell_lost(struct ringq_loop *l)
{
	uint64_t lost = ringq_lost(l->port), more = lost - l->lost;

	l->lost = lost;
	if (more && !l->over)
		ringq_loop_call(l, NULL, more, RINGQ_LOOP_LOST);
}

static uint64_t ringq_loop_epoch(const struct ringq_loop *l)
{
	return ringq_load_acquire(&ringq_attention_of(l->port->ring, l->port->base)->epoch);
}

/* Has somebody come, left or died since deaths were asked for? */
static bool ringq_loop_is_changed(const struct ringq_loop *l)
{
	return l->on_death && ringq_loop_epoch(l) != l->epoch;
}

/* All deaths that are known and have not been told. */
static void ringq_loop_mourn(struct ringq_loop *l)
{
	struct ringq_death death;

	l->epoch = ringq_loop_epoch(l);
	while (ringq_next_death(l->port, &death) == 1) {
		if (l->on_death(l->arg, &death)) {
			ringq_loop_ends(l, RINGQ_LOOP_ENOUGH);
			break;
		}
	}
}

/* Up to so many messages: returns what ringq_consume() does. */
static int64_t ringq_loop_take(struct ringq_loop *l, uint64_t max)
{
	int64_t n = ringq_consume(l->port, max < l->batch ? max : l->batch, ringq_loop_show, l,
				  RINGQ_NOWAIT);

	ringq_loop_tell_lost(l);
	if (n <= 0 && n != -EAGAIN && n != -EOVERFLOW)
		ringq_loop_ends(l, n);
	return n;
}

static bool ringq_loop_may_sleep(const struct ringq_loop *l)
{
	return l->port->strategy < RINGQ_STRATEGY_SPIN;
}

/* T3, in which the module arms. Interrupted by what stops a process, for one. */
static void ringq_loop_sleep(struct ringq_loop *l)
{
	struct pollfd p[] = {
		{ .fd = ringq_port_fd(l->port), .events = l->on_death ? POLLIN | POLLPRI : POLLIN },
		{ .fd = l->asked_fd, .events = POLLIN },
	};

	if (p[0].fd < 0)
		ringq_loop_ends(l, p[0].fd);
	else if (poll(p, 2, -1) < 0 && errno != EINTR)
		ringq_loop_ends(l, -errno);
	else if ((p[0].revents | p[1].revents) & POLLNVAL)
		ringq_loop_ends(l, -EBADF);
}

/*
 * The ring was empty. If it has ended, and yet it was not said to be at its end, others have the
 * rest of it in hand: then nobody is woken, and it is always ready.
 */
static void ringq_loop_rest(struct ringq_loop *l)
{
	/* A death that came before the port was armed wakes nobody any more. */
	if (ringq_loop_is_changed(l))
		return;
	if (ringq_loop_may_sleep(l) && !(ringq_load_acquire(l->port->attention) & RINGQ_ENDED))
		ringq_loop_sleep(l);
	else
		ringq_backoff_wait(&l->backoff);
}

static void ringq_loop_go_on(struct ringq_loop *l)
{
	if (ringq_loop_is_changed(l))
		ringq_loop_mourn(l);
	if (l->over)
		return;
	/* A try that finds nothing arms, which costs much more than a look. */
	if (l->port->strategy == RINGQ_STRATEGY_PHASED)
		ringq_spin(l->port, 1, RINGQ_ENDED);
	if (ringq_loop_take(l, UINT64_MAX) == -EAGAIN)				/* T2 */
		ringq_loop_rest(l);
	else
		ringq_backoff_of(l->port, &l->backoff);
}

/* What there is, unless it is to stop at once. */
static void ringq_loop_finish(struct ringq_loop *l)
{
	int64_t left = ringq_len(l->port), n;

	if (left < 0)
		ringq_loop_ends(l, left);
	while (left > 0 && !l->over && !ringq_loop_must_stop(l)) {
		n = ringq_loop_take(l, left);
		if (n == -EAGAIN)
			break;
		left -= n > 0 ? n : 0;
	}
	ringq_loop_ends(l, ringq_loop_must_stop(l) ? RINGQ_LOOP_STOPPED : RINGQ_LOOP_DRAINED);
}

static void *ringq_loop_run(void *arg)
{
	struct ringq_loop *l = arg;

	pthread_setname_np(pthread_self(), "ringq-loop");
	while (!l->over && !ringq_loop_asked(l))
		ringq_loop_go_on(l);
	if (!l->over)
		ringq_loop_finish(l);
	/* It is known when the end can be seen, whatever the epoch. */
	if (l->on_death && l->end == RINGQ_LOOP_EOF)
		ringq_loop_mourn(l);
	return NULL;
}

/* Takes what the caller's version of the options has; what we do not know must be zero. */
static int ringq_loop_check(const struct ringq_port *port, const struct ringq_loop_opts *o)
{
	const unsigned char *bytes = (const unsigned char *)o;
	size_t i;
	int r = ringq_as(port, RINGQ_CONSUMER);

	if (r < 0)
		return r;
	if (ringq_is_stale(port->ring))
		return -ESTALE;
	if (!o || o->size < sizeof(*o))
		return -EINVAL;
	for (i = sizeof(*o); i < o->size; i++) {
		if (bytes[i])
			return -E2BIG;
	}
	return o->handler && o->batch <= RINGQ_SHOWN && !o->reserved ? 0 : -EINVAL;
}

static void ringq_loop_free(struct ringq_loop *l)
{
	if (l->asked_fd >= 0)
		close(l->asked_fd);
	free(l);
}

/* The descriptors to sleep on. That of a port that is never slept on stays unmade. */
static int ringq_loop_open(struct ringq_loop *l)
{
	int r = 0;

	l->asked_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->asked_fd < 0)
		return -errno;
	if (ringq_loop_may_sleep(l))
		r = ringq_port_fd(l->port);
	return r < 0 ? r : 0;
}

RINGQ_PUBLIC int ringq_loop_start(struct ringq_port *port, const struct ringq_loop_opts *opts,
				  struct ringq_loop **loop)
{
	int r = ringq_loop_check(port, opts);
	struct ringq_loop *l;

	if (r < 0)
		return r;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->port = port;
	l->handler = opts->handler;
	l->on_death = opts->on_death;
	l->arg = opts->arg;
	l->batch = opts->batch ? opts->batch : RINGQ_SHOWN;
	l->pid = getpid();
	l->lost = ringq_lost(port);
	ringq_backoff_of(port, &l->backoff);
	r = ringq_loop_open(l);
	if (r == 0)
		r = ringq_thread_create(&l->thread, NULL, ringq_loop_run, l);
	if (r < 0) {
		ringq_loop_free(l);
		return r;
	}
	*loop = l;
	return 0;
}

/* A signal handler may do this. */
static int ringq_loop_ask(struct ringq_loop *l, uint32_t what)
{
	int saved = errno;

	if (l->pid != getpid())
		return -ESTALE;
	__atomic_fetch_or(&l->asked, what, __ATOMIC_RELEASE);			/* L1 */
	eventfd_write(l->asked_fd, 1);						/* L2 */
	errno = saved;
	return 0;
}

RINGQ_PUBLIC int ringq_loop_stop(struct ringq_loop *l)
{
	return ringq_loop_ask(l, RINGQ_ASKED_STOP);
}

RINGQ_PUBLIC int ringq_loop_drain(struct ringq_loop *l)
{
	return ringq_loop_ask(l, RINGQ_ASKED_DRAIN);
}

RINGQ_PUBLIC uint64_t ringq_loop_handled(const struct ringq_loop *l)
{
	return ringq_load_acquire(&l->handled);
}

static int ringq_loop_await(struct ringq_loop *l, int64_t timeout)
{
	int64_t end = ringq_now();
	struct timespec ts;
	int r;

	if (timeout < 0)
		return -pthread_join(l->thread, NULL);
	/* What is beyond the end of time is for ever. */
	if (__builtin_add_overflow(end, timeout, &end))
		end = INT64_MAX;
	ts = (struct timespec){ end / 1000000000, end % 1000000000 };
	r = timeout ? pthread_clockjoin_np(l->thread, NULL, CLOCK_MONOTONIC, &ts) :
		      pthread_tryjoin_np(l->thread, NULL);
	return r == EBUSY ? -EAGAIN : -r;
}

RINGQ_PUBLIC int ringq_loop_join(struct ringq_loop *l, uint64_t *handled, int64_t timeout)
{
	int r = -ESTALE;

	if (l->pid == getpid()) {
		if (pthread_equal(l->thread, pthread_self()))
			return -EDEADLK;
		r = ringq_loop_await(l, timeout);
		if (r < 0)
			return r;
		r = l->end;
	}
	if (handled)
		*handled = l->handled;
	ringq_loop_free(l);
	return r;
}
