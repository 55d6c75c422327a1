// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Wake-ups, until one is lost: soak [--seconds=N] [--memory=NAME]
 *
 * Tokens go round between two rings, through workers that take one from the first and put it
 * into the second, and workers that take it back. With one token and two workers it is a
 * ping-pong in which each side sleeps at every turn; with more, some sleep and some do not. How
 * they wait, in what memory and discipline, how many they are, as threads or processes, on one
 * CPU or on all, is a row of the table; each row gets its share of the time, again and again.
 * Built with DELAYS, random things happen between the steps of the protocol.
 *
 * A watchdog wants to see progress. A lost wake-up ends all progress sooner or later, because no
 * token is ever added; a row that stands still for GRACE seconds has lost one, and fails. A line
 * for each row, with its rounds (tokens handed over) and sleeps (times that a worker was off its
 * CPU by its own will), then "N passed, N failed".
 */
#include "soak.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GRACE	30	/* seconds; it ends hangs and measures nothing */
#define WORKERS	8
#define MEMORIES	2	/* of one run */
#define NS	INT64_C(1000000000)

/* How many go round. */
static const struct shape {
	const char *name;
	uint32_t discipline;
	uint32_t side;		/* workers of each of the two kinds */
	uint32_t tokens;
	uint32_t capacity;	/* of the second ring: with more tokens senders wait too */
	bool one_cpu;
} shapes[] = {
	{ "ping-pong", RINGQ_SPSC, 1, 1, 7, false },
	{ "ping-pong, one CPU", RINGQ_SPSC, 1, 1, 7, true },
	{ "stream", RINGQ_SPSC, 1, 14, 7, false },
	{ "stream, one CPU", RINGQ_SPSC, 1, 14, 7, true },
	{ "crowd, one token", RINGQ_MPMC, 3, 1, 4, false },
	{ "crowd", RINGQ_MPMC, 3, 4, 2, false },
	{ "lanes", RINGQ_LANES, 3, 4, 7, false },
};

struct row {
	const struct shape *shape;
	uint32_t memory;
	enum soak_how how;
};

/* What the workers of a row tell, in memory that is shared. */
static struct shared {
	int stop;
	struct worker {
		uint64_t rounds __attribute__((aligned(RINGQ_LINE_PAIR)));
		uint64_t sleeps;
		int error;
		int over;
	} worker[WORKERS];
} *shared;

static struct ringq *rings[2];

static bool stopped(void)
{
	return ringq_load_relaxed(&shared->stop);
}

static void pin(const struct row *row, uint32_t me)
{
	cpu_set_t all, one;
	int n, cpu;

	if (sched_getaffinity(0, sizeof(all), &all) < 0)
		return;
	n = CPU_COUNT(&all);
	me %= n;
	for (cpu = 0; n > 1 && cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all) || (!row->shape->one_cpu && me--))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
		return;
	}
}

static int work(const struct row *row, struct ringq *from, struct ringq *to, struct worker *w)
{
	struct soak_side in, out;
	uint64_t token;
	int r;

	r = soak_open(&in, from, RINGQ_CONSUMER, row->how);
	if (r < 0)
		return r;
	r = soak_open(&out, to, RINGQ_PRODUCER, row->how);
	while (r >= 0 && !stopped()) {
		r = soak_move(&in, &token);
		if (r > 0)
			r = soak_move(&out, &token);
		if (r <= 0)
			break;
		ringq_store_relaxed(&w->rounds, w->rounds + 1);
	}
	/* Who sees that it is over tells who sleeps. */
	ringq_close(&in.port);
	ringq_close(&out.port);
	soak_close(&in);
	soak_close(&out);
	if (stopped() && (r == -EPIPE || r >= 0))
		return 0;
	return r < 0 ? r : -EPIPE;
}

struct task {
	const struct row *row;
	uint32_t me;
	pthread_t thread;
	pid_t pid;
};

static void run_task(const struct task *t)
{
	struct worker *w = &shared->worker[t->me];
	uint32_t from = t->me % 2;
	struct rusage usage;

	pin(t->row, t->me);
	w->error = work(t->row, rings[from], rings[!from], w);
	if (getrusage(RUSAGE_THREAD, &usage) == 0)
		w->sleeps = usage.ru_nvcsw;
	ringq_store_release(&w->over, 1);
}

static void *task_thread(void *task)
{
	run_task(task);
	return NULL;
}

/* In a process of its own it joins the rings by their inherited descriptors. */
static int task_process(const struct task *t)
{
	struct ringq *mine[2];
	int i;

	for (i = 0; i < 2; i++) {
		if (ringq_join_fd(ringq_fd(rings[i]), NULL, &mine[i]) < 0)
			return 1;
	}
	rings[0] = mine[0];
	rings[1] = mine[1];
	run_task(t);
	return 0;
}

static int start(struct task *t)
{
	if (t->row->memory == RINGQ_PRIVATE)
		return -pthread_create(&t->thread, NULL, task_thread, t);
	t->pid = fork();
	if (t->pid == 0)
		_exit(task_process(t));
	return t->pid < 0 ? -errno : 0;
}

static void finish(struct task *t)
{
	if (t->row->memory == RINGQ_PRIVATE)
		pthread_join(t->thread, NULL);
	else
		waitpid(t->pid, NULL, 0);
}

static uint64_t rounds(void)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < WORKERS; i++)
		sum += ringq_load_relaxed(&shared->worker[i].rounds);
	return sum;
}

static void nap(void)
{
	const struct timespec ts = { .tv_nsec = 10000000 };

	nanosleep(&ts, NULL);
}

/* So long, and until there is progress after that; false: there is none. */
static bool watch(int64_t ns)
{
	int64_t now = soak_now(), end = now + ns, moved = now;
	uint64_t last = 0, sum;

	do {
		nap();
		now = soak_now();
		sum = rounds();
		if (sum != last)
			moved = now;
		if (sum != last && now >= end)
			return true;
		last = sum;
	} while (now - moved < GRACE * NS);
	return false;
}

/* Have they all come to their end? */
static bool watch_end(uint32_t n)
{
	int64_t end = soak_now() + GRACE * NS;
	uint32_t i, over;

	do {
		nap();
		for (i = 0, over = 0; i < n; i++)
			over += ringq_load_acquire(&shared->worker[i].over);
	} while (over < n && soak_now() < end);
	return over == n;
}

static int open_rings(const struct row *row)
{
	const struct shape *s = row->shape;
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = row->memory, .discipline = s->discipline,
		.elem_size = sizeof(uint64_t), .capacity = s->tokens,
		.flags = RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT,
		.producers = s->side, .consumers = s->side,
	};
	int r = ringq_create(&opts, &rings[0]);

	opts.capacity = s->capacity;
	return r < 0 ? r : ringq_create(&opts, &rings[1]);
}

static int put_tokens(uint32_t tokens)
{
	struct ringq_port port;
	uint64_t token;
	int r = ringq_attach(rings[0], RINGQ_PRODUCER, &port);

	if (r < 0)
		return r;
	for (token = 0; token < tokens && r >= 0; token++)
		r = ringq_send(&port, &token, RINGQ_NOWAIT);
	ringq_detach(&port);
	return r;
}

/* Runs a row for so long: 0, or what went wrong. */
static int run(const struct row *row, int64_t ns)
{
	struct task tasks[WORKERS];
	uint32_t n = 2 * row->shape->side, i;
	int r;

	memset(shared, 0, sizeof(*shared));
	r = open_rings(row);
	if (r == 0)
		r = put_tokens(row->shape->tokens);
	for (i = 0; i < n && r >= 0; i++) {
		tasks[i] = (struct task){ .row = row, .me = i };
		r = start(&tasks[i]);
	}
	if (r < 0)
		return r;
	/* What hangs cannot be ended in good order, and is to be looked at. */
	if (!watch(ns))
		return -EDEADLK;
	ringq_store_relaxed(&shared->stop, 1);
	if (!watch_end(n))
		return -EDEADLK;
	for (i = 0; i < n; i++) {
		finish(&tasks[i]);
		if (shared->worker[i].error)
			r = shared->worker[i].error;
	}
	ringq_leave(rings[0]);
	ringq_leave(rings[1]);
	return r < 0 ? r : 0;
}

struct total {
	uint64_t rounds, sleeps;
};

static void run_row(struct total *total, const struct row *row, int64_t ns)
{
	uint64_t sleeps = 0;
	uint32_t i;
	int r = run(row, ns);

	for (i = 0; i < WORKERS; i++)
		sleeps += shared->worker[i].sleeps;
	total->rounds += rounds();
	total->sleeps += sleeps;
	printf("%s - %s, %s, %s: %llu rounds, %llu sleeps%s%s\n", r ? "FAIL" : "ok",
	       row->shape->name, ringq_memory_name(row->memory), soak_how(row->how),
	       (unsigned long long)rounds(), (unsigned long long)sleeps, r ? ": " : "",
	       r == -EDEADLK ? "a wake-up was lost" : r ? ringq_strerror(r) : "");
	fflush(stdout);
	if (r)
		exit(1);
}

#define ROWS (sizeof(shapes) / sizeof(shapes[0]) * MEMORIES * HOWS)

/* The table. */
static uint32_t fill_rows(struct row *rows, const uint32_t *memories, uint32_t count)
{
	uint32_t s, m, n = 0;
	enum soak_how how;

	for (s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
		for (m = 0; m < count; m++) {
			for (how = 0; how < HOWS; how++) {
				if (soak_can(how, memories[m]))
					rows[n++] = (struct row){ &shapes[s], memories[m], how };
			}
		}
	}
	return n;
}

static int usage(void)
{
	fprintf(stderr, "usage: soak [--seconds=N] [--memory=private|memfd|device]\n");
	return 2;
}

/* A memory of that name, or RINGQ_AUTO. */
static uint32_t memory_of(const char *name)
{
	uint32_t memory;

	for (memory = RINGQ_DEVICE; memory <= RINGQ_PRIVATE; memory++) {
		if (!strcmp(name, ringq_memory_name(memory)))
			return memory;
	}
	return RINGQ_AUTO;
}

int main(int argc, char **argv)
{
	uint32_t memories[MEMORIES] = { RINGQ_PRIVATE, RINGQ_MEMFD }, count = MEMORIES, n, i;
	struct total total = { 0 };
	struct row rows[ROWS];
	int64_t seconds = 60;

	for (i = 1; i < (uint32_t)argc; i++) {
		if (!strncmp(argv[i], "--seconds=", 10)) {
			seconds = atoll(argv[i] + 10);
		} else if (!strncmp(argv[i], "--memory=", 9)) {
			memories[0] = memory_of(argv[i] + 9);
			count = 1;
		} else {
			return usage();
		}
	}
	if (seconds <= 0 || memories[0] == RINGQ_AUTO)
		return usage();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED) {
		perror("soak: mmap");
		return 2;
	}
	n = fill_rows(rows, memories, count);
	for (i = 0; i < n; i++)
		run_row(&total, &rows[i], seconds * NS / n);
	printf("# %llu rounds and %llu sleeps, none lost\n", (unsigned long long)total.rounds,
	       (unsigned long long)total.sleeps);
	return 0;
}
