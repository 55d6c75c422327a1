// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * `ringq bench parts`: 8-byte messages on one ring, which go over from ringq's code to the same
 * without a part of it, and back, every millisecond. attention is the look whether somebody sleeps
 * (SPSC); claims are the claim words, without which nothing could be repaired (MPMC).
 *
 * The difference is of a few hundredths, and from second to second such a machine differs by
 * more. So nothing but the code changes from one phase to the next: not the ring, nor the
 * threads, nor where they run. Phases next to each other are a pair, whose order changes from
 * pair to pair; some pairs are a group, which has a ratio; what counts is the median of these.
 */
#include "bench_parts.h"

#include "tool.h"

#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PARTS_PHASE	1000000	/* ns */
#define PARTS_PAIRS	50	/* in a group */
#define PARTS_GROUPS	60
#define PARTS_QUICK	6	/* groups, then */
#define PARTS_CAPACITY	1024
#define PARTS_WORKERS	(2 * PARTS_SENDERS)

PARTS_LOOPS(static, parts_ordered, parts_spsc)
PARTS_LOOPS(static, parts_claimed, parts_mpmc)

static const struct part {
	const char *name;
	uint32_t discipline;
	unsigned int side;		/* threads that send, and that receive */
	parts_block *block[2][2];	/* by role, with and without */
} parts_table[] = {
	{ "attention", RINGQ_SPSC, 1, { { parts_ordered_send, parts_attention_send },
					{ parts_ordered_recv, parts_attention_recv } } },
	{ "claims", RINGQ_MPMC, 2, { { parts_claimed_send, parts_claims_send },
				     { parts_claimed_recv, parts_claims_recv } } },
};

static struct {
	struct parts_worker worker[PARTS_WORKERS];
	const struct part *part __attribute__((aligned(RINGQ_LINE_PAIR)));
	uint32_t bare;			/* which of the two */
} parts;

/* First those who send. */
static enum ringq_role role_of(unsigned int i)
{
	return i < parts.part->side ? RINGQ_PRODUCER : RINGQ_CONSUMER;
}

static unsigned int workers(void)
{
	return 2 * parts.part->side;
}

static void *work(void *arg)
{
	struct parts_worker *w = arg;
	uint32_t bare;

	while (!ringq_load_relaxed(&w->stop)) {
		bare = ringq_load_relaxed(&parts.bare);
		parts.part->block[w->port.role][bare](w);
		ringq_store_relaxed(&w->received[bare], w->received[bare] + PARTS_BLOCK);
	}
	return NULL;
}

struct sum {
	double messages, ns;
};

static uint64_t received(uint32_t bare)
{
	uint64_t n = 0;

	for (unsigned int i = parts.part->side; i < workers(); i++)
		n += ringq_load_relaxed(&parts.worker[i].received[bare]);
	return n;
}

static void run_phase(uint32_t bare, struct sum *sum)
{
	const struct timespec ts = { .tv_nsec = PARTS_PHASE };
	uint64_t before = received(bare);
	int64_t since = tool_now();

	ringq_store_relaxed(&parts.bare, bare);
	nanosleep(&ts, NULL);
	sum->ns += tool_now() - since;
	sum->messages += received(bare) - before;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Ratios of n groups, sorted; those in which nothing moved do not count. Returns how many do. */
static unsigned int run_groups(double *ratios, unsigned int n, struct sum all[2])
{
	unsigned int kept = 0;

	while (n--) {
		struct sum sum[2] = { { 0, 0 }, { 0, 0 } };

		for (unsigned int pair = 0; pair < PARTS_PAIRS; pair++) {
			run_phase(pair % 2, &sum[pair % 2]);
			run_phase(!(pair % 2), &sum[!(pair % 2)]);
		}
		if (sum[0].messages && sum[1].messages)
			ratios[kept++] = sum[0].messages / sum[0].ns /
					 (sum[1].messages / sum[1].ns);
		for (int i = 0; i < 2; i++) {
			all[i].messages += sum[i].messages;
			all[i].ns += sum[i].ns;
		}
	}
	qsort(ratios, kept, sizeof(*ratios), compare);
	return kept;
}

static int start(pthread_t *thread, struct parts_worker *w, int cpu)
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

	memset(parts.worker, 0, sizeof(parts.worker));
	for (unsigned int i = 0; i < workers() && r == 0; i++) {
		struct parts_worker *w = &parts.worker[i];

		w->crowded = workers() > 2;
		w->msg = (uint64_t)i << PARTS_SHIFT;
		r = ringq_attach(ring, role_of(i), &w->port);
	}
	return r;
}

static void detach(void)
{
	for (unsigned int i = 0; i < workers(); i++)
		if (parts.worker[i].port.ring)
			ringq_detach(&parts.worker[i].port);
}

/* Returns how many of n groups count, or an error. */
static int run(double *ratios, unsigned int n, struct sum all[2], const int cpus[2])
{
	pthread_t thread[PARTS_WORKERS];
	struct sum unused;
	unsigned int i;
	int r = 0;

	/* One that sends and one that receives on each CPU; if there are no more, one of both. */
	for (i = 0; i < workers(); i++) {
		r = start(&thread[i], &parts.worker[i], cpus[i % 2]);
		if (r < 0)
			break;
	}
	if (r == 0) {
		run_phase(0, &unused);
		run_phase(1, &unused);
		r = run_groups(ratios, n, all);
	}
	for (unsigned int k = 0; k < i; k++)
		ringq_store_relaxed(&parts.worker[k].stop, 1);
	while (i--) {
		pthread_join(thread[i], NULL);
		if (parts.worker[i].wrong)
			r = -EBADMSG;
	}
	return r;
}

static void print(const double *ratios, unsigned int n, const struct sum all[2], bool json)
{
	double whole = all[0].messages / all[0].ns * 1e3, bare = all[1].messages / all[1].ns * 1e3;
	double low = ratios[n / 4], median = ratios[n / 2], high = ratios[n - 1 - n / 4];
	const struct part *p = parts.part;

	if (json)
		printf("%s\n    { \"part\": \"%s\", \"bytes\": 8, \"senders\": %u, \"receivers\": %u, "
		       "\"unit\": \"M/s\",\n      \"control\": %.2f, \"ringq\": %.2f, \"ratio\": %.4f, "
		       "\"quartiles\": [%.4f, %.4f], \"groups\": %u }", p == parts_table ? "" : ",",
		       p->name, p->side, p->side, bare, whole, median, low, high, n);
	else
		printf("%-10s  %ux%u  %7.1f M/s  %7.1f M/s  %6.3f  %5.3f .. %-5.3f  %6u\n", p->name,
		       p->side, p->side, bare, whole, median, low, high, n);
	fflush(stdout);
}

static int measure(uint32_t memory, double *ratios, unsigned int n, bool json, const int cpus[2])
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = memory, .discipline = parts.part->discipline,
		.elem_size = sizeof(uint64_t), .capacity = PARTS_CAPACITY,
	};
	struct sum all[2] = { { 0, 0 }, { 0, 0 } };
	struct ringq *ring = NULL;
	int r = ringq_create(&opts, &ring);

	if (r < 0)
		return r;
	r = attach(ring);
	if (r == 0)
		r = run(ratios, n, all, cpus);
	detach();
	ringq_leave(ring);
	if (r < 0)
		return r;
	if (!r)
		return -ETIMEDOUT;
	print(ratios, r, all, json);
	return 0;
}

int bench_parts(uint32_t memory, bool quick, bool json, const int cpus[2])
{
	unsigned int n = quick ? PARTS_QUICK : PARTS_GROUPS;
	double *ratios = calloc(n, sizeof(*ratios));
	int r = ratios ? 0 : -ENOMEM;

	if (json)
		printf("{\n  \"bench\": \"parts\", \"memory\": \"%s\", \"rows\": [",
		       ringq_memory_name(memory));
	else
		printf("%-10s  %-3s  %11s  %11s  %6s  %-14s  %6s\n", "PART", "PxC", "WITHOUT",
		       "WITH", "RATIO", "QUARTILES", "GROUPS");
	for (unsigned int i = 0; i < sizeof(parts_table) / sizeof(parts_table[0]) && r == 0; i++) {
		parts.part = &parts_table[i];
		r = measure(memory, ratios, n, json, cpus);
	}
	if (json)
		printf("\n  ]\n}\n");
	if (r < 0)
		warnx("%s: %s", parts.part ? parts.part->name : "parts", r == -EBADMSG ?
		      "a message was not what was sent" : ringq_strerror(r));
	free(ratios);
	return r;
}
