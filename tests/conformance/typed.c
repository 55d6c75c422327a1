// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Every operation, by a typed ring of each discipline and size. (calls.c has those that have
 * no type.)
 */
#include "conformance.h"

#define ELEMENT(n)									\
struct elem##n {									\
	unsigned char bytes[n];								\
};

CONF_SIZES(ELEMENT)

/* A typed port is its port and nothing else. */
#define TYPED_ONE(n, d)									\
RINGQ_TYPED(d##n, struct elem##n, d);							\
static int as_##d##n##_attach(struct ringq *ring, enum ringq_role role,		\
			      struct ringq_port *p)					\
{											\
	return role == RINGQ_PRODUCER ?							\
		       d##n##_attach_producer(ring, (struct d##n##_producer *)p) :	\
		       d##n##_attach_consumer(ring, (struct d##n##_consumer *)p);	\
}											\
static int as_##d##n##_send(struct ringq_port *p, const void *msg, int64_t timeout)	\
{											\
	return d##n##_send((struct d##n##_producer *)p, msg, timeout);			\
}											\
static int as_##d##n##_reserve(struct ringq_port *p, uint64_t count, int64_t timeout)	\
{											\
	return d##n##_reserve((struct d##n##_producer *)p, count, timeout);		\
}											\
static void *as_##d##n##_room(const struct ringq_port *p, uint64_t i)			\
{											\
	return d##n##_room((const struct d##n##_producer *)p, i);			\
}											\
static int as_##d##n##_commit(struct ringq_port *p, uint64_t count)			\
{											\
	return d##n##_commit((struct d##n##_producer *)p, count);			\
}											\
static int as_##d##n##_recv(struct ringq_port *p, void *msg, int64_t timeout)		\
{											\
	return d##n##_recv((struct d##n##_consumer *)p, msg, timeout);			\
}											\
static int64_t as_##d##n##_peek(struct ringq_port *p, uint64_t count, int64_t timeout)	\
{											\
	return d##n##_peek((struct d##n##_consumer *)p, count, timeout);		\
}											\
static const void *as_##d##n##_at(const struct ringq_port *p, uint64_t i)		\
{											\
	return d##n##_at((const struct d##n##_consumer *)p, i);				\
}											\
static int as_##d##n##_release(struct ringq_port *p, uint64_t count)			\
{											\
	return d##n##_release((struct d##n##_consumer *)p, count);			\
}

#define TYPED_MANY(n, d)								\
static int64_t as_##d##n##_send_many(struct ringq_port *p, const void *msgs,		\
				     uint64_t count, int64_t timeout)			\
{											\
	return d##n##_send_many((struct d##n##_producer *)p, msgs, count, timeout);	\
}											\
static int64_t as_##d##n##_recv_many(struct ringq_port *p, void *msgs, uint64_t count,	\
				     int64_t timeout)					\
{											\
	return d##n##_recv_many((struct d##n##_consumer *)p, msgs, count, timeout);	\
}

#define TYPED(n, d)									\
TYPED_ONE(n, d)										\
TYPED_MANY(n, d)

#define TYPED_OPS_WITH(n, d, send_many, recv_many) {					\
	n, UINT64_MAX, as_##d##n##_attach, as_##d##n##_send, send_many,			\
	as_##d##n##_reserve, as_##d##n##_room, as_##d##n##_commit, as_##d##n##_recv,	\
	recv_many, as_##d##n##_peek, as_##d##n##_at, as_##d##n##_release,		\
},

#define TYPED_OPS(n, d) \
	TYPED_OPS_WITH(n, d, as_##d##n##_send_many, as_##d##n##_recv_many)

/* Of values there are never many. */
#define TYPED_VALUE_OPS(n, d) TYPED_OPS_WITH(n, d, ringq_send_many, ringq_recv_many)

/* Of each shape and slot. */
#define FEW_SIZES(X, d) X(8, d) X(16, d) X(28, d) X(56, d) X(100, d) X(1264, d)

CONF_SIZES(TYPED, spsc)
FEW_SIZES(TYPED, mpsc)
FEW_SIZES(TYPED, spmc)
FEW_SIZES(TYPED, mpmc)
FEW_SIZES(TYPED, lanes)
FEW_SIZES(TYPED, gated)
FEW_SIZES(TYPED, lossy)
FEW_SIZES(TYPED_ONE, latest)

static const struct conf_ops spsc[] = { CONF_SIZES(TYPED_OPS, spsc) { 0 } };
static const struct conf_ops mpsc[] = { FEW_SIZES(TYPED_OPS, mpsc) { 0 } };
static const struct conf_ops spmc[] = { FEW_SIZES(TYPED_OPS, spmc) { 0 } };
static const struct conf_ops mpmc[] = { FEW_SIZES(TYPED_OPS, mpmc) { 0 } };
static const struct conf_ops lanes[] = { FEW_SIZES(TYPED_OPS, lanes) { 0 } };
static const struct conf_ops lossy[] = { FEW_SIZES(TYPED_OPS, lossy) { 0 } };
static const struct conf_ops latest[] = { FEW_SIZES(TYPED_VALUE_OPS, latest) { 0 } };
static const struct conf_ops gated[] = { FEW_SIZES(TYPED_OPS, gated) { 0 } };

/* By enum ringq_discipline. */
static const struct conf_ops *const typed_ops[] = {
	[RINGQ_SPSC] = spsc,
	[RINGQ_MPSC] = mpsc,
	[RINGQ_SPMC] = spmc,
	[RINGQ_MPMC] = mpmc,
	[RINGQ_LANES] = lanes,
	[RINGQ_GATED] = gated,
	[RINGQ_LOSSY] = lossy,
	[RINGQ_LATEST] = latest,
};

const struct conf_ops *conf_typed(size_t size)
{
	const struct conf_ops *t = typed_ops[conf.discipline->id];

	if (conf.discipline->flags & RINGQ_RECORDS)
		return NULL;
	while (t->size && t->size != size)
		t++;
	return t->size ? t : NULL;
}
