// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who sits where. Each role has a row of places, and everybody can see in the attention page which
 * of them are taken: who claims a position, who frees one, and who sets things in order after a
 * death looks there. The page is written here and nowhere else, under the ring's lock.
 *
 * A reader of a GATED ring that waits for consumers leaves a gate behind when it dies: its place is
 * kept, with the progress that is in its page, and the producer waits for a successor as it did
 * for the dead one. A place is given back as it was taken: a successor that goes before it has
 * mapped anything has done nothing, and the place is still kept.
 *
 * In a ring whose ports claim positions a dead port's place stays taken, and is seen as live, until
 * what it left behind has been put in order (repair.c): nobody is to follow it, or to believe that
 * nobody else is there, before. Its claim ends there: who takes a place begins with none, and is
 * not seen before that is so.
 *
 * Nobody may see a gate that is neither live nor kept while it is one of the two: what begins is
 * stored before what ends.
 */
#include <linux/ktime.h>
#include <linux/nospec.h>
#include <linux/pid.h>

#include "ringq.h"

void ringq_rows_init(struct ringq_ring *ring)
{
	struct ringq_row *rows = ring->rows;
	int role, i;

	rows[RINGQ_PRODUCER].places = ring->places;
	rows[RINGQ_PRODUCER].nr = ring->geometry.producers;
	rows[RINGQ_CONSUMER].places = ring->places + ring->geometry.producers;
	rows[RINGQ_CONSUMER].nr = ring->geometry.consumers;
	for (role = 0; role < RINGQ_SIDES; role++) {
		for (i = 0; i < RINGQ_ARMS; i++)
			INIT_LIST_HEAD(&rows[role].armed[i]);
		init_waitqueue_head(&rows[role].pollers);
	}
}

/* Nobody looks any more. */
void ringq_rows_free(struct ringq_ring *ring)
{
	u32 i;

	for (i = 0; i < ringq_ports(&ring->geometry); i++)
		put_pid(ring->places[i].tgid);
}

static bool ringq_bit_is_set(const u64 *words, u32 i)
{
	return words[i / 64] & BIT_ULL(i % 64);
}

static void ringq_bit_set(u64 *words, u32 i)
{
	/* Who sees the bit also sees what was stored before. */
	smp_store_release(&words[i / 64], words[i / 64] | BIT_ULL(i % 64));
}

static void ringq_bit_clear(u64 *words, u32 i)
{
	/* So does who finds it gone. */
	smp_store_release(&words[i / 64], words[i / 64] & ~BIT_ULL(i % 64));
}

static void ringq_epoch_advance(struct ringq_ring *ring)
{
	/* Who sees the new number, also sees who is there. */
	smp_store_release(&ring->attention->epoch, ring->attention->epoch + 1);
}

static bool ringq_place_is_taken(const struct ringq_place *place)
{
	return place->port || place->dead;
}

/* The place that is wanted, or the first free one, kept ones before others; or an error. */
static int ringq_place_choose(const struct ringq_ring *ring, u32 role,
			      const struct ringq_ioc_attach *arg)
{
	const struct ringq_row *row = &ring->rows[role];
	int found = -EBUSY;
	u32 i;

	if (arg->flags & RINGQ_ATTACH_PLACE) {
		if (arg->port >= row->nr)
			return -EINVAL;
		i = array_index_nospec(arg->port, row->nr);
		return ringq_place_is_taken(&row->places[i]) ? -EBUSY : i;
	}
	for (i = 0; i < row->nr; i++) {
		if (ringq_place_is_taken(&row->places[i]))
			continue;
		if (role == RINGQ_CONSUMER && ringq_bit_is_set(ring->attention->kept, i))
			return i;
		if (found < 0)
			found = i;
	}
	return found;
}

static struct ringq_port_page *ringq_port_page(const struct ringq_ring *ring, u32 role, u32 index)
{
	return ringq_region_address(ring, ring->layout.ports + ring->layout.port_stride *
				    ringq_page_of(&ring->geometry, role, index));
}

/* A new gate stands where the producer says that it is. Both words are users'. */
static void ringq_gate_begin(const struct ringq_ring *ring, u32 index)
{
	struct ringq_port_page *page = ringq_port_page(ring, RINGQ_CONSUMER, index);
	struct ringq_progress *own = &page->progress;
	u64 pos;

	/* It does not stand yet, as its predecessor's may have. */
	WRITE_ONCE(page->claim, 0);
	/* Below it everything is published. */
	pos = smp_load_acquire(&ringq_port_page(ring, RINGQ_PRODUCER, 0)->progress.done);
	WRITE_ONCE(own->taken, pos);
	WRITE_ONCE(own->done, pos);
	WRITE_ONCE(own->hand, pos);
}

/* From now on the port counts. */
static void ringq_place_count(struct ringq_port *port)
{
	struct ringq_attention *attention = port->ring->attention;
	bool reader = port->role == RINGQ_CONSUMER;

	port->heir = reader && ringq_bit_is_set(attention->kept, port->index);
	if (reader && !port->heir && port->ring->geometry.discipline == RINGQ_GATED)
		ringq_gate_begin(port->ring, port->index);
	if (ringq_claims(port->ring->geometry.discipline))
		WRITE_ONCE(ringq_port_page(port->ring, port->role, port->index)->claim, 0);
	ringq_bit_set(attention->live[port->role], port->index);
	if (port->heir)
		ringq_bit_clear(attention->kept, port->index);
}

/* Returns 0 and tells place and generation; or -EINVAL, -EBUSY, -EPIPE, and nothing has changed. */
int ringq_place_take(struct ringq_port *port, struct ringq_ioc_attach *arg)
{
	struct ringq_row *row = ringq_row_of(port);
	struct ringq_ring *ring = port->ring;
	struct ringq_place *place;
	int index;

	lockdep_assert_held(&ring->lock);
	index = ringq_place_choose(ring, port->role, arg);
	if (index < 0)
		return index;
	if (row->ended || (ring->closed && port->role == RINGQ_PRODUCER))
		return -EPIPE;
	place = &row->places[index];
	place->port = port;
	place->generation++;
	place->attached_ns = ktime_get_ns();
	put_pid(place->tgid);
	place->tgid = get_pid(port->tgid);
	row->taken++;
	port->index = index;
	port->told = ring->nr_deaths;
	arg->port = index;
	arg->generation = place->generation;
	ringq_place_count(port);
	ringq_epoch_advance(ring);
	return 0;
}

/* A place is free. If it was the last one of its side, that may be the end. */
static void ringq_place_free(struct ringq_ring *ring, u32 role, u32 index, u64 how)
{
	struct ringq_row *row = &ring->rows[role];

	if (how == RINGQ_DEAD)
		ringq_death_note(ring, role, index);
	row->places[index].was = how == RINGQ_DEAD ? RINGQ_PORT_DEAD : RINGQ_PORT_LEFT;
	ringq_bit_clear(ring->attention->live[role], index);
	if (!--row->taken && ringq_side_can_end(&ring->geometry, role))
		row->ended = how;
	ringq_epoch_advance(ring);
}

/*
 * The port gives up its place; how is RINGQ_GONE or RINGQ_DEAD. If that is the end of its side,
 * ringq_wake_all() tells the other one. But a place that needs repair is only marked.
 */
void ringq_place_leave(struct ringq_port *port, u64 how)
{
	struct ringq_place *place = &ringq_row_of(port)->places[port->index];
	struct ringq_ring *ring = port->ring;

	lockdep_assert_held(&ring->lock);
	if (how == RINGQ_DEAD)
		ringq_death_begin(port);
	if (how == RINGQ_DEAD && !ringq_claims(ring->geometry.discipline))
		ringq_death_hand_over(port);
	if (port->heir || (how == RINGQ_DEAD && ringq_keeps_place(&ring->geometry, port->role)))
		ringq_bit_set(ring->attention->kept, port->index);
	place->port = NULL;
	if (how == RINGQ_DEAD && ringq_claims(ring->geometry.discipline)) {
		ring->dead++;
		/* Who sees it also sees all that the port has stored. */
		smp_store_release(&place->dead, true);
	} else {
		ringq_place_free(ring, port->role, port->index, how);
	}
}

/* What the dead one left has been put in order. ringq_wake_all() is to follow, as above. */
void ringq_place_bury(struct ringq_ring *ring, u32 role, u32 index)
{
	lockdep_assert_held(&ring->lock);
	ring->dead--;
	WRITE_ONCE(ring->rows[role].places[index].dead, false);
	ringq_place_free(ring, role, index, RINGQ_DEAD);
}
