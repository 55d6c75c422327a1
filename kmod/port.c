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
 * there. If what a dead port left must be put in order (repair.c), it is over at once and does not
 * have the attach lock any more; its place is free when that is done, and everybody is woken again.
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

/* The port gives up its place; how is RINGQ_GONE or RINGQ_DEAD. */
static void ringq_port_end(struct ringq_port *port, u64 how)
{
	lockdep_assert_held(&port->ring->lock);
	ringq_place_leave(port, how);
	WRITE_ONCE(port->life, RINGQ_OVER);
	ringq_lock_end(port);
	ringq_tell_end(port);
	wake_up_all(&port->ring->mourners);
	/* It may be what a repair was waiting for. */
	if (port->ring->dead)
		ringq_repair_soon(port->ring);
	ringq_wake_all(port->ring);
}

/* A port that is nobody's yet. */
static struct ringq_port *ringq_port_new(struct ringq_ring *ring, u32 role)
{
	struct ringq_port *port = kzalloc(sizeof(*port), GFP_KERNEL_ACCOUNT);
	int i;

	if (!port)
		return NULL;
	port->ring = ring;
	port->role = role;
	for (i = 0; i < RINGQ_ARMS; i++)
		INIT_LIST_HEAD(&port->armed[i]);
	init_waitqueue_head(&port->sleeper);
	return port;
}

static int ringq_port_try(struct ringq_port *port, struct ringq_ioc_attach *arg)
{
	bool locked = arg->flags & RINGQ_ATTACH_LOCK;
	struct ringq_ring *ring = port->ring;
	int err = -EAGAIN;

	spin_lock(&ring->lock);
	if (!locked || !ring->holder)
		err = ringq_place_take(port, arg);
	if (!err && locked)
		ring->holder = port;
	spin_unlock(&ring->lock);
	return err;
}

/* Takes a place, and the attach lock with it if it is asked for. */
static int ringq_port_sit(struct ringq_port *port, struct ringq_ioc_attach *arg)
{
	int interrupted, err;

	interrupted = wait_event_interruptible_exclusive(port->ring->lockers,
							 (err = ringq_port_try(port, arg)) !=
							 -EAGAIN);
	if (interrupted)
		err = interrupted;
	/* Who was woken because the lock is free, and does not take it, leaves it to the next. */
	if (err)
		wake_up(&port->ring->lockers);
	return err;
}

static int ringq_attach_to(struct ringq_file *file, const struct ringq_file *handle,
			   struct ringq_ioc_attach *arg)
{
	struct ringq_ring *ring = handle->ring;
	struct ringq_port *port;
	int err;

	if (!(handle->roles & RINGQ_ROLE_MASK(arg->role)))
		return -EACCES;
	port = ringq_port_new(ring, arg->role);
	if (!port)
		return -ENOMEM;
	port->mm = current->mm;
	port->tgid = task_tgid(current);
	/* Who has seen a process die finds its place free, if it can be. */
	ringq_repair_flush(ring);
	err = ringq_port_sit(port, arg);
	if (err) {
		kfree(port);
		return err;
	}
	kref_get(&ring->kref);
	mmgrab(port->mm);
	get_pid(port->tgid);
	file->port = port;
	ringq_file_bind(file, RINGQ_PORT);
	return 0;
}

#define RINGQ_ATTACH_FLAGS (RINGQ_ATTACH_PLACE | RINGQ_ATTACH_LOCK)

int ringq_attach(struct ringq_file *file, struct ringq_ioc_attach *arg)
{
	struct ringq_file *handle;
	struct file *filp;
	int err = -EBADFD;

	if (arg->flags & ~RINGQ_ATTACH_FLAGS || arg->role >= RINGQ_SIDES)
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
		port->heir = false;
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
	/* One that left could store as long as it was mapped. */
	if (ring->dead)
		ringq_repair_soon(ring);
	spin_unlock(&ring->lock);
	mmdrop(port->mm);
	put_pid(port->tgid);
	kfree(port);
	ringq_ring_put(ring);
}
