// SPDX-License-Identifier: GPL-2.0-only
/*
 * RINGQ_URING_CMD_WAIT and RINGQ_URING_CMD_CANCEL: commands of io_uring that wait for a port. On
 * kernels that could not cancel one only their refusal is tested.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "kselftest_harness.h"

#include "common.h"
#include "iou.h"

FIXTURE(command) {
	struct ring ring;
	struct port producer;
	struct port consumer;
	struct iou iou;
};

FIXTURE_VARIANT(command) {
	unsigned int setup;
	__u8 flags;
};

/* The task runs what is left to it whenever it returns to user space; or only when it asks. */
FIXTURE_VARIANT_ADD(command, plain) {
};

FIXTURE_VARIANT_ADD(command, defer) {
	.setup = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
};

/* Issued by threads of the kernel's. */
FIXTURE_VARIANT_ADD(command, worker) {
	.flags = IOSQE_ASYNC,
};

FIXTURE_VARIANT_ADD(command, sqpoll) {
	.setup = IORING_SETUP_SQPOLL,
};

static bool has_commands(void)
{
	struct ringq_ioc_info info = { .size = sizeof(info) };
	int fd = device();

	call(fd, RINGQ_IOC_INFO, &info);
	close(fd);
	return info.features & RINGQ_FEATURE_URING_CMD;
}

/* Then the port is armed before the command has looked for the last time. */
static bool begins_elsewhere(const FIXTURE_VARIANT(command) *variant)
{
	return variant->flags & IOSQE_ASYNC || variant->setup & IORING_SETUP_SQPOLL;
}

FIXTURE_SETUP(command)
{
	struct ringq_geometry g = geometry_of(8, 16);

	ASSERT_EQ(0, ring_create(&self->ring, &g, ""));
	ASSERT_EQ(0, port_join(&self->producer, &self->ring, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&self->consumer, &self->ring, RINGQ_CONSUMER));
	ASSERT_EQ(0, iou_open(&self->iou, variant->setup));
}

FIXTURE_TEARDOWN_PARENT(command)
{
	EXPECT_NOTHING_LEFT();
}

static struct io_uring_sqe wait_sqe(const struct port *p, __u64 need, __u32 flags)
{
	return (struct io_uring_sqe){
		.opcode = IORING_OP_URING_CMD,
		.fd = p->fd,
		.cmd_op = RINGQ_URING_CMD_WAIT,
		.user_data = 1,
		/* struct ringq_uring_wait lies here. */
		.addr3 = need,
		.__pad2[0] = flags,
	};
}

static struct io_uring_sqe cancel_sqe(const struct port *p)
{
	return (struct io_uring_sqe){
		.opcode = IORING_OP_URING_CMD,
		.fd = p->fd,
		.cmd_op = RINGQ_URING_CMD_CANCEL,
		.user_data = 2,
	};
}

/* Submits, and waits for the completion of just that; returns its result. */
static int ask(struct iou *u, struct io_uring_sqe sqe, __u8 flags)
{
	struct io_uring_cqe cqe;
	int err;

	sqe.flags |= flags;
	err = iou_submit(u, &sqe);
	if (!err)
		err = iou_wait(u, &cqe);
	return err ? err : cqe.user_data == sqe.user_data ? cqe.res : -EPROTO;
}

/* Submits what is not to complete now; returns when it waits, armed, as nobody was before. */
static bool begin(struct iou *u, struct io_uring_sqe sqe, __u8 flags, const struct port *other)
{
	struct io_uring_cqe cqe;

	sqe.flags |= flags;
	if (attention(other) & RINGQ_ARMED || iou_submit(u, &sqe))
		return false;
	return soon(attention(other) & RINGQ_ARMED) && iou_look(u, &cqe) == -EAGAIN;
}

/* Waits for a completion and returns its result. */
static int result(struct iou *u)
{
	struct io_uring_cqe cqe;
	int err = iou_wait(u, &cqe);

	return err ? err : cqe.res;
}

#define BEGIN(port, need, how, other)						\
	begin(&self->iou, wait_sqe(port, need, how), variant->flags, other)
#define ASK(sqe) ask(&self->iou, sqe, variant->flags)

TEST_F(command, offered)
{
	int major = 0, minor = 0, last = self->ring.fd;
	struct utsname name;
	struct io_uring_sqe sqe;

	uname(&name);
	sscanf(name.release, "%d.%d", &major, &minor);
	EXPECT_EQ(major > 6 || (major == 6 && minor >= 8), has_commands());

	publish(&self->producer, 1);
	EXPECT_EQ(has_commands() ? (int)RINGQ_EVENT_READY : -EOPNOTSUPP,
		  ASK(wait_sqe(&self->consumer, 1, 0)));
	sqe = wait_sqe(&self->consumer, 1, 0);
	sqe.cmd_op = RINGQ_URING_CMD_WAIT + 0x100;
	EXPECT_EQ(has_commands() ? -ENOTTY : -EOPNOTSUPP, ASK(sqe));
	EXPECT_EQ(-ENOTTY, call(self->consumer.fd, RINGQ_URING_CMD_WAIT, &last));
	EXPECT_EQ(-ENOTTY, call(self->consumer.fd, RINGQ_URING_CMD_CANCEL, NULL));
}

TEST_F(command, ready_at_once)
{
	__u64 capacity = self->ring.geometry.capacity;

	publish(&self->producer, 3);
	EXPECT_EQ(RINGQ_EVENT_READY, ASK(wait_sqe(&self->consumer, 3, 0)));
	EXPECT_EQ(RINGQ_EVENT_READY, ASK(wait_sqe(&self->producer, capacity - 3, 0)));
	/* To look is not to arm. */
	EXPECT_EQ(0, attention(&self->producer) & RINGQ_ARMED);
	EXPECT_EQ(0, attention(&self->consumer) & RINGQ_ARMED);
}

TEST_F(command, arguments)
{
	__u64 capacity = self->ring.geometry.capacity;
	struct port file = { .fd = device() };
	struct io_uring_sqe sqe;
	struct peer child;
	int bit;

	EXPECT_EQ(-EINVAL, ASK(wait_sqe(&self->consumer, 0, 0)));
	EXPECT_EQ(-EINVAL, ASK(wait_sqe(&self->consumer, capacity + 1, 0)));
	EXPECT_EQ(-EINVAL, ASK(wait_sqe(&self->producer, ~0ull, 0)));
	for (bit = 1; bit < 32; bit++)
		EXPECT_EQ(-EINVAL, ASK(wait_sqe(&self->consumer, 1, 1u << bit)));
	for (bit = 32; bit < 64; bit++) {
		sqe = wait_sqe(&self->consumer, 1, 0);
		sqe.__pad2[0] = 1ull << bit;
		EXPECT_EQ(-EINVAL, ASK(sqe));
	}
	sqe = cancel_sqe(&self->consumer);
	sqe.addr3 = 1;
	EXPECT_EQ(-EINVAL, ASK(sqe));
	sqe = cancel_sqe(&self->consumer);
	sqe.__pad2[0] = 1ull << 63;
	EXPECT_EQ(-EINVAL, ASK(sqe));

	EXPECT_EQ(-EBADFD, ASK(wait_sqe(&file, 1, 0)));
	file.fd = self->ring.fd;
	EXPECT_EQ(-EBADFD, ASK(wait_sqe(&file, 1, 0)));
	EXPECT_EQ(-EBADFD, ASK(cancel_sqe(&file)));
	if (!peer_fork(&child)) {
		struct iou iou;

		ASSERT_EQ(0, iou_open(&iou, variant->setup));
		EXPECT_EQ(-EPERM, ask(&iou, wait_sqe(&self->consumer, 1, 0), variant->flags));
		EXPECT_EQ(-EPERM, ask(&iou, cancel_sqe(&self->consumer), variant->flags));
		_exit(0);
	}
	EXPECT_EQ(0, peer_end(&child));
	/* None of this has left a command behind. */
	EXPECT_EQ(-ENOENT, ASK(cancel_sqe(&self->consumer)));
	/* Whatever is there. */
	publish(&self->producer, 1);
	EXPECT_EQ(0, call(self->consumer.fd, RINGQ_IOC_DETACH, NULL));
	EXPECT_EQ(-ESTALE, ASK(wait_sqe(&self->consumer, 1, 0)));
	EXPECT_EQ(-ESTALE, ASK(cancel_sqe(&self->consumer)));
}

TEST_F(command, kick)
{
	int i;

	for (i = 0; i < 20; i++) {
		ASSERT_TRUE(BEGIN(&self->consumer, 1, 0, &self->producer));
		publish(&self->producer, 1);
		/* It is told, and not counted. */
		ASSERT_EQ(0, port_notify(&self->producer, 1));
		ASSERT_EQ(RINGQ_EVENT_READY, result(&self->iou));
		ASSERT_EQ(1, consume(&self->consumer, 1));
		/* Nor does it leave an arm behind, unless it was told while it looked. */
		if (!begins_elsewhere(variant))
			ASSERT_EQ(0, attention(&self->producer) & RINGQ_ARMED);
		ASSERT_EQ(0, port_kick(&self->producer, 1));
	}
}

TEST_F(command, kick_of_a_producer)
{
	publish(&self->producer, self->ring.geometry.capacity);
	ASSERT_TRUE(BEGIN(&self->producer, 5, 0, &self->consumer));
	EXPECT_EQ(5, consume(&self->consumer, 5));
	EXPECT_EQ(0, port_notify(&self->consumer, 5));
	EXPECT_EQ(RINGQ_EVENT_READY, result(&self->iou));
}

TEST_F(command, kicks_that_bring_too_little)
{
	struct io_uring_cqe cqe;
	int i;

	ASSERT_TRUE(BEGIN(&self->consumer, 10, 0, &self->producer));
	for (i = 0; i < 9; i++) {
		publish(&self->producer, 1);
		EXPECT_EQ(0, port_notify(&self->producer, 1));
		ASSERT_TRUE(soon(iou_look(&self->iou, &cqe) == -EAGAIN &&
				 attention(&self->producer) & RINGQ_ARMED));
	}
	publish(&self->producer, 1);
	EXPECT_EQ(0, port_notify(&self->producer, 1));
	EXPECT_EQ(RINGQ_EVENT_READY, result(&self->iou));
	EXPECT_EQ(10, consume(&self->consumer, 20));
}

TEST_F(command, one_at_a_time)
{
	struct io_uring_cqe cqe;
	struct iou other;

	ASSERT_TRUE(BEGIN(&self->consumer, 1, 0, &self->producer));
	EXPECT_EQ(-EBUSY, ASK(wait_sqe(&self->consumer, 1, 0)));
	ASSERT_EQ(0, iou_open(&other, 0));
	EXPECT_EQ(-EBUSY, ask(&other, wait_sqe(&self->consumer, 1, 0), 0));
	/* That of another port is another. */
	EXPECT_EQ(RINGQ_EVENT_READY, ASK(wait_sqe(&self->producer, 1, 0)));
	/* The refusals have done nothing to it. */
	EXPECT_EQ(-EAGAIN, iou_look(&self->iou, &cqe));
	publish(&self->producer, 1);
	EXPECT_EQ(0, port_notify(&self->producer, 1));
	EXPECT_EQ(RINGQ_EVENT_READY, result(&self->iou));
	EXPECT_EQ(RINGQ_EVENT_READY, ask(&other, wait_sqe(&self->consumer, 1, 0), 0));
}

static void *sleep_in_a_thread(void *arg)
{
	return (void *)(long)port_wait(arg, 1, FOREVER, 0, NULL);
}

/* One of several consumers has a command, another one sleeps; the one kick is the sleeper's. */
TEST_F(command, takes_no_kick_from_a_sleeper)
{
	struct ringq_geometry g = geometry_many(RINGQ_SPMC, 8, 16);
	int fd = eventfd(0, EFD_NONBLOCK);
	struct port p, q[2];
	pthread_t thread;
	struct ring r;
	__u64 n = 0;
	void *err;

	ASSERT_EQ(0, ring_create(&r, &g, ""));
	ASSERT_EQ(0, port_join(&p, &r, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&q[0], &r, RINGQ_CONSUMER));
	ASSERT_EQ(0, port_join(&q[1], &r, RINGQ_CONSUMER));
	ASSERT_TRUE(BEGIN(&q[0], 1, 0, &p));
	ASSERT_EQ(0, port_eventfd(&q[0], fd, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, sleep_in_a_thread, &q[1]));
	/* The kick has somebody to wake only when that one is armed. */
	ASSERT_TRUE(soon(port_kick(&p, 1) == 1));
	while (iou_look(&self->iou, &(struct io_uring_cqe){}) == 0)
		;
	publish(&p, 1);
	EXPECT_TRUE(soon(port_kick(&p, 1) <= 1));
	pthread_join(thread, &err);
	EXPECT_EQ(NULL, err);
	EXPECT_EQ(RINGQ_EVENT_READY, result(&self->iou));
	/* Nor is an eventfd of the port in its way. */
	EXPECT_EQ(sizeof(n), read(fd, &n, sizeof(n)));
	EXPECT_LE(1, n);
}

TEST_F(command, closed)
{
	ASSERT_TRUE(BEGIN(&self->consumer, 1, 0, &self->producer));
	EXPECT_EQ(0, call(self->producer.fd, RINGQ_IOC_CLOSE, NULL));
	EXPECT_EQ(RINGQ_EVENT_CLOSED, result(&self->iou));
}

TEST_F(command, other_side_left)
{
	ASSERT_TRUE(BEGIN(&self->consumer, 1, 0, &self->producer));
	EXPECT_EQ(0, call(self->producer.fd, RINGQ_IOC_DETACH, NULL));
	EXPECT_EQ(RINGQ_EVENT_GONE, result(&self->iou));
}

TEST_F(command, other_side_died)
{
	ASSERT_TRUE(BEGIN(&self->consumer, 1, 0, &self->producer));
	port_unmap(&self->producer);
	EXPECT_EQ(RINGQ_EVENT_DEAD, result(&self->iou));
}

TEST_F(command, port_is_detached)
{
	ASSERT_TRUE(BEGIN(&self->consumer, 1, 0, &self->producer));
	EXPECT_EQ(0, call(self->consumer.fd, RINGQ_IOC_DETACH, NULL));
	EXPECT_EQ(-ESTALE, result(&self->iou));
}

TEST_F(command, port_dies)
{
	ASSERT_TRUE(BEGIN(&self->consumer, 1, 0, &self->producer));
	port_unmap(&self->consumer);
	EXPECT_EQ(-ESTALE, result(&self->iou));
}

TEST_F(command, drain)
{
	__u64 capacity = self->ring.geometry.capacity;

	publish(&self->producer, 2);
	EXPECT_EQ(0, call(self->producer.fd, RINGQ_IOC_CLOSE, NULL));
	EXPECT_EQ(RINGQ_EVENT_CLOSED, ASK(wait_sqe(&self->producer, capacity, 0)));
	ASSERT_TRUE(BEGIN(&self->producer, capacity, RINGQ_WAIT_DRAIN, &self->consumer));
	EXPECT_EQ(2, consume(&self->consumer, 2));
	EXPECT_EQ(0, port_notify(&self->consumer, 2));
	EXPECT_EQ(RINGQ_EVENT_READY | RINGQ_EVENT_CLOSED, result(&self->iou));
}

TEST_F(command, canceled)
{
	struct io_uring_cqe cqe[2];
	struct io_uring_sqe sqe = cancel_sqe(&self->consumer);
	struct iou other;
	int i;

	EXPECT_EQ(-ENOENT, ASK(cancel_sqe(&self->consumer)));
	ASSERT_TRUE(BEGIN(&self->consumer, 1, 0, &self->producer));
	EXPECT_EQ(-ENOENT, ASK(cancel_sqe(&self->producer)));
	sqe.flags = variant->flags;
	ASSERT_EQ(0, iou_submit(&self->iou, &sqe));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, iou_wait(&self->iou, &cqe[i]));
		EXPECT_EQ(cqe[i].user_data == 1 ? -ECANCELED : 0, cqe[i].res);
	}
	EXPECT_NE(cqe[0].user_data, cqe[1].user_data);

	/* By another thread's ring. */
	EXPECT_EQ(0, port_kick(&self->producer, 1));
	ASSERT_EQ(0, iou_open(&other, 0));
	ASSERT_TRUE(BEGIN(&self->consumer, 1, 0, &self->producer));
	EXPECT_EQ(0, ask(&other, cancel_sqe(&self->consumer), 0));
	EXPECT_EQ(-ECANCELED, result(&self->iou));
	EXPECT_EQ(-ENOENT, ask(&other, cancel_sqe(&self->consumer), 0));
}

/* What there is to tell is told. */
TEST_F(command, canceled_when_it_is_done)
{
	struct iou other;
	int err;

	ASSERT_EQ(0, iou_open(&other, 0));
	ASSERT_TRUE(BEGIN(&self->consumer, 1, 0, &self->producer));
	publish(&self->producer, 1);
	err = ask(&other, cancel_sqe(&self->consumer), 0);
	/* Another thread that issues it may just have seen it. */
	EXPECT_TRUE(err == 0 || (err == -ENOENT && begins_elsewhere(variant)));
	EXPECT_EQ(RINGQ_EVENT_READY, result(&self->iou));
}

/*
 * The port has no command any more, so another one can begin. Something must be there, that nobody
 * was told of.
 */
static bool is_free(const struct port *p)
{
	struct iou u;
	int err = iou_open(&u, 0);

	if (err)
		return false;
	err = ask(&u, wait_sqe(p, 1, 0), 0);
	iou_close(&u);
	return err == RINGQ_EVENT_READY;
}

/*
 * Whether a ring may be closed while a command is pending. Always; but in Linux 6.12 lockdep wants
 * the thread of such a ring to post all completions, also those of a ring that goes.
 */
static bool may_close(unsigned int setup)
{
	return !(setup & IORING_SETUP_DEFER_TASKRUN) || access("/proc/lockdep", F_OK) < 0;
}

TEST_F(command, ring_of_io_uring_is_closed)
{
	int i;

	if (!may_close(variant->setup))
		return;
	for (i = 0; i < 10; i++) {
		ASSERT_TRUE(BEGIN(&self->consumer, 1, 0, &self->producer));
		iou_close(&self->iou);
		publish(&self->producer, 1);
		ASSERT_TRUE(soon(is_free(&self->consumer)));
		ASSERT_EQ(1, consume(&self->consumer, 1));
		ASSERT_EQ(0, port_kick(&self->producer, 1));
		ASSERT_EQ(0, iou_open(&self->iou, variant->setup));
	}
}

struct brief {
	const struct port *port, *other;
	unsigned int setup;
	__u8 flags;
	struct iou iou;
	bool begun;
};

static void *begin_in_a_thread(void *arg)
{
	struct brief *b = arg;

	if (!iou_open(&b->iou, b->setup))
		b->begun = begin(&b->iou, wait_sqe(b->port, 1, 0), b->flags, b->other);
	return NULL;
}

/* The command stays, as long as anybody has its ring of io_uring. */
TEST_F(command, thread_ends)
{
	struct brief b = {
		.port = &self->consumer, .other = &self->producer,
		.setup = variant->setup, .flags = variant->flags,
	};
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, begin_in_a_thread, &b));
	pthread_join(thread, NULL);
	ASSERT_TRUE(b.begun);
	publish(&self->producer, 1);
	EXPECT_EQ(0, port_notify(&self->producer, 1));
	/* Nobody else may ask such a ring for its completions. */
	if (!(variant->setup & IORING_SETUP_SINGLE_ISSUER))
		EXPECT_EQ(RINGQ_EVENT_READY, result(&b.iou));
	iou_close(&b.iou);
	EXPECT_TRUE(soon(is_free(&self->consumer)));
}

/* A consumer in another process, which ends while its command is pending. */
static void end_with_a_command(const struct ring *r, unsigned int setup, __u8 flags,
			       const char *program)
{
	struct port q, other;
	struct iou iou;

	if (port_join(&q, r, RINGQ_CONSUMER) || iou_open(&iou, setup))
		_exit(1);
	/* For the word that the other side reads. */
	other = q;
	other.role = RINGQ_PRODUCER;
	if (!begin(&iou, wait_sqe(&q, 1, 0), flags, &other))
		_exit(1);
	if (program)
		execl(program, program, NULL);
	pause();
	_exit(1);
}

TEST_F(command, process_ends)
{
	static const char *const programs[] = { NULL, "/bin/true" };
	struct ringq_geometry g = geometry_of(8, 16);
	struct peer child;
	struct ring r;
	struct port p;
	int i;

	g.flags = RINGQ_CONSUMER_WAIT;
	ASSERT_EQ(0, ring_create(&r, &g, ""));
	ASSERT_EQ(0, port_join(&p, &r, RINGQ_PRODUCER));
	for (i = 0; i < 2; i++) {
		if (!peer_fork(&child))
			end_with_a_command(&r, variant->setup, variant->flags, programs[i]);
		if (programs[i]) {
			EXPECT_EQ(0, peer_end(&child));
		} else {
			ASSERT_TRUE(soon(attention(&p) & RINGQ_ARMED));
			EXPECT_EQ(-SIGKILL, peer_kill(&child));
		}
		ASSERT_TRUE(soon(!(attention(&p) & RINGQ_ARMED)));
	}
	EXPECT_EQ(0, port_kick(&p, 1));
}

/* The descriptor may go, and the command is still told. */
TEST_F(command, file_is_closed)
{
	ASSERT_TRUE(BEGIN(&self->consumer, 1, 0, &self->producer));
	close(self->consumer.fd);
	publish(&self->producer, 1);
	EXPECT_EQ(0, port_notify(&self->producer, 1));
	EXPECT_EQ(RINGQ_EVENT_READY, result(&self->iou));
}

/* Of a port that is not mapped, the command alone keeps file, ring and module. */
TEST_F(command, holds_what_it_needs)
{
	struct ringq_geometry g = geometry_of(8, 16);
	struct io_uring_sqe sqe;
	struct ring r;
	struct port q;

	if (!may_close(variant->setup))
		return;
	port_leave(&self->producer);
	port_leave(&self->consumer);
	close(self->ring.fd);
	ASSERT_TRUE(soon(used_bytes() == 0));
	ASSERT_EQ(0, ring_create(&r, &g, ""));
	ASSERT_EQ(0, port_attach(&q, &r, RINGQ_CONSUMER));
	sqe = wait_sqe(&q, 1, 0);
	sqe.flags = variant->flags;
	ASSERT_EQ(0, iou_submit(&self->iou, &sqe));
	ASSERT_TRUE(soon(ask(&self->iou, wait_sqe(&q, 1, 0), 0) == -EBUSY));
	close(q.fd);
	close(r.fd);
	EXPECT_EQ(r.layout.total, used_bytes());
	EXPECT_EQ(-1, syscall(SYS_delete_module, "ringq", O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
	iou_close(&self->iou);
	EXPECT_TRUE(soon(used_bytes() == 0));
}

/* A file that io_uring has by itself. */
TEST_F(command, registered_file)
{
	struct io_uring_sqe sqe = wait_sqe(&self->consumer, 1, 0);

	ASSERT_EQ(0, syscall(SYS_io_uring_register, self->iou.fd, IORING_REGISTER_FILES,
			     &self->consumer.fd, 1));
	close(self->consumer.fd);
	sqe.fd = 0;
	ASSERT_TRUE(begin(&self->iou, sqe, variant->flags | IOSQE_FIXED_FILE, &self->producer));
	publish(&self->producer, 1);
	EXPECT_EQ(0, port_notify(&self->producer, 1));
	EXPECT_EQ(RINGQ_EVENT_READY, result(&self->iou));
	EXPECT_EQ(1, consume(&self->consumer, 1));
	EXPECT_EQ(0, port_kick(&self->producer, 1));
	ASSERT_TRUE(begin(&self->iou, sqe, variant->flags | IOSQE_FIXED_FILE, &self->producer));
	/* It is still pending when all goes. */
}

/* Rings of messages through which both sides pass by commands alone: no wake-up is lost. */
#define MESSAGES	3000

struct receiver {
	pthread_t thread;
	struct port *port;
	unsigned int setup;
	__u8 flags;
	__u64 left;
	int err;
};

static void *receive_in_a_thread(void *arg)
{
	struct receiver *r = arg;
	struct iou iou;

	r->err = iou_open(&iou, r->setup);
	while (r->left && !r->err) {
		int n = consume(r->port, 1 + r->left % 3);

		if (n > 0) {
			r->left -= n;
			port_notify(r->port, n);
			continue;
		}
		n = n < 0 ? n : ask(&iou, wait_sqe(r->port, 1, 0), r->flags);
		if (n != RINGQ_EVENT_READY)
			r->err = n < 0 ? n : -EPROTO;
	}
	return NULL;
}

static __u64 room(const struct port *p)
{
	return p->geometry.capacity -
	       (p->pos - ringq_load_acquire(&page_of(p, RINGQ_CONSUMER)->progress.done));
}

/* Polls now and then, which arms for other needs than a command's. */
TEST_F_TIMEOUT(command, stream, 600)
{
	struct ringq_geometry g = geometry_of(8, 1);
	struct receiver receiver = {
		.setup = variant->setup, .flags = variant->flags, .left = MESSAGES,
	};
	unsigned int seed = 1;
	struct port p, q;
	struct ring r;
	int left;

	ASSERT_EQ(0, ring_create(&r, &g, ""));
	ASSERT_EQ(0, port_join(&p, &r, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&q, &r, RINGQ_CONSUMER));
	receiver.port = &q;
	ASSERT_EQ(0, pthread_create(&receiver.thread, NULL, receive_in_a_thread, &receiver));
	for (left = MESSAGES; left;) {
		volatile unsigned int pause = rand_r(&seed) % 3 ? 0 : rand_r(&seed) % 2000;
		__u64 need = 1 + rand_r(&seed) % 3;

		if (room(&p) < need) {
			ASSERT_EQ(RINGQ_EVENT_READY, ASK(wait_sqe(&p, need, 0)));
			continue;
		}
		publish(&p, 1);
		ASSERT_LE(0, port_notify(&p, 1));
		left--;
		if (!(left % 4))
			port_poll(&q, 0);
		while (pause)
			pause--;
	}
	pthread_join(receiver.thread, NULL);
	EXPECT_EQ(0, receiver.err);
	EXPECT_EQ(0, receiver.left);
}

/* A thread that kicks and cancels, and polls, without end. */
struct pest {
	pthread_t thread;
	struct port *from, *at;
	bool stop;
	int err;
};

static void *pester(void *arg)
{
	struct pest *p = arg;
	unsigned int seed = 1;
	struct iou iou;

	p->err = iou_open(&iou, 0);
	while (!p->err && !__atomic_load_n(&p->stop, __ATOMIC_RELAXED)) {
		int n = 0;

		switch (rand_r(&seed) % 4) {
		case 0:
			n = ask(&iou, cancel_sqe(p->at), 0);
			break;
		case 1:
			n = port_poll(p->at, 0);
			break;
		default:
			n = port_kick(p->from, 1);
		}
		if (n < 0 && n != -ENOENT)
			p->err = n;
	}
	return NULL;
}

/* Each command is done once, whoever ends it; the thread that waits runs what is left to it. */
TEST_F_TIMEOUT(command, pestered, 300)
{
	struct pest p = { .from = &self->producer, .at = &self->consumer };
	int i, n;

	ASSERT_EQ(0, pthread_create(&p.thread, NULL, pester, &p));
	for (i = 0; i < 500; i++) {
		n = ASK(wait_sqe(&self->consumer, 1, 0));
		ASSERT_EQ(-ECANCELED, n);
	}
	/* And the ring of io_uring goes in the middle of it. */
	for (i = 0; i < 30 && may_close(variant->setup); i++) {
		struct io_uring_sqe sqe = wait_sqe(&self->consumer, 1, 0);

		sqe.flags = variant->flags;
		ASSERT_EQ(0, iou_submit(&self->iou, &sqe));
		if (i % 2)
			sched_yield();
		iou_close(&self->iou);
		ASSERT_EQ(0, iou_open(&self->iou, variant->setup));
	}
	__atomic_store_n(&p.stop, true, __ATOMIC_RELAXED);
	pthread_join(p.thread, NULL);
	EXPECT_EQ(0, p.err);
	publish(&self->producer, 1);
	EXPECT_TRUE(soon(is_free(&self->consumer)));
}

#define main run_all_of_it
TEST_HARNESS_MAIN
#undef main

int main(int argc, char **argv)
{
	char *offered[] = { argv[0], "-t", "offered", NULL };

	return has_commands() ? run_all_of_it(argc, argv) : run_all_of_it(3, offered);
}
