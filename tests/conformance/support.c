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

void conf_copy_racing(void *to, const void *from, size_t size)
{
	const unsigned char *f = from;
	unsigned char *t = to;
	size_t i;

	for (i = 0; i < size; i++)
		t[i] = __atomic_load_n(f + i, __ATOMIC_RELAXED);
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

uint32_t conf_producers(uint32_t n)
{
	return conf.discipline->has & CONF_PRODUCERS ? n : 1;
}

uint32_t conf_consumers(uint32_t n)
{
	return conf.discipline->has & CONF_CONSUMERS ? n : 1;
}

/* As many as a case has at once, at most: in LANES each takes a lane of memory. */
#define PORTS 4

struct ringq *conf_create(struct ringq_opts opts)
{
	struct ringq *ring = NULL;

	if (!opts.producers)
		opts.producers = conf_producers(PORTS);
	if (!opts.consumers)
		opts.consumers = conf_consumers(PORTS);
	opts.size = sizeof(opts);
	opts.memory = conf.memory;
	opts.discipline = conf.discipline->id;
	if (conf.flags)
		opts.flags &= ~RINGQ_HUGE;
	opts.flags |= conf.discipline->flags | conf.flags;
	/* A ring of records is so many bytes, and begins at a multiple of 8. */
	if (!(conf.discipline->has & CONF_ELEMENTS)) {
		opts.capacity *= opts.elem_size + 8;
		opts.first &= ~UINT64_C(7);
	}
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

uint64_t conf_number(const struct ringq_port *port)
{
	uint64_t n = 0, pos = 0;

	if (conf.discipline->has & CONF_ELEMENTS)
		return ringq_position(port);
	while (pos < ringq_position(port))
		pos += 8 + ((conf_size(n++, port->elem_size) + 7) & ~UINT64_C(7));
	return n;
}

void conf_expect_number(const struct ringq_port *port, uint64_t n)
{
	uint32_t has = conf.discipline->has;

	/*
	 * Who reads several queues has no position before he reads from one; and where consumers
	 * claim from one index, what was left in hand lies below it.
	 */
	if (port->role == RINGQ_PRODUCER ||
	    (has & CONF_ORDER && !(has & CONF_CLAIMS && has & CONF_CONSUMERS)))
		EXPECT(conf_number(port), n);
}

uint64_t conf_fill_up(struct ringq_port *port, uint64_t seq)
{
	uint64_t n = 0;
	int r;

	while ((r = conf_send_seq(port, seq + n)) == 1)
		n++;
	EXPECT(r, -EAGAIN);
	return n;
}

uint64_t conf_at_once(uint64_t n)
{
	return conf.discipline->has & CONF_ELEMENTS ? n : 1;
}

const char *conf_name(const char *suffix)
{
	static char name[RINGQ_NAME_SIZE];

	snprintf(name, sizeof(name), "conformance-%d-%lld-%s", getpid(),
		 (long long)conf_now(), suffix);
	return name;
}
