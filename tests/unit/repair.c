// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A process is killed after each of its instructions, one after the other, in the calls of a
 * ring whose ports claim: by CAS, by bias, between the two. Then the others go on: nothing that
 * was committed is lost, nothing that was not ever comes, what comes twice says so, nobody is
 * stuck, the ring holds as many messages as it did, and who is alone is without CAS again.
 *
 * The victim is stepped by ptrace(2), so many instructions from a stop on, and killed. One in
 * five of them by default; unit/repair 1 takes them all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <ringq.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../quiet.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LIMIT 300	/* seconds for all of them; some are usual */
#define CAPACITY 8
#define MOST 32
#define WAIT (RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT)

/* What the victim tells, in memory that it shares with us. */
struct report {
	int over;		/* the call has returned */
	uint64_t sent;		/* it may have sent numbers from first to first + sent - 1 */
};

/* To look at every single one, give 1. */
static unsigned int scale = 5;

static struct report *report;
static struct ringq *ring;
static struct ringq_port out, in;	/* ours, if the case wants them beside the victim */
static uint64_t number, first;

struct victim {
	enum ringq_role role;
	bool out, in;		/* have we a port of that role while it acts? */
	unsigned int stride;	/* one in so many instructions, times the scale */
	unsigned int messages;	/* sent by us before */
	void (*before)(void);	/* with our ports attached, before there is a victim */
	void (*between)(void);	/* when the victim is attached */
	void (*act)(struct ringq *ring, struct ringq_port *port);
	const char *name;
};

static void attach(enum ringq_role role, struct ringq_port *port)
{
	int r = ringq_attach(ring, role, port);

	if (r < 0)
		fail_msg("attach: %d", r);
}

static void send_one(struct ringq_port *port)
{
	number++;
	assert_int_equal(ringq_send(port, &number, RINGQ_NOWAIT), 1);
}

/* What victims do. */
static void act_send(struct ringq *r, struct ringq_port *port)
{
	(void)r;
	report->sent = 1;
	ringq_send(port, &first, RINGQ_NOWAIT);
}

static void act_send_many(struct ringq *r, struct ringq_port *port)
{
	uint64_t msgs[] = { first, first + 1, first + 2 };

	(void)r;
	report->sent = 3;
	ringq_send_many(port, msgs, 3, RINGQ_NOWAIT);
}

static void act_commit_part(struct ringq *r, struct ringq_port *port)
{
	(void)r;
	report->sent = 1;
	if (ringq_reserve(port, 3, RINGQ_NOWAIT) == 0) {
		*(uint64_t *)ringq_at(port, 0) = first;
		ringq_commit(port, 1);
	}
}

static void act_recv(struct ringq *r, struct ringq_port *port)
{
	uint64_t msg;

	(void)r;
	ringq_recv(port, &msg, RINGQ_NOWAIT);
}

static void act_recv_many(struct ringq *r, struct ringq_port *port)
{
	uint64_t msgs[3];

	(void)r;
	ringq_recv_many(port, msgs, 3, RINGQ_NOWAIT);
}

static void act_release_part(struct ringq *r, struct ringq_port *port)
{
	(void)r;
	if (ringq_peek(port, 3, RINGQ_NOWAIT) > 0)
		ringq_release(port, 1);
}

static void act_twice_send(struct ringq *r, struct ringq_port *port)
{
	uint64_t second = first + 1;

	act_send(r, port);
	report->sent = 2;
	ringq_send(port, &second, RINGQ_NOWAIT);
}

static void act_twice_recv(struct ringq *r, struct ringq_port *port)
{
	act_recv(r, port);
	act_recv(r, port);
}

static void act_attach_out(struct ringq *r, struct ringq_port *port)
{
	struct ringq_port another;

	if (ringq_attach(r, RINGQ_PRODUCER, &another) == 0)
		act_send(r, &another);
	(void)port;
}

static void act_attach_in(struct ringq *r, struct ringq_port *port)
{
	struct ringq_port another;

	if (ringq_attach(r, RINGQ_CONSUMER, &another) == 0)
		act_recv(r, &another);
	(void)port;
}

static void act_detach_out(struct ringq *r, struct ringq_port *port)
{
	(void)r;
	ringq_reserve(port, 3, RINGQ_NOWAIT);
	ringq_detach(port);
}

static void act_detach_in(struct ringq *r, struct ringq_port *port)
{
	(void)r;
	ringq_peek(port, 3, RINGQ_NOWAIT);
	ringq_detach(port);
}

/* What we do before and meanwhile. */
static void abort_two(void)
{
	struct ringq_port another;

	attach(RINGQ_PRODUCER, &another);
	assert_int_equal(ringq_reserve(&another, 2, RINGQ_NOWAIT), 0);
	ringq_abort(&another);
	ringq_detach(&another);
}

static void orphan_two(void)
{
	struct ringq_port another;

	send_one(&out);
	send_one(&out);
	attach(RINGQ_CONSUMER, &another);
	assert_int_equal(ringq_peek(&another, 2, RINGQ_NOWAIT), 2);
	ringq_detach(&another);
}

static void come_out(void)
{
	attach(RINGQ_PRODUCER, &out);
}

static void go_out(void)
{
	ringq_detach(&out);
}

static void come_in(void)
{
	attach(RINGQ_CONSUMER, &in);
}

static void go_in(void)
{
	ringq_detach(&in);
}

#define OUT RINGQ_PRODUCER
#define IN RINGQ_CONSUMER

static const struct victim victims[] = {
	{ OUT, true, true, 1, 0, NULL, NULL, act_send, "send, by CAS" },
	{ OUT, false, true, 1, 0, NULL, NULL, act_send, "send, alone" },
	{ OUT, true, true, 1, 0, NULL, NULL, act_send_many, "send_many, by CAS" },
	{ OUT, false, true, 1, 0, NULL, NULL, act_send_many, "send_many, alone" },
	{ OUT, true, true, 1, 0, NULL, NULL, act_commit_part, "commit a part, by CAS" },
	{ OUT, false, true, 1, 0, NULL, NULL, act_commit_part, "commit a part, alone" },
	{ OUT, false, true, 2, 0, NULL, come_out, act_twice_send, "send, alone no more" },
	{ OUT, true, true, 5, 0, NULL, go_out, act_twice_send, "send, alone again" },
	{ IN, true, true, 1, 4, NULL, NULL, act_recv, "recv, by CAS" },
	{ IN, true, false, 1, 4, NULL, NULL, act_recv, "recv, alone" },
	{ IN, true, true, 2, 4, NULL, NULL, act_recv_many, "recv_many, by CAS" },
	{ IN, true, false, 1, 4, NULL, NULL, act_recv_many, "recv_many, alone" },
	{ IN, true, true, 1, 4, NULL, NULL, act_release_part, "release a part, by CAS" },
	{ IN, true, false, 1, 4, NULL, NULL, act_release_part, "release a part, alone" },
	{ IN, true, true, 1, 2, abort_two, NULL, act_recv, "recv behind tombstones, by CAS" },
	{ IN, true, false, 1, 2, abort_two, NULL, act_recv, "recv behind tombstones, alone" },
	{ IN, true, true, 2, 0, orphan_two, NULL, act_twice_recv, "recv of orphans" },
	{ IN, true, false, 2, 4, NULL, come_in, act_twice_recv, "recv, alone no more" },
	{ IN, true, true, 5, 4, NULL, go_in, act_twice_recv, "recv, alone again" },
	{ OUT, false, true, 31, 0, NULL, NULL, act_attach_out, "attach a second producer" },
	{ IN, true, false, 31, 4, NULL, NULL, act_attach_in, "attach a second consumer" },
	{ OUT, true, true, 7, 0, NULL, NULL, act_detach_out, "detach a producer, by CAS" },
	{ OUT, false, true, 7, 0, NULL, NULL, act_detach_out, "detach a producer, alone" },
	{ IN, true, true, 7, 4, NULL, NULL, act_detach_in, "detach a consumer, by CAS" },
	{ IN, true, false, 7, 4, NULL, NULL, act_detach_in, "detach a consumer, alone" },
};

static void be_victim(const struct victim *v, int fd)
{
	struct ringq_port port;
	struct ringq *mine;

	if (ringq_join_fd(fd, NULL, &mine) < 0 || ringq_attach(mine, v->role, &port) < 0)
		_exit(1);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	v->act(mine, &port);
	report->over = 1;
	pause();
	_exit(2);
}

static void must_stop(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSTOPPED(status))
		fail_msg("the victim ended by itself: %x", status);
}

/* Lets it live for so many instructions, or until it has done what it was to do. */
static void step_and_kill(pid_t pid, unsigned int steps)
{
	int status;

	while (steps-- && !__atomic_load_n(&report->over, __ATOMIC_ACQUIRE)) {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		must_stop(pid);
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* All that is there now: numbers, and which of them are flagged; how many. */
static unsigned int receive_all(struct ringq_port *port, uint64_t *got, bool *again)
{
	unsigned int n = 0;
	int r;

	for (;;) {
		assert_true(n < MOST);
		r = ringq_recv(port, &got[n], RINGQ_NOWAIT);
		if (r == -EAGAIN)
			return n;
		assert_int_equal(r, 1);
		again[n++] = ringq_flags(port);
	}
}

/*
 * Each number comes once. Of what we sent before, what is missing the victim has received; of
 * what the victim sent, the first ones are there. How many of both are there.
 */
static unsigned int check_received(const struct victim *v, uint64_t before, bool over)
{
	uint64_t got[MOST];
	bool again[MOST];
	unsigned int n, i, ours = 0, its = 0;
	struct ringq_port another;
	uint64_t last = 0;

	attach(RINGQ_CONSUMER, &another);
	n = receive_all(&another, got, again);
	for (i = 0; i < n; i++) {
		if (got[i] >= first) {
			/* The victim's: a prefix, in order. */
			assert_int_equal(got[i], first + its);
			assert_false(again[i]);
			its++;
			continue;
		}
		assert_true(got[i] > before && got[i] <= number);
		/* Orphans come first, each lot in order. */
		if (i && again[i] == again[i - 1])
			assert_true(got[i] > last);
		last = got[i];
		assert_true(!again[i] || v->role == IN);
		ours++;
	}
	assert_true(its <= report->sent);
	if (v->role == OUT) {
		assert_int_equal(ours, number - before);
		if (over)
			assert_int_equal(its, report->sent);
	}
	ringq_detach(&another);
	return ours + its;
}

/* The ring takes as many as ever, in order, and who is alone needs no CAS. */
static void check_ring(void)
{
	struct ringq_port to, from;
	uint64_t i, msg;

	attach(RINGQ_PRODUCER, &to);
	attach(RINGQ_CONSUMER, &from);
	for (i = 0; i < 2 * CAPACITY; i++) {
		msg = i;
		assert_int_equal(ringq_send(&to, &msg, RINGQ_NOWAIT), i < CAPACITY ? 1 : -EAGAIN);
	}
	for (i = 0; i < CAPACITY; i++) {
		assert_int_equal(ringq_recv(&from, &msg, RINGQ_NOWAIT), 1);
		assert_int_equal(msg, i);
		assert_int_equal(ringq_flags(&from), 0);
	}
	assert_int_equal(ringq_recv(&from, &msg, RINGQ_NOWAIT), -EAGAIN);
	assert_true(to.claims.biased && from.claims.biased);
	ringq_detach(&to);
	ringq_detach(&from);
}

/* Who attaches finds the dead of his side, and puts in order what they left. */
static void bury(void)
{
	struct ringq_port port;

	attach(RINGQ_PRODUCER, &port);
	ringq_detach(&port);
	attach(RINGQ_CONSUMER, &port);
	ringq_detach(&port);
}

/* One death, after so many instructions; how many messages were left, in *left. */
static bool die(const struct victim *v, unsigned int steps, unsigned int *left)
{
	bool alone_in = !v->in, alone_out = !v->out, over;
	uint64_t before = number;
	unsigned int i;
	pid_t pid;

	memset(report, 0, sizeof(*report));
	attach(RINGQ_PRODUCER, &out);
	attach(RINGQ_CONSUMER, &in);
	if (v->before)
		v->before();
	for (i = 0; i < v->messages; i++)
		send_one(&out);
	if (alone_out)
		ringq_detach(&out);
	if (alone_in)
		ringq_detach(&in);
	first = number + 1000000;
	quiet();
	pid = fork();
	if (pid == 0)
		be_victim(v, ringq_fd(ring));
	must_stop(pid);
	if (v->between)
		v->between();
	step_and_kill(pid, steps);
	over = report->over;

	bury();
	*left = check_received(v, before, over);
	/* Ours still work, and go. */
	if (out.error == 0) {
		send_one(&out);
		assert_int_equal(check_received(v, number - 1, false), 1);
	}
	ringq_detach(&out);
	ringq_detach(&in);
	check_ring();
	number += 2000000;
	return over;
}

static void deaths(void **state)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_MEMFD, .discipline = RINGQ_MPMC,
		.elem_size = 8, .capacity = CAPACITY, .flags = WAIT, .producers = 4,
		.consumers = 4,
	};
	unsigned int i, steps, left, least, n;
	bool over;

	(void)state;
	for (i = 0; i < COUNT(victims); i++) {
		assert_int_equal(ringq_create(&opts, &ring), 0);
		least = UINT32_MAX;
		steps = 0;
		n = 0;
		do {
			over = die(&victims[i], steps, &left);
			/* What a consumer has got stays its, whenever it is killed afterwards. */
			if (victims[i].role == IN)
				assert_true(left <= least);
			least = left;
			steps += scale * victims[i].stride;
			n++;
		} while (!over);
		printf("# %s: %u deaths in %u instructions\n", victims[i].name, n, steps);
		assert_true(n > 5);
		ringq_leave(ring);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(deaths),
	};

	setbuf(stdout, NULL);
	alarm(LIMIT);
	if (argc > 1)
		scale = strtoul(argv[1], NULL, 10);
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (report == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
