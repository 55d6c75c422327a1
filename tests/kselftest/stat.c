// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who sits where and holds what (RINGQ_IOC_PORT), and which rings have names (RINGQ_IOC_LIST): what
 * the module says of ports whose words are known, and to whom.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "common.h"

#include <ringq/claim.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

#define WAIT (RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT)

static int stat_of(int fd, __u32 role, __u32 index, struct ringq_ioc_port *s)
{
	*s = (struct ringq_ioc_port){ .size = sizeof(*s), .role = role, .port = index };
	return call(fd, RINGQ_IOC_PORT, s);
}

/* Of a place that is there; a state that does not exist if the call fails. */
static struct ringq_ioc_port seat(const struct ring *r, __u32 role, __u32 index)
{
	struct ringq_ioc_port s;

	if (stat_of(r->fd, role, index, &s))
		s.state = ~0u;
	return s;
}

static __u64 now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void claim(struct port *p, __u32 state, __u64 n, __u64 pos)
{
	ringq_store_release(&p->page->claim, RINGQ_CLAIM(state, n, pos));
}

#define EXPECT_HOLDS(s, n, at)				\
	do {						\
		EXPECT_EQ(n, (s).held);			\
		EXPECT_EQ(at, (s).held_at);		\
	} while (0)

FIXTURE(stat) {
	struct ring ring;
	struct port out, in;
};

/* Of which the tests that need no other make use. */
FIXTURE_SETUP(stat)
{
	struct ringq_geometry g = geometry_of(8, 16);

	g.flags = WAIT;
	ASSERT_EQ(0, ring_create(&self->ring, &g, "spsc"));
	ASSERT_EQ(0, port_join(&self->out, &self->ring, RINGQ_PRODUCER));
}

FIXTURE_TEARDOWN_PARENT(stat)
{
	EXPECT_NOTHING_LEFT();
}

TEST_F(stat, a_life)
{
	struct ringq_ioc_port s = seat(&self->ring, RINGQ_CONSUMER, 0);
	__u64 before = now();

	EXPECT_EQ(RINGQ_PORT_FREE, s.state);
	EXPECT_EQ(0, s.generation);
	EXPECT_EQ(0, s.pid);
	EXPECT_EQ(0, s.attached_ns);

	ASSERT_EQ(0, port_join(&self->in, &self->ring, RINGQ_CONSUMER));
	s = seat(&self->ring, RINGQ_CONSUMER, 0);
	EXPECT_EQ(RINGQ_PORT_LIVE, s.state);
	EXPECT_EQ(1, s.generation);
	EXPECT_EQ(getpid(), s.pid);
	EXPECT_LE(before, s.attached_ns);
	EXPECT_LE(s.attached_ns, now());
	EXPECT_EQ(RINGQ_NO_LANE, s.lane);

	EXPECT_EQ(0, port_leave(&self->in));
	EXPECT_EQ(RINGQ_PORT_LEFT, seat(&self->ring, RINGQ_CONSUMER, 0).state);
	ASSERT_EQ(0, port_join(&self->in, &self->ring, RINGQ_CONSUMER));
	EXPECT_EQ(2, seat(&self->ring, RINGQ_CONSUMER, 0).generation);
	port_unmap(&self->in);
	s = seat(&self->ring, RINGQ_CONSUMER, 0);
	EXPECT_EQ(RINGQ_PORT_DEAD, s.state);
	EXPECT_EQ(2, s.generation);
	EXPECT_EQ(getpid(), s.pid);
}

/* A reader in order holds what it was shown and has not released. */
TEST_F(stat, in_order)
{
	struct ringq_ioc_port s;

	ASSERT_EQ(0, port_join(&self->in, &self->ring, RINGQ_CONSUMER));
	publish(&self->out, 5);
	/* It stores its position now and then only: the stamps tell. */
	self->out.page->progress.done = 1;
	self->in.page->progress.done = 1;
	self->in.page->progress.taken = 3;
	s = seat(&self->ring, RINGQ_CONSUMER, 0);
	EXPECT_HOLDS(s, 2, 1);
	EXPECT_EQ(1, s.position);
	EXPECT_EQ(4, s.waiting);
	s = seat(&self->ring, RINGQ_PRODUCER, 0);
	EXPECT_HOLDS(s, 0, 0);
	EXPECT_EQ(5, s.position);
	EXPECT_EQ(4, s.waiting);
	/* What the dead held is a successor's. */
	port_unmap(&self->in);
	s = seat(&self->ring, RINGQ_CONSUMER, 0);
	EXPECT_HOLDS(s, 0, 0);
	EXPECT_EQ(2, s.redelivered);
}

/* Claims count as long as the stamps, or done, do not say that they are stale. */
TEST_F(stat, claims)
{
	struct ringq_geometry g = geometry_many(RINGQ_MPMC, 8, 8);
	struct ringq_ioc_port s;
	struct ring ring;
	struct port out, in;

	ASSERT_EQ(0, ring_create(&ring, &g, ""));
	ASSERT_EQ(0, port_join(&out, &ring, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&in, &ring, RINGQ_CONSUMER));
	out.side->index = 4;
	claim(&out, RINGQ_OWN, 3, 1);
	s = seat(&ring, RINGQ_PRODUCER, 0);
	EXPECT_EQ(RINGQ_OWN, s.claim);
	EXPECT_HOLDS(s, 3, 1);
	EXPECT_EQ(4, s.waiting);
	*stamp_of(&out, 1) = RINGQ_STAMP(1, RINGQ_FULL);
	EXPECT_HOLDS(seat(&ring, RINGQ_PRODUCER, 0), 2, 2);
	*stamp_of(&out, 2) = RINGQ_STAMP(2, RINGQ_FULL);
	*stamp_of(&out, 3) = RINGQ_STAMP(3, RINGQ_TOMB);
	EXPECT_HOLDS(seat(&ring, RINGQ_PRODUCER, 0), 0, 0);
	claim(&out, RINGQ_TRY, 1, 4);
	s = seat(&ring, RINGQ_PRODUCER, 0);
	EXPECT_EQ(RINGQ_TRY, s.claim);
	EXPECT_EQ(4, s.position);
	EXPECT_HOLDS(s, 0, 0);
	claim(&out, RINGQ_IDLE, 0, 0);

	in.side->index = 4;
	claim(&in, RINGQ_OWN, 3, 1);
	EXPECT_HOLDS(seat(&ring, RINGQ_CONSUMER, 0), 3, 1);
	*stamp_of(&in, 1) = RINGQ_STAMP(9, RINGQ_FREE);
	EXPECT_HOLDS(seat(&ring, RINGQ_CONSUMER, 0), 2, 2);
	*stamp_of(&in, 2) = ringq_special(RINGQ_AGAIN, 0, 1, 2);
	EXPECT_HOLDS(seat(&ring, RINGQ_CONSUMER, 0), 2, 2);
	*stamp_of(&in, 2) = ringq_special(RINGQ_AGAIN, 0, 2, 2);
	EXPECT_HOLDS(seat(&ring, RINGQ_CONSUMER, 0), 1, 3);
	in.page->progress.done = 4;
	EXPECT_HOLDS(seat(&ring, RINGQ_CONSUMER, 0), 0, 0);
}

/* Dead, and what it left cannot be put in order while another is in the middle of a claim. */
TEST_F(stat, dying)
{
	struct ringq_geometry g = geometry_many(RINGQ_MPMC, 8, 8);
	struct ringq_ioc_port s;
	struct ring ring;
	struct port one, other;

	g.flags = WAIT;
	ASSERT_EQ(0, ring_create(&ring, &g, ""));
	ASSERT_EQ(0, port_join(&one, &ring, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&other, &ring, RINGQ_PRODUCER));
	one.side->index = 2;
	claim(&one, RINGQ_OWN, 2, 0);
	claim(&other, RINGQ_TRY, 1, 0);
	port_unmap(&one);
	s = seat(&ring, RINGQ_PRODUCER, 0);
	EXPECT_EQ(RINGQ_PORT_DYING, s.state);
	EXPECT_HOLDS(s, 2, 0);
	claim(&other, RINGQ_IDLE, 0, 0);
	EXPECT_TRUE(soon(seat(&ring, RINGQ_PRODUCER, 0).state == RINGQ_PORT_DEAD));
	s = seat(&ring, RINGQ_PRODUCER, 0);
	EXPECT_HOLDS(s, 0, 0);
	EXPECT_EQ(2, s.tombs);
	EXPECT_EQ(0, s.redelivered + s.dropped);
	ASSERT_EQ(0, port_join(&one, &ring, RINGQ_PRODUCER));
	EXPECT_EQ(0, seat(&ring, RINGQ_PRODUCER, 0).tombs);
}

TEST_F(stat, lanes)
{
	struct ringq_geometry g = geometry_many(RINGQ_LANES, 8, 8);
	struct ringq_lane *lane;
	struct ringq_ioc_port s;
	struct port out, in;
	struct ring ring;

	ASSERT_EQ(0, ring_create(&ring, &g, ""));
	ASSERT_EQ(0, port_join(&out, &ring, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&in, &ring, RINGQ_CONSUMER));
	publish(&out, 4);
	lane = (void *)((unsigned char *)in.side + in.layout.lanes -
			in.layout.sides[RINGQ_CONSUMER]);
	lane->progress.done = 1;
	lane->progress.taken = 3;
	s = seat(&ring, RINGQ_CONSUMER, 0);
	EXPECT_HOLDS(s, 0, 0);
	EXPECT_EQ(RINGQ_NO_LANE, s.lane);
	EXPECT_EQ(3, s.waiting);
	lane->owner = 1ull << 32 | 1;
	s = seat(&ring, RINGQ_CONSUMER, 0);
	EXPECT_HOLDS(s, 2, 1);
	EXPECT_EQ(0, s.lane);
	/* One of the same number, before. */
	lane->owner = 1;
	EXPECT_HOLDS(seat(&ring, RINGQ_CONSUMER, 0), 0, 0);
	s = seat(&ring, RINGQ_PRODUCER, 0);
	EXPECT_EQ(0, s.lane);
	EXPECT_EQ(4, s.position);
}

TEST_F(stat, kept)
{
	struct ringq_geometry g = geometry_many(RINGQ_GATED, 8, 8);
	struct ring ring;
	struct port in;

	g.flags = RINGQ_CONSUMER_WAIT;
	ASSERT_EQ(0, ring_create(&ring, &g, ""));
	ASSERT_EQ(0, port_join(&in, &ring, RINGQ_CONSUMER));
	EXPECT_EQ(0, seat(&ring, RINGQ_CONSUMER, 0).flags);
	/* A reader whose gate does not stand yet has been shown nothing. */
	in.page->progress.taken = 3;
	EXPECT_HOLDS(seat(&ring, RINGQ_CONSUMER, 0), 0, 0);
	claim(&in, RINGQ_OWN, 0, 0);
	EXPECT_HOLDS(seat(&ring, RINGQ_CONSUMER, 0), 3, 0);
	port_unmap(&in);
	EXPECT_EQ(RINGQ_IS_KEPT, seat(&ring, RINGQ_CONSUMER, 0).flags);
	EXPECT_EQ(0, seat(&ring, RINGQ_CONSUMER, 1).flags);
}

TEST_F(stat, sleeps_and_polls)
{
	struct peer sleeper;

	if (!peer_fork(&sleeper)) {
		ASSERT_EQ(0, port_join(&self->in, &self->ring, RINGQ_CONSUMER));
		port_wait(&self->in, 1, FOREVER, 0, NULL);
		_exit(1);
	}
	EXPECT_TRUE(soon(seat(&self->ring, RINGQ_CONSUMER, 0).flags == RINGQ_IS_ASLEEP));
	EXPECT_EQ(-SIGKILL, peer_kill(&sleeper));
	EXPECT_EQ(0, seat(&self->ring, RINGQ_CONSUMER, 0).flags);

	ASSERT_EQ(0, port_join(&self->in, &self->ring, RINGQ_CONSUMER));
	EXPECT_EQ(0, port_poll(&self->in, 0));
	EXPECT_EQ(RINGQ_IS_POLLED, seat(&self->ring, RINGQ_CONSUMER, 0).flags);
}

TEST_F(stat, no_such_place)
{
	struct ringq_ioc_port s;

	EXPECT_EQ(-EINVAL, stat_of(self->ring.fd, RINGQ_PRODUCER, 1, &s));
	EXPECT_EQ(-EINVAL, stat_of(self->ring.fd, RINGQ_CONSUMER, ~0u, &s));
	EXPECT_EQ(-EINVAL, stat_of(self->ring.fd, 2, 0, &s));
	EXPECT_EQ(-EINVAL, stat_of(self->ring.fd, ~0u, 0, &s));
}

/* A handle of one role tells of both; a port is for its process alone. */
TEST_F(stat, who_may_ask)
{
	struct ringq_ioc_port s;
	struct peer child;
	struct ring half;

	ASSERT_EQ(0, ring_open(&half, "spsc", -1, RINGQ_ROLE_MASK(RINGQ_CONSUMER)));
	EXPECT_EQ(0, stat_of(half.fd, RINGQ_PRODUCER, 0, &s));
	EXPECT_EQ(0, stat_of(self->out.fd, RINGQ_CONSUMER, 0, &s));
	if (!peer_fork(&child)) {
		ASSERT_EQ(-EPERM, stat_of(self->out.fd, RINGQ_PRODUCER, 0, &s));
		ASSERT_EQ(0, stat_of(half.fd, RINGQ_PRODUCER, 0, &s));
		ASSERT_EQ(getppid(), s.pid);
		_exit(0);
	}
	EXPECT_EQ(0, peer_end(&child));
	/* One that has left still is one of that ring. */
	ASSERT_EQ(0, call(self->out.fd, RINGQ_IOC_DETACH, NULL));
	EXPECT_EQ(0, stat_of(self->out.fd, RINGQ_PRODUCER, 0, &s));
	EXPECT_EQ(RINGQ_PORT_LEFT, s.state);
}

/* The first process of another pid namespace attaches, and looks at us. */
static int be_elsewhere(const struct ring *r)
{
	struct ringq_ioc_port s;
	struct port in;

	if (port_join(&in, r, RINGQ_CONSUMER))
		return 1;
	if (stat_of(r->fd, RINGQ_CONSUMER, 0, &s) || s.pid != 1)
		return 2;
	if (stat_of(r->fd, RINGQ_PRODUCER, 0, &s) || s.pid || s.state != RINGQ_PORT_LIVE)
		return 3;
	return 0;
}

TEST_F(stat, pid_namespaces)
{
	struct peer child;
	int status;
	pid_t pid;

	if (!peer_fork(&child)) {
		if (unshare(CLONE_NEWPID))
			_exit(10);
		pid = fork();
		if (!pid)
			_exit(be_elsewhere(&self->ring));
		peer_say(&child, pid);
		_exit(waitpid(pid, &status, 0) == pid && WIFEXITED(status) ?
		      WEXITSTATUS(status) : 11);
	}
	pid = peer_hear(&child);
	EXPECT_EQ(0, peer_end(&child));
	EXPECT_EQ(pid, seat(&self->ring, RINGQ_CONSUMER, 0).pid);
}

/* When it attached is told by the clock of who asks. */
static int be_later(const struct ring *r, __u64 offset)
{
	struct ringq_ioc_port s = seat(r, RINGQ_PRODUCER, 0);

	return s.attached_ns < offset || s.attached_ns > now();
}

TEST_F(stat, time_namespaces)
{
	static const char offset[] = "monotonic 1000000 0";
	struct peer child;
	int fd, status;
	pid_t pid;

	if (!peer_fork(&child)) {
		if (unshare(CLONE_NEWTIME))
			_exit(10);
		fd = open("/proc/self/timens_offsets", O_WRONLY);
		if (write(fd, offset, strlen(offset)) < 0)
			_exit(11);
		pid = fork();
		if (!pid)
			_exit(be_later(&self->ring, 1000000ull * 1000000000));
		_exit(waitpid(pid, &status, 0) == pid && WIFEXITED(status) ?
		      WEXITSTATUS(status) : 12);
	}
	EXPECT_EQ(0, peer_end(&child));
	EXPECT_GE(now(), seat(&self->ring, RINGQ_PRODUCER, 0).attached_ns);
}

/* The next name after one. */
static int list(const char *after, struct ringq_ioc_list *l)
{
	int fd = device(), err;

	*l = (struct ringq_ioc_list){ .size = sizeof(*l) };
	memcpy(l->name, after, strnlen(after, sizeof(l->name)));
	err = call(fd, RINGQ_IOC_LIST, l);
	close(fd);
	return err;
}

TEST_F(stat, names_in_order)
{
	struct ringq_geometry g = geometry_many(RINGQ_MPMC, 200, 8);
	struct ringq_ioc_list l;
	struct ring rings[3];

	ASSERT_EQ(0, ring_create(&rings[0], &g, "zz"));
	ASSERT_EQ(0, ring_create(&rings[1], &g, "a"));
	ASSERT_EQ(0, ring_create(&rings[2], &g, ""));
	EXPECT_EQ(0, list("", &l));
	EXPECT_STREQ("a", l.name);
	EXPECT_EQ(0, memcmp(&l.geometry, &rings[1].geometry, sizeof(l.geometry)));
	EXPECT_EQ(rings[1].layout.total, l.total);
	EXPECT_EQ(0, memcmp(l.id, rings[1].id, sizeof(l.id)));
	EXPECT_EQ(0, l.producers);
	EXPECT_EQ(RINGQ_ROLES_ALL, l.roles);
	EXPECT_EQ(0600, l.mode);
	EXPECT_EQ(getuid(), l.uid);
	EXPECT_EQ(0, list("a", &l));
	EXPECT_STREQ("spsc", l.name);
	EXPECT_EQ(1, l.producers);
	EXPECT_EQ(0, l.consumers);
	EXPECT_EQ(0, list("b", &l));
	EXPECT_STREQ("spsc", l.name);
	EXPECT_EQ(0, list("spsc", &l));
	EXPECT_STREQ("zz", l.name);
	EXPECT_EQ(-ENOENT, list("zz", &l));
	close(rings[1].fd);
	EXPECT_EQ(0, list("", &l));
	EXPECT_STREQ("spsc", l.name);
}

TEST_F(stat, names_of_others)
{
	struct ringq_ioc_list l;
	struct peer child;

	if (!peer_fork(&child)) {
		ASSERT_EQ(0, become(1000, 1000));
		ASSERT_EQ(0, list("", &l));
		ASSERT_STREQ("spsc", l.name);
		ASSERT_EQ(0, l.roles);
		ASSERT_EQ(0, l.uid);
		_exit(0);
	}
	EXPECT_EQ(0, peer_end(&child));
	if (!peer_fork(&child)) {
		ASSERT_EQ(0, unshare(CLONE_NEWNET));
		_exit(list("", &l) != -ENOENT);
	}
	EXPECT_EQ(0, peer_end(&child));
}

TEST_F(stat, names_that_cannot_be)
{
	struct ringq_ioc_list l;
	char name[RINGQ_NAME_SIZE + 1];

	memset(name, 'x', sizeof(name));
	EXPECT_EQ(-EINVAL, list("a/b", &l));
	EXPECT_EQ(-EINVAL, list("a\n", &l));
	EXPECT_EQ(-EINVAL, list(name, &l));
}

TEST_HARNESS_MAIN
