// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What a ring without the module tells of its deaths (ringq_next_death()), and what becomes of
 * what the dead had: in every discipline, redelivered or dropped, the counts are exact, and so is
 * what a successor gets and how much room there is.
 *
 * A victim is another process, which says when it holds what it is to hold, and is killed. The
 * next who attaches buries it, or our agent was faster.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <ringq.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../quiet.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LIMIT 120	/* seconds for all of them; a few are usual */
#define CAPACITY 56
#define WAIT (RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT)
#define SENT 5		/* messages, each 8 bytes: its number */
#define SPAN 16		/* bytes that a record of 8 takes */

static struct ringq *ring;
static struct ringq_port out, in;
static uint64_t sent;	/* the last message's number */

/* One in so many instructions of who buries. A sanitizer makes more of them. */
#ifdef __SANITIZE_ADDRESS__
static unsigned int stride = 1499;
#else
static unsigned int stride = 37;
#endif

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * UINT64_C(1000000000) + ts.tv_nsec;
}

static bool records(const struct ringq *r)
{
	struct ringq_info info = { .size = sizeof(info) };

	assert_int_equal(ringq_get_info(r, &info), 0);
	return info.flags & RINGQ_RECORDS;
}

static int send_next(struct ringq_port *p)
{
	uint64_t msg = sent + 1;
	int r = records(p->ring) ? ringq_send_record(p, &msg, sizeof(msg), RINGQ_NOWAIT) :
				   ringq_send(p, &msg, RINGQ_NOWAIT);

	sent += r == 1;
	return r;
}

static int recv_one(struct ringq_port *p, uint64_t *msg)
{
	uint32_t size;

	return records(p->ring) ? ringq_recv_record(p, msg, sizeof(*msg), &size, RINGQ_NOWAIT) :
				  ringq_recv(p, msg, RINGQ_NOWAIT);
}

/* What victims do before they die. */
static void idle(struct ringq_port *p)
{
	(void)p;
}

static void hold_three(struct ringq_port *p)
{
	if (ringq_peek(p, 3, RINGQ_NOWAIT) != 3)
		_exit(3);
}

/* Of four that were shown, three are left, and the one after them was shown to nobody. */
static void release_one(struct ringq_port *p)
{
	if (ringq_peek(p, 4, RINGQ_NOWAIT) != 4 || ringq_release(p, 1) != 0)
		_exit(3);
}

static void receive_two(struct ringq_port *p)
{
	uint64_t msg;

	if (recv_one(p, &msg) != 1 || recv_one(p, &msg) != 1)
		_exit(3);
}

static void hold_orphan(struct ringq_port *p)
{
	if (ringq_peek(p, 3, RINGQ_NOWAIT) != 1 || ringq_flags(p) != RINGQ_REDELIVERED)
		_exit(3);
}

static void reserve_three(struct ringq_port *p)
{
	void *place;
	int r = records(p->ring) ? ringq_reserve_record(p, 8, &place, RINGQ_NOWAIT) :
				   ringq_reserve(p, 3, RINGQ_NOWAIT);

	if (r != 0)
		_exit(3);
}

/* As if it had been killed in a commit: what it holds says three, and one is published. */
static void publish_one(struct ringq_port *p)
{
	unsigned char *stamps = (unsigned char *)p->stamps;

	reserve_three(p);
	*(uint64_t *)ringq_at(p, 0) = 1;
	__atomic_store_n((__u64 *)(stamps + ((p->pos & p->claims.mask) << p->claims.shift)),
			 RINGQ_STAMP(p->pos, RINGQ_FULL), __ATOMIC_RELEASE);
}

struct victim {
	pid_t pid;
	int to, from;
};

static void say(int fd)
{
	if (write(fd, "", 1) != 1)
		abort();
}

static void hear(int fd)
{
	char byte;

	if (read(fd, &byte, 1) != 1)
		fail_msg("the victim did not do what it was to do");
}

static void be_victim(enum ringq_role role, void (*act)(struct ringq_port *port), int from, int to)
{
	struct ringq_port port;
	struct ringq *mine;
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ringq_join_fd(ringq_fd(ring), NULL, &mine) < 0 || ringq_attach(mine, role, &port) < 0)
		_exit(1);
	say(to);
	if (read(from, &byte, 1) != 1)
		_exit(2);
	act(&port);
	say(to);
	for (;;)
		pause();
}

/* One that is attached. */
static struct victim start(enum ringq_role role, void (*act)(struct ringq_port *port))
{
	struct victim v;
	int there[2], back[2];

	assert_int_equal(pipe(there), 0);
	assert_int_equal(pipe(back), 0);
	quiet();
	v.pid = fork();
	if (v.pid == 0)
		be_victim(role, act, there[0], back[1]);
	close(there[0]);
	close(back[1]);
	v.to = there[1];
	v.from = back[0];
	hear(v.from);
	return v;
}

/* Has done what it is to do. */
static void acts(const struct victim *v)
{
	say(v->to);
	hear(v->from);
}

static void end(const struct victim *v)
{
	int status;

	kill(v->pid, SIGKILL);
	assert_int_equal(waitpid(v->pid, &status, 0), v->pid);
	assert_true(WIFSIGNALED(status));
	close(v->to);
	close(v->from);
}

/* Who attaches finds the dead of his side. */
static void bury(enum ringq_role role)
{
	struct ringq_port port;

	assert_int_equal(ringq_attach(ring, role, &port), 0);
	ringq_detach(&port);
}

static void make(uint32_t discipline, uint32_t flags, uint32_t consumers)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_MEMFD, .discipline = discipline,
		.elem_size = 8, .capacity = CAPACITY, .flags = flags, .consumers = consumers,
	};
	struct ringq_info info = { .size = sizeof(info) };

	assert_int_equal(ringq_create(&opts, &ring), 0);
	assert_int_equal(ringq_get_info(ring, &info), 0);
	assert_int_equal(info.flags & flags, flags);
	assert_int_equal(info.flags & RINGQ_DROP, flags & RINGQ_DROP);
	sent = 0;
}

static void unmake(void)
{
	ringq_detach(&out);
	ringq_detach(&in);
	ringq_leave(ring);
}

/* The next to be told is that of this process. */
static struct ringq_death told(struct ringq_port *p, pid_t pid)
{
	struct ringq_death d;

	memset(&d, 0xff, sizeof(d));
	assert_int_equal(ringq_next_death(p, &d), 1);
	assert_int_equal(d.pid, pid);
	assert_int_equal(d.reserved, 0);
	return d;
}

static void nothing_told(struct ringq_port *p)
{
	struct ringq_death d;

	assert_int_equal(ringq_next_death(p, &d), 0);
}

/* What a victim holds, and what is to be told of it. */
struct held {
	const char *name;
	uint32_t discipline;
	uint32_t flags;
	uint32_t consumers;	/* places */
	enum ringq_role role;
	void (*act)(struct ringq_port *port);
	unsigned int released;	/* messages; of those after them... */
	unsigned int hand;	/* ...so many are flagged or dropped */
	unsigned int tombs;
	bool beside;		/* another consumer is there meanwhile */
};

#define KEPT RINGQ_CONSUMER_WAIT
#define IN RINGQ_CONSUMER
#define OUT RINGQ_PRODUCER
#define RECORDS RINGQ_RECORDS

static const struct held helds[] = {
	{ "SPSC", RINGQ_SPSC, 0, 1, IN, hold_three, 0, 3, 0, false },
	{ "SPSC, a part", RINGQ_SPSC, 0, 1, IN, release_one, 1, 3, 0, false },
	{ "SPSC, nothing", RINGQ_SPSC, 0, 1, IN, receive_two, 2, 0, 0, false },
	{ "SPSC, idle", RINGQ_SPSC, 0, 1, IN, idle, 0, 0, 0, false },
	{ "SPSC, producer", RINGQ_SPSC, 0, 1, OUT, reserve_three, 0, 0, 0, false },
	{ "SPSC, records", RINGQ_SPSC, RECORDS, 1, IN, hold_three, 0, 3, 0, false },
	{ "SPSC, records, a part", RINGQ_SPSC, RECORDS, 1, IN, release_one, 1, 3, 0, false },
	{ "SPSC, records, nothing", RINGQ_SPSC, RECORDS, 1, IN, receive_two, 2, 0, 0, false },
	{ "SPSC, records, producer", RINGQ_SPSC, RECORDS, 1, OUT, reserve_three, 0, 0, 0, false },
	{ "MPSC", RINGQ_MPSC, 0, 1, IN, hold_three, 0, 3, 0, false },
	{ "MPSC, a part", RINGQ_MPSC, 0, 1, IN, release_one, 1, 3, 0, false },
	{ "MPSC, nothing", RINGQ_MPSC, 0, 1, IN, receive_two, 2, 0, 0, false },
	{ "MPSC, producer", RINGQ_MPSC, 0, 1, OUT, reserve_three, 0, 0, 3, false },
	{ "MPSC, producer, a part", RINGQ_MPSC, 0, 1, OUT, publish_one, 0, 0, 2, false },
	{ "SPMC, alone", RINGQ_SPMC, 0, 3, IN, hold_three, 0, 3, 0, false },
	{ "SPMC, alone, a part", RINGQ_SPMC, 0, 3, IN, release_one, 1, 3, 0, false },
	{ "SPMC, beside", RINGQ_SPMC, 0, 3, IN, hold_three, 0, 3, 0, true },
	{ "SPMC, one place", RINGQ_SPMC, 0, 1, IN, hold_three, 0, 3, 0, false },
	{ "SPMC, producer", RINGQ_SPMC, 0, 3, OUT, reserve_three, 0, 0, 3, false },
	{ "MPMC, alone", RINGQ_MPMC, 0, 3, IN, hold_three, 0, 3, 0, false },
	{ "MPMC, beside", RINGQ_MPMC, 0, 3, IN, hold_three, 0, 3, 0, true },
	{ "MPMC, beside, a part", RINGQ_MPMC, 0, 3, IN, release_one, 1, 3, 0, true },
	{ "MPMC, beside, nothing", RINGQ_MPMC, 0, 3, IN, receive_two, 2, 0, 0, true },
	{ "MPMC, fence", RINGQ_MPMC, RINGQ_FENCE, 3, IN, hold_three, 0, 3, 0, true },
	{ "MPMC, one place", RINGQ_MPMC, 0, 1, IN, release_one, 1, 3, 0, false },
	{ "MPMC, producer", RINGQ_MPMC, 0, 3, OUT, reserve_three, 0, 0, 3, false },
	{ "LANES", RINGQ_LANES, 0, 1, IN, hold_three, 0, 3, 0, false },
	{ "LANES, a part", RINGQ_LANES, 0, 1, IN, release_one, 1, 3, 0, false },
	{ "LANES, shared", RINGQ_LANES, 0, 3, IN, hold_three, 0, 3, 0, false },
	{ "LANES, beside", RINGQ_LANES, 0, 3, IN, hold_three, 0, 3, 0, true },
	{ "LANES, beside, nothing", RINGQ_LANES, 0, 3, IN, receive_two, 2, 0, 0, true },
	{ "LANES, records", RINGQ_LANES, RECORDS, 1, IN, hold_three, 0, 3, 0, false },
	{ "LANES, records, beside", RINGQ_LANES, RECORDS, 3, IN, hold_three, 0, 3, 0, true },
	{ "LANES, producer", RINGQ_LANES, 0, 1, OUT, reserve_three, 0, 0, 0, false },
	{ "GATED, kept", RINGQ_GATED, KEPT, 3, IN, hold_three, 0, 3, 0, false },
	{ "GATED, kept, a part", RINGQ_GATED, KEPT, 3, IN, release_one, 1, 3, 0, false },
	{ "GATED, records", RINGQ_GATED, KEPT | RECORDS, 3, IN, hold_three, 0, 3, 0, false },
};

static void send_some(unsigned int n)
{
	while (n--)
		assert_int_equal(send_next(&out), 1);
}

/* The room there is now, for a ring in which so many messages are. */
static void check_room(const struct held *h, uint64_t there, bool drop)
{
	uint64_t n = 0;

	if (h->flags & RECORDS) {
		assert_int_equal(ringq_room(&out), ringq_capacity(&out) - SPAN * there);
		return;
	}
	/* Of what consumers claim, those count that nobody has taken. */
	if (drop || !h->hand)
		assert_int_equal(ringq_len(&out), there);
	while (send_next(&out) == 1)
		n++;
	if (n != ringq_capacity(&out) - there)
		fail_msg("%s: there was room for %llu more", h->name, (unsigned long long)n);
}

/* Who is there, or comes, gets all from that one on, so many of them flagged. */
static void check_messages(const struct held *h, uint64_t from, unsigned int again)
{
	uint64_t next = from, msg;

	if (in.error)
		assert_int_equal(ringq_attach(ring, IN, &in), 0);
	for (; recv_one(&in, &msg) == 1; next++) {
		if (msg != next || ringq_flags(&in) != (next < from + again ? RINGQ_REDELIVERED : 0))
			fail_msg("%s: %llu came for %llu, flags %x", h->name,
				 (unsigned long long)msg, (unsigned long long)next,
				 ringq_flags(&in));
	}
	assert_int_equal(next, sent + 1);
}

static void check_told(const struct held *h, struct ringq_port *witness, pid_t pid, bool drop,
		       uint64_t before)
{
	uint64_t unit = h->flags & RECORDS ? SPAN : 1;
	struct ringq_death d = told(witness, pid);

	if (d.redelivered != (drop ? 0 : h->hand * unit) ||
	    d.dropped != (drop ? h->hand * unit : 0) || d.tombs != h->tombs)
		fail_msg("%s: %llu tombs, %llu redelivered, %llu dropped", h->name,
			 (unsigned long long)d.tombs, (unsigned long long)d.redelivered,
			 (unsigned long long)d.dropped);
	assert_int_equal(d.serial, 1);
	assert_int_equal(d.role, h->role);
	assert_int_equal(d.port, h->beside);
	assert_int_equal(d.generation, 1);
	assert_true(d.time_ns >= before && d.time_ns <= now());
	nothing_told(witness);
}

static void check_nothing(const struct held *h, struct ringq_port *witness)
{
	struct ringq_death d;

	assert_int_equal(ringq_next_death(witness, &d), 1);
	if (d.tombs || d.redelivered || d.dropped)
		fail_msg("%s: one that had nothing left something", h->name);
}

static void consumer_dies(const struct held *h, bool drop)
{
	uint64_t gone = h->released + (drop ? h->hand : 0), before = now();
	struct victim v[2];
	int i;

	assert_int_equal(ringq_attach(ring, OUT, &out), 0);
	if (h->beside)
		assert_int_equal(ringq_attach(ring, IN, &in), 0);
	v[0] = start(IN, h->act);
	send_some(SENT);
	acts(&v[0]);
	end(&v[0]);
	if (!h->beside)
		assert_int_equal(ringq_attach(ring, IN, &in), 0);
	else
		bury(IN);
	check_told(h, &out, v[0].pid, drop, before);
	check_room(h, SENT - gone, drop);
	check_messages(h, gone + 1, drop ? 0 : h->hand);

	/* What its predecessors had is not told again of who dies in their place. */
	ringq_detach(&in);
	for (i = 0; i <= h->beside; i++)
		v[i] = start(IN, idle);
	for (i = 0; i <= h->beside; i++)
		end(&v[i]);
	bury(IN);
	for (i = 0; i <= h->beside; i++)
		check_nothing(h, &out);
}

static void producer_dies(const struct held *h)
{
	uint64_t before = now();
	struct victim v;

	assert_int_equal(ringq_attach(ring, IN, &in), 0);
	v = start(OUT, h->act);
	acts(&v);
	end(&v);
	assert_int_equal(ringq_attach(ring, OUT, &out), 0);
	check_told(h, &in, v.pid, false, before);
	sent = h->act == publish_one;
	send_some(SENT);
	check_messages(h, 1, 0);
}

static void what_it_held(void **state)
{
	unsigned int i;
	int drop;

	(void)state;
	for (i = 0; i < COUNT(helds); i++) {
		for (drop = 0; drop < 2; drop++) {
			const struct held *h = &helds[i];

			printf("# %s%s\n", h->name, drop ? ", drop" : "");
			make(h->discipline, h->flags | WAIT | (drop ? RINGQ_DROP : 0),
			     h->consumers);
			if (h->role == IN)
				consumer_dies(h, drop);
			else
				producer_dies(h);
			unmake();
		}
	}
}

/* Nothing comes again there, so nothing is dropped. */
static void broadcasts(void **state)
{
	static const struct {
		uint32_t discipline, flags;
	} rings[] = {
		{ RINGQ_GATED, 0 }, { RINGQ_GATED, RINGQ_RECORDS }, { RINGQ_LOSSY, 0 },
		{ RINGQ_LOSSY, RINGQ_RECORDS }, { RINGQ_LATEST, 0 },
	};
	struct ringq_death d;
	struct victim v;
	unsigned int i;
	uint64_t msg;

	(void)state;
	for (i = 0; i < COUNT(rings); i++) {
		make(rings[i].discipline, rings[i].flags | RINGQ_DROP, 3);
		assert_int_equal(ringq_attach(ring, OUT, &out), 0);
		assert_int_equal(ringq_attach(ring, IN, &in), 0);
		v = start(IN, rings[i].discipline == RINGQ_LATEST ? idle : hold_three);
		send_some(SENT);
		acts(&v);
		end(&v);
		bury(IN);
		d = told(&in, v.pid);
		assert_int_equal(d.tombs + d.redelivered + d.dropped, 0);
		assert_int_equal(recv_one(&in, &msg), 1);
		assert_int_equal(msg, rings[i].discipline == RINGQ_LATEST ? SENT : 1);
		assert_int_equal(ringq_flags(&in), 0);
		unmake();
	}
}

/* What was taken over from one that had left. */
static void orphans(void **state)
{
	struct ringq_death d;
	struct victim v;
	uint64_t msg;
	int drop;

	(void)state;
	for (drop = 0; drop < 2; drop++) {
		make(RINGQ_MPMC, WAIT | (drop ? RINGQ_DROP : 0), 3);
		assert_int_equal(ringq_attach(ring, OUT, &out), 0);
		assert_int_equal(ringq_attach(ring, IN, &in), 0);
		v = start(IN, hold_orphan);
		send_some(SENT);
		assert_int_equal(ringq_peek(&in, 2, RINGQ_NOWAIT), 2);
		ringq_detach(&in);
		acts(&v);
		end(&v);
		assert_int_equal(ringq_attach(ring, IN, &in), 0);
		d = told(&out, v.pid);
		assert_int_equal(d.redelivered, !drop);
		assert_int_equal(d.dropped, drop);
		/* One that left drops nothing. */
		for (sent = 1 + drop; sent <= SENT; sent++) {
			assert_int_equal(recv_one(&in, &msg), 1);
			assert_int_equal(msg, sent);
			assert_int_equal(ringq_flags(&in), sent <= 2 ? RINGQ_REDELIVERED : 0);
		}
		unmake();
	}
}

/* In LANES, what another has in hand, who lives. */
static void others_hands(void **state)
{
	struct ringq_death d;
	struct victim v;
	uint64_t msg;

	(void)state;
	make(RINGQ_LANES, WAIT | RINGQ_DROP, 3);
	assert_int_equal(ringq_attach(ring, OUT, &out), 0);
	assert_int_equal(ringq_attach(ring, IN, &in), 0);
	v = start(IN, idle);
	send_some(SENT);
	assert_int_equal(ringq_peek(&in, 3, RINGQ_NOWAIT), 3);
	end(&v);
	bury(IN);
	d = told(&out, v.pid);
	assert_int_equal(d.dropped, 0);
	assert_int_equal(ringq_len(&out), SENT);
	assert_int_equal(ringq_release(&in, 2), 0);
	assert_int_equal(recv_one(&in, &msg), 1);
	assert_int_equal(msg, 3);
	unmake();
}

static struct ringq_port_stat stat_of(enum ringq_role role, uint32_t index)
{
	struct ringq_port_stat s = { .size = sizeof(s) };

	assert_int_equal(ringq_port_stat(ring, role, index, &s), 0);
	return s;
}

static void *receive_one(void *result)
{
	uint64_t msg;

	*(int *)result = ringq_recv(&in, &msg, RINGQ_FOREVER);
	return NULL;
}

/*
 * It published without a kick, and cannot be buried, for one who lives has perhaps taken what it
 * claimed besides. Who sleeps gets what is published at once, and not when that one goes on.
 */
static void not_buried_yet(void **state)
{
	struct victim v;
	pthread_t thread;
	__u64 claim, pos;
	int result;

	(void)state;
	make(RINGQ_MPMC, RINGQ_CONSUMER_WAIT | RINGQ_PRODUCER_WAIT, 2);
	assert_int_equal(ringq_attach(ring, OUT, &out), 0);
	assert_int_equal(ringq_attach(ring, IN, &in), 0);
	v = start(OUT, publish_one);
	assert_int_equal(pthread_create(&thread, NULL, receive_one, &result), 0);
	while (!(stat_of(IN, in.index).flags & RINGQ_IS_ASLEEP))
		sched_yield();
	acts(&v);
	claim = out.page->claim;
	pos = stat_of(OUT, 1).held_at;
	__atomic_store_n(&out.page->claim, RINGQ_CLAIM(RINGQ_TRY, 1, pos), __ATOMIC_RELEASE);
	end(&v);
	pthread_join(thread, NULL);
	assert_int_equal(result, 1);
	assert_int_equal(stat_of(OUT, 1).state, RINGQ_PORT_DYING);
	__atomic_store_n(&out.page->claim, claim, __ATOMIC_RELEASE);
	bury(OUT);
	assert_int_equal(told(&out, v.pid).tombs, 2);
	unmake();
}

static void leaving_is_not_dying(void **state)
{
	struct ringq_port other;
	struct victim v;

	(void)state;
	make(RINGQ_MPSC, WAIT | RINGQ_DROP, 1);
	assert_int_equal(ringq_attach(ring, OUT, &out), 0);
	assert_int_equal(ringq_attach(ring, IN, &in), 0);
	bury(OUT);
	send_some(SENT);
	assert_int_equal(ringq_peek(&in, 3, RINGQ_NOWAIT), 3);
	ringq_detach(&in);
	nothing_told(&out);
	assert_int_equal(ringq_attach(ring, IN, &in), 0);
	assert_int_equal(ringq_peek(&in, 9, RINGQ_NOWAIT), 3);
	assert_int_equal(ringq_flags(&in), RINGQ_REDELIVERED);
	assert_int_equal(ringq_release(&in, 0), 0);
	/* Those of the time before a port, and after it, are not told to it. */
	v = start(OUT, idle);
	end(&v);
	bury(OUT);
	assert_int_equal(ringq_attach(ring, OUT, &other), 0);
	nothing_told(&other);
	told(&out, v.pid);
	told(&in, v.pid);
	v = start(OUT, idle);
	end(&v);
	bury(OUT);
	assert_int_equal(told(&other, v.pid).serial, 2);
	ringq_detach(&other);
	assert_int_equal(ringq_next_death(&other, NULL), -ESTALE);
	unmake();
}

/* More than are remembered: the last of them, and the gap tells how many were missed. */
static void too_many(void **state)
{
	const unsigned int n = RINGQ_DEATHS + 5;
	pid_t pids[RINGQ_DEATHS + 5];
	struct ringq_death d;
	struct victim v;
	unsigned int i;

	(void)state;
	make(RINGQ_SPSC, WAIT, 1);
	assert_int_equal(ringq_attach(ring, IN, &in), 0);
	for (i = 0; i < n; i++) {
		v = start(OUT, idle);
		end(&v);
		pids[i] = v.pid;
	}
	assert_int_equal(ringq_attach(ring, OUT, &out), 0);
	for (i = 5; i < n; i++) {
		d = told(&in, pids[i]);
		assert_int_equal(d.serial, i + 1);
		assert_int_equal(d.generation, i + 1);
	}
	nothing_told(&in);
	unmake();
}

/* The memory of the ring, as any member may write it. */
static struct ringq_header *map(void)
{
	struct ringq_info info = { .size = sizeof(info) };
	void *at;

	assert_int_equal(ringq_get_info(ring, &info), 0);
	at = mmap(NULL, info.total, PROT_READ | PROT_WRITE, MAP_SHARED, ringq_fd(ring), 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

static void unmap(struct ringq_header *h)
{
	assert_int_equal(munmap(h, h->layout.total), 0);
}

static struct ringq_deaths *log_of(struct ringq_header *h)
{
	return (struct ringq_deaths *)((char *)h + h->layout.attention +
				       sizeof(struct ringq_attention));
}

static struct ringq_port_page *page_of(struct ringq_header *h, uint32_t role)
{
	return (struct ringq_port_page *)((char *)h + h->layout.ports + h->layout.port_stride *
					  ringq_page_of(&h->geometry, role, 0));
}

static void other_namespaces(void **state)
{
	struct ringq_header *h;
	struct victim v;

	(void)state;
	make(RINGQ_SPSC, WAIT, 1);
	h = map();
	assert_int_equal(ringq_attach(ring, IN, &in), 0);
	v = start(OUT, idle);
	page_of(h, OUT)->pid_ns++;
	end(&v);
	bury(OUT);
	told(&in, 0);
	unmap(h);
	unmake();
}

/* Whatever stands in the log and in the page of the dead: no harm, and an end. */
static void nonsense(void **state)
{
	unsigned int round, i, n;
	struct ringq_death d;
	struct ringq_header *h;
	struct victim v;

	(void)state;
	make(RINGQ_LANES, WAIT | RINGQ_DROP, 1);
	h = map();
	assert_int_equal(ringq_attach(ring, OUT, &out), 0);
	srand(1);
	for (round = 0; round < 50; round++) {
		unsigned char *log = (unsigned char *)log_of(h);
		struct ringq_lane *lane = (struct ringq_lane *)((char *)h + h->layout.lanes);

		for (i = 0; i < sizeof(struct ringq_deaths); i++)
			log[i] = rand();
		page_of(h, OUT)->told = round % 3 ? log_of(h)->count - round :
						    (uint64_t)rand();
		for (n = 0; ringq_next_death(&out, &d) == 1; n++)
			assert_true(n < RINGQ_DEATHS);
		if (round % 10)
			continue;
		v = start(IN, idle);
		lane->progress.taken = lane->progress.done + (round % 20 ? 57 : -1ull);
		end(&v);
		bury(IN);
		d = told(&out, v.pid);
		assert_int_equal(d.dropped, 0);
		/* No more than is published; the words stay as they are. */
		v = start(IN, idle);
		lane->progress.taken = lane->progress.done + 1;
		end(&v);
		bury(IN);
		d = told(&out, v.pid);
		assert_int_equal(d.dropped, 0);
		lane->progress.taken = lane->progress.done;
	}
	unmap(h);
	unmake();
}

static int wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 1000 * LIMIT);
}

/* A descriptor that is armed becomes ready, whoever died; the agent does it all. */
static void descriptors(void **state)
{
	struct victim v;
	uint64_t msg;
	int fd;

	(void)state;
	make(RINGQ_MPSC, WAIT, 1);
	assert_int_equal(ringq_attach(ring, OUT, &out), 0);
	assert_int_equal(ringq_attach(ring, IN, &in), 0);
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_equal(ringq_add_eventfd(&in, fd), 0);
	v = start(OUT, idle);
	/* The attach was told too. */
	do
		assert_int_equal(recv_one(&in, &msg), -EAGAIN);
	while (ringq_arm(&in) == 1);
	nothing_told(&in);
	eventfd_read(fd, &(eventfd_t){ 0 });
	end(&v);
	assert_int_equal(wait_for(ringq_port_fd(&in), POLLIN), 1);
	assert_int_equal(wait_for(fd, POLLIN), 1);
	told(&in, v.pid);
	nothing_told(&in);
	/* A producer's, of a full ring. */
	while (send_next(&out) == 1)
		;
	told(&out, v.pid);
	v = start(OUT, idle);
	do
		assert_int_equal(send_next(&out), -EAGAIN);
	while (ringq_arm(&out) == 1);
	end(&v);
	assert_int_equal(wait_for(ringq_port_fd(&out), POLLOUT), 1);
	told(&out, v.pid);
	assert_int_equal(send_next(&out), -EAGAIN);
	unmake();
	close(fd);
}

static void where_nobody_dies(void **state)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .elem_size = 8, .flags = RINGQ_DROP,
	};
	struct ringq_death d;
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(ringq_create(&opts, &ring), 0);
	assert_int_equal(ringq_attach(ring, OUT, &out), 0);
	nothing_told(&out);
	quiet();
	pid = fork();
	if (pid == 0)
		_exit(ringq_next_death(&out, &d) == -ESTALE ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	unmake();
}

static void send_five(struct ringq_port *p)
{
	int i;

	for (i = 0; i < SENT; i++)
		if (send_next(p) != 1)
			_exit(3);
}

/* All threads of a process sleep: its agent, which looks around at first, is not at work. */
static bool is_asleep(pid_t pid)
{
	char path[300], state;
	struct dirent *entry;
	bool asleep = true;
	DIR *dir;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", pid, entry->d_name);
		f = fopen(path, "r");
		asleep = asleep && f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1 && state == 'S';
		if (f)
			fclose(f);
	}
	closedir(dir);
	return asleep;
}

/* One that sends and is stopped: it lives, and its agent buries nobody. */
static struct victim stopped_sender(void)
{
	struct victim v = start(OUT, send_five);
	int status;

	acts(&v);
	while (!is_asleep(v.pid))
		sched_yield();
	kill(v.pid, SIGSTOP);
	assert_int_equal(waitpid(v.pid, &status, WUNTRACED), v.pid);
	return v;
}

/* Buries, for as many instructions as it is let. There is no agent where nobody attaches. */
static void be_burier(int *over)
{
	struct ringq *mine;

	if (ringq_join_fd(ringq_fd(ring), NULL, &mine) < 0)
		_exit(1);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	ringq_reset(mine);
	__atomic_store_n(over, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

/* One is killed after so many instructions. Returns whether it was done. */
static bool burier_dies(unsigned int steps)
{
	int *over = mmap(NULL, sizeof(*over), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			 -1, 0), status;
	bool done;
	pid_t pid;

	assert_ptr_not_equal(over, MAP_FAILED);
	pid = fork();
	if (pid == 0)
		be_burier(over);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	while (steps-- && !__atomic_load_n(over, __ATOMIC_ACQUIRE)) {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			fail_msg("the burier ended by itself: %x", status);
	}
	done = __atomic_load_n(over, __ATOMIC_ACQUIRE);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(munmap(over, sizeof(*over)), 0);
	return done;
}

/* What it held is free, all of it. */
static void check_dropped(const struct ringq_header *h)
{
	const struct ringq_geometry *g = &h->geometry;
	uint64_t pos, at;

	if (!ringq_claims(g->discipline)) {
		assert_int_equal(page_of((struct ringq_header *)h, IN)->progress.done, 3);
		return;
	}
	for (pos = 0; pos < 3; pos++) {
		at = ringq_stamp_at(g, &h->layout, 0, pos);
		assert_int_equal(*(const uint64_t *)((const char *)h + at),
				 RINGQ_STAMP(pos + g->capacity, RINGQ_FREE));
	}
}

/*
 * Who buries is killed after every so many instructions: the death is in the log once, and what
 * the dead one held is dropped, all of it. What the killed one had done, and not counted yet, is
 * missing in the count: one position by stamps, or the hand. The agent of who sends is stopped.
 */
static void buriers(uint32_t discipline)
{
	struct ringq_deaths *log;
	/* By stamps, each of the places is looked at. */
	const unsigned int more = ringq_claims(discipline) ? 4 * stride : stride;
	unsigned int steps, n;
	struct ringq_header *h;
	struct victim from, to;
	struct ringq_death *d;
	bool done = false;

	make(discipline, WAIT | RINGQ_DROP, ringq_claims(discipline) ? 3 : 1);
	h = map();
	log = log_of(h);
	for (steps = 0, n = 0; !done; steps += more, n++) {
		from = stopped_sender();
		to = start(IN, hold_three);
		acts(&to);
		end(&to);
		done = burier_dies(steps);
		assert_int_equal(ringq_reset(ring), -EBUSY);
		d = &log->entries[(2 * n + 1) % RINGQ_DEATHS];
		assert_int_equal(log->count, 2 * n + 1);
		assert_int_equal(d->serial, 2 * n + 1);
		assert_int_equal(d->pid, to.pid);
		assert_true(d->dropped <= 3 && d->dropped + (ringq_claims(discipline) ? 1 : 3) >= 3);
		assert_true(!done || d->dropped == 3);
		check_dropped(h);
		end(&from);
		assert_int_equal(ringq_reset(ring), 0);
	}
	printf("# %u deaths in %u instructions\n", n, steps);
	assert_true(n > 2);
	unmap(h);
	ringq_leave(ring);
}

static void buriers_in_order(void **state)
{
	(void)state;
	buriers(RINGQ_SPSC);
}

static void buriers_of_claims(void **state)
{
	(void)state;
	buriers(RINGQ_MPMC);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_it_held),
		cmocka_unit_test(broadcasts),
		cmocka_unit_test(orphans),
		cmocka_unit_test(others_hands),
		cmocka_unit_test(not_buried_yet),
		cmocka_unit_test(leaving_is_not_dying),
		cmocka_unit_test(too_many),
		cmocka_unit_test(other_namespaces),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(descriptors),
		cmocka_unit_test(where_nobody_dies),
		cmocka_unit_test(buriers_in_order),
		cmocka_unit_test(buriers_of_claims),
	};

	setbuf(stdout, NULL);
	alarm(LIMIT);
	if (argc > 1)
		stride = strtoul(argv[1], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
