// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * See stepper.h.
 */
#include "stepper.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "step.h"

#define SYSCALL	0x050f	/* the instruction, as it lies in memory */

static bool is_over(const struct stepper_mark *mark)
{
	return __atomic_load_n(&mark->over, __ATOMIC_SEQ_CST);
}

static void must(long r, const char *what)
{
	if (r < 0)
		fail("%s: %s", what, strerror(errno));
}

static void wait_for_stop(pid_t pid)
{
	int status;

	must(waitpid(pid, &status, 0), "waitpid");
	if (!WIFSTOPPED(status))
		fail("the child ended by itself: %x", status);
	if (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSTOP)
		fail("the child got signal %d", WSTOPSIG(status));
}

static uint64_t address_of(pid_t pid)
{
	return ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.rip), NULL);
}

static void one_step(pid_t pid)
{
	must(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), "ptrace, step");
	wait_for_stop(pid);
}

void stepper_stop(void)
{
	raise(SIGSTOP);
}

pid_t stepper_start(void (*run)(void *arg), void *arg, struct stepper_mark *mark)
{
	pid_t pid;

	memset(mark, 0, sizeof(*mark));
	mark->traced = 1;
	pid = fork();
	must(pid, "fork");
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(1);
		run(arg);
		_exit(2);
	}
	wait_for_stop(pid);
	must(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL), "ptrace, options");
	return pid;
}

void stepper_go(pid_t pid)
{
	must(ptrace(PTRACE_CONT, pid, NULL, NULL), "ptrace, go on");
	wait_for_stop(pid);
}

void stepper_steps(pid_t pid, const struct stepper_mark *mark, unsigned int steps)
{
	while (steps-- && !is_over(mark))
		one_step(pid);
}

/* How often each address occurred before. */
static void count_before(struct stepper_path *path)
{
	unsigned int i, j;

	for (i = 0; i <= path->n; i++) {
		path->before[i] = 0;
		for (j = 0; j < i; j++)
			path->before[i] += path->at[j] == path->at[i];
	}
}

void stepper_record(pid_t pid, const struct stepper_mark *mark, const struct stepper_watch *watch,
		    unsigned int most, struct stepper_path *path)
{
	void *copy = malloc(watch->size);
	unsigned int i = 0;

	if (!copy)
		fail("no memory");
	memcpy(copy, watch->memory, watch->size);
	path->at[0] = address_of(pid);
	path->event[0] = false;
	while (!is_over(mark) && i < most) {
		/* It is a copy of us: its code is ours. */
		path->event[i + 1] = *(const uint16_t *)path->at[i] == SYSCALL;
		one_step(pid);
		path->at[++i] = address_of(pid);
		if (!memcmp(copy, watch->memory, watch->size))
			continue;
		path->event[i] = true;
		memcpy(copy, watch->memory, watch->size);
	}
	/* The last one was that of stepper_over(). */
	path->n = is_over(mark) ? i - 1 : i;
	free(copy);
	count_before(path);
}

static void debug_register(pid_t pid, int i, uint64_t value)
{
	const size_t size = sizeof(((struct user *)0)->u_debugreg[0]);

	must(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg) + i * size, value),
	     "ptrace, breakpoint");
}

/* An instruction that repeats itself stops at every turn of a step, and once at a breakpoint. */
static bool repeats(const struct stepper_path *path, unsigned int i)
{
	return (i && path->at[i - 1] == path->at[i]) || path->at[i + 1] == path->at[i];
}

/* From where on to step: the cheapest way. 0: from the beginning. */
static unsigned int best_start(const struct stepper_path *path, unsigned int k)
{
	unsigned int best = 0, least = k, i;

	for (i = k; i && k - i < least; i--) {
		if (!repeats(path, i) && path->before[i] + 1 + k - i < least) {
			least = path->before[i] + 1 + k - i;
			best = i;
		}
	}
	return best;
}

bool stepper_to(pid_t pid, const struct stepper_mark *mark, const struct stepper_path *path,
		unsigned int k)
{
	unsigned int from = best_start(path, k), i;

	if (from) {
		debug_register(pid, 0, path->at[from]);
		debug_register(pid, 7, 1);
		for (i = 0; i <= path->before[from] && !is_over(mark); i++)
			stepper_go(pid);
		debug_register(pid, 7, 0);
	}
	stepper_steps(pid, mark, k - from);
	return !is_over(mark) && address_of(pid) == path->at[k];
}

void stepper_finish(pid_t pid)
{
	stepper_go(pid);
}

void stepper_kill(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	must(waitpid(pid, &status, 0), "waitpid");
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail("the child was not killed: %x", status);
}

/*
 * A breakpoint is an event of perf, and for the first of them, until there is none any more, the
 * kernel patches its scheduler, which takes a while, and makes emulators stumble. So there is one
 * that stays, where that is allowed.
 */
static void keep_an_event(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr),
		.config = PERF_COUNT_SW_TASK_CLOCK,
	};

	syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

/* The two of them take turns: on one CPU none has to be woken up for that. */
void stepper_init(void)
{
	cpu_set_t cpus;
	int cpu = sched_getcpu();

	keep_an_event();
	CPU_ZERO(&cpus);
	CPU_SET(cpu < 0 ? 0 : cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}
