// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Ports: attach, detach, close, and the operations for elements whose size the compiler
 * does not know. Each of those is the inline one of the ring's discipline with the size
 * read from the port; they are the twins that other languages bind to.
 */
#include "internal.h"

#include <string.h>

/*
 * A port that is not attached, or no more: no memory but this line, nothing in it, no
 * capacity, so that every operation ends on its slow path, which returns the error.
 */
static void ringq_port_void(struct ringq_port *port)
{
	static unsigned char nothing[RINGQ_LINE] __attribute__((aligned(RINGQ_LINE)));

	memset(port, 0, sizeof(*port));
	port->elem = nothing;
	port->data = nothing;
	port->data_end = nothing + sizeof(nothing);
	port->stamp = (__u64 *)nothing;
	port->stamps = (__u64 *)nothing;
	port->attention = (__u64 *)nothing;
	port->elem_size = 1;
	port->error = -ESTALE;
}

RINGQ_PUBLIC int ringq_attach(struct ringq *ring, enum ringq_role role, struct ringq_port *port)
{
	int r;

	if ((uint32_t)role > RINGQ_CONSUMER || (uintptr_t)port & (RINGQ_LINE - 1))
		return -EINVAL;
	ringq_port_void(port);
	if (ringq_is_stale(ring))
		return -ESTALE;
	port->ring = ring;
	port->role = role;
	r = ring->backend->attach(ring, role, port);
	if (r < 0) {
		ringq_port_void(port);
		return r;
	}
	port->attention = ringq_word_of(ring, port->base, role);
	port->error = 0;
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
	int r = ringq_as(port, RINGQ_PRODUCER);

	return r < 0 ? r : ringq_spsc_send(port, msg, port->elem_size, timeout);
}

RINGQ_PUBLIC int ringq_recv(struct ringq_port *port, void *msg, int64_t timeout)
{
	int r = ringq_as(port, RINGQ_CONSUMER);

	return r < 0 ? r : ringq_spsc_recv(port, msg, port->elem_size, timeout);
}

RINGQ_PUBLIC int64_t ringq_send_many(struct ringq_port *port, const void *msgs, uint64_t n,
				     int64_t timeout)
{
	int r = ringq_as(port, RINGQ_PRODUCER);

	return r < 0 ? r : ringq_spsc_send_many(port, msgs, port->elem_size, n, timeout);
}

RINGQ_PUBLIC int64_t ringq_recv_many(struct ringq_port *port, void *msgs, uint64_t n,
				     int64_t timeout)
{
	int r = ringq_as(port, RINGQ_CONSUMER);

	return r < 0 ? r : ringq_spsc_recv_many(port, msgs, port->elem_size, n, timeout);
}

RINGQ_PUBLIC int ringq_reserve(struct ringq_port *port, uint64_t n, int64_t timeout)
{
	int r = ringq_as(port, RINGQ_PRODUCER);

	return r < 0 ? r : ringq_spsc_reserve(port, port->elem_size, n, timeout);
}

RINGQ_PUBLIC int ringq_commit(struct ringq_port *port, uint64_t n)
{
	int r = ringq_as(port, RINGQ_PRODUCER);

	return r < 0 ? r : ringq_spsc_commit(port, port->elem_size, n);
}

RINGQ_PUBLIC int64_t ringq_peek(struct ringq_port *port, uint64_t n, int64_t timeout)
{
	int r = ringq_as(port, RINGQ_CONSUMER);

	return r < 0 ? r : ringq_spsc_peek(port, port->elem_size, n, timeout);
}

RINGQ_PUBLIC int ringq_release(struct ringq_port *port, uint64_t n)
{
	int r = ringq_as(port, RINGQ_CONSUMER);

	return r < 0 ? r : ringq_spsc_release(port, port->elem_size, n);
}

RINGQ_PUBLIC void *ringq_at(const struct ringq_port *port, uint64_t i)
{
	return ringq_spsc_at(port, port->elem_size, i, NULL);
}

RINGQ_PUBLIC void *ringq_run(const struct ringq_port *port, uint64_t i, uint64_t *n)
{
	void *first = ringq_spsc_at(port, port->elem_size, i, n);

	if (*n > port->held - i)
		*n = port->held - i;
	return first;
}

RINGQ_PUBLIC int ringq_drain(struct ringq_port *port, int64_t timeout)
{
	return ringq_spsc_drain(port, timeout);
}

RINGQ_PUBLIC int ringq_port_fd(const struct ringq_port *port)
{
	if (port->error == -ESTALE)
		return -ESTALE;
	return port->ring->backend->port_fd ? port->ring->backend->port_fd(port) : -EOPNOTSUPP;
}
