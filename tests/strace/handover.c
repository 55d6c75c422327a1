// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What a hand-over between two processes that sleep at every turn costs, in what can be counted
 * where clocks measure an emulator: handover memfd|device, as root, with tracefs mounted. Two
 * rings, and for comparison two eventfds, take a word there and back, again and again; then
 *
 *   - both sides together make no more system calls for each hand-over than with an eventfd, but
 *     for membarrier(2), which is a call of its own without the module;
 *   - on one CPU, where each hand-over is a sleep, they switch no more often;
 *   - on two, the CPUs interrupt each other no more often, but for the barrier, once for who arms.
 *
 * handover hold only opens its counters, says so, and stays.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <ringq.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS	2000	/* there and back */
#define SETTLED	100	/* of them, before anything is counted */
#define LIMIT	300	/* seconds; some are usual, under emulation */

#define CALL_ID	"/sys/kernel/tracing/events/raw_syscalls/sys_enter/id"

/* For each hand-over, of both sides. */
struct counts {
	double calls;
	double switches;
	double interrupts;	/* of the whole machine */
};

/* Shared by all processes. */
static struct {
	uint64_t calls[2];
	uint64_t switches[2];
	uint64_t interrupts;
} *report;

RINGQ_TYPED(words, uint64_t, spsc);

struct way {
	int event[2];		/* there, and back */
	struct ringq *ring[2];
};

typedef int (*side_fn)(const struct way *w, unsigned int me);

static void fail(const char *what, int r)
{
	fprintf(stderr, "handover: %s: %s\n", what, ringq_strerror(r));
	exit(1);
}

/* A counter of this process. */
static int counter(uint32_t type, uint64_t what)
{
	struct perf_event_attr attr = { .type = type, .size = sizeof(attr), .config = what };
	int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		fail("perf_event_open", -errno);
	return fd;
}

static uint64_t value(int fd)
{
	uint64_t n;

	if (read(fd, &n, sizeof(n)) != sizeof(n))
		fail("a counter", -EIO);
	return n;
}

static uint64_t call_id(void)
{
	FILE *f = fopen(CALL_ID, "r");
	unsigned long id = 0;

	if (!f || fscanf(f, "%lu", &id) != 1)
		fail(CALL_ID, -ENOENT);
	fclose(f);
	return id;
}

/* Calls of functions on other CPUs, and requests to reschedule. */
static uint64_t interrupts(void)
{
	char line[4096], *at, *end;
	FILE *f = fopen("/proc/interrupts", "r");
	uint64_t sum = 0, n;

	while (f && fgets(line, sizeof(line), f)) {
		at = line + strspn(line, " ");
		if (strncmp(at, "CAL:", 4) && strncmp(at, "RES:", 4))
			continue;
		for (at += 4; n = strtoull(at, &end, 10), end != at; at = end)
			sum += n;
	}
	if (f)
		fclose(f);
	return sum;
}

/* What one side is counted by; -1 where its counted part begins, 1 where it ends. */
static void count(unsigned int me, int sign)
{
	static int calls = -1, switches = -1;

	if (sign < 0) {
		switches = counter(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES);
		report->interrupts -= me ? 0 : interrupts();
		calls = counter(PERF_TYPE_TRACEPOINT, call_id());
		return;
	}
	report->calls[me] = value(calls);
	report->switches[me] = value(switches);
	report->interrupts += me ? 0 : interrupts();
	close(calls);
	close(switches);
}

static int by_event(const struct way *w, unsigned int me)
{
	eventfd_t n;
	int i, r = 0;

	for (i = 0; i < ROUNDS && r == 0; i++) {
		if (i == SETTLED)
			count(me, -1);
		if (!me)
			r = eventfd_write(w->event[0], 1);
		if (r == 0)
			r = eventfd_read(w->event[!me], &n);
		if (me && r == 0)
			r = eventfd_write(w->event[1], 1);
	}
	count(me, 1);
	return r;
}

static void by_ring_enter(const struct way *w, unsigned int me, struct ringq **ring,
			  struct words_producer *out, struct words_consumer *in)
{
	int i, r;

	for (i = 0; i < 2; i++) {
		r = ringq_join_fd(ringq_fd(w->ring[i]), NULL, &ring[i]);
		if (r < 0)
			fail("join", r);
	}
	r = words_attach_producer(ring[me], out);
	if (r == 0)
		r = words_attach_consumer(ring[!me], in);
	if (r == 0)
		r = ringq_set_strategy(&in->port, RINGQ_STRATEGY_BLOCK);
	if (r < 0)
		fail("attach", r);
}

static int by_ring(const struct way *w, unsigned int me)
{
	struct words_producer out;
	struct words_consumer in;
	struct ringq *ring[2];
	uint64_t word = 0;
	int i, r = 1;

	by_ring_enter(w, me, ring, &out, &in);
	for (i = 0; i < ROUNDS && r == 1; i++) {
		if (i == SETTLED)
			count(me, -1);
		if (!me)
			r = words_send(&out, &word, RINGQ_FOREVER);
		if (r == 1)
			r = words_recv(&in, &word, RINGQ_FOREVER);
		if (me && r == 1)
			r = words_send(&out, &word, RINGQ_FOREVER);
	}
	count(me, 1);
	ringq_detach(&out.port);
	ringq_detach(&in.port);
	for (i = 0; i < 2; i++)
		ringq_leave(ring[i]);
	return r == 1 ? 0 : -1;
}

static pid_t start(side_fn by, const struct way *w, unsigned int me, bool apart)
{
	pid_t pid = fork();
	cpu_set_t cpu;

	if (pid)
		return pid;
	alarm(LIMIT);
	CPU_ZERO(&cpu);
	CPU_SET(apart ? me : 0, &cpu);
	if (sched_setaffinity(0, sizeof(cpu), &cpu) < 0)
		fail("two CPUs are needed", -errno);
	_exit(by(w, me) < 0);
}

static struct counts measure(const char *name, side_fn by, const struct way *w, bool apart)
{
	const double handovers = 2 * (ROUNDS - SETTLED);
	struct counts c;
	unsigned int i;
	int status;

	memset(report, 0, sizeof(*report));
	for (i = 0; i < 2; i++)
		start(by, w, i, apart);
	while (wait(&status) > 0) {
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			fail("a side", -EIO);
	}
	c.calls = (report->calls[0] + report->calls[1]) / handovers;
	c.switches = (report->switches[0] + report->switches[1]) / handovers;
	c.interrupts = report->interrupts / handovers;
	printf("# %s, %s: for each hand-over %.2f system calls, %.2f switches, %.2f interrupts\n",
	       name, apart ? "two CPUs" : "one CPU", c.calls, c.switches, c.interrupts);
	return c;
}

static int check(const char *what, double is, double may)
{
	printf("%s - %s: %.2f, not more than %.2f\n", is <= may ? "ok" : "FAIL", what, is, may);
	return is > may;
}

/* One in twenty is left to what else runs. */
static int compare(const struct way *w, double barrier_calls, bool apart)
{
	struct counts event = measure("eventfd", by_event, w, apart);
	struct counts ring = measure("ringq", by_ring, w, apart);
	int failed = check("system calls", ring.calls, event.calls + barrier_calls + 0.05);

	if (apart)
		return failed + check("interrupts", ring.interrupts, event.interrupts + 1.05);
	return failed + check("switches", ring.switches, event.switches + 0.05);
}

/* While there is a counter of a kind, the kernel does not patch itself for the next one. */
static void hold(void)
{
	counter(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES);
	counter(PERF_TYPE_TRACEPOINT, call_id());
	puts("held");
	fflush(stdout);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .elem_size = 8, .capacity = 64,
		.flags = RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT,
	};
	int i, r, failed, barrier_calls;
	struct way w;

	if (argc == 2 && !strcmp(argv[1], "hold"))
		hold();
	opts.memory = argc == 2 && !strcmp(argv[1], "device") ? RINGQ_DEVICE : RINGQ_MEMFD;
	barrier_calls = opts.memory == RINGQ_MEMFD;
	setbuf(stdout, NULL);
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (report == MAP_FAILED)
		fail("mmap", -errno);
	for (i = 0; i < 2; i++) {
		w.event[i] = eventfd(0, 0);
		r = ringq_create(&opts, &w.ring[i]);
		if (r < 0)
			fail("create", r);
	}
	failed = compare(&w, barrier_calls, false);
	failed += compare(&w, barrier_calls, true);
	for (i = 0; i < 2; i++)
		ringq_leave(w.ring[i]);
	return failed > 0;
}
