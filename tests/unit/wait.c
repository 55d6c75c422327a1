// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * lib/wait.c, where a kicker has died: between the CAS that makes a sleeper's word KICKED and
 * the system call that wakes it. Nobody else will make that call; who comes, goes or buries
 * must.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <ringq.h>
#include <sys/mman.h>
#include <time.h>

static void *receive(void *arg)
{
	static struct ringq_port port;
	uint64_t msg = 0;

	if (ringq_attach(arg, RINGQ_CONSUMER, &port) == 0 &&
	    ringq_recv(&port, &msg, RINGQ_FOREVER) != 1)
		msg = 0;
	ringq_detach(&port);
	return (void *)(uintptr_t)msg;
}

/* Waits until the word is this, and remains so for a while: the sleeper is in its call then. */
static void await_word(const __u32 *word, uint32_t wanted)
{
	const struct timespec ms = { 0, 1000000 };
	int same = 0;

	while (same < 20) {
		same = ringq_load_acquire(word) == wanted ? same + 1 : 0;
		nanosleep(&ms, NULL);
	}
}

static void dead_kicker(void **state)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_MEMFD, .elem_size = sizeof(uint64_t),
		.capacity = 1, .flags = RINGQ_PRODUCER_WAIT,
	};
	const struct ringq_header *header;
	struct ringq_port_page *page;
	struct ringq_port producer;
	uint64_t msg = 42;
	pthread_t thread;
	struct ringq *ring;
	unsigned char *at;
	void *got;

	(void)state;
	assert_int_equal(ringq_create(&opts, &ring), 0);
	at = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_SHARED, ringq_fd(ring), 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	header = (const struct ringq_header *)at;
	page = (struct ringq_port_page *)(at + header->layout.ports +
		ringq_page_of(&header->geometry, RINGQ_CONSUMER, 0) * header->layout.port_stride);

	assert_int_equal(pthread_create(&thread, NULL, receive, ring), 0);
	await_word(&page->wake, RINGQ_ASLEEP);
	ringq_store_release(&page->wake, RINGQ_KICKED);
	/* Whoever comes wakes everybody; this one finds nothing, and sleeps again. */
	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &producer), 0);
	await_word(&page->wake, RINGQ_ASLEEP);
	assert_int_equal(ringq_send(&producer, &msg, RINGQ_NOWAIT), 1);
	assert_int_equal(pthread_join(thread, &got), 0);
	assert_int_equal((uintptr_t)got, 42);
	ringq_detach(&producer);
	munmap(at, 1 << 16);
	ringq_leave(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dead_kicker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
