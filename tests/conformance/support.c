// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What the cases are made of: time and chance, and rings in the memory and the discipline
 * under test.
 */
#include "conformance.h"

#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

uint64_t conf_times(uint64_t n)
{
	n = n * conf.scale / 100;
	return n ? n : 1;
}

int64_t conf_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

uint64_t conf_random(uint64_t below)
{
	static __thread uint64_t state;

	if (!state)
		state = conf_now() | 1;
	/* xorshift64 */
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % below;
}

void conf_sleep(int64_t ns)
{
	struct timespec ts = { ns / 1000000000, ns % 1000000000 };

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

void *conf_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED, "no memory");
	return p;
}

void conf_unshare(void *memory, size_t size)
{
	munmap(memory, size);
}

/* As many as a case has at once, at most: in LANES each takes a lane of memory. */
#define PORTS 4

struct ringq *conf_create(struct ringq_opts opts)
{
	struct ringq *ring = NULL;

	if (!opts.producers && conf.discipline->has & CONF_PRODUCERS)
		opts.producers = PORTS;
	if (!opts.consumers && conf.discipline->has & CONF_CONSUMERS)
		opts.consumers = PORTS;
	opts.size = sizeof(opts);
	opts.memory = conf.memory;
	opts.discipline = conf.discipline->id;
	opts.flags |= conf.discipline->flags;
	EXPECT(ringq_create(&opts, &ring), 0);
	return ring;
}

struct ringq *conf_ring(size_t elem_size, uint64_t capacity, uint32_t flags)
{
	return conf_create((struct ringq_opts){
		.elem_size = elem_size, .capacity = capacity, .flags = flags,
	});
}

uint64_t conf_capacity(const struct ringq *ring)
{
	struct ringq_info info = { .size = sizeof(info) };

	EXPECT(ringq_get_info(ring, &info), 0);
	return info.capacity;
}

void conf_expect_position(const struct ringq_port *port, uint64_t pos)
{
	/* Who reads several queues has no position before he reads from one. */
	if (port->role == RINGQ_PRODUCER || conf.discipline->has & CONF_ORDER)
		EXPECT(ringq_position(port), pos);
}

const char *conf_name(const char *suffix)
{
	static char name[RINGQ_NAME_SIZE];

	snprintf(name, sizeof(name), "conformance-%d-%lld-%s", getpid(),
		 (long long)conf_now(), suffix);
	return name;
}
