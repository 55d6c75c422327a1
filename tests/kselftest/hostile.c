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
#include <sys/eventfd.h>
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

/* All ports of a ring of some kind, of both roles. */
#define PORTS 6

struct crowd {
	struct ring ring;
	struct port ports[PORTS];
	int n;
};

static int crowd_join(struct crowd *c, const struct ringq_geometry *g)
{
	__u32 role, i, many[] = { g->producers, g->consumers };
	int err = ring_create(&c->ring, g, "");

	c->n = 0;
	for (role = 0; role < 2; role++)
		for (i = 0; !err && i < many[role]; i++)
			err = port_join(&c->ports[c->n++], &c->ring, role);
	return err;
}

static void crowd_leave(struct crowd *c)
{
	while (c->n)
		port_leave(&c->ports[--c->n]);
	close(c->ring.fd);
}

/* A word that a port may write, any of them, but more often one that means something. */
static __u64 *some_word(const struct port *p)
{
	const struct ringq_layout *l = &p->layout;
	__u64 lane = random() % p->geometry.producers;
	struct ringq_lane *lanes;

	switch (random() % 10) {
	case 0:
		return (__u64 *)p->page + random() % (l->port_stride / 8);
	case 1:
		return (__u64 *)p->side + random() % (side_size(p) / 8);
	case 2:
		return &p->page->claim;
	case 3:
		return &p->page->progress.done;
	case 4:
		return &p->page->progress.hand;
	case 5:
		return &p->page->seen;
	case 6:
		return random() % 2 ? &p->side->index : &p->side->orphans;
	case 7:
		return &p->side->shared;
	case 8:
		if (p->geometry.discipline != RINGQ_LANES || p->role == RINGQ_PRODUCER)
			break;
		lanes = (void *)((unsigned char *)p->side + l->lanes - l->sides[RINGQ_CONSUMER]);
		return random() % 2 ? &lanes[lane].owner : &lanes[lane].progress.done;
	}
	if (!p->bulk)
		return &p->page->claim;
	return (__u64 *)p->bulk + random() % ((l->total - l->bulk) / 8);
}

/* A value that means something there, or none. */
static __u64 some_value(const struct port *p)
{
	__u64 pos = p->geometry.first + random() % (3 * p->geometry.capacity);

	switch (random() % 4) {
	case 0:
		return random_word();
	case 1:
		return pos << 2 | random() % 4;
	case 2:
		return (__u64)(random() % 4) << 62 | (__u64)(random() % 4096) << 50 |
		       (pos & ((1ull << 50) - 1));
	}
	return random() % 3 ? pos : (__u64)random() % 5;
}

/* What the kernel says of the port, if it says anything. */
static int ask_about(const struct port *p)
{
	struct ringq_ioc_port s = { .size = sizeof(s), .role = p->role, .port = p->index };

	return call(p->fd, RINGQ_IOC_PORT, &s);
}

static void scribble_everywhere(const struct port *p)
{
	memset(p->page, random(), p->layout.port_stride);
	memset(p->side, random(), side_size(p));
	if (p->bulk)
		memset(p->bulk, random(), p->layout.total - p->layout.bulk);
}

/* Whatever positions, claims and stamps say, everybody gets an answer. */
TEST_F_TIMEOUT(hostile, garbage_in_the_pages, 600)
{
	struct ringq_geometry kinds[KINDS];
	size_t i, nr = every_kind(kinds);
	unsigned int ready = 0, not = 0;
	struct crowd c;
	int n;

	srandom(1);
	for (i = 0; i < nr; i++) {
		kinds[i].first = random_word() % RINGQ_FIRST_MAX & ~7ull;
		ASSERT_EQ(0, crowd_join(&c, &kinds[i]));
		for (n = 0; n < 2000; n++) {
			struct port *p = &c.ports[random() % c.n], *q = &c.ports[random() % c.n];
			int err;

			if (n % 200 == 0)
				scribble_everywhere(p);
			*some_word(p) = some_value(p);
			*some_word(q) = some_value(q);
			err = port_wait(p, 1 + random() % kinds[i].capacity,
					random() % 20 ? 0 : MSEC / 10,
					random() % 2 ? RINGQ_WAIT_DRAIN : 0, NULL);
			ASSERT_TRUE(err == 0 || err == -ETIMEDOUT);
			err ? not++ : ready++;
			ASSERT_EQ(0, random() % 2 ? port_kick(q, random_word()) :
						    port_kick_own(q, random_word()));
			ASSERT_LE(0, port_poll(p, 0));
			ASSERT_EQ(0, ask_about(p));
		}
		/* The kernel's own words are unharmed. */
		EXPECT_EQ(RINGQ_MAGIC, header(&c.ports[0])->magic);
		EXPECT_EQ(0, attention(&c.ports[0]) & RINGQ_ENDED);
		EXPECT_EQ((1ull << kinds[i].producers) - 1,
			  attention_of(&c.ports[0])->live[RINGQ_PRODUCER][0]);
		EXPECT_EQ((1ull << kinds[i].consumers) - 1,
			  attention_of(&c.ports[0])->live[RINGQ_CONSUMER][0]);
		crowd_leave(&c);
	}
	/* It was no garbage that always looks the same. */
	EXPECT_LT(1000, ready);
	EXPECT_LT(1000, not);
}

/* Words that change under the kernel's eyes while it looks. */
struct scribbler {
	pthread_t thread;
	struct port *ports;
	int n;
	bool stop;
};

static void *scribble(void *arg)
{
	struct scribbler *s = arg;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		const struct port *p = &s->ports[random() % s->n];

		ringq_store_relaxed(some_word(p), some_value(p));
	}
	return NULL;
}

TEST_F_TIMEOUT(hostile, garbage_that_changes, 600)
{
	struct ringq_geometry kinds[KINDS];
	size_t i, nr = every_kind(kinds);
	struct crowd c;
	int n;

	for (i = 0; i < nr; i++) {
		struct scribbler s = { .ports = c.ports };

		ASSERT_EQ(0, crowd_join(&c, &kinds[i]));
		s.n = c.n;
		ASSERT_EQ(0, pthread_create(&s.thread, NULL, scribble, &s));
		for (n = 0; n < 1000; n++) {
			struct port *p = &c.ports[n % c.n];
			int err = port_wait(p, 1 + n % kinds[i].capacity, n % 8 ? 0 : MSEC / 10, 0,
					    NULL);

			ASSERT_TRUE(err == 0 || err == -ETIMEDOUT);
			ASSERT_LE(0, port_poll(p, 0));
			ASSERT_LE(0, port_kick(p, 1));
			ASSERT_EQ(0, ask_about(p));
		}
		__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
		pthread_join(s.thread, NULL);
		crowd_leave(&c);
	}
}

/*
 * Sleepers of all kinds over words that change, with kicks, and with ports that die: every sleep
 * comes to an end.
 */
struct dozer {
	pthread_t thread;
	struct port *port;
	bool *stop;
	unsigned int seed;
};

static void *doze(void *arg)
{
	struct dozer *d = arg;

	while (!__atomic_load_n(d->stop, __ATOMIC_RELAXED)) {
		__u64 need = 1 + rand_r(&d->seed) % d->port->geometry.capacity;

		switch (rand_r(&d->seed) % 4) {
		case 0:
			port_poll(d->port, 1);
			break;
		case 1:
			port_kick(d->port, rand_r(&d->seed) % 4);
			port_kick_own(d->port, rand_r(&d->seed) % 4);
			break;
		default:
			port_wait(d->port, need, rand_r(&d->seed) % 2000000, 0, NULL);
		}
	}
	return NULL;
}

TEST_F_TIMEOUT(hostile, sleepers_over_garbage, 600)
{
	struct ringq_geometry kinds[KINDS];
	size_t i, nr = every_kind(kinds);
	struct dozer dozers[PORTS];
	struct crowd c;
	int n;

	for (i = 0; i < nr; i++) {
		bool stop = false;

		ASSERT_EQ(0, crowd_join(&c, &kinds[i]));
		for (n = 0; n < c.n; n++) {
			dozers[n] = (struct dozer){
				.port = &c.ports[n], .stop = &stop, .seed = n + 1,
			};
			ASSERT_EQ(0, pthread_create(&dozers[n].thread, NULL, doze, &dozers[n]));
		}
		for (n = 0; n < 20000; n++) {
			const struct port *p = &c.ports[random() % c.n];

			ringq_store_relaxed(some_word(p), some_value(p));
		}
		/* Under their feet. */
		EXPECT_EQ(0, call(c.ports[c.n - 1].fd, RINGQ_IOC_DETACH, NULL));
		EXPECT_EQ(0, call(c.ports[0].fd, RINGQ_IOC_CLOSE, NULL));
		__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
		for (n = 0; n < c.n; n++)
			pthread_join(dozers[n].thread, NULL);
		crowd_leave(&c);
	}
}

/* Who looks through a large ring can be killed, and others get their turn. */
TEST_F_TIMEOUT(hostile, long_looks, 300)
{
	struct ringq_geometry g = geometry_many(RINGQ_MPMC, 8, 1ull << 17);
	struct peer children[3];
	struct ring r;
	struct port p;
	__u64 n;
	int i;

	ASSERT_EQ(0, ring_create(&r, &g, ""));
	for (i = 0; i < 3; i++) {
		if (peer_fork(&children[i]))
			continue;
		if (port_join(&p, &r, RINGQ_PRODUCER))
			_exit(1);
		/* So that the stamps are asked, each of which says yes, but for the first. */
		p.side->index = g.capacity;
		p.side->shared = 1;
		for (n = 1; n < g.capacity; n++)
			*stamp_of(&p, n) = RINGQ_STAMP(g.capacity + n, RINGQ_FREE);
		peer_say(&children[i], 1);
		for (;;)
			port_wait(&p, g.capacity, 0, 0, NULL);
	}
	for (i = 0; i < 3; i++)
		ASSERT_EQ(1, peer_hear(&children[i]));
	ASSERT_EQ(0, port_join(&p, &r, RINGQ_CONSUMER));
	for (i = 0; i < 5; i++)
		EXPECT_EQ(-ETIMEDOUT, port_wait(&p, g.capacity, MSEC, 0, NULL));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(-SIGKILL, peer_kill(&children[i]));
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
	RINGQ_IOC_LOCK, RINGQ_IOC_TRYLOCK, RINGQ_IOC_UNLOCK, RINGQ_IOC_EVENTFD,
	RINGQ_IOC_PORT, RINGQ_IOC_LIST,
};

union fuzz {
	__u32 size;
	struct ringq_ioc_create create;
	struct ringq_ioc_open open;
	struct ringq_ioc_attach attach;
	struct ringq_ioc_wait wait;
	struct ringq_ioc_kick kick;
	struct ringq_ioc_eventfd eventfd;
	struct ringq_ioc_port port;
	struct ringq_ioc_list list;
	__u64 words[512];
	unsigned char bytes[PAGE];
};

/* More than a port takes. */
static int eventfds[RINGQ_EVENTFDS + 2];

static void fuzz_fill(union fuzz *f, unsigned long cmd, int *fds, int nr_fds)
{
	static const __u32 sizes[] = { 1, 8, 24, 56, 57, 64, 1264, 4096 };
	struct ringq_geometry g = geometry_many(1 + random() % RINGQ_LATEST,
						sizes[random() % ARRAY_SIZE(sizes)],
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
		f->attach.flags = random() % 4;
		f->attach.port = random() % 4;
		break;
	case RINGQ_IOC_WAIT:
		f->wait.need = 1 + random() % 8;
		f->wait.timeout_ns = random() % 4 ? 0 : (__s64)random_word();
		f->wait.flags = random() % 2;
		break;
	case RINGQ_IOC_KICK:
		f->kick.count = random_word();
		f->kick.flags = random() % 2;
		break;
	case RINGQ_IOC_EVENTFD:
		f->eventfd.fd = random() % 8 ? eventfds[random() % ARRAY_SIZE(eventfds)] :
					       fds[random() % nr_fds];
		f->eventfd.flags = random() % 2;
		break;
	case RINGQ_IOC_PORT:
		f->port.role = random() % 2;
		f->port.port = random() % 4;
		break;
	case RINGQ_IOC_LIST:
		memcpy(f->list.name, name, strlen(name));
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
	for (i = 0; i < ARRAY_SIZE(eventfds); i++)
		eventfds[i] = eventfd(0, EFD_NONBLOCK);
	interrupt_often();
	srandom(1);
	for (n = 0; n < 40000; n++) {
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
		EXPECT_LT(2, done[i])
			TH_LOG("ioctl %#lx", cmds[i]);
}

TEST_HARNESS_MAIN
