// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Runs the conformance cases on one memory, each of them in every discipline that it is for:
 *
 *	conformance --memory=private|memfd|device [--huge] [--scale=PERCENT] [--list] [CASE...]
 *
 * With --huge the rings are in huge pages, and a case fails where these are not to be had.
 * A case is called DISCIPLINE-CASE; CASE may be a pattern, as of file names. Each is a
 * process, and the leader of a process group, so that a crash, a hang or a failed check is
 * one line of FAIL and takes nothing else with it. A line for each case, a line for each
 * discipline that says how much was run, then "N passed, N failed". The exit status is 0 if
 * none failed and there was at least one. A case may leave no descriptor open. There are no
 * skips.
 */
#include "conformance.h"
#include "report.h"

#include <dirent.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Generous: it ends hangs and measures nothing. */
#define WATCHDOG_SECONDS 120

#define MOST_DISCIPLINES 16

/* What the cases of a theme ask of a discipline, beside what each asks itself. */
static const struct theme {
	const struct conf_case *cases;
	uint32_t needs;
} themes[] = {
	{ conf_flow, CONF_LOSSLESS },
	{ conf_sizes, CONF_ELEMENTS | CONF_LOSSLESS },
	{ conf_laps, CONF_LOSSLESS },
	{ conf_ordering, CONF_LOSSLESS },
	{ conf_edges, CONF_ELEMENTS | CONF_LOSSLESS },
	{ conf_several, CONF_LOSSLESS },
	{ conf_walk, CONF_ELEMENTS | CONF_LOSSLESS },
	{ conf_blocked, CONF_LOSSLESS },
	{ conf_waiting, CONF_LOSSLESS },
	{ conf_ends, CONF_LOSSLESS },
	{ conf_coming, CONF_LOSSLESS | CONF_KEEPS | CONF_ONCE },
	{ conf_closing, CONF_LOSSLESS },
	{ conf_crowd, CONF_LOSSLESS },
	{ conf_strategies, CONF_LOSSLESS },
	{ conf_lossy, CONF_LOSSY },
	{ conf_latest, CONF_LATEST },
	{ conf_death, CONF_LOSSLESS },
	{ conf_holds, CONF_LOSSLESS },
	{ conf_sharing, CONF_SPSC },
	{ conf_names, CONF_SPSC },
	{ conf_misuse, CONF_ELEMENTS | CONF_LOSSLESS },
};

struct conf conf = { .scale = 100, .discipline = conf_disciplines };

/* What is counted of a discipline. */
struct tally {
	unsigned int passed, failed;
	uint64_t messages;
};

static int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

static void run_body(const struct conf_case *c)
{
	int before, after;

	setpgid(0, 0);
	before = count_descriptors();
	c->body(c->arg);
	after = count_descriptors();
	CHECK(before == after, "%d descriptors were open before, %d after", before, after);
	/* Not _exit(): a sanitizer looks for leaks at the end. */
	exit(0);
}

static bool run_case(const struct conf_case *c, const char *name, const sigset_t *chld)
{
	const struct timespec limit = { .tv_sec = WATCHDOG_SECONDS }, now = { 0 };
	int64_t start = conf_now();
	int status = 0;
	bool hung;
	pid_t pid;

	report_clear();
	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		perror("conformance: fork");
		exit(2);
	}
	if (pid == 0) {
		sigprocmask(SIG_UNBLOCK, chld, NULL);
		run_body(c);
	}
	setpgid(pid, pid);
	/* A debugger that looks at us interrupts. */
	do
		hung = sigtimedwait(chld, NULL, &limit) < 0;
	while (hung && errno == EINTR);
	if (hung)
		report_hang();
	kill(-pid, SIGKILL);
	waitpid(pid, &status, 0);
	while (sigtimedwait(chld, NULL, &now) > 0)
		;
	return report_result(name, hung, status, conf_now() - start);
}

static bool wanted(const char *name, char **patterns)
{
	if (!*patterns)
		return true;
	for (; *patterns; patterns++) {
		if (!fnmatch(*patterns, name, 0))
			return true;
	}
	return false;
}

/* The cases of a theme in the discipline of conf; listed only, if there is no tally. */
static void run_theme(const struct theme *theme, char **patterns, const sigset_t *chld,
		      struct tally *tally)
{
	const struct conf_case *c;
	char name[100];

	for (c = theme->cases; c->name; c++) {
		snprintf(name, sizeof(name), "%s-%s", conf.discipline->name, c->name);
		if ((theme->needs | c->needs) & ~conf.discipline->has || !wanted(name, patterns))
			continue;
		if (!tally) {
			puts(name);
			continue;
		}
		if (run_case(c, name, chld))
			tally->passed++;
		else
			tally->failed++;
		tally->messages += report_messages();
	}
}

static void run_discipline(char **patterns, const sigset_t *chld, struct tally *tally)
{
	unsigned int i;

	for (i = 0; i < COUNT(themes); i++)
		run_theme(&themes[i], patterns, chld, tally);
}

static void list(char **patterns)
{
	for (conf.discipline = conf_disciplines; conf.discipline->name; conf.discipline++)
		run_discipline(patterns, NULL, NULL);
}

/* Returns the exit status. */
static int run(char **patterns, const sigset_t *chld)
{
	struct tally tallies[MOST_DISCIPLINES] = { 0 }, *tally;
	unsigned int passed = 0, failed = 0, i;

	for (i = 0; conf_disciplines[i].name; i++) {
		conf.discipline = &conf_disciplines[i];
		run_discipline(patterns, chld, &tallies[i]);
	}
	for (i = 0; conf_disciplines[i].name; i++) {
		tally = &tallies[i];
		printf("# %-8s%-5s%-14s%5u cases %12llu messages\n",
		       ringq_memory_name(conf.memory), conf.flags ? "huge" : "",
		       conf_disciplines[i].name, tally->passed + tally->failed,
		       (unsigned long long)tally->messages);
		passed += tally->passed;
		failed += tally->failed;
	}
	printf("%u passed, %u failed\n", passed, failed);
	return failed || !passed;
}

static int usage(const char *what)
{
	fprintf(stderr, "conformance: %s\nusage: conformance "
		"--memory=private|memfd|device [--huge] [--scale=PERCENT] [--list] [CASE...]\n",
		what);
	return 2;
}

int main(int argc, char **argv)
{
	bool only_list = false;
	sigset_t chld;
	int a;

	if (report_init() < 0) {
		perror("conformance: mmap");
		return 2;
	}
	/* A case that execs this program as its peer: sharing.c. */
	if (argc == 3 && !strcmp(argv[1], "--inherited")) {
		conf_inherited(atoi(argv[2]));
		return 0;
	}
	for (a = 1; a < argc && argv[a][0] == '-'; a++) {
		if (!strncmp(argv[a], "--memory=", 9)) {
			for (conf.memory = RINGQ_PRIVATE; conf.memory; conf.memory--) {
				if (!strcmp(argv[a] + 9, ringq_memory_name(conf.memory)))
					break;
			}
		} else if (!strncmp(argv[a], "--scale=", 8)) {
			conf.scale = strtoul(argv[a] + 8, NULL, 10);
		} else if (!strcmp(argv[a], "--huge")) {
			conf.flags = RINGQ_HUGE_ONLY;
		} else if (!strcmp(argv[a], "--list")) {
			only_list = true;
		} else {
			return usage("no such option");
		}
	}
	if (only_list) {
		list(argv + a);
		return 0;
	}
	if (!conf.memory)
		return usage("which memory?");
	conf.processes = conf.memory != RINGQ_PRIVATE;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	return run(argv + a, &chld);
}
