// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * ringq bench: how fast rings are here, as ratios to something known in the same run.
 *
 * A figure by itself says little: machines differ, and a virtual one differs from minute to
 * minute. So every repetition runs the control and then the ring, A B A B, and what counts
 * is the median of the ratios of neighbours.
 *
 * Two CPUs may find themselves near each other or far, and this changes while a program
 * runs: the host moves them. A bare ping-pong probes it before and after each repetition.
 * What near is on this machine is learned from the probes: sorted, they fall apart into
 * modes wherever one is half as long again as the one before, and near is the lowest mode
 * that is not just a few of them. Repetitions with a probe outside of it are discarded,
 * counted and repeated, but not for ever.
 */
#include "bench_death.h"
#include "bench_parts.h"
#include "bench_set.h"
#include "tool.h"

#include <argp.h>
#include <err.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char doc[] =
	"Measure rings between threads on two CPUs."
	"\v"
	"WHAT is spsc: messages of several sizes, one at a time and in bursts, and round trips. "
	"The control is a textbook ring of two indices in private memory, with at least the "
	"ring's capacity; that of a round trip is a bare ping-pong over two cache lines. Or it is "
	"many: 8-byte messages one at a time through rings with several senders and receivers, "
	"and through broadcast, each against the control after the slash: cas, a bounded queue in "
	"which all claim by compare-and-swap; stamps, its cells with one thread a side and no "
	"claims; indices, as above. Or wake: round trips of two threads that sleep at every turn, "
	"against an eventfd, a pipe and a bare futex in each direction. RATIO is ringq's figure "
	"divided by the control's: of rates more is better, of round trips less. LOST is the share of messages that a reader of a "
	"lossy ring was told it had lost; its rate is of those that it got. "
	"Every message is read in full and checked; a wrong one ends the program with status 1.\n"
	"\n"
	"FAR counts repetitions that were discarded because the CPUs were not as near to each "
	"other as they usually are.\n"
	"\n"
	"WHAT may also be death: how long after a kill -9 of another process a sleeping receiver is "
	"told, a poll of its port returns, and a message arrives that was stuck behind what the dead "
	"one had claimed; in the same run, how long it takes a robust futex, a socket's end-of-file and "
	"a pidfd. The distribution over all kills, and ratios of the medians. Its memory is auto unless "
	"one is given; --cpus means nothing to it. Or parts: what a part of the "
	"fast path costs, against the same code without it, in turn within one run: attention, the look "
	"whether somebody sleeps; claims, the words that make MPMC repairable.";

#define PROBE_NS	2000000
#define TRIES		3	/* at most so many times as many repetitions as wanted */
#define MODE_GAP	1.5	/* probes further apart than this are two modes */
#define MODE_PART	8	/* a mode has at least this part of the probes */

struct bench {
	const struct bench_set *set;
	bool death, parts;	/* instead of a set */
	uint32_t memory;
	bool memory_given;
	bool quick;
	bool json;
	unsigned int repeat;	/* repetitions of a case */
	unsigned int time_ms;	/* for each of the two in a repetition */
	int cpus[2];

	/* The probes of the whole program, and the mode called near. */
	double *probes;
	size_t count;
	double low, high;
};

/* One repetition. */
struct pair {
	double control, ringq;	/* M messages/s; of a round trip: ns */
	double lost;		/* share of the messages sent */
	double before, after;	/* probes */
};

/* A row of the table, of the repetitions that count. */
struct row {
	double control, ringq;
	double ratio, low, high;	/* the median and the quartiles */
	double lost;
	unsigned int kept, far;
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Finds the near mode among what has been probed so far. */
static int learn(struct bench *b)
{
	double *sorted = malloc(b->count * sizeof(*sorted));
	size_t from = 0, i;

	if (!sorted)
		return -ENOMEM;
	memcpy(sorted, b->probes, b->count * sizeof(*sorted));
	qsort(sorted, b->count, sizeof(*sorted), compare);
	for (i = 1; i < b->count; i++) {
		if (sorted[i] < sorted[i - 1] * MODE_GAP)
			continue;
		if ((i - from) * MODE_PART >= b->count)
			break;
		from = i;
	}
	b->low = sorted[from];
	b->high = sorted[i - 1];
	free(sorted);
	return 0;
}

static int probe(struct bench *b, double *ns)
{
	static const struct bench_side sides[2] = { { bench_lines_ping, 1 }, { bench_lines_pong, 1 } };
	static struct bench_lines lines;
	struct bench_run run;
	double *more;
	int r;

	memset(&lines, 0, sizeof(lines));
	r = bench_run(&run, b->cpus, sides, &lines, PROBE_NS);
	if (r < 0)
		return r;
	more = realloc(b->probes, (b->count + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	b->probes = more;
	b->probes[b->count++] = run.ns;
	*ns = run.ns;
	return learn(b);
}

static bool is_near(const struct bench *b, const struct pair *p)
{
	return p->before >= b->low && p->before <= b->high &&
	       p->after >= b->low && p->after <= b->high;
}

/* How many of the pairs count, by what is known of the probes now. */
static unsigned int count_near(const struct bench *b, const struct pair *pairs, unsigned int n)
{
	unsigned int near = 0;

	for (unsigned int i = 0; i < n; i++)
		near += is_near(b, &pairs[i]);
	return near;
}

static int run_one(const struct bench *b, const struct bench_case *c, bench_body *const body[2],
		   void *q, double *figure, double *lost)
{
	const struct bench_side sides[2] = {
		{ body[0], c->threads[0] }, { body[1], c->threads[1] },
	};
	struct bench_run run;
	int r;

	b->set->clear(q);
	r = bench_run(&run, b->cpus, sides, q, b->time_ms * UINT64_C(1000000));
	if (r < 0)
		return r;
	if (run.wrong || (!c->round_trips && run.received + run.lost != run.sent))
		return -EBADMSG;
	*figure = c->round_trips ? run.ns : run.received / run.ns * 1e3;
	*lost = run.sent ? (double)run.lost / run.sent : 0;
	return 0;
}

static double sort_for_median(double *values, unsigned int n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[n / 2];
}

/* scratch has room for four values a pair. */
static void summarize(const struct bench *b, const struct pair *pairs, unsigned int n,
		      double *scratch, struct row *row)
{
	double *control = scratch, *ringq = scratch + n, *ratio = scratch + 2 * n;
	double *lost = scratch + 3 * n;
	unsigned int k = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (!is_near(b, &pairs[i]))
			continue;
		control[k] = pairs[i].control;
		ringq[k] = pairs[i].ringq;
		ratio[k] = ringq[k] / control[k];
		lost[k] = pairs[i].lost;
		k++;
	}
	row->kept = k;
	row->far = n - k;
	if (!k)
		return;
	row->control = sort_for_median(control, k);
	row->ringq = sort_for_median(ringq, k);
	row->ratio = sort_for_median(ratio, k);
	row->lost = sort_for_median(lost, k);
	row->low = ratio[k / 4];
	row->high = ratio[k - 1 - k / 4];
}

static int measure(struct bench *b, const struct bench_case *c, void *q, struct row *row)
{
	unsigned int most = b->repeat * TRIES, n;
	struct pair *pairs = calloc(most, sizeof(*pairs));
	double *scratch = calloc(most * 4, sizeof(*scratch)), last, unused;
	int r = pairs && scratch ? 0 : -ENOMEM;

	/* The first run of each is not counted: caches fill, and the CPUs wake up. */
	if (r == 0)
		r = run_one(b, c, c->control, q, &unused, &unused);
	if (r == 0)
		r = run_one(b, c, c->ringq, q, &unused, &unused);
	if (r == 0)
		r = probe(b, &last);
	for (n = 0; r == 0 && n < most && count_near(b, pairs, n) < b->repeat; n++) {
		pairs[n].before = last;
		r = run_one(b, c, c->control, q, &pairs[n].control, &unused);
		if (r == 0)
			r = run_one(b, c, c->ringq, q, &pairs[n].ringq, &pairs[n].lost);
		if (r == 0)
			r = probe(b, &last);
		pairs[n].after = last;
	}
	if (r == 0)
		summarize(b, pairs, n, scratch, row);
	free(scratch);
	free(pairs);
	return r;
}

static void print_head(const struct bench *b, const struct ringq_info *info)
{
	if (b->json) {
		printf("{\n  \"bench\": \"%s\", \"memory\": \"%s\", \"cpus\": [%d, %d],\n"
		       "  \"time_ms\": %u, \"rows\": [", b->set->name, ringq_memory_name(info->memory),
		       b->cpus[0], b->cpus[1], b->time_ms);
		return;
	}
	printf("%s, %s memory, CPUs %d and %d, %u repetitions of 2 x %u ms\n\n", b->set->name,
	       ringq_memory_name(info->memory), b->cpus[0], b->cpus[1], b->repeat, b->time_ms);
	printf("%6s  %-13s  %-4s  %8s  %5s  %11s  %11s  %6s  %-14s  %4s  %4s  %3s\n", "BYTES",
	       "HOW", "PxC", "CAPACITY", "PAGES", "CONTROL", "RINGQ", "RATIO", "QUARTILES", "LOST",
	       "KEPT", "FAR");
}

static void print_row_json(const struct bench_case *c, const struct ringq_info *info,
			   const struct row *row, bool first)
{
	printf("%s\n    { \"bytes\": %u, \"how\": \"%s\", \"senders\": %u, \"receivers\": %u, "
	       "\"capacity\": %llu,\n      \"page_shift\": %u, \"unit\": \"%s\", "
	       "\"kept\": %u, \"far\": %u",
	       first ? "" : ",", c->size, c->name, c->threads[0], c->threads[1],
	       (unsigned long long)info->capacity, info->page_shift,
	       c->round_trips ? "ns" : "M/s", row->kept, row->far);
	if (row->kept)
		printf(",\n      \"control\": %.2f, \"ringq\": %.2f, \"ratio\": %.3f, "
		       "\"quartiles\": [%.3f, %.3f], \"lost\": %.4f", row->control, row->ringq,
		       row->ratio, row->low, row->high, row->lost);
	printf(" }");
}

static void print_row(const struct bench_case *c, const struct ringq_info *info,
		      const struct row *row)
{
	const char *unit = c->round_trips ? "ns" : "M/s";
	int digits = c->round_trips ? 0 : 1;
	char threads[32];

	snprintf(threads, sizeof(threads), "%ux%u", c->threads[0], c->threads[1]);
	printf("%6u  %-13s  %-4s  %8llu  %5s  ", c->size, c->name, threads,
	       (unsigned long long)info->capacity, tool_page(info->page_shift));
	if (row->kept)
		printf("%7.*f %-3s  %7.*f %-3s  %6.2f  %5.2f .. %-5.2f  %3.0f%%", digits, row->control,
		       unit, digits, row->ringq, unit, row->ratio, row->low, row->high,
		       row->lost * 100);
	else
		printf("%11s  %11s  %6s  %-14s  %4s", "-", "-", "-", "-", "-");
	printf("  %4u  %3u\n", row->kept, row->far);
	fflush(stdout);
}

static void print_foot(const struct bench *b)
{
	if (b->json)
		printf("\n  ],\n  \"near_ns\": [%.0f, %.0f], \"probes\": %zu\n}\n", b->low, b->high,
		       b->count);
	else
		printf("\nA bare round trip between these CPUs took %.0f to %.0f ns when near "
		       "(%zu probes).\n", b->low, b->high, b->count);
}

/* Who shares a core with this CPU, itself included; empty if that is not known. */
static void read_siblings(int cpu, char *text, size_t size)
{
	char path[80];
	FILE *file;

	text[0] = '\0';
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
		 cpu);
	file = fopen(path, "re");
	if (!file)
		return;
	if (!fgets(text, size, file))
		text[0] = '\0';
	fclose(file);
}

/* The first CPU that we may use, and the first one that is not in the same core. */
static int choose_cpus(int cpus[2])
{
	char first[256] = "", other[256];
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return -errno;
	cpus[0] = -1;
	cpus[1] = -1;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &set))
			continue;
		if (cpus[0] < 0) {
			cpus[0] = cpu;
			read_siblings(cpu, first, sizeof(first));
			continue;
		}
		if (cpus[1] < 0)
			cpus[1] = cpu;
		read_siblings(cpu, other, sizeof(other));
		if (strcmp(first, other)) {
			cpus[1] = cpu;
			break;
		}
	}
	return cpus[1] < 0 ? -ENODEV : 0;
}

static int parse_cpus(const char *text, int cpus[2])
{
	cpu_set_t set;
	int end = 0;

	if (sscanf(text, "%d,%d%n", &cpus[0], &cpus[1], &end) != 2 || text[end] ||
	    cpus[0] == cpus[1] || sched_getaffinity(0, sizeof(set), &set) < 0)
		return -EINVAL;
	for (int i = 0; i < 2; i++)
		if (cpus[i] < 0 || cpus[i] >= CPU_SETSIZE || !CPU_ISSET(cpus[i], &set))
			return -EINVAL;
	return 0;
}

enum {
	KEY_QUICK = 256,
	KEY_JSON,
	KEY_CPUS,
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	static const struct bench_set *const sets[] = {
		&bench_spsc, &bench_many, &bench_wake,
	};
	struct bench *b = state->input;
	unsigned int i;
	int memory;

	switch (key) {
	case 'm':
		memory = strcmp(arg, "private") ? tool_memory(arg) : RINGQ_PRIVATE;
		if (memory < 0)
			argp_error(state, "--memory wants private, auto, device or memfd: '%s'", arg);
		b->memory = memory;
		b->memory_given = true;
		return 0;
	case KEY_QUICK:
		b->quick = true;
		b->repeat = 5;
		b->time_ms = 20;
		return 0;
	case KEY_JSON:
		b->json = true;
		return 0;
	case KEY_CPUS:
		if (parse_cpus(arg, b->cpus) < 0)
			argp_error(state, "--cpus wants two CPUs that may be used, as in 0,1: '%s'", arg);
		return 0;
	case ARGP_KEY_ARG:
		for (i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
			if (!strcmp(arg, sets[i]->name))
				b->set = sets[i];
		b->death = !strcmp(arg, "death");
		b->parts = !strcmp(arg, "parts");
		if (state->arg_num > 0 || (!b->set && !b->death && !b->parts))
			argp_error(state, "there is no benchmark '%s'", arg);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
		return 0;
	case ARGP_KEY_SUCCESS:
		if (b->death && b->memory_given && b->memory == RINGQ_PRIVATE)
			argp_error(state, "private memory has no processes to die");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static int run_case(struct bench *b, const struct bench_case *c, bool first, struct row *row)
{
	struct ringq_info info;
	void *q;
	int r = b->set->open(c, b->memory, &info, &q);

	if (r < 0) {
		warnx("no %s ring of %llu messages of %u bytes: %s", ringq_memory_name(b->memory),
		      (unsigned long long)c->capacity, c->size, ringq_strerror(r));
		return r;
	}
	if (first)
		print_head(b, &info);
	memset(row, 0, sizeof(*row));
	r = measure(b, c, q, row);
	b->set->close(q);
	if (r == -EBADMSG)
		warnx("%u bytes, %s: a message was not what was sent", c->size, c->name);
	else if (r == -ETIMEDOUT)
		warnx("%u bytes, %s: not finished in time", c->size, c->name);
	else if (r < 0)
		warnx("%u bytes, %s: %s", c->size, c->name, strerror(-r));
	else if (b->json)
		print_row_json(c, &info, row, first);
	else
		print_row(c, &info, row);
	return r;
}

static int run_death(const struct bench *b)
{
	const struct bench_death death = {
		.memory = b->memory_given ? b->memory : RINGQ_AUTO,
		.kills = b->quick ? 20 : 300, .json = b->json,
	};

	return bench_death(&death) < 0 ? TOOL_FAILED : TOOL_OK;
}

int cmd_bench(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ .name = "memory", .key = 'm', .arg = "MEMORY",
		  .doc = "of the ring: private (default), auto, device or memfd" },
		{ .name = "quick", .key = KEY_QUICK,
		  .doc = "fewer and shorter repetitions: seconds instead of half a minute" },
		{ .name = "json", .key = KEY_JSON, .doc = "for programs" },
		{ .name = "cpus", .key = KEY_CPUS, .arg = "A,B",
		  .doc = "where to run; by default the first two cores that may be used" },
		{ 0 }
	};
	static const struct argp argp = { .options = options, .parser = parse,
					  .args_doc = "WHAT", .doc = doc };
	struct bench b = { .memory = RINGQ_PRIVATE, .repeat = 9, .time_ms = 100 };
	int chosen = choose_cpus(b.cpus), r = 0;
	unsigned int empty = 0;
	struct row row;

	argp_parse(&argp, argc, argv, 0, NULL, &b);
	if (b.death)
		return run_death(&b);
	if (chosen < 0) {
		warnx("needs two CPUs, and there is only one that this process may use");
		return TOOL_FAILED;
	}
	if (b.parts)
		return bench_parts(b.memory, b.quick, b.json, b.cpus) < 0 ? TOOL_FAILED : TOOL_OK;
	for (unsigned int i = 0; r == 0 && i < b.set->count; i++) {
		r = run_case(&b, &b.set->cases[i], !i, &row);
		empty += r == 0 && !row.kept;
	}
	if (r == 0)
		print_foot(&b);
	free(b.probes);
	if (empty)
		warnx("the CPUs moved about too much for %u of the rows", empty);
	return r == 0 && !empty ? TOOL_OK : TOOL_FAILED;
}
