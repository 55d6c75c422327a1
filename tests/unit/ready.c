// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * ringq/ready.h where memory says what it says only for moments, or after a kill: written by
 * hand, at times between two of its looks. That it is right in rings at work is shown wherever
 * somebody sleeps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ringq/layout.h>
#include <string.h>

/* What others store meanwhile: some of it before one look, the rest before another one. */
struct step {
	__u64 at, value;
};

static struct {
	const struct step *steps;
	unsigned int n, first, early, late, done, looks;
} others;

static void others_step(const void *memory)
{
	unsigned int n = others.looks >= others.late ? others.n :
			 others.looks >= others.early ? others.first : 0;

	for (; others.done < n; others.done++)
		*(__u64 *)((char *)memory + others.steps[others.done].at) =
			others.steps[others.done].value;
	others.looks++;
}

static __u64 ringq_word_at(const void *memory, __u64 offset)
{
	others_step(memory);
	return *(const __u64 *)((const char *)memory + offset);
}

#include <ringq/ready.h>

#define CAPACITY 4ull
#define POS (3 * CAPACITY)	/* where the port is */

static _Alignas(128) unsigned char memory[16384];
static struct ringq_layout layout;
static const struct ringq_geometry geometry = {
	.discipline = RINGQ_MPMC, .shape = RINGQ_SHAPE_SLOT, .elem_size = 8,
	.capacity = CAPACITY, .producers = 2, .consumers = 2, .unit_shift = 7, .bulk_shift = 7,
};

static __u64 *word(__u64 offset)
{
	return (__u64 *)(memory + offset);
}

/*
 * A port that was alone has moved on without its index, which still is a lap behind; somebody
 * attaches, has said so, and is gone. Slots are as consumers leave them who are several.
 */
static struct ringq_view abandoned(enum ringq_role role)
{
	const struct ringq_view view = {
		.geometry = &geometry, .layout = &layout, .memory = memory, .role = role,
	};
	struct ringq_port_page *page;
	struct ringq_side *side;
	__u64 i;

	memset(memory, 0, sizeof(memory));
	assert_int_equal(ringq_layout_compute(&geometry, &layout), 0);
	assert_true(layout.total <= sizeof(memory));
	side = (struct ringq_side *)word(layout.sides[role]);
	side->index = POS - 2 * CAPACITY;
	side->shared = 1;
	page = (struct ringq_port_page *)word(ringq_view_page(&view, role, 0));
	page->claim = RINGQ_CLAIM(RINGQ_OWN, 0, POS);
	page->progress.done = POS;
	page->progress.hand = POS;
	for (i = 0; i < CAPACITY; i++)
		*word(ringq_stamp_at(&geometry, &layout, 0, POS + i)) =
			RINGQ_STAMP(POS + i, RINGQ_FREE);
	return view;
}

static void room_beyond_the_index(void **state)
{
	struct ringq_view view = abandoned(RINGQ_PRODUCER);

	(void)state;
	assert_true(ringq_is_ready(&view, 1));
	assert_true(ringq_is_ready(&view, CAPACITY));
	*word(ringq_stamp_at(&geometry, &layout, 0, POS)) =
		RINGQ_STAMP(POS - CAPACITY, RINGQ_FULL);
	assert_false(ringq_is_ready(&view, 1));
}

static void messages_beyond_the_index(void **state)
{
	struct ringq_view view = abandoned(RINGQ_CONSUMER);

	(void)state;
	assert_false(ringq_is_ready(&view, 1));
	*word(ringq_stamp_at(&geometry, &layout, 0, POS)) = RINGQ_STAMP(POS, RINGQ_FULL);
	assert_true(ringq_is_ready(&view, 1));
	assert_false(ringq_is_ready(&view, 2));
}

/* The others have gone on so far since this one last claimed that its word seems to lie ahead. */
static void others_are_far(void **state)
{
	const __u64 index = POS + (1ull << (RINGQ_CLAIM_BITS - 1)) + 1;
	struct ringq_view view = abandoned(RINGQ_CONSUMER);
	struct ringq_port_page *page;

	(void)state;
	page = (struct ringq_port_page *)word(ringq_view_page(&view, RINGQ_CONSUMER, 0));
	page->claim = RINGQ_CLAIM(RINGQ_TRY, 1, POS);
	((struct ringq_side *)word(layout.sides[RINGQ_CONSUMER]))->index = index;
	assert_false(ringq_is_ready(&view, 1));
	*word(ringq_stamp_at(&geometry, &layout, 0, index)) = RINGQ_STAMP(index, RINGQ_FULL);
	assert_true(ringq_is_ready(&view, 1));
}

static const struct ringq_geometry gated = {
	.discipline = RINGQ_GATED, .shape = RINGQ_SHAPE_LINE, .elem_size = 8, .capacity = 7,
	.producers = 1, .consumers = 2, .unit_shift = 7, .bulk_shift = 7,
};

/*
 * The gate of a dead reader is kept, a successor takes its place, and dies too: it stands all the
 * time, whatever of that the producer sees, and when.
 */
static void gate_from_hand_to_hand(void **state)
{
	const struct ringq_view view = {
		.geometry = &gated, .layout = &layout, .memory = memory, .role = RINGQ_PRODUCER,
	};
	unsigned int first, early, late;
	struct step steps[6];
	__u64 live, kept, epoch, done;

	(void)state;
	assert_int_equal(ringq_layout_compute(&gated, &layout), 0);
	assert_true(layout.total <= sizeof(memory));
	kept = layout.attention + offsetof(struct ringq_attention, kept);
	live = layout.attention + offsetof(struct ringq_attention, live) +
	       RINGQ_CONSUMER * sizeof(__u64) * RINGQ_SIDE_WORDS;
	epoch = layout.attention + offsetof(struct ringq_attention, epoch);
	done = ringq_view_progress(&view, 0) + offsetof(struct ringq_progress, done);
	steps[0] = (struct step){ live, 1 };
	steps[1] = (struct step){ kept, 0 };
	steps[2] = (struct step){ epoch, 1 };
	steps[3] = (struct step){ kept, 1 };
	steps[4] = (struct step){ live, 0 };
	steps[5] = (struct step){ epoch, 2 };
	for (first = 0; first <= 6; first++) {
		for (early = 0; early < 20; early++) {
			for (late = early; late < 20; late++) {
				memset(memory, 0, sizeof(memory));
				memset(&others, 0, sizeof(others));
				others.steps = steps;
				others.n = 6;
				others.first = first;
				others.early = early;
				others.late = late;
				*word(kept) = 1;
				*word(done) = POS - 3;
				assert_true(ringq_view_slowest(&view, POS) == POS - 3);
			}
		}
	}
	memset(&others, 0, sizeof(others));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(room_beyond_the_index),
		cmocka_unit_test(messages_beyond_the_index),
		cmocka_unit_test(gate_from_hand_to_hand),
		cmocka_unit_test(others_are_far),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
