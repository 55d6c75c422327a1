/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * For the tests of records: contents that are known by a number, and rings of each kind of
 * memory. Every word of a content would pass for the header of a small record, so that
 * a content which is taken for one is found out.
 */
#ifndef TESTS_UNIT_RECORDS_H
#define TESTS_UNIT_RECORDS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ringq.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../quiet.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static inline uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static inline unsigned char content_byte(uint64_t number, uint32_t i)
{
	uint64_t x = (number << 20 ^ i) * UINT64_C(0x9e3779b97f4a7c15);

	return i % 8 ? 0 : 1 + (x >> 40) % 40;
}

static inline void fill(void *data, uint32_t size, uint64_t number)
{
	unsigned char *p = data;
	uint32_t i;

	for (i = 0; i < size; i++)
		p[i] = content_byte(number, i);
}

/* The first byte that is not what it should be, or size. */
static inline uint32_t same(const void *data, uint32_t size, uint64_t number)
{
	const unsigned char *p = data;
	uint32_t i;

	for (i = 0; i < size && p[i] == content_byte(number, i); i++)
		;
	return i;
}

static inline void check_content(const void *data, uint32_t size, uint64_t number)
{
	uint32_t i = same(data, size, number);

	if (i != size)
		fail_msg("record %llu of %u bytes: byte %u is wrong",
			 (unsigned long long)number, size, i);
}

/* A ring of records, in pages if no capacity below one is asked for, else in a buffer. */
struct row {
	struct ringq *ring;
	void *buffer;
	uint64_t capacity;
	uint32_t largest;
};

static inline void open_row(struct row *row, const struct ringq_opts *wanted)
{
	struct ringq_info info = { .size = sizeof(info) };
	struct ringq_opts opts = *wanted;
	int64_t size;

	opts.size = sizeof(opts);
	opts.flags |= RINGQ_RECORDS;
	row->buffer = NULL;
	if (!opts.memory)
		opts.memory = RINGQ_PRIVATE;
	if (opts.capacity < 4096) {
		size = ringq_buffer_size(&opts);
		assert_true(size > 0);
		opts.buffer = row->buffer = malloc(size);
		opts.buffer_size = size;
		assert_non_null(row->buffer);
		memset(row->buffer, 0xa5, size);
	}
	assert_int_equal(ringq_create(&opts, &row->ring), 0);
	assert_int_equal(ringq_get_info(row->ring, &info), 0);
	row->capacity = info.capacity;
	row->largest = info.elem_size;
}

static inline void close_row(struct row *row)
{
	ringq_leave(row->ring);
	free(row->buffer);
}

static inline void attach(struct row *row, struct ringq_port *out, struct ringq_port *in)
{
	assert_int_equal(ringq_attach(row->ring, RINGQ_PRODUCER, out), 0);
	assert_int_equal(ringq_attach(row->ring, RINGQ_CONSUMER, in), 0);
}

/* For ringq/ready.h: the region of a ring in a buffer. */
static inline __u64 ringq_word_at(const void *memory, __u64 offset)
{
	return __atomic_load_n((const __u64 *)((const unsigned char *)memory + offset),
			       __ATOMIC_ACQUIRE);
}

#include <ringq/ready.h>

/* What a sleeper, or the module on behalf of a poller, is told. */
static inline int is_ready(const struct ringq_port *port, uint64_t need)
{
	const struct ringq_header *h = (const struct ringq_header *)port->base;
	const struct ringq_view view = {
		.geometry = &h->geometry, .layout = &h->layout, .memory = port->base,
		.role = port->role, .port = port->index,
	};

	return ringq_is_ready(&view, need);
}

/* A child, which does not outlive its parent, whatever the test comes to. 0 in the child. */
static inline pid_t child(void)
{
	pid_t parent = getpid(), pid;

	quiet();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
		_exit(99);
	return pid;
}

static inline void join_killed(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("the child ended by itself: %x", status);
}

/* Memory that a child shares. */
static inline void *shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

#endif /* TESTS_UNIT_RECORDS_H */
