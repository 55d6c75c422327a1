// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a port: it takes a place at the ring, and leaves it or dies.
 *
 * A process is dead to the ring when its last mapping has gone without RINGQ_IOC_DETACH. exec,
 * exit and munmap all come by there; the entries of the page tables are gone and flushed then, so
 * no thread can store through the port any more, and what was stored is visible. An open file
 * proves nothing: it may be in the hands of a child, on its way through a socket, or held by
 * io_uring. Files only count for a port that was never mapped.
 *
 * Who leaves or dies wakes everybody, on both sides, always: who sleeps is to look again at who is
 * there.
 */
#include <linux/file.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "ringq.h"

/* Only the process that attached uses a port. A child by fork has its file but is not it. */
bool ringq_port_is_mine(const struct ringq_port *port)
{
	return current->mm == port->mm && task_tgid(current) == port->tgid;
}

static void ringq_epoch_advance(struct ringq_ring *ring)
{
	lockdep_assert_held(&ring->lock);
	/* Who sees the new number, also sees who is there. */
	smp_store_release(&ring->attention->epoch, ring->attention->epoch + 1);
}

/* The port gives up its place; how is RINGQ_GONE or RINGQ_DEAD. */
static void ringq_port_end(struct ringq_port *port, u64 how)
{
	static const u32 wait[RINGQ_SIDES] = {
		[RINGQ_PRODUCER] = RINGQ_PRODUCER_WAIT,
		[RINGQ_CONSUMER] = RINGQ_CONSUMER_WAIT,
	};
	struct ringq_place *place = ringq_place_of(port);
	struct ringq_ring *ring = port->ring;

	lockdep_assert_held(&ring->lock);
	place->port = NULL;
	WRITE_ONCE(port->life, RINGQ_OVER);
	WRITE_ONCE(port->armed, 0);
	if (!(ring->geometry.flags & wait[port->role]))
		place->ended = how;
	ringq_epoch_advance(ring);
	ringq_wake_all(ring);
}

static int ringq_port_take_place(struct ringq_port *port)
{
	struct ringq_place *place = ringq_place_of(port);
	struct ringq_ring *ring = port->ring;

	lockdep_assert_held(&ring->lock);
	if (place->port)
		return -EBUSY;
	if (place->ended || (ring->closed && port->role == RINGQ_PRODUCER))
		return -EPIPE;
	place->port = port;
	place->generation++;
	ringq_epoch_advance(ring);
	return 0;
}

static int ringq_attach_to(struct ringq_file *file, const struct ringq_file *handle,
			   struct ringq_ioc_attach *arg)
{
	struct ringq_ring *ring = handle->ring;
	struct ringq_port *port;
	int err;

	if (!(handle->roles & RINGQ_ROLE_MASK(arg->role)))
		return -EACCES;
	port = kzalloc(sizeof(*port), GFP_KERNEL_ACCOUNT);
	if (!port)
		return -ENOMEM;
	port->ring = ring;
	port->role = arg->role;

	spin_lock(&ring->lock);
	err = ringq_port_take_place(port);
	if (!err) {
		kref_get(&ring->kref);
		mmgrab(current->mm);
		port->mm = current->mm;
		port->tgid = get_pid(task_tgid(current));
		arg->port = ringq_port_of_role(port->role);
		arg->generation = ring->places[port->role].generation;
	}
	spin_unlock(&ring->lock);
	if (err) {
		kfree(port);
		return err;
	}
	file->port = port;
	ringq_file_bind(file, RINGQ_PORT);
	return 0;
}

int ringq_attach(struct ringq_file *file, struct ringq_ioc_attach *arg)
{
	struct ringq_file *handle;
	struct file *filp;
	int err = -EBADFD;

	if (arg->flags || arg->role >= RINGQ_SIDES)
		return -EINVAL;
	filp = fget(arg->fd);
	if (!filp)
		return -EBADF;
	handle = ringq_file_of(filp);
	if (handle && ringq_file_kind(handle) == RINGQ_HANDLE)
		err = ringq_attach_to(file, handle, arg);
	fput(filp);
	return err;
}

int ringq_detach(struct ringq_port *port)
{
	struct ringq_ring *ring = port->ring;
	int err = -ESTALE;

	spin_lock(&ring->lock);
	if (port->life != RINGQ_OVER) {
		ringq_port_end(port, RINGQ_GONE);
		err = 0;
	}
	spin_unlock(&ring->lock);
	return err;
}

int ringq_close(struct ringq_port *port)
{
	struct ringq_ring *ring = port->ring;
	int err = -ESTALE;

	spin_lock(&ring->lock);
	if (port->life != RINGQ_OVER) {
		ring->closed = true;
		ringq_wake_all(ring);
		err = 0;
	}
	spin_unlock(&ring->lock);
	return err;
}

/* A first or further mapping, asked for by the owner. */
int ringq_port_map(struct ringq_port *port)
{
	struct ringq_ring *ring = port->ring;
	int err = -ESTALE;

	spin_lock(&ring->lock);
	if (port->life != RINGQ_OVER) {
		WRITE_ONCE(port->life, RINGQ_LIVE);
		port->nr_vmas++;
		err = 0;
	}
	spin_unlock(&ring->lock);
	return err;
}

/* A mapping that is there becomes two; whether the port is over does not matter. */
void ringq_port_remap(struct ringq_port *port)
{
	spin_lock(&port->ring->lock);
	port->nr_vmas++;
	spin_unlock(&port->ring->lock);
}

/* A mapping has gone, perhaps the last one. Called under mmap_lock, or as the process ends. */
void ringq_port_unmap(struct ringq_port *port)
{
	struct ringq_ring *ring = port->ring;

	spin_lock(&ring->lock);
	if (!--port->nr_vmas && port->life == RINGQ_LIVE)
		ringq_port_end(port, RINGQ_DEAD);
	spin_unlock(&ring->lock);
}

/*
 * A descriptor of the port was closed. If that is because its process ends, all threads of it,
 * then a port that was not mapped cannot be any more, whoever else has the file.
 */
void ringq_port_flush(struct ringq_port *port)
{
	struct ringq_ring *ring = port->ring;

	if (!(current->flags & PF_EXITING) || task_tgid(current) != port->tgid ||
	    atomic_read(&current->signal->live))
		return;
	spin_lock(&ring->lock);
	if (port->life == RINGQ_ATTACHED)
		ringq_port_end(port, RINGQ_GONE);
	spin_unlock(&ring->lock);
}

/* The file has gone, and before it all mappings. */
void ringq_port_free(struct ringq_port *port)
{
	struct ringq_ring *ring = port->ring;

	spin_lock(&ring->lock);
	if (port->life == RINGQ_ATTACHED)
		ringq_port_end(port, RINGQ_GONE);
	spin_unlock(&ring->lock);
	mmdrop(port->mm);
	put_pid(port->tgid);
	kfree(port);
	ringq_ring_put(ring);
}
