// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * LOSSY and LATEST, with others: who sleeps is woken, what was sent is got to the end, and a writer
 * that dies leaves nothing that a reader takes for a message.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <ringq.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../quiet.h"
#include "broadcast.h"

/* A thread that is not woken is not waited for without end. */
static int join_soon(pthread_t thread, void **result)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += 30;
	return pthread_timedjoin_np(thread, result, &ts);
}

static void *recv_one(void *arg)
{
	struct ringq_port *in = arg;
	uint64_t value = 0;

	if (ringq_recv(in, &value, RINGQ_FOREVER) != 1)
		value = 0;
	return (void *)(uintptr_t)value;
}

/* One message wakes all readers that sleep. */
static void all_are_woken(void **state)
{
	static const uint32_t disciplines[] = { RINGQ_GATED, RINGQ_LOSSY, RINGQ_LATEST };
	struct ringq_port out, in[4];
	pthread_t threads[4];
	unsigned int d, i;
	uint64_t value;
	void *got;

	(void)state;
	for (d = 0; d < COUNT(disciplines); d++) {
		struct ringq *ring = make(disciplines[d], 8, 14);
		const struct ringq_attention *attention;

		attach(ring, RINGQ_PRODUCER, &out);
		attention = (const struct ringq_attention *)((const char *)out.attention -
					offsetof(struct ringq_attention, data));
		for (i = 0; i < 4; i++) {
			attach(ring, RINGQ_CONSUMER, &in[i]);
			assert_int_equal(pthread_create(&threads[i], NULL, recv_one, &in[i]), 0);
		}
		/* Each of them has a bit, and all are asleep or about to. */
		while (__builtin_popcountll(ringq_load_acquire(&attention->data) &
					    RINGQ_ARMED) < 4)
			usleep(100);
		usleep(1000);
		value = 77;
		assert_int_equal(ringq_send(&out, &value, 0), 1);
		for (i = 0; i < 4; i++) {
			assert_int_equal(join_soon(threads[i], &got), 0);
			assert_int_equal((uintptr_t)got, 77);
		}
		/* Only now, for to detach wakes too. */
		for (i = 0; i < 4; i++)
			ringq_detach(&in[i]);
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

static void ends(void **state)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .discipline = RINGQ_LOSSY,
		.elem_size = 8, .capacity = 14,
	};
	struct ringq_port out, in, late;
	struct ringq *ring;
	uint64_t value = 0;

	(void)state;
	assert_int_equal(ringq_create(&opts, &ring), 0);
	attach(ring, RINGQ_PRODUCER, &out);
	attach(ring, RINGQ_CONSUMER, &in);
	send_range(&out, 0, 3);
	/* Readers come and go. */
	ringq_detach(&in);
	send_range(&out, 3, 5);
	attach(ring, RINGQ_CONSUMER, &in);
	send_range(&out, 5, 7);
	ringq_detach(&out);
	assert_int_equal(ringq_recv(&in, &value, RINGQ_FOREVER), 1);
	assert_int_equal(value, 5);
	assert_int_equal(ringq_recv(&in, &value, RINGQ_FOREVER), 1);
	assert_int_equal(ringq_recv(&in, &value, RINGQ_FOREVER), 0);
	attach_with(ring, RINGQ_OLDEST, 0, 0, &late);
	assert_int_equal(ringq_recv(&late, &value, RINGQ_FOREVER), 1);
	assert_int_equal(value, 0);
	ringq_detach(&late);
	ringq_detach(&in);
	ringq_leave(ring);

	assert_int_equal(ringq_create(&opts, &ring), 0);
	attach(ring, RINGQ_PRODUCER, &out);
	attach(ring, RINGQ_CONSUMER, &in);
	send_range(&out, 0, 2);
	assert_int_equal(ringq_close(&in), 0);
	assert_int_equal(ringq_send(&out, &value, 0), -EPIPE);
	assert_int_equal(ringq_send_many(&out, &value, 1, 0), -EPIPE);
	assert_int_equal(ringq_reserve(&out, 1, 0), -EPIPE);
	assert_int_equal(ringq_recv(&in, &value, 0), 1);
	assert_int_equal(ringq_recv(&in, &value, 0), 1);
	assert_int_equal(ringq_recv(&in, &value, 0), 0);
	ringq_detach(&in);
	ringq_detach(&out);
	ringq_leave(ring);
}

/* In a child; does not return. It dies with n messages sent and one half written. */
static void die_writing(struct ringq *ring, uint64_t n)
{
	int fd = ringq_fd(ring);
	struct ringq_port out;
	uint64_t seq;

	if (ringq_join_fd(fd, NULL, &ring) < 0 || ringq_attach(ring, RINGQ_PRODUCER, &out) < 0)
		_exit(1);
	{
		unsigned char msg[out.elem_size];

		for (seq = 0; seq < n; seq++) {
			fill(msg, sizeof(msg), seq);
			if (ringq_send(&out, msg, 0) != 1)
				_exit(1);
		}
		if (ringq_reserve(&out, 1, 0) < 0)
			_exit(1);
		memset(ringq_at(&out, 0), 0xee, sizeof(msg));
	}
	raise(SIGKILL);
}

static void writer_dies(void **state)
{
	static const uint32_t disciplines[] = { RINGQ_LOSSY, RINGQ_LATEST };
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_MEMFD, .consumers = 2,
		.flags = RINGQ_PRODUCER_WAIT,
	};
	struct ringq_port out, in;
	unsigned int s, d, i;
	uint64_t capacity, n;
	struct ringq *ring;
	int status;
	pid_t pid;

	(void)state;
	for (i = 0; i < COUNT(sizes) * 2 * 3; i++) {
		unsigned char msg[1264];

		s = i % COUNT(sizes);
		d = i / COUNT(sizes) % 2;
		opts.discipline = disciplines[d];
		opts.elem_size = sizes[s];
		opts.capacity = 12;
		assert_int_equal(ringq_create(&opts, &ring), 0);
		capacity = capacity_of(ring);
		attach(ring, RINGQ_CONSUMER, &in);
		/* In the midst of a slot, and at its beginning; in the first lap and later. */
		n = (uint64_t[]){ per_slot(sizes[s]), capacity + 3, 2 * capacity }
			[i / COUNT(sizes) / 2];
		quiet();
		pid = fork();
		if (pid == 0)
			die_writing(ring, n);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		/* What was there before stays there. */
		if (disciplines[d] == RINGQ_LATEST) {
			assert_int_equal(ringq_recv(&in, msg, 0), 1);
			check_message(msg, sizes[s], n - 1);
			assert_int_equal(ringq_latest(&in, msg), 1);
			check_message(msg, sizes[s], n - 1);
		} else if (n > capacity) {
			assert_int_equal(ringq_recv(&in, msg, 0), -EOVERFLOW);
			recv_range(&in, ringq_lost(&in), n, 1);
		} else {
			recv_range(&in, 0, n, 1);
		}
		assert_int_equal(ringq_recv(&in, msg, 0), -EAGAIN);
		/* The place may be taken only when the kernel has let go of it. */
		while (ringq_attach(ring, RINGQ_PRODUCER, &out) == -EBUSY)
			usleep(1000);
		assert_int_equal(ringq_position(&out), n);
		send_range(&out, n, n + 1);
		recv_range(&in, n, n + 1, 1);
		send_range(&out, n + 1, n + 2);
		recv_range(&in, n + 1, n + 2, 1);
		ringq_detach(&in);
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

/*
 * The writer was killed between its stamp and its done, which is late by one publication: the
 * successor goes on behind what the stamp says, and overwrites nothing that is published.
 */
static void writer_dies_late(void **state)
{
	static const uint32_t disciplines[] = { RINGQ_LOSSY, RINGQ_LATEST };
	struct ringq_port_page *page;
	struct ringq_port out, in;
	unsigned char msg[1264];
	uint64_t capacity, pos;
	struct ringq *ring;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2 * COUNT(sizes); i++) {
		ring = make(disciplines[i % 2], sizes[i / 2], 12);
		capacity = capacity_of(ring);
		attach(ring, RINGQ_CONSUMER, &in);
		attach(ring, RINGQ_PRODUCER, &out);
		send_range(&out, 0, capacity + 1);
		page = out.page;
		pos = ringq_position(&out);
		ringq_detach(&out);
		page->progress.done -= 1;
		attach(ring, RINGQ_PRODUCER, &out);
		assert_int_equal(ringq_position(&out), pos);
		assert_int_equal(ringq_latest(&in, msg), i % 2 ? 1 : -EOPNOTSUPP);
		if (i % 2)
			check_message(msg, sizes[i / 2], capacity);
		send_range(&out, capacity + 1, capacity + 2);
		ringq_detach(&in);
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_are_woken),
		cmocka_unit_test(ends),
		cmocka_unit_test(writer_dies),
		cmocka_unit_test(writer_dies_late),
	};

	/* A hang is a failure. */
	alarm(250);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
