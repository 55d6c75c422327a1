// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Ports: attach, detach, close, and the operations for elements whose size the compiler
 * does not know: each looks up what the port's table has for it.
 */
#include "internal.h"

#include <poll.h>
#include <string.h>

/*
 * A port that is not attached, or no more: no memory but this line, nothing in it, no
 * capacity, so that every operation ends on its slow path, which returns the error.
 */
static void ringq_port_void(struct ringq_port *port)
{
	static unsigned char nothing[RINGQ_LINE] __attribute__((aligned(RINGQ_LINE)));
	static const struct ringq_ops none;

	memset(port, 0, sizeof(*port));
	port->elem = nothing;
	port->data = nothing;
	port->data_end = nothing + sizeof(nothing);
	port->stamp = (__u64 *)nothing;
	port->stamps = (__u64 *)nothing;
	port->attention = (__u64 *)nothing;
	port->peer_done = (__u64 *)nothing;
	port->ops = &none;
	port->elem_size = 1;
	port->error = -ESTALE;
}

/* Takes what the caller's version of the options has; what we do not know must be zero. */
static int ringq_copy_attach_opts(struct ringq_attach_opts *to,
				  const struct ringq_attach_opts *from)
{
	const unsigned char *bytes = (const unsigned char *)from;
	size_t i;

	memset(to, 0, sizeof(*to));
	if (!from)
		return 0;
	if (from->size < sizeof(*to))
		return -EINVAL;
	for (i = sizeof(*to); i < from->size; i++) {
		if (bytes[i])
			return -E2BIG;
	}
	memcpy(to, from, sizeof(*to));
	return to->flags & ~(RINGQ_AT_PLACE | RINGQ_OLDEST) || to->reserved ? -EINVAL : 0;
}

/* What only some disciplines know is refused by the others. */
static int ringq_check_attach_opts(const struct ringq *ring, uint32_t role,
				   const struct ringq_attach_opts *o)
{
	const struct ringq_geometry *g = &ring->geometry;
	bool broadcast = g->discipline == RINGQ_GATED || g->discipline == RINGQ_LOSSY;
	bool fixed = g->shape != RINGQ_SHAPE_RECORDS;

	if (o->strategy > RINGQ_STRATEGY_SLEEP)
		return -EINVAL;
	if (o->flags & RINGQ_AT_PLACE &&
	    o->place >= (role == RINGQ_PRODUCER ? g->producers : g->consumers))
		return -EINVAL;
	if (o->flags & RINGQ_OLDEST && (role == RINGQ_PRODUCER || !broadcast))
		return -EOPNOTSUPP;
	if (!o->stride)
		return o->phase ? -EINVAL : 0;
	if (role == RINGQ_PRODUCER || g->discipline != RINGQ_LOSSY || !fixed)
		return -EOPNOTSUPP;
	return o->phase < o->stride ? 0 : -EINVAL;
}

RINGQ_PUBLIC int ringq_attach_with(struct ringq *ring, enum ringq_role role,
				   const struct ringq_attach_opts *opts, struct ringq_port *port)
{
	struct ringq_attach_opts o;
	int r;

	if ((uint32_t)role > RINGQ_CONSUMER || (uintptr_t)port & (RINGQ_LINE - 1))
		return -EINVAL;
	ringq_port_void(port);
	if (ringq_is_stale(ring))
		return -ESTALE;
	if (ring->observes)
		return -EACCES;
	r = ringq_copy_attach_opts(&o, opts);
	if (r == 0)
		r = ringq_check_attach_opts(ring, role, &o);
	if (r < 0)
		return r;
	port->ring = ring;
	port->role = role;
	port->ops = ringq_ops_of(ring->geometry.discipline, ring->geometry.shape, role);
	port->capacity = ring->geometry.capacity;
	port->elem_size = ring->geometry.elem_size;
	port->peer_done = NULL;
	r = ring->backend->attach(port, &o);
	if (r < 0) {
		ringq_port_void(port);
		return r;
	}
	port->attention = ringq_word_of(ring, port->base, role);
	port->error = 0;
	return ringq_set_strategy(port, o.strategy);
}

RINGQ_PUBLIC int ringq_attach(struct ringq *ring, enum ringq_role role, struct ringq_port *port)
{
	return ringq_attach_with(ring, role, NULL, port);
}

RINGQ_PUBLIC int ringq_set_strategy(struct ringq_port *port, enum ringq_strategy strategy)
{
	if (port->error == -ESTALE)
		return -ESTALE;
	if ((uint32_t)strategy > RINGQ_STRATEGY_SLEEP)
		return -EINVAL;
	port->strategy = strategy;
	port->spins = 0;
	return 0;
}

RINGQ_PUBLIC void ringq_detach(struct ringq_port *port)
{
	if (port->error != -ESTALE && !ringq_is_stale(port->ring))
		port->ring->backend->detach(port);
	ringq_port_void(port);
}

RINGQ_PUBLIC int ringq_close(struct ringq_port *port)
{
	if (port->error == -ESTALE || ringq_is_stale(port->ring))
		return -ESTALE;
	return port->ring->backend->close(port);
}

RINGQ_PUBLIC int ringq_send(struct ringq_port *port, const void *msg, int64_t timeout)
{
	return RINGQ_CALL(port, send, msg, timeout);
}

RINGQ_PUBLIC int ringq_recv(struct ringq_port *port, void *msg, int64_t timeout)
{
	return RINGQ_CALL(port, recv, msg, timeout);
}

RINGQ_PUBLIC int64_t ringq_send_many(struct ringq_port *port, const void *msgs, uint64_t n,
				     int64_t timeout)
{
	return RINGQ_CALL(port, send_many, msgs, n, timeout);
}

RINGQ_PUBLIC int64_t ringq_recv_many(struct ringq_port *port, void *msgs, uint64_t n,
				     int64_t timeout)
{
	return RINGQ_CALL(port, recv_many, msgs, n, timeout);
}

RINGQ_PUBLIC int ringq_reserve(struct ringq_port *port, uint64_t n, int64_t timeout)
{
	return RINGQ_CALL(port, reserve, n, timeout);
}

RINGQ_PUBLIC int ringq_commit(struct ringq_port *port, uint64_t n)
{
	return RINGQ_CALL(port, commit, n);
}

/* To give up is to commit nothing of it. */
RINGQ_PUBLIC void ringq_abort(struct ringq_port *port)
{
	if (port->held)
		RINGQ_CALL(port, commit, 0);
}

RINGQ_PUBLIC int64_t ringq_peek(struct ringq_port *port, uint64_t n, int64_t timeout)
{
	return RINGQ_CALL(port, peek, n, timeout);
}

RINGQ_PUBLIC int ringq_release(struct ringq_port *port, uint64_t n)
{
	return RINGQ_CALL(port, release, n);
}

RINGQ_PUBLIC int ringq_send_record(struct ringq_port *port, const void *data, uint32_t size,
				   int64_t timeout)
{
	return RINGQ_CALL(port, send_record, data, size, timeout);
}

RINGQ_PUBLIC int64_t ringq_send_records(struct ringq_port *port, const struct iovec *records,
					uint64_t n, int64_t timeout)
{
	return RINGQ_CALL(port, send_records, records, n, timeout);
}

RINGQ_PUBLIC int ringq_reserve_record(struct ringq_port *port, uint32_t size, void **place,
				      int64_t timeout)
{
	return RINGQ_CALL(port, reserve_record, size, place, timeout);
}

RINGQ_PUBLIC int ringq_commit_record(struct ringq_port *port, uint32_t size)
{
	return RINGQ_CALL(port, commit_record, size);
}

RINGQ_PUBLIC int ringq_recv_record(struct ringq_port *port, void *data, uint32_t room,
				   uint32_t *size, int64_t timeout)
{
	return RINGQ_CALL(port, recv_record, data, room, size, timeout);
}

RINGQ_PUBLIC int64_t ringq_recv_records(struct ringq_port *port, struct iovec *records, uint64_t n,
					int64_t timeout)
{
	return RINGQ_CALL(port, recv_records, records, n, timeout);
}

RINGQ_PUBLIC const void *ringq_record(const struct ringq_port *port, uint64_t *cursor,
				      uint32_t *size)
{
	return port->ops->record ? port->ops->record(port, cursor, size) : NULL;
}

RINGQ_PUBLIC void *ringq_at(const struct ringq_port *port, uint64_t i)
{
	return port->ops->at ? port->ops->at(port, i, NULL) : NULL;
}

RINGQ_PUBLIC void *ringq_run(const struct ringq_port *port, uint64_t i, uint64_t *n)
{
	void *first;

	if (!port->ops->at)
		return NULL;
	first = port->ops->at(port, i, n);
	if (*n > port->held - i)
		*n = port->held - i;
	return first;
}

RINGQ_PUBLIC int ringq_drain(struct ringq_port *port, int64_t timeout)
{
	return RINGQ_CALL(port, drain, timeout);
}

RINGQ_PUBLIC int ringq_latest(struct ringq_port *port, void *msg)
{
	return RINGQ_CALL(port, latest, msg);
}

RINGQ_PUBLIC int ringq_intact(const struct ringq_port *port)
{
	return RINGQ_CALL(port, intact);
}

RINGQ_PUBLIC int ringq_glance(struct ringq_port *port, struct ringq_glance *glance,
			      int64_t timeout)
{
	return RINGQ_CALL(port, glance, glance, timeout);
}

RINGQ_PUBLIC int ringq_glance_read(const struct ringq_port *port,
				   const struct ringq_glance *glance, void *msg)
{
	return RINGQ_CALL(port, glance_read, glance, msg);
}

RINGQ_PUBLIC int64_t ringq_lag(const struct ringq_port *port)
{
	if (port->error)
		return port->error;
	return port->ops->lag ? (int64_t)port->ops->lag(port) : -EOPNOTSUPP;
}

RINGQ_PUBLIC int ringq_port_fd(struct ringq_port *port)
{
	if (port->error == -ESTALE || ringq_is_stale(port->ring))
		return -ESTALE;
	return port->ring->backend->port_fd(port);
}

RINGQ_PUBLIC int ringq_arm(struct ringq_port *port)
{
	struct pollfd p = { .events = port->role == RINGQ_CONSUMER ? POLLIN : POLLOUT };

	p.fd = ringq_port_fd(port);
	if (p.fd < 0)
		return p.fd;
	if (port->ring->backend->arm(port, 1, RINGQ_ENDED))
		return 1;
	/* The module arms here. */
	return poll(&p, 1, 0) > 0;
}

RINGQ_PUBLIC int ringq_next_death(struct ringq_port *port, struct ringq_death *death)
{
	if (port->error == -ESTALE || ringq_is_stale(port->ring))
		return -ESTALE;
	return port->ring->backend->next_death(port, death);
}

RINGQ_PUBLIC int ringq_add_eventfd(struct ringq_port *port, int fd)
{
	if (port->error == -ESTALE || ringq_is_stale(port->ring))
		return -ESTALE;
	return port->ring->backend->add_eventfd(port, fd);
}

RINGQ_PUBLIC int ringq_remove_eventfd(struct ringq_port *port, int fd)
{
	if (port->error == -ESTALE || ringq_is_stale(port->ring))
		return -ESTALE;
	return port->ring->backend->remove_eventfd(port, fd);
}
