// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What actors do, and what they must not see. A port attaches, sends or receives some messages by
 * every operation that there is, never waiting, and detaches; it is killed anywhere on the way. A
 * burier puts in order what it leaves. What was sent, shown and released is in the ledger (sim.h),
 * and each message is looked at there as it is seen.
 */
#include "sim.h"
#include "../../lib/internal.h"

#include <string.h>

#define BATCH		5
#define WORDS		10	/* of a message, at most */
#define PAUSE		20	/* turns, at most, for who finds nothing to do */

static uint32_t number_of(const struct actor *a)
{
	return a - sim.actor;
}

static uint64_t some(void)
{
	return 1 + sim_random(BATCH);
}

static uint64_t at_most_capacity(uint64_t n)
{
	return n < sim.ring->geometry.capacity ? n : sim.ring->geometry.capacity;
}

static bool is_dropped(void)
{
	return sim.row->flags & RINGQ_DROP;
}

uint32_t message_words(void)
{
	return sim.ring->geometry.elem_size / sizeof(uint64_t);
}

/* The first of n numbers, for messages that this one will write. */
static uint32_t new_messages(const struct actor *a, uint64_t n)
{
	uint32_t first = sim.messages;

	if (n > MESSAGES - first)
		sim_fail("more messages than the ledger has room for");
	for (; n; n--)
		sim.message[sim.messages++].sender = number_of(a);
	return first;
}

static void write_message(uint64_t *to, uint64_t number)
{
	uint32_t i;

	to[0] = number;
	ringq_delay();
	for (i = 1; i < message_words(); i++)
		to[i] = ~number;
}

static void enter_state(uint32_t first, uint64_t n, enum state state)
{
	for (; n; n--)
		sim.message[first++].state = state;
}

uint32_t actor_sees(struct actor *a, const uint64_t *message)
{
	bool flagged = ringq_flags(&a->port) & RINGQ_REDELIVERED;
	uint64_t number = message[0];
	struct message *m;
	uint32_t i;

	if (number >= sim.messages)
		sim_fail("what was received is no message");
	m = &sim.message[number];
	for (i = 1; i < message_words(); i++)
		if (message[i] != ~number)
			sim_fail("message %u came in part", (uint32_t)number);
	if (m->state == HIDDEN)
		sim_fail("message %u came and was not sent", (uint32_t)number);
	if (m->released)
		sim_fail("message %u came again after it was released", (uint32_t)number);
	/* What it has kept. */
	if (m->shown >> number_of(a) & 1)
		return number;
	sim.redelivered += flagged;
	if (!flagged && m->shown)
		sim_fail("message %u came twice, and is not flagged", (uint32_t)number);
	if (!flagged && a->ends)
		sim_fail("message %u came after an end-of-file", (uint32_t)number);
	if (!flagged && number < a->last[m->sender])
		sim_fail("message %u came after %u", (uint32_t)number, a->last[m->sender]);
	if (!flagged)
		a->last[m->sender] = number;
	m->shown |= 1u << number_of(a);
	return number;
}

/* Between two calls ringq_port_stat() says exactly what the port holds. */
static void check_told(const struct actor *a)
{
	struct ringq_port_stat stat = { .size = sizeof(stat) };
	const struct ringq_port *p = &a->port;
	uint64_t held = p->held + p->claims.rest;
	int r;

	/* A side with one place tells too what the one before was shown. */
	if (a->role == RINGQ_CONSUMER && p->claims.single &&
	    (int64_t)(p->taken - p->pos - held) > 0)
		held = p->taken - p->pos;
	sim.quiet = true;
	r = ringq_port_stat(sim.ring, a->role, p->index, &stat);
	sim.quiet = false;
	if (r < 0 || stat.held != held || (held && stat.held_at != p->pos))
		sim_fail("it holds %u from %llu on, and is said to hold %u from %llu on",
			 (uint32_t)held, (unsigned long long)p->pos, (uint32_t)stat.held,
			 (unsigned long long)stat.held_at);
	if (stat.claim == RINGQ_TRY || stat.claim == RINGQ_BACK)
		sim_fail("it is at rest, and said to claim");
}

static void begin(struct actor *a, const char *what)
{
	a->ends = sim.ends;
	a->doing = what;
}

/* How many messages a call was about. Nothing to be had is no failure, and an end is the last. */
static uint64_t ended(struct actor *a, int64_t r)
{
	const char *what = a->doing;

	sim_trace(a, "%lld", (long long)r);
	a->doing = "rests";
	a->idles = r == -EAGAIN;
	if (r == -EPIPE && a->role == RINGQ_PRODUCER && sim.closing) {
		a->leaves = true;
	} else if (r == 0 && a->role == RINGQ_CONSUMER) {
		if (!sim.closing)
			sim_fail("%s: end-of-file, and nobody has closed the ring", what);
		a->leaves = true;
		sim.ends++;
	} else if (r < 0 && r != -EAGAIN) {
		sim_fail("%s: %s", what, ringq_strerror(r));
	}
	check_told(a);
	return r < 0 ? 0 : r;
}

static void send_some(struct actor *a, uint64_t n)
{
	uint32_t first = new_messages(a, n);
	uint64_t messages[BATCH * WORDS], i;

	for (i = 0; i < n; i++)
		write_message(messages + i * message_words(), first + i);
	enter_state(first, n, OFFERED);
	begin(a, "sends");
	i = ended(a, n == 1 ? ringq_send(&a->port, messages, RINGQ_NOWAIT) :
			      ringq_send_many(&a->port, messages, n, RINGQ_NOWAIT));
	enter_state(first, i, COMMITTED);
	enter_state(first + i, n - i, HIDDEN);
}

/* Reserves n, and publishes a part; at times it leaves instead. */
static void write_some(struct actor *a, uint64_t n, uint64_t part)
{
	uint32_t first;
	uint64_t i;
	int r;

	begin(a, "reserves");
	r = ringq_reserve(&a->port, n, RINGQ_NOWAIT);
	ended(a, r);
	if (r < 0)
		return;
	first = new_messages(a, part);
	for (i = 0; i < part; i++)
		write_message(ringq_at(&a->port, i), first + i);
	if (!sim_random(8)) {
		a->leaves = true;
		return;
	}
	enter_state(first, part, OFFERED);
	begin(a, "commits");
	ended(a, ringq_commit(&a->port, part));
	enter_state(first, part, COMMITTED);
}

static void send_once(struct actor *a)
{
	uint64_t n;

	switch (sim_random(8)) {
	case 0 ... 2:
		send_some(a, 1);
		break;
	case 3 ... 4:
		send_some(a, some());
		break;
	default:
		n = at_most_capacity(some());
		write_some(a, n, sim_random(n + 1));
	}
}

enum receive { ONE, MANY, ALL };

static void receive_some(struct actor *a, enum receive how, uint64_t n)
{
	uint64_t messages[BATCH * WORDS], i;
	int64_t r;

	begin(a, how == ALL ? "receives all of some" : "receives");
	a->in_doubt = n;
	if (how == ONE)
		r = ringq_recv(&a->port, messages, RINGQ_NOWAIT);
	else if (how == MANY)
		r = ringq_recv_many(&a->port, messages, n, RINGQ_NOWAIT);
	else
		r = ringq_recv_all(&a->port, messages, n, RINGQ_NOWAIT);
	a->in_doubt = 0;
	/* So many never come in a row, because of tombs; or it has kept some; or fewer are left. */
	if (how == ALL && (r == -ENOBUFS || r == -EBUSY || (r == 0 && n > 1 && sim.closing)))
		r = -EAGAIN;
	n = ended(a, r);
	for (i = 0; i < n; i++)
		sim.message[actor_sees(a, messages + i * message_words())].released = true;
}

/* Peeks, and releases a part; at times it leaves instead. */
static void peek_some(struct actor *a, uint64_t n)
{
	uint64_t copy[WORDS], i, part;
	uint32_t seen[BATCH];
	const void *message;

	begin(a, "peeks");
	a->in_doubt = is_dropped() ? n : 0;
	n = ended(a, ringq_peek(&a->port, n, RINGQ_NOWAIT));
	a->in_doubt = 0;
	if (!n)
		return;
	for (i = 0; i < n; i++) {
		message = ringq_at(&a->port, i);
		memcpy(copy, message, message_words() * sizeof(*copy));
		seen[i] = actor_sees(a, copy);
	}
	ringq_delay();
	for (i = 0; i < n; i++)
		if (*(const uint64_t *)ringq_at(&a->port, i) != seen[i])
			sim_fail("message %u is overwritten, and was peeked", seen[i]);
	if (!sim_random(8)) {
		a->leaves = true;
		return;
	}
	part = sim_random(n + 1);
	begin(a, "releases");
	if (ringq_release(&a->port, part) < 0)
		sim_fail("release");
	for (i = 0; i < part; i++)
		sim.message[seen[i]].released = true;
	a->doing = "rests";
	check_told(a);
}

static void receive_once(struct actor *a)
{
	switch (sim_random(8)) {
	case 0 ... 2:
		receive_some(a, ONE, 1);
		break;
	case 3 ... 4:
		receive_some(a, MANY, some());
		break;
	case 5:
		receive_some(a, ALL, at_most_capacity(some()));
		break;
	default:
		peek_some(a, some());
	}
}

void port_body(struct actor *a)
{
	uint32_t operations = 3 + sim_random(12);
	int r;

	begin(a, "attaches");
	while ((r = ringq_attach(sim.ring, a->role, &a->port)) == -EBUSY)
		sim_pause(PAUSE);
	if (r == -EPIPE && a->role == RINGQ_PRODUCER && sim.closing)
		return;
	if (r < 0)
		sim_fail("attach: %s", ringq_strerror(r));
	check_told(a);
	while (!a->leaves && operations--) {
		if (a->closes && !sim_random(4)) {
			a->closes = false;
			a->doing = "closes";
			sim.closing = true;
			ringq_close(&a->port);
		} else if (a->role == RINGQ_PRODUCER) {
			send_once(a);
		} else {
			receive_once(a);
		}
		/* Perhaps there is more to be had later. */
		if (a->idles) {
			if (sim_random(4))
				operations++;
			sim_pause(PAUSE);
		}
	}
	a->doing = "detaches";
	ringq_detach(&a->port);
}

/* What ringq_places_bury_one() does when all is in order. */
static void forget(uint32_t role, uint32_t index)
{
	struct ringq *ring = sim.ring;
	struct ringq_attention *attention = ringq_attention_of(ring, ring->base);
	struct ringq_port_page *page = ringq_port_page(ring, ring->base, role, index);

	/* Who died may have been about to close the ring. */
	if (*ringq_word_of(ring, ring->base, RINGQ_PRODUCER) & RINGQ_CLOSED)
		*ringq_word_of(ring, ring->base, RINGQ_CONSUMER) |= RINGQ_CLOSED;
	attention->live[role][0] &= ~(UINT64_C(1) << index);
	ring->attached[role][0] &= ~(UINT64_C(1) << index);
	attention->epoch++;
	page->wake = RINGQ_AWAKE;
	page->state = RINGQ_PORT_DEAD;
	sim.place[role][index] = (struct place){ 0 };
}

void actor_dies(struct actor *a)
{
	const struct ringq_port *p = &a->port;

	sim_trace(a, "dies");
	sim.deaths++;
	/* Another one takes over. */
	if (a->body == burier_body) {
		a->place->buriers--;
		a->place = NULL;
		a->mortal = false;
		sim_start(a, burier_body);
		return;
	}
	a->over = true;
	sim.doubt += a->in_doubt;
	if (is_dropped())
		sim.doubt += p->held + p->claims.rest;
	if (!p->page || p->page->state != RINGQ_PORT_LIVE || p->page->generation != p->generation)
		return;
	/* Who does not count yet, or any more, is buried by the next to attach, before all else. */
	if (ringq_is_live(sim.ring, sim.ring->base, a->role, p->index))
		sim.place[a->role][p->index].dead = true;
	else
		forget(a->role, p->index);
}

/*
 * A lock, or the module's queue, keeps two from repairing one ring at the same time. What they do
 * does not need that, as long as the place is not free: so here they may.
 */
static void bury(struct actor *a, uint32_t role, uint32_t index)
{
	struct place *place = &sim.place[role][index];
	int r;

	a->place = place;
	a->doing = "repairs";
	place->buriers++;
	a->mortal = true;
	r = ringq_repair(sim.ring, role, index);
	a->mortal = false;
	place->buriers--;
	a->place = NULL;
	sim_trace(a, "place %u of side %u: %d", index, role, r);
	a->doing = "rests";
	if (r == 0 && !place->buriers)
		forget(role, index);
}

bool burier_is_needed(void)
{
	uint32_t role, i;

	for (i = 0; i < sim.actors; i++)
		if (sim.actor[i].body == port_body && !sim.actor[i].over)
			return true;
	for (role = 0; role < 2; role++)
		for (i = 0; i < SEATS; i++)
			if (sim.place[role][i].dead)
				return true;
	return false;
}

void burier_body(struct actor *a)
{
	uint32_t role, index;

	while (burier_is_needed()) {
		role = sim_random(2);
		index = sim_random(SEATS);
		if (sim.place[role][index].dead)
			bury(a, role, index);
		sim_pause(PAUSE);
	}
}

/* For ringq/repair.h, from lib/repair.c: what a lock tells of memory that processes share. */
bool __wrap_ringq_places_alive(const struct ringq *ring, uint32_t role, uint32_t index);
bool __wrap_ringq_places_alive(const struct ringq *ring, uint32_t role, uint32_t index)
{
	(void)ring;
	return !sim.place[role][index].dead;
}
