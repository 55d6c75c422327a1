// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A process is killed after each of its instructions, between the first and the last of ours in
 * an operation:
 *
 *	step [--memory=memfd|device] [--every=N] [--seconds=N] [--pairs] [--list] [PATTERN...]
 *
 * Each operation of each kind of ring is a cell, for each way in which others are there besides
 * (table.c). In a cell the victim's path is recorded once; then it dies, in a new ring each time,
 * at every instruction of it that has stored something that others can see, or was a system
 * call: between these all deaths are the same to those who live. And, to see that they are, at
 * one in N of the others (by default 512; 1: at each). What is true afterwards is judged by
 * judge.c, and what was left out is printed.
 *
 * With a time, as in a guest that is emulated, only a few die in a cell, and as many cells are
 * passed over between two as it takes to come to the last one in time.
 *
 * With --pairs there are two of them; see pairs.c. They are not tried on the device.
 */
#include "step.h"

#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FEW		5	/* deaths in a cell, if time is short */
#define LONG		6000	/* instructions, where a path may be cut off */
#define CELL_LIMIT	240	/* seconds; ends hangs, and measures nothing */

uint32_t step_memory = RINGQ_MEMFD;
struct report *report;

struct counts *counts;
unsigned int every;
unsigned int dies_at, lies_at;
pid_t victim;
char cell_name[128];
static double seconds;

void fail(const char *format, ...)
{
	va_list args;

	printf("FAIL - %s: at instruction %u, %u: ", cell_name, dies_at, lies_at);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
	if (victim > 0)
		kill(victim, SIGKILL);
	_exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void begin(struct scene *s, const struct cell *cell)
{
	scene_open(s, cell, report);
	scene_start(s);
	victim = s->victim.pid;
}

static void end(struct scene *s, enum meanwhile what)
{
	scene_death(s, what);
	victim = 0;
	scene_close(s);
}

static void record(const struct cell *cell, struct stepper_path *path)
{
	bool cut = step_memory == RINGQ_DEVICE;
	struct stepper_watch watch;
	static struct scene s;

	dies_at = 0;
	begin(&s, cell);
	watch = scene_watch(&s);
	/*
	 * In an emulated guest a step may take so long that a look at the clock (vDSO) has to be
	 * taken again and again: the path is as long as that, and cut off.
	 */
	stepper_record(s.victim.pid, &report->mark, &watch, cut ? LONG : STEPPER_MOST, path);
	CHECK(cut || report->mark.over, "more than %u instructions", STEPPER_MOST);
	dies_at = path->n;
	end(&s, NOTHING);
}

/* One death after k instructions; takes every step if the path is another this time. */
static void die(const struct cell *cell, const struct stepper_path *path, unsigned int k,
		enum meanwhile what)
{
	static struct scene s;

	dies_at = k;
	begin(&s, cell);
	if (!stepper_to(s.victim.pid, &report->mark, path, k)) {
		counts->detours++;
		end(&s, what);
		begin(&s, cell);
		stepper_steps(s.victim.pid, &report->mark, k);
	}
	/* It has begun, and is not over: it dies inside. */
	if (report->mark.over) {
		end(&s, what);
		return;
	}
	scene_meanwhile(&s, what);
	end(&s, what);
	counts->deaths++;
}

static unsigned int count_stores(const struct stepper_path *path)
{
	unsigned int n = 0, i;

	for (i = 1; i < path->n; i++)
		n += path->event[i];
	return n;
}

static void all_deaths(const struct cell *cell, const struct stepper_path *path)
{
	unsigned int k, what, n = 0;

	for (k = 0; k < path->n; k++) {
		if (!path->event[k] && k % every)
			continue;
		counts->places++;
		if (every == 1 || (path->event[k] && scene_can(cell, HOLD))) {
			for (what = 0; what < MEANWHILES; what++) {
				if (scene_can(cell, what))
					die(cell, path, k, what);
			}
		} else {
			what = n++ % MEANWHILES;
			die(cell, path, k, scene_can(cell, what) ? what : NOTHING);
		}
	}
}

/* A few, from one end to the other, each at the next store from there. */
static void some_deaths(const struct cell *cell, const struct stepper_path *path)
{
	unsigned int i, k, event;

	for (i = 0; i < FEW; i++) {
		k = path->n * i / FEW;
		for (event = k; event < path->n && !path->event[event]; event++)
			;
		die(cell, path, event < path->n ? event : k, i % MEANWHILES);
		counts->places++;
	}
}

/* What the ring does not have it must say of itself. */
static void refuse(const struct cell *cell)
{
	bool invalid = cell_kind(cell->op, cell->column) == 'v';
	static struct scene s;

	scene_refuse(&s, cell, report);
	CHECK(report->result == (invalid ? -EINVAL : -EOPNOTSUPP), "%s instead of refusal",
	      ringq_strerror(report->result));
	printf("ok - %s: is refused\n", cell_name);
}

static void run_cell(const void *what)
{
	const struct cell *cell = what;
	static struct stepper_path path;
	unsigned long deaths = counts->deaths;
	unsigned int stores;

	if (cell_kind(cell->op, cell->column) != 'x') {
		refuse(cell);
		return;
	}
	scene_init();
	record(cell, &path);
	CHECK(path.n > 2, "nothing was stepped");
	stores = count_stores(&path);
	counts->instructions += path.n;
	counts->stores += stores;
	if (seconds)
		some_deaths(cell, &path);
	else
		all_deaths(cell, &path);
	printf("ok - %s: %lu deaths in %u instructions, %u of which others see\n", cell_name,
	       counts->deaths - deaths, path.n, stores);
}

static bool wanted(int n, char **patterns)
{
	int i;

	for (i = 0; i < n; i++) {
		if (!fnmatch(patterns[i], cell_name, 0))
			return true;
	}
	return !n;
}

static void name_cell(const struct cell *cell)
{
	snprintf(cell_name, sizeof(cell_name), "%s-%s-%s-%s", ringq_memory_name(step_memory),
		 cell->column->name, cell->op->name, cast_names[cell->cast]);
}

/* Calls f for each cell that is wanted; returns how many. */
static unsigned int each_cell(int n, char **patterns, void (*f)(const struct cell *cell))
{
	unsigned int i, j, cells = 0;
	struct cell cell;
	int cast;

	for (j = 0; j < n_columns; j++) {
		for (i = 0; i < n_operations; i++) {
			for (cast = 0; cast < CASTS; cast++) {
				cell = (struct cell){ &operations[i], &columns[j], cast };
				name_cell(&cell);
				if (!cell_exists(&cell) || !wanted(n, patterns))
					continue;
				cells++;
				if (f)
					f(&cell);
			}
		}
	}
	return cells;
}

static void list(const struct cell *cell)
{
	(void)cell;
	puts(cell_name);
}

static void list_pair(const struct pair *pair)
{
	(void)pair;
	puts(cell_name);
}

static unsigned int cells, come, done, failed, pass_over;
static double begun;

/* As many of those to come as it takes to get to the end in time. */
static unsigned int to_pass_over(void)
{
	double left = seconds - (now() - begun), rest = cells - come;
	double can = left / ((now() - begun) / done);

	if (can < 1)
		return rest;
	return can < rest ? rest / can : 0;
}

/* In a process of its own, for it ends with the first thing that is wrong. */
static void run_forked(void (*run)(const void *what), const void *what)
{
	int status;
	pid_t pid;

	come++;
	if (pass_over) {
		pass_over--;
		return;
	}
	done++;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		setbuf(stdout, NULL);
		alarm(every == 1 ? 60 * CELL_LIMIT : CELL_LIMIT);
		run(what);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
		failed++;
		if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 1)
			printf("FAIL - %s: ended with %x\n", cell_name, status);
	}
	if (seconds)
		pass_over = to_pass_over();
}

static void fork_cell(const struct cell *cell)
{
	run_forked(run_cell, cell);
}

static void run_pair(const void *what)
{
	pair_run(what);
}

static void fork_pair(const struct pair *pair)
{
	run_forked(run_pair, pair);
}

/* Calls f for each pair that is wanted; returns how many. */
static unsigned int each_pair(int n, char **patterns, void (*f)(const struct pair *pair))
{
	unsigned int i, found = 0;
	const struct pair *pair;

	for (i = 0; i < n_pairs; i++) {
		pair = pair_of(i, cell_name, sizeof(cell_name));
		if (!wanted(n, patterns))
			continue;
		found++;
		if (f)
			f(pair);
	}
	return found;
}

static void print_counts(bool pairs)
{
	const char *memory = ringq_memory_name(step_memory);

	if (pairs) {
		printf("# %s: %u kinds of pairs, %lu pairs, %lu deaths\n", memory, cells,
		       counts->pairs, counts->deaths);
		return;
	}
	printf("# %s: %u of %u cells, %u operations, %lu instructions, %lu of which others see\n",
	       memory, done, cells, n_operations, counts->instructions, counts->stores);
	printf("# %s: %lu deaths at %.1f %% of them; %lu times another way was gone\n", memory,
	       counts->deaths, counts->instructions ?
	       100.0 * counts->places / counts->instructions : 0, counts->detours);
}

static void *shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int usage(void)
{
	fprintf(stderr, "usage: step [--memory=memfd|device] [--every=N] [--seconds=N] [--pairs]\n"
		"            [--list] [PATTERN...]\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "memory", required_argument, NULL, 'm' },
		{ "every", required_argument, NULL, 'e' },
		{ "seconds", required_argument, NULL, 's' },
		{ "pairs", no_argument, NULL, 'p' },
		{ "list", no_argument, NULL, 'l' },
		{ }
	};
	bool lists = false, pairs = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'm')
			step_memory = strcmp(optarg, "device") ? RINGQ_MEMFD : RINGQ_DEVICE;
		else if (c == 'e' && atoi(optarg) > 0)
			every = atoi(optarg);
		else if (c == 's')
			seconds = atof(optarg);
		else if (c == 'p')
			pairs = true;
		else if (c == 'l')
			lists = true;
		else
			return usage();
	}
	if (!every)
		every = pairs ? 128 : 512;
	argc -= optind;
	argv += optind;
	if (lists && pairs)
		return !each_pair(argc, argv, list_pair);
	if (lists)
		return !each_cell(argc, argv, list);
	/* The other one is that of who lies, in pairs. */
	report = shared(2 * sizeof(*report));
	counts = shared(sizeof(*counts));
	if (!report || !counts)
		return 1;
	stepper_init();
	cells = pairs ? each_pair(argc, argv, NULL) : each_cell(argc, argv, NULL);
	begun = now();
	failed = table_check();
	if (pairs)
		each_pair(argc, argv, fork_pair);
	else
		each_cell(argc, argv, fork_cell);
	print_counts(pairs);
	printf("%u passed, %u failed\n", done - failed, failed);
	return !done || failed;
}
