// SPDX-License-Identifier: GPL-2.0-only
/*
 * The eventfds of a port: for loops that wait for an eventfd and for nothing else, for threads and
 * processes that have no port, and for whoever wants to know that a port's process has died.
 *
 * An attached eventfd is told what pollers are told, when they are: when a kick disarms the port,
 * and, armed or not, when the ring is closed, somebody leaves or dies, or what a dead port left has
 * been put in order. It is signalled by 1 each time. So it is as good as its port's arm, which
 * poll(2) makes when it finds nothing: an eventfd at zero says that the port was seen empty after
 * it was armed, if whoever drains it drains the ring afterwards and ends with poll(2).
 *
 * A port holds the context of an eventfd and never its file, so no files hold each other. All of
 * this is under the ring's lock, and no process can be inside eventfd_signal() when it comes here:
 * what wakes, here, is always a system call, the end of a process or a work item, never the
 * wake-up of something else. So the lock of an eventfd's queue nests in the ring's and not the
 * other way round, and eventfd_signal_allowed() need not be asked.
 */
#include <linux/err.h>
#include <linux/eventfd.h>

#include "compat.h"
#include "ringq.h"

/* Tells who listens to a port, that he is to look. */
void ringq_tell(struct ringq_port *port)
{
	u32 i;

	lockdep_assert_held(&port->ring->lock);
	for (i = 0; i < port->nr_eventfds; i++)
		ringq_eventfd_signal(port->eventfds[i]);
	ringq_command_tell(port);
}

/* The port is over: for the last time. */
void ringq_tell_end(struct ringq_port *port)
{
	ringq_tell(port);
	while (port->nr_eventfds)
		eventfd_ctx_put(port->eventfds[--port->nr_eventfds]);
}

/* Returns the eventfd's number among those of the port, or -ENOENT. */
static int ringq_eventfd_find(const struct ringq_port *port, const struct eventfd_ctx *eventfd)
{
	u32 i;

	lockdep_assert_held(&port->ring->lock);
	for (i = 0; i < port->nr_eventfds; i++)
		if (port->eventfds[i] == eventfd)
			return i;
	return -ENOENT;
}

/* The port takes over the caller's reference, if this succeeds. */
static int ringq_eventfd_add(struct ringq_port *port, struct eventfd_ctx *eventfd)
{
	struct ringq_ring *ring = port->ring;
	int err = 0;

	spin_lock(&ring->lock);
	if (port->life == RINGQ_OVER)
		err = -ESTALE;
	else if (ringq_eventfd_find(port, eventfd) >= 0)
		err = -EEXIST;
	else if (port->nr_eventfds == RINGQ_EVENTFDS)
		err = -ENOSPC;
	else
		port->eventfds[port->nr_eventfds++] = eventfd;
	spin_unlock(&ring->lock);
	return err;
}

/* If something is there already, no kick may come. It may be attached no more. */
static void ringq_eventfd_first(struct ringq_port *port, struct eventfd_ctx *eventfd)
{
	struct ringq_ring *ring = port->ring;

	if (!ringq_ready_or_arm(port))
		return;
	spin_lock(&ring->lock);
	if (ringq_eventfd_find(port, eventfd) >= 0)
		ringq_eventfd_signal(eventfd);
	spin_unlock(&ring->lock);
}

/* The caller gets the port's reference, if this succeeds. */
static int ringq_eventfd_remove(struct ringq_port *port, const struct eventfd_ctx *eventfd)
{
	struct ringq_ring *ring = port->ring;
	int i = -ESTALE;

	spin_lock(&ring->lock);
	if (port->life != RINGQ_OVER)
		i = ringq_eventfd_find(port, eventfd);
	if (i >= 0)
		port->eventfds[i] = port->eventfds[--port->nr_eventfds];
	spin_unlock(&ring->lock);
	return i < 0 ? i : 0;
}

static int ringq_eventfd_attach(struct ringq_port *port, struct eventfd_ctx *eventfd)
{
	int err = ringq_eventfd_add(port, eventfd);

	if (err)
		eventfd_ctx_put(eventfd);
	else
		ringq_eventfd_first(port, eventfd);
	return err;
}

static int ringq_eventfd_detach(struct ringq_port *port, struct eventfd_ctx *eventfd)
{
	int err = ringq_eventfd_remove(port, eventfd);

	if (!err)
		eventfd_ctx_put(eventfd);
	eventfd_ctx_put(eventfd);
	return err;
}

int ringq_eventfd(struct ringq_port *port, struct ringq_ioc_eventfd *arg)
{
	struct eventfd_ctx *eventfd;

	if (arg->flags & ~RINGQ_EVENTFD_DETACH || arg->reserved)
		return -EINVAL;
	eventfd = eventfd_ctx_fdget(arg->fd);
	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);
	return arg->flags & RINGQ_EVENTFD_DETACH ? ringq_eventfd_detach(port, eventfd) :
						   ringq_eventfd_attach(port, eventfd);
}
