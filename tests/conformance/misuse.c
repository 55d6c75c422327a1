// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Calls that make no sense get the documented error, change nothing, and leave the ring
 * working: two for one place, the wrong role, a second hold, after the end, by a child that
 * inherited what is not its own. (Options and foreign memory are the unit tests' part.)
 */
#include "conformance.h"

/* One place a side, in any discipline. */
static struct ringq *narrow_ring(size_t size, uint32_t flags)
{
	return conf_create((struct ringq_opts){
		.elem_size = size, .capacity = 20, .flags = flags, .producers = 1, .consumers = 1,
	});
}

static void attach_wrong(uint64_t size)
{
	struct ringq *ring = narrow_ring(size, RINGQ_PRODUCER_WAIT);
	struct ringq_port port, second;
	unsigned char room[sizeof(port) + RINGQ_LINE] __attribute__((aligned(RINGQ_LINE)));

	EXPECT(ringq_attach(ring, (enum ringq_role)2, &port), -EINVAL);
	EXPECT(ringq_attach(ring, (enum ringq_role)-1, &port), -EINVAL);
	/* The type is aligned; memory that a caller hands in may not be. */
	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, (void *)(room + 8)), -EINVAL);
	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &port), 0);
	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &second), -EBUSY);
	EXPECT(ringq_send(&second, room, RINGQ_FOREVER), -ESTALE);
	conf_send_range(&port, 0, 1);
	ringq_detach(&port);
	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &second), 0);
	ringq_detach(&second);
	ringq_leave(ring);
	ringq_leave(NULL);
}

static void attach_too(struct ringq *ring, void *arg)
{
	enum ringq_role *role = arg;
	struct ringq_port port;

	EXPECT(ringq_attach(ring, *role, &port), -EBUSY);
}

static void two_for_one_place(uint64_t size)
{
	struct ringq *ring = narrow_ring(size, 0);
	enum ringq_role role;
	struct ringq_port port[2];

	for (role = RINGQ_PRODUCER; role <= RINGQ_CONSUMER; role++) {
		EXPECT(ringq_attach(ring, role, &port[role]), 0);
		conf_join(conf_start(ring, attach_too, &role));
		conf_join(conf_start_thread(ring, attach_too, &role));
	}
	conf_send_range(&port[RINGQ_PRODUCER], 0, 5);
	conf_recv_range(&port[RINGQ_CONSUMER], 0, 5);
	ringq_detach(&port[RINGQ_PRODUCER]);
	ringq_detach(&port[RINGQ_CONSUMER]);
	ringq_leave(ring);
}

static void typed_wrong(uint64_t size)
{
	struct ringq *ring = conf_ring(size, 20, 0);
	struct conf_ops ops = conf_ops(size == 8 ? 16 : 8, true);
	struct ringq_port port;

	EXPECT(ops.attach(ring, RINGQ_PRODUCER, &port), -EPROTOTYPE);
	EXPECT(ops.attach(ring, RINGQ_CONSUMER, &port), -EPROTOTYPE);
	EXPECT(ringq_check(ring, conf.discipline->id, size), 0);
	EXPECT(ringq_check(ring, conf.discipline->id, size + 1), -EPROTOTYPE);
	EXPECT(ringq_check(ring, (enum ringq_discipline)0, size), -EPROTOTYPE);
	ringq_leave(ring);
}

/* All calls of one side, none of which may do anything. */
static void expect_sender(struct ringq_port *port, int error)
{
	unsigned char msg[2 * 1264] = { 0 };
	int64_t timeout;

	for (timeout = RINGQ_FOREVER; timeout <= 1; timeout++) {
		EXPECT(ringq_send(port, msg, timeout), error);
		EXPECT(ringq_send_many(port, msg, 2, timeout), error);
		EXPECT(ringq_reserve(port, 1, timeout), error);
	}
}

static void expect_receiver(struct ringq_port *port, int error)
{
	unsigned char msg[2 * 1264];
	int64_t timeout;

	for (timeout = RINGQ_FOREVER; timeout <= 1; timeout++) {
		EXPECT(ringq_recv(port, msg, timeout), error);
		EXPECT(ringq_recv_many(port, msg, 2, timeout), error);
		EXPECT(ringq_peek(port, 1, timeout), error);
	}
}

static void wrong_role(uint64_t size)
{
	struct ringq *ring = conf_ring(size, 20, 0);
	struct ringq_port out, in;
	uint64_t step, capacity = conf_capacity(ring);

	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	/* With nothing known, with room and messages known, and full. */
	for (step = 0; step <= capacity; step++) {
		expect_receiver(&out, -EOPNOTSUPP);
		EXPECT(ringq_release(&out, 1), -EOPNOTSUPP);
		expect_sender(&in, -EOPNOTSUPP);
		EXPECT(ringq_commit(&in, 1), -EOPNOTSUPP);
		EXPECT(ringq_drain(&in, RINGQ_NOWAIT), -EOPNOTSUPP);
		if (step < capacity)
			conf_send_range(&out, step, step + 1);
		/* From now on it knows of a line of messages. */
		if (step == 10)
			conf_recv_range(&in, 0, 1);
	}
	/* With something in hand: what is the other side's business stays as it is. */
	EXPECT(ringq_peek(&in, 5, RINGQ_NOWAIT), 5);
	EXPECT(ringq_commit(&in, 1), -EOPNOTSUPP);
	expect_sender(&in, -EOPNOTSUPP);
	EXPECT(ringq_release(&in, 5), 0);
	EXPECT(ringq_reserve(&out, 3, RINGQ_NOWAIT), 0);
	EXPECT(ringq_release(&out, 1), -EOPNOTSUPP);
	expect_receiver(&out, -EOPNOTSUPP);
	ringq_abort(&out);
	conf_recv_range(&in, 6, capacity);
	EXPECT(conf_recv_seq(&in, capacity), -EAGAIN);
	ringq_detach(&out);
	ringq_detach(&in);
	ringq_leave(ring);
}

static void second_hold(uint64_t size)
{
	struct ringq *ring = conf_ring(size, 20, 0);
	struct ringq_port out, in;

	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	EXPECT(ringq_commit(&out, 1), -EINVAL);
	EXPECT(ringq_release(&in, 1), -EINVAL);
	conf_send_range(&out, 0, 3);
	EXPECT(ringq_reserve(&out, 2, RINGQ_FOREVER), 0);
	expect_sender(&out, -EBUSY);
	conf_fill(ringq_at(&out, 0), size, 3);
	EXPECT(ringq_commit(&out, UINT64_MAX), -EINVAL);
	EXPECT(ringq_commit(&out, 1), 0);
	EXPECT(ringq_peek(&in, 2, RINGQ_FOREVER), 2);
	expect_receiver(&in, -EBUSY);
	EXPECT(ringq_release(&in, UINT64_MAX), -EINVAL);
	EXPECT(ringq_release(&in, 2), 0);
	conf_recv_range(&in, 2, 4);
	EXPECT(conf_recv_seq(&in, 4), -EAGAIN);

	/* None of nothing is nothing. */
	conf_send_range(&out, 4, 4 + conf_capacity(ring));
	EXPECT(ringq_commit(&out, 0), 0);
	ringq_abort(&out);
	EXPECT(conf_send_seq(&out, 0), -EAGAIN);
	conf_recv_range(&in, 4, 4 + conf_capacity(ring));
	EXPECT(ringq_release(&in, 0), 0);
	EXPECT(conf_recv_seq(&in, 0), -EAGAIN);
	ringq_detach(&out);
	ringq_detach(&in);
	ringq_leave(ring);
}

static void wrong_count(uint64_t size)
{
	struct ringq *ring = conf_ring(size, 20, 0);
	unsigned char msg[2 * 1264] = { 0 };
	struct ringq_port out, in;
	int64_t timeout;

	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	conf_send_range(&out, 0, 5);
	for (timeout = RINGQ_FOREVER; timeout <= 1; timeout++) {
		EXPECT(ringq_send_many(&out, msg, 0, timeout), -EINVAL);
		EXPECT(ringq_recv_many(&in, msg, 0, timeout), -EINVAL);
		EXPECT(ringq_reserve(&out, 0, timeout), -EINVAL);
		EXPECT(ringq_reserve(&out, conf_capacity(ring) + 1, timeout), -EINVAL);
		EXPECT(ringq_reserve(&out, UINT64_MAX, timeout), -EINVAL);
		EXPECT(ringq_peek(&in, 0, timeout), -EINVAL);
	}
	EXPECT(ringq_peek(&in, UINT64_MAX, RINGQ_NOWAIT), 5);
	EXPECT(ringq_release(&in, 5), 0);
	ringq_detach(&out);
	ringq_detach(&in);
	ringq_leave(ring);
}

/* Untyped and typed; twice detached is detached. */
static void after_detach(uint64_t size)
{
	struct conf_ops typed = conf_ops(size, true);
	struct ringq *ring = conf_ring(size, 20, RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT);
	unsigned char msg[2 * 1264] = { 0 };
	struct ringq_port port[2];
	enum ringq_role role;

	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &port[RINGQ_CONSUMER]), 0);
	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &port[RINGQ_PRODUCER]), 0);
	conf_send_range(&port[RINGQ_PRODUCER], 0, 5);
	conf_recv_range(&port[RINGQ_CONSUMER], 0, 2);
	for (role = RINGQ_PRODUCER; role <= RINGQ_CONSUMER; role++) {
		ringq_detach(&port[role]);
		ringq_detach(&port[role]);
		expect_sender(&port[role], -ESTALE);
		expect_receiver(&port[role], -ESTALE);
		EXPECT(ringq_commit(&port[role], 1), -ESTALE);
		EXPECT(ringq_release(&port[role], 1), -ESTALE);
		EXPECT(ringq_drain(&port[role], RINGQ_FOREVER), -ESTALE);
		EXPECT(ringq_close(&port[role]), -ESTALE);
		EXPECT(ringq_port_fd(&port[role]), -ESTALE);
		EXPECT(ringq_flags(&port[role]), 0);
		ringq_abort(&port[role]);
	}
	EXPECT(typed.send(&port[RINGQ_PRODUCER], msg, RINGQ_FOREVER), -ESTALE);
	EXPECT(typed.send_many(&port[RINGQ_PRODUCER], msg, 2, RINGQ_FOREVER), -ESTALE);
	EXPECT(typed.reserve(&port[RINGQ_PRODUCER], 1, RINGQ_FOREVER), -ESTALE);
	EXPECT(typed.recv(&port[RINGQ_CONSUMER], msg, RINGQ_FOREVER), -ESTALE);
	EXPECT(typed.recv_many(&port[RINGQ_CONSUMER], msg, 2, RINGQ_FOREVER), -ESTALE);
	EXPECT(typed.peek(&port[RINGQ_CONSUMER], 1, RINGQ_FOREVER), -ESTALE);

	/* The ring is as it was. */
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &port[0]), 0);
	if (conf.discipline->has & CONF_KEEPS)
		conf_recv_range(&port[0], 2, 5);
	EXPECT(conf_recv_seq(&port[0], 5), -EAGAIN);
	ringq_detach(&port[0]);
	ringq_leave(ring);
}

struct inherited {
	struct ringq *ring;
	struct ringq_port *out, *in;
};

/* A child that cleans up what it did not make, as destructors would. */
static void clean_up(struct ringq *none, void *arg)
{
	const struct inherited *i = arg;

	(void)none;
	ringq_detach(i->out);
	ringq_detach(i->in);
	ringq_leave(i->ring);
}

static void child_cleans_up(uint64_t size)
{
	struct ringq_port out, in;
	struct ringq *ring = conf_ring(size, 20, 0);
	struct inherited i = { ring, &out, &in };

	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	conf_send_range(&out, 0, 5);
	conf_join(conf_fork(clean_up, &i));
	conf_recv_range(&in, 0, 5);
	conf_send_range(&out, 5, 5 + conf_capacity(ring));
	EXPECT(conf_send_seq(&out, 0), -EAGAIN);
	conf_recv_range(&in, 5, 5 + conf_capacity(ring));
	EXPECT(conf_recv_seq(&in, 0), -EAGAIN);
	ringq_detach(&out);
	EXPECT(conf_recv_seq(&in, 0), 0);
	ringq_detach(&in);
	ringq_leave(ring);
}

#define SIZES(name, body)		\
	{ name "-8", body, 8, 0 },		\
	{ name "-1264", body, 1264, 0 },

const struct conf_case conf_misuse[] = {
	{ "attach-wrong", attach_wrong, 8, 0 },
	{ "two-for-one-place", two_for_one_place, 8, 0 },
	SIZES("typed-wrong", typed_wrong)
	SIZES("wrong-role", wrong_role)
	SIZES("second-hold", second_hold)
	SIZES("wrong-count", wrong_count)
	SIZES("after-detach", after_detach)
	SIZES("child-cleans-up", child_cleans_up)
	{ 0 }
};
