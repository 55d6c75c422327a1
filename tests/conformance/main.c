// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Runs the conformance cases on one memory:
 *
 *	conformance --memory=private|memfd|device [--scale=PERCENT] [--list] [CASE...]
 *
 * Each case is a process, and the leader of a process group, so that a crash, a hang or a
 * failed check is one line of FAIL and takes nothing else with it. A line for each case,
 * then "N passed, N failed". The exit status is 0 if none failed and there was at least one.
 * A case may leave no descriptor open. There are no skips.
 */
#include "conformance.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Generous: it ends hangs and measures nothing. */
#define WATCHDOG_SECONDS 120

#define PLACES 16

static const struct conf_case *const themes[] = {
	conf_flow, conf_edges, conf_blocked, conf_waiting, conf_ends, conf_death, conf_sharing,
	conf_names, conf_misuse,
};

struct conf conf = { .scale = 100 };

/* Written by all processes of a case, read by the runner. */
static struct report {
	bool failed;
	char why[400];
	struct {
		int tid;
		const char *file;
		int line;
	} places[PLACES];
	unsigned int used;
} *report;

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

void conf_at(const char *file, int line)
{
	static __thread unsigned int mine;
	static __thread int tid;

	if (tid != gettid()) {
		tid = gettid();
		mine = __atomic_fetch_add(&report->used, 1, __ATOMIC_RELAXED) % PLACES;
		report->places[mine].tid = tid;
	}
	__atomic_store_n(&report->places[mine].file, file, __ATOMIC_RELAXED);
	__atomic_store_n(&report->places[mine].line, line, __ATOMIC_RELAXED);
}

void conf_fail(const char *file, int line, const char *format, ...)
{
	va_list args;
	int n;

	/* What fails first is the reason for what fails next. */
	if (!__atomic_exchange_n(&report->failed, true, __ATOMIC_ACQ_REL)) {
		n = snprintf(report->why, sizeof(report->why), "%s:%d: ", base_name(file), line);
		va_start(args, format);
		vsnprintf(report->why + n, sizeof(report->why) - n, format, args);
		va_end(args);
	}
	kill(0, SIGKILL);
	_exit(1);
}

void conf_expect(const char *file, int line, const char *what, int64_t got, int64_t wanted)
{
	char text[2][80];
	int64_t value[2] = { got, wanted };
	int i;

	if (got == wanted)
		return;
	for (i = 0; i < 2; i++)
		snprintf(text[i], sizeof(text[i]), value[i] < 0 ? "-%s" : "%.0s%lld",
			 value[i] < 0 ? strerrorname_np(-value[i]) : "", (long long)value[i]);
	conf_fail(file, line, "%s is %s, not %s", what, text[0], text[1]);
}

/* The state of a thread, and what it waits for, as far as the kernel tells. */
static void print_thread(int tid, const char *file, int line)
{
	char path[64], state = '?', wchan[64] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	f = fopen(path, "r");
	if (!f)
		return;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = '?';
	fclose(f);
	snprintf(path, sizeof(path), "/proc/%d/wchan", tid);
	f = fopen(path, "r");
	if (f) {
		if (!fgets(wchan, sizeof(wchan), f))
			wchan[0] = 0;
		fclose(f);
	}
	printf("# thread %d, state %c, in %s, after %s:%d\n", tid, state,
	       wchan[0] && strcmp(wchan, "0") ? wchan : "user space", base_name(file), line);
}

static void print_hang(void)
{
	unsigned int i;

	for (i = 0; i < PLACES && i < report->used; i++)
		print_thread(report->places[i].tid, report->places[i].file,
			     report->places[i].line);
}

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

static bool run_case(const struct conf_case *c, const sigset_t *chld)
{
	const struct timespec limit = { .tv_sec = WATCHDOG_SECONDS }, now = { 0 };
	int status = 0;
	bool hung;
	pid_t pid;

	memset(report, 0, sizeof(*report));
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
		print_hang();
	kill(-pid, SIGKILL);
	waitpid(pid, &status, 0);
	while (sigtimedwait(chld, NULL, &now) > 0)
		;

	if (report->failed)
		printf("FAIL - %s: %s\n", c->name, report->why);
	else if (hung)
		printf("FAIL - %s: hung\n", c->name);
	else if (WIFSIGNALED(status))
		printf("FAIL - %s: %s, after %s:%d\n", c->name, strsignal(WTERMSIG(status)),
		       report->used ? base_name(report->places[0].file) : "the start",
		       report->places[0].line);
	else if (WEXITSTATUS(status))
		printf("FAIL - %s: exit status %d\n", c->name, WEXITSTATUS(status));
	else
		printf("ok - %s\n", c->name);
	return !report->failed && !hung && WIFEXITED(status) && !WEXITSTATUS(status);
}

static bool wanted(const char *name, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++) {
		if (!strcmp(*names, name))
			return true;
	}
	return false;
}

static int usage(const char *what)
{
	fprintf(stderr, "conformance: %s\nusage: conformance "
		"--memory=private|memfd|device [--scale=PERCENT] [--list] [CASE...]\n", what);
	return 2;
}

int main(int argc, char **argv)
{
	unsigned int passed = 0, failed = 0, i;
	const struct conf_case *c;
	bool list = false;
	sigset_t chld;
	int a;

	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (report == MAP_FAILED) {
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
		} else if (!strcmp(argv[a], "--list")) {
			list = true;
		} else {
			return usage("no such option");
		}
	}
	if (!list && !conf.memory)
		return usage("which memory?");
	conf.processes = conf.memory != RINGQ_PRIVATE;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);

	for (i = 0; i < COUNT(themes); i++) {
		for (c = themes[i]; c->name; c++) {
			if (!wanted(c->name, argv + a))
				continue;
			if (list)
				puts(c->name);
			else if (run_case(c, &chld))
				passed++;
			else
				failed++;
		}
	}
	if (list)
		return 0;
	printf("%u passed, %u failed\n", passed, failed);
	return failed || !passed;
}
