// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * How a stream ends, and who goes on: closing from either side, leaving with and without a
 * successor, end-of-file after the last message and never before, and what a successor
 * finds. (Ends that come while somebody sleeps: blocked.c. Ends by death: death.c.)
 */
#include "conformance.h"

#define ALL_WAIT (RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT)

static void open_pair(size_t size, uint32_t flags, struct ringq **ring, struct ringq_port *out,
		      struct ringq_port *in)
{
	*ring = conf_ring(size, 20, flags);
	EXPECT(ringq_attach(*ring, RINGQ_PRODUCER, out), 0);
	EXPECT(ringq_attach(*ring, RINGQ_CONSUMER, in), 0);
}

/* Every call of a side whose stream has ended says so, again and again. */
static void expect_end(struct ringq_port *in)
{
	unsigned char msgs[2 * in->elem_size];
	int64_t timeout;

	for (timeout = RINGQ_FOREVER; timeout <= 1; timeout++) {
		EXPECT(conf_recv(in, msgs, timeout), 0);
		EXPECT(conf_recv_many(in, msgs, 2, timeout), 0);
		EXPECT(ringq_peek(in, 2, timeout), 0);
	}
}

static void expect_broken(struct ringq_port *out, int error)
{
	unsigned char msgs[2 * out->elem_size];
	int64_t timeout;

	conf_fill(msgs, sizeof(msgs), 0);
	for (timeout = RINGQ_FOREVER; timeout <= 1; timeout++) {
		EXPECT(conf_send(out, msgs, timeout), error);
		EXPECT(conf_send_many(out, msgs, 2, timeout), error);
		EXPECT(conf_reserve(out, 1, timeout), error);
	}
}

static void sender_closes(uint64_t size)
{
	struct ringq_port out, in;
	struct ringq *ring;

	open_pair(size, ALL_WAIT, &ring, &out, &in);
	conf_send_range(&out, 0, 5);
	EXPECT(ringq_close(&out), 0);
	expect_broken(&out, -EPIPE);
	EXPECT(ringq_close(&out), 0);
	conf_recv_range(&in, 0, 5);
	expect_end(&in);
	ringq_detach(&out);
	expect_end(&in);
	ringq_detach(&in);
	/* There is no way back for senders; a receiver may look. */
	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), -EPIPE);
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	expect_end(&in);
	ringq_detach(&in);
	ringq_leave(ring);
}

static void receiver_closes(uint64_t size)
{
	struct ringq_port out, in;
	struct ringq *ring;

	open_pair(size, ALL_WAIT, &ring, &out, &in);
	conf_send_range(&out, 0, 5);
	EXPECT(ringq_close(&in), 0);
	expect_broken(&out, -EPIPE);
	conf_recv_range(&in, 0, 5);
	expect_end(&in);
	ringq_detach(&out);
	ringq_detach(&in);
	ringq_leave(ring);
}

/* A reservation made before the close is no reason to lose what lies before it. */
static void closes_with_hands_full(uint64_t size)
{
	struct ringq_port out, in;
	struct ringq *ring;

	open_pair(size, 0, &ring, &out, &in);
	conf_send_range(&out, 0, 5);
	EXPECT(conf_reserve(&out, conf_at_once(3), RINGQ_NOWAIT), 0);
	EXPECT(ringq_peek(&in, 2, RINGQ_NOWAIT), 2);
	EXPECT(ringq_close(&in), 0);
	ringq_detach(&out);
	conf_check_at(&in, 1, 1);
	EXPECT(ringq_release(&in, 2), 0);
	conf_recv_range(&in, 2, 5);
	expect_end(&in);
	ringq_detach(&in);
	ringq_leave(ring);
}

static void sender_leaves(uint64_t size)
{
	struct ringq_port out, in;
	struct ringq *ring;

	open_pair(size, 0, &ring, &out, &in);
	conf_send_range(&out, 0, 5);
	EXPECT(conf_reserve(&out, conf_at_once(2), RINGQ_NOWAIT), 0);
	ringq_detach(&out);
	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), -EPIPE);
	conf_recv_range(&in, 0, 5);
	expect_end(&in);
	ringq_detach(&in);
	ringq_leave(ring);
}

static void receiver_leaves(uint64_t size)
{
	struct ringq_port out, in;
	struct ringq *ring;

	open_pair(size, 0, &ring, &out, &in);
	conf_send_range(&out, 0, 5);
	ringq_detach(&in);
	expect_broken(&out, -EPIPE);
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), -EPIPE);
	ringq_detach(&out);
	ringq_leave(ring);
}

/* One side may come, and even go, before the other has come. */
static void one_after_the_other(uint64_t size)
{
	struct ringq_port out, in;
	struct ringq *ring = conf_ring(size, 20, 0);

	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	conf_send_range(&out, 0, 5);
	ringq_detach(&out);
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	conf_recv_range(&in, 0, 5);
	expect_end(&in);
	ringq_detach(&in);
	ringq_leave(ring);
}

/* Successors of senders, who leave in all states, go on exactly there. */
static void senders_in_turn(uint64_t size)
{
	struct ringq *ring = conf_ring(size, 20, RINGQ_PRODUCER_WAIT);
	uint64_t n = conf_times(50), i, seq = 0, read = 0;
	struct ringq_port out, in;

	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	for (i = 0; i < n; i++) {
		EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
		conf_expect_number(&out, seq);
		if (i % 4 == 0)
			seq += conf_fill_up(&out, seq);
		else if (i % 4 == 1)
			EXPECT(conf_reserve(&out, conf_at_once(2), RINGQ_NOWAIT), 0);
		else
			conf_send_range(&out, seq, seq + 5);
		if (i % 4 >= 2)
			seq += 5;
		ringq_detach(&out);
		if (i % 4 == 3)
			continue;
		conf_recv_range(&in, read, seq);
		read = seq;
		EXPECT(conf_recv_seq(&in, read), -EAGAIN);
	}
	ringq_detach(&in);
	/* The receiver has left for good. */
	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	expect_broken(&out, -EPIPE);
	ringq_detach(&out);
	ringq_leave(ring);
}

static void receivers_in_turn(uint64_t size)
{
	struct ringq *ring = conf_ring(size, 20, RINGQ_CONSUMER_WAIT);
	uint64_t n = conf_times(50), i, seq = 0, read = 0;
	struct ringq_port out, in;

	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	for (i = 0; i < n; i++) {
		seq += conf_fill_up(&out, seq);
		if (conf.discipline->has & CONF_ELEMENTS)
			EXPECT(seq - read, conf_capacity(ring));
		EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
		conf_expect_number(&in, read);
		conf_recv_range(&in, read, read + i % 9);
		EXPECT(ringq_flags(&in), 0);
		read += i % 9;
		ringq_detach(&in);
	}
	ringq_detach(&out);
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	conf_recv_range(&in, read, seq);
	expect_end(&in);
	ringq_detach(&in);
	ringq_leave(ring);
}

/* What was peeked and not released goes to the successor. */
static void leaves_with_hands_full(uint64_t size)
{
	struct ringq_port out, in;
	struct ringq *ring;

	open_pair(size, ALL_WAIT, &ring, &out, &in);
	conf_send_range(&out, 0, 10);
	EXPECT(ringq_peek(&in, 5, RINGQ_NOWAIT), 5);
	EXPECT(ringq_release(&in, 2), 0);
	ringq_detach(&in);
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	conf_expect_number(&in, 2);
	conf_recv_range(&in, 2, 5);
	EXPECT(ringq_flags(&in), RINGQ_REDELIVERED);
	conf_recv_range(&in, 5, 10);
	EXPECT(ringq_flags(&in), 0);
	EXPECT(conf_recv_seq(&in, 10), -EAGAIN);
	ringq_detach(&in);

	/* What was reserved and not committed has never been. */
	EXPECT(conf_reserve(&out, conf_at_once(10), RINGQ_NOWAIT), 0);
	EXPECT(conf_commit(&out, 0), 0);
	EXPECT(conf_reserve(&out, conf_at_once(5), RINGQ_NOWAIT), 0);
	ringq_detach(&out);
	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	conf_expect_number(&out, 10);
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	conf_recv_range(&in, 10, 10 + conf_fill_up(&out, 10));
	ringq_detach(&in);
	ringq_detach(&out);
	ringq_leave(ring);
}

struct race {
	uint64_t *sent;
};

static void send_until_closed(struct ringq *ring, void *arg)
{
	const struct race *race = arg;
	struct ringq_port port;
	uint64_t i;
	int r;

	*race->sent = 0;
	r = ringq_attach(ring, RINGQ_PRODUCER, &port);
	/* It may be over before it has begun. */
	if (r == -EPIPE)
		return;
	EXPECT(r, 0);
	for (i = 0; (r = conf_send(&port, &i, RINGQ_FOREVER)) == 1; i++)
		;
	EXPECT(r, -EPIPE);
	*race->sent = i;
	ringq_detach(&port);
}

/* A receiver that closes in mid-stream: whoever sends ends, and the rest is in order. */
static void close_in_mid_stream(uint64_t capacity)
{
	struct race race = { .sent = conf_shared(sizeof(*race.sent)) };
	uint64_t rounds = conf_times(50), round, i, n, got = 0;
	struct ringq_port port;
	struct conf_peer *peer;
	struct ringq *ring;
	int r;

	for (round = 0; round < rounds; round++) {
		ring = conf_ring(sizeof(uint64_t), capacity, 0);
		EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &port), 0);
		peer = conf_start(ring, send_until_closed, &race);
		n = conf_random(3000);
		for (i = 0; i < n; i++) {
			EXPECT(conf_recv(&port, &got, RINGQ_FOREVER), 1);
			EXPECT(got, i);
		}
		EXPECT(ringq_close(&port), 0);
		conf_join(peer);
		while ((r = conf_recv(&port, &got, RINGQ_FOREVER)) == 1)
			EXPECT(got, i++);
		EXPECT(r, 0);
		EXPECT(i, *race.sent);
		ringq_detach(&port);
		ringq_leave(ring);
	}
}

struct listener {
	int64_t timeout;
	uint64_t *got;
	struct conf_gate *gate;
};

static void listen_to_the_end(struct ringq *ring, void *arg)
{
	const struct listener *l = arg;
	struct ringq_port port;
	uint64_t got = 0, msg;
	int r;

	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &port), 0);
	conf_meet(l->gate, 2);
	conf_will_sleep();
	while ((r = conf_recv(&port, &msg, l->timeout)) != 0) {
		if (r == -EAGAIN)
			continue;
		EXPECT(r, 1);
		EXPECT(msg, got++);
	}
	*l->got = got;
	ringq_detach(&port);
}

/*
 * The last messages and the end come together, to one who sleeps, or is about to, or looks
 * all the time: the messages come first.
 */
static void last_words(uint64_t arg)
{
	struct listener l = { .got = conf_shared(sizeof(*l.got)), .gate = conf_gate() };
	uint64_t rounds = conf_times(200), round, n, i;
	struct ringq_port port;
	struct conf_peer *peer;
	struct ringq *ring;

	(void)arg;
	for (round = 0; round < rounds; round++) {
		ring = conf_ring(sizeof(uint64_t), 20, 0);
		EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &port), 0);
		l.timeout = round % 3 ? RINGQ_FOREVER : RINGQ_NOWAIT;
		peer = conf_start(ring, listen_to_the_end, &l);
		conf_meet(l.gate, 2);
		if (round % 3 == 1)
			conf_await_sleep(peer);
		else
			conf_sleep(conf_random(2 * MS));
		n = 1 + conf_random(9);
		for (i = 0; i < n; i++)
			EXPECT(conf_send(&port, &i, RINGQ_NOWAIT), 1);
		if (round % 2)
			EXPECT(ringq_close(&port), 0);
		ringq_detach(&port);
		conf_join(peer);
		EXPECT(*l.got, n);
		ringq_leave(ring);
	}
}

#define SIZES(name, body, needs)		\
	{ name "-8", body, 8, needs },		\
	{ name "-100", body, 100, needs },

const struct conf_case conf_ends[] = {
	SIZES("sender-closes", sender_closes, 0)
	SIZES("receiver-closes", receiver_closes, 0)
	SIZES("closes-with-hands-full", closes_with_hands_full, 0)
	SIZES("sender-leaves", sender_leaves, 0)
	SIZES("receiver-leaves", receiver_leaves, CONF_KEEPS)
	SIZES("one-after-the-other", one_after_the_other, CONF_KEEPS)
	SIZES("senders-in-turn", senders_in_turn, CONF_KEEPS)
	SIZES("receivers-in-turn", receivers_in_turn, CONF_KEEPS)
	SIZES("leaves-with-hands-full", leaves_with_hands_full, CONF_KEEPS)
	{ "last-words", last_words, 0, 0 },
	{ "close-in-mid-stream-1", close_in_mid_stream, 1, 0 },
	{ "close-in-mid-stream-1000", close_in_mid_stream, 1000, 0 },
	{ 0 }
};
