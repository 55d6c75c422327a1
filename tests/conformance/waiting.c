// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Waking as a race: both sides fall asleep and are woken all the time, at moments that move
 * across the boundary between spinning and sleeping; a wake-up that is lost is a hang. What
 * a wait that ends half-way returns. ringq_drain() as a promise.
 */
#include "conformance.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Passes the time so that a peer that spins a while may or may not have fallen asleep. */
static void dawdle(void)
{
	int64_t until = conf_now() + conf_random(120000);

	if (conf_random(8) == 0)
		conf_sleep(conf_random(MS / 5));
	else
		while (conf_now() < until)
			;
}

struct rally {
	struct ringq *back;
	int back_fd;
	uint64_t rounds;
	struct conf_gate *gate;
};

static void answer(struct ringq *ring, void *arg)
{
	const struct rally *rally = arg;
	struct ringq *back = rally->back;
	struct ringq_port in, out;
	uint64_t i, got = 0;

	if (conf.processes)
		EXPECT(ringq_join_fd(rally->back_fd, NULL, &back), 0);
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	EXPECT(ringq_attach(back, RINGQ_PRODUCER, &out), 0);
	conf_meet(rally->gate, 2);
	for (i = 0; i < rally->rounds; i++) {
		EXPECT(conf_recv(&in, &got, RINGQ_FOREVER), 1);
		EXPECT(got, i);
		dawdle();
		EXPECT(conf_send(&out, &got, RINGQ_FOREVER), 1);
	}
	EXPECT(conf_recv(&in, &got, RINGQ_FOREVER), 0);
	ringq_detach(&in);
	ringq_detach(&out);
	if (conf.processes)
		ringq_leave(back);
}

static void ping_pong(uint64_t flags)
{
	struct ringq *ring = conf_ring(sizeof(uint64_t), 1, flags);
	struct rally rally = {
		.back = conf_ring(sizeof(uint64_t), 1, flags), .rounds = conf_times(5000),
		.gate = conf_gate(),
	};
	struct ringq_port out, in;
	struct conf_peer *peer;
	uint64_t i, got = 0;

	rally.back_fd = ringq_fd(rally.back);
	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	EXPECT(ringq_attach(rally.back, RINGQ_CONSUMER, &in), 0);
	peer = conf_start(ring, answer, &rally);
	conf_meet(rally.gate, 2);
	for (i = 0; i < rally.rounds; i++) {
		EXPECT(conf_send(&out, &i, RINGQ_FOREVER), 1);
		dawdle();
		EXPECT(conf_recv(&in, &got, RINGQ_FOREVER), 1);
		EXPECT(got, i);
	}
	ringq_detach(&out);
	conf_join(peer);
	ringq_detach(&in);
	ringq_leave(ring);
	ringq_leave(rally.back);
}

struct trickle {
	uint64_t n;
	uint64_t batch;
};

static void send_trickle(struct ringq *ring, void *arg)
{
	const struct trickle *t = arg;
	uint64_t msgs[64], sent, m, i;
	struct ringq_port port;

	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &port), 0);
	for (sent = 0; sent < t->n; sent += m) {
		m = t->n - sent < t->batch ? t->n - sent : t->batch;
		for (i = 0; i < m; i++)
			msgs[i] = sent + i;
		EXPECT(conf_send_many(&port, msgs, m, RINGQ_FOREVER), m);
		if (conf_random(4) == 0)
			dawdle();
	}
	ringq_detach(&port);
}

/* Full and empty in turn: senders and receivers sleep, sometimes for batches. */
static void trickle(uint64_t batch)
{
	struct trickle t = { .n = conf_times(20000), .batch = batch };
	struct ringq *ring = conf_ring(sizeof(uint64_t), 1, 0);
	struct ringq_port port;
	struct conf_peer *peer;
	uint64_t i, got = 0;

	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &port), 0);
	peer = conf_start(ring, send_trickle, &t);
	for (i = 0; i < t.n; i++) {
		EXPECT(conf_recv(&port, &got, RINGQ_FOREVER), 1);
		EXPECT(got, i);
		if (conf_random(4) == 0)
			dawdle();
	}
	EXPECT(conf_recv(&port, &got, RINGQ_FOREVER), 0);
	conf_join(peer);
	ringq_detach(&port);
	ringq_leave(ring);
}

/* A time-out of a receiver that comes together with a message loses neither. */
static void race_time_out(uint64_t size)
{
	struct trickle t = { .n = conf_times(5000), .batch = 1 };
	struct ringq *ring = conf_ring(size, 1, 0);
	struct ringq_port port;
	struct conf_peer *peer;
	uint64_t i = 0, got = 0;
	int r;

	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &port), 0);
	peer = conf_start(ring, send_trickle, &t);
	while ((r = conf_recv(&port, &got, 1 + conf_random(100000))) != 0) {
		if (r == -ETIMEDOUT)
			continue;
		EXPECT(r, 1);
		EXPECT(got, i++);
	}
	EXPECT(i, t.n);
	conf_join(peer);
	ringq_detach(&port);
	ringq_leave(ring);
}

struct partial {
	int64_t timeout;
	int64_t *result;
};

static void send_more_than_fits(struct ringq *ring, void *arg)
{
	const struct partial *p = arg;
	struct ringq_port port;
	uint64_t msgs[10];
	int i;

	for (i = 0; i < 10; i++)
		conf_fill(&msgs[i], sizeof(msgs[i]), i);
	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &port), 0);
	conf_will_sleep();
	*p->result = conf_send_many(&port, msgs, 10, p->timeout);
	ringq_detach(&port);
}

/* What was sent before the time ran out, a signal came or the ring was closed, was sent. */
static void send_many_in_part(uint64_t arg)
{
	static const int64_t timeouts[] = { RINGQ_NOWAIT, 20 * MS, RINGQ_FOREVER, RINGQ_FOREVER };
	struct partial p = { .result = conf_shared(sizeof(*p.result)) };
	struct ringq_port port;
	struct conf_peer *peer;
	struct ringq *ring;
	unsigned int i;
	uint64_t fits;

	(void)arg;
	conf_count_signals(SIGUSR1, 0);
	for (i = 0; i < COUNT(timeouts); i++) {
		ring = conf_ring(sizeof(uint64_t), 7, 0);
		fits = conf_capacity(ring);
		EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &port), 0);
		p.timeout = timeouts[i];
		peer = conf_start(ring, send_more_than_fits, &p);
		if (p.timeout == RINGQ_FOREVER) {
			conf_await_sleep(peer);
			if (i % 2)
				conf_signal(peer, SIGUSR1);
			else
				EXPECT(ringq_close(&port), 0);
		}
		conf_join(peer);
		EXPECT(*p.result, fits);
		conf_recv_range(&port, 0, fits);
		EXPECT(conf_recv_seq(&port, fits), 0);
		ringq_detach(&port);
		ringq_leave(ring);
	}
}

static void drain(uint64_t size)
{
	struct ringq *ring = conf_ring(size, 20, 0);
	struct ringq_port out, in;

	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	/* Nothing was sent, so all of it was received; that takes no receiver. */
	EXPECT(ringq_drain(&out, RINGQ_FOREVER), 0);
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	conf_send_range(&out, 0, 3);
	EXPECT(ringq_drain(&out, RINGQ_NOWAIT), -EAGAIN);
	EXPECT(ringq_drain(&out, MS), -ETIMEDOUT);
	conf_recv_range(&in, 0, 2);
	EXPECT(ringq_drain(&out, RINGQ_NOWAIT), -EAGAIN);
	/* Peeked is not received. */
	EXPECT(ringq_peek(&in, 1, RINGQ_NOWAIT), 1);
	EXPECT(ringq_drain(&out, RINGQ_NOWAIT), -EAGAIN);
	EXPECT(ringq_close(&out), 0);
	EXPECT(ringq_drain(&out, RINGQ_NOWAIT), -EAGAIN);
	EXPECT(ringq_release(&in, 1), 0);
	EXPECT(ringq_drain(&out, RINGQ_NOWAIT), 0);
	EXPECT(ringq_drain(&out, RINGQ_FOREVER), 0);
	/* A receiver that has left is no loss if it left nothing. */
	ringq_detach(&in);
	EXPECT(ringq_drain(&out, RINGQ_FOREVER), 0);
	ringq_detach(&out);
	ringq_leave(ring);
}

static void drain_in_vain(uint64_t size)
{
	struct ringq *ring = conf_ring(size, 20, 0);
	struct ringq_port out, in;

	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	conf_send_range(&out, 0, 3);
	conf_recv_range(&in, 0, 2);
	ringq_detach(&in);
	EXPECT(ringq_drain(&out, RINGQ_FOREVER), -EPIPE);
	ringq_detach(&out);
	ringq_leave(ring);
}

/* A time-out comes when the time is over by the caller's clock, and not before. */
static void run_out_of_time(void)
{
	struct ringq *ring = conf_ring(sizeof(uint64_t), 1, 0);
	const int64_t timeout = 20 * MS;
	struct ringq_port out, in;
	uint64_t got = 0, n = 0;
	int64_t begin;

	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	begin = conf_now();
	EXPECT(conf_recv(&in, &got, timeout), -ETIMEDOUT);
	CHECK(conf_now() - begin >= timeout, "after %lld ns", (long long)(conf_now() - begin));
	begin = conf_now();
	EXPECT(conf_recv(&in, &got, ringq_until(begin + timeout)), -ETIMEDOUT);
	CHECK(conf_now() - begin >= timeout, "after %lld ns", (long long)(conf_now() - begin));
	while (conf_send(&out, &n, RINGQ_NOWAIT) == 1)
		n++;
	begin = conf_now();
	EXPECT(conf_send(&out, &n, timeout), -ETIMEDOUT);
	CHECK(conf_now() - begin >= timeout, "after %lld ns", (long long)(conf_now() - begin));
	ringq_detach(&out);
	ringq_detach(&in);
	ringq_leave(ring);
}

/* Where CLOCK_MONOTONIC is 11 days ahead of the kernel's own, or has only just begun. */
static void time_namespace(uint64_t ahead)
{
	int64_t offset = ahead ? 1000000 : 1 - conf_now() / (1000 * MS);
	int status = -1;
	FILE *f;
	pid_t pid;

	EXPECT(unshare(CLONE_NEWTIME), 0);
	f = fopen("/proc/self/timens_offsets", "w");
	CHECK(f && fprintf(f, "monotonic %lld 0\n", (long long)offset) > 0 && fclose(f) == 0,
	      "no time namespace: errno %d", errno);
	/* It is for children. */
	pid = fork();
	if (pid == 0) {
		run_out_of_time();
		_exit(0);
	}
	EXPECT(waitpid(pid, &status, 0), pid);
	EXPECT(status, 0);
}

const struct conf_case conf_waiting[] = {
	{ "ping-pong", ping_pong, 0, 0 },
	{ "ping-pong-fenced", ping_pong, RINGQ_FENCE, 0 },
	{ "trickle-1", trickle, 1, 0 },
	{ "trickle-3", trickle, 3, 0 },
	{ "trickle-64", trickle, 64, 0 },
	{ "race-time-out", race_time_out, 8, 0 },
	{ "send-many-in-part", send_many_in_part, 0, CONF_ELEMENTS },
	{ "time-ahead", time_namespace, 1, CONF_SPSC },
	{ "time-behind", time_namespace, 0, CONF_SPSC },
	{ "drain-8", drain, 8, 0 },
	{ "drain-1264", drain, 1264, 0 },
	{ "drain-in-vain-8", drain_in_vain, 8, CONF_KEEPS },
	{ "drain-in-vain-1264", drain_in_vain, 1264, CONF_KEEPS },
	{ 0 }
};
