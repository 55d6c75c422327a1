/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What ringq is compared with: the well-made textbook ring. Two indices, each on lines of
 * its own together with its owner's copy of the other one, which is fetched anew only when
 * the copy says full or empty; a power of two of elements, typed, everything inlined; bursts
 * move the index once. It can do nothing else: no sleeping, no end, no other process.
 */
#ifndef BENCH_CONTROL_H
#define BENCH_CONTROL_H

#include <ringq.h>
#include <stdint.h>
#include <string.h>

struct control {
	/* The producer's. */
	uint64_t tail __attribute__((aligned(RINGQ_LINE_PAIR)));
	uint64_t known_head;
	/* The consumer's. */
	uint64_t head __attribute__((aligned(RINGQ_LINE_PAIR)));
	uint64_t known_tail;
	/* Nobody's: never written while it runs. */
	uint64_t mask __attribute__((aligned(RINGQ_LINE_PAIR)));
	void *elems;
};

#define CONTROL_TYPED(name, type)							\
RINGQ_TYPED_FN int name##_send(struct control *c, const type *msg)			\
{											\
	uint64_t tail = c->tail;							\
											\
	if (ringq_unlikely(tail - c->known_head > c->mask)) {				\
		c->known_head = ringq_load_acquire(&c->head);				\
		if (tail - c->known_head > c->mask)					\
			return -EAGAIN;							\
	}										\
	((type *)c->elems)[tail & c->mask] = *msg;					\
	ringq_store_release(&c->tail, tail + 1);					\
	return 1;									\
}											\
RINGQ_TYPED_FN int name##_recv(struct control *c, type *msg)				\
{											\
	uint64_t head = c->head;							\
											\
	if (ringq_unlikely(head == c->known_tail)) {					\
		c->known_tail = ringq_load_acquire(&c->tail);				\
		if (head == c->known_tail)						\
			return -EAGAIN;							\
	}										\
	*msg = ((type *)c->elems)[head & c->mask];					\
	ringq_store_release(&c->head, head + 1);					\
	return 1;									\
}											\
RINGQ_TYPED_FN int64_t name##_send_many(struct control *c, const type *msgs, uint64_t n)	\
{											\
	uint64_t tail = c->tail, room = c->known_head + c->mask + 1 - tail, row;	\
	type *elems = c->elems;								\
											\
	if (room < n) {									\
		c->known_head = ringq_load_acquire(&c->head);				\
		room = c->known_head + c->mask + 1 - tail;				\
		if (!room)								\
			return -EAGAIN;							\
		if (n > room)								\
			n = room;							\
	}										\
	row = c->mask + 1 - (tail & c->mask);						\
	if (row > n)									\
		row = n;								\
	memcpy(&elems[tail & c->mask], msgs, row * sizeof(type));			\
	memcpy(elems, msgs + row, (n - row) * sizeof(type));				\
	ringq_store_release(&c->tail, tail + n);					\
	return n;									\
}											\
RINGQ_TYPED_FN int64_t name##_recv_many(struct control *c, type *msgs, uint64_t n)	\
{											\
	uint64_t head = c->head, there = c->known_tail - head, row;			\
	const type *elems = c->elems;							\
											\
	if (there < n) {								\
		c->known_tail = ringq_load_acquire(&c->tail);				\
		there = c->known_tail - head;						\
		if (!there)								\
			return -EAGAIN;							\
		if (n > there)								\
			n = there;							\
	}										\
	row = c->mask + 1 - (head & c->mask);						\
	if (row > n)									\
		row = n;								\
	memcpy(msgs, &elems[head & c->mask], row * sizeof(type));			\
	memcpy(msgs + row, elems, (n - row) * sizeof(type));				\
	ringq_store_release(&c->head, head + n);					\
	return n;									\
}

#endif /* BENCH_CONTROL_H */
