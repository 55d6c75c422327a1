// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * After fork() the child has handles and ports that are its parent's: they are stale, can be
 * cleaned up or forgotten without harm, and keep nothing of the parent's alive. The child
 * makes, joins and uses rings of its own, as does its parent meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <ringq.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../quiet.h"

static struct ringq_opts opts_of(uint32_t memory, const char *name)
{
	return (struct ringq_opts){
		.size = sizeof(struct ringq_opts), .memory = memory, .name = name,
		.elem_size = 8, .capacity = 20,
		.flags = RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT,
	};
}

static struct ringq *make(uint32_t memory, const char *name)
{
	struct ringq_opts opts = opts_of(memory, name);
	struct ringq *ring = NULL;

	assert_int_equal(ringq_create(&opts, &ring), 0);
	return ring;
}

static const char *unique(void)
{
	static char name[RINGQ_NAME_SIZE];
	static unsigned int n;

	snprintf(name, sizeof(name), "fork-%d-%u", getpid(), n++);
	return name;
}

/* In a child: its status is the line that failed. */
#define CHILD(cond)					\
	do {						\
		if (!(cond))				\
			_exit(__LINE__ % 200 + 1);	\
	} while (0)

static void join_child(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_msg("the child: status %x, near line %d", status, WEXITSTATUS(status) - 1);
}

static void stale(void **state)
{
	static const uint32_t memories[] = { RINGQ_PRIVATE, RINGQ_MEMFD };
	struct ringq_info info = { .size = sizeof(info) };
	struct ringq_port out, in, port;
	struct ringq *ring;
	uint64_t msg = 7;
	unsigned int i;
	pid_t pid;

	(void)state;
	for (i = 0; i < 2; i++) {
		ring = make(memories[i], NULL);
		assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
		assert_int_equal(ringq_send(&out, &msg, RINGQ_NOWAIT), 1);
		quiet();
		pid = fork();
		if (pid == 0) {
			CHILD(ringq_attach(ring, RINGQ_CONSUMER, &port) == -ESTALE);
			CHILD(ringq_attach(ring, RINGQ_PRODUCER, &port) == -ESTALE);
			CHILD(ringq_get_info(ring, &info) == 0);
			ringq_detach(&out);
			CHILD(ringq_send(&out, &msg, RINGQ_NOWAIT) == -ESTALE);
			ringq_leave(ring);
			exit(0);
		}
		join_child(pid);
		assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
		assert_int_equal(ringq_recv(&in, &msg, RINGQ_NOWAIT), 1);
		assert_int_equal(ringq_recv(&in, &msg, RINGQ_NOWAIT), -EAGAIN);
		assert_int_equal(ringq_send(&out, &msg, RINGQ_NOWAIT), 1);
		ringq_detach(&in);
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

/* The child has an agent of its own if it needs one, several generations deep. */
static void child_lives(void **state)
{
	struct ringq *ring = make(RINGQ_MEMFD, unique()), *mine, *own;
	int fd = ringq_fd(ring);
	struct ringq_port out, in, port;
	struct ringq_opts opts;
	uint64_t msg = 1;
	pid_t pid;

	(void)state;
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	quiet();
	pid = fork();
	if (pid == 0) {
		CHILD(ringq_join_fd(fd, NULL, &mine) == 0);
		CHILD(ringq_attach(mine, RINGQ_CONSUMER, &port) == -EBUSY);
		CHILD(ringq_attach(mine, RINGQ_PRODUCER, &out) == 0);
		CHILD(ringq_send(&out, &msg, RINGQ_NOWAIT) == 1);
		quiet();
		pid = fork();
		if (pid == 0) {
			opts = opts_of(RINGQ_MEMFD, unique());
			CHILD(ringq_create(&opts, &own) == 0);
			CHILD(ringq_join(&opts, &mine) == 0);
			ringq_leave(mine);
			ringq_leave(own);
			exit(0);
		}
		CHILD(waitpid(pid, &fd, 0) == pid && fd == 0);
		CHILD(ringq_send(&out, &msg, RINGQ_NOWAIT) == 1);
		ringq_detach(&out);
		ringq_leave(mine);
		exit(0);
	}
	join_child(pid);
	assert_int_equal(ringq_recv(&in, &msg, RINGQ_FOREVER), 1);
	assert_int_equal(ringq_recv(&in, &msg, RINGQ_FOREVER), 1);
	ringq_detach(&in);
	ringq_leave(ring);
}

/* A child that only sits there keeps neither the parent's names nor its places. */
static void child_holds_nothing(void **state)
{
	const char *name = unique();
	struct ringq_opts opts = opts_of(RINGQ_MEMFD, name);
	struct ringq *ring = make(RINGQ_MEMFD, name), *again = NULL;
	struct ringq_port port;
	int gate[2], there[2], status;
	pid_t child, pid;
	char byte;

	(void)state;
	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &port), 0);
	assert_int_equal(pipe(gate), 0);
	quiet();
	child = fork();
	if (child == 0) {
		close(gate[1]);
		(void)!read(gate[0], &byte, 1);
		_exit(0);
	}
	ringq_detach(&port);
	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &port), 0);
	ringq_detach(&port);
	ringq_leave(ring);
	assert_int_equal(ringq_join(&opts, &again), -ENOENT);

	/* Nor does the child of one that dies: its place is free at once. */
	ring = make(RINGQ_MEMFD, name);
	assert_int_equal(pipe(there), 0);
	quiet();
	pid = fork();
	if (pid == 0) {
		CHILD(ringq_join(&opts, &again) == 0);
		CHILD(ringq_attach(again, RINGQ_PRODUCER, &port) == 0);
		quiet();
		if (fork() == 0) {
			close(gate[1]);
			CHILD(write(there[1], "", 1) == 1);
			(void)!read(gate[0], &byte, 1);
			_exit(0);
		}
		/* It is when fork() returns that it lets go. */
		CHILD(read(there[0], &byte, 1) == 1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &port), 0);
	ringq_detach(&port);
	ringq_leave(ring);
	close(gate[1]);
	join_child(child);
	close(gate[0]);
	close(there[0]);
	close(there[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stale),
		cmocka_unit_test(child_lives),
		cmocka_unit_test(child_holds_nothing),
	};

	alarm(100);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
