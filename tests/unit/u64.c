// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The rings of 64-bit words of ringq/u64.h: each is of its discipline and no other, and all that
 * a typed ring has does what its name says, to the same words in the same order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <ringq/u64.h>
#include <unistd.h>

static struct ringq *make(uint32_t discipline)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .discipline = discipline,
		.elem_size = sizeof(uint64_t), .capacity = 64,
	};
	struct ringq *ring;

	assert_int_equal(ringq_create(&opts, &ring), 0);
	return ring;
}

/* A handler that wants the words from here on, and no word but the last one after it has it. */
struct wanted {
	uint64_t next, last;
};

static int see(void *arg, const uint64_t *word)
{
	struct wanted *w = arg;

	assert_int_equal(*word, w->next);
	return w->next++ == w->last;
}

/* What rings of all disciplines have: one word at a time, and in place. */
#define ONE(d)										\
static void one_##d(struct ringq *ring, struct ringq_##d##_u64_producer *out,		\
		    struct ringq_##d##_u64_consumer *in)				\
{											\
	struct wanted w = { 41, 41 };							\
	uint64_t word = 40;								\
											\
	assert_int_equal(ringq_##d##_u64_attach_producer(ring, out), 0);		\
	assert_int_equal(ringq_##d##_u64_attach_consumer(ring, in), 0);			\
	assert_int_equal(ringq_##d##_u64_recv(in, &word, 0), -EAGAIN);			\
	assert_int_equal(ringq_##d##_u64_send(out, &word, 0), 1);			\
	word = 0;									\
	assert_int_equal(ringq_##d##_u64_recv(in, &word, 0), 1);			\
	assert_int_equal(word, 40);							\
	assert_int_equal(ringq_##d##_u64_reserve(out, 1, 0), 0);			\
	*ringq_##d##_u64_room(out, 0) = 41;						\
	assert_int_equal(ringq_##d##_u64_commit(out, 1), 0);				\
	assert_int_equal(ringq_##d##_u64_peek(in, 1, 0), 1);				\
	assert_int_equal(*ringq_##d##_u64_at(in, 0), 41);				\
	assert_int_equal(ringq_##d##_u64_release(in, 0), 0);				\
	assert_int_equal(ringq_##d##_u64_consume(in, RINGQ_ALL, see, &w, 0), 1);	\
	assert_int_equal(ringq_##d##_u64_consume(in, 0, see, &w, 0), -EINVAL);		\
	assert_int_equal(ringq_##d##_u64_consume(in, 1, see, &w, 0), -EAGAIN);		\
	word = 42;									\
	assert_int_equal(ringq_##d##_u64_send(out, &word, 0), 1);			\
	assert_int_equal(ringq_##d##_u64_skip(in, RINGQ_ALL, 0), 1);			\
	assert_int_equal(ringq_##d##_u64_recv(in, &word, 0), -EAGAIN);			\
}

/* What all but LATEST have: many words. */
#define MANY(d)										\
static void many_##d(struct ringq_##d##_u64_producer *out,				\
		     struct ringq_##d##_u64_consumer *in)				\
{											\
	struct wanted w = { 6, 8 };							\
	uint64_t words[10], i;								\
											\
	for (i = 0; i < 10; i++)							\
		words[i] = i;								\
	assert_int_equal(ringq_##d##_u64_send_many(out, words, 4, 0), 4);		\
	assert_int_equal(ringq_##d##_u64_send_all(out, words + 4, 6, 0), 6);		\
	assert_int_equal(ringq_##d##_u64_recv_many(in, words, 6, 0), 6);		\
	for (i = 0; i < 6; i++)								\
		assert_int_equal(words[i], i);						\
	assert_int_equal(ringq_##d##_u64_consume(in, 9, see, &w, 0), 3);		\
	w.next = 9;									\
	assert_int_equal(ringq_##d##_u64_consume(in, 100, see, &w, RINGQ_FOREVER), 1);	\
}

#define END(d, ring, out, in)								\
	do {										\
		ringq_close(&(out)->port);						\
		assert_int_equal(ringq_##d##_u64_consume(in, 1, see, NULL, RINGQ_FOREVER), 0); \
		ringq_detach(&(out)->port);						\
		ringq_detach(&(in)->port);						\
		ringq_leave(ring);							\
	} while (0)

#define STREAM_TEST(d, number)								\
ONE(d)											\
MANY(d)											\
static void test_##d(void **state)							\
{											\
	struct ringq *ring = make(number);						\
	struct ringq_##d##_u64_producer out;						\
	struct ringq_##d##_u64_consumer in;						\
											\
	(void)state;									\
	one_##d(ring, &out, &in);							\
	many_##d(&out, &in);								\
	END(d, ring, &out, &in);							\
}

#define FIFO_TEST(d, number)								\
ONE(d)											\
MANY(d)											\
static void test_##d(void **state)							\
{											\
	struct ringq *ring = make(number);						\
	struct ringq_##d##_u64_producer out;						\
	struct ringq_##d##_u64_consumer in;						\
	uint64_t words[2] = { 70, 71 };							\
	int64_t r;									\
											\
	(void)state;									\
	one_##d(ring, &out, &in);							\
	many_##d(&out, &in);								\
	assert_int_equal(ringq_##d##_u64_send_all(&out, words, 2, 0), 2);		\
	r = ringq_##d##_u64_recv_all(&in, words, 2, 0);					\
	assert_int_equal(r, number == RINGQ_LANES ? -EOPNOTSUPP : 2);			\
	if (r < 0)									\
		assert_int_equal(ringq_##d##_u64_recv_many(&in, words, 2, 0), 2);	\
	assert_int_equal(words[0], 70);							\
	assert_int_equal(words[1], 71);							\
	END(d, ring, &out, &in);							\
}

FIFO_TEST(spsc, RINGQ_SPSC)
FIFO_TEST(mpsc, RINGQ_MPSC)
FIFO_TEST(spmc, RINGQ_SPMC)
FIFO_TEST(mpmc, RINGQ_MPMC)
FIFO_TEST(lanes, RINGQ_LANES)
FIFO_TEST(gated, RINGQ_GATED)
STREAM_TEST(lossy, RINGQ_LOSSY)
ONE(latest)

static void test_latest(void **state)
{
	struct ringq *ring = make(RINGQ_LATEST);
	struct ringq_latest_u64_producer out;
	struct ringq_latest_u64_consumer in;
	uint64_t word;

	(void)state;
	one_latest(ring, &out, &in);
	word = 0;
	assert_int_equal(ringq_latest_u64_latest(&in, &word), 1);
	assert_int_equal(word, 42);
	END(latest, ring, &out, &in);
}

/* While a handler looks at a word, all of the ring is overwritten: it has a copy. */
#define OVERWRITTEN_TEST(d, number)							\
static int overwrite_##d(void *arg, const uint64_t *word)				\
{											\
	uint64_t was = *word, other;							\
											\
	for (other = was + 1; other < was + 500; other++)				\
		assert_int_equal(ringq_##d##_u64_send(arg, &other, 0), 1);		\
	assert_int_equal(*word, was);							\
	return 1;									\
}											\
											\
static void test_##d##_overwritten(void **state)					\
{											\
	struct ringq *ring = make(number);						\
	struct ringq_##d##_u64_producer out;						\
	struct ringq_##d##_u64_consumer in;						\
	uint64_t word = 5;								\
											\
	(void)state;									\
	assert_int_equal(ringq_##d##_u64_attach_producer(ring, &out), 0);		\
	assert_int_equal(ringq_##d##_u64_attach_consumer(ring, &in), 0);		\
	assert_int_equal(ringq_##d##_u64_send(&out, &word, 0), 1);			\
	assert_int_equal(ringq_##d##_u64_consume(&in, 9, overwrite_##d, &out, 0), 1);	\
	ringq_detach(&out.port);							\
	ringq_detach(&in.port);								\
	ringq_leave(ring);								\
}

OVERWRITTEN_TEST(lossy, RINGQ_LOSSY)
OVERWRITTEN_TEST(latest, RINGQ_LATEST)

/* A ring of another discipline, or of other words, is refused. */
static void others(void **state)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .elem_size = 4, .capacity = 64,
	};
	struct ringq_mpmc_u64_consumer mpmc;
	struct ringq_spsc_u64_producer spsc;
	struct ringq_lossy_u64_consumer lossy;
	struct ringq *ring = make(RINGQ_SPSC);

	(void)state;
	assert_int_equal(ringq_mpmc_u64_attach_consumer(ring, &mpmc), -EPROTOTYPE);
	assert_int_equal(ringq_lossy_u64_attach_consumer(ring, &lossy), -EPROTOTYPE);
	ringq_leave(ring);
	assert_int_equal(ringq_create(&opts, &ring), 0);
	assert_int_equal(ringq_spsc_u64_attach_producer(ring, &spsc), -EPROTOTYPE);
	ringq_leave(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spsc),
		cmocka_unit_test(test_mpsc),
		cmocka_unit_test(test_spmc),
		cmocka_unit_test(test_mpmc),
		cmocka_unit_test(test_lanes),
		cmocka_unit_test(test_gated),
		cmocka_unit_test(test_lossy),
		cmocka_unit_test(test_latest),
		cmocka_unit_test(test_lossy_overwritten),
		cmocka_unit_test(test_latest_overwritten),
		cmocka_unit_test(others),
	};

	/* A hang is a failure. */
	alarm(20);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
