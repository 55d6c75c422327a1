// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What repair makes of the positions of a dead port (ringq/repair.h, the source that the module
 * and the library share), in memory that is nothing but words: ports are what their pages say.
 *
 * Its loads and exchanges are this test's, and so others can do something between any two of
 * them: the orders that it relies on are tried one by one, and not left to chance.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ringq/layout.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUT		RINGQ_PRODUCER
#define IN		RINGQ_CONSUMER
#define CAPACITY	8
#define PORTS		3
#define GENERATION	5	/* of the dead one, always port 0 */
#define STEPS		6	/* of one who lives, at most */

/* A word, and what is stored to it. */
struct step {
	__u64 at;
	__u64 value;
};

static struct {
	struct ringq_geometry geometry;
	struct ringq_layout layout;
	unsigned char *memory;
	bool dead[2][PORTS];	/* certified */
	unsigned int looks;	/* of repair so far: loads and exchanges */
	/* What another one does meanwhile: the first steps before one look, the rest before one. */
	const struct step *steps;
	unsigned int n, done, first, early, late;
} ring;

static __u64 *word(__u64 at)
{
	return (__u64 *)(ring.memory + at);
}

static void step_to(unsigned int n)
{
	for (; ring.done < n; ring.done++)
		*word(ring.steps[ring.done].at) = ring.steps[ring.done].value;
}

static void look(void)
{
	if (ring.looks == ring.early)
		step_to(ring.first);
	if (ring.looks == ring.late)
		step_to(ring.n);
	ring.looks++;
}

static __u64 ringq_word_at(const void *memory, __u64 offset)
{
	(void)memory;
	look();
	return *word(offset);
}

static int ringq_word_cas(const void *memory, __u64 offset, __u64 from, __u64 to)
{
	(void)memory;
	look();
	if (*word(offset) != from)
		return 0;
	*word(offset) = to;
	return 1;
}

static int ringq_port_is_dead(const void *memory, __u32 role, __u32 port)
{
	(void)memory;
	look();
	return ring.dead[role][port];
}

#include <ringq/repair.h>

static __u64 page(__u32 role, __u32 port, size_t field)
{
	return ring.layout.ports + ring.layout.port_stride *
				   ringq_page_of(&ring.geometry, role, port) + field;
}

#define CLAIM(role, port)	page(role, port, offsetof(struct ringq_port_page, claim))
#define DONE(role, port)	page(role, port, offsetof(struct ringq_port_page, progress.done))
#define INDEX(role)		(ring.layout.sides[role] + offsetof(struct ringq_side, index))
#define ORPHANS			(ring.layout.sides[IN] + offsetof(struct ringq_side, orphans))
#define STAMP(i)		ringq_stamp_at(&ring.geometry, &ring.layout, 0, at(i))

/* Positions count from the ring's first one here. */
static __u64 at(__u64 i)
{
	return ring.geometry.first + i;
}

static __u64 stamp(__u64 i, __u64 state)
{
	return RINGQ_STAMP(at(i), state);
}

static __u64 claim(__u32 state, __u64 n, __u64 i)
{
	return RINGQ_CLAIM(state, n, at(i));
}

static __u64 orphan(__u64 i)
{
	return ringq_special(RINGQ_ORPHAN, 0, GENERATION, at(i));
}

/* An empty ring in which all places are taken; none of those who are there claims anything. */
static void make(__u64 first, __u32 flags)
{
	__u32 role, i;

	free(ring.memory);
	memset(&ring, 0, sizeof(ring));
	ring.geometry = (struct ringq_geometry){
		.discipline = RINGQ_MPMC, .shape = RINGQ_SHAPE_SLOT, .elem_size = 8,
		.producers = PORTS, .consumers = PORTS, .capacity = CAPACITY, .first = first,
		.flags = flags, .unit_shift = RINGQ_UNIT_LINES, .bulk_shift = RINGQ_UNIT_LINES,
	};
	assert_int_equal(ringq_layout_compute(&ring.geometry, &ring.layout), 0);
	ring.memory = calloc(1, ring.layout.total);
	assert_non_null(ring.memory);
	ring.early = ring.late = UINT32_MAX;
	for (role = OUT; role <= IN; role++) {
		*word(ring.layout.attention + offsetof(struct ringq_attention, live) +
		      role * sizeof(__u64) * RINGQ_SIDE_WORDS) = (1 << PORTS) - 1;
		*word(INDEX(role)) = first;
		for (i = 0; i < PORTS; i++)
			*word(DONE(role, i)) = first;
		ring.dead[role][0] = true;
	}
	for (i = 0; i < CAPACITY; i++)
		*word(STAMP(i)) = stamp(i, RINGQ_FREE);
}

/* Of port 0, which is dead. */
static int repair(__u32 role, struct ringq_tally *tally)
{
	const struct ringq_view view = ringq_view_at(&ring.geometry, &ring.layout, &ring, role, 0);

	return ringq_repair_port(&view, GENERATION, tally);
}

#define assert_stamp(i, expected)	assert_true(*word(STAMP(i)) == (expected))

/* Positions as they begin, and as far up as they go. */
static const __u64 firsts[] = { 0, (1ull << 50) - 3, RINGQ_FIRST_MAX - 3 };

/* A lap later; what a consumer freed by its position still has the stamp of the lap before. */
static void producers(void **state)
{
	struct ringq_tally tally;
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		make(firsts[i], 0);
		memset(&tally, 0, sizeof(tally));
		*word(STAMP(0)) = stamp(0, RINGQ_FULL);
		*word(STAMP(1)) = stamp(CAPACITY + 1, RINGQ_FREE);
		*word(STAMP(2)) = stamp(2, RINGQ_TOMB);
		*word(STAMP(3)) = stamp(CAPACITY + 3, RINGQ_FULL);
		*word(STAMP(4)) = stamp(CAPACITY + 4, RINGQ_FREE);
		*word(STAMP(5)) = stamp(CAPACITY + 5, RINGQ_FREE);
		*word(DONE(OUT, 0)) = at(1);
		*word(CLAIM(OUT, 0)) = claim(RINGQ_OWN, 5, CAPACITY);
		assert_int_equal(repair(OUT, &tally), 0);
		assert_stamp(0, stamp(CAPACITY, RINGQ_TOMB));
		assert_stamp(1, stamp(CAPACITY + 1, RINGQ_TOMB));
		assert_stamp(2, stamp(CAPACITY + 2, RINGQ_TOMB));
		assert_stamp(3, stamp(CAPACITY + 3, RINGQ_FULL));
		assert_stamp(4, stamp(CAPACITY + 4, RINGQ_TOMB));
		assert_stamp(5, stamp(CAPACITY + 5, RINGQ_FREE));
		assert_int_equal(tally.tombs, 4);
		/* It was alone: where it was, only its word told. */
		assert_true(*word(INDEX(OUT)) == at(CAPACITY + 5));
		/* Once more is nothing more. */
		assert_int_equal(repair(OUT, &tally), 0);
		assert_int_equal(tally.tombs, 4);
		assert_int_equal(*word(ORPHANS), 0);
	}
}

/* A message of the lap before that is in somebody's hands, or on its way there, stays one. */
static void producers_before_orphans(void **state)
{
	const __u64 again = ringq_special(RINGQ_AGAIN, 1, 1, 0);
	struct ringq_tally tally = { 0 };

	(void)state;
	make(0, 0);
	*word(STAMP(0)) = again;
	*word(STAMP(1)) = ringq_special(RINGQ_ORPHAN, 2, 1, 1);
	*word(DONE(OUT, 0)) = at(CAPACITY);
	*word(CLAIM(OUT, 0)) = claim(RINGQ_TRY, 2, CAPACITY);
	*word(INDEX(OUT)) = at(CAPACITY + 2);
	assert_int_equal(repair(OUT, &tally), 0);
	assert_stamp(0, again);
	assert_stamp(1, ringq_special(RINGQ_ORPHAN, 2, 1, 1));
	assert_int_equal(tally.tombs, 0);
}

static void consumers(void **state)
{
	struct ringq_tally tally;
	unsigned int i, drop;

	(void)state;
	for (i = 0; i < 6; i++) {
		drop = i % 2;
		make(firsts[i / 2], drop ? RINGQ_DROP : 0);
		memset(&tally, 0, sizeof(tally));
		*word(STAMP(0)) = stamp(0, RINGQ_FULL);
		*word(STAMP(1)) = stamp(1, RINGQ_FULL);
		*word(STAMP(2)) = stamp(CAPACITY + 2, RINGQ_FREE);
		*word(STAMP(3)) = stamp(3, RINGQ_TOMB);
		*word(STAMP(4)) = stamp(4, RINGQ_FULL);
		*word(STAMP(5)) = stamp(5, RINGQ_FULL);
		*word(CLAIM(IN, 0)) = claim(RINGQ_OWN, 5, 0);
		*word(INDEX(IN)) = at(5);
		/* Another was alone once, and freed by its position. */
		*word(DONE(IN, 2)) = at(1);
		assert_int_equal(repair(IN, &tally), 0);
		assert_stamp(0, stamp(0, RINGQ_FULL));
		assert_stamp(1, drop ? stamp(CAPACITY + 1, RINGQ_FREE) : orphan(1));
		assert_stamp(2, stamp(CAPACITY + 2, RINGQ_FREE));
		assert_stamp(3, stamp(CAPACITY + 3, RINGQ_FREE));
		assert_stamp(4, drop ? stamp(CAPACITY + 4, RINGQ_FREE) : orphan(4));
		assert_stamp(5, stamp(5, RINGQ_FULL));
		assert_int_equal(tally.redelivered, drop ? 0 : 2);
		assert_int_equal(tally.dropped, drop ? 2 : 0);
		assert_int_equal(*word(ORPHANS), !drop);
	}
}

/* What the dead one had again is told by its stamp, whatever live words still say of it. */
static void consumers_of_orphans(void **state)
{
	const __u64 ours = ringq_special(RINGQ_AGAIN, 1, GENERATION, 1);
	const __u64 successors = ringq_special(RINGQ_AGAIN, 0, GENERATION + 1, 2);
	struct ringq_tally tally = { 0 };

	(void)state;
	make(0, 0);
	*word(STAMP(0)) = ringq_special(RINGQ_AGAIN, 0, GENERATION, 0);
	*word(STAMP(1)) = ours;
	*word(STAMP(2)) = successors;
	*word(INDEX(IN)) = at(4);
	*word(CLAIM(IN, 0)) = claim(RINGQ_OWN, 3, 0);
	*word(CLAIM(IN, 1)) = claim(RINGQ_OWN, 1, 0);
	*word(CLAIM(IN, 2)) = claim(RINGQ_TRY, 1, 0);
	assert_int_equal(repair(IN, &tally), 0);
	assert_stamp(0, orphan(0));
	assert_stamp(1, ours);
	assert_stamp(2, successors);
	assert_int_equal(tally.redelivered, 1);
	assert_int_equal(*word(ORPHANS), 1);
}

/* Live words decide, each in its way; those of the dead do not. */
static void others(void **state)
{
	struct ringq_tally tally = { 0 };

	(void)state;
	make(0, 0);
	*word(INDEX(OUT)) = at(1);
	*word(CLAIM(OUT, 0)) = claim(RINGQ_TRY, 2, 0);
	*word(CLAIM(OUT, 1)) = claim(RINGQ_OWN, 1, 1);
	*word(CLAIM(OUT, 2)) = claim(RINGQ_TRY, 1, 0);
	assert_int_equal(repair(OUT, &tally), -EAGAIN);
	*word(CLAIM(OUT, 2)) = claim(RINGQ_BACK, 1, 0);
	assert_int_equal(repair(OUT, &tally), -EAGAIN);
	*word(CLAIM(OUT, 2)) = claim(RINGQ_OWN, 1, 0);
	assert_int_equal(repair(OUT, &tally), 0);
	assert_stamp(0, stamp(0, RINGQ_FREE));
	/* Of two that have tried the same, and are both dead, none waits for the other. */
	*word(CLAIM(OUT, 2)) = claim(RINGQ_TRY, 1, 0);
	ring.dead[OUT][2] = true;
	assert_int_equal(repair(OUT, &tally), 0);
	assert_stamp(0, stamp(0, RINGQ_TOMB));
	assert_stamp(1, stamp(1, RINGQ_FREE));
	assert_int_equal(tally.tombs, 1);
}

/* A word that makes no sense says nothing. */
static void nonsense(void **state)
{
	struct ringq_tally tally = { 0 };

	(void)state;
	make(0, 0);
	*word(INDEX(OUT)) = at(2);
	*word(CLAIM(OUT, 0)) = claim(RINGQ_OWN, CAPACITY + 1, 0);
	assert_int_equal(repair(OUT, &tally), 0);
	*word(CLAIM(OUT, 0)) = claim(RINGQ_OWN, 1, 5 * CAPACITY);
	assert_int_equal(repair(OUT, &tally), 0);
	assert_stamp(0, stamp(0, RINGQ_FREE));
	assert_true(*word(INDEX(OUT)) == at(2));
	assert_int_equal(tally.tombs, 0);
}

/*
 * Another one does its steps while the dead one's port is repaired: some before one look of that,
 * the rest before another, in every way there is. Then both are over. Returns how many ways.
 */
static unsigned int each_way(void (*set)(void), __u32 role, const struct step *steps,
			     unsigned int n, void (*check)(int r, const struct ringq_tally *tally))
{
	unsigned int first, early, late, looks = 1, ways = 0;
	struct ringq_tally tally;
	int r;

	assert_true(n <= STEPS);
	for (first = 0; first <= n; first++) {
		for (early = 0; early <= looks; early++) {
			for (late = early; late <= looks; late++, ways++) {
				set();
				memset(&tally, 0, sizeof(tally));
				ring.steps = steps;
				ring.n = n;
				ring.first = first;
				ring.early = early;
				ring.late = late;
				r = repair(role, &tally);
				if (ring.looks > looks)
					looks = ring.looks;
				step_to(n);
				check(r, &tally);
			}
		}
	}
	return ways;
}

/* The dead one took nothing: it had said that it would try what another one takes now. */
static void set_tried(void)
{
	make(0, 0);
	*word(CLAIM(OUT, 0)) = claim(RINGQ_TRY, 1, 0);
}

static void check_sent(int r, const struct ringq_tally *tally)
{
	assert_true(r == 0 || r == -EAGAIN);
	assert_stamp(0, stamp(0, RINGQ_FULL));
	assert_int_equal(tally->tombs, 0);
}

/* The index is looked at before the words: who has moved it since has said so before. */
static void while_one_sends(void **state)
{
	struct step steps[4];

	(void)state;
	make(0, 0);
	steps[0] = (struct step){ CLAIM(OUT, 1), claim(RINGQ_TRY, 1, 0) };
	steps[1] = (struct step){ INDEX(OUT), at(1) };
	steps[2] = (struct step){ STAMP(0), stamp(0, RINGQ_FULL) };
	steps[3] = (struct step){ CLAIM(OUT, 1), claim(RINGQ_TRY, 1, 1) };
	assert_true(each_way(set_tried, OUT, steps, 4, check_sent) > 100);
}

/* Likewise a message. It is freed by its stamp, or by the position of one that was alone before. */
static void set_shown(void)
{
	make(0, 0);
	*word(STAMP(0)) = stamp(0, RINGQ_FULL);
	*word(STAMP(1)) = stamp(1, RINGQ_FULL);
	*word(CLAIM(IN, 0)) = claim(RINGQ_TRY, 1, 0);
}

static void check_received(int r, const struct ringq_tally *tally)
{
	assert_true(r == 0 || r == -EAGAIN);
	assert_stamp(0, stamp(CAPACITY, RINGQ_FREE));
	assert_int_equal(tally->redelivered, 0);
	assert_int_equal(*word(ORPHANS), 0);
}

static void while_one_receives(void **state)
{
	struct step steps[4];

	(void)state;
	make(0, 0);
	steps[0] = (struct step){ CLAIM(IN, 1), claim(RINGQ_TRY, 1, 0) };
	steps[1] = (struct step){ INDEX(IN), at(1) };
	steps[2] = (struct step){ STAMP(0), stamp(CAPACITY, RINGQ_FREE) };
	steps[3] = (struct step){ CLAIM(IN, 1), claim(RINGQ_TRY, 1, 1) };
	assert_true(each_way(set_shown, IN, steps, 4, check_received) > 100);
}

static void set_held(void)
{
	set_shown();
	/* Taken when it was alone, and raised since. */
	*word(CLAIM(IN, 1)) = claim(RINGQ_OWN, 1, 0);
	*word(INDEX(IN)) = at(1);
}

static void check_released(int r, const struct ringq_tally *tally)
{
	assert_true(r == 0 || r == -EAGAIN);
	assert_stamp(0, stamp(0, RINGQ_FULL));
	assert_int_equal(tally->redelivered, 0);
}

/* Done is looked at after the words: who is over with it by his word has stored done before. */
static void while_one_releases(void **state)
{
	struct step steps[2];

	(void)state;
	make(0, 0);
	steps[0] = (struct step){ DONE(IN, 1), at(1) };
	steps[1] = (struct step){ CLAIM(IN, 1), claim(RINGQ_IDLE, 0, 0) };
	assert_true(each_way(set_held, IN, steps, 2, check_released) > 50);
}

static void set_taken(void)
{
	make(0, 0);
	*word(STAMP(0)) = stamp(0, RINGQ_FULL);
	*word(CLAIM(IN, 0)) = claim(RINGQ_OWN, 1, 0);
	*word(INDEX(IN)) = at(1);
}

static void check_once(int r, const struct ringq_tally *tally)
{
	assert_true(r == 0 || r == -EAGAIN);
	assert_stamp(0, ringq_special(RINGQ_AGAIN, 1, 1, 0));
	assert_true(tally->redelivered <= 1);
	assert_in_range(*word(ORPHANS), 1, 2);
}

/*
 * Another repairs it too, and a third one takes it: that stays as it is, and is counted once. (That
 * there is something to be taken may be told twice.)
 */
static void while_one_repairs(void **state)
{
	struct step steps[3];

	(void)state;
	make(0, 0);
	steps[0] = (struct step){ STAMP(0), orphan(0) };
	steps[1] = (struct step){ ORPHANS, 1 };
	steps[2] = (struct step){ STAMP(0), ringq_special(RINGQ_AGAIN, 1, 1, 0) };
	assert_true(each_way(set_taken, IN, steps, 3, check_once) > 50);
}

static void check_told(int r, const struct ringq_tally *tally)
{
	assert_stamp(0, orphan(0));
	assert_true(tally->redelivered <= 1);
	assert_true(r == -EAGAIN || *word(ORPHANS) == 1);
}

/* Another repairs it too, and dies before he has told: nobody would look for it. */
static void while_one_dies_repairing(void **state)
{
	struct step steps[1];

	(void)state;
	make(0, 0);
	steps[0] = (struct step){ STAMP(0), orphan(0) };
	assert_true(each_way(set_taken, IN, steps, 1, check_told) > 20);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(producers),
		cmocka_unit_test(producers_before_orphans),
		cmocka_unit_test(consumers),
		cmocka_unit_test(consumers_of_orphans),
		cmocka_unit_test(others),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(while_one_sends),
		cmocka_unit_test(while_one_receives),
		cmocka_unit_test(while_one_releases),
		cmocka_unit_test(while_one_repairs),
		cmocka_unit_test(while_one_dies_repairing),
	};
	int r;

	setbuf(stdout, NULL);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	free(ring.memory);
	return r;
}
