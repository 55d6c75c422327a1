// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Options, and the ways to a ring: create, join, open (join or create), by descriptor.
 *
 * One name must lead to one ring, also where some processes can open the device and
 * others, or earlier ones, could not. So whoever goes by name holds the bare name (names.c)
 * meanwhile, looks for members of a memfd ring first, then asks the module, and only then
 * makes something new.
 */
#include "internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define RINGQ_CAPACITY_BYTES	(64u << 20)
#define RINGQ_CAPACITY_MIN	64
#define RINGQ_CAPACITY_LATEST	8
#define RINGQ_CAPACITY_RECORDS	(1u << 20)
#define RINGQ_PORTS		16
#define RINGQ_HUGE_FROM		(1u << 20)	/* smaller rings would waste most of a huge page */
#define RINGQ_PAGE_FLAGS	(RINGQ_HUGE | RINGQ_HUGE_ONLY | RINGQ_SMALL)
#define RINGQ_OPTS_FLAGS	(RINGQ_GEOMETRY_FLAGS | RINGQ_PAGE_FLAGS | RINGQ_ANY_OWNER | \
				 RINGQ_RECORDS | RINGQ_FILE | RINGQ_OBSERVE)

/* Whose memory is it to be? What of it makes no sense together is refused. */
static int ringq_check_source(const struct ringq_opts *o)
{
	bool private = o->memory == RINGQ_PRIVATE;

	if (!o->buffer != !o->buffer_size || (o->buffer && !private))
		return -EINVAL;
	if (!o->alloc != !o->free || (o->arg && !o->alloc) || (o->alloc && !private) ||
	    (o->alloc && o->buffer))
		return -EINVAL;
	if (!(o->flags & RINGQ_FILE))
		return o->fd ? -EINVAL : 0;
	if (o->name || (o->memory != RINGQ_AUTO && o->memory != RINGQ_MEMFD))
		return -EINVAL;
	return 0;
}

/* Takes what the caller's version of a struct has; what we do not know must be zero. */
static int ringq_copy_opts(struct ringq_opts *to, const struct ringq_opts *from)
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
	if (to->memory > RINGQ_PRIVATE || to->flags & ~RINGQ_OPTS_FLAGS || to->mode & ~0777u)
		return -EINVAL;
	if (to->flags & RINGQ_PAGE_FLAGS & ((to->flags & RINGQ_PAGE_FLAGS) - 1))
		return -EINVAL;
	if (to->discipline &&
	    !ringq_ops_of(to->discipline, to->flags & RINGQ_RECORDS ? RINGQ_SHAPE_RECORDS : 0,
			  RINGQ_PRODUCER))
		return -EOPNOTSUPP;
	if (to->name && (!ringq_name_valid(to->name) || to->memory == RINGQ_PRIVATE))
		return -EINVAL;
	return to->reserved ? -EINVAL : ringq_check_source(to);
}

const struct ringq_ops *ringq_ops_of(uint32_t discipline, uint32_t shape, uint32_t role)
{
	static const struct ringq_ops *const fixed[][2] = {
		[RINGQ_SPSC] = { &ringq_spsc_producer, &ringq_spsc_consumer },
		[RINGQ_MPSC] = { &ringq_mpmc_producer, &ringq_mpmc_consumer },
		[RINGQ_SPMC] = { &ringq_mpmc_producer, &ringq_mpmc_consumer },
		[RINGQ_MPMC] = { &ringq_mpmc_producer, &ringq_mpmc_consumer },
		[RINGQ_GATED] = { &ringq_gated_producer, &ringq_gated_consumer },
		[RINGQ_LOSSY] = { &ringq_lossy_producer, &ringq_lossy_consumer },
		[RINGQ_LATEST] = { &ringq_latest_producer, &ringq_latest_consumer },
		[RINGQ_LANES] = { &ringq_spsc_producer, &ringq_lanes_consumer },
	};
	static const struct ringq_ops *const records[][2] = {
		[RINGQ_SPSC] = { &ringq_records_producer, &ringq_records_consumer },
		[RINGQ_LANES] = { &ringq_records_producer, &ringq_lanes_records_consumer },
		[RINGQ_GATED] = { &ringq_records_producer, &ringq_gated_records_consumer },
		[RINGQ_LOSSY] = { &ringq_lossy_records_producer, &ringq_lossy_records_consumer },
	};

	if (shape == RINGQ_SHAPE_RECORDS)
		return discipline < sizeof(records) / sizeof(records[0]) ?
			       records[discipline][role] : NULL;
	return discipline < sizeof(fixed) / sizeof(fixed[0]) ? fixed[discipline][role] : NULL;
}

/* Rounds the capacity up to what the layout can hold; 0 if it is out of reach. */
static uint64_t ringq_round_capacity(uint64_t capacity, uint64_t per_slot)
{
	uint64_t n = per_slot;

	while (n && n < capacity)
		n <<= 1;
	return n;
}

/* Elements, of an element's size; by default. */
static uint64_t ringq_default_capacity(const struct ringq_opts *o)
{
	uint64_t capacity = RINGQ_CAPACITY_BYTES / o->elem_size;

	if (o->discipline == RINGQ_LATEST)
		return RINGQ_CAPACITY_LATEST;
	if (capacity < RINGQ_CAPACITY_MIN)
		return RINGQ_CAPACITY_MIN;
	return capacity < RINGQ_CAPACITY_DEFAULT ? capacity : RINGQ_CAPACITY_DEFAULT;
}

/* Shape and capacity of a ring of elements; 0 or -EFBIG. */
static int ringq_plan_elements(struct ringq_geometry *g, const struct ringq_opts *o)
{
	uint64_t capacity = o->capacity ? o->capacity : ringq_default_capacity(o), per_slot = 1;

	g->shape = RINGQ_SHAPE_APART;
	if (o->elem_size <= RINGQ_LINE_ROOM) {
		g->shape = ringq_claims(g->discipline) ? RINGQ_SHAPE_SLOT : RINGQ_SHAPE_LINE;
		if (g->shape == RINGQ_SHAPE_LINE)
			per_slot = ringq_per_line(g->elem_size);
	}
	/* While one is overwritten there must be another to be read. */
	if (ringq_is_lossy(g->discipline) && capacity < 2 * per_slot)
		capacity = 2 * per_slot;
	g->capacity = ringq_round_capacity(capacity, per_slot);
	return g->capacity ? 0 : -EFBIG;
}

/* Of a ring of records, which is a row of bytes that is made of whole pages. */
static int ringq_plan_records(struct ringq_geometry *g, const struct ringq_opts *o)
{
	uint64_t capacity = o->capacity ? o->capacity : RINGQ_CAPACITY_RECORDS, n;

	g->shape = RINGQ_SHAPE_RECORDS;
	for (n = UINT64_C(1) << g->bulk_shift; n && (n < capacity ||
	     ringq_record_max(n) < o->elem_size); n <<= 1)
		;
	g->capacity = n;
	return n ? 0 : -EFBIG;
}

static int ringq_plan_layout(struct ringq_plan *plan, const struct ringq_opts *o, uint32_t bulk)
{
	struct ringq_geometry *g = &plan->geometry;
	int r;

	g->bulk_shift = bulk;
	r = o->flags & RINGQ_RECORDS ? ringq_plan_records(g, o) : ringq_plan_elements(g, o);
	return r < 0 ? r : ringq_layout_compute(g, &plan->layout);
}

/*
 * Is a ring that was planned in small pages worth huge ones? What is mapped twice takes whole
 * pages, each lane for itself: it must not become larger by that unasked.
 */
static bool ringq_wants_huge(const struct ringq_plan *plan)
{
	if (ringq_is_mirrored(&plan->geometry))
		return plan->geometry.capacity >> RINGQ_BULK_HUGE;
	return plan->layout.total >= RINGQ_HUGE_FROM;
}

static uint32_t ringq_plan_ports(uint32_t wanted, bool many)
{
	return wanted ? wanted : many ? RINGQ_PORTS : 1;
}

static int ringq_make_plan(struct ringq_plan *plan, const struct ringq_opts *o, uint32_t memory)
{
	struct ringq_geometry *g = &plan->geometry;
	bool given = o->buffer || o->alloc;
	int r;

	memset(plan, 0, sizeof(*plan));
	if (!o->elem_size)
		return -EINVAL;
	if (o->elem_size > RINGQ_ELEM_MAX)
		return -EFBIG;
	plan->name = o->name ? o->name : "";
	plan->flags = o->flags;
	plan->mode = o->mode ? o->mode : 0600;

	g->discipline = o->discipline ? o->discipline : RINGQ_SPSC;
	g->elem_size = o->elem_size;
	g->producers = ringq_plan_ports(o->producers, ringq_has_many_producers(g->discipline));
	/* A sole reader of lanes needs no locked instruction: who wants several asks for them. */
	g->consumers = ringq_plan_ports(o->consumers, g->discipline != RINGQ_LANES &&
						      ringq_has_many_consumers(g->discipline));
	g->first = o->first;
	g->flags = o->flags & RINGQ_GEOMETRY_FLAGS;
	/* Who cannot interrupt others makes rings that need no interruption. */
	if (memory != RINGQ_DEVICE && ringq_barrier_available(memory) < 0)
		g->flags |= RINGQ_FENCE;

	g->unit_shift = given ? RINGQ_UNIT_LINES : RINGQ_UNIT_PAGES;
	r = ringq_plan_layout(plan, o, g->unit_shift);
	if (r < 0)
		return r;
	if (given && o->flags & RINGQ_HUGE_ONLY)
		return -EINVAL;
	if (given || o->flags & RINGQ_SMALL ||
	    (!(o->flags & RINGQ_PAGE_FLAGS) && !ringq_wants_huge(plan)))
		return 0;
	return ringq_plan_layout(plan, o, RINGQ_BULK_HUGE);
}

/* A handle handed in memory lies before the region, both at multiples of a line pair. */
static uint64_t ringq_handle_size(void)
{
	return ringq_round_up(sizeof(struct ringq), RINGQ_LINE_PAIR);
}

static const struct ringq_backend *ringq_backend_of(uint32_t memory)
{
	switch (memory) {
	case RINGQ_DEVICE:
		return &ringq_device_backend;
	case RINGQ_MEMFD:
		return &ringq_memfd_backend;
	default:
		return &ringq_private_backend;
	}
}

static void ringq_init(struct ringq *ring, uint32_t memory)
{
	memset(ring, 0, sizeof(*ring));
	ring->memory = memory;
	ring->backend = ringq_backend_of(memory);
	ring->pid = getpid();
	ring->fd = -1;
	ring->lock_fd = -1;
	ring->listen_fd = -1;
	pthread_mutex_init(&ring->mutex, NULL);
}

static struct ringq *ringq_new(uint32_t memory)
{
	struct ringq *ring = malloc(sizeof(*ring));

	if (ring)
		ringq_init(ring, memory);
	return ring;
}

RINGQ_PUBLIC void ringq_leave(struct ringq *ring)
{
	struct ringq copy;

	if (!ring)
		return;
	ring->backend->free(ring);
	pthread_mutex_destroy(&ring->mutex);
	copy = *ring;
	if (!copy.buffer)
		free(ring);
	else if (copy.free && !ringq_is_stale(&copy))
		copy.free(copy.free_arg, copy.buffer, copy.free_size);
}

/* Ends a way to a ring: hands the ring out, or undoes it. */
static int ringq_finish(struct ringq *ring, int r, const struct ringq_opts *o, struct ringq **out)
{
	if (r == 0 && !ring->created && o->elem_size && o->elem_size != ring->geometry.elem_size)
		r = -EPROTOTYPE;
	if (r == 0 && o->discipline && o->discipline != ring->geometry.discipline)
		r = -EPROTOTYPE;
	/* Joined may be what a newer library has made. */
	if (r == 0 && !ringq_ops_of(ring->geometry.discipline, ring->geometry.shape,
				    RINGQ_PRODUCER))
		r = -EOPNOTSUPP;
	if (r == 0 && !ring->created && o->flags & RINGQ_RECORDS &&
	    ring->geometry.shape != RINGQ_SHAPE_RECORDS)
		r = -EPROTOTYPE;
	if (r == 0 && !ring->created && o->name && !(o->flags & RINGQ_ANY_OWNER) &&
	    ring->uid != 0 && ring->uid != geteuid())
		r = -EACCES;
	ring->observes = o->flags & RINGQ_OBSERVE;
	/* The name is served from now on. */
	if (r == 0 && ring->memory == RINGQ_MEMFD && ring->name[0] && !ring->observes)
		r = ringq_memfd_watch(ring);
	if (r == 0)
		*out = ring;
	else
		ringq_leave(ring);
	return r;
}

/*
 * All of a ring is touched when it is made. The kernel answers more than the machine has not
 * with an error but by killing somebody.
 */
static bool ringq_is_too_much(uint64_t total)
{
	struct sysinfo s;

	return sysinfo(&s) == 0 && total / s.mem_unit > s.totalram + s.totalswap;
}

/* Lays a handle into memory, and leaves room for the region behind it. */
static int ringq_lay(struct ringq_plan *plan, void *buffer, size_t size, struct ringq **ring)
{
	uint64_t at = ringq_round_up((uintptr_t)buffer, RINGQ_LINE_PAIR);
	uint64_t lead = at - (uintptr_t)buffer + ringq_handle_size();

	if (size < lead || size - lead < plan->layout.total)
		return -ENOBUFS;
	*ring = (struct ringq *)at;
	ringq_init(*ring, RINGQ_PRIVATE);
	(*ring)->buffer = buffer;
	plan->buffer = (unsigned char *)*ring + ringq_handle_size();
	return 0;
}

/* The same in memory from the caller's function. */
static int ringq_lay_allocated(struct ringq_plan *plan, const struct ringq_opts *o,
			       struct ringq **ring)
{
	size_t size = ringq_handle_size() + plan->layout.total;
	void *memory = o->alloc(o->arg, size, RINGQ_LINE_PAIR);
	int r;

	if (!memory)
		return -ENOMEM;
	r = ringq_lay(plan, memory, size, ring);
	if (r < 0) {
		/* Not aligned as it was asked for. */
		o->free(o->arg, memory, size);
		return -EINVAL;
	}
	(*ring)->free = o->free;
	(*ring)->free_arg = o->arg;
	(*ring)->free_size = size;
	return 0;
}

static int ringq_make(const struct ringq_opts *o, uint32_t memory, struct ringq **out)
{
	struct ringq_plan plan;
	struct ringq *ring;
	int r = ringq_make_plan(&plan, o, memory);

	if (r < 0)
		return r;
	if (!o->buffer && memory != RINGQ_DEVICE && ringq_is_too_much(plan.layout.total))
		return -ENOMEM;
	if (o->buffer) {
		r = ringq_lay(&plan, o->buffer, o->buffer_size, &ring);
	} else if (o->alloc) {
		r = ringq_lay_allocated(&plan, o, &ring);
	} else {
		ring = ringq_new(memory);
		r = ring ? 0 : -ENOMEM;
	}
	if (r < 0)
		return r;
	ring->created = 1;
	ring->geometry = plan.geometry;
	ring->layout = plan.layout;
	return ringq_finish(ring, ring->backend->create(ring, &plan), o, out);
}

/* Makes, or joins, the ring in a file that the handle has. Who makes one has it locked. */
static int ringq_in_file(struct ringq *ring, struct ringq_opts *o, bool join, bool create)
{
	struct ringq_plan plan;
	bool planned = false;
	int r;

	if (ringq_file_is_huge(ring))
		o->flags = (o->flags & ~RINGQ_PAGE_FLAGS) | RINGQ_HUGE;
	if (create && (o->elem_size || ringq_file_is_blank(ring, NULL))) {
		r = ringq_make_plan(&plan, o, RINGQ_MEMFD);
		if (r < 0)
			return r;
		planned = true;
	}
	if (!ringq_file_is_blank(ring, planned ? &plan : NULL))
		return join ? ringq_file_join(ring) : -EEXIST;
	if (!create)
		return -ENOENT;
	if (ringq_is_too_much(plan.layout.total))
		return -ENOMEM;
	ring->created = 1;
	ring->geometry = plan.geometry;
	ring->layout = plan.layout;
	return ringq_file_create(ring, &plan);
}

static int ringq_by_file(struct ringq_opts *o, bool join, bool create, struct ringq **out)
{
	/* Who only looks does not wait for who is stopped while he has the lock. */
	bool lock = !(o->flags & RINGQ_OBSERVE);
	struct ringq *ring = ringq_new(RINGQ_MEMFD);
	int r;

	if (!ring)
		return -ENOMEM;
	r = ringq_file_enter(ring, o->fd, o->flags & RINGQ_ANY_OWNER);
	if (r == 0 && lock)
		r = ringq_memfd_lock(ring, true);
	if (r == 0) {
		r = ringq_in_file(ring, o, join, create);
		if (lock)
			ringq_memfd_unlock(ring);
	}
	return ringq_finish(ring, r, o, out);
}

static int ringq_join_memfd(const struct ringq_opts *o, struct ringq **out)
{
	int fd = ringq_name_find(o->name, o->flags & RINGQ_ANY_OWNER);
	struct ringq *ring;

	if (fd < 0)
		return fd;
	ring = ringq_new(RINGQ_MEMFD);
	if (!ring) {
		close(fd);
		return -ENOMEM;
	}
	return ringq_finish(ring, ringq_memfd_join(ring, fd), o, out);
}

static int ringq_join_device(const struct ringq_opts *o, const char *name, int handle,
			     struct ringq **out)
{
	struct ringq *ring = ringq_new(RINGQ_DEVICE);

	if (!ring)
		return -ENOMEM;
	return ringq_finish(ring, ringq_device_join(ring, name, handle), o, out);
}

/* May the device be used for this? With RINGQ_AUTO only if it is there. */
static bool ringq_try_device(const struct ringq_opts *o)
{
	int fd;

	if (o->memory != RINGQ_AUTO)
		return o->memory == RINGQ_DEVICE;
	fd = ringq_device_open(NULL);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Joins, creates, or both, with the bare name held. */
static int ringq_by_name(const struct ringq_opts *o, bool join, bool create, struct ringq **out)
{
	bool device = ringq_try_device(o);
	int r = -ENOENT;

	if (o->memory != RINGQ_DEVICE)
		r = ringq_join_memfd(o, out);
	/* Without /proc there are no members to be found, but the module may know. */
	if ((r == -ENOENT || r == -EOPNOTSUPP) && device)
		r = ringq_join_device(o, o->name, -1, out);
	if (r == 0 && !join) {
		ringq_leave(*out);
		*out = NULL;
		return -EEXIST;
	}
	if (!join && (r == -EACCES || r == -EPROTOTYPE))
		return -EEXIST;
	if (r == -ENOENT && create)
		r = ringq_make(o, device ? RINGQ_DEVICE : RINGQ_MEMFD, out);
	return r;
}

static int ringq_named(const struct ringq_opts *o, bool join, bool create, struct ringq **out)
{
	int lock, r;

	/* Who makes nothing is in nobody's way. */
	if (o->flags & RINGQ_OBSERVE)
		return ringq_by_name(o, join, create, out);
	lock = ringq_name_lock(o->name);
	if (lock < 0)
		return lock;
	r = ringq_by_name(o, join, create, out);
	close(lock);
	return r;
}

RINGQ_PUBLIC int ringq_create(const struct ringq_opts *opts, struct ringq **ring)
{
	struct ringq_opts o;
	int r = opts && ring ? ringq_copy_opts(&o, opts) : -EINVAL;

	if (r == 0 && o.flags & RINGQ_OBSERVE)
		r = -EINVAL;
	if (r < 0)
		return r;
	*ring = NULL;
	if (o.flags & RINGQ_FILE)
		return ringq_by_file(&o, false, true, ring);
	if (o.name)
		return ringq_named(&o, false, true, ring);
	if (o.memory == RINGQ_AUTO)
		o.memory = ringq_try_device(&o) ? RINGQ_DEVICE : RINGQ_MEMFD;
	return ringq_make(&o, o.memory, ring);
}

static int ringq_join_or_open(const struct ringq_opts *opts, bool create, struct ringq **ring)
{
	struct ringq_opts o;
	int r = opts && ring ? ringq_copy_opts(&o, opts) : -EINVAL;

	if (r == 0 && create && o.flags & RINGQ_OBSERVE)
		r = -EINVAL;
	if (r < 0)
		return r;
	*ring = NULL;
	if (o.flags & RINGQ_FILE)
		return ringq_by_file(&o, true, create, ring);
	if (!o.name)
		return -EINVAL;
	return ringq_named(&o, true, create, ring);
}

RINGQ_PUBLIC int ringq_join(const struct ringq_opts *opts, struct ringq **ring)
{
	return ringq_join_or_open(opts, false, ring);
}

RINGQ_PUBLIC int ringq_open(const struct ringq_opts *opts, struct ringq **ring)
{
	return ringq_join_or_open(opts, true, ring);
}

RINGQ_PUBLIC int ringq_join_fd(int fd, const struct ringq_opts *opts, struct ringq **out)
{
	struct ringq_opts o;
	struct ringq *ring;
	int r = out ? ringq_copy_opts(&o, opts) : -EINVAL, copy;

	if (r < 0)
		return r;
	*out = NULL;
	/* A handle of the module says so; anything else is a memfd or nothing. */
	if (ringq_device_is(fd))
		return ringq_join_device(&o, NULL, fd, out);
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return -errno;
	ring = ringq_new(RINGQ_MEMFD);
	if (!ring) {
		close(copy);
		return -ENOMEM;
	}
	return ringq_finish(ring, ringq_memfd_join(ring, copy), &o, out);
}

RINGQ_PUBLIC int ringq_reset(struct ringq *ring)
{
	if (ringq_is_stale(ring))
		return -ESTALE;
	return ring->backend->reset ? ring->backend->reset(ring) : -EOPNOTSUPP;
}

RINGQ_PUBLIC int ringq_fd(const struct ringq *ring)
{
	return ring->fd >= 0 ? ring->fd : -EOPNOTSUPP;
}

RINGQ_PUBLIC int64_t ringq_buffer_size(const struct ringq_opts *opts)
{
	static unsigned char somewhere;
	struct ringq_opts o;
	struct ringq_plan plan;
	int r = opts ? ringq_copy_opts(&o, opts) : -EINVAL;

	if (r < 0)
		return r;
	o.buffer = &somewhere;
	r = ringq_make_plan(&plan, &o, RINGQ_PRIVATE);
	if (r < 0)
		return r;
	return plan.layout.total + ringq_handle_size() + RINGQ_LINE_PAIR - 1;
}

RINGQ_PUBLIC int ringq_check(const struct ringq *ring, enum ringq_discipline discipline,
			     size_t elem_size)
{
	return ring->geometry.discipline == (uint32_t)discipline &&
	       ring->geometry.shape != RINGQ_SHAPE_RECORDS &&
	       ring->geometry.elem_size == elem_size ? 0 : -EPROTOTYPE;
}

RINGQ_PUBLIC int ringq_get_info(const struct ringq *ring, struct ringq_info *info)
{
	struct ringq_info all = {
		.memory = ring->memory,
		.discipline = ring->geometry.discipline,
		.elem_size = ring->geometry.elem_size,
		.capacity = ring->geometry.capacity,
		.flags = ring->geometry.flags |
			 (ring->geometry.shape == RINGQ_SHAPE_RECORDS ? RINGQ_RECORDS : 0),
		.producers = ring->geometry.producers,
		.consumers = ring->geometry.consumers,
		.created = ring->created,
		.page_shift = ring->page_shift,
		.uid = ring->uid,
		.mode = ring->mode,
		.total = ring->layout.total,
		.header = ring->layout.bulk,
		.data = ringq_lanes(&ring->geometry) * ring->layout.slots * ring->layout.slot_size,
	};

	if (info->size < sizeof(all))
		return -EINVAL;
	all.size = info->size;
	memcpy(all.id, ring->id, sizeof(all.id));
	memcpy(all.name, ring->name, sizeof(all.name));
	memcpy(info, &all, sizeof(all));
	return 0;
}
