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
 *               alone where there is one. Behind them the last deaths, where there is none
 *   producers   what producers share: the index they claim from
 *   consumers   the same for consumers; in LANES, the words of each lane as well
 *   ports       one for each port, first the producers', written by its owner (and,
 *               without the module, by those who attach, kick and repair)
 *   bulk        the stamps, then the data; at a multiple of 2 MiB if in huge
 *               pages, so that one mapping covers whole ones. In LANES, the stamps
 *               of each lane, then the data of each lane
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
 * SHAPE_SLOT, elements of 1 to 56 bytes where several producers may write to a line: each
 * element has its own stamp, in the last 8 bytes of a slot of 16, 32 or 64. Small slots
 * share lines: claimed one after the other, they are often written by the same producer.
 * Capacity is 1 << m. (Larger elements are APART there too.)
 *
 * SHAPE_RECORDS, messages of any size up to a maximum. The data is a row of bytes, and a
 * position counts bytes. ringq/records.h has what a record looks like. In memory that can
 * be mapped twice in a row, what wraps around is contiguous all the same; in memory that
 * was handed in (unit_shift 7) the rest of the row is left out.
 *
 * Zeroed memory is an empty ring but for the header, the ports' positions, and the stamps
 * of MPSC, SPMC and MPMC, which say FREE of the first lap: elsewhere the stamp 0 says
 * FREE(0), which is below every position that anybody waits for.
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
#define RINGQ_LINE_PAIR		128	/* what prefetchers move: it keeps two owners apart */
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

#define RINGQ_SIDE_WORDS	(RINGQ_SIDE_MAX / 64)

struct ringq_attention {
	__u64 data __attribute__((aligned(RINGQ_LINE_PAIR)));
	__u64 space __attribute__((aligned(RINGQ_LINE_PAIR)));
	/* Counts attaches, departures and deaths: who watches ports looks again. */
	__u64 epoch __attribute__((aligned(RINGQ_LINE_PAIR)));
	/* Bit i: port i of that role is attached, and alive as far as is known. */
	__u64 live[2][RINGQ_SIDE_WORDS];
	/* Bit i: consumer i of a GATED ring is dead and its place kept for a successor. */
	__u64 kept[RINGQ_SIDE_WORDS];
};

/*
 * The last deaths, that of serial s in entries[s % RINGQ_DEATHS]; behind struct ringq_attention, in
 * memory without the module. Whoever buries writes them, under the attach lock; anybody may read
 * at any time. An entry is whole if its serial is the one that is looked for, before it is copied
 * and after that: it is 0 while the rest is stored. lib/deaths.c has the rest.
 */
struct ringq_deaths {
	__u64 count __attribute__((aligned(RINGQ_LINE_PAIR)));	/* serial of the last one */
	struct ringq_death entries[RINGQ_DEATHS] __attribute__((aligned(RINGQ_LINE_PAIR)));
};

/* What repair has done to what a dead port had; as in struct ringq_death. */
struct ringq_tally {
	__u64 tombs;
	__u64 redelivered;
	__u64 dropped;
};

/* What the ports of one side share. With one port a side nobody writes it. */
struct ringq_side {
	__u64 index __attribute__((aligned(RINGQ_LINE_PAIR)));	/* next position to claim */
	__u64 shared __attribute__((aligned(RINGQ_LINE_PAIR)));	/* non-zero: claim by CAS */
	__u64 orphans;		/* counts hand-overs: who finds nothing looks for them */
	__u64 wide;		/* non-zero: some port has waited for more than one at a time */
};

/*
 * How far a consumer is. @done and @taken are exact whenever the other side, the module or a
 * successor has to rely on them: everything below @done is free to be overwritten; @taken is
 * stored before what lies below it is shown in place, and never goes down; a successor starts
 * at @done and calls what lies below @taken redelivered. @hand, if above @done, is the end of
 * what is peeked just now: who looks whether there is something to be had looks there.
 */
struct ringq_progress {
	__u64 taken;
	__u64 done;
	__u64 hand;
};

/* For a consumer that begins here, and has no predecessor. */
static inline void ringq_progress_begin(struct ringq_progress *progress, __u64 pos)
{
	progress->taken = pos;
	progress->done = pos;
	progress->hand = pos;
}

/* A lane's part of the consumers' section. */
struct ringq_lane {
	__u64 owner __attribute__((aligned(RINGQ_LINE_PAIR)));	/* generation << 32 | port + 1 */
	struct ringq_progress progress;
};

/*
 * A port's own page. The progress is a consumer's (but in LANES, where each lane has its own).
 * The claim is a port's of a side that claims; in GATED a reader's says that its gate stands.
 * A producer's @done: everything below is published. It is stored when the port finds the ring
 * full, sleeps, polls or leaves, never more than a lap late; a successor walks on from it over
 * the stamps, or the headers. LOSSY and LATEST store it at every message, and in LOSSY records
 * before it @taken, which then is the number of the record that begins there. In MPSC, SPMC and
 * MPMC it tells whereabouts the port's claim is, and a producer that drains where what it sent
 * ends.
 *
 * The second and third lines, but for @oldest, serve memory without the module, which keeps
 * that knowledge to itself. What follows them, in LANES, is the consumer's own notes on each lane.
 */
struct ringq_port_page {
	__u64 claim __attribute__((aligned(RINGQ_LINE_PAIR)));	/* what is being claimed */
	/* On a line of its own: the other side reads it, and would delay claims. */
	struct ringq_progress progress __attribute__((aligned(RINGQ_LINE)));
	__u64 seen;		/* ringq_side.orphans, when this port looked for some last */

	__u32 state __attribute__((aligned(RINGQ_LINE_PAIR)));	/* enum ringq_port_state */
	__u32 generation;	/* how often this page was taken */
	__u32 role;		/* enum ringq_role */
	__u32 pid;		/* the owner's, in its own pid namespace... */
	__u64 pid_ns;		/* ...which is this one (inode number in nsfs) */
	__u64 oldest;		/* GATED, LOSSY producer: what lies below may be overwritten */
	__u64 attached_ns;	/* when it was taken, of the owner's CLOCK_MONOTONIC */

	__u32 wake __attribute__((aligned(RINGQ_LINE_PAIR)));	/* futex: RINGQ_AWAKE ... */
	__u64 told;		/* of the ring's deaths, those that this port has been told of */
	struct ringq_tally left;	/* of the owner, who has died: so far */
};

enum ringq_port_state {
	RINGQ_PORT_FREE = 0,	/* never taken */
	RINGQ_PORT_LIVE = 1,
	RINGQ_PORT_LEFT = 2,	/* its owner detached */
	RINGQ_PORT_DEAD = 3,	/* its owner died and what it left has been put in order */
	RINGQ_PORT_DYING = 4,	/* told, never stored: its owner died, that is not done yet */
};

/* Values of ringq_port_page.wake. */
#define RINGQ_AWAKE		0
#define RINGQ_ASLEEP		1	/* armed: a kick is wanted */
#define RINGQ_KICKED		2
#define RINGQ_POLLED		3	/* armed by who polls: every kick is for it too */

/* Offsets and sizes in bytes; offsets from the start of the region. */
struct ringq_layout {
	__u64 attention;
	__u64 sides[2];		/* by enum ringq_role */
	__u64 lanes;		/* LANES: struct ringq_lane for each producer */
	__u64 ports;
	__u64 port_stride;
	__u64 bulk;		/* stamps that are apart begin here */
	__u64 lane_stamps;	/* from the stamps of a lane to those of the next */
	__u64 data;
	__u64 lane_data;	/* from the data of a lane to that of the next */
	__u64 slots;		/* of a lane. LINE: lines; RECORDS: 8 bytes each; else elements */
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
RINGQ_LAYOUT_ASSERT(sizeof(struct ringq_layout) == 104);
RINGQ_LAYOUT_ASSERT(sizeof(struct ringq_header) == 272);
RINGQ_LAYOUT_ASSERT(offsetof(struct ringq_header, id) == 168);
RINGQ_LAYOUT_ASSERT(sizeof(struct ringq_attention) == 3 * RINGQ_LINE_PAIR);
RINGQ_LAYOUT_ASSERT(sizeof(struct ringq_death) == 64);
RINGQ_LAYOUT_ASSERT(sizeof(struct ringq_deaths) == 9 * RINGQ_LINE_PAIR);
RINGQ_LAYOUT_ASSERT(sizeof(struct ringq_side) == 2 * RINGQ_LINE_PAIR);
RINGQ_LAYOUT_ASSERT(sizeof(struct ringq_port_page) == 3 * RINGQ_LINE_PAIR);
RINGQ_LAYOUT_ASSERT(sizeof(struct ringq_lane) == RINGQ_LINE_PAIR);
RINGQ_LAYOUT_ASSERT(offsetof(struct ringq_port_page, progress.done) == 72);
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

/* Bytes of a slot that holds an element and its stamp: a power of two. */
static inline __u32 ringq_slot_bytes(__u32 elem_size)
{
	return elem_size <= 8 ? 16 : elem_size <= 24 ? 32 : 64;
}

static inline int ringq_has_many_producers(__u32 discipline)
{
	return discipline == RINGQ_MPSC || discipline == RINGQ_MPMC || discipline == RINGQ_LANES;
}

static inline int ringq_has_many_consumers(__u32 discipline)
{
	return discipline != RINGQ_SPSC && discipline != RINGQ_MPSC;
}

/* Must a port of this role be able to write stamps, which share pages with data? */
static inline int ringq_writes_bulk(const struct ringq_geometry *g, __u32 role)
{
	return role == RINGQ_PRODUCER || g->discipline == RINGQ_SPMC ||
	       g->discipline == RINGQ_MPMC;
}

/* Every consumer gets every message; they come and go, and the producer stays. */
static inline int ringq_is_broadcast(__u32 discipline)
{
	return discipline >= RINGQ_GATED;
}

/* The producer overwrites what nobody has read. */
static inline int ringq_is_lossy(__u32 discipline)
{
	return discipline == RINGQ_LOSSY || discipline == RINGQ_LATEST;
}

/* When the last port of a side has gone, does that end the ring for the other side? */
static inline int ringq_side_can_end(const struct ringq_geometry *g, __u32 role)
{
	if (role == RINGQ_PRODUCER)
		return !(g->flags & RINGQ_PRODUCER_WAIT);
	return !(g->flags & RINGQ_CONSUMER_WAIT) && !ringq_is_broadcast(g->discipline);
}

/* Does the producer wait for a successor of a dead consumer as it did for that one? */
static inline int ringq_keeps_place(const struct ringq_geometry *g, __u32 role)
{
	return g->discipline == RINGQ_GATED && role == RINGQ_CONSUMER &&
	       g->flags & RINGQ_CONSUMER_WAIT;
}

/* Ports of a side claim positions from one index. */
static inline int ringq_claims(__u32 discipline)
{
	return discipline == RINGQ_MPSC || discipline == RINGQ_SPMC || discipline == RINGQ_MPMC;
}

static inline __u32 ringq_lanes(const struct ringq_geometry *g)
{
	return g->discipline == RINGQ_LANES ? g->producers : 1;
}

static inline __u32 ringq_ports(const struct ringq_geometry *g)
{
	return g->producers + g->consumers;
}

/* Which port page belongs to port i of a role. */
static inline __u32 ringq_page_of(const struct ringq_geometry *g, __u32 role, __u32 i)
{
	return role == RINGQ_PRODUCER ? i : g->producers + i;
}

/* The data of a lane is followed by itself, in memory that can be mapped twice. */
static inline int ringq_is_mirrored(const struct ringq_geometry *g)
{
	return g->shape == RINGQ_SHAPE_RECORDS && g->unit_shift == RINGQ_UNIT_PAGES;
}

/* The largest message of a row of so many bytes; it must fit twice, with what goes with it. */
static inline __u64 ringq_record_max(__u64 capacity)
{
	return capacity / 2 - 32;
}

/* Room for the largest message and what goes with it, a rest of the row that is left out too. */
static inline __u64 ringq_record_room(const struct ringq_geometry *g)
{
	__u64 span = sizeof(__u64) + ringq_round_up(g->elem_size, sizeof(__u64));

	return ringq_is_mirrored(g) ? span + sizeof(__u64) : 2 * span;
}

static inline int ringq_geometry_check(const struct ringq_geometry *g)
{
	if (g->discipline < RINGQ_SPSC || g->discipline > RINGQ_LATEST)
		return -EINVAL;
	if (g->flags & ~RINGQ_GEOMETRY_FLAGS || g->first >= RINGQ_FIRST_MAX)
		return -EINVAL;
	if (!g->producers || !g->consumers || g->producers > RINGQ_SIDE_MAX ||
	    g->consumers > RINGQ_SIDE_MAX)
		return -EINVAL;
	if ((g->producers > 1 && !ringq_has_many_producers(g->discipline)) ||
	    (g->consumers > 1 && !ringq_has_many_consumers(g->discipline)))
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
	return g->capacity > RINGQ_TOTAL_MAX ? -EFBIG : 0;
}

/* What a lane is made of; all but its place. Returns 0 or -EINVAL. */
static inline int ringq_layout_slots(const struct ringq_geometry *g, struct ringq_layout *l)
{
	__u32 shape = ringq_claims(g->discipline) ? RINGQ_SHAPE_SLOT : RINGQ_SHAPE_LINE;

	l->per_slot = 1;
	l->slots = g->capacity;
	if (g->shape == RINGQ_SHAPE_RECORDS) {
		if (ringq_claims(g->discipline) || g->discipline == RINGQ_LATEST || g->first & 7)
			return -EINVAL;
		if (g->capacity < 1ull << g->bulk_shift ||
		    g->elem_size > ringq_record_max(g->capacity))
			return -EINVAL;
		l->slot_size = sizeof(__u64);
		l->slots = g->capacity / l->slot_size;
		return ringq_is_power_of_2(g->capacity) ? 0 : -EINVAL;
	}
	if (g->elem_size > RINGQ_LINE_ROOM) {
		shape = RINGQ_SHAPE_APART;
		l->slot_size = ringq_round_up(g->elem_size, RINGQ_LINE);
	} else if (shape == RINGQ_SHAPE_SLOT) {
		l->slot_size = ringq_slot_bytes(g->elem_size);
	} else {
		l->per_slot = ringq_per_line(g->elem_size);
		l->slot_size = RINGQ_LINE;
		l->slots = g->capacity / l->per_slot;
		if (l->slots * l->per_slot != g->capacity)
			return -EINVAL;
	}
	/* While one is overwritten there must be another to be read. */
	if (ringq_is_lossy(g->discipline) && l->slots < 2)
		return -EINVAL;
	return g->shape == shape && ringq_is_power_of_2(l->slots) ? 0 : -EINVAL;
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
	__u64 unit, bulk_unit, notes = 0;
	int err = ringq_geometry_check(g);

	if (!err)
		err = ringq_layout_slots(g, l);
	if (err)
		return err;
	unit = 1ull << g->unit_shift;
	bulk_unit = 1ull << g->bulk_shift;
	if (l->slots > RINGQ_TOTAL_MAX / l->slot_size)
		return -EFBIG;
	l->lane_stamps = g->shape == RINGQ_SHAPE_APART ?
			 ringq_round_up(l->slots * sizeof(__u64), unit) : 0;
	l->lane_data = ringq_round_up(l->slots * l->slot_size, unit);

	l->attention = ringq_round_up(sizeof(struct ringq_header), unit);
	l->sides[RINGQ_PRODUCER] = l->attention +
				   ringq_round_up(sizeof(struct ringq_attention) +
						  sizeof(struct ringq_deaths), unit);
	l->sides[RINGQ_CONSUMER] = l->sides[RINGQ_PRODUCER] +
				   ringq_round_up(sizeof(struct ringq_side), unit);
	l->lanes = l->sides[RINGQ_CONSUMER] + sizeof(struct ringq_side);
	l->ports = l->lanes;
	if (g->discipline == RINGQ_LANES) {
		l->ports += g->producers * sizeof(struct ringq_lane);
		notes = g->producers * sizeof(__u16);
	}
	l->ports = ringq_round_up(l->ports, unit);
	l->port_stride = ringq_round_up(sizeof(struct ringq_port_page) + notes, unit);
	l->bulk = ringq_round_up(l->ports + ringq_ports(g) * l->port_stride, bulk_unit);
	l->data = l->bulk + ringq_lanes(g) * l->lane_stamps;
	l->total = ringq_round_up(l->data + ringq_lanes(g) * l->lane_data, bulk_unit);
	return l->total > RINGQ_TOTAL_MAX ? -EFBIG : 0;
}

/**
 * ringq_stamp_at - where the word is that says whether a position is published
 * @g: the geometry, as ringq_layout_compute() took it.
 * @l: the layout that follows from it.
 * @lane: of LANES, else 0.
 * @pos: any number: the offset is inside the lane whatever it is.
 *
 * Returns the offset of the stamp; of the record's header in RECORDS.
 */
static inline __u64 ringq_stamp_at(const struct ringq_geometry *g, const struct ringq_layout *l,
				   __u32 lane, __u64 pos)
{
	__u64 data = l->data + lane * l->lane_data;

	switch (g->shape) {
	case RINGQ_SHAPE_APART:
		return l->bulk + lane * l->lane_stamps + (pos & (l->slots - 1)) * sizeof(__u64);
	case RINGQ_SHAPE_SLOT:
		return data + ((pos & (l->slots - 1)) + 1) * l->slot_size - sizeof(__u64);
	case RINGQ_SHAPE_RECORDS:
		return data + (pos & (g->capacity - 1) & ~7ull);
	default:
		return data + (pos / l->per_slot & (l->slots - 1)) * RINGQ_LINE + RINGQ_LINE_ROOM;
	}
}

#endif /* RINGQ_LAYOUT_H */
