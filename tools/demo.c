// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * ringq demo: in a few seconds and a page, what a ring does: how fast it is, what waiting
 * costs, and what is left when a process is killed. Every figure is measured while it runs;
 * every message is checked: its number is the next one, and its words are those that belong
 * to this number, so none is missing, doubled, out of order, or half-written.
 */
#include "child.h"
#include "tool.h"

#include <argp.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define DEMO_MESSAGES	UINT64_C(20000000)
#define DEMO_KILL_AT	UINT64_C(5000000)
#define DEMO_IDLE	(TOOL_SECOND / 2)
#define DEMO_HELD	3
#define DEMO_PATIENCE	(60 * TOOL_SECOND)
#define DEMO_WORDS	6

struct message {
	uint64_t number;
	uint64_t words[DEMO_WORDS];
};

RINGQ_TYPED(demo, struct message, spsc);

struct demo {
	uint32_t memory;
	struct child producer, consumer;
};

static void fill(struct message *m, uint64_t number)
{
	m->number = number;
	for (int i = 0; i < DEMO_WORDS; i++)
		m->words[i] = number * 0x9e3779b97f4a7c15 + i;
}

static bool is_right(const struct message *m, uint64_t number)
{
	struct message want;

	fill(&want, number);
	return !memcmp(m, &want, sizeof(want));
}

static int make_ring(const struct demo *demo, uint32_t flags, struct ringq **ring)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = demo->memory, .flags = flags,
		.elem_size = sizeof(struct message),
	};

	return ringq_create(&opts, ring);
}

/* A child: sends as many as asked for, and leaves. */
static int produce(struct ringq *inherited, uint64_t count)
{
	struct demo_producer q;
	struct message m;
	struct ringq *ring;
	int r = ringq_join_fd(ringq_fd(inherited), NULL, &ring);

	if (r < 0)
		return r;
	r = demo_attach_producer(ring, &q);
	for (uint64_t i = 0; r >= 0 && i < count; i++) {
		fill(&m, i);
		r = demo_send(&q, &m, RINGQ_FOREVER);
	}
	if (r < 0)
		return r;
	r = ringq_drain(&q.port, RINGQ_FOREVER);
	ringq_detach(&q.port);
	ringq_leave(ring);
	return r;
}

/* A child: takes messages into its hands, says so, and keeps them. */
static int hold(struct ringq *inherited, int told)
{
	struct demo_consumer q;
	struct ringq *ring;
	int64_t n = 0;
	int r = ringq_join_fd(ringq_fd(inherited), NULL, &ring);

	if (r == 0)
		r = demo_attach_consumer(ring, &q);
	if (r < 0)
		return r;
	/* A peek gives what is there; we want that many. */
	while (n < DEMO_HELD) {
		n = demo_peek(&q, DEMO_HELD, RINGQ_FOREVER);
		if (n <= 0)
			return n < 0 ? n : -EPIPE;
		if (n < DEMO_HELD)
			demo_release(&q, 0);
	}
	if (write(told, "", 1) != 1)
		return -errno;
	for (;;)
		pause();
}

static int start_producer(struct demo *demo, struct ringq *ring, uint64_t count)
{
	int r = child_fork(&demo->producer);

	if (r > 0)
		_exit(produce(ring, count) < 0 ? TOOL_FAILED : TOOL_OK);
	return r;
}

/* Receives messages with the numbers from *next on, up to limit; 1, 0 at the end, or error. */
static int receive(struct demo_consumer *q, uint64_t *next, uint64_t limit)
{
	struct message m;
	int r = 1;

	while (*next < limit && r > 0) {
		r = demo_recv(q, &m, DEMO_PATIENCE);
		if (r > 0 && !is_right(&m, (*next)++))
			return -EBADMSG;
		if (tool_signal)
			return -EINTR;
	}
	return r;
}

static int show_speed(struct demo *demo)
{
	struct ringq_info info = { .size = sizeof(info) };
	char size[TOOL_FIGURE];
	struct demo_consumer q;
	struct ringq *ring;
	uint64_t next = 0;
	int64_t begin;
	double seconds;
	int r = make_ring(demo, 0, &ring);

	if (r < 0)
		return r;
	ringq_get_info(ring, &info);
	printf("A ring of %llu messages of %zu bytes: %s in %s memory, pages of %s.\n\n",
	       (unsigned long long)info.capacity, sizeof(struct message),
	       tool_bytes(size, info.total), ringq_memory_name(info.memory),
	       tool_page(info.page_shift));
	r = demo_attach_consumer(ring, &q);
	if (r == 0)
		r = start_producer(demo, ring, DEMO_MESSAGES);
	if (r == 0)
		r = receive(&q, &next, 1);
	begin = tool_now();
	if (r > 0)
		r = receive(&q, &next, DEMO_MESSAGES);
	seconds = (tool_now() - begin) / (double)TOOL_SECOND;
	ringq_detach(&q.port);
	ringq_leave(ring);
	if (r <= 0)
		return r < 0 ? r : -EPIPE;
	printf("Speed. Another process sends %llu million messages, one at a time; this one\n"
	       "receives and checks each: %.1f million a second, %.0f ns a message.\n\n",
	       (unsigned long long)DEMO_MESSAGES / 1000000, next / seconds / 1e6,
	       seconds * 1e9 / next);
	r = child_wait(&demo->producer, DEMO_PATIENCE);
	return r > 0 ? -EIO : r;
}

static double cpu_ms(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
	       (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

static int show_idle(struct demo *demo)
{
	struct demo_consumer q;
	struct ringq *ring;
	struct message m;
	double cpu;
	int r = make_ring(demo, 0, &ring);

	if (r < 0)
		return r;
	r = demo_attach_consumer(ring, &q);
	cpu = cpu_ms();
	if (r == 0)
		r = demo_recv(&q, &m, DEMO_IDLE);
	cpu = cpu_ms() - cpu;
	ringq_detach(&q.port);
	ringq_leave(ring);
	if (r != -ETIMEDOUT)
		return r < 0 ? r : -EBADMSG;
	printf("Idle. Waiting %.1f s for a message that does not come took %.2f ms of processor\n"
	       "time.\n\n", DEMO_IDLE / (double)TOOL_SECOND, cpu);
	return 0;
}

static int show_dead_producer(struct demo *demo)
{
	struct demo_consumer q;
	struct ringq *ring;
	uint64_t next = 0, limit = DEMO_KILL_AT;
	int64_t begin;
	int r = make_ring(demo, 0, &ring);

	if (r < 0)
		return r;
	r = demo_attach_consumer(ring, &q);
	if (r == 0)
		r = start_producer(demo, ring, UINT64_MAX);
	if (r == 0)
		r = receive(&q, &next, limit);
	begin = tool_now();
	if (r > 0) {
		child_kill(&demo->producer);
		r = receive(&q, &next, UINT64_MAX);
	}
	begin = tool_now() - begin;
	ringq_detach(&q.port);
	ringq_leave(ring);
	if (r < 0)
		return r;
	child_end(&demo->producer);
	printf("The producer is killed (kill -9) at work, when %llu messages have come. %llu more\n"
	       "had been committed, and come too, the last one as whole as the first; then the\n"
	       "end, %.1f ms after the kill.\n\n",
	       (unsigned long long)limit, (unsigned long long)(next - limit), begin / 1e6);
	return 0;
}

/* Starts a consumer, and kills it when it has messages in its hands. */
static int kill_consumer(struct demo *demo, struct ringq *ring)
{
	int told[2], r;
	char byte;

	if (pipe2(told, O_CLOEXEC) < 0)
		return -errno;
	r = child_fork(&demo->consumer);
	if (r > 0)
		_exit(hold(ring, told[1]) < 0 ? TOOL_FAILED : TOOL_OK);
	close(told[1]);
	if (r == 0 && read(told[0], &byte, 1) != 1)
		r = tool_signal ? -EINTR : -EIO;
	close(told[0]);
	child_end(&demo->consumer);
	return r;
}

/* The number of messages that come first and flagged. */
static int receive_again(struct demo_consumer *q, uint64_t *next)
{
	struct message m;
	int r;

	do {
		r = demo_recv(q, &m, DEMO_PATIENCE);
		if (r <= 0)
			return r < 0 ? r : -EPIPE;
		if (!is_right(&m, (*next)++))
			return -EBADMSG;
	} while (ringq_flags(&q->port) & RINGQ_REDELIVERED);
	return *next - 1;
}

static int show_dead_consumer(struct demo *demo)
{
	struct demo_consumer q;
	struct ringq *ring;
	uint64_t next = 0;
	int again;
	int r = make_ring(demo, RINGQ_CONSUMER_WAIT, &ring);

	if (r < 0)
		return r;
	r = start_producer(demo, ring, DEMO_KILL_AT);
	if (r == 0)
		r = kill_consumer(demo, ring);
	if (r == 0)
		r = demo_attach_consumer(ring, &q);
	if (r < 0) {
		ringq_leave(ring);
		return r;
	}
	again = receive_again(&q, &next);
	r = again < 0 ? again : receive(&q, &next, DEMO_KILL_AT);
	ringq_detach(&q.port);
	ringq_leave(ring);
	if (r <= 0)
		return r < 0 ? r : -EPIPE;
	printf("A consumer is killed while it has %d messages in its hands. Another one takes its\n"
	       "place, and goes on where it stopped: %d come again, flagged; then the other\n"
	       "%llu, each once. The producer has noticed nothing.\n\n", DEMO_HELD, again,
	       (unsigned long long)(DEMO_KILL_AT - again));
	r = child_wait(&demo->producer, DEMO_PATIENCE);
	return r > 0 ? -EIO : r;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct demo *demo = state->input;

	if (key == ARGP_KEY_ARG)
		argp_usage(state);
	if (key != 'm')
		return ARGP_ERR_UNKNOWN;
	demo->memory = tool_parse_memory(arg, state);
	return 0;
}

int cmd_demo(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ .name = "memory", .key = 'm', .arg = "MEMORY",
		  .doc = "auto (default), device or memfd" },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options, .parser = parse,
		.doc = "See in seconds what a ring does: how fast it is, what waiting costs, and "
		       "what is left when a process is killed. Every message is checked.",
	};
	static int (*const steps[])(struct demo *) = {
		show_speed, show_idle, show_dead_producer, show_dead_consumer,
	};
	struct demo demo = { 0 };
	int r = 0;

	argp_parse(&argp, argc, argv, 0, NULL, &demo);
	tool_catch_signals();
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && r == 0; i++) {
		r = steps[i](&demo);
		fflush(stdout);
	}
	child_end(&demo.consumer);
	child_end(&demo.producer);
	if (r < 0 && r != -EINTR)
		warnx("%s", ringq_strerror(r));
	else if (r == 0)
		printf("Nothing is left to clean up: the memory went with the last process.\n");
	return r == 0 ? TOOL_OK : TOOL_FAILED;
}
