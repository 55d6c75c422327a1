// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A long run of random calls on three rings at once: one through the typed functions, one
 * through the untyped ones, and a model that is a pair of counters. All three must agree at
 * every step, on results, positions and contents.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <ringq.h>
#include <string.h>

#define STEPS 200000
#define BATCH 40

struct e1 { unsigned char bytes[1]; };
struct e8 { unsigned char bytes[8]; };
struct e24 { unsigned char bytes[24]; };
struct e56 { unsigned char bytes[56]; };
struct e57 { unsigned char bytes[57]; };
struct e200 { unsigned char bytes[200]; };

static uint64_t seed;

static uint64_t dice(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static struct ringq *make(size_t elem_size, uint64_t *capacity)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .elem_size = elem_size,
		.capacity = 30, .first = (1ull << 32) - 100,
	};
	struct ringq_info info = { .size = sizeof(info) };
	struct ringq *ring;

	assert_int_equal(ringq_create(&opts, &ring), 0);
	assert_int_equal(ringq_get_info(ring, &info), 0);
	*capacity = info.capacity;
	return ring;
}

/* The model: numbers of messages sent and received, and what is in hand. */
struct model {
	uint64_t capacity, sent, received, reserved, peeked;
};

static int64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static int64_t room(const struct model *m)
{
	return m->capacity - (m->sent - m->received);
}

static int64_t model_send_many(struct model *m, uint64_t n)
{
	int64_t r;

	if (!n)
		return -EINVAL;
	if (m->reserved)
		return -EBUSY;
	r = least(n, room(m));
	m->sent += r;
	return r ? r : -EAGAIN;
}

static int64_t model_reserve(struct model *m, uint64_t n)
{
	if (m->reserved)
		return -EBUSY;
	if (!n || n > m->capacity)
		return -EINVAL;
	if (n > (uint64_t)room(m))
		return -EAGAIN;
	m->reserved = n;
	return 0;
}

static int64_t model_commit(struct model *m, uint64_t n)
{
	if (n > m->reserved)
		return -EINVAL;
	m->sent += n;
	m->reserved = 0;
	return 0;
}

static int64_t model_recv_many(struct model *m, uint64_t n)
{
	int64_t r;

	if (!n)
		return -EINVAL;
	if (m->peeked)
		return -EBUSY;
	r = least(n, m->sent - m->received);
	m->received += r;
	return r ? r : -EAGAIN;
}

static int64_t model_peek(struct model *m, uint64_t n)
{
	if (!n)
		return -EINVAL;
	if (m->peeked)
		return -EBUSY;
	m->peeked = least(n, m->sent - m->received);
	return m->peeked ? (int64_t)m->peeked : -EAGAIN;
}

static int64_t model_release(struct model *m, uint64_t n)
{
	if (n > m->peeked)
		return -EINVAL;
	m->received += n;
	m->peeked = 0;
	return 0;
}

/* Both results, of the typed and of the untyped call, are what the model says. */
#define SAME(typed, untyped, model)				\
	do {							\
		int64_t wanted_ = model;			\
								\
		assert_int_equal(typed, wanted_);		\
		assert_int_equal(untyped, wanted_);		\
	} while (0)

#define TYPED_TEST(name, type)								\
RINGQ_TYPED(name, type, spsc);								\
											\
static void number_##name(type *e, uint64_t n)						\
{											\
	memset(e->bytes, n * 37 + (n >> 8), sizeof(e->bytes));				\
	e->bytes[0] = n;								\
}											\
											\
static void equal_##name(const type *e, uint64_t n)					\
{											\
	type want;									\
											\
	number_##name(&want, n);							\
	assert_memory_equal(e, &want, sizeof(want));					\
}											\
											\
static void step_##name(struct name##_producer *to, struct name##_consumer *from,	\
			struct ringq_port *out, struct ringq_port *in, struct model *m)	\
{											\
	static type a[BATCH], b[BATCH];							\
	uint64_t n = dice(BATCH), before, i;						\
	int64_t r;									\
											\
	for (i = 0; i < BATCH; i++)							\
		number_##name(&a[i], m->sent + i);					\
	switch (dice(9)) {								\
	case 0:										\
		SAME(name##_send(to, a, 0), ringq_send(out, a, 0), model_send_many(m, 1)); \
		break;									\
	case 1:										\
		SAME(name##_send_many(to, a, n, 0), ringq_send_many(out, a, n, 0),	\
		     model_send_many(m, n));						\
		break;									\
	case 2:										\
		r = model_reserve(m, n);						\
		SAME(name##_reserve(to, n, 0), ringq_reserve(out, n, 0), r);		\
		for (i = 0; r == 0 && i < n; i++) {					\
			*name##_room(to, i) = a[i];					\
			memcpy(ringq_at(out, i), &a[i], sizeof(type));			\
		}									\
		break;									\
	case 3:										\
		SAME(name##_commit(to, n), ringq_commit(out, n), model_commit(m, n));	\
		break;									\
	case 4:										\
		ringq_abort(&to->port);							\
		ringq_abort(out);							\
		m->reserved = 0;							\
		break;									\
	case 5:										\
		before = m->received;							\
		r = model_recv_many(m, 1);						\
		SAME(name##_recv(from, a, 0), ringq_recv(in, b, 0), r);			\
		if (r == 1) {								\
			equal_##name(a, before);					\
			equal_##name(b, before);					\
		}									\
		break;									\
	case 6:										\
		before = m->received;							\
		r = model_recv_many(m, n);						\
		SAME(name##_recv_many(from, a, n, 0), ringq_recv_many(in, b, n, 0), r);	\
		for (i = 0; r > 0 && i < (uint64_t)r; i++) {				\
			equal_##name(&a[i], before + i);				\
			equal_##name(&b[i], before + i);				\
		}									\
		break;									\
	case 7:										\
		r = model_peek(m, n);							\
		SAME(name##_peek(from, n, 0), ringq_peek(in, n, 0), r);			\
		for (i = 0; r > 0 && i < (uint64_t)r; i++) {				\
			equal_##name(name##_at(from, i), m->received + i);		\
			equal_##name((type *)ringq_at(in, i), m->received + i);		\
		}									\
		break;									\
	case 8:										\
		SAME(name##_release(from, n), ringq_release(in, n), model_release(m, n)); \
		break;									\
	}										\
}											\
											\
static void test_##name(void **state)							\
{											\
	struct name##_producer to;							\
	struct name##_consumer from;							\
	struct ringq_port out, in;							\
	struct model m = { 0 };								\
	struct ringq *typed = make(sizeof(type), &m.capacity);				\
	struct ringq *untyped = make(sizeof(type), &m.capacity);			\
	uint64_t first;									\
	unsigned int i;									\
											\
	(void)state;									\
	seed = 88172645463325252ull;							\
	assert_int_equal(name##_attach_producer(typed, &to), 0);			\
	assert_int_equal(name##_attach_consumer(typed, &from), 0);			\
	assert_int_equal(ringq_attach(untyped, RINGQ_PRODUCER, &out), 0);		\
	assert_int_equal(ringq_attach(untyped, RINGQ_CONSUMER, &in), 0);		\
	first = ringq_position(&out);							\
	for (i = 0; i < STEPS; i++) {							\
		step_##name(&to, &from, &out, &in, &m);					\
		assert_int_equal(ringq_position(&to.port), first + m.sent);		\
		assert_int_equal(ringq_position(&out), first + m.sent);			\
		assert_int_equal(ringq_position(&from.port), first + m.received);	\
		assert_int_equal(ringq_position(&in), first + m.received);		\
	}										\
	/* It came to something. */							\
	assert_true(m.received > STEPS / 4);						\
	ringq_detach(&to.port);								\
	ringq_detach(&from.port);							\
	ringq_detach(&out);								\
	ringq_detach(&in);								\
	ringq_leave(typed);								\
	ringq_leave(untyped);								\
}

TYPED_TEST(r1, struct e1)
TYPED_TEST(r8, struct e8)
TYPED_TEST(r24, struct e24)
TYPED_TEST(r56, struct e56)
TYPED_TEST(r57, struct e57)
TYPED_TEST(r200, struct e200)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_r1),
		cmocka_unit_test(test_r8),
		cmocka_unit_test(test_r24),
		cmocka_unit_test(test_r56),
		cmocka_unit_test(test_r57),
		cmocka_unit_test(test_r200),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
