// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A ring in memory that the caller hands in: exactly as much as ringq_buffer_size() says is
 * needed, at any address, nothing outside it is touched, nothing else is allocated, and it
 * is the caller's again afterwards. And a ring that asks the caller's functions for memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <ringq.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../quiet.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CANARY 0xa5

/* Of each discipline and shape. */
static const struct kind {
	uint32_t discipline;
	uint32_t elem_size;
	uint32_t flags;
} kinds[] = {
	{ RINGQ_SPSC, 1, 0 },
	{ RINGQ_SPSC, 8, 0 },
	{ RINGQ_SPSC, 56, 0 },
	{ RINGQ_SPSC, 57, 0 },
	{ RINGQ_SPSC, 1000, 0 },
	{ RINGQ_SPSC, 200, RINGQ_RECORDS },
	{ RINGQ_LOSSY, 200, RINGQ_RECORDS },
};

static struct ringq_opts opts_of(const struct kind *kind)
{
	return (struct ringq_opts){
		.size = sizeof(struct ringq_opts), .memory = RINGQ_PRIVATE,
		.discipline = kind->discipline, .elem_size = kind->elem_size, .flags = kind->flags,
		.capacity = 20,
	};
}

static int send_one(const struct kind *kind, struct ringq_port *out, const void *msg)
{
	if (kind->flags & RINGQ_RECORDS)
		return ringq_send_record(out, msg, kind->elem_size, RINGQ_NOWAIT);
	return ringq_send(out, msg, RINGQ_NOWAIT);
}

static int recv_one(const struct kind *kind, struct ringq_port *in, void *msg)
{
	uint32_t size;

	if (kind->flags & RINGQ_RECORDS)
		return ringq_recv_record(in, msg, kind->elem_size, &size, RINGQ_NOWAIT);
	return ringq_recv(in, msg, RINGQ_NOWAIT);
}

/* Many messages go through; each time as many as there is room for, or one that is never short. */
static void stream(struct ringq *ring, const struct kind *kind)
{
	const bool short_of_room = kind->discipline != RINGQ_LOSSY;
	unsigned char msg[1000];
	struct ringq_port out, in;
	unsigned int sent = 0, n = 0;

	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	while (n < 200) {
		memset(msg, sent, kind->elem_size);
		if ((short_of_room || sent == n) && send_one(kind, &out, msg) == 1) {
			sent++;
			continue;
		}
		assert_int_equal(recv_one(kind, &in, msg), 1);
		assert_int_equal(msg[0], n & 0xff);
		assert_int_equal(msg[kind->elem_size - 1], n & 0xff);
		n++;
	}
	ringq_detach(&out);
	ringq_detach(&in);
}

static void any_address(void **state)
{
	struct ringq_opts opts;
	unsigned char *room;
	size_t need, at, i;
	struct ringq *ring;
	unsigned int s;

	(void)state;
	for (s = 0; s < COUNT(kinds); s++) {
		opts = opts_of(&kinds[s]);
		need = ringq_buffer_size(&opts);
		room = test_malloc(need + 600);
		for (at = 0; at < 300; at += at < 140 ? 1 : 40) {
			memset(room, CANARY, need + 600);
			opts.buffer = room + at;
			opts.buffer_size = need;
			assert_int_equal(ringq_create(&opts, &ring), 0);
			stream(ring, &kinds[s]);
			ringq_leave(ring);
			for (i = 0; i < at; i++)
				assert_int_equal(room[i], CANARY);
			for (i = at + need; i < need + 600; i++)
				assert_int_equal(room[i], CANARY);
		}
		test_free(room);
	}
}

static void too_small(void **state)
{
	struct ringq_opts opts = opts_of(&kinds[1]);
	size_t need = ringq_buffer_size(&opts), bytes;
	/* Aligned, so that nothing is lost before it: the worst case needs all of it. */
	unsigned char *room = test_malloc(need + 256);
	unsigned char *aligned = (unsigned char *)(((uintptr_t)room + 127) & ~(uintptr_t)127);
	struct ringq *ring;

	(void)state;
	opts.buffer = aligned + 1;
	opts.buffer_size = need - 1;
	assert_int_equal(ringq_create(&opts, &ring), -ENOBUFS);
	for (bytes = 1; bytes < need / 2; bytes += 7) {
		memset(room, CANARY, need + 256);
		opts.buffer_size = bytes;
		assert_int_equal(ringq_create(&opts, &ring), -ENOBUFS);
		assert_int_equal(room[0], CANARY);
		assert_int_equal(*aligned, CANARY);
		assert_int_equal(aligned[1], CANARY);
	}
	opts.buffer_size = need;
	assert_int_equal(ringq_create(&opts, &ring), 0);
	ringq_leave(ring);
	test_free(room);
}

/* All that anybody in this program allocates, however it does that. */
static unsigned long allocations;

#ifdef __SANITIZE_ADDRESS__

int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void *, size_t),
					      void (*free_hook)(const volatile void *));

static void count_malloc(const volatile void *p, size_t size)
{
	(void)p;
	(void)size;
	allocations++;
}

static void ignore_free(const volatile void *p)
{
	(void)p;
}

static int count_allocations(void **state)
{
	(void)state;
	return __sanitizer_install_malloc_and_free_hooks(count_malloc, ignore_free) > 0 ? 0 : -1;
}

#else

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);

void *malloc(size_t size)
{
	allocations++;
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	allocations++;
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	allocations++;
	return __libc_realloc(p, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	allocations++;
	return __libc_memalign(align, size);
}

void *mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
	allocations++;
	return (void *)syscall(SYS_mmap, at, size, prot, flags, fd, offset);
}

static int count_allocations(void **state)
{
	(void)state;
	return 0;
}

#endif

static void nothing_else(void **state)
{
	struct ringq_opts opts;
	unsigned char *room;
	struct ringq *ring;
	unsigned long before;
	unsigned int s;

	(void)state;
	before = allocations;
	opts = opts_of(&kinds[1]);
	opts.buffer = NULL;
	assert_int_equal(ringq_create(&opts, &ring), 0);
	assert_true(allocations > before);
	/* A ring that has its memory needs none to be attached to, or used. */
	before = allocations;
	stream(ring, &kinds[1]);
	assert_int_equal(allocations, before);
	ringq_leave(ring);

	for (s = 0; s < COUNT(kinds); s++) {
		opts = opts_of(&kinds[s]);
		opts.buffer_size = ringq_buffer_size(&opts);
		room = test_malloc(opts.buffer_size);
		opts.buffer = room;
		before = allocations;
		assert_int_equal(ringq_create(&opts, &ring), 0);
		stream(ring, &kinds[s]);
		assert_int_equal(ringq_reset(ring), 0);
		ringq_leave(ring);
		/* It is the caller's, and as good as new. */
		assert_int_equal(ringq_create(&opts, &ring), 0);
		stream(ring, &kinds[s]);
		ringq_leave(ring);
		assert_int_equal(allocations, before);
		test_free(room);
	}
}

/* An allocator of the caller's: what it was asked for, and gives. */
struct arena {
	unsigned int allocs, frees;
	size_t size;
	void *memory;
	size_t skew;	/* what the memory is off its alignment */
	int empty;
};

static void *arena_alloc(void *arg, size_t size, size_t align)
{
	struct arena *a = arg;

	a->allocs++;
	assert_true(align >= 64 && !(align & (align - 1)));
	if (a->empty)
		return NULL;
	a->size = size;
	a->memory = aligned_alloc(align, (size + a->skew + align - 1) & ~(align - 1));
	assert_non_null(a->memory);
	/* It need not be zero. */
	memset(a->memory, CANARY, size + a->skew);
	return (char *)a->memory + a->skew;
}

static void arena_free(void *arg, void *memory, size_t size)
{
	struct arena *a = arg;

	a->frees++;
	assert_ptr_equal(memory, (char *)a->memory + a->skew);
	assert_int_equal(size, a->size);
	free(a->memory);
}

static struct ringq_opts arena_opts(struct arena *a, const struct kind *kind)
{
	struct ringq_opts opts = opts_of(kind);

	memset(a, 0, sizeof(*a));
	opts.alloc = arena_alloc;
	opts.free = arena_free;
	opts.arg = a;
	return opts;
}

static void own_allocator(void **state)
{
	struct ringq_info info = { .size = sizeof(info) };
	struct ringq_opts opts;
	struct ringq *ring;
	struct arena a;
	unsigned long before;
	unsigned int s;

	(void)state;
	for (s = 0; s < COUNT(kinds); s++) {
		opts = arena_opts(&a, &kinds[s]);
		before = allocations;
		assert_int_equal(ringq_create(&opts, &ring), 0);
		stream(ring, &kinds[s]);
		assert_int_equal(a.allocs, 1);
		assert_int_equal(a.frees, 0);
		/* The arena's own, and nothing else. */
		assert_int_equal(allocations, before + 1);
		assert_int_equal(ringq_get_info(ring, &info), 0);
		assert_true(info.total <= a.size);
		assert_int_equal(info.page_shift, 0);
		ringq_leave(ring);
		assert_int_equal(a.frees, 1);
	}
}

static void bad_allocator(void **state)
{
	struct ringq *ring = (struct ringq *)1;
	struct ringq_opts opts;
	struct arena a;
	size_t skew;

	(void)state;
	opts = arena_opts(&a, &kinds[1]);
	a.empty = 1;
	assert_int_equal(ringq_create(&opts, &ring), -ENOMEM);
	assert_null(ring);
	assert_int_equal(a.allocs, 1);
	assert_int_equal(a.frees, 0);
	for (skew = 1; skew < 128; skew += skew) {
		opts = arena_opts(&a, &kinds[1]);
		a.skew = skew;
		assert_int_equal(ringq_create(&opts, &ring), -EINVAL);
		assert_int_equal(a.allocs, 1);
		assert_int_equal(a.frees, 1);
	}

	/* Halves, and what does not go together; nobody is asked for anything. */
	opts = arena_opts(&a, &kinds[1]);
	opts.free = NULL;
	assert_int_equal(ringq_create(&opts, &ring), -EINVAL);
	opts = arena_opts(&a, &kinds[1]);
	opts.alloc = NULL;
	assert_int_equal(ringq_create(&opts, &ring), -EINVAL);
	opts.free = NULL;
	assert_int_equal(ringq_create(&opts, &ring), -EINVAL);
	opts = arena_opts(&a, &kinds[1]);
	opts.memory = RINGQ_MEMFD;
	assert_int_equal(ringq_create(&opts, &ring), -EINVAL);
	opts = arena_opts(&a, &kinds[1]);
	opts.buffer = &a;
	opts.buffer_size = sizeof(a);
	assert_int_equal(ringq_create(&opts, &ring), -EINVAL);
	opts = arena_opts(&a, &kinds[1]);
	opts.flags = RINGQ_HUGE_ONLY;
	assert_int_equal(ringq_create(&opts, &ring), -EINVAL);
	assert_int_equal(a.allocs, 0);
}

/* What a child leaves is its parent's, who may share the arena with it. */
static void allocator_and_fork(void **state)
{
	struct ringq_opts opts;
	struct ringq *ring;
	struct arena a;
	int status = 0;
	pid_t pid;

	(void)state;
	opts = arena_opts(&a, &kinds[1]);
	assert_int_equal(ringq_create(&opts, &ring), 0);
	quiet();
	pid = fork();
	if (pid == 0) {
		ringq_leave(ring);
		_exit(a.frees);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	stream(ring, &kinds[1]);
	ringq_leave(ring);
	assert_int_equal(a.frees, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_address),
		cmocka_unit_test(too_small),
		cmocka_unit_test(nothing_else),
		cmocka_unit_test(own_allocator),
		cmocka_unit_test(bad_allocator),
		cmocka_unit_test(allocator_and_fork),
	};

	return cmocka_run_group_tests(tests, count_allocations, NULL);
}
