/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Where every byte of a ring lies. The library and the module both compute it
 * here, from a geometry that each of them holds privately; nobody believes an
 * offset that is found in shared memory.
 *
 * The sections, each at a multiple of the unit (4096 bytes where pages have
 * permissions, 128 in memory that has none to give), in the same order in every
 * memory:
 *
 *   header      what the ring is; written before anybody else can see it, then
 *               never again
 *   attention   one word for each side, read at every message and written only
 *               when somebody falls asleep, closes, leaves or dies: by the module
 *               alone where there is one
 *   producers   what producers share: the index they claim from
 *   consumers   the same for consumers
 *   ports       one for each port, written by its owner (and, without the module,
 *               by those who attach, kick and repair)
 *   bulk        the stamps, then the data; at a multiple of 2 MiB if in huge
 *               pages, so that one mapping covers whole ones
 *
 * A position is the number of a message since the ring began, counted up from
 * geometry.first. Positions never wrap: 2^61 of them last seventy years at a
 * thousand million a second. A stamp tells the state of a slot, and in which lap:
 *
 *   stamp = position << 2 | RINGQ_FREE, RINGQ_FULL, RINGQ_TOMB or RINGQ_SPECIAL
 *
 * SHAPE_LINE, elements of 1 to 56 bytes. A line of 64 bytes holds k = 56 / size
 * of them and one stamp, which names the last position published in the line: a
 * message and its publication are one line to move between cores.
 *
 *      0     8     16    24    32    40    48    56
 *     +-----+-----+-----+-----+-----+-----+-----+-----+
 *     |  0  |  1  |  2  |  3  |  4  |  5  |  6  |stamp|     8 bytes, k = 7
 *     +-----+-----+-----+-----+-----+-----+-----+-----+
 *     |        0        |        1        |     |stamp|     24 bytes, k = 2
 *     +-----------------+-----------------+-----+-----+
 *
 *   Capacity is k << m. One stamp for several elements, hence one writer a line.
 *
 * SHAPE_APART, elements of more than 56 bytes. A reader that looked for a stamp
 * inside the lines that are being written would take them away from the writer,
 * so the stamps are an array of their own, eight to a line, and the elements
 * begin at multiples of 64 bytes. Capacity is 1 << m.
 *
 * Zeroed memory is an empty ring but for the header and the ports' positions: the
 * stamp 0 says FREE(0), which is below every position that anybody waits for.
 */
#ifndef RINGQ_LAYOUT_H
#define RINGQ_LAYOUT_H

#ifdef __KERNEL__
#include <linux/build_bug.h>
#include <linux/errno.h>
#include <linux/stddef.h>
#include <uapi/linux/ringq.h>
#else
#include <assert.h>
#include <errno.h>
#include <linux/ringq.h>
#include <stddef.h>
#endif

/* "RINGQ", and bytes that a transfer as text would change. */
#define RINGQ_MAGIC		0x000d1a0a514e4952ull

#define RINGQ_LINE		64	/* bytes that move between cores as one */
#define RINGQ_LINE_PAIR		128	/* what prefetchers move: words of two owners are so far apart */
#define RINGQ_LINE_ROOM		56	/* bytes of a line that are not its stamp */

#define RINGQ_ELEM_MAX		(1u << 30)
#define RINGQ_TOTAL_MAX		(1ull << 40)
#define RINGQ_FIRST_MAX		(1ull << 60)	/* a ring that begins below stays below 2^61 */

#define RINGQ_UNIT_LINES	7	/* unit_shift of memory without page permissions */
#define RINGQ_UNIT_PAGES	12
#define RINGQ_BULK_HUGE		21

/* States of a stamp. */
#define RINGQ_FREE		0ull	/* may be written for this position */
#define RINGQ_FULL		1ull	/* this position is published */
#define RINGQ_TOMB		2ull	/* this position will never be published: skip it */
#define RINGQ_SPECIAL		3ull	/* in the hands of repair */

#define RINGQ_STAMP(pos, state)	((__u64)(pos) << 2 | (state))

/*
 * Attention words. The one called data is read by producers and says that somebody
 * waits for data; the one called space is read by consumers. Zero: go on. The low 56
 * bits say who is armed: groups of ports without the module, which is the only
 * writer where it is loaded and sets just one.
 */
#define RINGQ_CLOSED		(1ull << 63)	/* the ring is closed */
#define RINGQ_DEAD		(1ull << 62)	/* the other side's last port died, for good */
#define RINGQ_GONE		(1ull << 61)	/* the other side's last port left, for good */
#define RINGQ_FENCED		(1ull << 60)	/* look again after a full fence */
#define RINGQ_ENDED		(RINGQ_CLOSED | RINGQ_DEAD | RINGQ_GONE)
#define RINGQ_GROUPS		56
#define RINGQ_ARMED		((1ull << RINGQ_GROUPS) - 1)

struct ringq_attention {
	__u64 data __attribute__((aligned(RINGQ_LINE_PAIR)));
	__u64 space __attribute__((aligned(RINGQ_LINE_PAIR)));
	/* Counts attaches, departures and deaths: who watches ports looks again. */
	__u64 epoch __attribute__((aligned(RINGQ_LINE_PAIR)));
};

/* What the ports of one side share. With one port a side nobody writes it. */
struct ringq_side {
	__u64 index __attribute__((aligned(RINGQ_LINE_PAIR)));	/* next position to claim */
	__u64 shared __attribute__((aligned(RINGQ_LINE_PAIR)));	/* non-zero: claim by CAS */
};

/*
 * A port's own page. @done and @taken are exact whenever the other side, the module
 * or a successor has to rely on them:
 *
 *   consumer   everything below @done is free to be overwritten. @taken is stored
 *              before what lies below it is shown in place, and never goes down; a
 *              successor starts at @done and calls what lies below @taken redelivered.
 *              @hand, if above @done, is the end of what is peeked just now: who looks
 *              whether there is something to be had looks there.
 *   producer   everything below @done is published. It is stored when the port finds
 *              the ring full, sleeps, polls or leaves, never more than a lap late;
 *              a successor walks on from it over the stamps.
 *
 * The second and third lines serve memory without the module, which keeps that
 * knowledge to itself.
 */
struct ringq_port_page {
	__u64 claim __attribute__((aligned(RINGQ_LINE_PAIR)));	/* what is being claimed */
	__u64 taken;
	__u64 done;
	__u64 hand;

	__u32 state __attribute__((aligned(RINGQ_LINE_PAIR)));	/* enum ringq_port_state */
	__u32 generation;	/* how often this page was taken */
	__u32 role;		/* enum ringq_role */
	__u32 pid;		/* the owner's, in its own pid namespace... */
	__u64 pid_ns;		/* ...which is this one (inode number in nsfs) */

	__u32 wake __attribute__((aligned(RINGQ_LINE_PAIR)));	/* futex: RINGQ_AWAKE ... */
};

enum ringq_port_state {
	RINGQ_PORT_FREE = 0,	/* never taken */
	RINGQ_PORT_LIVE = 1,
	RINGQ_PORT_LEFT = 2,	/* its owner detached */
	RINGQ_PORT_DEAD = 3,	/* its owner died and what it left has been put in order */
};

/* Values of ringq_port_page.wake. */
#define RINGQ_AWAKE		0
#define RINGQ_ASLEEP		1	/* armed: a kick is wanted */
#define RINGQ_KICKED		2

/* Offsets in bytes from the start of the region. */
struct ringq_layout {
	__u64 attention;
	__u64 sides[2];		/* by enum ringq_role */
	__u64 ports;
	__u64 port_stride;
	__u64 bulk;		/* the stamps of SHAPE_APART begin here */
	__u64 data;
	__u64 slots;		/* SHAPE_LINE: lines; SHAPE_APART: elements */
	__u64 total;
	__u32 per_slot;		/* elements of a slot */
	__u32 slot_size;	/* bytes from slot to slot */
};

/*
 * The first bytes of a region. A region is accepted if magic and version are these,
 * the layout that follows from the geometry is the one that stands here, and it is
 * not larger than the memory. The rest is for people.
 */
struct ringq_header {
	__u64 magic;
	__u32 version;		/* RINGQ_LAYOUT_VERSION */
	__u32 size;		/* sizeof(struct ringq_header) */
	struct ringq_geometry geometry;
	struct ringq_layout layout;
	__u8 id[16];
	__u64 created_ns;	/* since 1970 */
	__u32 uid;		/* of the creator */
	__u32 pid;
	__u32 mode;		/* permission bits for those who join by name */
	__u32 page_shift;	/* of the smallest page that held data at creation */
	char name[RINGQ_NAME_SIZE];
};

#ifdef __KERNEL__
#define RINGQ_LAYOUT_ASSERT(cond) static_assert(cond)
#elif defined(__cplusplus)
#define RINGQ_LAYOUT_ASSERT(cond) static_assert(cond, #cond)
#else
#define RINGQ_LAYOUT_ASSERT(cond) _Static_assert(cond, #cond)
#endif

RINGQ_LAYOUT_ASSERT(sizeof(struct ringq_geometry) == 48);
RINGQ_LAYOUT_ASSERT(sizeof(struct ringq_layout) == 80);
RINGQ_LAYOUT_ASSERT(sizeof(struct ringq_header) == 248);
RINGQ_LAYOUT_ASSERT(offsetof(struct ringq_header, id) == 144);
RINGQ_LAYOUT_ASSERT(sizeof(struct ringq_attention) == 3 * RINGQ_LINE_PAIR);
RINGQ_LAYOUT_ASSERT(sizeof(struct ringq_side) == 2 * RINGQ_LINE_PAIR);
RINGQ_LAYOUT_ASSERT(sizeof(struct ringq_port_page) == 3 * RINGQ_LINE_PAIR);
RINGQ_LAYOUT_ASSERT(offsetof(struct ringq_port_page, done) == 16);
RINGQ_LAYOUT_ASSERT(offsetof(struct ringq_port_page, wake) == 2 * RINGQ_LINE_PAIR);

static inline __u64 ringq_round_up(__u64 n, __u64 power)
{
	return (n + power - 1) & ~(power - 1);
}

static inline int ringq_is_power_of_2(__u64 n)
{
	return n && !(n & (n - 1));
}

/* Elements that lie in one line with their stamp. */
static inline __u32 ringq_per_line(__u32 elem_size)
{
	return RINGQ_LINE_ROOM / elem_size;
}

/**
 * ringq_layout_compute - the places that follow from a geometry
 * @g: checked in every field; held privately by the caller.
 * @l: written if it returns 0.
 *
 * Returns 0, or -EINVAL if the geometry is not exact, or -EFBIG if the ring would be
 * larger than RINGQ_TOTAL_MAX.
 */
static inline int ringq_layout_compute(const struct ringq_geometry *g, struct ringq_layout *l)
{
	__u64 unit, bulk_unit, stamps = 0;

	if (g->discipline != RINGQ_SPSC || g->ports != 2)
		return -EINVAL;
	if (g->flags & ~RINGQ_GEOMETRY_FLAGS || g->reserved || g->first >= RINGQ_FIRST_MAX)
		return -EINVAL;
	if (g->unit_shift != RINGQ_UNIT_LINES && g->unit_shift != RINGQ_UNIT_PAGES)
		return -EINVAL;
	if (g->bulk_shift != g->unit_shift &&
	    !(g->bulk_shift == RINGQ_BULK_HUGE && g->unit_shift == RINGQ_UNIT_PAGES))
		return -EINVAL;
	if (!g->elem_size || g->elem_size > RINGQ_ELEM_MAX)
		return -EINVAL;
	if (!g->capacity)
		return -EINVAL;
	if (g->capacity > RINGQ_TOTAL_MAX)
		return -EFBIG;

	unit = 1ull << g->unit_shift;
	bulk_unit = 1ull << g->bulk_shift;

	if (g->elem_size <= RINGQ_LINE_ROOM) {
		l->per_slot = ringq_per_line(g->elem_size);
		l->slot_size = RINGQ_LINE;
		l->slots = g->capacity / l->per_slot;
		if (g->shape != RINGQ_SHAPE_LINE || l->slots * l->per_slot != g->capacity)
			return -EINVAL;
	} else {
		l->per_slot = 1;
		l->slot_size = ringq_round_up(g->elem_size, RINGQ_LINE);
		l->slots = g->capacity;
		if (g->shape != RINGQ_SHAPE_APART)
			return -EINVAL;
		stamps = ringq_round_up(l->slots * sizeof(__u64), unit);
	}
	if (!ringq_is_power_of_2(l->slots))
		return -EINVAL;
	if (l->slots > RINGQ_TOTAL_MAX / l->slot_size)
		return -EFBIG;

	l->attention = ringq_round_up(sizeof(struct ringq_header), unit);
	l->sides[RINGQ_PRODUCER] = l->attention +
				   ringq_round_up(sizeof(struct ringq_attention), unit);
	l->sides[RINGQ_CONSUMER] = l->sides[RINGQ_PRODUCER] +
				   ringq_round_up(sizeof(struct ringq_side), unit);
	l->ports = l->sides[RINGQ_CONSUMER] + ringq_round_up(sizeof(struct ringq_side), unit);
	l->port_stride = ringq_round_up(sizeof(struct ringq_port_page), unit);
	l->bulk = ringq_round_up(l->ports + g->ports * l->port_stride, bulk_unit);
	l->data = l->bulk + stamps;
	l->total = ringq_round_up(l->data + l->slots * l->slot_size, bulk_unit);
	return l->total > RINGQ_TOTAL_MAX ? -EFBIG : 0;
}

/* With one port a side the pages are fixed: page i belongs to the role of value i. */
static inline __u32 ringq_port_of_role(__u32 role)
{
	return role;
}

/**
 * ringq_look_at - the stamp that says whether a position is published
 * @g: the geometry, as ringq_layout_compute() took it.
 * @l: the layout that follows from it.
 * @pos: any number: the offset is inside the ring whatever it is.
 *
 * Returns the offset of the stamp. The position is published if the signed
 * difference of that stamp and RINGQ_STAMP(pos, RINGQ_FULL) is not negative.
 */
static inline __u64 ringq_look_at(const struct ringq_geometry *g, const struct ringq_layout *l,
				  __u64 pos)
{
	__u64 slot;

	if (g->shape == RINGQ_SHAPE_APART)
		return l->bulk + (pos & (l->slots - 1)) * sizeof(__u64);
	slot = pos / l->per_slot & (l->slots - 1);
	return l->data + slot * RINGQ_LINE + RINGQ_LINE_ROOM;
}

#endif /* RINGQ_LAYOUT_H */
