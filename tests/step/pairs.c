// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Two at a time, in rings whose ports claim, and at the hand-over between bias and CAS.
 *
 *   WITH     one lies at an instruction of its operation; another dies at one of its own, and is
 *            buried, unless the first has perhaps taken the same, or has the lock: then whoever
 *            buries must come again. The first goes on to its end, and it must come to it
 *   BURIAL   one is dead already; another buries it, and dies at an instruction of that
 *   WATCHED  one is dead already; another lies at an instruction of its burial, while those who
 *            live go on; then it goes on too
 *
 * Either of them comes first to where it lies or dies, and then the other one.
 *
 * What the one who lies has read matters for what it does later, so it lies at each instruction,
 * or one in so many. Who dies does nothing later: of him only stores count, and system calls.
 */
#include "../../lib/internal.h"
#include "step.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#define OTHERS	UINT64_C(2000000)	/* numbers of the one who lives begin so far above ours */
#define MOST	6000	/* instructions: who attaches may wait for the one who lies */

enum kind { WITH, BURIAL, WATCHED };

struct pair {
	enum kind kind;
	const char *column;
	const char *lies;	/* or dies first */
	const char *dies;	/* or buries */
	enum cast cast;
	bool closes;		/* somebody closes it meanwhile */
};

/* Not on the device, where the module buries. */
static const struct pair pairs[] = {
	{ WITH, "mpmc-16", "send", "send", .cast = BESIDE },
	{ WITH, "mpmc-16", "send", "send", .cast = BESIDE, .closes = true },
	{ WITH, "mpmc-16", "send-last", "send-last", .cast = BESIDE },
	{ WITH, "mpmc-16", "send-many", "send-many", .cast = BESIDE },
	{ WITH, "mpmc-16", "send", "commit-part", .cast = BESIDE },
	{ WITH, "mpmc-16", "send-many", "abort", .cast = BESIDE },
	{ WITH, "mpmc-16", "recv", "recv", .cast = BESIDE },
	{ WITH, "mpmc-16", "recv-last", "recv-last", .cast = BESIDE },
	{ WITH, "mpmc-16", "recv-many", "recv-many", .cast = BESIDE },
	{ WITH, "mpmc-16", "recv", "release-part", .cast = BESIDE },
	{ WITH, "mpmc-16", "recv-all", "recv", .cast = BESIDE },
	{ WITH, "mpmc-16", "recv", "recv", .cast = ORPHANS },
	{ WITH, "mpmc-16", "recv", "recv", .cast = TOMBS },
	{ WITH, "mpsc-72", "send", "send", .cast = BESIDE },
	{ WITH, "spmc-72", "recv", "recv", .cast = BESIDE },
	{ WITH, "lanes-16", "recv", "recv", .cast = BESIDE },
	{ WITH, "mpmc-16", "send", "attach-producer", .cast = ALONE },
	{ WITH, "mpmc-16", "commit-part", "attach-producer", .cast = ALONE },
	{ WITH, "mpmc-16", "attach-producer", "send", .cast = ALONE },
	{ WITH, "mpmc-16", "attach-producer", "commit-part", .cast = ALONE },
	{ WITH, "mpmc-16", "send", "detach-producer", .cast = ALONE },
	{ WITH, "mpmc-16", "detach-producer", "send", .cast = ALONE },
	{ WITH, "mpmc-16", "recv", "attach-consumer", .cast = ALONE },
	{ WITH, "mpmc-16", "recv-many", "attach-consumer", .cast = ALONE },
	{ WITH, "mpmc-16", "attach-consumer", "recv", .cast = ALONE },
	{ WITH, "mpmc-16", "recv", "detach-consumer", .cast = ALONE },
	{ WITH, "mpmc-16", "detach-consumer", "recv", .cast = ALONE },
	{ BURIAL, "mpmc-16", "send-many", "bury", .cast = BESIDE },
	{ BURIAL, "mpmc-16", "send-many", "bury", .cast = ALONE },
	{ BURIAL, "mpmc-16", "recv-many", "bury", .cast = BESIDE },
	{ BURIAL, "mpmc-16", "recv-many", "bury", .cast = ALONE },
	{ BURIAL, "mpmc-16", "release-part", "bury", .cast = BESIDE },
	{ BURIAL, "mpmc-16", "recv", "bury", .cast = ORPHANS },
	{ BURIAL, "mpmc-16", "recv", "bury", .cast = TOMBS },
	{ BURIAL, "gated-16", "release-part", "bury", .cast = BESIDE },
	{ BURIAL, "lanes-16", "release-part", "bury", .cast = BESIDE },
	{ BURIAL, "spsc-16", "close-by-producer", "bury", .cast = ALONE },
	{ WATCHED, "mpmc-16", "send-many", "bury", .cast = BESIDE },
	{ WATCHED, "mpmc-16", "recv-many", "bury", .cast = BESIDE },
	{ WATCHED, "mpmc-16", "release-part", "bury", .cast = BESIDE },
	{ WATCHED, "mpmc-16", "recv", "bury", .cast = ORPHANS },
};

const unsigned int n_pairs = sizeof(pairs) / sizeof(pairs[0]);

/* What the library's thread does when somebody has died. */
static void act_bury(struct act *a)
{
	int r;

	stepper_begin(&a->report->mark);
	r = ringq_places_bury(a->ring);
	a->report->result = r;
	stepper_over(&a->report->mark);
}

static const struct operation bury = {
	.name = "bury", .act = act_bury, .late = true, .buries = true,
};

/* A life of a ring with two of them. */
struct two {
	struct scene s;		/* its victim is who dies, or dies first */
	struct actor other;
};

static struct report *others;	/* the other one's */
static struct cell cell;
static const struct operation *op_other;
static const struct pair *pair;
static struct stepper_path path, path_other;

static const struct operation *operation_of(const char *name)
{
	unsigned int i;

	if (!strcmp(name, bury.name))
		return &bury;
	for (i = 0; i < n_operations; i++) {
		if (!strcmp(operations[i].name, name))
			return &operations[i];
	}
	fail("no operation %s", name);
}

static const struct column *column_of(const char *name)
{
	unsigned int i;

	for (i = 0; i < n_columns; i++) {
		if (!strcmp(columns[i].name, name))
			return &columns[i];
	}
	fail("no ring %s", name);
}

const struct pair *pair_of(unsigned int i, char *name, size_t size)
{
	static const char *const kinds[] = { "with", "then", "watched-by" };

	snprintf(name, size, "memfd-%s-%s-%s-%s-%s%s", pairs[i].column, pairs[i].lies,
		 kinds[pairs[i].kind], pairs[i].dies, cast_names[pairs[i].cast],
		 pairs[i].closes ? "-closed" : "");
	return &pairs[i];
}

static void start_other(struct two *t)
{
	scene_actor(&t->s, &t->other, op_other, others, t->s.number + OTHERS);
	stepper_go(t->other.pid);
	actor_begin(&t->other);
}

/* Both at their beginnings. Who attaches in its operation comes after the other one. */
static void open_two(struct two *t)
{
	struct scene *s = &t->s;

	scene_open(s, &cell, report);
	s->crowded = true;
	s->moved = op_other->late && !op_other->buries;
	if (cell.op->late)
		start_other(t);
	scene_start(s);
	if (!cell.op->late)
		start_other(t);
	victim = s->victim.pid;
}

static bool lives(const struct scene *s)
{
	const struct ringq_attention *a = ringq_attention_of(s->ring, s->ring->base);

	return !cell.op->late && !s->moved && ringq_bit(a->live[cell.op->role], report->place);
}

/* May the burial have to come again because of the one who lies? */
static bool is_in_the_way(const struct two *t)
{
	const struct scene *s = &t->s;
	struct ringq_port_stat stat = { .size = sizeof(stat) };

	ringq_port_stat(s->ring, cell.op->role, others->place, &stat);
	return op_other->late || op_other->leaves || stat.claim == RINGQ_TRY ||
	       stat.claim == RINGQ_BACK;
}

/* If the library's thread has the lock just now, it is about to do the same. */
static void bury_now(struct scene *s, bool in_the_way)
{
	unsigned int i;

	for (i = 0; lives(s) && i < 10000; i++) {
		ringq_places_bury(s->ring);
		if (in_the_way)
			return;
		sched_yield();
	}
	CHECK(!lives(s), "it is not buried, and nothing is in the way");
}

/* What the one who lived has received is received; what it has sent must come. */
static void settle_consumer(struct two *t)
{
	struct notes *notes = &t->s.common;
	const unsigned char *packed = (const unsigned char *)others->buffer;
	uint64_t i, number;

	for (i = 0; i < others->got; i++) {
		number = message_number(packed + i * cell.column->size);
		CHECK(message_is_whole(packed + i * cell.column->size, cell.column->size, number),
		      "the one who lives has a torn message");
		notes->note[notes->n].number = number;
		notes->note[notes->n++].again = others->flags & RINGQ_REDELIVERED;
	}
}

static void settle_producer(struct two *t)
{
	struct notes *notes = &t->s.common;
	uint64_t n = 0;
	unsigned int i, j;

	for (i = 0, j = 0; i < notes->n; i++) {
		if (notes->note[i].number < t->other.first) {
			notes->note[j++] = notes->note[i];
			continue;
		}
		CHECK(notes->note[i].number == t->other.first + n && !notes->note[i].again,
		      "not the next message of the one who lives");
		n++;
	}
	notes->n = j;
	CHECK(n == others->sent, "%llu messages of the one who lives, who sent %llu",
	      (unsigned long long)n, (unsigned long long)others->sent);
}

static void close_two(struct two *t)
{
	struct scene *s = &t->s;

	CHECK(others->mark.over, "who lives does not come to its end");
	s->spare = others->takes;
	scene_succeed(s);
	scene_see_closed(s);
	scene_take_all(s);
	if (op_other->role == RINGQ_PRODUCER)
		settle_producer(t);
	else
		settle_consumer(t);
	scene_judge(s);
	stepper_kill(t->other.pid);
	victim = 0;
	scene_close(s);
}

/* One of the two goes first, to where it lies or is to die; then the other one. */
static struct actor *actor_of(struct two *t, bool dies)
{
	return dies ? &t->s.victim : &t->other;
}

static void go_to(struct two *t, bool dies, const struct stepper_path *p, unsigned int k)
{
	struct actor *a = actor_of(t, dies);

	if (!stepper_to(a->pid, &a->act.report->mark, p, k))
		counts->detours++;
}

/* It may have been closed meanwhile, by one of ours of the other side. */
static void close_meanwhile(struct scene *s)
{
	if (pair->closes)
		CHECK(ringq_close(&s->in) == 0, "close");
	report->closes = pair->closes;
}

static void die_beside(bool dead_first, unsigned int i, unsigned int k)
{
	static struct two t;
	bool in_the_way;

	dies_at = dead_first ? i : k;
	lies_at = dead_first ? k : i;
	open_two(&t);
	go_to(&t, dead_first, &path, i);
	go_to(&t, !dead_first, &path_other, k);
	in_the_way = is_in_the_way(&t);
	stepper_kill(t.s.victim.pid);
	close_meanwhile(&t.s);
	scene_go_on(&t.s);
	if (!others->mark.over) {
		bury_now(&t.s, in_the_way);
		stepper_finish(t.other.pid);
	}
	close_two(&t);
	counts->pairs++;
	counts->deaths++;
}

/* The path of who goes first; or of the other one, with the first at i. */
static void record_beside(bool dead_first, bool second, unsigned int i)
{
	static struct two t;
	struct stepper_watch watch;
	struct actor *a;

	dies_at = 0;
	lies_at = i;
	open_two(&t);
	watch = scene_watch(&t.s);
	if (second)
		go_to(&t, dead_first, &path, i);
	a = actor_of(&t, dead_first != second);
	stepper_record(a->pid, &a->act.report->mark, &watch, MOST, second ? &path_other : &path);
	stepper_kill(t.s.victim.pid);
	if (!others->mark.over)
		stepper_finish(t.other.pid);
	close_two(&t);
}

/* Of who dies, stores are enough; see above. */
static bool is_chosen(const struct stepper_path *p, unsigned int i, bool dies)
{
	return every == 1 || p->event[i] || (!dies && i % every == 0);
}

static void run_beside(bool dead_first)
{
	unsigned int i, k;

	record_beside(dead_first, false, 0);
	for (i = 1; i < path.n; i++) {
		if (!is_chosen(&path, i, dead_first))
			continue;
		record_beside(dead_first, true, i);
		for (k = 1; k < path_other.n; k++) {
			if (is_chosen(&path_other, k, !dead_first))
				die_beside(dead_first, i, k);
		}
	}
}

/*
 * The burial. The library's thread of our own process would be faster than the one who is stepped:
 * it gives up, and comes again, as long as this process has the lock of its handle.
 */
static void open_burial(struct two *t, unsigned int j)
{
	dies_at = 0;
	lies_at = j;
	open_two(t);
	if (!stepper_to(t->s.victim.pid, &report->mark, &path, j))
		counts->detours++;
	scene_meanwhile(&t->s, pair->kind == WATCHED ? HOLD : NOTHING);
	pthread_mutex_lock(&t->s.ring->mutex);
	stepper_kill(t->s.victim.pid);
	victim = t->other.pid;
}

static void close_burial(struct two *t)
{
	struct scene *s = &t->s;

	pthread_mutex_unlock(&s->ring->mutex);
	scene_succeed(s);
	scene_see_closed(s);
	scene_take_all(s);
	scene_let_go(s);
	scene_take_all(s);
	scene_judge(s);
	victim = 0;
	scene_close(s);
}

static void record_burial(unsigned int j)
{
	static struct two t;
	struct stepper_watch watch;

	open_burial(&t, j);
	watch = scene_watch(&t.s);
	stepper_record(t.other.pid, &others->mark, &watch, MOST, &path_other);
	CHECK(others->result == 1 || pair->kind == WATCHED, "it buries nobody");
	stepper_kill(t.other.pid);
	close_burial(&t);
}

static void die_burial(unsigned int j, unsigned int k)
{
	static struct two t;

	open_burial(&t, j);
	dies_at = k;
	if (!stepper_to(t.other.pid, &others->mark, &path_other, k))
		counts->detours++;
	if (pair->kind == WATCHED) {
		scene_let_go(&t.s);
		scene_go_on(&t.s);
		if (!others->mark.over)
			stepper_finish(t.other.pid);
	}
	stepper_kill(t.other.pid);
	close_burial(&t);
	counts->pairs++;
	counts->deaths += pair->kind == WATCHED ? 1 : 2;
}

/* The path of the one who is to be buried. */
static void record_dead(void)
{
	static struct two t;
	struct stepper_watch watch;

	open_two(&t);
	watch = scene_watch(&t.s);
	stepper_record(t.s.victim.pid, &report->mark, &watch, MOST, &path);
	pthread_mutex_lock(&t.s.ring->mutex);
	stepper_kill(t.s.victim.pid);
	stepper_kill(t.other.pid);
	close_burial(&t);
}

static void run_burial(void)
{
	unsigned int j, k;

	record_dead();
	for (j = 1; j < path.n; j++) {
		if (!is_chosen(&path, j, true))
			continue;
		record_burial(j);
		for (k = 1; k < path_other.n; k++) {
			if (is_chosen(&path_other, k, false))
				die_burial(j, k);
		}
	}
}

void pair_run(const struct pair *p)
{
	unsigned long before = counts->pairs;
	bool beside = p->kind == WITH;

	pair = p;
	others = report + 1;
	scene_init();
	cell = (struct cell){ operation_of(beside ? p->dies : p->lies), column_of(p->column),
			      p->cast };
	op_other = operation_of(beside ? p->lies : p->dies);
	if (beside) {
		run_beside(false);
		run_beside(true);
	} else {
		run_burial();
	}
	printf("ok - %s: %lu pairs\n", cell_name, counts->pairs - before);
}
