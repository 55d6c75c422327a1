// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * One life of a ring: live ports of ours, a victim that stops at an instruction of its operation
 * and dies there, what the live ones do meanwhile, and its successor.
 */
#include "step.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Near the end of a lap, in capacities of both shapes, and in a row of bytes. */
#define FIRST_ELEMENT	(24 * 10 - 2)
#define FIRST_RECORD	(4 * 4096 - 104)
#define CAPACITY	8
#define PREFILL		4
#define ITS		UINT64_C(1000000)	/* the victim's numbers begin so far above ours */
#define END		UINT64_MAX	/* no message: a consumer that sleeps is to stop */
#define PATIENCE	(20000 * STEP_MS)	/* ends hangs, and measures nothing */

static bool has_records(const struct scene *s)
{
	return s->cell->column->flags & RINGQ_RECORDS;
}

static bool is_lossy(const struct scene *s)
{
	return s->cell->column->discipline == RINGQ_LOSSY ||
	       s->cell->column->discipline == RINGQ_LATEST;
}

static bool is_claimed(const struct column *c)
{
	return c->discipline == RINGQ_MPSC || c->discipline == RINGQ_SPMC ||
	       c->discipline == RINGQ_MPMC;
}

bool scene_shares(const struct scene *s)
{
	return s->cell->column->discipline < RINGQ_GATED;
}

bool scene_lives(const struct ringq_port *port)
{
	return port->ring && !port->error;
}

int put(struct scene *s, struct ringq_port *port, uint64_t number, int64_t timeout)
{
	uint32_t size = message_size(s->cell->column, number);
	unsigned char msg[STEP_SIZE];

	message_fill(msg, size, number);
	return has_records(s) ? ringq_send_record(port, msg, size, timeout) :
				ringq_send(port, msg, timeout);
}

static void note(struct scene *s, struct notes *notes, const struct ringq_port *port,
		 const void *msg, uint32_t size)
{
	uint64_t number = message_number(msg);

	CHECK(size == message_size(s->cell->column, number) && message_is_whole(msg, size, number),
	      "message %llu is torn", (unsigned long long)number);
	CHECK(notes->n < STEP_MOST, "too many messages come");
	notes->note[notes->n].number = number;
	notes->note[notes->n++].again = ringq_flags(port) & RINGQ_REDELIVERED;
}

int take(struct scene *s, struct ringq_port *port, struct notes *notes, int64_t timeout)
{
	uint32_t size = s->cell->column->size;
	unsigned char msg[STEP_SIZE];
	int r;

	if (has_records(s))
		r = ringq_recv_record(port, msg, sizeof(msg), &size, timeout);
	else
		r = ringq_recv(port, msg, timeout);
	if (r == 1 && message_number(msg) == END)
		return 0;
	if (r == 1)
		note(s, notes, port, msg, size);
	return r;
}

static struct notes *notes_of(struct scene *s, const struct ringq_port *port)
{
	return port == &s->heir && !scene_shares(s) ? &s->heirs : &s->common;
}

/* The port of ours in that role which may be there beside the victim. */
static struct ringq_port *ours(struct scene *s, enum ringq_role role)
{
	return role == RINGQ_PRODUCER ? &s->out : &s->in;
}

static void attach(struct scene *s, enum ringq_role role, struct ringq_port *port)
{
	int r = ringq_attach(s->ring, role, port);

	CHECK(r == 0, "attach: %s", ringq_strerror(r));
}

static bool stays_beside(const struct cell *cell)
{
	return cell->column->places[cell->op->role] > 1 && cell->cast != ALONE &&
	       cell->cast != ASLEEP && cell->cast != COMING;
}

static void create(struct scene *s)
{
	const struct column *c = s->cell->column;
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = step_memory, .discipline = c->discipline,
		.elem_size = c->size, .capacity = has_records(s) ? 4096 : CAPACITY,
		.flags = c->flags | RINGQ_SMALL | (s->cell->cast == DROPPED ? RINGQ_DROP : 0),
		.producers = c->places[RINGQ_PRODUCER], .consumers = c->places[RINGQ_CONSUMER],
		.first = has_records(s) ? FIRST_RECORD : FIRST_ELEMENT,
	};
	struct ringq_info info = { .size = sizeof(info) };
	int r = ringq_create(&opts, &s->ring);

	CHECK(r == 0, "create: %s", ringq_strerror(r));
	CHECK(ringq_get_info(s->ring, &info) == 0, "info");
	s->capacity = info.capacity;
}

/* Once round, so that what a lap leaves behind is there; to where the next lap is near. */
static void advance(struct scene *s)
{
	uint64_t end = ringq_position(&s->out) + s->capacity - (has_records(s) ? 40 : 0);

	while (ringq_position(&s->out) < end) {
		CHECK(put(s, &s->out, ++s->number, RINGQ_NOWAIT) == 1, "advance");
		CHECK(take(s, &s->in, &s->common, RINGQ_NOWAIT) == 1, "advance");
	}
	s->common.n = 0;
	s->begin = s->number;
}

/* Two places that are given up, where others know already that they were taken. */
static void make_tombs(struct scene *s)
{
	struct ringq_port another;

	attach(s, RINGQ_PRODUCER, &another);
	CHECK(ringq_reserve(&another, 2, RINGQ_NOWAIT) == 0, "reserve");
	ringq_abort(&another);
	ringq_detach(&another);
}

static void make_orphans(struct scene *s)
{
	struct ringq_port another;

	attach(s, RINGQ_CONSUMER, &another);
	CHECK(put(s, &s->out, ++s->number, RINGQ_NOWAIT) == 1, "send");
	CHECK(put(s, &s->out, ++s->number, RINGQ_NOWAIT) == 1, "send");
	CHECK(ringq_peek(&another, 2, RINGQ_NOWAIT) == 2, "peek");
	ringq_detach(&another);
}

static void put_some(struct scene *s, unsigned int n)
{
	while (n--)
		CHECK(put(s, &s->out, ++s->number, RINGQ_NOWAIT) == 1, "fill");
}

static void fill(struct scene *s)
{
	const struct operation *op = s->cell->op;
	/* So that the producer sleeps. */
	bool full = s->cell->cast == ASLEEP && op->role == RINGQ_CONSUMER;

	if (s->cell->cast == TOMBS)
		make_tombs(s);
	if (s->cell->cast == ORPHANS)
		make_orphans(s);
	if (!full && op->fill != FULL && (op->fill != LAST || op->role == RINGQ_CONSUMER)) {
		put_some(s, op->fill == SOME ? PREFILL : op->fill == LAST);
		return;
	}
	while (!is_lossy(s) && put(s, &s->out, s->number + 1, RINGQ_NOWAIT) == 1)
		s->number++;
	if (op->fill == LAST && !is_lossy(s))
		CHECK(take(s, &s->in, &s->common, RINGQ_NOWAIT) == 1, "fill");
}

void scene_open(struct scene *s, const struct cell *cell, struct report *shared)
{
	enum ringq_role role = cell->op->role;

	memset(s, 0, sizeof(*s));
	s->cell = cell;
	s->victim.act.report = shared;
	create(s);
	attach(s, RINGQ_PRODUCER, &s->out);
	attach(s, RINGQ_CONSUMER, &s->in);
	advance(s);
	/* A reader must be there before what it is to get; a producer may have the only place. */
	if (role == RINGQ_PRODUCER || cell->op->late)
		fill(s);
	if (!stays_beside(cell))
		ringq_detach(ours(s, role));
}

/* The victim. */

static void early(struct act *a)
{
	unsigned char msg[STEP_SIZE];

	if (a->port.role == RINGQ_PRODUCER) {
		message_fill(msg, a->column->size, message_number(a->msgs) - 1);
		CHECK(ringq_send(&a->port, msg, RINGQ_NOWAIT) == 1, "early send");
		a->report->sends++;
		a->report->sent++;
	} else {
		a->report->takes++;
		CHECK(ringq_recv(&a->port, a->report->early, RINGQ_NOWAIT) == 1, "early recv");
		a->report->got++;
	}
}

/* Some ring of its own, so that the library's thread runs when it attaches to this one. */
static void start_agent(void)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_MEMFD, .elem_size = 8, .capacity = 8,
	};
	static struct ringq_port port;
	struct ringq *ring;
	int r;

	r = ringq_create(&opts, &ring);
	if (r == 0)
		r = ringq_attach(ring, RINGQ_PRODUCER, &port);
	CHECK(r == 0, "a ring of its own: %s", ringq_strerror(r));
}

static void be_actor(void *arg)
{
	struct actor *actor = arg;
	const struct operation *op = actor->op;
	struct act *a = &actor->act;
	int r = ringq_join_fd(ringq_fd(actor->ring), NULL, &a->ring);

	CHECK(r == 0, "join: %s", ringq_strerror(r));
	if (op->late) {
		if (step_memory == RINGQ_MEMFD && !op->buries)
			start_agent();
	} else {
		r = ringq_attach(a->ring, op->role, &a->port);
		CHECK(r == 0, "the victim's attach: %s", ringq_strerror(r));
		a->report->place = a->port.index;
		ringq_set_strategy(&a->port, RINGQ_STRATEGY_BLOCK);
	}
	stepper_stop();
	if (actor->cast == COMING)
		early(a);
	if (op->before)
		op->before(a);
	stepper_stop();
	op->act(a);
}

/* Its messages, in a row. */
static void write_messages(struct actor *actor)
{
	struct act *a = &actor->act;
	unsigned char *at = (unsigned char *)a->msgs;
	unsigned int i;

	for (i = 0; i < STEP_BATCH; i++) {
		/* COMING sends one before. */
		uint64_t number = actor->first + i + (actor->cast == COMING);

		a->sizes[i] = message_size(a->column, number);
		message_fill(at, a->sizes[i], number);
		at += a->sizes[i];
	}
}

void scene_actor(struct scene *s, struct actor *actor, const struct operation *op,
		 struct report *shared, uint64_t first)
{
	memset(actor, 0, sizeof(*actor));
	memset(shared, 0, sizeof(*shared));
	actor->op = op;
	actor->cast = s->cell->cast;
	actor->ring = s->ring;
	actor->first = first;
	actor->act.column = s->cell->column;
	actor->act.report = shared;
	write_messages(actor);
	actor->pid = stepper_start(be_actor, actor, &shared->mark);
}

void actor_begin(struct actor *actor)
{
	const struct stepper_mark *mark = &actor->act.report->mark;

	stepper_go(actor->pid);
	CHECK(mark->begun && !mark->over, "it has not begun");
}

/* Sleepers. */

static void *sleep_as_consumer(void *arg)
{
	struct scene *s = arg;
	int r;

	do {
		r = take(s, &s->in, &s->common, RINGQ_FOREVER);
	} while (r == 1);
	s->sleeper.result = r;
	__atomic_store_n(&s->sleeper.done, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void *sleep_as_producer(void *arg)
{
	struct scene *s = arg;

	s->sleeper.result = put(s, &s->out, s->number + 1, RINGQ_FOREVER);
	__atomic_store_n(&s->sleeper.done, 1, __ATOMIC_RELEASE);
	return NULL;
}

static bool sleeper_done(const struct scene *s)
{
	return __atomic_load_n(&s->sleeper.done, __ATOMIC_ACQUIRE);
}

static struct ringq_port *sleeping_port(struct scene *s)
{
	return s->cell->op->role == RINGQ_PRODUCER ? &s->in : &s->out;
}

static const struct ringq_attention *attention_of(const struct scene *s)
{
	const struct ringq_port *port = scene_lives(&s->out) ? &s->out : &s->in;
	const struct ringq_header *h = (const struct ringq_header *)port->base;

	return (const struct ringq_attention *)(port->base + h->layout.attention);
}

/* Waits until it is so; for ever is too long. */
static void await(struct scene *s, bool (*is_so)(struct scene *s), const char *what)
{
	struct timespec now, begin;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	while (!is_so(s)) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		CHECK((now.tv_sec - begin.tv_sec) * INT64_C(1000000000) < PATIENCE, "%s", what);
		usleep(50);
	}
}

static bool is_asleep(struct scene *s)
{
	const struct ringq_attention *a = attention_of(s);
	const __u64 *word = s->cell->op->role == RINGQ_PRODUCER ? &a->data : &a->space;

	return __atomic_load_n(word, __ATOMIC_ACQUIRE) & RINGQ_ARMED;
}

static void start_sleeper(struct scene *s)
{
	bool consumes = s->cell->op->role == RINGQ_PRODUCER;
	int r;

	ringq_set_strategy(sleeping_port(s), RINGQ_STRATEGY_BLOCK);
	r = pthread_create(&s->sleeper.thread, NULL,
			   consumes ? sleep_as_consumer : sleep_as_producer, s);
	CHECK(r == 0, "no thread: %s", ringq_strerror(r));
	s->sleeper.there = true;
	await(s, is_asleep, "it does not fall asleep");
}

/* The death has been told: what it waits for is not there, or it is up and takes it. */
static bool is_served(struct scene *s)
{
	struct ringq_port *port = sleeping_port(s);

	if (sleeper_done(s))
		return true;
	if (ringq_is_closed(port))
		return false;
	return port->role == RINGQ_CONSUMER ? ringq_is_empty(port) : ringq_is_full(port);
}

static bool is_buried(struct scene *s)
{
	const struct ringq_attention *a = attention_of(s);
	const struct report *r = s->victim.act.report;

	return !(__atomic_load_n(&a->live[s->cell->op->role][0], __ATOMIC_ACQUIRE) >> r->place & 1);
}

static void join_sleeper(struct scene *s)
{
	await(s, (bool (*)(struct scene *))sleeper_done, "who slept is not woken");
	pthread_join(s->sleeper.thread, NULL);
	s->sleeper.there = false;
	if (s->cell->op->role == RINGQ_CONSUMER && s->sleeper.result == 1)
		s->number++;
}

/* The stages. */

void scene_start(struct scene *s)
{
	const struct cell *cell = s->cell;
	enum ringq_role role = cell->op->role;

	scene_actor(s, &s->victim, cell->op, s->victim.act.report, s->number + ITS);
	if (role == RINGQ_CONSUMER && !cell->op->late)
		fill(s);
	stepper_go(s->victim.pid);
	if (cell->cast == COMING)
		attach(s, role, ours(s, role));
	if (cell->cast == LEAVING)
		ringq_detach(ours(s, role));
	if (cell->cast == ASLEEP)
		start_sleeper(s);
	actor_begin(&s->victim);
}

/* Each as far as it can: what the victim lies on may be in the way. */
void scene_go_on(struct scene *s)
{
	if (scene_lives(&s->out)) {
		int r = put(s, &s->out, s->number + 1, RINGQ_NOWAIT);

		CHECK(r == 1 || r == -EAGAIN || r == -EPIPE, "send beside it: %s",
		      ringq_strerror(r));
		s->number += r == 1;
	}
	if (scene_lives(&s->in)) {
		int r = take(s, &s->in, &s->common, RINGQ_NOWAIT);

		CHECK(r >= 0 || r == -EAGAIN, "recv beside it: %s", ringq_strerror(r));
	}
}

/* Takes what the victim may be about to take, and keeps it. */
static void hold(struct scene *s)
{
	struct ringq_port *port = ours(s, s->cell->op->role);
	int64_t r;

	if (!is_claimed(s->cell->column) || !scene_lives(port))
		return;
	if (port->role == RINGQ_PRODUCER)
		r = ringq_reserve(port, 1, RINGQ_NOWAIT);
	else
		r = ringq_peek(port, 1, RINGQ_NOWAIT);
	CHECK(r >= 0 || r == -EAGAIN || r == -EPIPE, "hold beside it: %s", ringq_strerror(r));
	if (r == 1)
		note(s, &s->common, port, ringq_at(port, 0), s->cell->column->size);
}

bool scene_can(const struct cell *cell, enum meanwhile what)
{
	bool beside = stays_beside(cell) || cell->cast == COMING;

	if (what == HOLD)
		return beside && cell->cast != LEAVING && is_claimed(cell->column);
	return what == NOTHING || cell->cast != ASLEEP;
}

void scene_meanwhile(struct scene *s, enum meanwhile what)
{
	if (s->sleeper.there)
		return;
	if (what == GO_ON)
		scene_go_on(s);
	if (what == HOLD)
		hold(s);
}

void scene_let_go(struct scene *s)
{
	if (scene_lives(&s->out) && s->out.held) {
		message_fill(ringq_at(&s->out, 0), s->cell->column->size, ++s->number);
		CHECK(ringq_commit(&s->out, 1) == 0, "commit");
	}
	if (scene_lives(&s->in) && s->in.held)
		CHECK(ringq_release(&s->in, 1) == 0, "release");
}

/* A port in the dead one's place, if it is known which that was. */
void scene_succeed(struct scene *s)
{
	struct ringq_attach_opts opts = { .size = sizeof(opts), .flags = RINGQ_AT_PLACE };
	const struct cell *cell = s->cell;
	int r;

	opts.place = s->victim.act.report->place;
	r = ringq_attach_with(s->ring, cell->op->role, s->moved || cell->op->late ? NULL : &opts,
			      &s->heir);
	if (s->victim.act.report->closes && r == -EPIPE)
		return;
	CHECK(r == 0, "the successor's attach: %s", ringq_strerror(r));
}

static unsigned int take_from(struct scene *s, struct ringq_port *port)
{
	unsigned int n = 0;
	int r;

	if (!scene_lives(port) || port->role != RINGQ_CONSUMER || port->held)
		return 0;
	while ((r = take(s, port, notes_of(s, port), RINGQ_NOWAIT)) == 1)
		n++;
	CHECK(r == -EAGAIN || (r == 0 && s->closed), "recv: %d, %s", r, ringq_strerror(r));
	return n;
}

void scene_take_all(struct scene *s)
{
	unsigned int n;

	take_from(s, &s->in);
	n = take_from(s, &s->heir);
	CHECK(!n || !scene_shares(s) || !scene_lives(&s->in) || s->in.held || s->sleeper.there,
	      "%u messages come to the successor alone", n);
}

/* Every live producer must come forward. */
static void put_each(struct scene *s)
{
	struct ringq_port *ports[] = { &s->out, &s->heir };
	unsigned int i;
	int r;

	for (i = 0; i < 2; i++) {
		if (!scene_lives(ports[i]) || ports[i]->role != RINGQ_PRODUCER)
			continue;
		r = put(s, ports[i], s->number + 1, RINGQ_NOWAIT);
		CHECK(r == (s->closed ? -EPIPE : 1), "send: %s", ringq_strerror(r));
		s->number += r == 1;
	}
}

/* Both sides see the same. */
void scene_see_closed(struct scene *s)
{
	const struct ringq_attention *a = attention_of(s);
	bool data = a->data & RINGQ_CLOSED, space = a->space & RINGQ_CLOSED;

	CHECK(data == space, "closed for %s only", data ? "producers" : "consumers");
	CHECK(!data || s->victim.act.report->closes, "closed by nobody");
	CHECK(data || s->victim.act.report->result || !s->victim.act.report->closes ||
	      !s->victim.act.report->mark.over, "closed in vain");
	s->closed = data;
}

/* One of ours was there all the time, and is told of it, once. */
static void be_told(struct scene *s)
{
	const struct operation *op = s->cell->op;
	struct ringq_death death;
	unsigned int n = 0;
	int r;

	while ((r = ringq_next_death(&s->out, &death)) == 1) {
		CHECK(death.role == op->role &&
		      (op->late || death.port == s->victim.act.report->place),
		      "told of another one's death");
		s->dropped += death.dropped;
		n++;
	}
	CHECK(r == 0, "to be told of deaths: %s", ringq_strerror(r));
	CHECK(n == 1 || op->late || op->leaves, "told of %u deaths", n);
}

void scene_judge(struct scene *s)
{
	if (s->cell->cast == DROPPED)
		be_told(s);
	s->at_heir = s->number;
	put_each(s);
	scene_take_all(s);
	judge(s);
}

/*
 * Who sleeps learns of it without any help: by his process, or the module. Who is awake need not
 * wait for that. Either gets what there is for him without a successor of the dead one.
 */
static void survive(struct scene *s)
{
	if (!s->sleeper.there)
		CHECK(ringq_bury(s->ring) >= 0, "bury");
	if (!s->cell->op->late)
		await(s, is_buried, "the dead are not buried");
	if (s->sleeper.there)
		await(s, is_served, "who slept is not woken");
	scene_see_closed(s);
	if (!s->sleeper.there)
		take_from(s, &s->in);
}

/* Who could take all of it has done so. */
static void see_nothing_left(struct scene *s)
{
	unsigned int n;

	if (!scene_shares(s) || !scene_lives(&s->in) || s->in.held || s->sleeper.there ||
	    s->cell->op->late)
		return;
	n = take_from(s, &s->in) + take_from(s, &s->heir);
	CHECK(!n, "%u messages come with the successor only", n);
}

void scene_death(struct scene *s, enum meanwhile what)
{
	bool slept = s->sleeper.there;

	stepper_kill(s->victim.pid);
	survive(s);
	scene_succeed(s);
	see_nothing_left(s);
	if (slept && s->cell->op->role == RINGQ_PRODUCER) {
		if (!s->closed)
			CHECK(put(s, &s->heir, END, RINGQ_NOWAIT) == 1, "send to who slept");
		join_sleeper(s);
	}
	/* Nobody waits for those who hold something. */
	scene_take_all(s);
	if (what == HOLD)
		scene_let_go(s);
	scene_take_all(s);
	if (slept && s->cell->op->role == RINGQ_CONSUMER) {
		join_sleeper(s);
		scene_take_all(s);
	}
	scene_judge(s);
}

static void detach(struct ringq_port *port)
{
	if (scene_lives(port))
		ringq_detach(port);
}

void scene_close(struct scene *s)
{
	struct ringq_attach_opts opts = {
		.size = sizeof(opts), .flags = RINGQ_AT_PLACE, .place = s->victim.act.report->place,
	};
	struct ringq_port to, from;

	detach(&s->out);
	detach(&s->in);
	detach(&s->heir);
	if (s->closed && step_memory == RINGQ_MEMFD)
		CHECK(ringq_reset(s->ring) == 0, "reset");
	if (!s->closed || step_memory == RINGQ_MEMFD) {
		if (s->cell->op->role != RINGQ_PRODUCER)
			opts.place = 0;
		CHECK(ringq_attach_with(s->ring, RINGQ_PRODUCER, &opts, &to) == 0, "attach");
		attach(s, RINGQ_CONSUMER, &from);
		lap(s, &to, &from);
		ringq_detach(&to);
		ringq_detach(&from);
	}
	ringq_leave(s->ring);
}

struct stepper_watch scene_watch(const struct scene *s)
{
	const struct ringq_port *port = scene_lives(&s->out) ? &s->out : &s->in;
	const struct ringq_header *h = (const struct ringq_header *)port->base;

	return (struct stepper_watch){ port->base, h->layout.total };
}

/* So that the library's thread runs all the time: it need not start for each ring. */
void scene_init(void)
{
	if (step_memory == RINGQ_MEMFD)
		start_agent();
}

/* The operation, where there is none. */
void scene_refuse(struct scene *s, const struct cell *cell, struct report *shared)
{
	struct act *a = &s->victim.act;

	memset(s, 0, sizeof(*s));
	memset(shared, 0, sizeof(*shared));
	s->cell = cell;
	a->column = cell->column;
	a->report = shared;
	a->sizes[0] = 8;
	create(s);
	attach(s, cell->op->role, &a->port);
	cell->op->act(a);
	ringq_detach(&a->port);
	ringq_leave(s->ring);
}
