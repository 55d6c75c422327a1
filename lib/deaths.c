// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The last deaths of a ring, told to its ports: where there is no module, from a log in the
 * attention section (struct ringq_deaths); on the device the module keeps it (device.c).
 *
 * Who buries a port writes the log, under the attach lock, when what the port left has been put in
 * order and before its page says so: a page that says DEAD is in the log. Each port remembers in
 * its own page how many it has been told of, and begins with those of its own time.
 *
 *     who buries                               who asks
 *   D1  the entry's serial = 0               N1  load count (acquire)
 *   D2  release fence                        N2  load the entry's serial (acquire): the one wanted?
 *   D3  store the rest (relaxed)             N3  copy the entry (relaxed)
 *   D4  the entry's serial (release)         N4  acquire fence
 *   D5  count (release)                      N5  load the serial again: still the same?
 *
 * D5 and N1: all entries up to count were whole once. D4 and N2, D2 and N4: what was copied between
 * two looks at the same serial is of that one. An entry that is not whole has been taken for a
 * later death meanwhile, and is left out; the next one's serial tells that.
 *
 * What a kill leaves: between D1 and D5 an entry that nobody believes, whose serial was the oldest
 * of all and the next to go; between D5 and the page's DEAD a death in the log that is buried once
 * more, and not logged once more, for one role, port and generation die once.
 *
 * Who asks and finds none has the agent watch those who have come since, as who finds no message
 * does: so it is enough to ask.
 *
 * Members trust each other, but a log of nonsense does no harm: no address follows from it, and no
 * call looks at more than its RINGQ_DEATHS entries.
 */
#include "internal.h"

#include <stdatomic.h>
#include <string.h>

static struct ringq_deaths *ringq_deaths_of(const struct ringq *ring)
{
	return (struct ringq_deaths *)(ringq_attention_of(ring, ring->base) + 1);
}

static struct ringq_death *ringq_death_at(struct ringq_deaths *log, uint64_t serial)
{
	return &log->entries[serial % RINGQ_DEATHS];
}

uint64_t ringq_deaths_count(const struct ringq *ring)
{
	return ringq_load_acquire(&ringq_deaths_of(ring)->count);
}

static bool ringq_death_is_logged(const struct ringq_deaths *log, uint32_t role, uint32_t index,
				  uint32_t generation)
{
	const struct ringq_death *d;
	uint32_t i;

	for (i = 0; i < RINGQ_DEATHS; i++) {
		d = &log->entries[i];
		if (d->serial && d->serial <= log->count && d->role == role && d->port == index &&
		    d->generation == generation)
			return true;
	}
	return false;
}

void ringq_death_log(struct ringq *ring, uint32_t role, uint32_t index)
{
	const struct ringq_port_page *page = ringq_port_page(ring, ring->base, role, index);
	struct ringq_deaths *log = ringq_deaths_of(ring);
	uint64_t serial = log->count + 1;
	struct ringq_death *d = ringq_death_at(log, serial);

	if (ringq_death_is_logged(log, role, index, page->generation))
		return;
	ringq_store_relaxed(&d->serial, 0);						/* D1 */
	atomic_thread_fence(memory_order_release);					/* D2 */
	ringq_store_relaxed(&d->time_ns, ringq_now());					/* D3 */
	ringq_store_relaxed(&d->role, role);
	ringq_store_relaxed(&d->port, index);
	ringq_store_relaxed(&d->generation, page->generation);
	ringq_store_relaxed(&d->pid, page->pid);
	ringq_store_relaxed(&d->tombs, page->left.tombs);
	ringq_store_relaxed(&d->redelivered, page->left.redelivered);
	ringq_store_relaxed(&d->dropped, page->left.dropped);
	ringq_store_relaxed(&d->reserved, page->pid_ns);
	ringq_store_release(&d->serial, serial);					/* D4 */
	ringq_store_release(&log->count, serial);					/* D5 */
}

/* N2 to N5: is that death still there? */
static bool ringq_death_copy(const struct ringq_death *d, uint64_t serial, struct ringq_death *to)
{
	if (ringq_load_acquire(&d->serial) != serial)					/* N2 */
		return false;
	*to = (struct ringq_death){
		.serial = serial,
		.time_ns = ringq_load_relaxed(&d->time_ns),				/* N3 */
		.role = ringq_load_relaxed(&d->role),
		.port = ringq_load_relaxed(&d->port),
		.generation = ringq_load_relaxed(&d->generation),
		.pid = ringq_load_relaxed(&d->pid),
		.tombs = ringq_load_relaxed(&d->tombs),
		.redelivered = ringq_load_relaxed(&d->redelivered),
		.dropped = ringq_load_relaxed(&d->dropped),
		.reserved = ringq_load_relaxed(&d->reserved),
	};
	atomic_thread_fence(memory_order_acquire);					/* N4 */
	return ringq_load_relaxed(&d->serial) == serial;				/* N5 */
}

/* Another namespace's pid is nobody's here. */
static void ringq_death_translate(struct ringq_death *d)
{
	if (d->reserved != ringq_pid_namespace())
		d->pid = 0;
	d->reserved = 0;
}

int ringq_places_next_death(struct ringq_port *p, struct ringq_death *death)
{
	struct ringq_deaths *log = ringq_deaths_of(p->ring);
	uint64_t count = ringq_load_acquire(&log->count);				/* N1 */
	uint64_t serial = ringq_load_relaxed(&p->page->told);
	bool found = false;

	if (count - serial > RINGQ_DEATHS)
		serial = count - RINGQ_DEATHS;
	while (!found && serial != count) {
		serial++;
		found = ringq_death_copy(ringq_death_at(log, serial), serial, death);
	}
	ringq_store_relaxed(&p->page->told, serial);
	if (found)
		ringq_death_translate(death);
	else
		ringq_places_idle(p);
	return found;
}
