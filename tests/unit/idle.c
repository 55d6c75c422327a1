// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Who is blocked costs nothing: a reader and a writer that sleep, one that polls, the agent and
 * the event bridge, for ten seconds. None of these threads runs at all: the kernel's account of
 * the time that each was on a CPU stays as it is to the nanosecond, and so does the count of its
 * switches, so there was no timer and no system call either. And of many who sleep, one message
 * wakes one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <ringq.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LIMIT 120	/* seconds; some ten are usual */
#define SECONDS 10
#define CROWD 64
#define THREADS (CROWD + 8)

#define WAIT (RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT)

static struct ringq *make(uint32_t memory)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = memory, .elem_size = 8, .capacity = 7, .flags = WAIT,
	};
	struct ringq *ring = NULL;

	assert_int_equal(ringq_create(&opts, &ring), 0);
	return ring;
}

static void *read_one(void *port)
{
	uint64_t msg;

	return (void *)(intptr_t)ringq_recv(port, &msg, RINGQ_FOREVER);
}

static void *write_one(void *port)
{
	uint64_t msg = 0;

	return (void *)(intptr_t)ringq_send(port, &msg, RINGQ_FOREVER);
}

static void *poll_one(void *port)
{
	struct pollfd p = { .fd = ringq_port_fd(port), .events = POLLIN };
	uint64_t msg;
	int r;

	while ((r = ringq_recv(port, &msg, RINGQ_NOWAIT)) == -EAGAIN)
		poll(&p, 1, -1);
	return (void *)(intptr_t)r;
}

/* All threads but this one: what each has used, as its own lines of text. */
struct account {
	unsigned int threads;
	struct {
		int tid;
		char text[256];
	} thread[THREADS];
};

static void read_file(char *to, size_t room, int tid, const char *name, const char *key)
{
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/%s", tid, name);
	f = fopen(path, "r");
	/* A thread may have ended just now. */
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, key))
			snprintf(to + strlen(to), room - strlen(to), "%s", line);
	}
	fclose(f);
}

static void take_account(struct account *a)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *e;
	int tid;

	memset(a, 0, sizeof(*a));
	while ((e = readdir(dir))) {
		tid = atoi(e->d_name);
		if (tid <= 0 || tid == syscall(SYS_gettid))
			continue;
		assert_true(a->threads < THREADS);
		a->thread[a->threads].tid = tid;
		read_file(a->thread[a->threads].text, sizeof(a->thread[0].text), tid, "schedstat",
			  "");
		read_file(a->thread[a->threads].text, sizeof(a->thread[0].text), tid, "status",
			  "ctxt_switches");
		a->threads++;
	}
	closedir(dir);
}

static bool same(const struct account *a, const struct account *b)
{
	return a->threads == b->threads && !memcmp(a->thread, b->thread, sizeof(a->thread));
}

/* Until all threads have come to rest. */
static void settle(struct account *now)
{
	struct account before;

	do {
		take_account(&before);
		usleep(300000);
		take_account(now);
	} while (!same(&before, now));
}

static void costs_nothing(void **state)
{
	struct ringq *rings[3] = { make(RINGQ_MEMFD), make(RINGQ_MEMFD), make(RINGQ_PRIVATE) };
	struct ringq_port in[3], out[3];
	struct account before, after;
	pthread_t threads[3];
	uint64_t msg = 0;
	void *result;
	int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		assert_int_equal(ringq_attach(rings[i], RINGQ_CONSUMER, &in[i]), 0);
		assert_int_equal(ringq_attach(rings[i], RINGQ_PRODUCER, &out[i]), 0);
	}
	while (ringq_send(&out[1], &msg, RINGQ_NOWAIT) == 1)
		;
	pthread_create(&threads[0], NULL, read_one, &in[0]);
	pthread_create(&threads[1], NULL, write_one, &out[1]);
	pthread_create(&threads[2], NULL, poll_one, &in[2]);
	settle(&before);
	/* The three, the agent, the bridge; a sanitizer may have one of its own. */
	assert_true(before.threads >= 5);
	sleep(SECONDS);
	take_account(&after);
	for (i = 0; i < (int)after.threads; i++)
		assert_string_equal(after.thread[i].text, before.thread[i].text);
	assert_true(same(&before, &after));

	assert_int_equal(ringq_send(&out[0], &msg, RINGQ_NOWAIT), 1);
	assert_int_equal(ringq_recv(&in[1], &msg, RINGQ_NOWAIT), 1);
	assert_int_equal(ringq_send(&out[2], &msg, RINGQ_NOWAIT), 1);
	for (i = 0; i < 3; i++) {
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_int_equal((intptr_t)result, 1);
		ringq_detach(&in[i]);
		ringq_detach(&out[i]);
		ringq_leave(rings[i]);
	}
}

/* How many threads have run meanwhile; those that are gone have, too. */
static unsigned int have_run(const struct account *before, const struct account *after)
{
	unsigned int n = 0, i, k;

	for (i = 0; i < before->threads; i++) {
		for (k = 0; k < after->threads; k++)
			if (!memcmp(&before->thread[i], &after->thread[k],
				    sizeof(before->thread[i])))
				break;
		n += k == after->threads;
	}
	return n;
}

static void one_message_wakes_one(void **state)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .discipline = RINGQ_MPMC,
		.elem_size = 8, .capacity = 8, .consumers = CROWD, .flags = WAIT,
	};
	static struct ringq_port in[CROWD];
	static struct account before, after;
	pthread_t threads[CROWD];
	struct ringq_port out;
	struct ringq *ring;
	uint64_t msg = 0;
	void *result;
	int i, got = 0;

	(void)state;
	assert_int_equal(ringq_create(&opts, &ring), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	for (i = 0; i < CROWD; i++) {
		assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in[i]), 0);
		assert_int_equal(pthread_create(&threads[i], NULL, read_one, &in[i]), 0);
	}
	for (i = 0; i < 3; i++) {
		settle(&before);
		assert_int_equal(ringq_send(&out, &msg, RINGQ_NOWAIT), 1);
		settle(&after);
		assert_int_equal(have_run(&before, &after), 1);
	}
	ringq_detach(&out);
	assert_int_equal(ringq_close(&in[0]), 0);
	for (i = 0; i < CROWD; i++) {
		assert_int_equal(pthread_join(threads[i], &result), 0);
		got += (intptr_t)result;
		ringq_detach(&in[i]);
	}
	assert_int_equal(got, 3);
	ringq_leave(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(costs_nothing),
		cmocka_unit_test(one_message_wakes_one),
	};

	alarm(LIMIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
