/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The operations of a discipline for elements whose size only the port knows: the inline ones
 * with the size read from the port. They fill the tables of operations (internal.h), and so
 * are the twins that other languages bind to.
 */
#ifndef RINGQ_TWINS_H
#define RINGQ_TWINS_H

#include "internal.h"

#define RINGQ_PRODUCER_TWINS(d)								\
static int d##_send(struct ringq_port *p, const void *msg, int64_t timeout)		\
{											\
	return ringq_##d##_send(p, msg, p->elem_size, timeout);				\
}											\
static int64_t d##_send_many(struct ringq_port *p, const void *msgs, uint64_t n,	\
			     int64_t timeout)						\
{											\
	return ringq_##d##_send_many(p, msgs, p->elem_size, n, timeout);		\
}											\
static int d##_reserve(struct ringq_port *p, uint64_t n, int64_t timeout)		\
{											\
	return ringq_##d##_reserve(p, p->elem_size, n, timeout);			\
}											\
static int d##_commit(struct ringq_port *p, uint64_t n)					\
{											\
	return ringq_##d##_commit(p, p->elem_size, n);					\
}

#define RINGQ_CONSUMER_TWINS(d)								\
static int d##_recv(struct ringq_port *p, void *msg, int64_t timeout)			\
{											\
	return ringq_##d##_recv(p, msg, p->elem_size, timeout);				\
}											\
static int64_t d##_recv_many(struct ringq_port *p, void *msgs, uint64_t n, int64_t timeout) \
{											\
	return ringq_##d##_recv_many(p, msgs, p->elem_size, n, timeout);		\
}											\
static int64_t d##_peek(struct ringq_port *p, uint64_t n, int64_t timeout)		\
{											\
	return ringq_##d##_peek(p, p->elem_size, n, timeout);				\
}											\
static int d##_release(struct ringq_port *p, uint64_t n)				\
{											\
	return ringq_##d##_release(p, p->elem_size, n);					\
}

#define RINGQ_AT_TWIN(d)								\
static void *d##_at(const struct ringq_port *p, uint64_t i, uint64_t *n)		\
{											\
	return ringq_##d##_at(p, p->elem_size, i, n);					\
}

#define RINGQ_PRODUCER_OPS(d)								\
	.send = d##_send, .send_many = d##_send_many, .reserve = d##_reserve,		\
	.commit = d##_commit, .at = d##_at

#define RINGQ_CONSUMER_OPS(d)								\
	.recv = d##_recv, .recv_many = d##_recv_many, .peek = d##_peek,			\
	.release = d##_release, .at = d##_at

#endif /* RINGQ_TWINS_H */
