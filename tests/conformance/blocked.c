// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Every call that can sleep, asleep, and everything that can happen to it then: its time
 * runs out, a signal comes, it is woken, the ring is closed, the other side leaves or is
 * killed, with and without a successor, or it is killed itself. The sleeper is a process
 * where the memory allows. No case asserts that something happens soon: only that it does,
 * and that a time-out is not early.
 */
#include "conformance.h"

#include <signal.h>

#define ALL_WAIT (RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT)
#define HOUR (3600 * 1000 * MS)

/* More than the sleeper asks for at once. A ring may have more. */
#define CAPACITY 14
#define CAPACITY_MAX 300

struct call {
	enum ringq_role role;
	int64_t (*make)(struct ringq_port *port, int64_t timeout);
	int64_t woken;		/* what it returns when it gets what it wants */
	int64_t closed;		/* ...when the ring is closed */
	int64_t left;		/* ...when the other side has left for good */
	uint64_t need;		/* messages sent, or freed, that it waits for; 0: all of them */
};

static int64_t make_recv(struct ringq_port *port, int64_t timeout)
{
	uint64_t msg;

	return conf_recv(port, &msg, timeout);
}

static int64_t make_recv_many(struct ringq_port *port, int64_t timeout)
{
	uint64_t msgs[3];

	return conf_recv_many(port, msgs, 3, timeout);
}

static int64_t make_peek(struct ringq_port *port, int64_t timeout)
{
	return ringq_peek(port, 3, timeout);
}

static int64_t make_send(struct ringq_port *port, int64_t timeout)
{
	uint64_t msg = 0;

	return conf_send(port, &msg, timeout);
}

static int64_t make_send_many(struct ringq_port *port, int64_t timeout)
{
	uint64_t msgs[2] = { 0 };

	return conf_send_many(port, msgs, 2, timeout);
}

static int64_t make_reserve(struct ringq_port *port, int64_t timeout)
{
	return conf_reserve(port, conf_at_once(3), timeout);
}

enum { RECV, RECV_MANY, PEEK, SEND, SEND_MANY, RESERVE, DRAIN, CALLS };

static const struct call calls[CALLS] = {
	[RECV] = { RINGQ_CONSUMER, make_recv, 1, 0, 0, 1 },
	[RECV_MANY] = { RINGQ_CONSUMER, make_recv_many, 1, 0, 0, 1 },
	[PEEK] = { RINGQ_CONSUMER, make_peek, 1, 0, 0, 1 },
	[SEND] = { RINGQ_PRODUCER, make_send, 1, -EPIPE, -EPIPE, 1 },
	[SEND_MANY] = { RINGQ_PRODUCER, make_send_many, 2, -EPIPE, -EPIPE, 2 },
	[RESERVE] = { RINGQ_PRODUCER, make_reserve, 0, -EPIPE, -EPIPE, 3 },
	/* The end of sending is no reason not to wait for what was sent. */
	[DRAIN] = { RINGQ_PRODUCER, NULL, 0, 0, -EPIPE, 0 },
};

static enum ringq_role other_role(const struct call *call)
{
	return call->role == RINGQ_PRODUCER ? RINGQ_CONSUMER : RINGQ_PRODUCER;
}

/* Who else is there: nobody, a port of the test's own, or a victim that will be killed. */
enum other { NOBODY, MINE, VICTIM };

struct sleeper {
	const struct call *call;
	int64_t timeout;
	struct {
		int64_t result;
		int64_t slept;
		uint64_t sent;
	} *shared;
	struct ringq *ring;
	struct conf_peer *peer;
	struct ringq_port other;
	bool attached;		/* other */
	struct conf_peer *victim;
	uint64_t next;		/* number of the next message of the other port */
	uint64_t need;
};

static void sleep_in_call(struct ringq *ring, void *arg)
{
	const struct sleeper *s = arg;
	struct ringq_port port;
	int64_t start;

	EXPECT(ringq_attach(ring, s->call->role, &port), 0);
	if (s->call->role == RINGQ_PRODUCER)
		s->shared->sent = conf_fill_up(&port, 0);
	start = conf_now();
	conf_will_sleep();
	s->shared->result = s->call->make ? s->call->make(&port, s->timeout) :
					    ringq_drain(&port, s->timeout);
	s->shared->slept = conf_now() - start;
	ringq_detach(&port);
}

static void attach_other(struct sleeper *s)
{
	EXPECT(ringq_attach(s->ring, other_role(s->call), &s->other), 0);
	s->attached = true;
}

/* Takes the place and does nothing with it until it is killed. */
static void sit(struct ringq *ring, void *arg)
{
	const struct call *call = arg;
	struct ringq_port port;

	EXPECT(ringq_attach(ring, other_role(call), &port), 0);
	conf_will_sleep();
	while (!conf_dying())
		conf_sleep(MS);
	ringq_detach(&port);
}

static void bring_other(struct sleeper *s, enum other other)
{
	if (other == MINE)
		attach_other(s);
	if (other != VICTIM)
		return;
	s->victim = conf_start(s->ring, sit, (void *)s->call);
	conf_await_sleep(s->victim);
}

/*
 * The other side comes when the sleeper sleeps, which is not what it waits for; or before it,
 * where a producer without consumers has no reason to wait.
 */
static void start_sleeper(struct sleeper *s, uint64_t which, uint32_t flags, int64_t timeout,
			  enum other other)
{
	bool early;

	*s = (struct sleeper){ .call = &calls[which], .timeout = timeout };
	early = s->call->role == RINGQ_PRODUCER && !(conf.discipline->has & CONF_KEEPS);
	s->shared = conf_shared(sizeof(*s->shared));
	s->ring = conf_ring(sizeof(uint64_t), CAPACITY, flags);
	if (early)
		bring_other(s, other == NOBODY ? MINE : other);
	s->peer = conf_start(s->ring, sleep_in_call, s);
	conf_await_sleep(s->peer);
	s->need = which == RESERVE ? conf_at_once(s->call->need) : s->call->need;
	if (!s->need)
		s->need = s->shared->sent;
	if (early)
		return;
	bring_other(s, other);
	conf_await_sleep(s->peer);
}

static int64_t end_sleeper(struct sleeper *s)
{
	conf_join(s->peer);
	return s->shared->result;
}

static void clean_up(struct sleeper *s)
{
	if (s->attached)
		ringq_detach(&s->other);
	ringq_leave(s->ring);
}

static void serve_in_place(struct ringq_port *port, const uint64_t *msgs, uint64_t n)
{
	uint64_t done, m = conf_at_once(n), i;

	for (done = 0; done < n; done += m) {
		EXPECT(conf_reserve(port, m, RINGQ_NOWAIT), 0);
		for (i = 0; i < m; i++)
			*(uint64_t *)conf_room(port, i) = msgs[done + i];
		EXPECT(conf_commit(port, m), 0);
	}
}

/* Does n of what the sleeper waits for, in one of three ways. */
static void serve(struct sleeper *s, uint64_t n, unsigned int way)
{
	struct ringq_port *port = &s->other;
	uint64_t msgs[CAPACITY_MAX], i;

	if (s->call->role == RINGQ_PRODUCER) {
		if (way == 0) {
			conf_recv_range(port, s->next, s->next + n);
		} else if (way == 1) {
			EXPECT(conf_recv_many(port, msgs, n, RINGQ_NOWAIT), n);
		} else {
			EXPECT(ringq_peek(port, n, RINGQ_NOWAIT), n);
			EXPECT(ringq_release(port, n), 0);
		}
	} else {
		for (i = 0; i < n; i++)
			conf_fill(&msgs[i], sizeof(msgs[i]), s->next + i);
		if (way == 0) {
			conf_send_range(port, s->next, s->next + n);
		} else if (way == 1) {
			EXPECT(conf_send_many(port, msgs, n, RINGQ_NOWAIT), n);
		} else {
			serve_in_place(port, msgs, n);
		}
	}
	s->next += n;
}

static void timed(uint64_t which)
{
	static const int64_t waits[] = { 1, 20 * MS };
	struct sleeper s = { .call = &calls[which] };
	unsigned int i;

	s.shared = conf_shared(sizeof(*s.shared));
	for (i = 0; i < COUNT(waits); i++) {
		s.timeout = waits[i];
		s.ring = conf_ring(sizeof(uint64_t), CAPACITY, 0);
		/* The other side is there, and does nothing. */
		attach_other(&s);
		s.peer = conf_start(s.ring, sleep_in_call, &s);
		EXPECT(end_sleeper(&s), -ETIMEDOUT);
		CHECK(s.shared->slept >= waits[i], "%lld ns asked, gave up after %lld",
		      (long long)waits[i], (long long)s.shared->slept);
		clean_up(&s);
	}
}

static void woken(uint64_t which)
{
	struct sleeper s;
	unsigned int way;

	for (way = 0; way < 3; way++) {
		start_sleeper(&s, which, 0, way == 1 ? HOUR : RINGQ_FOREVER, MINE);
		serve(&s, s.need, way);
		EXPECT(end_sleeper(&s), s.call->woken);
		clean_up(&s);
	}
}

/* Less than it needs does not let it go on. */
static void woken_in_vain(uint64_t which)
{
	struct sleeper s;

	start_sleeper(&s, which, 0, RINGQ_FOREVER, MINE);
	while (s.next + 1 < s.need) {
		serve(&s, 1, 0);
		conf_await_sleep(s.peer);
	}
	serve(&s, 1, 0);
	EXPECT(end_sleeper(&s), s.call->woken);
	clean_up(&s);
}

static void interrupted(uint64_t which)
{
	/* With a time-out SA_RESTART makes no difference. */
	static const struct {
		int flags;
		int64_t timeout;
	} tries[] = { { 0, RINGQ_FOREVER }, { 0, HOUR }, { SA_RESTART, HOUR } };
	struct sleeper s;
	unsigned int i;
	int *signals;

	for (i = 0; i < COUNT(tries); i++) {
		signals = conf_count_signals(SIGUSR1, tries[i].flags);
		start_sleeper(&s, which, 0, tries[i].timeout, NOBODY);
		conf_signal(s.peer, SIGUSR1);
		EXPECT(end_sleeper(&s), -EINTR);
		EXPECT(*signals, 1);
		clean_up(&s);
	}
}

static void restarted(uint64_t which)
{
	int *signals = conf_count_signals(SIGUSR1, SA_RESTART), i;
	struct sleeper s;

	start_sleeper(&s, which, 0, RINGQ_FOREVER, NOBODY);
	for (i = 1; i <= 3; i++) {
		conf_signal(s.peer, SIGUSR1);
		while (__atomic_load_n(signals, __ATOMIC_SEQ_CST) < i)
			conf_sleep(MS);
		conf_await_sleep(s.peer);
	}
	if (!s.attached)
		attach_other(&s);
	serve(&s, s.need, 0);
	EXPECT(end_sleeper(&s), s.call->woken);
	clean_up(&s);
}

static void closed(uint64_t which)
{
	struct sleeper s;

	start_sleeper(&s, which, ALL_WAIT, RINGQ_FOREVER, MINE);
	EXPECT(ringq_close(&s.other), 0);
	if (which == DRAIN) {
		conf_await_sleep(s.peer);
		serve(&s, s.need, 0);
	}
	EXPECT(end_sleeper(&s), s.call->closed);
	clean_up(&s);
}

/* A producer that waits only for those consumers that there are waits no more. */
static bool is_let_go(const struct sleeper *s)
{
	return s->call->role == RINGQ_PRODUCER && !(conf.discipline->has & CONF_KEEPS);
}

static void left(uint64_t which)
{
	struct sleeper s;

	start_sleeper(&s, which, 0, RINGQ_FOREVER, MINE);
	ringq_detach(&s.other);
	EXPECT(end_sleeper(&s), is_let_go(&s) ? s.call->woken : s.call->left);
	ringq_leave(s.ring);
}

/* A successor comes and does what is wanted. */
static void succeed(struct sleeper *s)
{
	conf_await_sleep(s->peer);
	attach_other(s);
	conf_expect_number(&s->other, 0);
	serve(s, s->need, 2);
	EXPECT(end_sleeper(s), s->call->woken);
	clean_up(s);
}

static void left_wait(uint64_t which)
{
	struct sleeper s;

	start_sleeper(&s, which, ALL_WAIT, RINGQ_FOREVER, MINE);
	ringq_detach(&s.other);
	if (is_let_go(&s)) {
		EXPECT(end_sleeper(&s), s.call->woken);
		clean_up(&s);
		return;
	}
	succeed(&s);
}

static void killed(uint64_t which)
{
	struct sleeper s;

	int64_t wanted;

	start_sleeper(&s, which, 0, RINGQ_FOREVER, VICTIM);
	conf_kill(s.victim);
	wanted = s.call->left == -EPIPE ? conf_death_error() : s.call->left;
	EXPECT(end_sleeper(&s), is_let_go(&s) ? s.call->woken : wanted);
	clean_up(&s);
}

static void killed_wait(uint64_t which)
{
	struct sleeper s;

	start_sleeper(&s, which, ALL_WAIT, RINGQ_FOREVER, VICTIM);
	conf_kill(s.victim);
	/* A thread can but leave, and for who has left no place is kept. */
	if (is_let_go(&s) && !conf.processes) {
		EXPECT(end_sleeper(&s), s.call->woken);
		clean_up(&s);
		return;
	}
	succeed(&s);
}

/* The sleeper itself is killed. Its peer gets what was committed, or the error. */
static void dies(uint64_t which)
{
	struct ringq_port again;
	struct sleeper s;
	uint64_t i;
	int r;

	start_sleeper(&s, which, 0, RINGQ_FOREVER, MINE);
	conf_kill(s.peer);
	if (s.call->role == RINGQ_PRODUCER) {
		conf_recv_range(&s.other, 0, s.shared->sent);
		EXPECT(conf_recv(&s.other, &i, RINGQ_FOREVER), 0);
		EXPECT(conf_recv(&s.other, &i, RINGQ_FOREVER), 0);
	} else if (!(conf.discipline->has & CONF_KEEPS)) {
		/* No more consumer is no reason to wait, nor an end. */
		for (i = 0; i < 3 * conf_capacity(s.ring); i++)
			EXPECT(conf_send(&s.other, &i, RINGQ_FOREVER), 1);
		clean_up(&s);
		return;
	} else {
		for (i = 0; (r = conf_send(&s.other, &i, RINGQ_FOREVER)) == 1; i++)
			;
		EXPECT(r, conf_death_error());
		CHECK(i <= conf_capacity(s.ring), "%llu messages went into a ring of %llu",
		      (unsigned long long)i, (unsigned long long)conf_capacity(s.ring));
		EXPECT(conf_send(&s.other, &i, RINGQ_FOREVER), conf_death_error());
	}
	ringq_detach(&s.other);
	EXPECT(ringq_attach(s.ring, s.call->role, &again), -EPIPE);
	ringq_leave(s.ring);
}

static void dies_wait(uint64_t which)
{
	struct ringq_port successor;
	struct sleeper s;
	uint64_t next;

	start_sleeper(&s, which, ALL_WAIT, RINGQ_FOREVER, MINE);
	conf_kill(s.peer);
	/* At once: who was waited for is dead. */
	EXPECT(ringq_attach(s.ring, s.call->role, &successor), 0);
	next = s.shared->sent;
	conf_expect_number(&successor, next);
	if (s.call->role == RINGQ_PRODUCER) {
		conf_recv_range(&s.other, 0, next);
		conf_send_range(&successor, next, next + 5);
		conf_recv_range(&s.other, next, next + 5);
	} else {
		conf_recv_range(&successor, 0, conf_fill_up(&s.other, 0));
		EXPECT(ringq_flags(&successor), 0);
	}
	ringq_detach(&successor);
	clean_up(&s);
}

#define CONSUMER_CALLS(name, body, needs)		\
	{ name "-recv", body, RECV, needs },		\
	{ name "-recv-many", body, RECV_MANY, needs },	\
	{ name "-peek", body, PEEK, needs },

#define PRODUCER_CALLS(name, body, needs)		\
	{ name "-send", body, SEND, needs },		\
	{ name "-send-many", body, SEND_MANY, needs },	\
	{ name "-reserve", body, RESERVE, needs },	\
	{ name "-drain", body, DRAIN, needs },

#define EACH(name, body)				\
	CONSUMER_CALLS(name, body, 0)			\
	PRODUCER_CALLS(name, body, 0)

const struct conf_case conf_blocked[] = {
	EACH("timed", timed)
	EACH("woken", woken)
	{ "woken-in-vain-reserve", woken_in_vain, RESERVE, 0 },
	{ "woken-in-vain-drain", woken_in_vain, DRAIN, 0 },
	EACH("interrupted", interrupted)
	EACH("restarted", restarted)
	EACH("closed-while-waiting", closed)
	EACH("left-while-waiting", left)
	EACH("left-and-succeeded-while-waiting", left_wait)
	EACH("killed-while-waiting", killed)
	EACH("killed-and-succeeded-while-waiting", killed_wait)
	EACH("dies-waiting", dies)
	EACH("dies-waiting-and-succeeded", dies_wait)
	{ 0 }
};
