// SPDX-License-Identifier: GPL-2.0-only
/*
 * eventfds that are attached to a port: what they count, when, who may attach and detach them, and
 * what becomes of them when the port, or they, end. (That who waits by one is woken: events.c.)
 */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"

#include "common.h"
#include "iou.h"

FIXTURE(eventfds) {
	struct ring ring;
	struct port producer;
	struct port consumer;
	int fd;
};

FIXTURE_SETUP(eventfds)
{
	struct ringq_geometry g = geometry_of(8, 16);

	ASSERT_EQ(0, ring_create(&self->ring, &g, ""));
	ASSERT_EQ(0, port_join(&self->producer, &self->ring, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&self->consumer, &self->ring, RINGQ_CONSUMER));
	self->fd = eventfd(0, EFD_NONBLOCK);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN_PARENT(eventfds)
{
	EXPECT_NOTHING_LEFT();
}

/* Reads an eventfd that is not blocking; 0: it is at zero. */
static __u64 count_of(int fd)
{
	__u64 n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

TEST_F(eventfds, arguments)
{
	int many[RINGQ_EVENTFDS + 1], pipes[2], i, n = RINGQ_EVENTFDS;
	struct port *c = &self->consumer;

	EXPECT_EQ(-EBADF, port_eventfd(c, -1, 0));
	EXPECT_EQ(-EBADF, port_eventfd(c, 1 << 20, 0));
	EXPECT_EQ(-EBADF, port_eventfd(c, -1, RINGQ_EVENTFD_DETACH));
	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(-EINVAL, port_eventfd(c, pipes[1], 0));
	EXPECT_EQ(-EINVAL, port_eventfd(c, c->fd, 0));
	EXPECT_EQ(-EINVAL, port_eventfd(c, pipes[1], RINGQ_EVENTFD_DETACH));
	EXPECT_EQ(-ENOENT, port_eventfd(c, self->fd, RINGQ_EVENTFD_DETACH));

	for (i = 0; i < n; i++) {
		many[i] = eventfd(0, EFD_NONBLOCK);
		ASSERT_EQ(0, port_eventfd(c, many[i], 0));
		EXPECT_EQ(-EEXIST, port_eventfd(c, many[i], 0));
		/* By another descriptor it is still the same. */
		EXPECT_EQ(-EEXIST, port_eventfd(c, dup(many[i]), 0));
	}
	EXPECT_EQ(-ENOSPC, port_eventfd(c, self->fd, 0));
	EXPECT_EQ(-EEXIST, port_eventfd(c, many[0], 0));
	for (i = 0; i < n; i += 2) {
		EXPECT_EQ(0, port_eventfd(c, many[i], RINGQ_EVENTFD_DETACH));
		EXPECT_EQ(-ENOENT, port_eventfd(c, many[i], RINGQ_EVENTFD_DETACH));
	}
	/* Exactly those are told that are attached. */
	EXPECT_EQ(0, port_eventfd(c, self->fd, 0));
	EXPECT_EQ(0, port_poll(c, 0));
	EXPECT_EQ(0, port_kick(&self->producer, 1));
	EXPECT_EQ(1, count_of(self->fd));
	for (i = 0; i < n; i++)
		EXPECT_EQ(i % 2, (int)count_of(many[i]));
}

TEST_F(eventfds, at_attach)
{
	struct port *c = &self->consumer;
	int later = eventfd(0, EFD_NONBLOCK), space = eventfd(0, EFD_NONBLOCK);

	/* Nothing there: it says so, and the port is armed. */
	ASSERT_EQ(0, port_eventfd(c, self->fd, 0));
	EXPECT_EQ(0, count_of(self->fd));
	EXPECT_NE(0, attention(&self->producer) & RINGQ_ARMED);
	publish(&self->producer, 1);
	EXPECT_EQ(0, port_notify(&self->producer, 1));
	EXPECT_EQ(1, count_of(self->fd));
	/* Something there: only who is new is told. */
	ASSERT_EQ(0, port_eventfd(c, later, 0));
	EXPECT_EQ(1, count_of(later));
	EXPECT_EQ(0, count_of(self->fd));
	ASSERT_EQ(0, port_eventfd(&self->producer, space, 0));
	EXPECT_EQ(1, count_of(space));
}

TEST_F(eventfds, once_an_arm)
{
	int i;

	ASSERT_EQ(0, port_eventfd(&self->consumer, self->fd, 0));
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(0, port_kick(&self->producer, 1));
		EXPECT_EQ(0, port_kick(&self->producer, 1));
		EXPECT_EQ(1, count_of(self->fd));
		EXPECT_EQ(0, port_poll(&self->consumer, 0));
	}
	/* A kick of the other side is none of this one. */
	EXPECT_EQ(0, port_kick(&self->consumer, 1));
	EXPECT_EQ(0, count_of(self->fd));
	EXPECT_EQ(0, port_kick_own(&self->consumer, 1));
	EXPECT_EQ(1, count_of(self->fd));
}

TEST_F(eventfds, semaphore)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE), i;

	ASSERT_EQ(0, port_eventfd(&self->consumer, fd, 0));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, port_poll(&self->consumer, 0));
		EXPECT_EQ(0, port_kick(&self->producer, 1));
	}
	for (i = 0; i < 3; i++)
		EXPECT_EQ(1, count_of(fd));
	EXPECT_EQ(0, count_of(fd));
}

TEST_F(eventfds, that_is_nearly_full)
{
	struct pollfd pfd = { .fd = self->fd, .events = POLLIN };
	__u64 most = ~0ull - 1;
	int i;

	ASSERT_EQ(0, port_eventfd(&self->consumer, self->fd, 0));
	ASSERT_EQ(sizeof(most), write(self->fd, &most, sizeof(most)));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, port_poll(&self->consumer, 0));
		EXPECT_EQ(0, port_kick(&self->producer, 1));
		EXPECT_EQ(1, poll(&pfd, 1, 0));
		EXPECT_EQ(POLLIN | POLLERR, pfd.revents);
	}
	EXPECT_EQ(~0ull, count_of(self->fd));
	EXPECT_EQ(0, port_poll(&self->consumer, 0));
	EXPECT_EQ(0, port_kick(&self->producer, 1));
	EXPECT_EQ(1, count_of(self->fd));
}

TEST_F(eventfds, detached)
{
	ASSERT_EQ(0, port_eventfd(&self->consumer, self->fd, 0));
	ASSERT_EQ(0, port_eventfd(&self->consumer, self->fd, RINGQ_EVENTFD_DETACH));
	EXPECT_EQ(0, port_kick(&self->producer, 1));
	EXPECT_EQ(0, call(self->producer.fd, RINGQ_IOC_CLOSE, NULL));
	EXPECT_EQ(0, count_of(self->fd));
}

/* Another process's, which knows nothing of rings; here its descriptor is closed. */
TEST_F(eventfds, of_another_process)
{
	struct peer child;
	int fd, i;

	if (!peer_fork(&child)) {
		__u64 n;

		fd = eventfd(0, 0);
		if (fd_send(&child, fd))
			_exit(1);
		while (read(fd, &n, sizeof(n)) == sizeof(n))
			peer_say(&child, n);
		_exit(1);
	}
	fd = fd_receive(&child);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, port_eventfd(&self->consumer, fd, 0));
	close(fd);
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(0, port_poll(&self->consumer, 0));
		publish(&self->producer, 1);
		EXPECT_EQ(0, port_notify(&self->producer, 1));
		EXPECT_EQ(1, peer_hear(&child));
		EXPECT_EQ(1, consume(&self->consumer, 1));
	}
	/* It need not live as long as the port. */
	EXPECT_EQ(-SIGKILL, peer_kill(&child));
	EXPECT_EQ(0, port_poll(&self->consumer, 0));
	EXPECT_EQ(0, port_kick(&self->producer, 1));
}

/* One for several ports, of one ring and of two. */
TEST_F(eventfds, of_several_ports)
{
	struct ringq_geometry g = geometry_of(8, 16);
	struct port p, q;
	struct ring r;

	ASSERT_EQ(0, ring_create(&r, &g, ""));
	ASSERT_EQ(0, port_join(&p, &r, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&q, &r, RINGQ_CONSUMER));
	publish(&self->producer, room_of(&self->producer));
	EXPECT_EQ(0, port_eventfd(&self->producer, self->fd, 0));
	EXPECT_EQ(0, port_eventfd(&q, self->fd, 0));
	EXPECT_EQ(0, count_of(self->fd));
	EXPECT_EQ(1, consume(&self->consumer, 1));
	EXPECT_EQ(0, port_notify(&self->consumer, 1));
	EXPECT_EQ(1, count_of(self->fd));
	publish(&p, 1);
	EXPECT_EQ(0, port_notify(&p, 1));
	EXPECT_EQ(1, count_of(self->fd));
	EXPECT_EQ(0, port_eventfd(&self->producer, self->fd, RINGQ_EVENTFD_DETACH));
	EXPECT_EQ(0, call(self->producer.fd, RINGQ_IOC_CLOSE, NULL));
	EXPECT_EQ(0, count_of(self->fd));
	EXPECT_EQ(0, call(p.fd, RINGQ_IOC_CLOSE, NULL));
	EXPECT_EQ(1, count_of(self->fd));
}

/* The ends of things: each is told once, to who is armed and to who is not. */
TEST_F(eventfds, of_the_end)
{
	int other = eventfd(0, EFD_NONBLOCK);

	ASSERT_EQ(0, port_eventfd(&self->consumer, self->fd, 0));
	ASSERT_EQ(0, port_eventfd(&self->producer, other, 0));
	EXPECT_EQ(1, count_of(other));
	EXPECT_EQ(0, call(self->producer.fd, RINGQ_IOC_CLOSE, NULL));
	EXPECT_EQ(1, count_of(self->fd));
	EXPECT_EQ(1, count_of(other));
	/* A port that leaves is told of it itself, for the last time. */
	EXPECT_EQ(0, call(self->producer.fd, RINGQ_IOC_DETACH, NULL));
	EXPECT_EQ(1, count_of(self->fd));
	EXPECT_EQ(1, count_of(other));
	EXPECT_EQ(-ESTALE, port_eventfd(&self->producer, other, 0));
	EXPECT_EQ(-ESTALE, port_eventfd(&self->producer, other, RINGQ_EVENTFD_DETACH));
	port_unmap(&self->consumer);
	EXPECT_EQ(1, count_of(self->fd));
	EXPECT_EQ(0, count_of(other));
}

/* Who has the eventfd of a port learns that its process was killed. */
TEST_F(eventfds, of_a_port_that_dies)
{
	int theirs = eventfd(0, EFD_NONBLOCK);
	struct ringq_geometry g = geometry_of(8, 16);
	struct peer child;
	struct port p, q;
	struct ring r;

	ASSERT_EQ(0, ring_create(&r, &g, ""));
	ASSERT_EQ(0, port_join(&p, &r, RINGQ_PRODUCER));
	if (!peer_fork(&child)) {
		if (port_join(&q, &r, RINGQ_CONSUMER) || port_eventfd(&q, theirs, 0))
			_exit(1);
		peer_say(&child, 1);
		pause();
	}
	ASSERT_EQ(1, peer_hear(&child));
	/* Everything is taken, so only the death can be news. */
	publish(&p, room_of(&p));
	ASSERT_EQ(0, port_eventfd(&p, self->fd, 0));
	EXPECT_EQ(0, count_of(self->fd));
	EXPECT_EQ(0, count_of(theirs));
	EXPECT_EQ(-SIGKILL, peer_kill(&child));
	EXPECT_EQ(1, count_of(self->fd));
	EXPECT_EQ(1, count_of(theirs));
	EXPECT_EQ(POLLHUP | POLLERR, port_poll(&p, 0));
}

/* What a dead port has left is put in order later: that is told as well. */
TEST_F(eventfds, of_a_repair)
{
	struct ringq_geometry g = geometry_many(RINGQ_MPSC, 8, 16);
	struct epoll_event e = { .events = EPOLLIN }, got;
	int epoll = epoll_create1(0);
	struct port dying, q;
	struct ring r;

	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->fd, &e));
	ASSERT_EQ(0, ring_create(&r, &g, ""));
	ASSERT_EQ(0, port_join(&dying, &r, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&q, &r, RINGQ_CONSUMER));
	ASSERT_EQ(0, port_eventfd(&q, self->fd, 0));
	port_unmap(&dying);
	/* The death, then the repair, which is the end of the side; perhaps both at once. */
	do {
		ASSERT_EQ(1, epoll_wait(epoll, &got, 1, -1));
		EXPECT_NE(0, count_of(self->fd));
	} while (!(port_poll(&q, 0) & POLLHUP));
}

/*
 * Wake-ups that lead to others: the eventfd is in an epoll that has the port as well and is itself
 * in another one, and a ring of io_uring that polls both signals the same eventfd.
 */
TEST_F(eventfds, in_a_tangle)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET }, got[4];
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_POLL_ADD,
		.len = IORING_POLL_ADD_MULTI,
		.poll32_events = EPOLLIN,
	};
	int epolls[3], i, fd = self->fd;
	struct io_uring_cqe cqe;
	struct iou iou;

	for (i = 0; i < 3; i++) {
		epolls[i] = epoll_create1(0);
		ASSERT_EQ(0, epoll_ctl(epolls[i], EPOLL_CTL_ADD, self->consumer.fd, &e));
		ASSERT_EQ(0, epoll_ctl(epolls[i], EPOLL_CTL_ADD, fd, &e));
		if (i)
			ASSERT_EQ(0, epoll_ctl(epolls[i], EPOLL_CTL_ADD, epolls[i - 1], &e));
	}
	ASSERT_EQ(0, iou_open(&iou, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN));
	ASSERT_EQ(0, syscall(SYS_io_uring_register, iou.fd, IORING_REGISTER_EVENTFD, &fd, 1));
	ASSERT_EQ(0, port_eventfd(&self->consumer, fd, 0));
	sqe.fd = self->consumer.fd;
	ASSERT_EQ(0, iou_submit(&iou, &sqe));
	sqe.fd = epolls[2];
	ASSERT_EQ(0, iou_submit(&iou, &sqe));
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, port_poll(&self->consumer, 0));
		publish(&self->producer, 1);
		ASSERT_EQ(0, port_notify(&self->producer, 1));
		ASSERT_LE(1, count_of(fd));
		ASSERT_LE(1, epoll_wait(epolls[2], got, 4, -1));
		ASSERT_LE(1, epoll_wait(epolls[0], got, 4, -1));
		ASSERT_EQ(0, iou_wait(&iou, &cqe));
		while (!iou_look(&iou, &cqe))
			;
		while (count_of(fd))
			;
		ASSERT_EQ(1, consume(&self->consumer, 1));
	}
}

/* Attaching, detaching and kicking at the same time. */
struct toggler {
	pthread_t thread;
	struct port *port;
	int fd;
	bool stop;
	int err;
};

static void *toggle_in_a_thread(void *arg)
{
	struct toggler *t = arg;

	while (!t->err && !__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
		t->err = port_eventfd(t->port, t->fd, 0);
		if (!t->err)
			t->err = port_eventfd(t->port, t->fd, RINGQ_EVENTFD_DETACH);
	}
	return NULL;
}

TEST_F(eventfds, that_comes_and_goes)
{
	struct toggler t[2] = {
		{ .port = &self->consumer, .fd = eventfd(0, EFD_NONBLOCK) },
		{ .port = &self->consumer, .fd = eventfd(0, EFD_NONBLOCK) },
	};
	int i;

	ASSERT_EQ(0, port_eventfd(&self->consumer, self->fd, 0));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&t[i].thread, NULL, toggle_in_a_thread, &t[i]));
	for (i = 0; i < 2000; i++) {
		ASSERT_EQ(0, port_poll(&self->consumer, 0));
		publish(&self->producer, 1);
		ASSERT_EQ(0, port_notify(&self->producer, 1));
		ASSERT_EQ(1, count_of(self->fd));
		ASSERT_EQ(1, consume(&self->consumer, 1));
	}
	for (i = 0; i < 2; i++) {
		__atomic_store_n(&t[i].stop, true, __ATOMIC_RELAXED);
		pthread_join(t[i].thread, NULL);
		EXPECT_EQ(0, t[i].err);
	}
}

TEST_HARNESS_MAIN
