// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who has died, as the module tells it: read(2) and EPOLLPRI on a port, what is counted, and what
 * is dropped if the ring says so. In a ring whose ports claim, which are buried later, and in one
 * of the others, where it is done at once.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "common.h"
#include "iou.h"

#include <ringq/claim.h>

#define CAPACITY 8
#define WAIT (RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT)

/* Not in the fixture, which a test shares with its children. */
static struct peer victim;

FIXTURE(deaths) {
	struct ring ring;
	struct port out, in;
};

FIXTURE_VARIANT(deaths) {
	__u32 discipline;
};

FIXTURE_VARIANT_ADD(deaths, at_once) {
	.discipline = RINGQ_GATED,
};

FIXTURE_VARIANT_ADD(deaths, repaired) {
	.discipline = RINGQ_MPMC,
};

static int nonblock(const struct port *p, bool on)
{
	return fcntl(p->fd, F_SETFL, on ? O_NONBLOCK : 0);
}

FIXTURE_SETUP(deaths)
{
	struct ringq_geometry g = geometry_many(variant->discipline, 200, CAPACITY);

	g.flags = WAIT;
	ASSERT_EQ(0, ring_create(&self->ring, &g, "deaths"));
	ASSERT_EQ(0, port_join(&self->out, &self->ring, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&self->in, &self->ring, RINGQ_CONSUMER));
	ASSERT_EQ(0, nonblock(&self->out, true));
	ASSERT_EQ(0, nonblock(&self->in, true));
}

FIXTURE_TEARDOWN_PARENT(deaths)
{
	EXPECT_NOTHING_LEFT();
}

/* A process with a port. Returns 1 when it is there; in the process itself, 0. */
static int victim_start(const struct ring *ring, struct port *p, __u32 role)
{
	if (peer_fork(&victim))
		return peer_hear(&victim);
	if (port_join(p, ring, role))
		_exit(100);
	peer_say(&victim, 1);
	return 0;
}

/* One comes and dies; its pid. */
static pid_t one_dies(const struct ring *ring, __u32 role)
{
	struct port p;

	if (!victim_start(ring, &p, role))
		pause();
	return peer_kill(&victim) == -SIGKILL ? victim.pid : -1;
}

/* Up to n deaths: bytes, or the error. */
static int read_deaths(const struct port *p, struct ringq_death *d, size_t n)
{
	ssize_t r = read(p->fd, d, n * sizeof(*d));

	return r < 0 ? -errno : r;
}

/* The next death, which may not be told yet. */
static int next_death(const struct port *p, struct ringq_death *d)
{
	int r;

	memset(d, 0xff, sizeof(*d));
	soon((r = read_deaths(p, d, 1)) != -EAGAIN);
	return r;
}

/* Whether a port polls with POLLPRI. */
static int pri(const struct port *p, int timeout_ms)
{
	struct pollfd pfd = { .fd = p->fd, .events = POLLPRI };

	return poll(&pfd, 1, timeout_ms) == 1 && pfd.revents == POLLPRI;
}

TEST_F(deaths, what_is_told)
{
	struct ringq_death d;
	struct timespec now;
	pid_t pid;

	EXPECT_EQ(-EAGAIN, read_deaths(&self->in, &d, 1));
	pid = one_dies(&self->ring, RINGQ_CONSUMER);
	ASSERT_EQ(sizeof(d), next_death(&self->in, &d));
	EXPECT_EQ(1, d.serial);
	EXPECT_EQ(RINGQ_CONSUMER, d.role);
	EXPECT_EQ(1, d.port);
	EXPECT_EQ(1, d.generation);
	EXPECT_EQ(pid, d.pid);
	EXPECT_EQ(0, d.tombs + d.redelivered + d.dropped + d.reserved);
	clock_gettime(CLOCK_MONOTONIC, &now);
	EXPECT_LT(0, d.time_ns);
	EXPECT_LE(d.time_ns, now.tv_sec * 1000000000ull + now.tv_nsec);
	EXPECT_EQ(-EAGAIN, read_deaths(&self->in, &d, 1));

	/* The next in its place is another generation; who came later is told nothing else. */
	pid = one_dies(&self->ring, RINGQ_CONSUMER);
	ASSERT_EQ(sizeof(d), next_death(&self->in, &d));
	EXPECT_EQ(2, d.serial);
	EXPECT_EQ(2, d.generation);
	EXPECT_EQ(pid, d.pid);
}

TEST_F(deaths, leaving_is_not_dying)
{
	struct ringq_death d;
	struct port p;

	if (!victim_start(&self->ring, &p, RINGQ_CONSUMER)) {
		port_leave(&p);
		_exit(0);
	}
	EXPECT_EQ(0, peer_end(&victim));
	ASSERT_EQ(0, port_attach(&p, &self->ring, RINGQ_CONSUMER));
	close(p.fd);
	EXPECT_EQ(-EAGAIN, read_deaths(&self->in, &d, 1));
	EXPECT_FALSE(pri(&self->in, 20));
}

/* Each port is told by itself, of all since it attached. */
TEST_F(deaths, several_readers)
{
	struct ringq_death d, e;
	struct port late;

	one_dies(&self->ring, RINGQ_CONSUMER);
	ASSERT_EQ(sizeof(d), next_death(&self->in, &d));
	ASSERT_EQ(0, port_join(&late, &self->ring, RINGQ_CONSUMER));
	nonblock(&late, true);
	EXPECT_FALSE(pri(&late, 0));
	EXPECT_EQ(-EAGAIN, read_deaths(&late, &e, 1));
	ASSERT_EQ(sizeof(e), next_death(&self->out, &e));
	EXPECT_EQ(0, memcmp(&d, &e, sizeof(d)));
	one_dies(&self->ring, RINGQ_CONSUMER);
	ASSERT_EQ(sizeof(d), next_death(&late, &d));
	EXPECT_EQ(2, d.serial);
	ASSERT_EQ(sizeof(d), next_death(&self->in, &d));
	EXPECT_EQ(2, d.serial);
}

TEST_F(deaths, buffers)
{
	struct ringq_death d[3];
	char *edge;

	EXPECT_EQ(-EINVAL, read_deaths(&self->in, d, 0));
	EXPECT_EQ(-1, read(self->in.fd, d, sizeof(*d) - 1));
	EXPECT_EQ(EINVAL, errno);
	one_dies(&self->ring, RINGQ_CONSUMER);
	one_dies(&self->ring, RINGQ_CONSUMER);
	one_dies(&self->ring, RINGQ_CONSUMER);
	EXPECT_TRUE(soon(attention_of(&self->in)->live[RINGQ_CONSUMER][0] == 1));
	EXPECT_EQ(-1, read(self->in.fd, d, sizeof(*d) - 1));
	EXPECT_EQ(EINVAL, errno);

	/* What cannot be stored is not told. */
	edge = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, edge);
	ASSERT_EQ(0, munmap(edge + PAGE, PAGE));
	EXPECT_EQ(-1, read(self->in.fd, edge + PAGE, sizeof(d)));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(sizeof(*d), read(self->in.fd, edge + PAGE - 100, sizeof(d)));
	memcpy(d, edge + PAGE - 100, sizeof(*d));
	EXPECT_EQ(1, d->serial);

	EXPECT_EQ(2 * sizeof(*d), read(self->in.fd, d, sizeof(d) - 1));
	EXPECT_EQ(2, d[0].serial);
	EXPECT_EQ(3, d[1].serial);
}

TEST_F(deaths, more_than_are_remembered)
{
	struct ringq_death d[RINGQ_DEATHS + 2];
	int i;

	for (i = 0; i < RINGQ_DEATHS + 2; i++)
		ASSERT_LT(0, one_dies(&self->ring, RINGQ_CONSUMER));
	EXPECT_TRUE(soon(attention_of(&self->in)->live[RINGQ_CONSUMER][0] == 1));
	EXPECT_EQ(RINGQ_DEATHS * sizeof(*d), read_deaths(&self->in, d, RINGQ_DEATHS + 2));
	for (i = 0; i < RINGQ_DEATHS; i++)
		EXPECT_EQ(i + 3, d[i].serial);
	EXPECT_EQ(-EAGAIN, read_deaths(&self->in, d, 1));
}

TEST_F(deaths, who_may_read)
{
	struct ringq_death d;
	struct peer child;
	int fd;

	one_dies(&self->ring, RINGQ_CONSUMER);
	EXPECT_TRUE(soon(pri(&self->in, 0)));
	fd = device();
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, read(fd, &d, sizeof(d)));
	EXPECT_EQ(EBADFD, errno);
	EXPECT_EQ(-1, read(self->ring.fd, &d, sizeof(d)));
	EXPECT_EQ(EBADFD, errno);
	fd = open("/dev/ringq", O_WRONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, read(fd, &d, sizeof(d)));
	EXPECT_EQ(EBADF, errno);
	if (!peer_fork(&child))
		_exit(-read_deaths(&self->in, &d, 1));
	EXPECT_EQ(EPERM, peer_end(&child));
	EXPECT_EQ(0, call(self->in.fd, RINGQ_IOC_DETACH, NULL));
	EXPECT_EQ(-ESTALE, read_deaths(&self->in, &d, 1));
	EXPECT_EQ(POLLERR, port_poll(&self->in, 0));
}

struct sleeper {
	struct port *port;
	struct ringq_death death;
	pid_t tid;
	int result;
};

static void *sleep_on(void *arg)
{
	struct sleeper *s = arg;

	__atomic_store_n(&s->tid, gettid(), __ATOMIC_RELEASE);
	s->result = read_deaths(s->port, &s->death, 1);
	return NULL;
}

static void ignore(int signal)
{
}

/* One thread that sleeps in read(2) on the consumer. */
#define START_SLEEPER(s, thread)							\
	do {										\
		nonblock(&self->in, false);						\
		(s) = (struct sleeper){ .port = &self->in };				\
		ASSERT_EQ(0, pthread_create(&(thread), NULL, sleep_on, &(s)));		\
		EXPECT_TRUE(soon((s).tid && sleeps_in((s).tid, SYS_read)));		\
	} while (0)

TEST_F(deaths, sleeps_until_a_death)
{
	pthread_t thread;
	struct sleeper s;
	pid_t pid;

	START_SLEEPER(s, thread);
	/* What wakes others is nothing to it. */
	publish(&self->out, 1);
	port_kick(&self->out, 1);
	EXPECT_FALSE(pri(&self->in, 20));
	EXPECT_TRUE(sleeps_in(s.tid, SYS_read));
	pid = one_dies(&self->ring, RINGQ_CONSUMER);
	pthread_join(thread, NULL);
	EXPECT_EQ(sizeof(s.death), s.result);
	EXPECT_EQ(pid, s.death.pid);
}

TEST_F(deaths, sleeps_until_the_port_is_over)
{
	pthread_t thread;
	struct sleeper s;

	START_SLEEPER(s, thread);
	EXPECT_EQ(0, call(self->in.fd, RINGQ_IOC_DETACH, NULL));
	pthread_join(thread, NULL);
	EXPECT_EQ(-ESTALE, s.result);
}

TEST_F(deaths, sleeps_until_a_signal)
{
	struct sigaction sa = { .sa_handler = ignore };
	pthread_t thread;
	struct sleeper s;

	sigaction(SIGUSR1, &sa, NULL);
	START_SLEEPER(s, thread);
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	EXPECT_EQ(-EINTR, s.result);
	/* Restarted. */
	sa.sa_flags = SA_RESTART;
	sigaction(SIGUSR1, &sa, NULL);
	START_SLEEPER(s, thread);
	pthread_kill(thread, SIGUSR1);
	EXPECT_TRUE(soon(sleeps_in(s.tid, SYS_read)));
	one_dies(&self->ring, RINGQ_CONSUMER);
	pthread_join(thread, NULL);
	EXPECT_EQ(sizeof(s.death), s.result);
}

/* Of two threads that read one port each death comes to one. */
TEST_F(deaths, two_threads)
{
	struct sleeper s[2];
	pthread_t thread[2];

	START_SLEEPER(s[0], thread[0]);
	START_SLEEPER(s[1], thread[1]);
	one_dies(&self->ring, RINGQ_CONSUMER);
	one_dies(&self->ring, RINGQ_CONSUMER);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	EXPECT_EQ(sizeof(struct ringq_death), s[0].result);
	EXPECT_EQ(sizeof(struct ringq_death), s[1].result);
	EXPECT_EQ(3, s[0].death.serial + s[1].death.serial);
}

TEST_F(deaths, module_stays_while_somebody_sleeps)
{
	pthread_t thread;
	struct sleeper s;

	START_SLEEPER(s, thread);
	EXPECT_EQ(-1, syscall(SYS_delete_module, "ringq", O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
	EXPECT_EQ(0, call(self->in.fd, RINGQ_IOC_DETACH, NULL));
	pthread_join(thread, NULL);
}

/* As long as there is one to be read; and the port is armed for messages all the same. */
TEST_F(deaths, level)
{
	struct ringq_death d;

	EXPECT_FALSE(pri(&self->in, 0));
	one_dies(&self->ring, RINGQ_CONSUMER);
	EXPECT_TRUE(pri(&self->in, GRACE_MS));
	EXPECT_TRUE(pri(&self->in, 0));
	EXPECT_EQ(0, port_poll(&self->in, 0));
	EXPECT_TRUE(attention(&self->out) & RINGQ_ARMED);
	publish(&self->out, 1);
	EXPECT_LE(0, port_notify(&self->out, 1));
	EXPECT_EQ(POLLIN | POLLRDNORM, port_poll(&self->in, GRACE_MS));
	ASSERT_EQ(sizeof(d), next_death(&self->in, &d));
	EXPECT_FALSE(pri(&self->in, 0));
	EXPECT_TRUE(pri(&self->out, 0));
}

TEST_F(deaths, edges)
{
	struct epoll_event e = { .events = EPOLLPRI | EPOLLET };
	int fd = epoll_create1(0);

	ASSERT_EQ(0, epoll_ctl(fd, EPOLL_CTL_ADD, self->in.fd, &e));
	EXPECT_EQ(0, epoll_wait(fd, &e, 1, 20));
	one_dies(&self->ring, RINGQ_CONSUMER);
	ASSERT_EQ(1, epoll_wait(fd, &e, 1, GRACE_MS));
	EXPECT_EQ(EPOLLPRI, e.events);
	/* Nobody has read it, and yet there is no other edge but those of the burial. */
	while (epoll_wait(fd, &e, 1, 100) == 1)
		;
	one_dies(&self->ring, RINGQ_CONSUMER);
	ASSERT_EQ(1, epoll_wait(fd, &e, 1, GRACE_MS));
	EXPECT_EQ(EPOLLPRI, e.events);
}

TEST_F(deaths, multishot_poll)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_POLL_ADD,
		.fd = self->in.fd,
		.poll32_events = POLLPRI,
		.len = IORING_POLL_ADD_MULTI,
	};
	struct io_uring_cqe cqe;
	struct ringq_death d;
	struct iou iou;
	int i;

	ASSERT_EQ(0, iou_open(&iou, 0));
	ASSERT_EQ(0, iou_submit(&iou, &sqe));
	for (i = 1; i < 4; i++) {
		one_dies(&self->ring, RINGQ_CONSUMER);
		do {
			ASSERT_EQ(0, iou_wait(&iou, &cqe));
			EXPECT_TRUE(cqe.flags & IORING_CQE_F_MORE);
		} while (read_deaths(&self->in, &d, 1) != sizeof(d));
		EXPECT_EQ(i, d.serial);
	}
	iou_close(&iou);
}

/* Somebody else's processes are told by the numbers that the reader knows, or by none. */
TEST_F(deaths, pid_namespaces)
{
	struct ringq_death d;
	struct peer child;
	struct port p;
	pid_t inner;

	/* A victim in a namespace of its own; its parent there knows it as we do. */
	if (!peer_fork(&child)) {
		if (unshare(CLONE_NEWPID) < 0)
			_exit(1);
		inner = fork();
		if (!inner) {
			if (getpid() != 1 || port_join(&p, &self->ring, RINGQ_CONSUMER))
				_exit(2);
			peer_say(&child, 0);
			pause();
		}
		peer_say(&child, inner);
		waitpid(inner, NULL, 0);
		_exit(0);
	}
	inner = peer_hear(&child);
	if (!inner)
		inner = peer_hear(&child);
	else
		ASSERT_EQ(0, peer_hear(&child));
	ASSERT_LT(0, inner);
	kill(inner, SIGKILL);
	EXPECT_EQ(0, peer_end(&child));
	ASSERT_EQ(sizeof(d), next_death(&self->in, &d));
	EXPECT_EQ(inner, d.pid);

	/* A reader there does not see who dies here. */
	if (!peer_fork(&child)) {
		if (unshare(CLONE_NEWPID) < 0)
			_exit(1);
		inner = fork();
		if (!inner) {
			if (port_join(&p, &self->ring, RINGQ_CONSUMER))
				_exit(2);
			peer_say(&child, 1);
			_exit(read_deaths(&p, &d, 1) == sizeof(d) && d.serial == 2 &&
			      d.pid == 0 ? 0 : 3);
		}
		waitpid(inner, &inner, 0);
		_exit(WEXITSTATUS(inner));
	}
	ASSERT_EQ(1, peer_hear(&child));
	one_dies(&self->ring, RINGQ_CONSUMER);
	EXPECT_EQ(0, peer_end(&child));
}

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

/* When it died is told by the clock of who reads. */
TEST_F(deaths, time_namespaces)
{
	static const char offset[] = "monotonic 1000000 0";
	struct ringq_death d;
	struct peer child;
	struct timespec t;
	struct port p;
	pid_t inner;
	int fd;

	if (!peer_fork(&child)) {
		if (unshare(CLONE_NEWTIME) < 0)
			_exit(1);
		fd = open("/proc/self/timens_offsets", O_WRONLY);
		if (write(fd, offset, strlen(offset)) < 0)
			_exit(2);
		inner = fork();
		if (!inner) {
			if (port_join(&p, &self->ring, RINGQ_CONSUMER))
				_exit(3);
			peer_say(&child, 1);
			if (read_deaths(&p, &d, 1) != sizeof(d))
				_exit(4);
			clock_gettime(CLOCK_MONOTONIC, &t);
			_exit(d.time_ns > 1000000ull * 1000000000 &&
			      d.time_ns <= t.tv_sec * 1000000000ull + t.tv_nsec ? 0 : 5);
		}
		waitpid(inner, &inner, 0);
		_exit(WEXITSTATUS(inner));
	}
	ASSERT_EQ(1, peer_hear(&child));
	one_dies(&self->ring, RINGQ_CONSUMER);
	EXPECT_EQ(0, peer_end(&child));
}

static int file_has(const char *path, const char *text)
{
	static char all[1 << 16];
	int fd = open(path, O_RDONLY);
	ssize_t n = 0, r = 1;

	if (fd < 0)
		return -errno;
	while (r > 0 && n < (ssize_t)sizeof(all) - 1) {
		r = read(fd, all + n, sizeof(all) - 1 - n);
		n += r > 0 ? r : 0;
	}
	close(fd);
	all[n] = 0;
	return !!strstr(all, text);
}

static int file_put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC), r;

	if (fd < 0)
		return -errno;
	r = write(fd, text, strlen(text));
	close(fd);
	return r < 0 ? -errno : 0;
}

#define TRACING "/tmp/tracing"

TEST_F(deaths, tracepoint)
{
	char line[100];
	pid_t pid;

	mkdir(TRACING, 0700);
	if (mount("tracefs", TRACING, "tracefs", 0, NULL) < 0 && errno == ENODEV)
		SKIP(return, "this kernel has no tracefs");
	ASSERT_EQ(0, file_put(TRACING "/trace", ""));
	ASSERT_EQ(0, file_put(TRACING "/events/ringq/ringq_death/enable", "1"));
	pid = one_dies(&self->ring, RINGQ_CONSUMER);
	EXPECT_TRUE(soon(pri(&self->in, 0)));
	ASSERT_EQ(0, file_put(TRACING "/events/ringq/ringq_death/enable", "0"));
	snprintf(line, sizeof(line), "name=deaths serial=1 consumer=1 generation=1 pid=%d tombs=0",
		 pid);
	EXPECT_EQ(1, file_has(TRACING "/trace", line));
	umount(TRACING);
}

/* What a consumer had in hand, in rings of each kind in which its successor goes by its words. */
FIXTURE(hands) {
	struct ring ring;
	struct port out;
};

FIXTURE_VARIANT(hands) {
	__u32 discipline;
	__u32 consumers;	/* 0: as many as usual */
	__u32 flags;
	bool records;
};

#define HANDS(name, ...)								\
	FIXTURE_VARIANT_ADD(hands, name) { __VA_ARGS__ };				\
	FIXTURE_VARIANT_ADD(hands, name##_dropped) { __VA_ARGS__, .flags = RINGQ_DROP }

HANDS(spsc, .discipline = RINGQ_SPSC);
HANDS(spsc_records, .discipline = RINGQ_SPSC, .records = true);
HANDS(mpsc, .discipline = RINGQ_MPSC);
HANDS(mpmc, .discipline = RINGQ_MPMC, .consumers = 1);
HANDS(lanes, .discipline = RINGQ_LANES, .consumers = 1);
HANDS(lanes_shared, .discipline = RINGQ_LANES);
HANDS(gated, .discipline = RINGQ_GATED);

FIXTURE_SETUP(hands)
{
	struct ringq_geometry g = geometry_many(variant->discipline, 200, CAPACITY);

	if (variant->records)
		g = geometry_records(variant->discipline, PAGE);
	if (variant->consumers)
		g.consumers = variant->consumers;
	g.flags = WAIT | variant->flags;
	g.first = 8;
	ASSERT_EQ(0, ring_create(&self->ring, &g, ""));
	ASSERT_EQ(0, port_join(&self->out, &self->ring, RINGQ_PRODUCER));
	ASSERT_EQ(0, nonblock(&self->out, true));
}

FIXTURE_TEARDOWN_PARENT(hands)
{
	EXPECT_NOTHING_LEFT();
}

/* Where a consumer's progress is; in LANES that of lane 0. */
static struct ringq_progress *progress_of(const struct port *p)
{
	if (p->geometry.discipline != RINGQ_LANES)
		return &p->page->progress;
	return &((struct ringq_lane *)((char *)p->side + p->layout.lanes -
				       p->layout.sides[RINGQ_CONSUMER]))->progress;
}

/* The same, as all can read it, of the first consumer. */
static const struct ringq_progress *progress_seen(const struct port *p)
{
	if (p->geometry.discipline != RINGQ_LANES)
		return &page_at(p, RINGQ_CONSUMER, 0)->progress;
	return &((const struct ringq_lane *)(p->region + p->layout.lanes))->progress;
}

/* Makes its words say that it has these in hand; @owner: whose the lane is, or the gate. */
static void take_in_hand(struct port *p, __u64 done, __u64 taken, bool owner)
{
	struct ringq_progress *progress = progress_of(p);

	if (p->geometry.discipline == RINGQ_LANES && p->geometry.consumers > 1)
		((struct ringq_lane *)((char *)progress - offsetof(struct ringq_lane, progress)))
			->owner = (__u64)p->generation << 32 | (p->index + 1 + !owner);
	if (p->geometry.discipline == RINGQ_GATED)
		p->page->claim = RINGQ_CLAIM(owner ? RINGQ_OWN : RINGQ_IDLE, 0, done);
	progress->taken = taken;
	progress->done = done;
	progress->hand = done;
}

/* A consumer that says so dies; what is told of it. */
static int hand_dies(FIXTURE_DATA(hands) *self, __u64 done, __u64 taken, bool owner,
		     struct ringq_death *d)
{
	struct port p;

	if (!victim_start(&self->ring, &p, RINGQ_CONSUMER)) {
		take_in_hand(&p, done, taken, owner);
		peer_say(&victim, 2);
		pause();
	}
	if (peer_hear(&victim) != 2 || peer_kill(&victim) != -SIGKILL)
		return -EPROTO;
	return next_death(&self->out, d);
}

TEST_F(hands, what_it_had)
{
	__u64 first = self->ring.geometry.first, unit = variant->records ? 8 : 1;
	struct ringq_death d;

	if (!variant->records)
		publish(&self->out, 5);
	ASSERT_EQ(sizeof(d), hand_dies(self, first + unit, first + 4 * unit, true, &d));
	EXPECT_EQ(0, d.tombs);
	EXPECT_EQ(variant->flags ? 0 : 3 * unit, d.redelivered);
	EXPECT_EQ(variant->flags ? 3 * unit : 0, d.dropped);
	EXPECT_EQ(first + (variant->flags ? 4 : 1) * unit, progress_seen(&self->out)->done);
	EXPECT_EQ(first + 4 * unit, progress_seen(&self->out)->taken);
}

/* Words that make no sense are left as they are, and nothing is counted. */
TEST_F(hands, nonsense)
{
	__u64 first = self->ring.geometry.first, n = self->ring.geometry.capacity;
	struct {
		__u64 done, taken;
		bool owner;
	} nonsense[] = {
		{ first, first, true }, { first + 1, first, true }, { first, ~0ull, true },
		{ first, first + n + 1, true }, { ~0ull, first + n, true },
		{ first + 1, first + 1 + (1ull << 63), true },
		/* Not published. */
		{ first, first + 5, true }, { first + 4, first + 4 + n, true },
	};
	struct ringq_death d;
	unsigned int i;

	if (!variant->records)
		publish(&self->out, 4);
	/* One that makes sense: it is not to be told again of who follows. */
	ASSERT_EQ(sizeof(d), hand_dies(self, first, first + 3, true, &d));
	EXPECT_EQ(3, d.redelivered + d.dropped);
	for (i = 0; i < sizeof(nonsense) / sizeof(*nonsense) - 2 * variant->records; i++) {
		ASSERT_EQ(sizeof(d), hand_dies(self, nonsense[i].done, nonsense[i].taken,
					       nonsense[i].owner, &d));
		EXPECT_EQ(0, d.redelivered + d.dropped);
		EXPECT_EQ(nonsense[i].done, progress_seen(&self->out)->done);
	}
	/* A lane that is another's, and a gate that does not stand yet. */
	if (variant->discipline != RINGQ_GATED &&
	    (variant->discipline != RINGQ_LANES || variant->consumers))
		return;
	ASSERT_EQ(sizeof(d), hand_dies(self, first, first + 3, false, &d));
	EXPECT_EQ(0, d.redelivered + d.dropped);
	EXPECT_EQ(first, progress_seen(&self->out)->done);
}

/* Where ports claim: FULL, an orphan that it had, a tombstone, one that was freed already. */
TEST_F(deaths, claims)
{
	struct ringq_geometry g = geometry_many(RINGQ_MPMC, 8, CAPACITY);
	__u64 first = CAPACITY, i, stamp;
	struct port out, in, p;
	struct ringq_death d;
	struct ring ring;
	int drop;

	if (variant->discipline != RINGQ_MPMC)
		return;
	for (drop = 0; drop < 2; drop++) {
		g.flags = WAIT | (drop ? RINGQ_DROP : 0);
		g.first = first;
		ASSERT_EQ(0, ring_create(&ring, &g, ""));
		ASSERT_EQ(0, port_join(&out, &ring, RINGQ_PRODUCER));
		ASSERT_EQ(0, port_join(&in, &ring, RINGQ_CONSUMER));
		nonblock(&out, true);
		publish(&out, 6);
		*stamp_of(&out, first + 1) = ringq_special(RINGQ_AGAIN, 1, 1, first + 1);
		*stamp_of(&out, first + 2) = RINGQ_STAMP(first + 2, RINGQ_TOMB);
		*stamp_of(&out, first + 3) = RINGQ_STAMP(first + 3 + CAPACITY, RINGQ_FREE);
		in.side->index = first + 5;
		if (!victim_start(&ring, &p, RINGQ_CONSUMER)) {
			p.page->claim = RINGQ_CLAIM(RINGQ_OWN, 5, first);
			peer_say(&victim, 2);
			pause();
		}
		ASSERT_EQ(2, peer_hear(&victim));
		EXPECT_EQ(-SIGKILL, peer_kill(&victim));
		ASSERT_EQ(sizeof(d), next_death(&out, &d));
		EXPECT_EQ(drop ? 0 : 3, d.redelivered);
		EXPECT_EQ(drop ? 3 : 0, d.dropped);
		EXPECT_EQ(0, d.tombs);
		for (i = 0; i < 6; i++) {
			stamp = RINGQ_STAMP(first + i + CAPACITY, RINGQ_FREE);
			if (!drop && (i < 2 || i == 4))
				stamp = ringq_special(RINGQ_ORPHAN, 1, 1, first + i);
			if (i == 5)
				stamp = RINGQ_STAMP(first + i, RINGQ_FULL);
			EXPECT_EQ(stamp, *stamp_of(&out, first + i));
		}
		EXPECT_EQ(!drop, in.side->orphans);

		/* And a producer's. */
		out.side->index = first + 8;
		if (!victim_start(&ring, &p, RINGQ_PRODUCER)) {
			p.page->claim = RINGQ_CLAIM(RINGQ_OWN, 2, first + 6);
			peer_say(&victim, 2);
			pause();
		}
		ASSERT_EQ(2, peer_hear(&victim));
		EXPECT_EQ(-SIGKILL, peer_kill(&victim));
		ASSERT_EQ(sizeof(d), next_death(&out, &d));
		EXPECT_EQ(2, d.tombs);
		EXPECT_EQ(0, d.redelivered + d.dropped);
		EXPECT_EQ(RINGQ_PRODUCER, d.role);
		port_leave(&in);
		port_leave(&out);
		close(ring.fd);
	}
}

/* Its own page and all else that it may write is garbage. */
TEST_F(deaths, hostile)
{
	struct ringq_geometry kinds[KINDS];
	size_t n = every_kind(kinds), i, j;
	struct ringq_death d;
	struct port out, p;
	struct ring ring;

	if (variant->discipline != RINGQ_MPMC)
		return;
	for (i = 0; i < 2 * n; i++) {
		kinds[i % n].flags = WAIT | (i < n ? RINGQ_DROP : 0);
		ASSERT_EQ(0, ring_create(&ring, &kinds[i % n], ""));
		ASSERT_EQ(0, port_join(&out, &ring, RINGQ_PRODUCER));
		nonblock(&out, true);
		if (!victim_start(&ring, &p, RINGQ_CONSUMER)) {
			srandom(i);
			for (j = 0; j < sizeof(*p.page); j++)
				((unsigned char *)p.page)[j] = random();
			for (j = 0; j < side_size(&p); j++)
				((unsigned char *)p.side)[j] = random();
			peer_say(&victim, 2);
			pause();
		}
		ASSERT_EQ(2, peer_hear(&victim));
		EXPECT_EQ(-SIGKILL, peer_kill(&victim));
		ASSERT_EQ(sizeof(d), next_death(&out, &d));
		EXPECT_EQ(RINGQ_CONSUMER, d.role);
		EXPECT_LE(d.redelivered + d.dropped,
			  ring.geometry.capacity * (ringq_has_many_producers(
			  ring.geometry.discipline) ? ring.geometry.producers : 1));
		port_leave(&out);
		close(ring.fd);
	}
}

TEST_HARNESS_MAIN
