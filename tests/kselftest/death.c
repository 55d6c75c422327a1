// SPDX-License-Identifier: GPL-2.0-only
/*
 * How ports end. A process that dies, however and wherever, is dead to the ring at once; one that
 * leaves has left; and nothing else is either. What the other side learns, asleep or awake, depends
 * on the ring's policy: the end, or nothing until a successor is there.
 *
 * Each test runs for both roles of the one who goes and for both policies. The test process is the
 * survivor. It stands still where it can make no progress: a consumer at an empty ring, a producer
 * at a full one.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "kselftest_harness.h"

#include "common.h"

/* Not in the fixture, which a test shares with its children. */
static struct peer victim;

FIXTURE(death) {
	struct ring ring;
	struct port survivor;
	__u32 role;		/* the victim's */
	bool wait;		/* the policy */
	pthread_t thread;
};

FIXTURE_VARIANT(death) {
	__u32 role;
	__u32 flags;
};

FIXTURE_VARIANT_ADD(death, producer_end) {
	.role = RINGQ_PRODUCER, .flags = 0,
};

FIXTURE_VARIANT_ADD(death, consumer_end) {
	.role = RINGQ_CONSUMER, .flags = RINGQ_PRODUCER_WAIT,
};

FIXTURE_VARIANT_ADD(death, producer_wait) {
	.role = RINGQ_PRODUCER, .flags = RINGQ_PRODUCER_WAIT,
};

FIXTURE_VARIANT_ADD(death, consumer_wait) {
	.role = RINGQ_CONSUMER, .flags = RINGQ_CONSUMER_WAIT,
};

FIXTURE_SETUP(death)
{
	struct ringq_geometry g = geometry_of(8, 16);

	self->role = variant->role;
	self->wait = variant->flags & (variant->role == RINGQ_PRODUCER ? RINGQ_PRODUCER_WAIT :
								       RINGQ_CONSUMER_WAIT);
	g.flags = variant->flags;
	ASSERT_EQ(0, ring_create(&self->ring, &g, ""));
	ASSERT_EQ(0, port_join(&self->survivor, &self->ring, !self->role));
	if (self->role == RINGQ_CONSUMER)
		publish(&self->survivor, g.capacity);
}

FIXTURE_TEARDOWN_PARENT(death)
{
	EXPECT_NOTHING_LEFT();
}

/* What a victim does once it is attached. */
enum act { IDLES, WAITS, POLLS };

static void act(struct port *p, enum act what)
{
	struct pollfd pfd = { .fd = p->fd, .events = POLLIN | POLLOUT };

	switch (what) {
	case IDLES:
		pause();
		break;
	case WAITS:
		port_wait(p, p->geometry.capacity, FOREVER, 0, NULL);
		break;
	case POLLS:
		poll(&pfd, 1, -1);
	}
}

/* Starts a process that takes the victim's place. Returns 1 when it has it; in the victim, 0. */
static int victim_start(FIXTURE_DATA(death) *self, struct port *p)
{
	if (peer_fork(&victim))
		return peer_hear(&victim);
	close(self->survivor.fd);
	if (port_join(p, &self->ring, self->role))
		_exit(100);
	peer_say(&victim, 1);
	return 0;
}

/* As the ABI says it to a survivor who can make no progress. */
static __u32 end_events(FIXTURE_DATA(death) *self, __u32 how)
{
	return self->wait ? 0 : how;
}

static __u64 end_word(FIXTURE_DATA(death) *self, __u64 how)
{
	return self->wait ? 0 : how;
}

static int end_poll(FIXTURE_DATA(death) *self, bool dead)
{
	int mask = POLLHUP;

	if (self->wait)
		return 0;
	if (dead)
		mask |= POLLERR;
	if (self->role == RINGQ_PRODUCER)
		mask |= POLLIN | POLLRDNORM;
	return mask;
}

/* Once the victim is gone: everything by which the survivor may learn of it. */
#define EXPECT_ENDED(dead)								\
	do {										\
		__u32 _event = (dead) ? RINGQ_EVENT_DEAD : RINGQ_EVENT_GONE;		\
		__u64 _word = (dead) ? RINGQ_DEAD : RINGQ_GONE;				\
		struct port _p;								\
		__u32 _seen;								\
											\
		EXPECT_EQ(end_word(self, _word), attention(&self->survivor));		\
		EXPECT_EQ(self->wait ? -ETIMEDOUT : 0,					\
			  port_wait(&self->survivor, 1, 20 * MSEC, 0, &_seen));		\
		if (!self->wait)							\
			EXPECT_EQ(_event, _seen);					\
		EXPECT_EQ(end_poll(self, dead), port_poll(&self->survivor, 20));	\
		EXPECT_EQ(self->wait ? 0 : -EPIPE,					\
			  port_attach(&_p, &self->ring, self->role));			\
	} while (0)

/* Once something has happened that is no end: the place is taken, nobody is told anything. */
#define EXPECT_LIVING()									\
	do {										\
		struct port _p;								\
											\
		EXPECT_EQ(0, attention(&self->survivor));				\
		EXPECT_EQ(-ETIMEDOUT, port_wait(&self->survivor, 1, 20 * MSEC, 0, NULL)); \
		EXPECT_EQ(0, port_poll(&self->survivor, 20));				\
		EXPECT_EQ(-EBUSY, port_attach(&_p, &self->ring, self->role));		\
	} while (0)

TEST_F(death, killed)
{
	struct port p;

	if (!victim_start(self, &p))
		act(&p, IDLES);
	EXPECT_LIVING();
	EXPECT_EQ(-SIGKILL, peer_kill(&victim));
	EXPECT_ENDED(true);
}

TEST_F(death, exits)
{
	struct port p;

	if (!victim_start(self, &p))
		_exit(0);
	EXPECT_EQ(0, peer_end(&victim));
	EXPECT_ENDED(true);
}

TEST_F(death, faults)
{
	struct port p;

	if (!victim_start(self, &p))
		*(volatile unsigned char *)p.region = 0;
	EXPECT_EQ(-SIGSEGV, peer_end(&victim));
	EXPECT_ENDED(true);
}

/* The new program has the descriptor, but no mapping. */
TEST_F(death, executes)
{
	struct port p;
	int fd;

	if (!victim_start(self, &p)) {
		fcntl(victim.fd, F_SETFD, 0);
		execl("/bin/sleep", "sleep", "1000", NULL);
		_exit(100);
	}
	EXPECT_TRUE(soon(port_attach(&p, &self->ring, self->role) != -EBUSY));
	if (self->wait)
		close(p.fd);
	fd = victim.fd;
	EXPECT_ENDED(true);
	EXPECT_EQ(-1, recv(fd, &p, 1, MSG_DONTWAIT));
	EXPECT_EQ(EAGAIN, errno);
	peer_kill(&victim);
}

TEST_F(death, unmaps_everything)
{
	struct port p;

	if (!victim_start(self, &p)) {
		EXPECT_EQ(1, peer_hear(&victim));
		port_unmap(&p);
		EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, p.fd, 0));
		EXPECT_EQ(ESTALE, errno);
		peer_say(&victim, 2);
		pause();
	}
	EXPECT_LIVING();
	peer_say(&victim, 1);
	EXPECT_EQ(2, peer_hear(&victim));
	EXPECT_ENDED(true);
}

/* As long as one mapping is left, of whichever section. */
TEST_F(death, unmaps_all_but_one)
{
	struct port p;
	void *last;

	if (!victim_start(self, &p)) {
		last = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, p.fd, PAGE);
		EXPECT_NE(MAP_FAILED, last);
		port_unmap(&p);
		close(p.fd);
		peer_say(&victim, 2);
		EXPECT_EQ(3, peer_hear(&victim));
		munmap(last, PAGE);
		peer_say(&victim, 4);
		pause();
	}
	EXPECT_EQ(2, peer_hear(&victim));
	EXPECT_LIVING();
	peer_say(&victim, 3);
	EXPECT_EQ(4, peer_hear(&victim));
	EXPECT_ENDED(true);
}

TEST_F(death, closes_its_file_but_keeps_the_mapping)
{
	struct port p;

	if (!victim_start(self, &p)) {
		close(p.fd);
		peer_say(&victim, 2);
		pause();
	}
	EXPECT_EQ(2, peer_hear(&victim));
	EXPECT_LIVING();
	peer_kill(&victim);
	EXPECT_ENDED(true);
}

TEST_F(death, leaves)
{
	struct port p;

	if (!victim_start(self, &p)) {
		EXPECT_EQ(0, port_leave(&p));
		peer_say(&victim, 2);
		pause();
	}
	EXPECT_EQ(2, peer_hear(&victim));
	EXPECT_ENDED(false);
}

/* Who has left cannot die as well. */
TEST_F(death, leaves_and_is_killed)
{
	struct port p;

	if (!victim_start(self, &p)) {
		EXPECT_EQ(0, call(p.fd, RINGQ_IOC_DETACH, NULL));
		peer_say(&victim, 2);
		pause();
	}
	EXPECT_EQ(2, peer_hear(&victim));
	peer_kill(&victim);
	EXPECT_ENDED(false);
}

TEST_F(death, was_never_mapped)
{
	struct port p;

	if (!peer_fork(&victim)) {
		EXPECT_EQ(0, port_attach(&p, &self->ring, self->role));
		peer_say(&victim, 1);
		pause();
	}
	EXPECT_EQ(1, peer_hear(&victim));
	EXPECT_LIVING();
	peer_kill(&victim);
	EXPECT_ENDED(false);
}

/*
 * A port's file in other hands: by dup, in a child that outlives its parent until the test closes
 * its end of the socket, and in the socket.
 */
static void spread(struct port *p)
{
	struct peer child;

	dup(p->fd);
	if (!peer_fork(&child)) {
		prctl(PR_SET_PDEATHSIG, 0);
		peer_hear(&victim);
		_exit(0);
	}
	fd_send(&victim, p->fd);
}

TEST_F(death, killed_while_others_have_its_file)
{
	struct port p;

	if (!victim_start(self, &p)) {
		spread(&p);
		pause();
	}
	p.fd = fd_receive(&victim);
	ASSERT_LE(0, p.fd);
	kill(victim.pid, SIGKILL);
	ASSERT_EQ(victim.pid, waitpid(victim.pid, NULL, 0));
	EXPECT_ENDED(true);

	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, p.fd, 0));
	EXPECT_EQ(EPERM, errno);
}

/* Nobody else can ever map it, so its place is not kept for them either. */
TEST_F(death, killed_before_it_was_mapped_while_others_have_its_file)
{
	struct port p;

	if (!peer_fork(&victim)) {
		EXPECT_EQ(0, port_attach(&p, &self->ring, self->role));
		spread(&p);
		pause();
	}
	p.fd = fd_receive(&victim);
	ASSERT_LE(0, p.fd);
	kill(victim.pid, SIGKILL);
	ASSERT_EQ(victim.pid, waitpid(victim.pid, NULL, 0));
	EXPECT_ENDED(false);
}

/* A thread is not a process: who attached may go, its process lives. */
static void *join_in_a_thread(void *arg)
{
	FIXTURE_DATA(death) *self = arg;
	struct port p;

	return (void *)(long)port_join(&p, &self->ring, self->role);
}

TEST_F(death, thread_that_attached_ends)
{
	void *err = NULL;

	if (!peer_fork(&victim)) {
		EXPECT_EQ(0, pthread_create(&self->thread, NULL, join_in_a_thread, self));
		EXPECT_EQ(0, pthread_join(self->thread, &err));
		EXPECT_EQ(NULL, err);
		peer_say(&victim, 1);
		pause();
	}
	EXPECT_EQ(1, peer_hear(&victim));
	EXPECT_LIVING();
	peer_kill(&victim);
	EXPECT_ENDED(true);
}

/* Killed in its sleep, of each kind: nobody is armed any more, nothing is left behind. */
static void asleep(struct __test_metadata *_metadata, FIXTURE_DATA(death) *self, enum act what)
{
	struct port p;

	if (!victim_start(self, &p)) {
		/* It says that it has taken everything, or filled the ring: so it has to wait. */
		if (self->role == RINGQ_CONSUMER)
			p.page->progress.hand = p.pos + p.geometry.capacity;
		else
			p.page->progress.done = p.pos + p.geometry.capacity;
		act(&p, what);
		_exit(100);
	}
	ASSERT_TRUE(soon(attention(&self->survivor) & RINGQ_ARMED));
	EXPECT_EQ(-SIGKILL, peer_kill(&victim));
	EXPECT_EQ(end_word(self, RINGQ_DEAD), attention(&self->survivor));
	EXPECT_EQ(0, port_kick(&self->survivor, 1));
}

TEST_F(death, killed_while_it_waits)
{
	asleep(_metadata, self, WAITS);
}

TEST_F(death, killed_while_it_polls)
{
	asleep(_metadata, self, POLLS);
}

/* The survivor sleeps when it happens. A thread of its own sees that it does, and then kills. */
struct killer {
	const struct ringq_attention *words;
	__u32 role;
	pid_t pid;
};

static void *kill_when_armed(void *arg)
{
	struct killer *k = arg;
	const __u64 *word = k->role == RINGQ_PRODUCER ? &k->words->data : &k->words->space;

	if (soon(ringq_load_acquire(word) & RINGQ_ARMED))
		kill(k->pid, SIGKILL);
	return NULL;
}

static void killer_start(FIXTURE_DATA(death) *self, struct killer *k)
{
	const struct port *p = &self->survivor;

	*k = (struct killer){
		.words = (const void *)(p->region + p->layout.attention),
		.role = self->role,
		.pid = victim.pid,
	};
	pthread_create(&self->thread, NULL, kill_when_armed, k);
}

TEST_F(death, survivor_waits)
{
	struct killer killer;
	struct port p;
	__u32 events;

	if (!victim_start(self, &p))
		act(&p, IDLES);
	killer_start(self, &killer);
	if (self->wait) {
		EXPECT_EQ(-ETIMEDOUT, port_wait(&self->survivor, 1, 300 * MSEC, 0, &events));
	} else {
		EXPECT_EQ(0, port_wait(&self->survivor, 1, FOREVER, 0, &events));
		EXPECT_EQ(RINGQ_EVENT_DEAD, events);
	}
	pthread_join(self->thread, NULL);
	EXPECT_EQ(-SIGKILL, peer_end(&victim));
	EXPECT_EQ(end_word(self, RINGQ_DEAD), attention(&self->survivor));
}

TEST_F(death, survivor_polls)
{
	struct killer killer;
	struct port p;

	if (!victim_start(self, &p))
		act(&p, IDLES);
	killer_start(self, &killer);
	EXPECT_EQ(end_poll(self, true), port_poll(&self->survivor, self->wait ? 300 : -1));
	pthread_join(self->thread, NULL);
	EXPECT_EQ(-SIGKILL, peer_end(&victim));
}

/* What was published before the death is there, and is told of together with it. */
TEST_F(death, what_it_did_counts)
{
	struct port p;
	__u32 events;

	if (!victim_start(self, &p)) {
		if (self->role == RINGQ_PRODUCER)
			publish(&p, 5);
		else
			consume(&p, 5);
		kill(getpid(), SIGKILL);
	}
	EXPECT_EQ(-SIGKILL, peer_end(&victim));
	EXPECT_EQ(0, port_wait(&self->survivor, 5, FOREVER, 0, &events));
	EXPECT_EQ(RINGQ_EVENT_READY | end_events(self, RINGQ_EVENT_DEAD), events);
	EXPECT_EQ(self->wait ? -ETIMEDOUT : 0, port_wait(&self->survivor, 6, MSEC, 0, &events));
	if (self->role == RINGQ_PRODUCER)
		EXPECT_EQ(5, consume(&self->survivor, 10));
}

/* A ring that waits: the successor goes on where the dead one stopped, and wakes who slept. */
TEST_F(death, successor)
{
	struct port p;
	__u32 events, generation;

	for (generation = 1; generation < 4; generation++) {
		struct killer killer;

		if (!victim_start(self, &p)) {
			EXPECT_EQ(generation, p.generation);
			EXPECT_EQ((generation - 1) * 5, p.pos);
			EXPECT_EQ((generation - 1) * 5, page_of(&p, self->role)->progress.done);
			if (generation > 1) {
				EXPECT_EQ(1, peer_hear(&victim));
				EXPECT_TRUE(soon(attention(&p) & RINGQ_ARMED));
				if (self->role == RINGQ_PRODUCER)
					publish(&p, 5);
				else
					consume(&p, 5);
				EXPECT_EQ(1, port_notify(&p, 5));
			} else if (self->role == RINGQ_PRODUCER) {
				publish(&p, 5);
			} else {
				consume(&p, 5);
			}
			pause();
		}
		if (generation > 1) {
			peer_say(&victim, 1);
			EXPECT_EQ(0, port_wait(&self->survivor, 5, FOREVER, 0, &events));
			EXPECT_EQ(RINGQ_EVENT_READY, events);
		}
		EXPECT_TRUE(soon(port_wait(&self->survivor, 5, 0, 0, &events) == 0));
		if (self->role == RINGQ_CONSUMER)
			publish(&self->survivor, 5);
		else
			EXPECT_EQ(5, consume(&self->survivor, 5));
		killer_start(self, &killer);
		EXPECT_EQ(self->wait ? -ETIMEDOUT : 0,
			  port_wait(&self->survivor, 1, 200 * MSEC, 0, &events));
		pthread_join(self->thread, NULL);
		EXPECT_EQ(-SIGKILL, peer_end(&victim));
		if (!self->wait)
			break;
	}
	if (!self->wait)
		EXPECT_EQ(-EPIPE, port_attach(&p, &self->ring, self->role));
}

/* The survivor sleeps from before the death until the successor has something for it. */
TEST_F(death, one_sleep_over_a_death_and_a_successor)
{
	struct killer killer;
	struct peer successor;
	struct port p;
	__u32 events;

	if (!peer_fork(&successor)) {
		close(self->survivor.fd);
		EXPECT_EQ(1, peer_hear(&successor));
		if (!self->wait)
			_exit(0);
		EXPECT_TRUE(soon(port_join(&p, &self->ring, self->role) == 0));
		EXPECT_EQ(2, p.generation);
		EXPECT_TRUE(soon(attention(&p) & RINGQ_ARMED));
		if (self->role == RINGQ_PRODUCER)
			publish(&p, 1);
		else
			consume(&p, 1);
		EXPECT_EQ(1, port_notify(&p, 1));
		pause();
	}
	if (!victim_start(self, &p))
		act(&p, IDLES);
	killer_start(self, &killer);
	peer_say(&successor, 1);
	EXPECT_EQ(0, port_wait(&self->survivor, 1, FOREVER, 0, &events));
	EXPECT_EQ(self->wait ? RINGQ_EVENT_READY : RINGQ_EVENT_DEAD, events);
	pthread_join(self->thread, NULL);
	peer_kill(&victim);
	peer_kill(&successor);
}

TEST_HARNESS_MAIN
