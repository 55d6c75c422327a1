// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Memory of the module. A ring is a handle, that is, an open file of the device; each port
 * is another one, with mappings of its own, because a mapping has one permission and the
 * module gives each role only the pages that it must write. Who died, who may attach and
 * who sleeps is the module's business; linux/ringq.h has the contract.
 */
#include "internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* What a port keeps: its file. The address space is ring->layout.total from port->base. */
struct ringq_device_port {
	int fd;
};

static int ringq_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

int ringq_device_open(struct ringq_ioc_info *info)
{
	struct ringq_ioc_info mine = { .size = sizeof(mine) };
	int fd = open(RINGQ_DEVICE_PATH, O_RDWR | O_CLOEXEC | O_NONBLOCK), r;

	if (fd < 0)
		return errno == ENOENT || errno == ENXIO ? -ENODEV : -errno;
	r = ringq_ioctl(fd, RINGQ_IOC_INFO, &mine);
	if (r == 0 && (mine.abi_version < RINGQ_ABI_VERSION ||
		       mine.layout_version != RINGQ_LAYOUT_VERSION))
		r = -EPROTO;
	if (info)
		*info = mine;
	if (r < 0) {
		close(fd);
		return r == -ENOTTY ? -EPROTO : r;
	}
	return fd;
}

bool ringq_device_is(int fd)
{
	struct ringq_ioc_info info = { .size = sizeof(info) };

	return ringq_ioctl(fd, RINGQ_IOC_INFO, &info) == 0;
}

/* The geometry is the module's word: it has the ring. */
static int ringq_device_adopt(struct ringq *ring, const struct ringq_geometry *g, uint64_t total,
			      const uint8_t *id, uint32_t page_shift)
{
	if (ringq_layout_compute(g, &ring->layout) < 0 || ring->layout.total != total)
		return -EPROTO;
	ring->geometry = *g;
	ring->page_shift = page_shift;
	memcpy(ring->id, id, sizeof(ring->id));
	return 0;
}

static int ringq_device_create(struct ringq *ring, const struct ringq_plan *plan)
{
	struct ringq_ioc_create c = {
		.size = sizeof(c), .geometry = plan->geometry, .mode = plan->mode, .node = -1,
	};
	int r;

	ring->fd = ringq_device_open(NULL);
	if (ring->fd < 0)
		return ring->fd;
	if (plan->flags & RINGQ_HUGE_ONLY)
		c.flags = RINGQ_CREATE_HUGE_ONLY;
	else if (plan->geometry.bulk_shift == RINGQ_BULK_HUGE)
		c.flags = RINGQ_CREATE_HUGE;
	strcpy(c.name, plan->name);
	r = ringq_ioctl(ring->fd, RINGQ_IOC_CREATE, &c);
	if (r < 0)
		return r;
	ring->uid = geteuid();
	ring->mode = plan->mode;
	strcpy(ring->name, plan->name);
	return ringq_device_adopt(ring, &c.geometry, c.total, c.id, c.page_shift);
}

int ringq_device_join(struct ringq *ring, const char *name, int handle)
{
	struct ringq_ioc_open o = { .size = sizeof(o), .fd = handle };
	int r;

	ring->fd = ringq_device_open(NULL);
	if (ring->fd < 0)
		return ring->fd;
	if (name) {
		o.fd = -1;
		strcpy(o.name, name);
		strcpy(ring->name, name);
	}
	r = ringq_ioctl(ring->fd, RINGQ_IOC_OPEN, &o);
	if (r < 0)
		return r;
	ring->uid = o.uid;
	return ringq_device_adopt(ring, &o.geometry, o.total, o.id, o.page_shift);
}

/* Each page now, once: they are there, and only the mapping of each is still to be made. */
static void ringq_device_touch(const struct ringq_port *p)
{
	const struct ringq *ring = p->ring;
	uint64_t at, step = UINT64_C(1) << RINGQ_UNIT_PAGES;

	for (at = 0; at < ringq_region_span(ring); at += step) {
		(void)*(volatile unsigned char *)(p->base + at);
		if (at >= ring->layout.bulk && ring->page_shift == RINGQ_BULK_HUGE)
			step = UINT64_C(1) << RINGQ_BULK_HUGE;
	}
}

/*
 * Maps the region in pieces of one permission each, in the order of ringq/layout.h: what
 * this role writes is writable, the rest is not. If it fails, what is mapped is left so: to
 * unmap it before the port has left would be a death.
 */
static int ringq_device_map(struct ringq_port *p, int fd)
{
	const struct ringq_geometry *g = &p->ring->geometry;
	const struct ringq_layout *l = &p->ring->layout;
	const bool mirrored = ringq_is_mirrored(g), bulk = ringq_writes_bulk(g, p->role);
	uint64_t own = l->ports + ringq_page_of(g, p->role, p->index) * l->port_stride;
	struct {
		uint64_t end;
		bool write;
	} pieces[] = {
		{ l->sides[RINGQ_PRODUCER], false },
		{ l->sides[RINGQ_CONSUMER], p->role == RINGQ_PRODUCER },
		{ l->ports, p->role == RINGQ_CONSUMER },
		{ own, false },
		{ own + l->port_stride, true },
		{ l->bulk, false },
		{ mirrored ? l->data : l->total, bulk },
	};
	uint64_t at = 0;
	unsigned int i;
	int r = 0;

	p->base = ringq_region_address(ringq_region_span(p->ring), g->bulk_shift);
	if (!p->base)
		return -ENOMEM;
	for (i = 0; r == 0 && i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		uint64_t size = pieces[i].end - at;

		if (size && mmap(p->base + at, size, PROT_READ | (pieces[i].write ? PROT_WRITE : 0),
				 MAP_SHARED | MAP_FIXED, fd, at) == MAP_FAILED)
			r = -errno;
		at = pieces[i].end;
	}
	if (r == 0 && mirrored)
		r = ringq_region_mirror(p->ring, p->base, fd,
					PROT_READ | (bulk ? PROT_WRITE : 0), 0);
	if (r < 0)
		return r;
	ringq_device_touch(p);
	p->page = ringq_port_page(p->ring, p->base, p->role, p->index);
	return 0;
}

static int ringq_device_port_fd(struct ringq_port *p)
{
	const struct ringq_device_port *d = p->memory;

	return d->fd;
}

static int ringq_device_eventfd(struct ringq_port *p, int fd, uint32_t flags)
{
	struct ringq_ioc_eventfd e = { .size = sizeof(e), .flags = flags, .fd = fd };

	return ringq_ioctl(ringq_device_port_fd(p), RINGQ_IOC_EVENTFD, &e);
}

static int ringq_device_add_eventfd(struct ringq_port *p, int fd)
{
	return ringq_device_eventfd(p, fd, 0);
}

static int ringq_device_remove_eventfd(struct ringq_port *p, int fd)
{
	return ringq_device_eventfd(p, fd, RINGQ_EVENTFD_DETACH);
}

/* Only this looks at O_NONBLOCK. */
static int ringq_device_next_death(struct ringq_port *p, struct ringq_death *death)
{
	if (read(ringq_device_port_fd(p), death, sizeof(*death)) < 0)
		return errno == EAGAIN ? 0 : -errno;
	return 1;
}

static int ringq_device_lock(struct ringq_port *p, bool wait)
{
	return ringq_ioctl(ringq_device_port_fd(p), wait ? RINGQ_IOC_LOCK : RINGQ_IOC_TRYLOCK,
			   NULL);
}

static void ringq_device_unlock(struct ringq_port *p)
{
	ringq_ioctl(ringq_device_port_fd(p), RINGQ_IOC_UNLOCK, NULL);
}

/*
 * Takes a place, and the attach lock with it where that decides about claims: others see a new
 * port only while it holds the lock, or when it is what they think it is.
 */
static int ringq_device_sit(struct ringq_port *p, const struct ringq_attach_opts *opts, int fd)
{
	struct ringq_ioc_attach a = {
		.size = sizeof(a), .fd = p->ring->fd, .role = p->role, .port = opts->place,
	};
	int r;

	if (opts->flags & RINGQ_AT_PLACE)
		a.flags |= RINGQ_ATTACH_PLACE;
	if (ringq_claims(p->ring->geometry.discipline))
		a.flags |= RINGQ_ATTACH_LOCK;
	r = ringq_ioctl(fd, RINGQ_IOC_ATTACH, &a);
	p->index = a.port;
	p->generation = a.generation;
	return r;
}

static int ringq_device_attach(struct ringq_port *p, const struct ringq_attach_opts *opts)
{
	struct ringq_device_port *d = malloc(sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	d->fd = ringq_device_open(NULL);
	if (d->fd < 0) {
		r = d->fd;
		goto free;
	}
	r = ringq_device_sit(p, opts, d->fd);
	if (r < 0)
		goto close;
	p->memory = d;
	r = ringq_device_map(p, d->fd);
	if (r == 0)
		r = p->ops->attach(p, opts);
	if (r < 0)
		goto detach;
	if (ringq_claims(p->ring->geometry.discipline))
		ringq_device_unlock(p);
	return 0;

detach:
	ringq_ioctl(d->fd, RINGQ_IOC_DETACH, NULL);
	if (p->base)
		munmap(p->base, ringq_region_span(p->ring));
close:
	close(d->fd);
free:
	free(d);
	return r;
}

static void ringq_device_detach(struct ringq_port *p)
{
	struct ringq_device_port *d = p->memory;

	/* No signal keeps a port from leaving in good order. The lock goes with the port. */
	if (ringq_claims(p->ring->geometry.discipline))
		while (ringq_device_lock(p, true) == -EINTR)
			;
	p->ops->detach(p);
	ringq_ioctl(d->fd, RINGQ_IOC_DETACH, NULL);
	munmap(p->base, ringq_region_span(p->ring));
	close(d->fd);
	free(d);
}

static int ringq_device_close(struct ringq_port *p)
{
	return ringq_ioctl(ringq_device_port_fd(p), RINGQ_IOC_CLOSE, NULL);
}

static int ringq_device_sleep(struct ringq_port *p, uint64_t need, uint64_t ends, int64_t timeout)
{
	struct ringq_ioc_wait w = {
		.size = sizeof(w),
		.flags = ends & RINGQ_CLOSED ? 0 : RINGQ_WAIT_DRAIN,
		.timeout_ns = timeout,
		.need = need,
	};

	return ringq_ioctl(ringq_device_port_fd(p), RINGQ_IOC_WAIT, &w);
}

static void ringq_device_kick(struct ringq_port *p, uint32_t role, uint64_t count)
{
	struct ringq_ioc_kick k = {
		.size = sizeof(k), .flags = role == p->role ? RINGQ_KICK_OWN : 0,
		.count = count < UINT32_MAX ? count : UINT32_MAX,
	};

	ringq_ioctl(ringq_device_port_fd(p), RINGQ_IOC_KICK, &k);
}

/* The module tells of deaths unasked. */
static void ringq_device_idle(struct ringq_port *p)
{
	(void)p;
}

/* So does poll(2) arm, unasked. */
static bool ringq_device_arm(struct ringq_port *p, uint64_t need, uint64_t ends)
{
	(void)p;
	(void)need;
	(void)ends;
	return false;
}

static int ringq_device_stat(struct ringq *ring, uint32_t role, uint32_t index,
			     struct ringq_port_stat *stat)
{
	struct ringq_ioc_port p = { .size = sizeof(p), .role = role, .port = index };
	int r = ringq_ioctl(ring->fd, RINGQ_IOC_PORT, &p);

	if (r < 0)
		return r == -ENOTTY ? -EOPNOTSUPP : r;
	*stat = (struct ringq_port_stat){
		.size = stat->size,
		.state = p.state,
		.generation = p.generation,
		.pid = p.pid,
		.flags = p.flags,
		.claim = p.claim,
		.lane = p.lane,
		.attached_ns = p.attached_ns,
		.position = p.position,
		.held = p.held,
		.held_at = p.held_at,
		.waiting = p.waiting,
		.tombs = p.tombs,
		.redelivered = p.redelivered,
		.dropped = p.dropped,
	};
	return 0;
}

static void ringq_device_free(struct ringq *ring)
{
	if (ring->fd >= 0)
		close(ring->fd);
}

const struct ringq_backend ringq_device_backend = {
	.create = ringq_device_create,
	.attach = ringq_device_attach,
	.detach = ringq_device_detach,
	.close = ringq_device_close,
	.stat = ringq_device_stat,
	.sleep = ringq_device_sleep,
	.kick = ringq_device_kick,
	.idle = ringq_device_idle,
	.arm = ringq_device_arm,
	.lock = ringq_device_lock,
	.unlock = ringq_device_unlock,
	.port_fd = ringq_device_port_fd,
	.add_eventfd = ringq_device_add_eventfd,
	.remove_eventfd = ringq_device_remove_eventfd,
	.next_death = ringq_device_next_death,
	.free = ringq_device_free,
};
