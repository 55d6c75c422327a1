// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * `ringq bench claims`: two senders and two receivers of 8-byte messages on one MPMC ring, which
 * go over from ringq's code to the same without claim words, and back, every millisecond.
 *
 * The difference is of a few hundredths, and from second to second such a machine differs by
 * more. So nothing but the code changes from one phase to the next: not the ring, nor the
 * threads, nor where they run. Phases next to each other are a pair, whose order changes from
 * pair to pair; some pairs are a group, which has a ratio; what counts is the median of these.
 */
#include "bench_claims.h"

#include "tool.h"

#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CLAIMS_PHASE	1000000	/* ns */
#define CLAIMS_PAIRS	50	/* in a group */
#define CLAIMS_GROUPS	60
#define CLAIMS_QUICK	6	/* groups, then */
#define CLAIMS_CAPACITY	1024
#define CLAIMS_WORKERS	(2 * CLAIMS_SIDE)

CLAIMS_LOOPS(static, claims_whole)

static struct {
	struct claims_worker worker[CLAIMS_WORKERS];
	uint32_t bare __attribute__((aligned(RINGQ_LINE_PAIR)));	/* which of the two */
	uint32_t stop;
} claims;

static void *work(void *arg)
{
	static claims_block *const blocks[2][2] = {
		{ claims_whole_send, claims_bare_send }, { claims_whole_recv, claims_bare_recv },
	};
	struct claims_worker *w = arg;
	uint32_t bare;

	while (!ringq_load_relaxed(&claims.stop)) {
		bare = ringq_load_relaxed(&claims.bare);
		blocks[w->port.role][bare](w);
		ringq_store_relaxed(&w->received[bare], w->received[bare] + CLAIMS_BLOCK);
	}
	return NULL;
}

struct sum {
	double messages, ns;
};

static uint64_t received(uint32_t bare)
{
	uint64_t n = 0;

	for (int i = CLAIMS_SIDE; i < CLAIMS_WORKERS; i++)
		n += ringq_load_relaxed(&claims.worker[i].received[bare]);
	return n;
}

static void run_phase(uint32_t bare, struct sum *sum)
{
	const struct timespec ts = { .tv_nsec = CLAIMS_PHASE };
	uint64_t before = received(bare);
	int64_t since = tool_now();

	ringq_store_relaxed(&claims.bare, bare);
	nanosleep(&ts, NULL);
	sum->ns += tool_now() - since;
	sum->messages += received(bare) - before;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void run_groups(double *ratios, unsigned int n, struct sum all[2])
{
	for (unsigned int g = 0; g < n; g++) {
		struct sum sum[2] = { { 0, 0 }, { 0, 0 } };

		for (unsigned int pair = 0; pair < CLAIMS_PAIRS; pair++) {
			run_phase(pair % 2, &sum[pair % 2]);
			run_phase(!(pair % 2), &sum[!(pair % 2)]);
		}
		ratios[g] = sum[0].messages / sum[0].ns / (sum[1].messages / sum[1].ns);
		for (int i = 0; i < 2; i++) {
			all[i].messages += sum[i].messages;
			all[i].ns += sum[i].ns;
		}
	}
	qsort(ratios, n, sizeof(*ratios), compare);
}

static int start(pthread_t *thread, struct claims_worker *w, int cpu)
{
	pthread_attr_t attr;
	cpu_set_t set;
	int r = pthread_attr_init(&attr);

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (!r)
		r = pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	if (!r)
		r = pthread_create(thread, &attr, work, w);
	return -r;
}

static int attach(struct ringq *ring)
{
	int r = 0;

	for (int i = 0; i < CLAIMS_WORKERS && r == 0; i++) {
		struct claims_worker *w = &claims.worker[i];

		w->stop = &claims.stop;
		w->msg = (uint64_t)i << CLAIMS_SHIFT;
		r = ringq_attach(ring, i < CLAIMS_SIDE ? RINGQ_PRODUCER : RINGQ_CONSUMER, &w->port);
	}
	return r;
}

static int run(double *ratios, unsigned int n, struct sum all[2], const int cpus[2])
{
	pthread_t thread[CLAIMS_WORKERS];
	struct sum unused;
	int r = 0, i;

	for (i = 0; i < CLAIMS_WORKERS; i++) {
		r = start(&thread[i], &claims.worker[i], cpus[i % 2]);
		if (r < 0)
			break;
	}
	if (r == 0) {
		run_phase(0, &unused);
		run_phase(1, &unused);
		run_groups(ratios, n, all);
	}
	ringq_store_relaxed(&claims.stop, 1);
	while (i--) {
		pthread_join(thread[i], NULL);
		if (claims.worker[i].wrong)
			r = -EBADMSG;
	}
	return r;
}

static void print(const double *ratios, unsigned int n, const struct sum all[2], bool json)
{
	double whole = all[0].messages / all[0].ns * 1e3, bare = all[1].messages / all[1].ns * 1e3;
	double low = ratios[n / 4], median = ratios[n / 2], high = ratios[n - 1 - n / 4];

	if (json)
		printf("{ \"bench\": \"claims\", \"bytes\": 8, \"senders\": %d, \"receivers\": %d, "
		       "\"unit\": \"M/s\",\n  \"control\": %.2f, \"ringq\": %.2f, \"ratio\": %.4f, "
		       "\"quartiles\": [%.4f, %.4f], \"groups\": %u }\n", CLAIMS_SIDE, CLAIMS_SIDE,
		       bare, whole, median, low, high, n);
	else
		printf("mpmc, 8 bytes, %dx%d: %.1f M/s without claim words, %.1f with them; "
		       "ratio %.3f, quartiles %.3f .. %.3f of %u groups\n",
		       CLAIMS_SIDE, CLAIMS_SIDE, bare, whole, median, low, high, n);
}

int bench_claims(uint32_t memory, bool quick, bool json, const int cpus[2])
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = memory, .discipline = RINGQ_MPMC,
		.elem_size = sizeof(uint64_t), .capacity = CLAIMS_CAPACITY,
	};
	unsigned int n = quick ? CLAIMS_QUICK : CLAIMS_GROUPS;
	double *ratios = calloc(n, sizeof(*ratios));
	struct sum all[2] = { { 0, 0 }, { 0, 0 } };
	struct ringq *ring = NULL;
	int r = ratios ? ringq_create(&opts, &ring) : -ENOMEM;

	if (r == 0)
		r = attach(ring);
	if (r == 0)
		r = run(ratios, n, all, cpus);
	if (r == 0)
		print(ratios, n, all, json);
	else
		warnx("claims: %s", r == -EBADMSG ? "a message was not what was sent" :
						    ringq_strerror(r));
	for (int i = 0; i < CLAIMS_WORKERS; i++)
		if (claims.worker[i].port.ring)
			ringq_detach(&claims.worker[i].port);
	ringq_leave(ring);
	free(ratios);
	return r;
}
