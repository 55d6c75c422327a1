// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * `ringq bench death`: how long after a kill -9 those know who wait for the dead one, and how long
 * until what it held is repaired; against what else there is to learn of a death by.
 *
 * A row is a way to wait. Of each, one after the other and again and again: a process is started,
 * takes its part, and says so; a thread of ours goes to sleep, waiting for it; it is killed, and
 * the time counts from before the kill until that thread is back. All of it is in there: the
 * signal, the end of the process, the kernel's word of it, ours, and the waking up.
 */
#include "bench_death.h"

#include "child.h"
#include "tool.h"

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEATH_SLEEP	3000000	/* ns, for the thread to be asleep */
#define DEATH_MESSAGE	UINT64_C(0x0123456789abcdef)

struct death {
	uint32_t memory;
	const struct way *way;
	struct child victim;
	int lines[2];		/* a socket pair: ours, and the victim's */
	pthread_mutex_t *mutex;	/* robust, shared */
	struct ringq *ring;
	struct ringq_port in, out;
	bool has_out;
	int wrong;		/* what was waited for is not what came */
	int64_t told;
};

struct way {
	const char *name;
	uint32_t discipline;	/* of its ring, or 0 */
	/* In the victim; it has the ring by a handle of its own. */
	int (*part)(struct death *d, struct ringq *ring, struct ringq_port *port);
	/* By the one who waits: 0 when it is told; -1: of something else. */
	int (*wait)(struct death *d);
};

static int part_mutex(struct death *d, struct ringq *ring, struct ringq_port *port)
{
	(void)ring;
	(void)port;
	return -pthread_mutex_lock(d->mutex);
}

static int wait_mutex(struct death *d)
{
	int r = pthread_mutex_lock(d->mutex);

	d->told = tool_now();
	if (r == EOWNERDEAD)
		pthread_mutex_consistent(d->mutex);
	pthread_mutex_unlock(d->mutex);
	return r == EOWNERDEAD ? 0 : -1;
}

static int part_nothing(struct death *d, struct ringq *ring, struct ringq_port *port)
{
	(void)d;
	(void)ring;
	(void)port;
	return 0;
}

static int wait_socket(struct death *d)
{
	char byte;

	return read(d->lines[0], &byte, 1) == 0 ? 0 : -1;
}

static int wait_pidfd(struct death *d)
{
	struct pollfd p = { .fd = d->victim.pidfd, .events = POLLIN };

	return poll(&p, 1, -1) == 1 ? 0 : -1;
}

static int part_produce(struct death *d, struct ringq *ring, struct ringq_port *port)
{
	(void)d;
	return ringq_attach(ring, RINGQ_PRODUCER, port);
}

static int wait_receive(struct death *d)
{
	uint64_t msg;

	return ringq_recv(&d->in, &msg, RINGQ_FOREVER) == 0 ? 0 : -1;
}

static int wait_poll(struct death *d)
{
	struct pollfd p = { .fd = ringq_port_fd(&d->in), .events = POLLIN };
	uint64_t msg;
	int r;

	while ((r = ringq_recv(&d->in, &msg, RINGQ_NOWAIT)) == -EAGAIN)
		poll(&p, 1, -1);
	return r == 0 ? 0 : -1;
}

/* It claims a place before ours, and never writes to it. */
static int part_claim(struct death *d, struct ringq *ring, struct ringq_port *port)
{
	int r = part_produce(d, ring, port);

	return r < 0 ? r : ringq_reserve(port, 1, RINGQ_NOWAIT);
}

static int wait_message(struct death *d)
{
	uint64_t msg;

	return ringq_recv(&d->in, &msg, RINGQ_FOREVER) == 1 && msg == DEATH_MESSAGE ? 0 : -1;
}

/* The controls first; ratios are to the first two. */
static const struct way ways[] = {
	{ "robust futex", 0, part_mutex, wait_mutex },
	{ "socket, end-of-file", 0, part_nothing, wait_socket },
	{ "pidfd, poll", 0, part_nothing, wait_pidfd },
	{ "ring, receive", RINGQ_SPSC, part_produce, wait_receive },
	{ "ring, poll", RINGQ_SPSC, part_produce, wait_poll },
	{ "ring, repaired", RINGQ_MPMC, part_claim, wait_message },
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

static void *wait_for_it(void *arg)
{
	struct death *d = arg;

	d->told = 0;
	d->wrong = d->way->wait(d);
	if (!d->told)
		d->told = tool_now();
	return NULL;
}

/* A shared word; it is unlocked and unused between two deaths. */
static int mutex_open(struct death *d)
{
	pthread_mutexattr_t attr;
	void *p = mmap(NULL, sizeof(*d->mutex), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	d->mutex = p;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	return -pthread_mutex_init(d->mutex, &attr);
}

static void run_victim(struct death *d)
{
	struct ringq *ring = NULL;
	struct ringq_port port;
	int r = 0;

	close(d->lines[0]);
	if (d->ring)
		r = ringq_join_fd(ringq_fd(d->ring), NULL, &ring);
	if (r == 0)
		r = d->way->part(d, ring, &port);
	if (r < 0 || write(d->lines[1], "", 1) != 1)
		_exit(TOOL_FAILED);
	for (;;)
		pause();
}

static int ring_open(struct death *d)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = d->memory, .discipline = d->way->discipline,
		.elem_size = sizeof(uint64_t), .capacity = 64,
	};
	int r;

	d->ring = NULL;
	d->has_out = false;
	if (!d->way->discipline)
		return 0;
	r = ringq_create(&opts, &d->ring);
	if (r == 0)
		r = ringq_attach(d->ring, RINGQ_CONSUMER, &d->in);
	if (r < 0)
		return r;
	ringq_set_strategy(&d->in, RINGQ_STRATEGY_BLOCK);
	if (d->way->discipline == RINGQ_SPSC)
		return 0;
	r = ringq_attach(d->ring, RINGQ_PRODUCER, &d->out);
	d->has_out = r == 0;
	return r;
}

static void ring_close(struct death *d)
{
	if (!d->ring)
		return;
	if (d->has_out)
		ringq_detach(&d->out);
	ringq_detach(&d->in);
	ringq_leave(d->ring);
}

/* Everybody is in place: kills, and sees how long it takes. */
static int kill_and_wait(struct death *d, double *ns)
{
	const struct timespec asleep = { .tv_nsec = DEATH_SLEEP };
	const uint64_t msg = DEATH_MESSAGE;
	pthread_t thread;
	int64_t since;
	char byte;
	int r = 0;

	if (read(d->lines[0], &byte, 1) != 1)
		return -EPIPE;
	if (d->has_out)
		r = ringq_send(&d->out, &msg, RINGQ_NOWAIT);
	if (r < 0)
		return r;
	r = -pthread_create(&thread, NULL, wait_for_it, d);
	if (r < 0)
		return r;
	nanosleep(&asleep, NULL);
	since = tool_now();
	child_kill(&d->victim);
	r = -pthread_join(thread, NULL);
	*ns = d->told - since;
	return d->wrong ? -EBADMSG : r;
}

static int die_once(struct death *d, const struct way *way, double *ns)
{
	int r;

	d->way = way;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, d->lines) < 0)
		return -errno;
	r = ring_open(d);
	if (r == 0) {
		r = child_fork(&d->victim);
		if (r == 1)
			run_victim(d);
	}
	close(d->lines[1]);
	if (r == 0)
		r = kill_and_wait(d, ns);
	child_end(&d->victim);
	close(d->lines[0]);
	ring_close(d);
	return r;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_json(const struct bench_death *b, const char *memory, double *const ns[WAYS])
{
	const unsigned int n = b->kills;

	printf("{\n  \"bench\": \"death\", \"memory\": \"%s\", \"kills\": %u, \"unit\": \"us\",\n"
	       "  \"rows\": [", memory, n);
	for (unsigned int i = 0; i < WAYS; i++)
		printf("%s\n    { \"how\": \"%s\", \"min\": %.1f, \"p50\": %.1f, \"p90\": %.1f, "
		       "\"p99\": %.1f, \"max\": %.1f,\n      \"ratio_futex\": %.3f, "
		       "\"ratio_socket\": %.3f }", i ? "," : "", ways[i].name, ns[i][0] / 1e3,
		       ns[i][n / 2] / 1e3, ns[i][n * 9 / 10] / 1e3, ns[i][n * 99 / 100] / 1e3,
		       ns[i][n - 1] / 1e3, ns[i][n / 2] / ns[0][n / 2],
		       ns[i][n / 2] / ns[1][n / 2]);
	printf("\n  ]\n}\n");
}

static void print_table(const struct bench_death *b, const char *memory, double *const ns[WAYS])
{
	const unsigned int n = b->kills;

	printf("death, %s memory, %u kills of each, us from the kill until it is known\n\n"
	       "%-20s  %8s  %8s  %8s  %8s  %8s  %7s  %8s\n", memory, n, "HOW", "MIN", "P50", "P90",
	       "P99", "MAX", "x FUTEX", "x SOCKET");
	for (unsigned int i = 0; i < WAYS; i++)
		printf("%-20s  %8.0f  %8.0f  %8.0f  %8.0f  %8.0f  %7.2f  %8.2f\n", ways[i].name,
		       ns[i][0] / 1e3, ns[i][n / 2] / 1e3, ns[i][n * 9 / 10] / 1e3,
		       ns[i][n * 99 / 100] / 1e3, ns[i][n - 1] / 1e3, ns[i][n / 2] / ns[0][n / 2],
		       ns[i][n / 2] / ns[1][n / 2]);
}

/* What the memory is that was asked for; the first ring tells. */
static int memory_of(struct death *d)
{
	struct ringq_info info = { .size = sizeof(info) };
	int r;

	d->way = &ways[WAYS - 1];
	r = ring_open(d);
	if (r == 0)
		r = ringq_get_info(d->ring, &info);
	d->memory = info.memory;
	ring_close(d);
	return r;
}

int bench_death(const struct bench_death *b)
{
	struct death d = { .memory = b->memory };
	double *ns[WAYS] = { NULL };
	int r = memory_of(&d);

	if (r == 0)
		r = mutex_open(&d);
	for (unsigned int i = 0; i < WAYS && r == 0; i++) {
		ns[i] = calloc(b->kills, sizeof(*ns[i]));
		r = ns[i] ? 0 : -ENOMEM;
	}
	/* The first of each is not counted. */
	for (unsigned int k = 0; k <= b->kills && r == 0; k++)
		for (unsigned int i = 0; i < WAYS && r == 0; i++) {
			r = die_once(&d, &ways[i], &ns[i][k ? k - 1 : 0]);
			if (r < 0)
				warnx("%s: %s", ways[i].name, r == -EBADMSG ?
				      "told, and not of a death" : ringq_strerror(r));
		}
	for (unsigned int i = 0; i < WAYS && r == 0; i++)
		qsort(ns[i], b->kills, sizeof(*ns[i]), compare);
	if (r == 0)
		(b->json ? print_json : print_table)(b, ringq_memory_name(d.memory), ns);
	for (unsigned int i = 0; i < WAYS; i++)
		free(ns[i]);
	return r;
}
