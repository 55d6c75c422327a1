// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Streams of messages through a port, in all the ways that there are: copied and in place,
 * by ones and in batches, typed and untyped, and however one waits.
 */
#include "conformance.h"

#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

static int64_t timeout_of(const struct conf_way *way)
{
	switch (way->wait) {
	case CONF_TIMED:
		return 1 + conf_random(MS / 5);
	case CONF_BLOCK:
		return RINGQ_FOREVER;
	case CONF_MIXED:
		return (int64_t)conf_random(3) - 1 ? : 1 + (int64_t)conf_random(MS / 5);
	default:
		return RINGQ_NOWAIT;
	}
}

static uint32_t events_of(const struct ringq_port *port)
{
	return port->role == RINGQ_CONSUMER ? EPOLLIN : EPOLLOUT;
}

static void await_level(struct ringq_port *port)
{
	struct pollfd p = { .fd = ringq_port_fd(port), .events = events_of(port) };

	CHECK(p.fd >= 0, "port_fd: %s", ringq_strerror(p.fd));
	EXPECT(poll(&p, 1, -1), 1);
}

/* Of this thread, with one port in it; 0: none. */
static __thread int edges;

static void watch_edges(int fd, uint32_t events)
{
	struct epoll_event event = { .events = events | EPOLLET };

	edges = epoll_create1(EPOLL_CLOEXEC);
	CHECK(edges > 0, "no epoll");
	EXPECT(epoll_ctl(edges, EPOLL_CTL_ADD, fd, &event), 0);
}

static void forget_edges(void)
{
	if (edges)
		close(edges);
	edges = 0;
}

static void await_edge(struct ringq_port *port)
{
	struct epoll_event event;
	int r = ringq_arm(port);

	CHECK(r >= 0, "arm: %s", ringq_strerror(r));
	if (r)
		return;
	if (!edges)
		watch_edges(ringq_port_fd(port), events_of(port));
	EXPECT(epoll_wait(edges, &event, 1, -1), 1);
}

/* A call that found nothing, but may find something later. */
static bool in_vain(struct ringq_port *port, int64_t r, const struct conf_way *way,
		    int64_t timeout)
{
	if (r != (timeout == RINGQ_NOWAIT ? -EAGAIN : -ETIMEDOUT) || timeout == RINGQ_FOREVER)
		return false;
	if (timeout != RINGQ_NOWAIT)
		return true;
	if (way->wait == CONF_POLL || (way->wait == CONF_MIXED && conf_random(2)))
		await_level(port);
	else if (way->wait == CONF_EDGE)
		await_edge(port);
	else if (way->wait != CONF_SPIN)
		sched_yield();	/* lets the other side run, but for those who would not */
	return true;
}

/* Of m that are in hand, how many are handed on: now and then not all. */
static uint64_t part_of(uint64_t m, uint64_t seq)
{
	return seq % 3 == 1 ? m - m / 2 : m;
}

static void fill_room(struct ringq_port *port, const struct conf_ops *ops, uint64_t seq,
		      uint64_t m)
{
	uint64_t i;

	for (i = 0; i < m; i++)
		conf_fill(ops->room(port, i), ops->size, seq + i);
}

/* Writes something else, and gives it up. */
static void give_up(struct ringq_port *port, const struct conf_ops *ops, uint64_t seq, uint64_t m)
{
	fill_room(port, ops, ~seq, m);
	if (seq % 2)
		ringq_abort(port);
	else
		EXPECT(ops->commit(port, 0), 0);
}

/* All of it must be had at once, so not more than there can be. */
static uint64_t most_reserved(const struct ringq_port *port, const struct conf_ops *ops)
{
	uint64_t most = port->capacity;

	if (conf.discipline->has & CONF_LOSSY && ops->size < RINGQ_LINE_ROOM)
		most -= RINGQ_LINE_ROOM / ops->size - 1;
	return most < ops->most ? most : ops->most;
}

static uint64_t produce_in_place(struct ringq_port *port, const struct conf_ops *ops,
				 const struct conf_way *way, uint64_t seq, uint64_t m)
{
	int64_t timeout = timeout_of(way);
	void *room;
	int r;

	if (m > most_reserved(port, ops))
		m = most_reserved(port, ops);
	r = ops->reserve(port, m, timeout);
	if (in_vain(port, r, way, timeout))
		return 0;
	EXPECT(r, 0);
	if (seq % 7 == 3) {
		room = ops->room(port, 0);
		give_up(port, ops, seq, m);
		/* Others may be there, who have what comes next. */
		if (conf.discipline->has & CONF_PRODUCERS)
			EXPECT(ops->reserve(port, m, RINGQ_FOREVER), 0);
		else
			EXPECT(ops->reserve(port, m, RINGQ_NOWAIT), 0);
		CHECK(conf.discipline->has & CONF_PRODUCERS || ops->room(port, 0) == room,
		      "the room that was given up is elsewhere");
	}
	fill_room(port, ops, seq, m);
	m = part_of(m, seq);
	EXPECT(ops->commit(port, m), 0);
	return m;
}

static uint64_t produce_copied(struct ringq_port *port, const struct conf_ops *ops,
			       const struct conf_way *way, unsigned char *msgs, uint64_t seq,
			       uint64_t m)
{
	int64_t timeout = timeout_of(way), r;
	uint64_t i;

	for (i = 0; i < m; i++)
		conf_fill(msgs + i * ops->size, ops->size, seq + i);
	r = m == 1 ? ops->send(port, msgs, timeout) : ops->send_many(port, msgs, m, timeout);
	if (in_vain(port, r, way, timeout))
		return 0;
	if (timeout == RINGQ_FOREVER)
		EXPECT(r, m);
	CHECK(r > 0 && (uint64_t)r <= m, "sent %lld of %llu", (long long)r,
	      (unsigned long long)m);
	return r;
}

void conf_produce(struct ringq_port *port, const struct conf_ops *ops,
		  const struct conf_way *way, uint64_t from, uint64_t to)
{
	unsigned char *msgs = way->in_place ? NULL : malloc(way->batch * ops->size);
	uint64_t seq = from, m;

	EXPECT(ringq_set_strategy(port, way->strategy), 0);
	while (seq < to) {
		m = way->batch < to - seq ? way->batch : to - seq;
		seq += way->in_place ? produce_in_place(port, ops, way, seq, m) :
				       produce_copied(port, ops, way, msgs, seq, m);
	}
	forget_edges();
	free(msgs);
}

/* at and run must tell of the same places. */
static void check_runs(const struct ringq_port *port, const struct conf_ops *ops, uint64_t held)
{
	uint64_t i, j, n;
	unsigned char *p;

	for (i = 0; i < held; i += n) {
		p = ringq_run(port, i, &n);
		CHECK(n > 0 && i + n <= held, "a run of %llu from %llu of %llu",
		      (unsigned long long)n, (unsigned long long)i, (unsigned long long)held);
		for (j = 0; j < n; j++)
			CHECK(ringq_at(port, i + j) == p + j * ops->size &&
			      ops->at(port, i + j) == p + j * ops->size,
			      "at and run differ at %llu", (unsigned long long)(i + j));
	}
}

static void show(const struct ringq_port *port, const struct conf_ops *ops, const void *msg,
		 conf_take *take, void *arg)
{
	take(arg, msg, conf_size_of(msg, ops->size), ringq_flags(port));
}

static int64_t consume_in_place(struct ringq_port *port, const struct conf_ops *ops, uint64_t m,
				int64_t timeout, uint64_t taken, conf_take *take, void *arg)
{
	int64_t r = ops->peek(port, m, timeout), i;

	if (r <= 0)
		return r;
	CHECK((uint64_t)r <= m, "peeked %lld of %llu", (long long)r, (unsigned long long)m);
	if (conf.discipline->has & CONF_ELEMENTS)
		check_runs(port, ops, r);
	/* What is given back must come again. */
	r = part_of(r, taken);
	for (i = 0; i < r; i++)
		show(port, ops, ops->at(port, i), take, arg);
	EXPECT(ops->release(port, r), 0);
	return r;
}

static int64_t consume_copied(struct ringq_port *port, const struct conf_ops *ops, uint64_t m,
			      int64_t timeout, unsigned char *msgs, conf_take *take, void *arg)
{
	int64_t r = m == 1 ? ops->recv(port, msgs, timeout) :
			     ops->recv_many(port, msgs, m, timeout), i;

	CHECK(r <= 0 || (uint64_t)r <= m, "received %lld of %llu", (long long)r,
	      (unsigned long long)m);
	for (i = 0; i < r; i++)
		show(port, ops, msgs + i * ops->size, take, arg);
	return r;
}

uint64_t conf_consume_each(struct ringq_port *port, const struct conf_ops *ops,
			   const struct conf_way *way, uint64_t most, conf_take *take, void *arg)
{
	unsigned char *msgs = way->in_place ? NULL : malloc(way->batch * ops->size);
	uint64_t taken = 0, m;
	int64_t timeout, r;

	EXPECT(ringq_set_strategy(port, way->strategy), 0);
	while (taken < most) {
		m = way->batch < most - taken ? way->batch : most - taken;
		timeout = timeout_of(way);
		r = way->in_place ? consume_in_place(port, ops, m, timeout, taken, take, arg) :
				    consume_copied(port, ops, m, timeout, msgs, take, arg);
		if (in_vain(port, r, way, timeout))
			continue;
		if (r == 0)
			break;
		CHECK(r > 0, "receiving: %s", ringq_strerror(r));
		taken += r;
	}
	forget_edges();
	free(msgs);
	return taken;
}

/* One after the other, from a number on. */
static void take_next(void *arg, const void *msg, size_t size, uint32_t flags)
{
	uint64_t *next = arg;

	CHECK(!flags, "flags %u on a message that nobody has seen", flags);
	conf_verify(msg, size, *next);
	++*next;
}

uint64_t conf_consume(struct ringq_port *port, const struct conf_ops *ops,
		      const struct conf_way *way, uint64_t from, uint64_t to)
{
	uint64_t next = from;

	conf_consume_each(port, ops, way, to - from, take_next, &next);
	return next;
}
