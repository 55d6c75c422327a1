// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every way to wait for a port but RINGQ_IOC_WAIT: the same tests of each. (What is particular to
 * eventfds: eventfds.c; commands of io_uring: commands.c.)
 *
 * A way is used as the ABI says: drain the port; arm it, which for ways that ask again at each
 * wait is nothing; if that says that something is there after all, drain again; wait.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"

#include "common.h"
#include "iou.h"

struct way {
	const struct way_kind *kind;
	struct port *port;
	int epoll;
	int event;
	struct iou iou;
};

struct way_kind {
	/* Returns 0 or -errno. */
	int (*open)(struct way *w);
	/* Waits, and returns what poll(2) would, or what is known of it; or -errno. */
	int (*wait)(struct way *w);
	/* Whether something is there after all; or -errno. */
	int (*arm)(struct way *w);
};

/* What a port is polled for. */
static int wish(const struct way *w)
{
	return (w->port->role == RINGQ_CONSUMER ? EPOLLIN : EPOLLOUT) | EPOLLRDHUP;
}

static int no_arm(struct way *w)
{
	return 0;
}

static int poll_arm(struct way *w)
{
	return port_poll(w->port, 0);
}

static int no_open(struct way *w)
{
	return 0;
}

static int select_wait(struct way *w)
{
	bool in = w->port->role == RINGQ_CONSUMER;
	fd_set set;
	int n;

	FD_ZERO(&set);
	FD_SET(w->port->fd, &set);
	n = select(w->port->fd + 1, in ? &set : NULL, in ? NULL : &set, NULL, NULL);
	return n < 0 ? -errno : n != 1 ? -EIO : in ? EPOLLIN : EPOLLOUT;
}

static int poll_wait(struct way *w)
{
	return port_poll(w->port, -1);
}

static int epoll_add(struct way *w, __u32 flags)
{
	struct epoll_event e = { .events = wish(w) | flags };

	w->epoll = epoll_create1(0);
	return epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->port->fd, &e) < 0 ? -errno : 0;
}

static int level_open(struct way *w)
{
	return epoll_add(w, 0);
}

static int edge_open(struct way *w)
{
	return epoll_add(w, EPOLLET);
}

static int oneshot_open(struct way *w)
{
	return epoll_add(w, EPOLLONESHOT);
}

static int exclusive_open(struct way *w)
{
	struct epoll_event e = { .events = (wish(w) & ~EPOLLRDHUP) | EPOLLEXCLUSIVE };

	w->epoll = epoll_create1(0);
	return epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->port->fd, &e) < 0 ? -errno : 0;
}

static int epoll_look(struct way *w)
{
	struct epoll_event e;
	int n = epoll_wait(w->epoll, &e, 1, -1);

	return n < 0 ? -errno : n != 1 ? -EIO : (int)e.events;
}

static int oneshot_arm(struct way *w)
{
	struct epoll_event e = { .events = wish(w) | EPOLLONESHOT };

	return epoll_ctl(w->epoll, EPOLL_CTL_MOD, w->port->fd, &e) < 0 ? -errno : 0;
}

static int event_attach(struct way *w, int flags)
{
	w->event = eventfd(0, flags);
	return port_eventfd(w->port, w->event, 0);
}

static int event_open(struct way *w)
{
	return event_attach(w, 0);
}

static int semaphore_open(struct way *w)
{
	return event_attach(w, EFD_SEMAPHORE);
}

/* An eventfd that is waited for by edges. */
static int event_edge_open(struct way *w)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET };
	int err = event_attach(w, 0);

	if (err)
		return err;
	w->epoll = epoll_create1(0);
	return epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->event, &e) < 0 ? -errno : 0;
}

static int event_wait(struct way *w)
{
	__u64 n;

	return read(w->event, &n, sizeof(n)) == sizeof(n) && n ? wish(w) : -EIO;
}

static int multishot_submit(struct way *w)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_POLL_ADD,
		.fd = w->port->fd,
		.len = IORING_POLL_ADD_MULTI,
		.poll32_events = wish(w),
	};

	return iou_submit(&w->iou, &sqe);
}

static int multishot_add(struct way *w, unsigned int flags)
{
	int err = iou_open(&w->iou, flags);

	return err ? err : multishot_submit(w);
}

static int multishot_open(struct way *w)
{
	return multishot_add(w, 0);
}

static int multishot_defer_open(struct way *w)
{
	return multishot_add(w, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
}

static int multishot_wait(struct way *w)
{
	struct io_uring_cqe cqe;
	int err = iou_wait(&w->iou, &cqe);

	/* It ends when completions that nobody took fill their ring. */
	if (!err && cqe.res >= 0 && !(cqe.flags & IORING_CQE_F_MORE))
		err = multishot_submit(w);
	return err ? err : cqe.res;
}

static const struct way_kind way_select = { no_open, select_wait, no_arm };
static const struct way_kind way_poll = { no_open, poll_wait, no_arm };
static const struct way_kind way_level = { level_open, epoll_look, no_arm };
static const struct way_kind way_edge = { edge_open, epoll_look, poll_arm };
static const struct way_kind way_oneshot = { oneshot_open, epoll_look, oneshot_arm };
static const struct way_kind way_exclusive = { exclusive_open, epoll_look, no_arm };
static const struct way_kind way_event = { event_open, event_wait, poll_arm };
static const struct way_kind way_semaphore = { semaphore_open, event_wait, poll_arm };
static const struct way_kind way_event_edge = { event_edge_open, epoll_look, poll_arm };
static const struct way_kind way_multishot = { multishot_open, multishot_wait, poll_arm };
static const struct way_kind way_multishot_defer = {
	multishot_defer_open, multishot_wait, poll_arm
};

static const struct way_kind *const all_kinds[] = {
	&way_select, &way_poll, &way_level, &way_edge, &way_oneshot, &way_exclusive, &way_event,
	&way_semaphore, &way_event_edge, &way_multishot, &way_multishot_defer,
};

static int way_open(struct way *w, const struct way_kind *kind, struct port *port)
{
	*w = (struct way){ .kind = kind, .port = port };
	return kind->open(w);
}

/*
 * Waits in a way until the port has something, or the ring has ended; returns what poll(2) says
 * then, or -errno.
 */
static int way_until_ready(struct way *w)
{
	for (;;) {
		int n = w->kind->arm(w);

		if (!n)
			n = w->kind->wait(w);
		if (n < 0)
			return n;
		/* That was a hint. */
		n = port_poll(w->port, 0);
		if (n)
			return n;
	}
}

FIXTURE(way) {
	struct ring ring;
	struct port producer;
	struct port consumer;
};

FIXTURE_VARIANT(way) {
	const struct way_kind *kind;
	__u32 flags;
};

FIXTURE_VARIANT_ADD(way, select) {
	.kind = &way_select,
};

FIXTURE_VARIANT_ADD(way, poll) {
	.kind = &way_poll,
};

FIXTURE_VARIANT_ADD(way, level) {
	.kind = &way_level,
};

FIXTURE_VARIANT_ADD(way, edge) {
	.kind = &way_edge,
};

FIXTURE_VARIANT_ADD(way, oneshot) {
	.kind = &way_oneshot,
};

FIXTURE_VARIANT_ADD(way, exclusive) {
	.kind = &way_exclusive,
};

FIXTURE_VARIANT_ADD(way, event) {
	.kind = &way_event,
};

FIXTURE_VARIANT_ADD(way, semaphore) {
	.kind = &way_semaphore,
};

FIXTURE_VARIANT_ADD(way, event_edge) {
	.kind = &way_event_edge,
};

FIXTURE_VARIANT_ADD(way, multishot) {
	.kind = &way_multishot,
};

FIXTURE_VARIANT_ADD(way, multishot_defer) {
	.kind = &way_multishot_defer,
};

FIXTURE_VARIANT_ADD(way, edge_fenced) {
	.kind = &way_edge, .flags = RINGQ_FENCE,
};

FIXTURE_VARIANT_ADD(way, event_fenced) {
	.kind = &way_event, .flags = RINGQ_FENCE,
};

FIXTURE_SETUP(way)
{
	struct ringq_geometry g = geometry_of(8, 1);

	g.flags = variant->flags;
	ASSERT_EQ(0, ring_create(&self->ring, &g, ""));
	ASSERT_EQ(0, port_join(&self->producer, &self->ring, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&self->consumer, &self->ring, RINGQ_CONSUMER));
}

FIXTURE_TEARDOWN_PARENT(way)
{
	EXPECT_NOTHING_LEFT();
}

#define MESSAGES	3000

struct receiver {
	pthread_t thread;
	struct port *port;
	const struct way_kind *kind;
	__u64 left;
	int err;
};

static void *receive_in_a_thread(void *arg)
{
	struct receiver *r = arg;
	struct way w;

	r->err = way_open(&w, r->kind, r->port);
	while (r->left && !r->err) {
		int n = consume(r->port, 1 + r->left % 3);

		if (n > 0) {
			r->left -= n;
			port_notify(r->port, n);
			continue;
		}
		n = n < 0 ? n : way_until_ready(&w);
		if (n < 0)
			r->err = n;
		else if (!(n & EPOLLIN))
			r->err = -EPROTO;
	}
	return NULL;
}

/*
 * No wake-up is lost, of neither side, over many messages and a ring of a few slots: else one of
 * the two sleeps for ever.
 */
TEST_F_TIMEOUT(way, stream, 600)
{
	struct receiver r = { .port = &self->consumer, .kind = variant->kind, .left = MESSAGES };
	unsigned int seed = 1;
	int left, n;
	struct way w;

	ASSERT_EQ(0, way_open(&w, variant->kind, &self->producer));
	ASSERT_EQ(0, pthread_create(&r.thread, NULL, receive_in_a_thread, &r));
	for (left = MESSAGES; left;) {
		volatile unsigned int pause = rand_r(&seed) % 3 ? 0 : rand_r(&seed) % 2000;

		if (!room_of(&self->producer)) {
			n = way_until_ready(&w);
			ASSERT_EQ(EPOLLOUT, n & EPOLLOUT);
			continue;
		}
		publish(&self->producer, 1);
		ASSERT_LE(0, port_notify(&self->producer, 1));
		left--;
		while (pause)
			pause--;
	}
	pthread_join(r.thread, NULL);
	EXPECT_EQ(0, r.err);
	EXPECT_EQ(0, r.left);
}

/* A thread that waits until something is there, or the end. */
struct waiter {
	pthread_t thread;
	struct way way;
	int events;
};

/* The way is opened here, so that rings of io_uring belong to the thread that waits. */
static void *wait_in_a_thread(void *arg)
{
	struct waiter *w = arg;
	int err = way_open(&w->way, w->way.kind, w->way.port);

	w->events = err ? err : way_until_ready(&w->way);
	return NULL;
}

static bool waiter_start(struct waiter *w, const struct way_kind *kind, struct port *port,
			 const struct port *other)
{
	w->way = (struct way){ .kind = kind, .port = port };
	pthread_create(&w->thread, NULL, wait_in_a_thread, w);
	return soon(attention(other) & RINGQ_ARMED);
}

TEST_F(way, kick)
{
	struct waiter w;

	ASSERT_TRUE(waiter_start(&w, variant->kind, &self->consumer, &self->producer));
	publish(&self->producer, 1);
	EXPECT_EQ(0, port_notify(&self->producer, 1));
	pthread_join(w.thread, NULL);
	EXPECT_EQ(POLLIN | POLLRDNORM, w.events);
}

/* Kicks that bring nothing are hints that lead to nothing, and the port is armed again. */
TEST_F(way, empty_kicks)
{
	struct waiter w;
	int i;

	ASSERT_TRUE(waiter_start(&w, variant->kind, &self->consumer, &self->producer));
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(0, port_kick(&self->producer, 1));
		ASSERT_TRUE(soon(attention(&self->producer) & RINGQ_ARMED));
	}
	publish(&self->producer, 1);
	EXPECT_EQ(0, port_notify(&self->producer, 1));
	pthread_join(w.thread, NULL);
	EXPECT_EQ(POLLIN | POLLRDNORM, w.events);
}

TEST_F(way, closed)
{
	struct waiter w;

	ASSERT_TRUE(waiter_start(&w, variant->kind, &self->consumer, &self->producer));
	EXPECT_EQ(0, call(self->producer.fd, RINGQ_IOC_CLOSE, NULL));
	pthread_join(w.thread, NULL);
	EXPECT_EQ(POLLIN | POLLRDNORM | POLLRDHUP, w.events);
}

TEST_F(way, other_side_left)
{
	struct waiter w;

	ASSERT_TRUE(waiter_start(&w, variant->kind, &self->consumer, &self->producer));
	EXPECT_EQ(0, call(self->producer.fd, RINGQ_IOC_DETACH, NULL));
	pthread_join(w.thread, NULL);
	EXPECT_EQ(POLLIN | POLLRDNORM | POLLHUP, w.events);
}

TEST_F(way, other_side_died)
{
	struct waiter w;

	publish(&self->producer, room_of(&self->producer));
	ASSERT_TRUE(waiter_start(&w, variant->kind, &self->producer, &self->consumer));
	port_unmap(&self->consumer);
	pthread_join(w.thread, NULL);
	EXPECT_EQ(POLLHUP | POLLERR, w.events);
}

TEST_F(way, own_port_ends)
{
	struct waiter w;

	ASSERT_TRUE(waiter_start(&w, variant->kind, &self->consumer, &self->producer));
	EXPECT_EQ(0, call(self->consumer.fd, RINGQ_IOC_DETACH, NULL));
	pthread_join(w.thread, NULL);
	EXPECT_EQ(POLLERR, w.events);
}

/* Who waits and is killed, armed, holds up nobody, and leaves nothing; nor does the module go. */
TEST_F(way, killed_while_armed)
{
	struct peer child;
	struct port p, q;
	struct ring r;
	struct way w;
	int round;

	ASSERT_EQ(0, ring_create(&r, &(struct ringq_geometry){
			.discipline = RINGQ_SPSC, .shape = RINGQ_SHAPE_LINE, .elem_size = 8,
			.flags = RINGQ_CONSUMER_WAIT | variant->flags, .capacity = 7,
			.producers = 1, .consumers = 1, .unit_shift = RINGQ_UNIT_PAGES,
			.bulk_shift = RINGQ_UNIT_PAGES,
		}, ""));
	ASSERT_EQ(0, port_join(&p, &r, RINGQ_PRODUCER));
	for (round = 0; round < 3; round++) {
		if (!peer_fork(&child)) {
			if (port_join(&q, &r, RINGQ_CONSUMER) ||
			    way_open(&w, variant->kind, &q))
				_exit(1);
			_exit(way_until_ready(&w));
		}
		ASSERT_TRUE(soon(attention(&p) & RINGQ_ARMED));
		EXPECT_EQ(-1, syscall(SYS_delete_module, "ringq", O_NONBLOCK));
		EXPECT_EQ(EWOULDBLOCK, errno);
		EXPECT_EQ(-SIGKILL, peer_kill(&child));
		ASSERT_TRUE(soon(!(attention(&p) & RINGQ_ARMED)));
	}
	publish(&p, 1);
	EXPECT_EQ(0, port_kick(&p, 1));
	ASSERT_EQ(0, port_join(&q, &r, RINGQ_CONSUMER));
	EXPECT_EQ(1, consume(&q, 1));
}

/* All ways at once, at one port. */
FIXTURE(events) {
	struct ring ring;
	struct port producer;
	struct port consumer;
	int fd;
};

FIXTURE_SETUP(events)
{
	struct ringq_geometry g = geometry_of(8, 16);

	ASSERT_EQ(0, ring_create(&self->ring, &g, ""));
	ASSERT_EQ(0, port_join(&self->producer, &self->ring, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&self->consumer, &self->ring, RINGQ_CONSUMER));
	self->fd = eventfd(0, EFD_NONBLOCK);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN_PARENT(events)
{
	EXPECT_NOTHING_LEFT();
}

TEST_F(events, closed_under_all_ways)
{
	struct waiter waiters[ARRAY_SIZE(all_kinds)];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(all_kinds); i++)
		ASSERT_TRUE(waiter_start(&waiters[i], all_kinds[i], &self->consumer,
					 &self->producer));
	EXPECT_EQ(0, call(self->consumer.fd, RINGQ_IOC_CLOSE, NULL));
	for (i = 0; i < ARRAY_SIZE(all_kinds); i++) {
		pthread_join(waiters[i].thread, NULL);
		EXPECT_EQ(POLLIN | POLLRDNORM | POLLRDHUP, waiters[i].events)
			TH_LOG("way %zu", i);
	}
}

/* An edge is told once, and comes again only if the port was armed again. */
TEST_F(events, edge_wants_to_be_armed)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET }, got;
	int epoll = epoll_create1(0), i;

	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->consumer.fd, &e));
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, port_poll(&self->consumer, 0));
		ASSERT_NE(0, attention(&self->producer) & RINGQ_ARMED);
		publish(&self->producer, 1);
		ASSERT_EQ(0, port_notify(&self->producer, 1));
		ASSERT_EQ(0, attention(&self->producer) & RINGQ_ARMED);
		ASSERT_EQ(1, epoll_wait(epoll, &got, 1, -1));
		ASSERT_EQ(EPOLLIN, got.events);
		ASSERT_EQ(0, epoll_wait(epoll, &got, 1, 0));
		/* Not armed: nobody is asked to kick. */
		ASSERT_EQ(0, attention(&self->producer) & RINGQ_ARMED);
		publish(&self->producer, 1);
		ASSERT_EQ(0, port_notify(&self->producer, 1));
		ASSERT_EQ(0, epoll_wait(epoll, &got, 1, 0));
		/* Then poll tells. */
		ASSERT_EQ(POLLIN | POLLRDNORM, port_poll(&self->consumer, 0));
		ASSERT_EQ(2, consume(&self->consumer, 2));
	}
}

TEST_F(events, oneshot_wants_to_be_armed)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLONESHOT }, got;
	int epoll = epoll_create1(0), i;

	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->consumer.fd, &e));
	for (i = 0; i < 10; i++) {
		ASSERT_NE(0, attention(&self->producer) & RINGQ_ARMED);
		publish(&self->producer, 1);
		ASSERT_EQ(0, port_notify(&self->producer, 1));
		ASSERT_EQ(1, epoll_wait(epoll, &got, 1, -1));
		ASSERT_EQ(EPOLLIN, got.events);
		/* Once, even if it is still there and more comes. */
		publish(&self->producer, 1);
		EXPECT_EQ(0, port_kick(&self->producer, 1));
		ASSERT_EQ(0, epoll_wait(epoll, &got, 1, 0));
		ASSERT_EQ(2, consume(&self->consumer, 2));
		ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_MOD, self->consumer.fd, &e));
	}
}

/* Several threads, each with an epoll of its own, that share one port and want to be alone. */
#define RIVALS 4

struct rival {
	pthread_t thread;
	struct port *port;
	pthread_mutex_t *mutex;
	__u64 taken;
	int err;
};

static void *rival_in_a_thread(void *arg)
{
	struct rival *r = arg;
	struct way w;
	int n;

	r->err = way_open(&w, &way_exclusive, r->port);
	while (!r->err) {
		n = epoll_look(&w);
		if (n < 0) {
			r->err = n;
			break;
		}
		pthread_mutex_lock(r->mutex);
		n = consume(r->port, 1);
		if (!n && port_poll(r->port, 0) & POLLRDHUP)
			r->err = -EPIPE;
		pthread_mutex_unlock(r->mutex);
		if (n < 0)
			r->err = n;
		else
			r->taken += n;
		if (n > 0)
			port_notify(r->port, 1);
	}
	return NULL;
}

TEST_F_TIMEOUT(events, exclusive_rivals, 300)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	struct rival rivals[RIVALS];
	__u64 taken = 0;
	int i;

	for (i = 0; i < RIVALS; i++) {
		rivals[i] = (struct rival){ .port = &self->consumer, .mutex = &mutex };
		ASSERT_EQ(0, pthread_create(&rivals[i].thread, NULL, rival_in_a_thread,
					    &rivals[i]));
	}
	for (i = 0; i < 1000; i++) {
		publish(&self->producer, 1);
		ASSERT_LE(0, port_notify(&self->producer, 1));
		/* Somebody takes it, whoever else is woken. */
		while (room_of(&self->producer) < self->ring.geometry.capacity - i % 8)
			sched_yield();
	}
	ASSERT_TRUE(soon(room_of(&self->producer) == self->ring.geometry.capacity));
	EXPECT_EQ(0, call(self->producer.fd, RINGQ_IOC_CLOSE, NULL));
	for (i = 0; i < RIVALS; i++) {
		pthread_join(rivals[i].thread, NULL);
		EXPECT_EQ(-EPIPE, rivals[i].err);
		taken += rivals[i].taken;
	}
	EXPECT_EQ(1000, taken);
}

/* Who is exclusive at one port is not in the way of who is at another. */
struct single {
	pthread_t thread;
	struct port port;
	struct way way;
	pid_t tid;
	int events;
};

static void *single_in_a_thread(void *arg)
{
	struct single *s = arg;

	__atomic_store_n(&s->tid, gettid(), __ATOMIC_RELEASE);
	s->events = epoll_look(&s->way);
	return NULL;
}

TEST_F(events, exclusive_at_several_ports)
{
	struct ringq_geometry g = geometry_many(RINGQ_GATED, 8, 16);
	struct single singles[3] = {}, *s;
	struct port p;
	struct ring r;

	g.consumers = 3;
	ASSERT_EQ(0, ring_create(&r, &g, ""));
	ASSERT_EQ(0, port_join(&p, &r, RINGQ_PRODUCER));
	for (s = singles; s < singles + 3; s++) {
		ASSERT_EQ(0, port_join(&s->port, &r, RINGQ_CONSUMER));
		ASSERT_EQ(0, way_open(&s->way, &way_exclusive, &s->port));
		ASSERT_EQ(0, pthread_create(&s->thread, NULL, single_in_a_thread, s));
		ASSERT_TRUE(soon(s->tid && sleeps_in(s->tid, SYS_epoll_wait)));
	}
	publish(&p, 1);
	EXPECT_EQ(0, port_notify(&p, 1));
	for (s = singles; s < singles + 3; s++) {
		pthread_join(s->thread, NULL);
		EXPECT_EQ(EPOLLIN, s->events);
	}
}

/* A herd: of many who sleep for the same, one message wakes one. */
#define HERD 64

struct sheep {
	pthread_t thread;
	struct port port;
	pid_t tid;
	int err;
	__u32 events;
};

static void *graze(void *arg)
{
	struct sheep *s = arg;

	__atomic_store_n(&s->tid, gettid(), __ATOMIC_RELEASE);
	s->err = port_wait(&s->port, 1, FOREVER, 0, &s->events);
	__atomic_store_n(&s->tid, 0, __ATOMIC_RELEASE);
	return NULL;
}

static bool is_asleep(const struct sheep *s)
{
	pid_t tid = __atomic_load_n(&s->tid, __ATOMIC_ACQUIRE);

	return tid && sleeps_in(tid, SYS_ioctl);
}

static int asleep(const struct sheep *herd)
{
	int i, n = 0;

	for (i = 0; i < HERD; i++)
		n += is_asleep(&herd[i]);
	return n;
}

TEST_F_TIMEOUT(events, herd, 300)
{
	struct ringq_geometry g = geometry_many(RINGQ_MPMC, 8, 128);
	static struct sheep herd[HERD];
	struct port p;
	struct ring r;
	int i;

	g.producers = 1;
	g.consumers = HERD;
	ASSERT_EQ(0, ring_create(&r, &g, ""));
	ASSERT_EQ(0, port_join(&p, &r, RINGQ_PRODUCER));
	for (i = 0; i < HERD; i++) {
		ASSERT_EQ(0, port_join(&herd[i].port, &r, RINGQ_CONSUMER));
		ASSERT_EQ(0, pthread_create(&herd[i].thread, NULL, graze, &herd[i]));
		ASSERT_TRUE(soon(is_asleep(&herd[i])));
	}
	for (i = 0; i < 3; i++) {
		publish(&p, 1);
		EXPECT_EQ(1, port_notify(&p, 1));
		ASSERT_TRUE(soon(asleep(herd) == HERD - 1 - i));
		/* It is the first that fell asleep, and the others stay. */
		pthread_join(herd[i].thread, NULL);
		EXPECT_EQ(0, herd[i].err);
		EXPECT_EQ(RINGQ_EVENT_READY, herd[i].events);
		EXPECT_EQ(HERD - 1 - i, asleep(herd));
	}
	EXPECT_EQ(0, call(p.fd, RINGQ_IOC_CLOSE, NULL));
	for (; i < HERD; i++) {
		pthread_join(herd[i].thread, NULL);
		EXPECT_EQ(0, herd[i].err);
	}
}

TEST_HARNESS_MAIN
