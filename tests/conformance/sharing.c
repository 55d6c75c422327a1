// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Between processes: streams through a ring that is found by its inherited descriptor, by
 * one passed over a socket, by name, and after exec; many handles and many rings at once.
 * Memory of one process cannot be shared: there the calls that would share it must say so,
 * and the streams go between threads.
 */
#include "conformance.h"
#include "../quiet.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct conf_way way = { .batch = 7, .wait = CONF_BLOCK };

static void receive_stream(struct ringq *ring, uint64_t size, uint64_t n)
{
	struct conf_ops ops = conf_ops(size, true);
	struct ringq_port port;

	EXPECT(ops.attach(ring, RINGQ_CONSUMER, &port), 0);
	EXPECT(conf_consume(&port, &ops, &way, 0, UINT64_MAX), n);
	ringq_detach(&port);
}

static void send_stream(struct ringq *ring, uint64_t size, uint64_t n)
{
	struct conf_ops ops = conf_ops(size, false);
	struct ringq_port port;

	EXPECT(ops.attach(ring, RINGQ_PRODUCER, &port), 0);
	conf_produce(&port, &ops, &way, 0, n);
	ringq_detach(&port);
}

struct stream {
	uint64_t size, n;
};

static void stream_receiver(struct ringq *ring, void *arg)
{
	const struct stream *s = arg;

	receive_stream(ring, s->size, s->n);
}

static void stream_sender(struct ringq *ring, void *arg)
{
	const struct stream *s = arg;

	send_stream(ring, s->size, s->n);
}

static uint64_t messages(uint64_t size)
{
	return conf_times(size < 1000 ? 200000 : 20000);
}

static void inherited(uint64_t size)
{
	struct stream s = { size, messages(size) };
	struct ringq *ring = conf_ring(size, 1000, 0);
	struct conf_peer *peer = conf_start(ring, stream_receiver, &s);

	send_stream(ring, size, s.n);
	conf_join(peer);
	ringq_leave(ring);

	/* Two children, and the parent only holds the ring. */
	ring = conf_ring(size, 100, 0);
	peer = conf_start(ring, stream_receiver, &s);
	conf_join(conf_start(ring, stream_sender, &s));
	conf_join(peer);
	ringq_leave(ring);
}

static void expect_no_descriptor(uint64_t size)
{
	struct ringq *ring = conf_ring(size, 10, 0);

	EXPECT(ringq_fd(ring), -EOPNOTSUPP);
	ringq_leave(ring);
	inherited(size);
}

struct passed {
	int sock;
	struct stream s;
};

static void receive_from_socket(struct ringq *none, void *arg)
{
	const struct passed *p = arg;
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct ringq *ring;
	int fd;

	(void)none;
	EXPECT(recvmsg(p->sock, &msg, 0), 1);
	CHECK(CMSG_FIRSTHDR(&msg), "no descriptor came");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	EXPECT(ringq_join_fd(fd, NULL, &ring), 0);
	/* It stays the caller's, who needs it no more. */
	EXPECT(close(fd), 0);
	receive_stream(ring, p->s.size, p->s.n);
	ringq_leave(ring);
}

static void pass(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(fd))] = { 0 };
	struct iovec iov = { "", 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	EXPECT(sendmsg(sock, &msg, 0), 1);
}

static void over_a_socket(uint64_t size)
{
	struct passed p = { .s = { size, messages(size) } };
	struct conf_peer *peer;
	struct ringq *ring;
	int socks[2];

	if (!conf.processes) {
		expect_no_descriptor(size);
		return;
	}
	EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks), 0);
	p.sock = socks[1];
	/* The ring is made after the fork, so that nothing of it is inherited. */
	peer = conf_fork(receive_from_socket, &p);
	ring = conf_ring(size, 1000, 0);
	pass(socks[0], ringq_fd(ring));
	send_stream(ring, size, p.s.n);
	conf_join(peer);
	ringq_leave(ring);
	close(socks[0]);
	close(socks[1]);
}

struct named {
	const char *name;
	struct stream s;
};

static void receive_by_name(struct ringq *none, void *arg)
{
	const struct named *n = arg;
	struct ringq_opts opts = { .size = sizeof(opts), .memory = conf.memory, .name = n->name };
	struct ringq *ring;

	(void)none;
	EXPECT(ringq_join(&opts, &ring), 0);
	receive_stream(ring, n->s.size, n->s.n);
	ringq_leave(ring);
}

static void by_name(uint64_t size)
{
	struct named n = { .name = conf_name("stream"), .s = { size, messages(size) } };
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = conf.memory, .name = n.name,
		.elem_size = size, .capacity = 1000,
	};
	struct conf_peer *peer;
	struct ringq *ring;

	if (!conf.processes) {
		EXPECT(ringq_create(&opts, &ring), -EINVAL);
		inherited(size);
		return;
	}
	EXPECT(ringq_create(&opts, &ring), 0);
	peer = conf_fork(receive_by_name, &n);
	send_stream(ring, size, n.s.n);
	conf_join(peer);
	ringq_leave(ring);
}

/* Runs in the exec'ed program, which knows of the ring only by its descriptor. */
void conf_inherited(int fd)
{
	struct ringq *ring;

	EXPECT(ringq_join_fd(fd, NULL, &ring), 0);
	receive_stream(ring, 8, 1000);
	ringq_leave(ring);
}

static void after_exec(uint64_t size)
{
	struct ringq *ring;
	int fd, status = 0;
	char number[16];
	pid_t pid;

	if (!conf.processes) {
		expect_no_descriptor(size);
		return;
	}
	ring = conf_ring(size, 100, 0);
	fd = ringq_fd(ring);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC, "the descriptor would leak into what is exec'ed");
	quiet();
	pid = fork();
	if (pid == 0) {
		fcntl(fd, F_SETFD, 0);
		snprintf(number, sizeof(number), "%d", fd);
		execl("/proc/self/exe", "conformance", "--inherited", number, NULL);
		_exit(127);
	}
	send_stream(ring, size, 1000);
	waitpid(pid, &status, 0);
	CHECK(WIFEXITED(status) && !WEXITSTATUS(status), "the exec'ed program failed: %d", status);
	ringq_leave(ring);
}

/* A second handle in the same process is a member like any other. */
static void two_handles(uint64_t size)
{
	struct ringq_port out, in, other;
	struct ringq *ring, *again;

	if (!conf.processes) {
		expect_no_descriptor(size);
		return;
	}
	ring = conf_ring(size, 20, 0);
	EXPECT(ringq_join_fd(ringq_fd(ring), NULL, &again), 0);
	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	EXPECT(ringq_attach(again, RINGQ_PRODUCER, &other), -EBUSY);
	EXPECT(ringq_attach(again, RINGQ_CONSUMER, &in), 0);
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &other), -EBUSY);
	conf_send_range(&out, 0, 10);
	/* What one handle sent stays when it leaves. */
	ringq_detach(&out);
	ringq_leave(ring);
	conf_recv_range(&in, 0, 10);
	EXPECT(conf_recv_seq(&in, 10), 0);
	ringq_detach(&in);
	ringq_leave(again);
}

/* Rings come and go in one process while others stay in use. */
static void many_rings(uint64_t size)
{
	struct stream s = { size, messages(size) };
	uint64_t rounds = conf_times(200), i, seq = 0;
	struct ringq *stays = conf_ring(size, 1000, 0), *ring[8] = { NULL };
	struct conf_peer *peer = conf_start(stays, stream_receiver, &s), *sender;
	struct ringq_port out[8], in[8];
	unsigned int at;

	sender = conf_start(stays, stream_sender, &s);
	for (i = 0; i < rounds; i++) {
		at = i % COUNT(ring);
		if (ring[at]) {
			conf_recv_range(&in[at], seq - COUNT(ring), seq - COUNT(ring) + 3);
			ringq_detach(&in[at]);
			ringq_detach(&out[at]);
			ringq_leave(ring[at]);
		}
		ring[at] = conf_ring(size, 20, 0);
		EXPECT(ringq_attach(ring[at], RINGQ_PRODUCER, &out[at]), 0);
		EXPECT(ringq_attach(ring[at], RINGQ_CONSUMER, &in[at]), 0);
		conf_send_range(&out[at], seq, seq + 3);
		seq++;
	}
	for (at = 0; at < COUNT(ring); at++) {
		if (!ring[at])
			continue;
		ringq_detach(&in[at]);
		ringq_detach(&out[at]);
		ringq_leave(ring[at]);
	}
	conf_join(sender);
	conf_join(peer);
	ringq_leave(stays);
}

const struct conf_case conf_sharing[] = {
	{ "inherited-8", inherited, 8, 0 },
	{ "inherited-56", inherited, 56, 0 },
	{ "inherited-1264", inherited, 1264, 0 },
	{ "over-a-socket-8", over_a_socket, 8, 0 },
	{ "over-a-socket-1264", over_a_socket, 1264, 0 },
	{ "by-name-8", by_name, 8, 0 },
	{ "by-name-248", by_name, 248, 0 },
	{ "after-exec", after_exec, 8, 0 },
	{ "two-handles", two_handles, 8, 0 },
	{ "many-rings", many_rings, 8, 0 },
	{ 0 }
};
