// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * ringq/loop.h: what a loop hands to its handler, in every discipline, memory and way to wait;
 * how it ends, and what it then leaves in the ring. A hang is a failure: the alarm ends the test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <ringq.h>
#include <ringq/loop.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../quiet.h"

#define LIMIT 120	/* seconds for all of them; a few are usual */
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WAIT (RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT)
#define CAPACITY 100

/* What a handler sees, and how it behaves. */
struct seen {
	uint64_t next;		/* the first byte of a message says this, or... */
	uint64_t count, sum;	/* ...with gaps: these */
	uint64_t lost;
	uint64_t redelivered;
	uint64_t wrong;
	bool gaps;
	uint64_t enough;	/* stop at this count */
	uint64_t hold;		/* at this count, tell that it is here and wait */
	sem_t here, go;
	struct ringq_port *echo;	/* send as many again */
	struct ringq_loop *loop;
	int joined;
	pid_t tid;
	sigset_t blocked;
};

static struct ringq_port out, in;

/* A message is its number, and as many bytes more as its size says. */
static void fill(unsigned char *msg, size_t size, uint64_t number)
{
	memset(msg, number, size);
	memcpy(msg, &number, sizeof(number));
}

static size_t record_size(uint64_t number)
{
	return 8 + number % 50;
}

static int on_message(void *arg, const void *msg, size_t size, uint32_t flags)
{
	unsigned char like[64];
	struct seen *s = arg;
	uint64_t number;

	if (flags & RINGQ_LOOP_LOST) {
		s->lost += size;
		s->wrong += msg || !size || flags != RINGQ_LOOP_LOST;
		return 0;
	}
	memcpy(&number, msg, sizeof(number));
	fill(like, size, number);
	s->wrong += memcmp(like, msg, size) || (!s->gaps && number != s->next);
	s->redelivered += flags & RINGQ_REDELIVERED ? 1 : 0;
	s->wrong += flags & ~RINGQ_REDELIVERED ? 1 : 0;
	s->next = number + 1;
	s->sum += number;
	s->count++;
	if (s->count == 1) {
		s->tid = gettid();
		pthread_sigmask(SIG_BLOCK, NULL, &s->blocked);
	}
	if (s->count == s->hold) {
		sem_post(&s->here);
		sem_wait(&s->go);
	}
	if (s->echo)
		s->wrong += ringq_send(s->echo, &s->next, RINGQ_NOWAIT) != 1;
	if (s->loop)
		s->joined = ringq_loop_join(s->loop, NULL, RINGQ_NOWAIT);
	return s->count == s->enough;
}

static struct seen *watch(struct seen *s)
{
	sem_init(&s->here, 0, 0);
	sem_init(&s->go, 0, 0);
	return s;
}

static struct ringq *make(uint32_t memory, uint32_t discipline, uint32_t flags)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = memory, .discipline = discipline, .flags = flags,
		.elem_size = flags & RINGQ_RECORDS ? 64 : 8,
		.capacity = flags & RINGQ_RECORDS ? 4096 : CAPACITY,
		.consumers = discipline == RINGQ_LANES ? 2 : 0,
	};
	struct ringq *ring = NULL;

	assert_int_equal(ringq_create(&opts, &ring), 0);
	return ring;
}

static struct ringq *make_pair(uint32_t memory, uint32_t discipline, uint32_t flags)
{
	struct ringq *ring = make(memory, discipline, flags);

	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	return ring;
}

static void leave(struct ringq *ring)
{
	ringq_detach(&out);
	ringq_detach(&in);
	ringq_leave(ring);
}

static struct ringq_loop *start(struct ringq_port *port, struct seen *s, uint32_t strategy,
				uint32_t batch)
{
	const struct ringq_loop_opts opts = {
		.size = sizeof(opts), .handler = on_message, .arg = s, .batch = batch,
	};
	struct ringq_loop *loop = NULL;

	assert_int_equal(ringq_set_strategy(port, strategy), 0);
	assert_int_equal(ringq_loop_start(port, &opts, &loop), 0);
	return loop;
}

static void send_range(uint64_t from, uint64_t to)
{
	for (; from < to; from++)
		assert_int_equal(ringq_send(&out, &from, RINGQ_FOREVER), 1);
}

static uint64_t recv_one(void)
{
	uint64_t number = 0;

	assert_int_equal(ringq_recv(&in, &number, RINGQ_NOWAIT), 1);
	return number;
}

static void join(struct ringq_loop *loop, int end, uint64_t count)
{
	uint64_t handled = 0;

	assert_int_equal(ringq_loop_join(loop, &handled, RINGQ_FOREVER), end);
	assert_int_equal(handled, count);
}

/* The loop is asleep in poll(2), as far as the kernel tells. */
static void until_asleep(pid_t tid)
{
	char path[64], state = 0;
	int looks = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	while (looks < 3) {
		f = fopen(path, "r");
		assert_non_null(f);
		assert_int_equal(fscanf(f, "%*d (%*[^)]) %c", &state), 1);
		fclose(f);
		looks = state == 'S' ? looks + 1 : 0;
		usleep(1000);
	}
}

static uint64_t switches(pid_t tid)
{
	unsigned long long n = 0;
	char path[64], line[128];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) &&
	       sscanf(line, "voluntary_ctxt_switches: %llu", &n) != 1)
		;
	fclose(f);
	return n;
}

static unsigned int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static const uint32_t memories[] = { RINGQ_PRIVATE, RINGQ_MEMFD };

static const uint32_t strategies[] = {
	RINGQ_STRATEGY_PHASED, RINGQ_STRATEGY_BLOCK, RINGQ_STRATEGY_SPIN, RINGQ_STRATEGY_YIELD,
	RINGQ_STRATEGY_SLEEP,
};

/* All messages, in order, and the end, from senders that are faster and slower by turns. */
static void every_discipline(void **state)
{
	static const uint32_t disciplines[] = {
		RINGQ_SPSC, RINGQ_MPSC, RINGQ_SPMC, RINGQ_MPMC, RINGQ_LANES, RINGQ_GATED,
	};
	unsigned int m, d, w;

	(void)state;
	for (m = 0; m < COUNT(memories); m++)
		for (d = 0; d < COUNT(disciplines); d++)
			for (w = 0; w < COUNT(strategies); w++) {
				struct ringq *ring = make_pair(memories[m], disciplines[d], 0);
				struct seen s = { 0 };
				struct ringq_loop *loop = start(&in, &s, strategies[w], w * d % 4);

				send_range(0, 1000);
				ringq_detach(&out);
				join(loop, RINGQ_LOOP_EOF, 1000);
				assert_int_equal(s.next, 1000);
				assert_int_equal(s.wrong, 0);
				leave(ring);
			}
}

static void records(void **state)
{
	static const uint32_t disciplines[] = { RINGQ_SPSC, RINGQ_LANES, RINGQ_GATED };
	unsigned char msg[64];
	unsigned int m, d;
	uint64_t i;

	(void)state;
	for (m = 0; m < COUNT(memories); m++)
		for (d = 0; d < COUNT(disciplines); d++) {
			struct seen s = { 0 };
			struct ringq *ring = make_pair(memories[m], disciplines[d],
						       RINGQ_RECORDS);
			struct ringq_loop *loop = start(&in, &s, RINGQ_STRATEGY_BLOCK, 0);

			for (i = 0; i < 1000; i++) {
				fill(msg, record_size(i), i);
				assert_int_equal(ringq_send_record(&out, msg, record_size(i),
								   RINGQ_FOREVER), 1);
			}
			ringq_detach(&out);
			join(loop, RINGQ_LOOP_EOF, 1000);
			assert_int_equal(s.wrong, 0);
			leave(ring);
		}
}

/* What is overwritten is told, once, and all the rest is shown. */
static void lossy(void **state)
{
	static const uint32_t flags[] = { 0, RINGQ_RECORDS };
	unsigned char msg[64];
	unsigned int m, f;
	uint64_t i;

	(void)state;
	for (m = 0; m < COUNT(memories); m++)
		for (f = 0; f < COUNT(flags); f++) {
			struct ringq *ring = make_pair(memories[m], RINGQ_LOSSY, flags[f]);
			struct seen s = { .gaps = true, .hold = 1 };
			struct ringq_loop *loop;
			uint64_t handled;

			fill(msg, 8, 0);
			/* Lost before the loop, by one who has been told: not to be told again. */
			for (i = 0; i < 1000; i++)
				assert_int_equal(flags[f] ? ringq_send_record(&out, msg, 8, 0) :
							    ringq_send(&out, msg, 0), 1);
			assert_int_equal(ringq_discard(&in), -EOVERFLOW);
			while (ringq_discard(&in) > 0)
				;
			assert_true(ringq_lost(&in));

			/* Found within a batch, and at the beginning of one. */
			loop = start(&in, watch(&s), RINGQ_STRATEGY_BLOCK, m);
			for (i = 0; i < 1000; i++) {
				fill(msg, 8, i);
				assert_int_equal(flags[f] ? ringq_send_record(&out, msg, 8, 0) :
							    ringq_send(&out, msg, 0), 1);
				if (!i)
					sem_wait(&s.here);
			}
			sem_post(&s.go);
			ringq_detach(&out);
			assert_int_equal(ringq_loop_join(loop, &handled, RINGQ_FOREVER),
					 RINGQ_LOOP_EOF);
			assert_int_equal(handled, s.count);
			assert_true(s.lost > 0);
			assert_int_equal(s.count + s.lost, 1000);
			assert_int_equal(s.next, 1000);
			assert_int_equal(s.wrong, 0);
			leave(ring);
		}
}

static void latest(void **state)
{
	struct ringq *ring = make_pair(RINGQ_MEMFD, RINGQ_LATEST, 0);
	struct seen s = { .gaps = true };
	struct ringq_loop *loop = start(&in, &s, RINGQ_STRATEGY_BLOCK, 0);

	(void)state;
	send_range(0, 1000);
	ringq_detach(&out);
	assert_int_equal(ringq_loop_join(loop, NULL, RINGQ_FOREVER), RINGQ_LOOP_EOF);
	assert_int_equal(s.next, 1000);
	assert_int_equal(s.wrong + s.lost, 0);
	leave(ring);
}

/* Several loops share what there is: each message once. */
static void many_loops(void **state)
{
	struct ringq *ring = make(RINGQ_MEMFD, RINGQ_MPMC, 0);
	struct ringq_loop *loops[COUNT(strategies)];
	static struct ringq_port ports[COUNT(strategies)];
	struct seen s[COUNT(strategies)] = { 0 };
	uint64_t count = 0, sum = 0, handled;
	unsigned int i;

	(void)state;
	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	for (i = 0; i < COUNT(strategies); i++) {
		assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &ports[i]), 0);
		s[i].gaps = true;
		loops[i] = start(&ports[i], &s[i], strategies[i], 1);
	}
	send_range(0, 3000);
	ringq_detach(&out);
	for (i = 0; i < COUNT(strategies); i++) {
		assert_int_equal(ringq_loop_join(loops[i], &handled, RINGQ_FOREVER),
				 RINGQ_LOOP_EOF);
		assert_int_equal(handled, s[i].count);
		assert_int_equal(s[i].wrong, 0);
		count += handled;
		sum += s[i].sum;
		ringq_detach(&ports[i]);
	}
	assert_int_equal(count, 3000);
	assert_int_equal(sum, 3000 * 2999 / 2);
	ringq_leave(ring);
}

/* It takes no more in hand than it may: the rest is for others. */
static void batches(void **state)
{
	struct ringq *ring = make_pair(RINGQ_PRIVATE, RINGQ_MPMC, WAIT);
	struct seen s = { .hold = 1, .enough = 3 };
	static struct ringq_port other;
	struct ringq_loop *loop;
	uint64_t number;

	(void)state;
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &other), 0);
	send_range(0, 10);
	loop = start(&in, watch(&s), RINGQ_STRATEGY_BLOCK, 3);
	sem_wait(&s.here);
	assert_int_equal(ringq_recv(&other, &number, RINGQ_NOWAIT), 1);
	assert_int_equal(number, 3);
	sem_post(&s.go);
	join(loop, RINGQ_LOOP_ENOUGH, 3);
	assert_int_equal(recv_one(), 4);
	ringq_detach(&other);
	leave(ring);
}

/* The handler's last message is done with; the next is still there. */
static void enough(void **state)
{
	struct ringq *ring = make_pair(RINGQ_MEMFD, RINGQ_SPSC, WAIT);
	struct seen s = { .enough = 5 };

	(void)state;
	send_range(0, 20);
	join(start(&in, &s, RINGQ_STRATEGY_BLOCK, 0), RINGQ_LOOP_ENOUGH, 5);
	assert_int_equal(recv_one(), 5);
	/* And another loop goes on there. */
	s = (struct seen){ .next = 6, .enough = 14 };
	join(start(&in, &s, RINGQ_STRATEGY_PHASED, 3), RINGQ_LOOP_ENOUGH, 14);
	assert_int_equal(s.wrong, 0);
	assert_int_equal(ringq_len(&in), 0);
	leave(ring);
}

/* While a batch is in hand: the rest of it is a successor's, who is told so. */
static void stop_in_a_batch(void **state)
{
	unsigned int m;

	(void)state;
	for (m = 0; m < COUNT(memories); m++) {
		struct ringq *ring = make_pair(memories[m], RINGQ_SPSC, WAIT);
		struct seen s = { .hold = 7 }, next = { .next = 7, .enough = 13 };
		struct ringq_loop *loop;

		send_range(0, 20);
		loop = start(&in, watch(&s), RINGQ_STRATEGY_BLOCK, 0);
		sem_wait(&s.here);
		assert_int_equal(ringq_loop_handled(loop), 6);
		assert_int_equal(ringq_loop_join(loop, NULL, RINGQ_NOWAIT), -EAGAIN);
		assert_int_equal(ringq_loop_join(loop, NULL, 1000), -ETIMEDOUT);
		assert_int_equal(ringq_loop_drain(loop), 0);
		assert_int_equal(ringq_loop_stop(loop), 0);
		assert_int_equal(ringq_loop_stop(loop), 0);
		sem_post(&s.go);
		join(loop, RINGQ_LOOP_STOPPED, 7);
		ringq_detach(&in);
		assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
		join(start(&in, &next, RINGQ_STRATEGY_BLOCK, 0), RINGQ_LOOP_ENOUGH, 13);
		assert_int_equal(next.redelivered, 13);
		assert_int_equal(s.wrong + next.wrong + s.redelivered, 0);
		leave(ring);
	}
}

/* However it waits, and whichever comes first; nothing of the ring is lost. */
static void stop_while_empty(void **state)
{
	unsigned int m, w, i;

	(void)state;
	for (m = 0; m < COUNT(memories); m++)
		for (w = 0; w < COUNT(strategies); w++) {
			struct ringq *ring = make_pair(memories[m], RINGQ_SPSC, WAIT);
			unsigned int before = count_fds();

			for (i = 0; i < 20; i++) {
				struct seen s = { 0 };
				struct ringq_loop *loop = start(&in, &s, strategies[w], 0);

				if (i % 2)
					usleep(i * 50);
				assert_int_equal(i % 4 < 2 ? ringq_loop_stop(loop) :
							     ringq_loop_drain(loop), 0);
				join(loop, i % 4 < 2 ? RINGQ_LOOP_STOPPED : RINGQ_LOOP_DRAINED,
				     0);
				/* The other side noticed nothing. */
				send_range(i, i + 1);
				assert_int_equal(recv_one(), i);
			}
			/* Only for sleeping a port needs a descriptor. */
			assert_int_equal(count_fds(),
					 before + (strategies[w] < RINGQ_STRATEGY_SPIN));
			leave(ring);
		}
}

/* One that sleeps: it does, all the time, until a message, and then until a stop. */
static void stop_while_asleep(void **state)
{
	unsigned int m;

	(void)state;
	for (m = 0; m < COUNT(memories); m++) {
		struct ringq *ring = make_pair(memories[m], RINGQ_SPSC, WAIT);
		struct seen s = { .hold = 1 };
		struct ringq_loop *loop = start(&in, watch(&s), strategies[m], 0);
		uint64_t before;

		send_range(0, 1);
		sem_wait(&s.here);
		sem_post(&s.go);
		while (ringq_loop_handled(loop) != 1)
			usleep(100);
		until_asleep(s.tid);
		before = switches(s.tid);
		usleep(100000);
		assert_int_equal(switches(s.tid), before);
		send_range(1, 2);
		while (ringq_loop_handled(loop) != 2)
			usleep(100);
		until_asleep(s.tid);
		assert_int_equal(ringq_loop_stop(loop), 0);
		join(loop, RINGQ_LOOP_STOPPED, 2);
		assert_int_equal(s.wrong, 0);
		leave(ring);
	}
}

/* All that is there, in batches, and not what is sent meanwhile. */
static void drain(void **state)
{
	unsigned int w;

	(void)state;
	for (w = 0; w < COUNT(strategies); w++) {
		struct ringq *ring = make_pair(RINGQ_PRIVATE, RINGQ_SPSC, WAIT);
		struct seen s = { .hold = 1 };
		struct ringq_loop *loop = start(&in, watch(&s), strategies[w], 5);

		send_range(0, 1);
		sem_wait(&s.here);
		send_range(1, 12);
		assert_int_equal(ringq_loop_drain(loop), 0);
		s.gaps = true;
		s.echo = &out;
		sem_post(&s.go);
		/* A batch comes first, and is sent again before the thread has noticed. */
		join(loop, RINGQ_LOOP_DRAINED, 5 + 12);
		assert_int_equal(ringq_len(&in), 12);
		assert_int_equal(s.wrong, 0);
		leave(ring);
	}
}

/* The first that ends it counts. */
static void enough_of_a_drain(void **state)
{
	struct ringq *ring = make_pair(RINGQ_PRIVATE, RINGQ_SPSC, WAIT);
	struct seen s = { .hold = 1, .enough = 3 };
	struct ringq_loop *loop;

	(void)state;
	send_range(0, 10);
	loop = start(&in, watch(&s), RINGQ_STRATEGY_BLOCK, 1);
	sem_wait(&s.here);
	assert_int_equal(ringq_loop_drain(loop), 0);
	sem_post(&s.go);
	join(loop, RINGQ_LOOP_ENOUGH, 3);
	assert_int_equal(recv_one(), 3);
	leave(ring);
}

static void *let_go(void *arg)
{
	struct seen *s = arg;

	usleep(20000);
	sem_post(&s->go);
	return NULL;
}

/* A time-out that is longer than it takes, and one that is longer than there is time. */
static void join_in_time(void **state)
{
	static const int64_t timeouts[] = { INT64_C(1000000000) * LIMIT, INT64_MAX };
	unsigned int i;

	(void)state;
	for (i = 0; i < COUNT(timeouts); i++) {
		struct ringq *ring = make_pair(RINGQ_PRIVATE, RINGQ_SPSC, WAIT);
		struct seen s = { .hold = 1, .enough = 1 };
		struct ringq_loop *loop = start(&in, watch(&s), RINGQ_STRATEGY_BLOCK, 0);
		pthread_t thread;

		send_range(0, 1);
		sem_wait(&s.here);
		assert_int_equal(pthread_create(&thread, NULL, let_go, &s), 0);
		assert_int_equal(ringq_loop_join(loop, NULL, timeouts[i]), RINGQ_LOOP_ENOUGH);
		assert_int_equal(pthread_join(thread, NULL), 0);
		leave(ring);
	}
}

/* Closed, or the senders are dead: what was sent is handled first. */
static void ends(void **state)
{
	struct ringq *ring = make_pair(RINGQ_MEMFD, RINGQ_SPSC, WAIT);
	struct seen s = { 0 }, of_child = { 0 };
	struct ringq_loop *loop = start(&in, &s, RINGQ_STRATEGY_BLOCK, 0);
	int status;
	pid_t pid;

	(void)state;
	send_range(0, 50);
	assert_int_equal(ringq_close(&out), 0);
	join(loop, RINGQ_LOOP_EOF, 50);
	leave(ring);

	ring = make(RINGQ_MEMFD, RINGQ_SPSC, 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	loop = start(&in, &of_child, RINGQ_STRATEGY_BLOCK, 0);
	quiet();
	pid = fork();
	if (!pid) {
		struct ringq *mine;
		uint64_t i = 0;

		/* The parent's loop is not for its child to stop. */
		if (ringq_loop_stop(loop) != -ESTALE || ringq_loop_drain(loop) != -ESTALE ||
		    ringq_loop_join(loop, NULL, RINGQ_FOREVER) != -ESTALE)
			_exit(1);
		if (ringq_join_fd(ringq_fd(ring), NULL, &mine) ||
		    ringq_attach(mine, RINGQ_PRODUCER, &out))
			_exit(2);
		while (i < 50 && ringq_send(&out, &i, RINGQ_FOREVER) == 1)
			i++;
		kill(getpid(), SIGKILL);
	}
	join(loop, RINGQ_LOOP_EOF, 50);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(s.wrong + of_child.wrong, 0);
	ringq_detach(&in);
	ringq_leave(ring);
}

/* What is left of a ring that has ended is in another's hand: it may come, and then it is over. */
static void ends_when_others_have_done(void **state)
{
	static struct ringq_port other;
	unsigned int w;

	(void)state;
	for (w = 0; w < COUNT(strategies); w++) {
		struct ringq *ring = make_pair(RINGQ_MEMFD, RINGQ_LANES, 0);
		struct seen s = { 0 }, stopped = { 0 };
		struct ringq_loop *loop;

		assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &other), 0);
		send_range(0, 3);
		assert_int_equal(ringq_peek(&other, 3, RINGQ_NOWAIT), 3);
		ringq_detach(&out);
		loop = start(&in, &stopped, strategies[w], 0);
		usleep(2000);
		assert_int_equal(ringq_loop_stop(loop), 0);
		join(loop, RINGQ_LOOP_STOPPED, 0);
		loop = start(&in, &s, strategies[w], 0);
		usleep(2000);
		ringq_detach(&other);
		join(loop, RINGQ_LOOP_EOF, 3);
		assert_int_equal(s.redelivered, 3);
		assert_int_equal(s.wrong, 0);
		leave(ring);
	}
}

/* Deaths, as the loop tells them. */
struct mourned {
	struct seen seen;	/* on_message()'s argument too */
	struct ringq_death death[3];
	uint64_t after[3];	/* so many messages */
	unsigned int n, enough;
	pid_t tid;
	sem_t told;
};

static int on_death(void *arg, const struct ringq_death *death)
{
	struct mourned *m = arg;

	assert_true(m->n < COUNT(m->death));
	m->death[m->n] = *death;
	m->after[m->n++] = m->seen.count;
	m->tid = gettid();
	sem_post(&m->told);
	return m->n == m->enough;
}

/*
 * A process that sends three messages when it is told to, and dies, at once or when it is killed.
 * There is no loop yet, for quiet() waits until all threads sleep.
 */
struct mortal {
	pid_t pid;
	int to, from;
	bool at_once;
};

static void be_mortal(struct ringq *ring, uint64_t i, bool at_once, int from, int to)
{
	const uint64_t end = i + 3;
	struct ringq *mine;
	char byte;

	if (read(from, &byte, 1) != 1 || ringq_join_fd(ringq_fd(ring), NULL, &mine) ||
	    ringq_attach(mine, RINGQ_PRODUCER, &out))
		_exit(1);
	for (; i < end; i++)
		if (ringq_send(&out, &i, RINGQ_FOREVER) != 1)
			_exit(2);
	if (at_once)
		kill(getpid(), SIGKILL);
	if (write(to, "", 1) != 1)
		_exit(3);
	pause();
}

static struct mortal bear(struct ringq *ring, uint64_t first, bool at_once)
{
	struct mortal m = { .at_once = at_once };
	int there[2], back[2];

	assert_int_equal(pipe(there), 0);
	assert_int_equal(pipe(back), 0);
	quiet();
	m.pid = fork();
	if (m.pid == 0)
		be_mortal(ring, first, at_once, there[0], back[1]);
	close(there[0]);
	close(back[1]);
	m.to = there[1];
	m.from = back[0];
	return m;
}

/* Sends, and dies. */
static void die(struct mortal *m)
{
	int status;
	char byte;

	assert_int_equal(write(m->to, "", 1), 1);
	if (!m->at_once) {
		assert_int_equal(read(m->from, &byte, 1), 1);
		kill(m->pid, SIGKILL);
	}
	assert_int_equal(waitpid(m->pid, &status, 0), m->pid);
	assert_true(WIFSIGNALED(status));
	close(m->to);
	close(m->from);
}

static struct ringq_loop *start_mourning(struct mourned *m, uint32_t strategy)
{
	const struct ringq_loop_opts opts = {
		.size = sizeof(opts), .handler = on_message, .arg = m, .on_death = on_death,
	};
	struct ringq_loop *loop = NULL;

	sem_init(&m->told, 0, 0);
	assert_int_equal(ringq_set_strategy(&in, strategy), 0);
	assert_int_equal(ringq_loop_start(&in, &opts, &loop), 0);
	return loop;
}

static void wait_told(struct mourned *m)
{
	while (sem_wait(&m->told) < 0)
		;
}

/* Each is told once, by the loop's thread, whether it sleeps or works; and the loop goes on. */
static void deaths(void **state)
{
	unsigned int w;

	(void)state;
	for (w = 0; w < COUNT(strategies); w++) {
		struct ringq *ring = make(RINGQ_MEMFD, RINGQ_SPSC, WAIT);
		struct mourned m = { 0 };
		struct mortal first = bear(ring, 0, false), second = bear(ring, 3, true);
		struct ringq_loop *loop;

		assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
		loop = start_mourning(&m, strategies[w]);
		die(&first);
		wait_told(&m);
		die(&second);
		wait_told(&m);
		assert_int_equal(ringq_loop_drain(loop), 0);
		join(loop, RINGQ_LOOP_DRAINED, 6);
		assert_int_equal(m.n, 2);
		assert_int_equal(m.death[0].pid, first.pid);
		assert_int_equal(m.death[1].pid, second.pid);
		assert_int_equal(m.death[1].serial, 2);
		assert_int_not_equal(m.tid, gettid());
		assert_int_equal(m.seen.wrong, 0);
		assert_int_equal(ringq_next_death(&in, &m.death[0]), 0);
		ringq_detach(&in);
		ringq_leave(ring);
	}
}

/* The death that is the ring's end is told before the loop is over. */
static void death_at_the_end(void **state)
{
	unsigned int w;

	(void)state;
	for (w = 0; w < COUNT(strategies); w++) {
		struct ringq *ring = make(RINGQ_MEMFD, RINGQ_SPSC, 0);
		struct mourned m = { 0 };
		struct mortal mortal = bear(ring, 0, true);
		struct ringq_loop *loop;

		assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
		loop = start_mourning(&m, strategies[w]);
		die(&mortal);
		join(loop, RINGQ_LOOP_EOF, 3);
		assert_int_equal(m.n, 1);
		assert_int_equal(m.death[0].pid, mortal.pid);
		ringq_detach(&in);
		ringq_leave(ring);
	}
}

/* Who says that this was enough is told no more; the port is, afterwards. */
static void enough_deaths(void **state)
{
	struct ringq *ring = make(RINGQ_MEMFD, RINGQ_MPSC, WAIT);
	struct mortal first = bear(ring, 0, true), second = bear(ring, 3, true);
	struct mourned m = { .enough = 1 };
	struct ringq_loop *loop;
	struct ringq_death d;

	(void)state;
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	die(&first);
	die(&second);
	/* Both are in the log before there is a loop. */
	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	loop = start_mourning(&m, RINGQ_STRATEGY_BLOCK);
	join(loop, RINGQ_LOOP_ENOUGH, 0);
	assert_int_equal(m.n, 1);
	assert_int_equal(m.death[0].serial, 1);
	assert_int_equal(ringq_next_death(&in, &d), 1);
	assert_int_equal(d.serial, 2);
	assert_int_equal(d.pid, second.pid);
	ringq_detach(&out);
	ringq_detach(&in);
	ringq_leave(ring);
}

static void bad_calls(void **state)
{
	struct ringq *ring = make_pair(RINGQ_PRIVATE, RINGQ_SPSC, WAIT);
	struct {
		struct ringq_loop_opts opts;
		uint64_t more;
	} from_the_future = { .more = 1 };
	struct ringq_loop_opts opts = { .size = sizeof(opts), .handler = on_message }, bad;
	struct ringq_loop *loop = NULL;
	struct seen s = { 0 };

	(void)state;
	opts.arg = &s;
	assert_int_equal(ringq_loop_start(&out, &opts, &loop), -EOPNOTSUPP);
	assert_int_equal(ringq_loop_start(&in, NULL, &loop), -EINVAL);
	bad = opts;
	bad.size--;
	assert_int_equal(ringq_loop_start(&in, &bad, &loop), -EINVAL);
	bad = opts;
	bad.handler = NULL;
	assert_int_equal(ringq_loop_start(&in, &bad, &loop), -EINVAL);
	bad = opts;
	bad.reserved = 1;
	assert_int_equal(ringq_loop_start(&in, &bad, &loop), -EINVAL);
	bad = opts;
	bad.batch = RINGQ_SHOWN + 1;
	assert_int_equal(ringq_loop_start(&in, &bad, &loop), -EINVAL);
	from_the_future.opts = opts;
	from_the_future.opts.size = sizeof(from_the_future);
	assert_int_equal(ringq_loop_start(&in, &from_the_future.opts, &loop), -E2BIG);
	assert_null(loop);
	from_the_future.more = 0;
	assert_int_equal(ringq_loop_start(&in, &from_the_future.opts, &loop), 0);
	assert_int_equal(ringq_loop_stop(loop), 0);
	join(loop, RINGQ_LOOP_STOPPED, 0);

	/* An error ends it: of a port that has something peeked, say. */
	send_range(0, 1);
	assert_int_equal(ringq_peek(&in, 1, RINGQ_NOWAIT), 1);
	join(start(&in, &s, RINGQ_STRATEGY_BLOCK, 0), -EBUSY, 0);
	assert_int_equal(ringq_release(&in, 1), 0);
	leave(ring);
	assert_int_equal(ringq_loop_start(&in, &opts, &loop), -ESTALE);
}

static void from_the_handler(void **state)
{
	struct ringq *ring = make_pair(RINGQ_PRIVATE, RINGQ_SPSC, WAIT);
	struct seen s = { .hold = 1, .enough = 1 };
	unsigned int before = count_fds();
	struct ringq_loop *loop;
	int i;

	(void)state;
	send_range(0, 1);
	loop = start(&in, watch(&s), RINGQ_STRATEGY_SLEEP, 0);
	sem_wait(&s.here);
	s.loop = loop;
	sem_post(&s.go);
	join(loop, RINGQ_LOOP_ENOUGH, 1);
	assert_int_equal(s.joined, -EDEADLK);
	for (i = 1; i < NSIG; i++)
		assert_true(i == SIGKILL || i == SIGSTOP || (i >= 32 && i < SIGRTMIN) ||
			    sigismember(&s.blocked, i));
	assert_int_equal(count_fds(), before);
	leave(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_discipline),
		cmocka_unit_test(records),
		cmocka_unit_test(lossy),
		cmocka_unit_test(latest),
		cmocka_unit_test(many_loops),
		cmocka_unit_test(batches),
		cmocka_unit_test(enough),
		cmocka_unit_test(stop_in_a_batch),
		cmocka_unit_test(stop_while_empty),
		cmocka_unit_test(stop_while_asleep),
		cmocka_unit_test(drain),
		cmocka_unit_test(enough_of_a_drain),
		cmocka_unit_test(join_in_time),
		cmocka_unit_test(ends),
		cmocka_unit_test(ends_when_others_have_done),
		cmocka_unit_test(deaths),
		cmocka_unit_test(death_at_the_end),
		cmocka_unit_test(enough_deaths),
		cmocka_unit_test(bad_calls),
		cmocka_unit_test(from_the_handler),
	};

	alarm(LIMIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
