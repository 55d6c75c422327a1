// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Several who sleep at once: so many messages, or so much room, wake so many, and the right
 * ones; a batch wakes several; the end wakes all; and who dies asleep takes no wake-up with
 * him that another needs. The sleepers are processes where the memory allows.
 */
#include "conformance.h"

#define MOST 3

struct crowd {
	enum ringq_role role;
	struct ringq *ring;
	struct ringq_port other;	/* of the test's own, on the other side */
	struct conf_peer *peers[MOST];
	struct conf_gate *gate;
	struct {
		bool over;
		bool awake[MOST];
		int64_t result[MOST];
		uint64_t got[MOST];
	} *shared;
};

struct sleeper {
	const struct crowd *crowd;
	uint32_t index;
};

static void sleep_once(struct ringq *ring, void *arg)
{
	const struct sleeper *s = arg;
	const struct crowd *c = s->crowd;
	struct ringq_port port;
	uint64_t msg = 0, n = 0;

	EXPECT(ringq_attach(ring, c->role, &port), 0);
	/* Together they fill the ring, or each its own part of it. */
	while (c->role == RINGQ_PRODUCER && conf_send_seq(&port, conf_seq(s->index, n)) == 1)
		n++;
	conf_meet(c->gate, MOST + 1);
	conf_will_sleep();
	if (c->role == RINGQ_CONSUMER) {
		c->shared->result[s->index] = conf_recv(&port, &msg, RINGQ_FOREVER);
		c->shared->got[s->index] = conf_seq_of(&msg);
	} else {
		conf_fill(&msg, sizeof(msg), conf_seq(s->index, n));
		c->shared->result[s->index] = conf_send(&port, &msg, RINGQ_FOREVER);
	}
	__atomic_store_n(&c->shared->awake[s->index], !conf_dying(), __ATOMIC_RELEASE);
	/* It must not be the last of its side to leave, while others sleep. */
	while (!__atomic_load_n(&c->shared->over, __ATOMIC_ACQUIRE) && !conf_dying())
		conf_sleep(MS / 10);
	ringq_detach(&port);
}

static void start_crowd(struct crowd *c, struct sleeper *sleepers, enum ringq_role role)
{
	uint32_t i;

	c->role = role;
	c->ring = conf_ring(sizeof(uint64_t), 7, 0);
	c->shared = conf_shared(sizeof(*c->shared));
	c->gate = conf_gate();
	EXPECT(ringq_attach(c->ring, !role, &c->other), 0);
	for (i = 0; i < MOST; i++) {
		sleepers[i] = (struct sleeper){ c, i };
		c->peers[i] = conf_start(c->ring, sleep_once, &sleepers[i]);
	}
	conf_meet(c->gate, MOST + 1);
	for (i = 0; i < MOST; i++)
		conf_await_sleep(c->peers[i]);
}

static uint32_t count_awake(const struct crowd *c)
{
	uint32_t n = 0, i;

	for (i = 0; i < MOST; i++)
		n += __atomic_load_n(&c->shared->awake[i], __ATOMIC_ACQUIRE);
	return n;
}

static void await_awake(const struct crowd *c, uint32_t n)
{
	conf_at(__FILE__, __LINE__);
	while (count_awake(c) < n)
		conf_sleep(MS / 10);
}

static void end_crowd(struct crowd *c)
{
	uint32_t i;

	__atomic_store_n(&c->shared->over, true, __ATOMIC_RELEASE);
	for (i = 0; i < MOST; i++) {
		if (c->peers[i])
			conf_join(c->peers[i]);
	}
	ringq_leave(c->ring);
}

/* Room in each producer's own part: whoever has some now must not sleep on. */
static void serve_each(struct crowd *c)
{
	uint64_t msg;
	uint32_t p;

	while (conf_recv(&c->other, &msg, RINGQ_NOWAIT) == 1) {
		p = conf_producer_of(conf_seq_of(&msg));
		conf_at(__FILE__, __LINE__);
		while (c->peers[p] && !__atomic_load_n(&c->shared->awake[p], __ATOMIC_ACQUIRE))
			conf_sleep(MS / 10);
	}
}

/* n messages, or room for n, at once. */
static void serve(struct crowd *c, uint64_t first, uint64_t n)
{
	uint64_t msgs[MOST], i;

	if (c->role == RINGQ_PRODUCER && !(conf.discipline->has & CONF_ORDER)) {
		serve_each(c);
	} else if (c->role == RINGQ_PRODUCER) {
		EXPECT(conf_recv_many(&c->other, msgs, n, RINGQ_NOWAIT), n);
	} else {
		for (i = 0; i < n; i++)
			conf_fill(&msgs[i], sizeof(msgs[i]), first + i);
		EXPECT(conf_send_many(&c->other, msgs, n, RINGQ_NOWAIT), n);
	}
}

/* What was sent went to different ones. */
static void check_results(const struct crowd *c, uint64_t n)
{
	uint64_t seen = 0;
	uint32_t i;

	for (i = 0; i < MOST; i++) {
		if (!c->peers[i])
			continue;
		EXPECT(c->shared->result[i], 1);
		if (c->role == RINGQ_CONSUMER)
			seen |= 1u << c->shared->got[i];
	}
	if (c->role == RINGQ_CONSUMER)
		EXPECT(seen, conf.discipline->has & CONF_ONCE ? (1u << n) - 1 : 1);
}

static void one_by_one(uint64_t role)
{
	struct sleeper sleepers[MOST];
	struct crowd c;
	uint32_t i;

	start_crowd(&c, sleepers, role);
	for (i = 0; i < MOST; i++) {
		serve(&c, i, 1);
		await_awake(&c, i + 1);
	}
	check_results(&c, MOST);
	ringq_detach(&c.other);
	end_crowd(&c);
}

static void by_a_batch(uint64_t role)
{
	struct sleeper sleepers[MOST];
	struct crowd c;

	start_crowd(&c, sleepers, role);
	serve(&c, 0, MOST);
	await_awake(&c, MOST);
	check_results(&c, MOST);
	ringq_detach(&c.other);
	end_crowd(&c);
}

static void expect_ended(struct crowd *c, int error)
{
	uint32_t i;

	await_awake(c, MOST);
	for (i = 0; i < MOST; i++)
		EXPECT(c->shared->result[i], c->role == RINGQ_CONSUMER ? 0 : error);
}

static void by_the_end(uint64_t role)
{
	struct sleeper sleepers[MOST];
	struct crowd c;
	int way;

	for (way = 0; way < 2; way++) {
		start_crowd(&c, sleepers, role);
		if (way == 0)
			EXPECT(ringq_close(&c.other), 0);
		else
			ringq_detach(&c.other);
		expect_ended(&c, -EPIPE);
		ringq_detach(&c.other);
		end_crowd(&c);
	}
}

/* Any of them; the others are then served, one message or place each. */
static void one_dies(uint64_t role)
{
	struct sleeper sleepers[MOST];
	struct crowd c;
	uint32_t victim, i;

	for (victim = 0; victim < MOST; victim++) {
		start_crowd(&c, sleepers, role);
		conf_kill(c.peers[victim]);
		c.peers[victim] = NULL;
		for (i = 0; i < MOST; i++) {
			if (i != victim)
				conf_await_sleep(c.peers[i]);
		}
		serve(&c, 0, MOST - 1);
		await_awake(&c, MOST - 1);
		check_results(&c, MOST - 1);
		ringq_detach(&c.other);
		end_crowd(&c);
	}
}

#define BOTH(name, body)							\
	{ name "-consumers", body, RINGQ_CONSUMER, CONF_CONSUMERS },		\
	{ name "-producers", body, RINGQ_PRODUCER, CONF_PRODUCERS },

const struct conf_case conf_crowd[] = {
	BOTH("crowd-woken-one-by-one", one_by_one)
	BOTH("crowd-woken-by-a-batch", by_a_batch)
	BOTH("crowd-woken-by-the-end", by_the_end)
	BOTH("crowd-one-dies", one_dies)
	{ 0 }
};
