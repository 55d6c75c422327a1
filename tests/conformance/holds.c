// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Who sits where and holds what, asked of the ring while another side goes through a life: it
 * attaches, peeks, releases, sleeps and is killed. (What exactly is told at which instruction:
 * unit/stat.c, and kselftest/stat.c.)
 */
#include "conformance.h"

#include <unistd.h>

#define ALL_WAIT (RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT)
#define SENT 5
#define SHOWN 3

/* Where the other side is, in memory that both share. It waits before the second and the last. */
enum step { BEFORE, ATTACHED, TO_PEEK, PEEKED, TO_SLEEP, SLEEPS };

struct life {
	uint32_t step;
	uint32_t pid;
	uint64_t position;	/* of the first that was peeked */
};

static bool reached(const struct life *life, enum step step)
{
	return __atomic_load_n(&life->step, __ATOMIC_ACQUIRE) >= step;
}

static void go_on(struct life *life, enum step step)
{
	__atomic_store_n(&life->step, step, __ATOMIC_RELEASE);
}

static void await(const struct life *life, enum step step)
{
	while (!reached(life, step))
		conf_sleep(MS / 10);
}

static void live(struct ringq *ring, void *arg)
{
	struct life *life = arg;
	struct ringq_port port;
	uint64_t seq;

	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &port), 0);
	life->pid = getpid();
	go_on(life, ATTACHED);
	await(life, TO_PEEK);
	EXPECT(ringq_peek(&port, SHOWN, RINGQ_NOWAIT), SHOWN);
	life->position = ringq_position(&port);
	go_on(life, PEEKED);
	await(life, TO_SLEEP);
	EXPECT(ringq_release(&port, SHOWN), 0);
	for (seq = SHOWN; seq < SENT; seq++)
		EXPECT(conf_recv_seq(&port, seq), 1);
	go_on(life, SLEEPS);
	conf_will_sleep();
	while (!conf_dying())
		ringq_peek(&port, 1, RINGQ_FOREVER);
	ringq_detach(&port);
}

static struct ringq_port_stat look(struct ringq *ring, enum ringq_role role)
{
	struct ringq_port_stat s = { .size = sizeof(s) };

	EXPECT(ringq_port_stat(ring, role, 0, &s), 0);
	return s;
}

/* What holds of elements by number holds of records by a number of bytes that is not looked at. */
static void expect_held(struct ringq *ring, const struct life *life)
{
	bool records = !(conf.discipline->has & CONF_ELEMENTS);
	struct ringq_port_stat s = look(ring, RINGQ_CONSUMER);

	EXPECT(s.state, RINGQ_PORT_LIVE);
	EXPECT(s.held_at, life->position);
	EXPECT(s.position, life->position);
	CHECK(records ? s.held > SHOWN && s.held < s.waiting : s.held == SHOWN,
	      "%llu are held", (unsigned long long)s.held);
	CHECK(records ? s.waiting > SENT : s.waiting == SENT, "%llu wait",
	      (unsigned long long)s.waiting);
}

static void holds(uint64_t size)
{
	uint32_t over = conf.processes ? RINGQ_PORT_DEAD : RINGQ_PORT_LEFT;
	struct life *life = conf_shared(sizeof(*life));
	struct ringq *ring = conf_ring(size, 20, ALL_WAIT);
	struct ringq_port_stat s;
	struct ringq_port out;
	struct conf_peer *peer;
	int64_t before;

	EXPECT(look(ring, RINGQ_CONSUMER).state, RINGQ_PORT_FREE);
	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	s = look(ring, RINGQ_PRODUCER);
	EXPECT(s.state, RINGQ_PORT_LIVE);
	EXPECT(s.pid, getpid());
	before = conf_now();
	peer = conf_start(ring, live, life);
	await(life, ATTACHED);
	s = look(ring, RINGQ_CONSUMER);
	EXPECT(s.state, RINGQ_PORT_LIVE);
	EXPECT(s.generation, 1);
	EXPECT(s.pid, life->pid);
	EXPECT(s.held, 0);
	CHECK((int64_t)s.attached_ns >= before && (int64_t)s.attached_ns <= conf_now(),
	      "attached at %llu", (unsigned long long)s.attached_ns);

	conf_send_range(&out, 0, SENT);
	go_on(life, TO_PEEK);
	await(life, PEEKED);
	expect_held(ring, life);
	go_on(life, TO_SLEEP);
	await(life, SLEEPS);
	while (!(look(ring, RINGQ_CONSUMER).flags & RINGQ_IS_ASLEEP))
		conf_sleep(MS);
	s = look(ring, RINGQ_CONSUMER);
	EXPECT(s.held, 0);
	EXPECT(s.waiting, 0);
	EXPECT(look(ring, RINGQ_PRODUCER).waiting, 0);

	conf_kill(peer);
	while (look(ring, RINGQ_CONSUMER).state != over)
		CHECK(ringq_bury(ring) >= 0, "it cannot be buried");
	EXPECT(look(ring, RINGQ_CONSUMER).flags & RINGQ_IS_ASLEEP, 0);
	ringq_detach(&out);
	EXPECT(look(ring, RINGQ_PRODUCER).state, RINGQ_PORT_LEFT);
	ringq_leave(ring);
	conf_unshare(life, sizeof(*life));
}

const struct conf_case conf_holds[] = {
	{ "holds-8", holds, 8, 0 },
	{ "holds-1264", holds, 1264, 0 },
	{ 0 }
};
