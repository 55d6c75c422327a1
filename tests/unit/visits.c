// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Between two instructions of one who is alone on its side another one comes, does something, and
 * stays; or the ring is closed. All live, and so nothing is repaired: what was sent comes once,
 * nobody is told of corruption, nothing comes after end-of-file, and the ring holds as many as
 * before. (tests/step has those who die.)
 *
 * At each instruction where the other one would not have to wait for the first: while that has the
 * attach lock, or is in the middle of a claim, which unit/claims.c has.
 */
#include "actors.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include "../../lib/internal.h"

#define LIMIT	280	/* seconds for all of them; half a minute is usual */
#define ROOM	4
/* Instructions of an act that are visited; of longer ones, as with a sanitizer, some. */
#ifdef __SANITIZE_ADDRESS__
#define MOST	25
#else
#define MOST	200
#endif
#define WAIT	(RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT)
#define ITS	100	/* numbers of who is visited begin here */
#define VISITORS 200

/* What one who is visited has done. */
static struct report {
	int over, result;
	uint32_t place;
	unsigned int sent, got;
	uint64_t msg[2 * ROOM];
} *report;

static struct {
	unsigned int sent[2 * VISITORS], got[2 * VISITORS];	/* how often, by number */
	bool closed, ended;
} all;

struct visit {
	const char *name;
	enum ringq_role role;
	unsigned int fill;	/* messages that are there before */
	bool left;		/* another one was there, and has left... */
	bool beside;		/* ...or is there, so that all claim by CAS */
	bool closes;		/* nobody comes, but the ring is closed */
	void (*act)(struct ringq_port *port);
};

static void note(int r)
{
	if (r < 0)
		report->result = r;
}

static void send_two(struct ringq_port *port)
{
	uint64_t msg;
	int r;

	for (msg = ITS; msg < ITS + 2; msg++) {
		r = ringq_send(port, &msg, RINGQ_NOWAIT);
		note(r);
		report->sent += r == 1;
		if (r != 1)
			break;
	}
}

static void reserve_two(struct ringq_port *port, unsigned int n)
{
	int r = ringq_reserve(port, 2, RINGQ_NOWAIT);

	note(r);
	if (r < 0)
		return;
	*(uint64_t *)ringq_at(port, 0) = ITS;
	note(ringq_commit(port, n));
	report->sent += n;
}

static void commit_one(struct ringq_port *port)
{
	reserve_two(port, 1);
}

static void abort_two(struct ringq_port *port)
{
	reserve_two(port, 0);
}

static void recv_two(struct ringq_port *port)
{
	int r, i;

	for (i = 0; i < 2; i++) {
		r = ringq_recv(port, &report->msg[report->got], RINGQ_NOWAIT);
		note(r);
		report->got += r == 1;
	}
}

static void release_one(struct ringq_port *port)
{
	int r = ringq_peek(port, 2, RINGQ_NOWAIT);

	note(r);
	if (r > 0) {
		report->msg[report->got++] = *(uint64_t *)ringq_at(port, 0);
		note(ringq_release(port, 1));
	}
	if (r > 1) {
		r = ringq_recv(port, &report->msg[report->got], RINGQ_NOWAIT);
		report->got += r == 1;
	}
}

static const struct visit visits[] = {
	{ "send", OUT, 1, .act = send_two },
	{ "send, full", OUT, ROOM, .act = send_two },
	{ "send, left alone", OUT, 1, .left = true, .act = send_two },
	{ "send, beside", OUT, 1, .beside = true, .act = send_two },
	{ "send, closed", OUT, 1, .closes = true, .act = send_two },
	{ "send, beside, closed", OUT, 1, .beside = true, .closes = true, .act = send_two },
	{ "commit in part", OUT, 1, .act = commit_one },
	{ "commit in part, closed", OUT, 1, .closes = true, .act = commit_one },
	{ "abort", OUT, 1, .act = abort_two },
	{ "abort, closed", OUT, 1, .closes = true, .act = abort_two },
	{ "recv", IN, 3, .act = recv_two },
	{ "recv, empty", IN, 0, .act = recv_two },
	{ "recv, left alone", IN, 3, .left = true, .act = recv_two },
	{ "recv, beside", IN, 3, .beside = true, .act = recv_two },
	{ "release in part", IN, 3, .act = release_one },
	{ "release in part, left alone", IN, 3, .left = true, .act = release_one },
};

static const struct visit *visit;	/* the one that is tried */

static void act_visited(struct ringq *mine)
{
	struct ringq_port port;

	must(attached(mine, visit->role, &port));
	report->place = port.index;
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	visit->act(&port);
	__atomic_store_n(&report->over, 1, __ATOMIC_RELEASE);
}

static void send_one(struct ringq_port *port, uint64_t msg)
{
	int r = ringq_send(port, &msg, RINGQ_NOWAIT);

	assert_true(r == 1 || r == -EAGAIN);
	all.sent[msg] += r == 1;
}

static void got(uint64_t msg)
{
	assert_true(msg < 2 * VISITORS);
	all.got[msg]++;
}

/* Whether there was one. */
static bool recv_one(struct ringq_port *port)
{
	uint64_t msg;
	int r = ringq_recv(port, &msg, RINGQ_NOWAIT);

	assert_true(r == 1 || r == -EAGAIN || (r == 0 && all.closed));
	if (r == 1) {
		assert_false(all.ended);
		assert_int_equal(ringq_flags(port), 0);
		got(msg);
	}
	all.ended |= r == 0;
	return r == 1;
}

/* It has the attach lock, or an attacher would wait for its claim: then it is not visited. */
static bool is_in_the_way(void)
{
	const struct ringq_port_page *page = ringq_port_page(ring, ring->base, visit->role,
							     report->place);
	const struct ringq_side *side = ringq_side_of(ring, ring->base, visit->role);
	const uint64_t near = visit->role == OUT ? page->progress.done : page->progress.hand;
	unsigned int i;

	if (ringq_claim_is_open(page->claim, near, side->index))
		return true;
	/* The agents have it now and then, for a moment. */
	for (i = 0; i < 20; i++) {
		if (ringq_memfd_lock(ring, false) == 0) {
			ringq_memfd_unlock(ring);
			return false;
		}
		usleep(1000);
	}
	return true;
}

/* Who comes has the port visitor; the other side's port is other. */
static void come(struct ringq_port *visitor, struct ringq_port *other)
{
	unsigned int i;

	if (visit->closes) {
		assert_int_equal(ringq_close(other), 0);
		all.closed = true;
		while (recv_one(other))
			;
		return;
	}
	if (!visit->beside)
		assert_int_equal(ringq_attach(ring, visit->role, visitor), 0);
	if (visit->fill == ROOM) {
		/* Full again, in another lap. */
		for (i = 0; i < ROOM + 2; i++) {
			recv_one(other);
			send_one(visitor, VISITORS + i);
		}
	} else if (visit->role == OUT) {
		send_one(visitor, VISITORS);
	} else {
		if (!visit->fill)
			send_one(other, VISITORS);
		recv_one(visitor);
	}
}

static void check_all(void)
{
	unsigned int i;

	assert_true(!report->result || report->result == -EAGAIN ||
		    (all.closed && report->result == -EPIPE));
	for (i = 0; i < report->sent; i++)
		all.sent[ITS + i]++;
	for (i = 0; i < report->got; i++)
		got(report->msg[i]);
	for (i = 0; i < 2 * VISITORS; i++) {
		if (all.sent[i] != all.got[i])
			fail_msg("%s: message %u, sent %u times, came %u times", visit->name, i,
				 all.sent[i], all.got[i]);
	}
}

/* Full, and empty again. */
static void check_lap(struct ringq_port *out, struct ringq_port *in)
{
	uint64_t i, msg;

	for (i = 0; i < ROOM; i++)
		assert_int_equal(ringq_send(out, &i, RINGQ_NOWAIT), 1);
	assert_int_equal(ringq_send(out, &i, RINGQ_NOWAIT), -EAGAIN);
	for (i = 0; i < ROOM; i++) {
		assert_int_equal(ringq_recv(in, &msg, RINGQ_NOWAIT), 1);
		assert_int_equal(msg, i);
	}
	assert_int_equal(ringq_recv(in, &msg, RINGQ_NOWAIT), -EAGAIN);
}

static void open_ring(struct ringq_port *other)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_MEMFD, .discipline = RINGQ_MPMC,
		.elem_size = 8, .capacity = ROOM, .producers = 3, .consumers = 3, .flags = WAIT,
	};

	memset(&all, 0, sizeof(all));
	memset(report, 0, sizeof(*report));
	assert_int_equal(ringq_create(&opts, &ring), 0);
	assert_int_equal(ringq_attach(ring, ringq_other_role(visit->role), other), 0);
}

/* The other side's port fills the ring, by another one if need be. */
static void fill(struct ringq_port *other)
{
	struct ringq_port first, *out = other;
	unsigned int i;

	if (visit->role == OUT) {
		assert_int_equal(ringq_attach(ring, OUT, &first), 0);
		out = &first;
	}
	for (i = 0; i < visit->fill; i++)
		send_one(out, i);
	if (visit->role == OUT)
		ringq_detach(&first);
}

/* After so many instructions. Returns whether it was over before. */
static bool visit_at(unsigned int n)
{
	struct ringq_port visitor, other;
	bool came = visit->beside, over;
	pid_t pid;

	open_ring(&other);
	fill(&other);
	pid = start_and_stop(act_visited);
	if (visit->left || visit->beside)
		assert_int_equal(ringq_attach(ring, visit->role, &visitor), 0);
	if (visit->left)
		ringq_detach(&visitor);
	while (n-- && !__atomic_load_n(&report->over, __ATOMIC_ACQUIRE))
		step(pid);
	over = __atomic_load_n(&report->over, __ATOMIC_ACQUIRE);
	if (!over && !is_in_the_way()) {
		come(&visitor, &other);
		came |= !visit->closes;
	}
	if (!over) {
		assert_int_equal(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
		must_stop(pid);
	}
	if (!came && !all.closed) {
		assert_int_equal(ringq_attach(ring, visit->role, &visitor), 0);
		came = true;
	}
	while (recv_one(visit->role == OUT ? &other : &visitor))
		;
	check_all();
	if (!all.closed)
		check_lap(visit->role == OUT ? &visitor : &other,
			  visit->role == OUT ? &other : &visitor);
	if (came)
		ringq_detach(&visitor);
	ringq_detach(&other);
	end(pid);
	ringq_leave(ring);
	ring = NULL;
	return over;
}

static unsigned int length(void)
{
	struct ringq_port other;
	unsigned int n;
	pid_t pid;

	open_ring(&other);
	fill(&other);
	pid = start_and_stop(act_visited);
	for (n = 0; !__atomic_load_n(&report->over, __ATOMIC_ACQUIRE); n++)
		step(pid);
	ringq_detach(&other);
	end(pid);
	ringq_leave(ring);
	return n;
}

static void visited(void **state)
{
	unsigned int n, every, visits_n = 0;

	visit = *state;
	every = length() / MOST + 1;
	for (n = 0; !visit_at(n); n += every)
		visits_n++;
	printf("# %s: %u visits, at every %u. instruction\n", visit->name, visits_n, every);
	assert_true(visits_n > 10);
}

/* visits [NAME]: those whose name contains that */
int main(int argc, char **argv)
{
	struct CMUnitTest tests[sizeof(visits) / sizeof(visits[0])];
	unsigned int i, n = 0;

	for (i = 0; i < sizeof(visits) / sizeof(visits[0]); i++) {
		if (argc > 1 && !strstr(visits[i].name, argv[1]))
			continue;
		tests[n++] = (struct CMUnitTest){
			.name = visits[i].name, .test_func = visited,
			.initial_state = (void *)&visits[i],
		};
	}
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (report == MAP_FAILED)
		return 1;
	setbuf(stdout, NULL);
	alarm(LIMIT);
	return _cmocka_run_group_tests("visits", tests, n, NULL, NULL);
}
