// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The report of a case lies in memory that its processes share with the runner. Nothing that
 * is written there while messages flow is a system call or a locked instruction: either would
 * order what the case wants to see in disorder.
 */
#include "report.h"
#include "conformance.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLACES 64

static struct report {
	bool failed;
	char why[400];
	struct place {
		int tid;
		const char *file;
		int line;
		uint64_t messages;
	} __attribute__((aligned(RINGQ_LINE_PAIR))) places[PLACES];
	unsigned int used;
} *report;

/* This thread's. */
static __thread struct place *mine;

static void forget_place(void)
{
	mine = NULL;
}

int report_init(void)
{
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (report == MAP_FAILED)
		return -errno;
	/* A forked child is another thread. */
	return -pthread_atfork(NULL, NULL, forget_place);
}

void report_clear(void)
{
	memset(report, 0, sizeof(*report));
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static struct place *my_place(void)
{
	if (!mine) {
		mine = &report->places[__atomic_fetch_add(&report->used, 1, __ATOMIC_RELAXED) %
				       PLACES];
		mine->tid = gettid();
	}
	return mine;
}

void conf_at(const char *file, int line)
{
	struct place *place = my_place();

	__atomic_store_n(&place->file, file, __ATOMIC_RELAXED);
	__atomic_store_n(&place->line, line, __ATOMIC_RELAXED);
}

void conf_count(void)
{
	uint64_t *messages = &my_place()->messages;

	__atomic_store_n(messages, *messages + 1, __ATOMIC_RELAXED);
}

uint64_t report_messages(void)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < PLACES; i++)
		sum += report->places[i].messages;
	return sum;
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
static void print_thread(const struct place *place)
{
	char path[64], state = '?', wchan[64] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", place->tid);
	f = fopen(path, "r");
	if (!f)
		return;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = '?';
	fclose(f);
	snprintf(path, sizeof(path), "/proc/%d/wchan", place->tid);
	f = fopen(path, "r");
	if (f) {
		if (!fgets(wchan, sizeof(wchan), f))
			wchan[0] = 0;
		fclose(f);
	}
	printf("# thread %d, state %c, in %s, after %s:%d, %llu messages\n", place->tid, state,
	       wchan[0] && strcmp(wchan, "0") ? wchan : "user space", base_name(place->file),
	       place->line, (unsigned long long)place->messages);
}

void report_hang(void)
{
	unsigned int i;

	for (i = 0; i < PLACES && i < report->used; i++) {
		if (report->places[i].file)
			print_thread(&report->places[i]);
	}
}

bool report_result(const char *name, bool hung, int status, int64_t ns)
{
	const struct place *first = &report->places[0];

	if (report->failed)
		printf("FAIL - %s: %s\n", name, report->why);
	else if (hung)
		printf("FAIL - %s: hung\n", name);
	else if (WIFSIGNALED(status))
		printf("FAIL - %s: %s, after %s:%d\n", name, strsignal(WTERMSIG(status)),
		       first->file ? base_name(first->file) : "the start", first->line);
	else if (WEXITSTATUS(status))
		printf("FAIL - %s: exit status %d\n", name, WEXITSTATUS(status));
	else
		printf("ok - %s, %lld ms\n", name, (long long)(ns / MS));
	return !report->failed && !hung && WIFEXITED(status) && !WEXITSTATUS(status);
}
