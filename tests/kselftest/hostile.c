// SPDX-License-Identifier: GPL-2.0-only
/*
 * Users who mean no good, or do not know what they do: garbage in the pages that they may write,
 * many threads at one file, and ioctls at random. Nothing here may end in a fault of the kernel,
 * in a sleep that cannot be ended, or in memory that is not given back. What the kernel says of
 * faults is looked at by who runs the tests.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "kselftest_harness.h"

#include "common.h"

FIXTURE(hostile) {
	char max_mib[32];
};

FIXTURE_SETUP(hostile)
{
	ASSERT_EQ(0, parameter_get("max_mib", self->max_mib, sizeof(self->max_mib)));
}

FIXTURE_TEARDOWN_PARENT(hostile)
{
	EXPECT_EQ(0, parameter_set("max_mib", self->max_mib));
	EXPECT_NOTHING_LEFT();
}

/* Signals that come again and again, and end every sleep, for as long as somebody may sleep. */
static void on_alarm(int sig)
{
	(void)sig;
}

static void interrupt_often(void)
{
	struct itimerval every = {
		.it_interval = { .tv_usec = 2000 }, .it_value = { .tv_usec = 1 },
	};
	struct sigaction action = { .sa_handler = on_alarm };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
}

static __u64 random_word(void)
{
	static const __u64 edges[] = {
		0, 1, 2, 7, 8, 56, 57, 64, 4095, 4096, (1ull << 31) - 1, 1ull << 31, ~0u,
		1ull << 32, 1ull << 40, 1ull << 60, (1ull << 61) - 1, 1ull << 61, 1ull << 62,
		(1ull << 63) - 1, 1ull << 63, ~1ull, ~0ull,
	};
	__u64 word = (__u64)random() << 33 ^ (__u64)random() << 11 ^ random();

	switch (random() % 4) {
	case 0:
		return edges[random() % ARRAY_SIZE(edges)];
	case 1:
		return edges[random() % ARRAY_SIZE(edges)] + random() % 5 - 2;
	case 2:
		return word >> random() % 64;
	}
	return word;
}

/* Whatever positions and stamps say, both sides get an answer. */
TEST_F_TIMEOUT(hostile, garbage_in_the_pages, 300)
{
	struct ringq_geometry kinds[] = { geometry_of(8, 16), geometry_of(1264, 64),
					  geometry_of(56, 1), geometry_of(57, 1) };
	size_t i;
	int n;

	srandom(1);
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		__u64 capacity = kinds[i].capacity;
		struct port ports[2];
		struct ring r;

		kinds[i].first = random_word() % RINGQ_FIRST_MAX;
		ASSERT_EQ(0, ring_create(&r, &kinds[i], ""));
		ASSERT_EQ(0, port_join(&ports[0], &r, RINGQ_PRODUCER));
		ASSERT_EQ(0, port_join(&ports[1], &r, RINGQ_CONSUMER));
		for (n = 0; n < 3000; n++) {
			struct port *p = &ports[random() % 2];
			__u64 *words = (__u64 *)p->page, *stamps = (__u64 *)ports[0].bulk;
			__u64 bulk = r.layout.total - r.layout.bulk;
			int err;

			if (n % 100 == 0) {
				memset(p->page, random(), PAGE);
				memset(p->side, random(), PAGE);
				memset(stamps, random(), bulk);
			}
			p->page->progress.done = random_word();
			p->page->progress.hand = random_word();
			words[random() % (PAGE / 8)] = random_word();
			stamps[random() % (bulk / 8)] = random_word();
			err = port_wait(&ports[random() % 2], 1 + random() % capacity,
					random() % 20 ? 0 : MSEC / 10,
					random() % 2 ? RINGQ_WAIT_DRAIN : 0, NULL);
			ASSERT_TRUE(err == 0 || err == -ETIMEDOUT);
			err = port_kick(p, random_word());
			ASSERT_LE(0, err);
			ASSERT_GE(1, err);
			ASSERT_LE(0, port_poll(p, 0));
		}
		/* The kernel's own words are unharmed. */
		EXPECT_EQ(RINGQ_MAGIC, header(&ports[0])->magic);
		EXPECT_EQ(0, attention(&ports[0]) & RINGQ_ENDED);
		EXPECT_EQ(0, port_leave(&ports[0]));
		EXPECT_EQ(RINGQ_GONE, attention(&ports[1]) & RINGQ_ENDED);
		EXPECT_EQ(0, port_leave(&ports[1]));
	}
}

/* Positions that change under the kernel's eyes while it looks. */
struct scribbler {
	pthread_t thread;
	struct port *ports;
	bool stop;
};

static void *scribble(void *arg)
{
	struct scribbler *s = arg;
	__u64 word = 88172645463325252ull;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		word ^= word << 13;
		word ^= word >> 7;
		word ^= word << 17;
		ringq_store_relaxed(&s->ports[0].page->progress.done, word);
		ringq_store_relaxed(&s->ports[1].page->progress.done, word >> 1);
		ringq_store_relaxed(&s->ports[1].page->progress.hand, word >> 2);
		ringq_store_relaxed((__u64 *)(s->ports[0].bulk + RINGQ_LINE_ROOM), word >> 3);
	}
	return NULL;
}

TEST_F_TIMEOUT(hostile, garbage_that_changes, 300)
{
	struct ringq_geometry g = geometry_of(8, 16);
	struct port ports[2];
	struct scribbler s = { .ports = ports };
	struct ring r;
	int n;

	ASSERT_EQ(0, ring_create(&r, &g, ""));
	ASSERT_EQ(0, port_join(&ports[0], &r, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&ports[1], &r, RINGQ_CONSUMER));
	ASSERT_EQ(0, pthread_create(&s.thread, NULL, scribble, &s));
	for (n = 0; n < 5000; n++) {
		int err = port_wait(&ports[n & 1], 1 + n % g.capacity, n % 8 ? 0 : MSEC / 10, 0,
				    NULL);

		ASSERT_TRUE(err == 0 || err == -ETIMEDOUT);
		ASSERT_LE(0, port_poll(&ports[n & 1], 0));
		ASSERT_LE(0, port_kick(&ports[n & 1], 1));
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	pthread_join(s.thread, NULL);
}

/* A side that kicks without end cannot keep the other one from its time-out. */
static void *kick_without_end(void *arg)
{
	struct scribbler *s = arg;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED))
		port_kick(&s->ports[0], ~0u);
	return NULL;
}

TEST_F_TIMEOUT(hostile, kicks_without_end, 300)
{
	struct ringq_geometry g = geometry_of(8, 16);
	struct port ports[2];
	struct scribbler s = { .ports = ports };
	struct ring r;
	int n;

	ASSERT_EQ(0, ring_create(&r, &g, ""));
	ASSERT_EQ(0, port_join(&ports[0], &r, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&ports[1], &r, RINGQ_CONSUMER));
	ASSERT_EQ(0, pthread_create(&s.thread, NULL, kick_without_end, &s));
	for (n = 0; n < 20; n++) {
		EXPECT_EQ(-ETIMEDOUT, port_wait(&ports[1], 1, 5 * MSEC, 0, NULL));
		EXPECT_EQ(0, port_poll(&ports[1], 5));
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	pthread_join(s.thread, NULL);
}

/*
 * Ioctls at random. Half of them begin as right ones, of which a few bytes are then changed, so
 * that they get further than the first check. Signals end what sleeps.
 */
static const unsigned long cmds[] = {
	RINGQ_IOC_INFO, RINGQ_IOC_CREATE, RINGQ_IOC_OPEN, RINGQ_IOC_ATTACH,
	RINGQ_IOC_WAIT, RINGQ_IOC_KICK, RINGQ_IOC_CLOSE, RINGQ_IOC_DETACH,
};

union fuzz {
	__u32 size;
	struct ringq_ioc_create create;
	struct ringq_ioc_open open;
	struct ringq_ioc_attach attach;
	struct ringq_ioc_wait wait;
	struct ringq_ioc_kick kick;
	__u64 words[512];
	unsigned char bytes[PAGE];
};

static void fuzz_fill(union fuzz *f, unsigned long cmd, int *fds, int nr_fds)
{
	static const __u32 sizes[] = { 1, 8, 24, 56, 57, 64, 1264, 4096 };
	struct ringq_geometry g = geometry_of(sizes[random() % ARRAY_SIZE(sizes)],
					      1u << random() % 12);
	const char *name = random() % 3 ? "" : random() % 2 ? "fuzz" : "other";
	size_t i;

	memset(f, 0, sizeof(*f));
	switch (cmd) {
	case RINGQ_IOC_CREATE:
		f->create = create_args(&g, name);
		f->create.flags = random() % 8;
		if (f->create.flags & (RINGQ_CREATE_HUGE | RINGQ_CREATE_HUGE_ONLY))
			f->create.geometry.bulk_shift = RINGQ_BULK_HUGE;
		break;
	case RINGQ_IOC_OPEN:
		f->open = open_args(name, *name ? -1 : fds[random() % nr_fds]);
		f->open.roles = random() % 4;
		break;
	case RINGQ_IOC_ATTACH:
		f->attach.fd = fds[random() % nr_fds];
		f->attach.role = random() % 2;
		break;
	case RINGQ_IOC_WAIT:
		f->wait.need = 1 + random() % 8;
		f->wait.timeout_ns = random() % 4 ? 0 : (__s64)random_word();
		f->wait.flags = random() % 2;
		break;
	case RINGQ_IOC_KICK:
		f->kick.count = random_word();
		break;
	}
	f->size = _IOC_SIZE(cmd);
	if (random() % 2)
		return;
	for (i = random() % 8; i; i--)
		f->bytes[random() % (random() % 4 ? _IOC_SIZE(cmd) + 1 : PAGE)] = random();
	if (!(random() % 4))
		f->words[random() % (_IOC_SIZE(cmd) / 8 + 1)] = random_word();
	if (!(random() % 16))
		f->size = random_word();
}

TEST_F_TIMEOUT(hostile, ioctls_at_random, 300)
{
	union fuzz *f = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);
	unsigned int done[ARRAY_SIZE(cmds)] = {};
	struct pollfd pfd;
	int fds[16], n;
	size_t i;

	ASSERT_NE(MAP_FAILED, f);
	ASSERT_EQ(0, munmap(f + 1, PAGE));
	ASSERT_EQ(0, parameter_set("max_mib", "64"));
	for (i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = device();
	interrupt_often();
	srandom(1);
	for (n = 0; n < 30000; n++) {
		int *fd = &fds[random() % ARRAY_SIZE(fds)];
		unsigned long cmd = cmds[i = random() % ARRAY_SIZE(cmds)];
		__u64 offset = random() % 16 ? random() % 32 * PAGE : random_word() & ~(PAGE - 1);
		void *at, *arg;
		__u64 size;

		fuzz_fill(f, cmd, fds, ARRAY_SIZE(fds));
		if (!(random() % 16))
			cmd ^= 1u << random() % 32;
		arg = random() % 16 ? f->bytes : f->bytes + random() % (2 * PAGE);
		if (call(*fd, cmd, arg) == 0)
			done[i]++;
		switch (random() % 16) {
		case 0:
		case 1:
			close(*fd);
			*fd = device();
			ASSERT_LE(0, *fd);
			break;
		case 2:
		case 3:
		case 4:
			/* Also left mapped, at times; the limit of memory bounds that. */
			size = (1 + random() % 8) * PAGE;
			at = mmap(NULL, size, random() % 8, random() % 8 ? MAP_SHARED : MAP_PRIVATE,
				  *fd, offset);
			if (at != MAP_FAILED && random() % 8)
				munmap(at, size);
			break;
		case 5:
			pfd = (struct pollfd){ .fd = *fd, .events = random() };
			poll(&pfd, 1, 0);
		}
	}
	/* It was no fuzz that was all refused. */
	for (i = 0; i < ARRAY_SIZE(cmds); i++)
		EXPECT_LT(10, done[i])
			TH_LOG("ioctl %#lx", cmds[i]);
}

TEST_HARNESS_MAIN
