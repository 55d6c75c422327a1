// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * GATED: every reader gets every message from where it began, whoever else comes, goes, sleeps
 * or dies; and the producer waits for the slowest of those that count, and for nobody else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../../lib/internal.h"
#include "../quiet.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define FIRST ((1ull << 32) - 100)

static const size_t sizes[] = { 1, 8, 24, 56, 57, 200 };

static struct ringq *make(uint32_t memory, size_t elem_size, uint64_t capacity, uint32_t flags)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = memory, .discipline = RINGQ_GATED,
		.elem_size = elem_size, .capacity = capacity, .first = FIRST, .consumers = 70,
		.flags = flags,
	};
	struct ringq *ring = NULL;

	assert_int_equal(ringq_create(&opts, &ring), 0);
	return ring;
}

static uint64_t capacity_of(const struct ringq *ring)
{
	struct ringq_info info = { .size = sizeof(info) };

	assert_int_equal(ringq_get_info(ring, &info), 0);
	return info.capacity;
}

static void attach(struct ringq *ring, enum ringq_role role, struct ringq_port *port)
{
	assert_int_equal(ringq_attach(ring, role, port), 0);
}

static int attach_with(struct ringq *ring, uint32_t flags, uint32_t place,
		       struct ringq_port *port)
{
	const struct ringq_attach_opts opts = {
		.size = sizeof(opts), .flags = flags, .place = place,
	};

	return ringq_attach_with(ring, RINGQ_CONSUMER, &opts, port);
}

static void fill(void *msg, size_t size, uint64_t seq)
{
	unsigned char *to = msg;
	size_t i;

	for (i = 0; i < size; i++)
		to[i] = i < 8 ? seq >> 8 * i : (seq + i) * 0x9d + (seq >> 8);
}

static bool is_whole(const void *msg, size_t size, uint64_t seq)
{
	unsigned char should[size];

	fill(should, size, seq);
	return memcmp(msg, should, size) == 0;
}

/* Sends messages until it must wait, but no further than to a number; returns that of the next. */
static uint64_t send_to(struct ringq_port *out, uint64_t seq, uint64_t end)
{
	unsigned char msg[out->elem_size];
	int r;

	for (; seq < end; seq++) {
		fill(msg, sizeof(msg), seq);
		r = ringq_send(out, msg, RINGQ_NOWAIT);
		if (r == -EAGAIN)
			break;
		assert_int_equal(r, 1);
	}
	return seq;
}

static void recv_range(struct ringq_port *in, uint64_t from, uint64_t to)
{
	unsigned char msg[in->elem_size];

	for (; from < to; from++) {
		assert_int_equal(ringq_recv(in, msg, RINGQ_NOWAIT), 1);
		if (!is_whole(msg, sizeof(msg), from))
			fail_msg("another message than %llu", (unsigned long long)from);
	}
}

static void recv_all(struct ringq_port *in, uint64_t from, uint64_t to)
{
	unsigned char msg[in->elem_size];

	recv_range(in, from, to);
	assert_int_equal(ringq_recv(in, msg, RINGQ_NOWAIT), -EAGAIN);
}

static void slowest_gates(void **state)
{
	struct ringq_port out, in[3];
	uint64_t capacity, sent, at[3];
	unsigned int s, i, step;

	(void)state;
	for (s = 0; s < COUNT(sizes); s++) {
		struct ringq *ring = make(RINGQ_PRIVATE, sizes[s], 20, 0);

		capacity = capacity_of(ring);
		attach(ring, RINGQ_PRODUCER, &out);
		for (i = 0; i < 3; i++) {
			/* Also in the second word of the bits. */
			assert_int_equal(attach_with(ring, RINGQ_AT_PLACE, (uint32_t[]){ 0, 63, 69 }
						     [i], &in[i]), 0);
			at[i] = 0;
		}
		sent = 0;
		for (step = 0; step < 500; step++) {
			uint64_t least;

			/* Each of them in turn is ahead of the others. */
			i = step % 7 % 3;
			if (sent - at[i]) {
				uint64_t n = 1 + step % (sent - at[i]);

				recv_range(&in[i], at[i], at[i] + n);
				at[i] += n;
			}
			assert_int_equal(ringq_lag(&in[i]), sent - at[i]);
			least = at[0] < at[1] ? at[0] : at[1];
			least = least < at[2] ? least : at[2];
			sent = send_to(&out, sent, UINT64_MAX);
			assert_int_equal(sent, least + capacity);
		}
		for (i = 0; i < 3; i++) {
			recv_all(&in[i], at[i], sent);
			ringq_detach(&in[i]);
		}
		assert_int_equal(ringq_drain(&out, 0), 0);
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

static void nobody_gates(void **state)
{
	struct ringq *ring = make(RINGQ_PRIVATE, 8, 20, 0);
	struct ringq_port out, in;
	uint64_t capacity = capacity_of(ring);

	(void)state;
	attach(ring, RINGQ_PRODUCER, &out);
	assert_int_equal(send_to(&out, 0, 1000), 1000);
	assert_int_equal(ringq_drain(&out, 0), 0);
	attach(ring, RINGQ_CONSUMER, &in);
	assert_int_equal(send_to(&out, 1000, 5000), 1000 + capacity);
	assert_int_equal(ringq_drain(&out, 0), -EAGAIN);
	/* Also if it has read nothing. */
	ringq_detach(&in);
	assert_int_equal(ringq_drain(&out, 0), 0);
	assert_int_equal(send_to(&out, 1000 + capacity, 5000), 5000);
	/* The last one's leaving is no end, as the last one's of other rings is. */
	attach(ring, RINGQ_CONSUMER, &in);
	assert_int_equal(send_to(&out, 5000, 5003), 5003);
	recv_all(&in, 5000, 5003);
	ringq_detach(&in);
	ringq_detach(&out);
	ringq_leave(ring);
}

/* Where a reader begins, whatever the producer's lap is, and what it knows of its limit. */
static void begins(void **state)
{
	struct ringq_port out, slow, in;
	uint64_t capacity, sent, at, n;
	unsigned int s, i;

	(void)state;
	for (s = 0; s < COUNT(sizes); s++) {
		struct ringq *ring = make(RINGQ_PRIVATE, sizes[s], 20, 0);

		capacity = capacity_of(ring);
		attach(ring, RINGQ_PRODUCER, &out);
		for (sent = 0; sent < 3 * capacity; sent++) {
			assert_int_equal(send_to(&out, sent, sent + 1), sent + 1);
			/* From now. */
			attach(ring, RINGQ_CONSUMER, &in);
			assert_int_equal(ringq_position(&in), FIRST + sent + 1);
			recv_all(&in, 0, 0);
			ringq_detach(&in);
			/* Nobody knows of anything older. */
			assert_int_equal(attach_with(ring, RINGQ_OLDEST, 0, &in), 0);
			assert_int_equal(ringq_position(&in), FIRST + sent + 1);
			ringq_detach(&in);
		}
		for (i = 0; i < 60; i++) {
			attach(ring, RINGQ_CONSUMER, &slow);
			assert_int_equal(ringq_position(&slow), FIRST + sent);
			at = sent;
			n = i * 7 % capacity + 1;
			sent = send_to(&out, sent, sent + n);
			attach(ring, RINGQ_CONSUMER, &in);
			assert_int_equal(ringq_position(&in), FIRST + sent);
			assert_int_equal(ringq_lag(&in), 0);
			ringq_detach(&in);
			/* All that the slowest has not released... */
			recv_range(&slow, at, at + i % n);
			at += i % n;
			assert_int_equal(attach_with(ring, RINGQ_OLDEST, 0, &in), 0);
			assert_int_equal(ringq_position(&in), FIRST + at);
			/* ...which is then kept for this one too. */
			recv_all(&slow, at, sent);
			sent = send_to(&out, sent, UINT64_MAX);
			assert_int_equal(sent, at + capacity);
			recv_all(&in, at, sent);
			ringq_detach(&in);
			ringq_detach(&slow);
		}
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

struct sender {
	struct ringq_port out;
	uint64_t from, to;
	int error;
	pthread_t thread;
};

static void *send_all(void *arg)
{
	struct sender *s = arg;
	unsigned char msg[200];
	int r = 0;

	for (; r >= 0 && s->from < s->to; s->from++) {
		fill(msg, s->out.elem_size, s->from);
		r = ringq_send(&s->out, msg, RINGQ_FOREVER);
	}
	s->error = r < 0 ? r : 0;
	return NULL;
}

static void start(struct sender *s, uint64_t from, uint64_t to)
{
	s->from = from;
	s->to = to;
	assert_int_equal(pthread_create(&s->thread, NULL, send_all, s), 0);
}

/* A producer that is not woken is not waited for without end. */
static void finish(struct sender *s)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += 100;
	assert_int_equal(pthread_timedjoin_np(s->thread, NULL, &ts), 0);
	assert_int_equal(s->error, 0);
}

static bool is_asleep(const struct ringq_port *port)
{
	return ringq_load_acquire(&port->page->wake) == RINGQ_ASLEEP;
}

/* A producer that sleeps for the sake of the slowest is woken when that one moves, or leaves. */
static void producer_sleeps(void **state)
{
	struct ringq *ring = make(RINGQ_PRIVATE, 8, 20, 0);
	uint64_t capacity = capacity_of(ring);
	struct ringq_port slow, fast;
	struct sender s;

	(void)state;
	attach(ring, RINGQ_PRODUCER, &s.out);
	attach(ring, RINGQ_CONSUMER, &slow);
	attach(ring, RINGQ_CONSUMER, &fast);
	start(&s, 0, capacity + 1);
	while (!is_asleep(&s.out))
		usleep(100);
	/* That one does not matter. */
	recv_all(&fast, 0, capacity);
	while (!is_asleep(&s.out))
		usleep(100);
	recv_range(&slow, 0, 1);
	finish(&s);

	start(&s, capacity + 1, 2 * capacity);
	while (!is_asleep(&s.out))
		usleep(100);
	recv_all(&fast, capacity, capacity + 1);
	ringq_detach(&slow);
	finish(&s);
	recv_all(&fast, capacity + 1, 2 * capacity);
	ringq_detach(&fast);
	ringq_detach(&s.out);
	ringq_leave(ring);
}

/* Readers come and go while the producer runs; those that stay miss nothing. */
struct crowd {
	struct ringq *ring;
	size_t size;
	bool stop;
	const char *wrong;
};

static void *come_and_go(void *arg)
{
	struct crowd *c = arg;
	unsigned char msg[200];
	struct ringq_port in;
	uint64_t seq, n = 0, i;
	int r;

	while (!ringq_load_acquire(&c->stop)) {
		r = attach_with(c->ring, n % 3 ? 0 : RINGQ_OLDEST, 0, &in);
		if (r < 0) {
			c->wrong = "attach";
			break;
		}
		/* Sometimes slow at first, so that the producer comes round and waits. */
		if (n % 5 == 0)
			usleep(50);
		seq = ringq_position(&in) - FIRST;
		for (i = 0; i < n % 200; i++, seq++) {
			r = ringq_recv(&in, msg, 1000000);
			if (r == -ETIMEDOUT || r == 0)
				break;
			if (r < 0 || !is_whole(msg, c->size, seq))
				c->wrong = "message";
		}
		ringq_detach(&in);
		n++;
	}
	return NULL;
}

static void *stay(void *arg)
{
	struct crowd *c = arg;
	unsigned char msg[200];
	struct ringq_port in;
	uint64_t seq = 0;
	int r;

	if (ringq_attach(c->ring, RINGQ_CONSUMER, &in) < 0)
		c->wrong = "attach";
	seq = ringq_position(&in) - FIRST;
	while ((r = ringq_recv(&in, msg, RINGQ_FOREVER)) == 1) {
		if (!is_whole(msg, c->size, seq++))
			c->wrong = "order";
	}
	if (r < 0)
		c->wrong = "receive";
	ringq_detach(&in);
	return NULL;
}

static void arrivals(void **state)
{
	static const struct {
		size_t size;
		uint64_t capacity;
		uint32_t flags;
		uint64_t n;
	} crowds[] = {
		{ 8, 7, 0, 20000 }, { 8, 112, 0, 150000 }, { 200, 1, 0, 4000 },
		{ 200, 32, 0, 50000 }, { 8, 112, RINGQ_FENCE, 50000 },
	};
	unsigned int i, j;

	(void)state;
	for (i = 0; i < COUNT(crowds) * 2; i++) {
		struct crowd c = {
			.ring = make(RINGQ_PRIVATE, crowds[i / 2].size, crowds[i / 2].capacity,
				     crowds[i / 2].flags),
			.size = crowds[i / 2].size,
		};
		pthread_t guests[2], resident;
		struct sender s;

		attach(c.ring, RINGQ_PRODUCER, &s.out);
		/* With somebody who stays, and with nobody, when the producer may run free. */
		if (i % 2)
			assert_int_equal(pthread_create(&resident, NULL, stay, &c), 0);
		for (j = 0; j < 2; j++)
			assert_int_equal(pthread_create(&guests[j], NULL, come_and_go, &c), 0);
		start(&s, 0, crowds[i / 2].n);
		finish(&s);
		ringq_store_release(&c.stop, true);
		for (j = 0; j < 2; j++)
			pthread_join(guests[j], NULL);
		ringq_detach(&s.out);
		if (i % 2)
			pthread_join(resident, NULL);
		if (c.wrong)
			fail_msg("crowd %u: %s", i, c.wrong);
		ringq_leave(c.ring);
	}
}

/*
 * In a child: attaches, receives some, has some in hand, dies; or with garble, dies as one
 * who has not yet arrived, far behind.
 */
static void die_reading(struct ringq *ring, int go, uint64_t n, uint64_t hand, bool garble)
{
	struct ringq_port in;
	unsigned char msg[200];
	char byte = 0;

	if (ringq_join_fd(ringq_fd(ring), NULL, &ring) < 0 ||
	    ringq_attach(ring, RINGQ_CONSUMER, &in) < 0)
		_exit(1);
	if (write(go, &byte, 1) != 1)
		_exit(1);
	for (; n; n--) {
		if (ringq_recv(&in, msg, RINGQ_FOREVER) != 1)
			_exit(1);
	}
	while (hand && ringq_peek(&in, hand, RINGQ_FOREVER) != (int64_t)hand)
		ringq_release(&in, 0);
	if (garble) {
		in.page->claim = RINGQ_CLAIM(RINGQ_IDLE, 0, 0);
		in.page->progress.done = FIRST;
	}
	raise(SIGKILL);
}

static pid_t start_reader(struct ringq *ring, uint64_t n, uint64_t hand, bool garble)
{
	int fds[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	quiet();
	pid = fork();
	if (pid == 0)
		die_reading(ring, fds[1], n, hand, garble);
	assert_true(pid > 0);
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	close(fds[0]);
	return pid;
}

static void wait_dead(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* The gate of the dead is dropped, and the producer that slept because of it goes on. */
static void dead_is_dropped(void **state)
{
	struct ringq *ring = make(RINGQ_MEMFD, 8, 20, 0);
	uint64_t capacity = capacity_of(ring);
	struct ringq_port in;
	struct sender s;
	pid_t pid;

	(void)state;
	attach(ring, RINGQ_PRODUCER, &s.out);
	attach(ring, RINGQ_CONSUMER, &in);
	pid = start_reader(ring, 3, 2, false);
	start(&s, 0, capacity);
	finish(&s);
	wait_dead(pid);
	recv_all(&in, 0, capacity);
	start(&s, capacity, 2 * capacity);
	finish(&s);
	recv_all(&in, capacity, 2 * capacity);
	/* And its place is a new one's. */
	assert_int_equal(attach_with(ring, 0, 0, &in), 0);
	assert_int_equal(ringq_flags(&in), 0);
	recv_all(&in, 0, 0);
	ringq_detach(&in);
	ringq_detach(&s.out);
	ringq_leave(ring);
}

/* The gate of the dead is kept: nothing that it had not released is lost. */
static void dead_is_kept(void **state)
{
	unsigned int s;

	(void)state;
	for (s = 0; s < COUNT(sizes); s++) {
		struct ringq *ring = make(RINGQ_MEMFD, sizes[s], 20, RINGQ_CONSUMER_WAIT);
		uint64_t capacity = capacity_of(ring), sent;
		struct ringq_port out, in, next;
		unsigned char msgs[200 * 200];
		pid_t pid;
		int64_t r;

		attach(ring, RINGQ_PRODUCER, &out);
		attach(ring, RINGQ_CONSUMER, &in);
		pid = start_reader(ring, 3, 2, false);
		sent = send_to(&out, 0, capacity);
		assert_int_equal(sent, capacity);
		wait_dead(pid);
		recv_all(&in, 0, capacity);
		/* It gates, before it is buried and after that. */
		sent = send_to(&out, sent, UINT64_MAX);
		assert_int_equal(sent, capacity + 3);
		attach(ring, RINGQ_CONSUMER, &next);
		assert_int_equal(next.index, 1);
		assert_int_equal(ringq_position(&next), FIRST + 3);
		assert_int_equal(ringq_flags(&next), RINGQ_REDELIVERED);
		r = ringq_recv_many(&next, msgs, 200, 0);
		assert_int_equal(r, 2);
		assert_int_equal(ringq_flags(&next), RINGQ_REDELIVERED);
		assert_true(is_whole(msgs, sizes[s], 3));
		assert_true(is_whole(msgs + sizes[s], sizes[s], 4));
		recv_all(&next, 5, sent);
		assert_int_equal(ringq_flags(&next), 0);
		recv_all(&in, capacity, sent);
		assert_int_equal(send_to(&out, sent, sent + 2), sent + 2);
		/* Who leaves does not come back, and is not waited for. */
		ringq_detach(&next);
		recv_all(&in, sent, sent + 2);
		assert_int_equal(send_to(&out, sent + 2, sent + 2 + capacity), sent + 2 + capacity);
		recv_all(&in, sent + 2, sent + 2 + capacity);
		attach(ring, RINGQ_CONSUMER, &next);
		assert_int_equal(ringq_position(&next), FIRST + sent + 2 + capacity);
		ringq_detach(&next);
		ringq_detach(&in);
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

/* Who died before its gate stood has nothing that could be continued. */
static void dead_on_arrival(void **state)
{
	struct ringq *ring = make(RINGQ_MEMFD, 8, 20, RINGQ_CONSUMER_WAIT);
	uint64_t capacity = capacity_of(ring), sent;
	struct ringq_port out, in;
	pid_t pid;

	(void)state;
	attach(ring, RINGQ_PRODUCER, &out);
	assert_int_equal(send_to(&out, 0, 1000), 1000);
	pid = start_reader(ring, 0, 0, true);
	wait_dead(pid);
	/* It is in the way nevertheless, and nothing is overwritten. */
	sent = send_to(&out, 1000, 1000 + 2 * capacity);
	assert_in_range(sent, 1000, 1000 + capacity);
	attach(ring, RINGQ_CONSUMER, &in);
	assert_int_equal(in.index, 0);
	assert_int_equal(ringq_position(&in), FIRST + sent);
	assert_int_equal(ringq_flags(&in), 0);
	assert_int_equal(send_to(&out, sent, sent + 2 * capacity), sent + capacity);
	recv_all(&in, sent, sent + capacity);
	ringq_detach(&in);
	ringq_detach(&out);
	ringq_leave(ring);
}

/* A gate that says what cannot be is at worst in the producer's way. */
static void strange_gates(void **state)
{
	struct ringq *ring = make(RINGQ_PRIVATE, 8, 20, 0);
	uint64_t capacity = capacity_of(ring), sent;
	const uint64_t far[] = {
		FIRST, 0, FIRST + 1000 - capacity - 1, FIRST + 999 - (1ull << 62),
	};
	struct ringq_port out, in, strange;
	unsigned int i;

	(void)state;
	attach(ring, RINGQ_PRODUCER, &out);
	assert_int_equal(send_to(&out, 0, 1000), 1000);
	sent = 1000;
	attach(ring, RINGQ_CONSUMER, &in);
	attach(ring, RINGQ_CONSUMER, &strange);
	for (i = 0; i < COUNT(far); i++) {
		sent = send_to(&out, sent, sent + capacity);
		strange.page->progress.done = far[i];
		recv_all(&in, ringq_position(&in) - FIRST, sent);
		assert_int_equal(send_to(&out, sent, sent + 1), sent);
		assert_int_equal(ringq_send(&out, "12345678", 1000000), -ETIMEDOUT);
		/* Ahead of the producer it is in nobody's way. */
		strange.page->progress.done = FIRST + sent + 5;
		assert_int_equal(send_to(&out, sent, sent + 1), sent + 1);
		sent++;
	}
	/* Places that there are not. */
	ringq_detach(&strange);
	recv_all(&in, ringq_position(&in) - FIRST, sent);
	{
		struct ringq_attention *a = (struct ringq_attention *)((char *)out.attention -
						offsetof(struct ringq_attention, data));

		a->live[RINGQ_CONSUMER][1] |= ~UINT64_C(0) << 6;
		a->live[RINGQ_CONSUMER][2] = UINT64_MAX;
		a->kept[3] = UINT64_MAX;
	}
	assert_int_equal(send_to(&out, sent, sent + capacity), sent + capacity);
	ringq_detach(&in);
	ringq_detach(&out);
	ringq_leave(ring);
}

/*
 * An arrival in slow motion. What others do meanwhile is done when the arriving reader makes its
 * barrier, or when a word is stored in a page that has been protected.
 */
static struct {
	struct ringq *ring;
	struct ringq_port out, slow, in;
	uint64_t sent;
	void (*at_barrier)(void);
	unsigned int barriers;
	void *page;
	void (*at_store)(void);
} motion;

/* Instead of the C library's, which it calls. */
long syscall(long number, ...)
{
	static long (*real)(long number, ...);
	long a[6];
	va_list args;
	int i;

	va_start(args, number);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (!real)
		real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	if (number == SYS_membarrier && motion.at_barrier) {
		void (*happens)(void) = motion.at_barrier;

		motion.barriers++;
		motion.at_barrier = NULL;
		happens();
	}
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void motion_handler(int sig)
{
	(void)sig;
	mprotect(motion.page, 4096, PROT_READ | PROT_WRITE);
	motion.at_store();
}

static void motion_protect(const struct ringq_port *port, void (*at_store)(void))
{
	motion.page = port->page;
	motion.at_store = at_store;
	mprotect(motion.page, 4096, PROT_READ);
}

static void motion_begin(void)
{
	const struct sigaction act = { .sa_handler = motion_handler };

	memset(&motion, 0, sizeof(motion));
	motion.ring = make(RINGQ_PRIVATE, 8, 28, 0);
	attach(motion.ring, RINGQ_PRODUCER, &motion.out);
	sigaction(SIGSEGV, &act, NULL);
}

static void motion_end(void)
{
	signal(SIGSEGV, SIG_DFL);
	ringq_detach(&motion.in);
	ringq_detach(&motion.slow);
	ringq_detach(&motion.out);
	ringq_leave(motion.ring);
}

static struct ringq_port_page *reader_page(uint32_t i)
{
	return ringq_port_page(motion.ring, motion.out.base, RINGQ_CONSUMER, i);
}

/* What the reader gets, from its beginning to the last message. */
static void motion_check(void)
{
	recv_all(&motion.in, ringq_position(&motion.in) - FIRST, motion.sent);
	motion.sent = send_to(&motion.out, motion.sent, motion.sent + 30);
	recv_all(&motion.in, ringq_position(&motion.in) - FIRST, motion.sent);
}

static void send_three(void)
{
	/* Whatever its predecessor's gate did, this one does not stand yet. */
	assert_int_equal(ringq_claim_state(motion.in.page->claim), RINGQ_IDLE);
	motion.sent = send_to(&motion.out, motion.sent, motion.sent + 3);
}

/* What the producer published before the barrier is not missed. */
static void barrier_then_tail(void **state)
{
	(void)state;
	motion_begin();
	motion.sent = send_to(&motion.out, 0, 5);
	reader_page(0)->claim = RINGQ_CLAIM(RINGQ_OWN, 0, 0);
	motion.at_barrier = send_three;
	assert_int_equal(attach_with(motion.ring, 0, 0, &motion.in), 0);
	assert_int_equal(motion.barriers, 1);
	assert_int_equal(motion.sent, 8);
	assert_int_equal(ringq_position(&motion.in), FIRST + 8);
	motion_check();
	assert_int_equal(ringq_attach(motion.ring, RINGQ_CONSUMER, &motion.slow), 0);
	motion_end();
}

static void everybody_goes_on(void)
{
	int i;

	for (i = 0; i < 5; i++) {
		recv_all(&motion.slow, ringq_position(&motion.slow) - FIRST, motion.sent);
		motion.sent = send_to(&motion.out, motion.sent, motion.sent + 100);
	}
}

static void stop_before_it_stands(void)
{
	motion_protect(&motion.in, everybody_goes_on);
}

/* The slowest that it goes by goes on before the new gate stands: it is in the way already. */
static void slowest_goes_on(void **state)
{
	(void)state;
	motion_begin();
	assert_int_equal(ringq_attach(motion.ring, RINGQ_CONSUMER, &motion.slow), 0);
	motion.sent = send_to(&motion.out, 0, 10);
	recv_range(&motion.slow, 0, 2);
	/* The producer says how far it is: there the new gate is, before it is lowered. */
	assert_int_equal(ringq_drain(&motion.out, 0), -EAGAIN);
	motion.at_barrier = stop_before_it_stands;
	assert_int_equal(attach_with(motion.ring, RINGQ_OLDEST, 0, &motion.in), 0);
	assert_int_equal(motion.barriers, 1);
	assert_int_equal(ringq_position(&motion.in), FIRST + 2);
	recv_range(&motion.in, 2, motion.sent);
	ringq_detach(&motion.slow);
	motion_check();
	motion_end();
}

static struct ringq_attention *attention_of(const struct ringq_port *out)
{
	return (struct ringq_attention *)((char *)out->attention -
					  offsetof(struct ringq_attention, data));
}

/* Another reader's gate is there: it stands, or its reader is just arriving. */
static void another_gate(uint64_t done, bool stands)
{
	struct ringq_port_page *page = reader_page(5);

	page->claim = RINGQ_CLAIM(stands ? RINGQ_OWN : RINGQ_IDLE, 0, 0);
	page->progress.done = FIRST + done;
	attention_of(&motion.out)->live[RINGQ_CONSUMER][0] |= 1 << 5;
}

static void no_other_gate(void)
{
	attention_of(&motion.out)->live[RINGQ_CONSUMER][0] &= ~(1ull << 5);
}

/* What means nothing, or lies, does not make a reader begin where the producer may overwrite. */
static void below_oldest(void **state)
{
	uint64_t oldest;

	(void)state;
	motion_begin();
	motion.sent = send_to(&motion.out, 0, 1000);
	/* It may go so far without looking at any gate. */
	oldest = motion.out.limit - FIRST - capacity_of(motion.ring);
	assert_in_range(oldest, 1000 - 27, 1000 - 1);
	another_gate(oldest + 1, false);
	assert_int_equal(attach_with(motion.ring, RINGQ_OLDEST, 0, &motion.in), 0);
	assert_int_equal(ringq_position(&motion.in), FIRST + motion.sent);
	ringq_detach(&motion.in);
	another_gate(oldest - 2, true);
	assert_int_equal(attach_with(motion.ring, RINGQ_OLDEST, 0, &motion.in), 0);
	no_other_gate();
	assert_int_equal(ringq_position(&motion.in), FIRST + oldest);
	motion.sent = send_to(&motion.out, motion.sent, motion.sent + 100);
	motion_check();
	assert_int_equal(ringq_attach(motion.ring, RINGQ_CONSUMER, &motion.slow), 0);
	motion_end();
}

static void arrive_now(void)
{
	another_gate(1000 - 3, true);
	assert_int_equal(attach_with(motion.ring, RINGQ_OLDEST, 0, &motion.in), 0);
	no_other_gate();
}

/* A reader arrives between the producer's two looks. */
static void between_looks(void **state)
{
	uint64_t done;

	(void)state;
	motion_begin();
	motion.sent = send_to(&motion.out, 0, 1000);
	motion_protect(&motion.out, arrive_now);
	done = motion.out.ops->peer_done(&motion.out);
	assert_int_equal(ringq_position(&motion.in), FIRST + 997);
	assert_int_equal(done, FIRST + 997);
	assert_int_equal(ringq_attach(motion.ring, RINGQ_CONSUMER, &motion.slow), 0);
	motion_end();
}

struct e24 { unsigned char bytes[24]; };

RINGQ_TYPED(gated24, struct e24, gated);

static void typed(void **state)
{
	struct ringq *ring = make(RINGQ_PRIVATE, 24, 8, 0);
	struct gated24_producer out;
	struct gated24_consumer in[2];
	struct e24 msgs[8];
	unsigned int i, j;

	(void)state;
	assert_int_equal(gated24_attach_producer(ring, &out), 0);
	for (j = 0; j < 2; j++)
		assert_int_equal(gated24_attach_consumer(ring, &in[j]), 0);
	for (i = 0; i < 8; i++)
		fill(&msgs[i], 24, i);
	assert_int_equal(gated24_send(&out, &msgs[0], 0), 1);
	assert_int_equal(gated24_send_many(&out, msgs + 1, 5, 0), 5);
	assert_int_equal(gated24_reserve(&out, 2, 0), 0);
	*gated24_room(&out, 0) = msgs[6];
	*gated24_room(&out, 1) = msgs[7];
	assert_int_equal(gated24_commit(&out, 2), 0);
	assert_int_equal(gated24_send(&out, &msgs[0], 0), -EAGAIN);
	for (j = 0; j < 2; j++) {
		memset(msgs, 0, sizeof(msgs));
		assert_int_equal(gated24_recv(&in[j], msgs, 0), 1);
		assert_int_equal(gated24_recv_many(&in[j], msgs + 1, 6, 0), 6);
		assert_int_equal(gated24_peek(&in[j], 5, 0), 1);
		msgs[7] = *gated24_at(&in[j], 0);
		assert_int_equal(gated24_release(&in[j], 1), 0);
		for (i = 0; i < 8; i++)
			assert_true(is_whole(&msgs[i], 24, i));
		ringq_detach(&in[j].port);
	}
	ringq_detach(&out.port);
	ringq_leave(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slowest_gates),
		cmocka_unit_test(nobody_gates),
		cmocka_unit_test(begins),
		cmocka_unit_test(producer_sleeps),
		cmocka_unit_test(arrivals),
		cmocka_unit_test(dead_is_dropped),
		cmocka_unit_test(dead_is_kept),
		cmocka_unit_test(dead_on_arrival),
		cmocka_unit_test(strange_gates),
		cmocka_unit_test(barrier_then_tail),
		cmocka_unit_test(slowest_goes_on),
		cmocka_unit_test(below_oldest),
		cmocka_unit_test(between_looks),
		cmocka_unit_test(typed),
	};

	/* A hang is a failure. */
	alarm(250);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
