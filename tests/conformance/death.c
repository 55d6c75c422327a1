// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * kill -9 in mid-stream, at moments that nobody chose: the receiver gets a prefix of what
 * the dead one sent, all that it had committed and nothing torn, and then the end, or its
 * successor; the sender gets the error, or a successor goes on with nothing lost and at most
 * what had been peeked coming twice, flagged. (Deaths of and beside sleepers: blocked.c.)
 *
 * What a victim knows of itself it stores in shared memory after each call that has
 * returned. The call that was under way when it died may or may not have had its effect: so
 * the truth is between what is known and one batch more.
 */
#include "conformance.h"

#include <ringq/loop.h>
#include <stdlib.h>
#include <unistd.h>

#define ALL_WAIT (RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT)
#define BATCH 10
#define SENT 12		/* by redelivery() */

enum way { ONE, MANY, IN_PLACE };

struct victim {
	struct {
		uint64_t sent;		/* below it all is committed */
		uint64_t released;	/* below it all has been received or released */
		uint64_t shown;		/* below it all has been peeked */
		bool done;		/* it has seen the end, and lives */
	} *known;
	enum way way;
};

/* A record is reserved by itself. */
static uint64_t batch_of(enum way way)
{
	return way == ONE || (way == IN_PLACE && !(conf.discipline->has & CONF_ELEMENTS)) ? 1 :
											   BATCH;
}

static uint64_t load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store(uint64_t *p, uint64_t value)
{
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static int64_t send_batch(struct ringq_port *port, enum way way, unsigned char *msgs, uint64_t seq)
{
	uint64_t n = batch_of(way), i;
	int64_t r;

	if (way == IN_PLACE) {
		r = conf_reserve(port, n, RINGQ_FOREVER);
		for (i = 0; r == 0 && i < n; i++)
			conf_fill(conf_room(port, i), port->elem_size, seq + i);
		if (r == 0)
			EXPECT(conf_commit(port, n), 0);
		return r < 0 ? r : (int64_t)n;
	}
	for (i = 0; i < n; i++)
		conf_fill(msgs + i * port->elem_size, port->elem_size, seq + i);
	return way == ONE ? conf_send(port, msgs, RINGQ_FOREVER) :
			    conf_send_many(port, msgs, n, RINGQ_FOREVER);
}

/* Sends for ever; the messages are their positions. */
static void send_until_killed(struct ringq *ring, void *arg)
{
	const struct victim *v = arg;
	struct ringq_port port;
	unsigned char *msgs;
	uint64_t seq;
	int64_t r;

	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &port), 0);
	msgs = malloc(BATCH * port.elem_size);
	seq = conf_number(&port);
	CHECK(seq >= v->known->sent && seq <= v->known->sent + BATCH,
	      "%llu were sent, the successor goes on at %llu",
	      (unsigned long long)v->known->sent, (unsigned long long)seq);
	store(&v->known->sent, seq);
	for (;;) {
		r = send_batch(&port, v->way, msgs, seq);
		if (conf_dying())
			break;
		EXPECT(r, batch_of(v->way));
		seq += r;
		store(&v->known->sent, seq);
	}
	free(msgs);
	ringq_detach(&port);
}

static void sender_killed(uint64_t size)
{
	uint64_t rounds = conf_times(30), round, got, until, sent;
	struct victim v;
	struct ringq_port port;
	struct conf_peer *peer;
	struct ringq *ring;
	int r;

	for (round = 0; round < rounds; round++) {
		v.known = conf_shared(sizeof(*v.known));
		v.way = round % 3;
		ring = conf_ring(size, round % 2 ? 20 : 1000, 0);
		EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &port), 0);
		peer = conf_start(ring, send_until_killed, &v);
		/* One at least, or it may be killed before it has come. */
		until = 1 + conf_random(2000);
		for (got = 0; got < until; got += r)
			while ((r = conf_recv_seq(&port, got)) == -EAGAIN)
				;
		conf_sleep(conf_random(MS / 10));
		conf_kill(peer);
		while ((r = conf_recv_seq(&port, got)) != 0) {
			if (r == 1)
				got++;
			else
				EXPECT(r, -EAGAIN);
		}
		sent = load(&v.known->sent);
		CHECK(got >= sent && got <= sent + batch_of(v.way), "%llu sent, %llu received",
		      (unsigned long long)sent, (unsigned long long)got);
		EXPECT(conf_recv_seq(&port, got), 0);
		ringq_detach(&port);
		ringq_leave(ring);
	}
}

/* One sender is killed after the other; the receiver, who sleeps and wakes, sees one stream. */
static void senders_killed(uint64_t size)
{
	struct victim v = { .known = conf_shared(sizeof(*v.known)) };
	struct ringq *ring = conf_ring(size, 20, RINGQ_PRODUCER_WAIT);
	unsigned char *msg = malloc(size);
	uint64_t rounds = conf_times(30), round, got = 0, until;
	struct ringq_port port;
	struct conf_peer *peer;

	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &port), 0);
	for (round = 0; round < rounds; round++) {
		v.way = round % 3;
		peer = conf_start(ring, send_until_killed, &v);
		until = got + 1 + conf_random(500);
		for (; got < until; got++) {
			EXPECT(conf_recv(&port, msg, RINGQ_FOREVER), 1);
			conf_check(&port, msg, got);
		}
		conf_kill(peer);
		/* Nobody sends now, and yet it is not the end. */
		if (round % 4 == 0) {
			while (conf_recv(&port, msg, RINGQ_NOWAIT) == 1)
				conf_check(&port, msg, got++);
			EXPECT(conf_recv(&port, msg, MS), -ETIMEDOUT);
		}
	}
	free(msg);
	ringq_detach(&port);
	ringq_leave(ring);
}

/*
 * Receives until killed or until the end, and judges what its predecessor left: from where
 * it goes on, and what is flagged.
 */
static void recv_until_killed(struct ringq *ring, void *arg)
{
	const struct victim *v = arg;
	uint64_t released = load(&v->known->released), shown = load(&v->known->shown);
	/* Who has claimed a message may have read it, for all that can be known. */
	uint64_t seen = conf.discipline->has & CONF_CLAIMS && released > shown ? released : shown;
	uint64_t seq = 0, i;
	bool first = true;
	struct ringq_port port;
	unsigned char *msgs;
	int64_t r;

	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &port), 0);
	msgs = malloc(BATCH * port.elem_size);
	for (;;) {
		r = v->way == IN_PLACE ? ringq_peek(&port, BATCH, RINGQ_FOREVER) :
		    v->way == MANY ? conf_recv_many(&port, msgs, BATCH, RINGQ_FOREVER) :
				     conf_recv(&port, msgs, RINGQ_FOREVER);
		if (r <= 0)
			break;
		if (first)
			seq = conf_seq_of(v->way == IN_PLACE ? conf_msg(&port, 0) : msgs);
		CHECK(!first || (seq >= released && seq <= released + BATCH),
		      "%llu were received, the successor goes on at %llu",
		      (unsigned long long)released, (unsigned long long)seq);
		first = false;
		if (ringq_flags(&port) & RINGQ_REDELIVERED)
			CHECK(seq + r <= seen + BATCH, "%llu is flagged, and nobody was shown it",
			      (unsigned long long)(seq + r - 1));
		else
			CHECK(seq >= shown, "%llu was shown before, and is not flagged",
			      (unsigned long long)seq);
		for (i = 0; i < (uint64_t)r; i++)
			conf_check(&port, v->way == IN_PLACE ? conf_msg(&port, i) :
				   msgs + i * port.elem_size, seq + i);
		if (v->way == IN_PLACE) {
			if (seq + r > load(&v->known->shown))
				store(&v->known->shown, seq + r);
			EXPECT(ringq_release(&port, r), 0);
		}
		seq += r;
		store(&v->known->released, seq);
		if (conf_dying())
			break;
	}
	if (r == 0)
		v->known->done = true;
	else if (!conf_dying())
		EXPECT(r, 1);
	free(msgs);
	ringq_detach(&port);
}

static void receiver_killed(uint64_t size)
{
	uint64_t rounds = conf_times(30), round, seq, until;
	struct victim v;
	struct ringq_port port;
	unsigned char *msgs = malloc(BATCH * size);
	struct conf_peer *peer;
	struct ringq *ring;
	int64_t timeout, r;

	for (round = 0; round < rounds; round++) {
		v.known = conf_shared(sizeof(*v.known));
		v.way = round % 3;
		ring = conf_ring(size, round % 2 ? 20 : 1000, 0);
		EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &port), 0);
		peer = conf_start(ring, recv_until_killed, &v);
		until = 1 + conf_random(2000);
		for (seq = 0; seq < until || !load(&v.known->released); seq += r) {
			r = send_batch(&port, MANY, msgs, seq);
			EXPECT(r, BATCH);
		}
		conf_kill(peer);
		/* Both to those who try and to those who wait. */
		timeout = round % 2 ? RINGQ_FOREVER : RINGQ_NOWAIT;
		do {
			r = conf_send(&port, msgs, timeout);
			seq += r == 1;
		} while (r == 1 || r == -EAGAIN);
		EXPECT(r, conf_death_error());
		EXPECT(conf_send(&port, msgs, RINGQ_FOREVER), conf_death_error());
		EXPECT(conf_reserve(&port, 1, RINGQ_NOWAIT), conf_death_error());
		CHECK(load(&v.known->released) <= seq, "received more than was sent");
		ringq_detach(&port);
		ringq_leave(ring);
	}
	free(msgs);
}

struct feed {
	bool *stop;
	uint64_t *sent;
};

static void send_feed(struct ringq *ring, void *arg)
{
	const struct feed *feed = arg;
	unsigned char msgs[BATCH * 2000];
	struct ringq_port port;
	uint64_t seq;
	enum way way;

	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &port), 0);
	for (seq = 0; !__atomic_load_n(feed->stop, __ATOMIC_ACQUIRE); seq += batch_of(way)) {
		way = conf_random(2) ? MANY : IN_PLACE;
		EXPECT(send_batch(&port, way, msgs, seq), batch_of(way));
	}
	EXPECT(ringq_drain(&port, RINGQ_FOREVER), 0);
	*feed->sent = seq;
	ringq_detach(&port);
}

/* One receiver is killed after the other, and in the end there is one that stays. */
static void receivers_killed(uint64_t size)
{
	struct victim v = { .known = conf_shared(sizeof(*v.known)) };
	struct ringq *ring = conf_ring(size, 50, RINGQ_CONSUMER_WAIT);
	struct feed feed = {
		.stop = conf_shared(sizeof(*feed.stop)), .sent = conf_shared(sizeof(*feed.sent)),
	};
	uint64_t rounds = conf_times(40), round, until;
	struct conf_peer *sender, *peer;

	sender = conf_start(ring, send_feed, &feed);
	for (round = 0; round < rounds; round++) {
		v.way = conf_random(3);
		until = load(&v.known->released) + conf_random(500);
		peer = conf_start(ring, recv_until_killed, &v);
		while (load(&v.known->released) < until)
			;
		conf_sleep(conf_random(MS / 10));
		conf_kill(peer);
	}
	__atomic_store_n(feed.stop, true, __ATOMIC_RELEASE);
	v.way = IN_PLACE;
	peer = conf_start(ring, recv_until_killed, &v);
	conf_join(sender);
	conf_join(peer);
	CHECK(v.known->done, "the last receiver did not come to the end");
	EXPECT(v.known->released, *feed.sent);
	ringq_leave(ring);
}

/* Peeks, releases and receives as told, and stays. */
#define KEEP UINT64_MAX		/* does not release, not even 0 */

struct hand {
	uint64_t peek, release, recv;
};

static void hold(struct ringq *ring, void *arg)
{
	const struct hand *hand = arg;
	struct ringq_port port;
	uint64_t seq = 0;

	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &port), 0);
	if (hand->peek) {
		EXPECT(ringq_peek(&port, hand->peek, RINGQ_NOWAIT), hand->peek);
		seq = conf_seq_of(conf_msg(&port, 0));
	}
	if (hand->peek && hand->release != KEEP) {
		EXPECT(ringq_release(&port, hand->release), 0);
		seq += hand->release;
	}
	conf_recv_range(&port, seq, seq + hand->recv);
	conf_will_sleep();
	while (!conf_dying())
		conf_sleep(MS);
	ringq_detach(&port);
}

static void hold_and_die(struct ringq *ring, const struct hand *hand)
{
	struct conf_peer *peer = conf_start(ring, hold, (void *)hand);

	conf_await_sleep(peer);
	conf_kill(peer);
}

/* All of n, but where several consumers may want them: there any part. */
static bool one_by_one(void)
{
	return conf.discipline->has & CONF_CLAIMS && conf.discipline->has & CONF_CONSUMERS;
}

static bool takes_part(int64_t r, uint64_t n)
{
	return one_by_one() ? r > 0 && (uint64_t)r <= n : (uint64_t)r == n;
}

/* From next on n are flagged, those after them are not, and no batch has both. */
static void expect_flagged(struct ringq_port *in, uint64_t next, uint64_t n, bool in_place)
{
	unsigned char *msgs = malloc(20 * in->elem_size);
	uint64_t end = next + n;
	int64_t r;

	while (next < end) {
		r = in_place ? ringq_peek(in, 20, RINGQ_NOWAIT) :
			       conf_recv_many(in, msgs, 20, RINGQ_NOWAIT);
		CHECK(takes_part(r, end - next), "%lld come, and %llu should", (long long)r,
		      (unsigned long long)(end - next));
		EXPECT(ringq_flags(in), RINGQ_REDELIVERED);
		if (!in_place) {
			conf_check(in, msgs, next);
			next += r;
			continue;
		}
		conf_check_at(in, r - 1, next + r - 1);
		EXPECT(ringq_release(in, r - 1), 0);
		conf_recv_range(in, next + r - 1, next + r);
		EXPECT(ringq_flags(in), RINGQ_REDELIVERED);
		next += r;
	}
	free(msgs);
	if (next == SENT)
		return;
	EXPECT(ringq_peek(in, 20, RINGQ_NOWAIT), SENT - next);
	EXPECT(ringq_flags(in), 0);
	conf_check_at(in, 0, next);
}

/* Exactly what was peeked and not delivered is flagged. */
static void redelivery(uint64_t size)
{
	static const struct {
		struct hand hand;
		uint64_t next, flagged;
	} tries[] = {
		{ { 0, 0, 4 }, 4, 0 },		/* received is delivered */
		{ { 5, 5, 0 }, 5, 0 },		/* released is delivered */
		{ { 5, KEEP, 0 }, 0, 5 },
		{ { SENT, KEEP, 0 }, 0, SENT },
		{ { 5, 2, 0 }, 2, 3 },		/* given back, but it was seen */
		{ { 5, 2, 1 }, 3, 2 },
		{ { 5, 2, 7 }, 9, 0 },
	};
	const struct hand look = { one_by_one() ? 1 : 2, KEEP, 0 };
	struct ringq_port out, in;
	struct ringq *ring;
	unsigned int t, way;
	uint64_t flagged;

	for (t = 0; t < 3 * COUNT(tries); t++) {
		way = t % 3;
		flagged = tries[t / 3].flagged;
		ring = conf_ring(size, 20, ALL_WAIT);
		EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
		conf_send_range(&out, 0, SENT);
		hold_and_die(ring, &tries[t / 3].hand);
		/* In the hands of a second one, who also dies. */
		if (way == 2) {
			hold_and_die(ring, &look);
			if (flagged < look.peek)
				flagged = look.peek;
		}
		EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
		conf_expect_number(&in, tries[t / 3].next);
		expect_flagged(&in, tries[t / 3].next, flagged, way == 0);
		ringq_detach(&in);
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

/* Somebody has died, and we are told; or has left, where there are no processes. */
static void expect_dropped(struct ringq_port *witness, uint64_t n)
{
	struct ringq_death d;
	int r;

	if (!conf.processes) {
		EXPECT(ringq_next_death(witness, &d), 0);
		return;
	}
	while ((r = ringq_next_death(witness, &d)) == 0)
		conf_sleep(MS / 10);
	EXPECT(r, 1);
	EXPECT(d.role, RINGQ_CONSUMER);
	EXPECT(d.redelivered, 0);
	/* Of records, bytes. */
	if (conf.discipline->has & CONF_ELEMENTS)
		EXPECT(d.dropped, n);
	else
		EXPECT(!d.dropped, !n);
}

/* What was peeked and not delivered is dropped, and is room, before there is a successor. */
static void dropping(uint64_t size)
{
	static const struct {
		struct hand hand;
		uint64_t next, dropped;
	} tries[] = {
		{ { 0, 0, 4 }, 4, 0 },
		{ { 5, 5, 0 }, 5, 0 },
		{ { 5, KEEP, 0 }, 0, 5 },
		{ { SENT, KEEP, 0 }, 0, SENT },
		{ { 5, 2, 0 }, 2, 3 },
		{ { 5, 2, 1 }, 3, 2 },
	};
	struct ringq_port out, in;
	struct ringq *ring;
	uint64_t next, flagged;
	unsigned int t;

	for (t = 0; t < COUNT(tries); t++) {
		/* A lane that was let go is in nobody's hand. */
		if (tries[t].hand.release != KEEP && tries[t].dropped &&
		    !(conf.discipline->has & CONF_ORDER))
			continue;
		ring = conf_ring(size, 20, ALL_WAIT | RINGQ_DROP);
		EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
		conf_send_range(&out, 0, SENT);
		hold_and_die(ring, &tries[t].hand);
		expect_dropped(&out, tries[t].dropped);
		/* Who leaves drops nothing. */
		next = tries[t].next + (conf.processes ? tries[t].dropped : 0);
		flagged = conf.processes ? 0 : tries[t].dropped;
		EXPECT(ringq_is_empty(&out), next == SENT);
		EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
		conf_expect_number(&in, next);
		expect_flagged(&in, next, flagged, false);
		ringq_detach(&in);
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

/* What a loop's thread has told. */
struct told {
	uint64_t deaths;
	struct ringq_death last;
};

static int count_messages(void *arg, const void *msg, size_t size, uint32_t flags)
{
	(void)arg;
	(void)msg;
	(void)size;
	(void)flags;
	return 0;
}

static int count_deaths(void *arg, const struct ringq_death *death)
{
	struct told *told = arg;

	told->last = *death;
	store(&told->deaths, told->deaths + 1);
	return 0;
}

static void be_there(struct ringq *ring, void *arg)
{
	struct ringq_port port;

	(void)arg;
	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &port), 0);
	conf_will_sleep();
	while (!conf_dying())
		conf_sleep(MS);
	ringq_detach(&port);
}

/* A loop that sleeps is woken to tell who has died, and sleeps again. */
static void loop_told(uint64_t size)
{
	struct ringq *ring = conf_ring(size, 20, RINGQ_PRODUCER_WAIT);
	uint64_t rounds = conf_times(5), round;
	struct told told = { 0 };
	const struct ringq_loop_opts opts = {
		.size = sizeof(opts), .handler = count_messages, .arg = &told,
		.on_death = count_deaths,
	};
	struct conf_peer *peer;
	struct ringq_loop *loop;
	struct ringq_port in;

	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	EXPECT(ringq_loop_start(&in, &opts, &loop), 0);
	for (round = 1; round <= rounds; round++) {
		peer = conf_start(ring, be_there, NULL);
		conf_await_sleep(peer);
		conf_kill(peer);
		while (conf.processes && load(&told.deaths) < round)
			conf_sleep(MS / 10);
		CHECK(load(&told.deaths) == (conf.processes ? round : 0), "%llu were told",
		      (unsigned long long)told.deaths);
		if (conf.processes)
			EXPECT(told.last.serial, round);
	}
	EXPECT(ringq_loop_drain(loop), 0);
	EXPECT(ringq_loop_join(loop, NULL, RINGQ_FOREVER), RINGQ_LOOP_DRAINED);
	ringq_detach(&in);
	ringq_leave(ring);
}

/* Has a child that outlives it, until the case ends. */
static void leave_a_child(struct ringq *ring, void *arg)
{
	struct ringq_port port;

	(void)arg;
	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &port), 0);
	conf_send_range(&port, 0, 3);
	if (conf.processes && fork() == 0)
		for (;;)
			pause();
	conf_will_sleep();
	while (!conf_dying())
		conf_sleep(MS);
	ringq_detach(&port);
}

/* A child that the dead one had forked keeps nothing of it alive. */
static void child_outlives(uint64_t size)
{
	struct ringq *ring = conf_ring(size, 20, 0);
	struct ringq_port port;
	struct conf_peer *peer;

	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &port), 0);
	peer = conf_start(ring, leave_a_child, NULL);
	conf_await_sleep(peer);
	conf_kill(peer);
	conf_recv_range(&port, 0, 3);
	EXPECT(conf_recv(&port, (unsigned char[2000]){ 0 }, RINGQ_FOREVER), 0);
	ringq_detach(&port);
	ringq_leave(ring);
}

/* All that is there, which begins between two numbers; returns the one after the last. */
static uint64_t drain_from(struct ringq_port *in, uint64_t least, uint64_t most)
{
	unsigned char msg[in->elem_size];
	uint64_t next = 0;

	while (conf_recv(in, msg, RINGQ_NOWAIT) == 1) {
		if (!next) {
			next = conf_seq_of(msg);
			CHECK(next >= least && next <= most, "it goes on at %llu, not at %llu",
			      (unsigned long long)next, (unsigned long long)least);
		}
		conf_check(in, msg, next++);
	}
	return next ? next : least;
}

/* Both sides die, again and again; what is left is a ring that works. */
static void both_killed(uint64_t size)
{
	struct victim v = { .known = conf_shared(sizeof(*v.known)) };
	struct ringq *ring = conf_ring(size, 50, ALL_WAIT);
	uint64_t rounds = conf_times(30), round, until, next;
	struct conf_peer *sender, *receiver;
	struct ringq_port out, in;

	for (round = 0; round < rounds; round++) {
		v.way = round % 3;
		sender = conf_start(ring, send_until_killed, &v);
		receiver = conf_start(ring, recv_until_killed, &v);
		until = load(&v.known->released) + conf_random(2000);
		while (load(&v.known->released) < until)
			;
		conf_kill(round % 2 ? sender : receiver);
		conf_sleep(conf_random(MS / 10));
		conf_kill(round % 2 ? receiver : sender);
	}
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	next = drain_from(&in, load(&v.known->released), load(&v.known->released) + BATCH);
	CHECK(next <= conf_number(&out) && next + BATCH >= conf_number(&out),
	      "%llu were sent, and %llu received", (unsigned long long)conf_number(&out),
	      (unsigned long long)next);
	EXPECT(conf_recv_seq(&in, 0), -EAGAIN);
	conf_recv_range(&in, 0, conf_fill_up(&out, 0));
	EXPECT(conf_recv_seq(&in, 0), -EAGAIN);
	ringq_detach(&in);
	ringq_detach(&out);
	ringq_leave(ring);
}

#define SIZES(name, body, needs)		\
	{ name "-8", body, 8, needs },		\
	{ name "-1264", body, 1264, needs },

const struct conf_case conf_death[] = {
	SIZES("sender-killed", sender_killed, 0)
	SIZES("senders-killed", senders_killed, 0)
	SIZES("receiver-killed", receiver_killed, CONF_KEEPS)
	SIZES("receivers-killed", receivers_killed, CONF_KEEPS)
	SIZES("redelivery", redelivery, CONF_KEEPS)
	SIZES("dropping", dropping, CONF_KEEPS)
	{ "loop-told-8", loop_told, 8, 0 },
	SIZES("child-outlives", child_outlives, 0)
	SIZES("both-killed", both_killed, CONF_KEEPS)
	{ 0 }
};
