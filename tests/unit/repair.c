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
	uint64_t got;		/* so many were received, and the call returned */
};

/* To look at every single one, give 1. A sanitizer makes more of them, and slower ones. */
#ifdef __SANITIZE_ADDRESS__
static unsigned int scale = 61;
#else
static unsigned int scale = 5;
#endif

static struct report *report;
static struct ringq *ring;
static struct ringq_port out, in;	/* ours, if the case wants them beside the victim */
static uint64_t number, first;

struct victim {
	const char *name;
	enum ringq_role role;
	void (*act)(struct ringq *ring, struct ringq_port *port);
	bool alone;		/* nobody of its role is there while it acts */
	unsigned int stride;	/* one in so many instructions, times the scale; 0: 1 */
	unsigned int messages;	/* sent by us before */
	void (*before)(void);	/* with our ports attached, before there is a victim */
	void (*early)(struct ringq *ring, struct ringq_port *port);	/* before it is stepped */
	void (*between)(void);	/* when it has done that */
	void (*late)(void);	/* when it has stopped, and before it is killed */
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
	if (ringq_recv(port, &msg, RINGQ_NOWAIT) == 1)
		report->got++;
}

static void act_recv_many(struct ringq *r, struct ringq_port *port)
{
	uint64_t msgs[3];
	int64_t n;

	(void)r;
	n = ringq_recv_many(port, msgs, 3, RINGQ_NOWAIT);
	if (n > 0)
		report->got += n;
}

static void act_release_part(struct ringq *r, struct ringq_port *port)
{
	(void)r;
	if (ringq_peek(port, 3, RINGQ_NOWAIT) > 0 && ringq_release(port, 1) == 0)
		report->got++;
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

/* Takes what the victim may be about to take. */
static void take_out(void)
{
	assert_int_equal(ringq_reserve(&out, 1, RINGQ_NOWAIT), 0);
}

static void take_in(void)
{
	ringq_peek(&in, 1, RINGQ_NOWAIT);
}

#define OUT RINGQ_PRODUCER
#define IN RINGQ_CONSUMER

static const struct victim victims[] = {
	{ "send, by CAS", OUT, act_send, .alone = false },
	{ "send, alone", OUT, act_send, .alone = true },
	{ "send_many, by CAS", OUT, act_send_many, .alone = false },
	{ "send_many, alone", OUT, act_send_many, .alone = true },
	{ "send_many, and another takes it", OUT, act_send_many, .late = take_out },
	{ "commit a part, by CAS", OUT, act_commit_part, .alone = false },
	{ "commit a part, alone", OUT, act_commit_part, .alone = true },
	{ "commit a part, alone no more", OUT, act_commit_part, .alone = true,
	  .between = come_out },
	{ "send, alone no more", OUT, act_twice_send, .alone = true, .between = come_out },
	{ "send, alone again", OUT, act_twice_send, .between = go_out, .stride = 5 },
	{ "recv, by CAS", IN, act_recv, .messages = 4 },
	{ "recv, alone", IN, act_recv, .messages = 4, .alone = true },
	{ "recv_many, by CAS", IN, act_recv_many, .messages = 4 },
	{ "recv_many, alone", IN, act_recv_many, .messages = 4, .alone = true },
	{ "recv_many, and another takes it", IN, act_recv_many, .messages = 4, .late = take_in },
	{ "release a part, by CAS", IN, act_release_part, .messages = 4 },
	{ "release a part, alone", IN, act_release_part, .messages = 4, .alone = true },
	{ "recv behind tombstones, by CAS", IN, act_recv, .messages = 2, .before = abort_two },
	{ "recv behind tombstones, alone", IN, act_recv, .messages = 2, .before = abort_two,
	  .alone = true },
	{ "recv of orphans", IN, act_twice_recv, .before = orphan_two, .stride = 2 },
	{ "recv, alone no more", IN, act_twice_recv, .messages = 4, .alone = true,
	  .between = come_in },
	{ "recv, alone until now", IN, act_recv, .messages = 4, .alone = true,
	  .early = act_recv_many, .between = come_in },
	{ "recv, alone again", IN, act_twice_recv, .messages = 4, .between = go_in,
	  .stride = 5 },
	{ "attach a second producer", OUT, act_attach_out, .alone = true, .stride = 31 },
	{ "attach a second consumer", IN, act_attach_in, .messages = 4, .alone = true,
	  .stride = 31 },
	{ "detach a producer, by CAS", OUT, act_detach_out, .stride = 7 },
	{ "detach a producer, alone", OUT, act_detach_out, .alone = true, .stride = 7 },
	{ "detach a consumer, by CAS", IN, act_detach_in, .messages = 4, .stride = 7 },
	{ "detach a consumer, alone", IN, act_detach_in, .messages = 4, .alone = true,
	  .stride = 7 },
};

static void be_victim(const struct victim *v, int fd)
{
	struct ringq_port port;
	struct ringq *mine;

	if (ringq_join_fd(fd, NULL, &mine) < 0 || ringq_attach(mine, v->role, &port) < 0)
		_exit(1);
	if (v->early)
		v->early(mine, &port);
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
static void step(pid_t pid, unsigned int steps)
{
	while (steps-- && !__atomic_load_n(&report->over, __ATOMIC_ACQUIRE)) {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		must_stop(pid);
	}
}

static void end(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* What has come out of the ring since the victim was there. */
static struct {
	uint64_t number[MOST];
	bool again[MOST];
	unsigned int n;
} got;

static void take_note(const uint64_t *msg, const struct ringq_port *port)
{
	unsigned int i = got.n++;

	assert_true(got.n < MOST);
	got.number[i] = *msg;
	got.again[i] = ringq_flags(port);
}

/* All that is there now. Orphans come first; they, and what is fresh, are in order. */
static void receive_all(void)
{
	struct ringq_port port;
	unsigned int i, begin = got.n;
	uint64_t msg;
	int r;

	attach(RINGQ_CONSUMER, &port);
	while ((r = ringq_recv(&port, &msg, RINGQ_NOWAIT)) == 1)
		take_note(&msg, &port);
	assert_int_equal(r, -EAGAIN);
	for (i = begin + 1; i < got.n; i++) {
		assert_true(got.again[i - 1] >= got.again[i]);
		if (got.again[i - 1] == got.again[i] &&
		    (got.number[i - 1] < first) == (got.number[i] < first))
			assert_true(got.number[i - 1] < got.number[i]);
	}
	ringq_detach(&port);
}

/*
 * Each number has come once. Of what we sent, what is missing the victim has received; of what
 * the victim sent, the first ones have come. Returns how many of ours.
 */
static unsigned int check_received(const struct victim *v, uint64_t before, bool over)
{
	unsigned int i, j, ours = 0, its = 0;

	for (i = 0; i < got.n; i++) {
		for (j = 0; j < i; j++)
			assert_int_not_equal(got.number[i], got.number[j]);
		if (got.number[i] >= first) {
			assert_int_equal(got.number[i], first + its++);
			assert_false(got.again[i]);
		} else {
			assert_true(got.number[i] > before && got.number[i] <= number);
			assert_true(!got.again[i] || v->role == IN);
			ours++;
		}
	}
	assert_true(its <= report->sent);
	if (v->role == OUT) {
		assert_int_equal(ours, number - before);
		if (over)
			assert_int_equal(its, report->sent);
	}
	/* What the victim has got does not come again. */
	assert_true(ours + report->got <= number - before);
	return ours;
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

/* What our ports hold is theirs, and they still work. */
static void finish_ours(void)
{
	if (!out.error && out.held) {
		*(uint64_t *)ringq_at(&out, 0) = ++number;
		assert_int_equal(ringq_commit(&out, 1), 0);
	}
	if (!in.error && in.held) {
		take_note(ringq_at(&in, 0), &in);
		assert_int_equal(ringq_release(&in, 1), 0);
	}
	if (!out.error)
		send_one(&out);
	receive_all();
}

/* One death, after so many instructions; how many messages were left, in *left. */
static bool die(const struct victim *v, unsigned int steps, unsigned int *left)
{
	uint64_t before = number;
	bool over;
	unsigned int i;
	pid_t pid;

	memset(report, 0, sizeof(*report));
	attach(RINGQ_PRODUCER, &out);
	attach(RINGQ_CONSUMER, &in);
	if (v->before)
		v->before();
	for (i = 0; i < v->messages; i++)
		send_one(&out);
	if (v->alone)
		ringq_detach(v->role == OUT ? &out : &in);
	first = number + 1000000;
	quiet();
	pid = fork();
	if (pid == 0)
		be_victim(v, ringq_fd(ring));
	must_stop(pid);
	if (v->between)
		v->between();
	step(pid, steps);
	if (v->late)
		v->late();
	end(pid);
	over = report->over;
	bury();
	got.n = 0;
	receive_all();
	finish_ours();
	*left = check_received(v, before, over);
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
			steps += scale * (victims[i].stride ? victims[i].stride : 1);
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
