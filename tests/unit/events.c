// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * ringq_port_fd(), ringq_arm() and ringq_add_eventfd() where there is no module. That streams flow
 * is shown by the conformance cases; here is what an eventfd says at each step, who makes it say
 * so, and how many there can be. A hang is a failure: the alarm ends the test.
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
#include <ringq/claim.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../quiet.h"

#define LIMIT 60	/* seconds for all of them; less than one is usual */
#define MOST 127	/* descriptors a process */
#define CAPACITY 7
#define WAIT (RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT)

static struct ringq_port out, in;

static struct ringq *make(uint32_t memory, uint32_t discipline, uint32_t flags)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = memory, .discipline = discipline,
		.elem_size = 8, .capacity = CAPACITY, .flags = flags,
		.consumers = discipline == RINGQ_LANES ? 2 : 0,
	};
	struct ringq *ring = NULL;

	assert_int_equal(ringq_create(&opts, &ring), 0);
	return ring;
}

static struct ringq *make_pair(uint32_t memory)
{
	struct ringq *ring = make(memory, RINGQ_SPSC, WAIT);

	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	return ring;
}

static void leave(struct ringq *ring)
{
	ringq_detach(&out);
	ringq_detach(&in);
	ringq_leave(ring);
}

/* Is it ready? If that is wanted, it becomes so. */
static bool ready(struct ringq_port *port, bool wanted)
{
	struct pollfd p = {
		.fd = ringq_port_fd(port),
		.events = port->role == RINGQ_CONSUMER ? POLLIN : POLLOUT,
	};

	assert_true(p.fd >= 0);
	return poll(&p, 1, wanted ? -1 : 20) == 1 && p.revents == p.events;
}

static int send_one(void)
{
	uint64_t msg = 1;

	return ringq_send(&out, &msg, RINGQ_NOWAIT);
}

static int recv_one(void)
{
	uint64_t msg;

	return ringq_recv(&in, &msg, RINGQ_NOWAIT);
}

/* It is not ready for ever without need. (A port that attaches, say, has all look around.) */
static void find_nothing(struct ringq_port *port, int (*try)(void))
{
	assert_int_equal(try(), -EAGAIN);
	while (ready(port, false))
		assert_int_equal(try(), -EAGAIN);
}

static const uint32_t memories[] = { RINGQ_PRIVATE, RINGQ_MEMFD };

static void consumer(void **state)
{
	struct ringq *ring;
	unsigned int i, k;

	(void)state;
	for (i = 0; i < 2; i++) {
		ring = make_pair(memories[i]);
		/* Nobody has looked yet. */
		assert_true(ready(&in, true));
		assert_true(ready(&in, true));
		for (k = 0; k < 3; k++) {
			find_nothing(&in, recv_one);
			assert_int_equal(send_one(), 1);
			assert_true(ready(&in, true));
			/* And stays so, until nothing is found. */
			assert_int_equal(send_one(), 1);
			assert_int_equal(recv_one(), 1);
			assert_true(ready(&in, true));
			assert_int_equal(recv_one(), 1);
			assert_true(ready(&in, true));
		}
		leave(ring);
	}
}

static void producer(void **state)
{
	struct ringq *ring;
	unsigned int i, k;

	(void)state;
	for (i = 0; i < 2; i++) {
		ring = make_pair(memories[i]);
		assert_true(ready(&out, true));
		for (k = 0; k < 3; k++) {
			while (send_one() == 1)
				;
			find_nothing(&out, send_one);
			assert_int_equal(recv_one(), 1);
			assert_true(ready(&out, true));
			assert_int_equal(send_one(), 1);
			assert_true(ready(&out, true));
		}
		leave(ring);
	}
}

/* It says whether there is something, and if not, the next message is an edge. */
static void edges(void **state)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	struct ringq *ring = make_pair(RINGQ_MEMFD);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	unsigned int k;

	(void)state;
	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, ringq_port_fd(&in), &event), 0);
	assert_int_equal(epoll_wait(epoll, &event, 1, -1), 1);
	for (k = 0; k < 3; k++) {
		assert_int_equal(recv_one(), -EAGAIN);
		assert_int_equal(ringq_arm(&in), 0);
		assert_int_equal(ringq_arm(&in), 0);
		while (epoll_wait(epoll, &event, 1, 20))
			;
		assert_int_equal(send_one(), 1);
		assert_int_equal(epoll_wait(epoll, &event, 1, -1), 1);
		assert_int_equal(ringq_arm(&in), 1);
		assert_int_equal(recv_one(), 1);
	}
	close(epoll);
	leave(ring);
}

/* In any of its calls, beside polling: what it makes of the word is not lost on the eventfd. */
static void blocking(void **state)
{
	struct ringq *ring;
	uint64_t msg;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		ring = make_pair(memories[i]);
		assert_true(ready(&in, true));
		find_nothing(&in, recv_one);
		assert_int_equal(ringq_recv(&in, &msg, 1000000), -ETIMEDOUT);
		assert_true(ready(&in, true));
		find_nothing(&in, recv_one);
		assert_int_equal(send_one(), 1);
		assert_int_equal(ringq_recv(&in, &msg, RINGQ_FOREVER), 1);
		assert_true(ready(&in, true));
		find_nothing(&in, recv_one);
		assert_int_equal(send_one(), 1);
		assert_true(ready(&in, true));
		leave(ring);
	}
}

static void *recv_forever(void *arg)
{
	uint64_t msg;

	return (void *)(intptr_t)ringq_recv(arg, &msg, RINGQ_FOREVER);
}

/* One who polls does not take the only kick from one who sleeps. */
static void beside_a_sleeper(void **state)
{
	struct ringq *ring = make(RINGQ_PRIVATE, RINGQ_MPMC, WAIT);
	struct ringq_port sleeper;
	pthread_t thread;
	void *result;

	(void)state;
	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &sleeper), 0);
	assert_true(ready(&in, true));
	assert_int_equal(recv_one(), -EAGAIN);
	assert_int_equal(pthread_create(&thread, NULL, recv_forever, &sleeper), 0);
	while (ringq_load_acquire(&sleeper.page->wake) != RINGQ_ASLEEP)
		usleep(1000);
	assert_int_equal(send_one(), 1);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_int_equal((intptr_t)result, 1);
	assert_true(ready(&in, true));
	ringq_detach(&sleeper);
	leave(ring);
}

/* What ends a ring makes who polls look: a close, the last one's leave, its death. */
static void ends(void **state)
{
	struct ringq *ring;
	unsigned int i;
	uint64_t msg;
	pid_t pid;

	(void)state;
	for (i = 0; i < 2; i++) {
		ring = make(memories[i], RINGQ_SPSC, 0);
		assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
		assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
		assert_true(ready(&in, true));
		find_nothing(&in, recv_one);
		if (i)
			assert_int_equal(ringq_close(&out), 0);
		else
			ringq_detach(&out);
		assert_true(ready(&in, true));
		assert_int_equal(recv_one(), 0);
		leave(ring);
	}
	ring = make(RINGQ_MEMFD, RINGQ_SPSC, 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	assert_true(ready(&in, true));
	assert_int_equal(recv_one(), -EAGAIN);
	pid = fork();
	if (!pid) {
		struct ringq *mine;

		if (ringq_join_fd(ringq_fd(ring), NULL, &mine) == 0 &&
		    ringq_attach(mine, RINGQ_PRODUCER, &out) == 0 && send_one() == 1)
			pause();
		_exit(1);
	}
	while (recv_one() == -EAGAIN)
		assert_true(ready(&in, true));
	find_nothing(&in, recv_one);
	kill(pid, SIGKILL);
	assert_true(ready(&in, true));
	while (ringq_recv(&in, &msg, RINGQ_NOWAIT) == -EAGAIN)
		assert_true(ready(&in, true));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	ringq_detach(&in);
	ringq_leave(ring);
}

/*
 * The ring has ended, but whether anything is left is for others to decide, who perhaps wake nobody
 * then: a try does not wait for them, and the descriptor stays ready.
 */
static void ends_when_others_have_done(void **state)
{
	struct ringq *ring = make(RINGQ_MEMFD, RINGQ_LANES, 0);
	struct ringq_port other;
	uint64_t claim;

	(void)state;
	/* A consumer of the ring has a message in hand. */
	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &other), 0);
	assert_int_equal(send_one(), 1);
	assert_int_equal(ringq_peek(&other, 1, RINGQ_NOWAIT), 1);
	assert_true(ready(&in, true));
	find_nothing(&in, recv_one);
	ringq_detach(&out);
	assert_true(ready(&in, true));
	assert_int_equal(recv_one(), -EAGAIN);
	assert_true(ready(&in, true));
	assert_int_equal(ringq_release(&other, 1), 0);
	assert_int_equal(recv_one(), 0);
	ringq_detach(&other);
	leave(ring);

	/* A producer is about to claim, and does not. */
	ring = make(RINGQ_MEMFD, RINGQ_MPMC, 0);
	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	assert_true(ready(&in, true));
	find_nothing(&in, recv_one);
	claim = ringq_load_acquire(&out.page->claim);
	ringq_store_release(&out.page->claim, RINGQ_CLAIM(RINGQ_TRY, 1, out.pos));
	assert_int_equal(ringq_close(&in), 0);
	assert_true(ready(&in, true));
	assert_int_equal(recv_one(), -EAGAIN);
	assert_true(ready(&in, true));
	ringq_store_release(&out.page->claim, claim);
	assert_int_equal(recv_one(), 0);
	leave(ring);
}

/* What a child has of its parent's is stale, and what it closes is its own. */
static void forked(void **state)
{
	struct ringq *ring = make_pair(RINGQ_MEMFD);
	int status, fd = ringq_port_fd(&in);
	pid_t pid;

	(void)state;
	assert_true(ready(&in, true));
	find_nothing(&in, recv_one);
	pid = fork();
	if (!pid) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (ringq_port_fd(&in) != -ESTALE || ringq_arm(&in) != -ESTALE ||
		    poll(&p, 1, 0) != 1 || p.revents != POLLNVAL)
			_exit(1);
		/* It can have one of its own. */
		make_pair(RINGQ_PRIVATE);
		if (!ready(&in, true) || recv_one() != -EAGAIN || send_one() != 1 ||
		    !ready(&in, true))
			_exit(2);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_false(ready(&in, false));
	assert_int_equal(send_one(), 1);
	assert_true(ready(&in, true));
	leave(ring);
}

static uint64_t taken(int fd)
{
	eventfd_t n = 0;

	return eventfd_read(fd, &n) < 0 ? 0 : n;
}

static void await_raised(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, -1), 1);
}

/* Several on a port, one on several, full ones, and those that are none. */
static void of_the_caller(void **state)
{
	int fds[9], i, k, pipes[2], blocking = eventfd(0, 0), full;
	struct ringq *ring;

	(void)state;
	for (k = 0; k < 2; k++) {
		ring = make_pair(memories[k]);
		for (i = 0; i < 9; i++) {
			fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | (i == 1) * EFD_SEMAPHORE);
			assert_int_equal(ringq_add_eventfd(&in, fds[i]), i < 8 ? 0 : -ENOSPC);
		}
		assert_int_equal(ringq_add_eventfd(&in, fds[2]), -EEXIST);
		assert_int_equal(ringq_remove_eventfd(&in, fds[8]), -ENOENT);
		assert_int_equal(ringq_remove_eventfd(&in, fds[7]), 0);
		assert_int_equal(ringq_remove_eventfd(&in, fds[7]), -ENOENT);
		for (i = 0; i < 7; i++)
			await_raised(fds[i]);
		assert_int_equal(recv_one(), -EAGAIN);
		while (ringq_arm(&in))
			;
		full = fds[0];
		for (i = 1; i < 8; i++)
			taken(fds[i]);
		assert_int_equal(eventfd_write(full, UINT64_MAX - 1 - taken(full)), 0);
		assert_int_equal(send_one(), 1);
		for (i = 1; i < 7; i++)
			await_raised(fds[i]);
		assert_int_equal(taken(fds[7]), 0);
		assert_int_equal(taken(fds[8]), 0);
		assert_int_equal(recv_one(), 1);
		leave(ring);
		assert_int_equal(ringq_add_eventfd(&in, fds[0]), -ESTALE);
		assert_int_equal(ringq_remove_eventfd(&in, fds[0]), -ESTALE);
		for (i = 0; i < 9; i++)
			close(fds[i]);
	}
	ring = make_pair(RINGQ_PRIVATE);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(ringq_add_eventfd(&in, -1), -EBADF);
	assert_int_equal(ringq_add_eventfd(&in, pipes[0]), -EINVAL);
	assert_int_equal(ringq_add_eventfd(&in, blocking), -EINVAL);
	assert_int_equal(ringq_remove_eventfd(&in, -1), -ENOENT);
	close(pipes[0]);
	close(pipes[1]);
	close(blocking);
	leave(ring);
}

static unsigned int count_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static void as_many_as_can_be(void **state)
{
	static struct ringq_port ports[MOST + 1];
	struct ringq *ring = make(RINGQ_PRIVATE, RINGQ_MPMC, WAIT), *rings[MOST + 1];
	const unsigned int before = 1;
	unsigned int i, round;
	uint64_t msg = 0;

	(void)state;
	ringq_leave(ring);
	/* The bridge of the case before may still be on its way out. */
	while (count_threads() != before)
		usleep(1000);
	for (round = 0; round < 2; round++) {
		for (i = 0; i <= MOST; i++) {
			rings[i] = make(RINGQ_PRIVATE, RINGQ_SPSC, WAIT);
			assert_int_equal(ringq_attach(rings[i], RINGQ_CONSUMER, &ports[i]), 0);
			if (i < MOST)
				assert_true(ready(&ports[i], true));
		}
		assert_int_equal(count_threads(), before + 1);
		assert_int_equal(ringq_port_fd(&ports[MOST]), -EMFILE);
		assert_int_equal(ringq_arm(&ports[MOST]), -EMFILE);
		for (i = 0; i < MOST; i++)
			assert_int_equal(ringq_recv(&ports[i], &msg, RINGQ_NOWAIT), -EAGAIN);
		for (i = 0; i < MOST; i++) {
			assert_int_equal(ringq_attach(rings[i], RINGQ_PRODUCER, &out), 0);
			assert_int_equal(ringq_send(&out, &msg, RINGQ_NOWAIT), 1);
			assert_true(ready(&ports[i], true));
			ringq_detach(&out);
		}
		for (i = 0; i <= MOST; i++) {
			ringq_detach(&ports[i]);
			assert_int_equal(ringq_port_fd(&ports[i]), -ESTALE);
			ringq_leave(rings[i]);
		}
		/* Nobody waits for its end, but it comes. */
		while (count_threads() != before)
			usleep(1000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(consumer),
		cmocka_unit_test(producer),
		cmocka_unit_test(edges),
		cmocka_unit_test(blocking),
		cmocka_unit_test(beside_a_sleeper),
		cmocka_unit_test(ends),
		cmocka_unit_test(ends_when_others_have_done),
		cmocka_unit_test(forked),
		cmocka_unit_test(of_the_caller),
		cmocka_unit_test(as_many_as_can_be),
	};

	quiet();
	alarm(LIMIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
