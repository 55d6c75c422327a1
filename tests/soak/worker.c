// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * One who sends or receives until it is cut off: at random by every operation of its discipline,
 * one or several messages at a time, in part, in place, waiting or for a time.
 */
#include "kills.h"
#include "soak.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define LEAVES	10000	/* one operation in so many is the last */
#define LINGERS	10	/* and in one of so many the process rests, with something in hand */

/* One at work. */
struct hand {
	const struct round *round;
	struct life *life;
	uint32_t number;	/* of the life */
	struct ringq_port port;
	uint32_t last[LIVES];	/* consumer: see ledger_enter() */
	unsigned char msgs[BATCH][SIZE];
	struct iovec records[BATCH];
};

static char parent[20];	/* its pid, for who has become another program */

static void on_exec(int sig)
{
	char *const args[] = { (char *)"kills", (char *)"--idle", parent, NULL };

	(void)sig;
	execve("/proc/self/exe", args, NULL);
	_exit(1);
}

/* The limit is the cgroup's. */
static void on_eat(int sig)
{
	const size_t size = 256 << 20;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i;

	(void)sig;
	for (i = 0; p != MAP_FAILED && i < size; i += 4096)
		p[i] = 1;
	_exit(1);
}

static void on_wake(int sig)
{
	(void)sig;
}

void worker_signals(void)
{
	struct sigaction action = { .sa_handler = on_exec };

	snprintf(parent, sizeof(parent), "%d", getpid());
	sigaction(KILLS_EXEC, &action, NULL);
	action.sa_handler = on_eat;
	sigaction(KILLS_EAT, &action, NULL);
	action.sa_handler = on_wake;
	sigaction(KILLS_WAKE, &action, NULL);
}

static void doing(struct hand *h, enum doing what)
{
	ringq_store_relaxed(&h->life->doing, what);
}

static void nap(void)
{
	const struct timespec ts = { .tv_nsec = 100000 };

	nanosleep(&ts, NULL);
}

static void linger(void)
{
	if (!soak_random(LINGERS))
		nap();
}

static uint64_t some(void)
{
	return 1 + soak_random(BATCH);
}

static int64_t timeout(void)
{
	return soak_random(4) ? RINGQ_FOREVER : 1 + (int64_t)soak_random(200000);
}

/* Are these what a port with such a time-out may say? */
static void check_result(const struct hand *h, const char *what, int64_t r)
{
	if (r < 0 && r != -EINTR && r != -ETIMEDOUT && r != -EOVERFLOW)
		kills_fail(h->round, "%s: %s", what, ringq_strerror(r));
}

/* A place is free when its owner's death is known, and repaired. */
static void attach(struct hand *h, enum ringq_role role)
{
	struct ringq_attach_opts opts = { .size = sizeof(opts), .place = h->life->seat };
	int r;

	/* A reader's stream is its seat's, and so is a producer's lane. */
	if (role == RINGQ_CONSUMER ? row_gated(h->round->row) :
				     h->round->row->discipline == RINGQ_LANES)
		opts.flags = RINGQ_AT_PLACE;
	opts.strategy = soak_random(2) ? RINGQ_STRATEGY_BLOCK : RINGQ_STRATEGY_PHASED;
	doing(h, ATTACHES);
	while ((r = ringq_attach_with(h->round->ring, role, &opts, &h->port)) < 0) {
		if (r != -EBUSY && r != -ETIMEDOUT)
			kills_fail(h->round, "attach: %s", ringq_strerror(r));
		nap();
	}
	ringq_store_release(&h->life->attached, true);
}

static void begin(struct hand *h, uint64_t n)
{
	ringq_store_release(&h->life->begun, h->life->sent + n);
}

static void sent(struct hand *h, int64_t n)
{
	if (n > 0)
		ringq_store_release(&h->life->sent, h->life->sent + n);
}

static uint32_t write_message(struct hand *h, void *to, uint32_t i)
{
	uint32_t number = h->life->sent + i;
	uint32_t size = message_size(h->round, h->number, number);

	message_write(to, size, h->number, number);
	return size;
}

/* Elements are one array, records have room for the largest. */
static void *message_at(struct hand *h, uint64_t i)
{
	return row_records(h->round->row) ? h->msgs[i] :
					    (unsigned char *)h->msgs + i * h->round->size;
}

static void send_some(struct hand *h, uint64_t n)
{
	int64_t r;
	uint64_t i;

	doing(h, WRITES);
	for (i = 0; i < n; i++) {
		h->records[i].iov_base = message_at(h, i);
		h->records[i].iov_len = write_message(h, h->records[i].iov_base, i);
	}
	begin(h, n);
	doing(h, SENDS);
	if (row_records(h->round->row))
		r = n == 1 ? ringq_send_record(&h->port, h->msgs[0], h->records[0].iov_len,
					       timeout()) :
			     ringq_send_records(&h->port, h->records, n, timeout());
	else
		r = n == 1 ? ringq_send(&h->port, h->msgs, timeout()) :
			     ringq_send_many(&h->port, h->msgs, n, timeout());
	check_result(h, "send", r);
	sent(h, r);
}

static void write_record(struct hand *h, bool give_up)
{
	void *place;
	int r;

	doing(h, RESERVES);
	begin(h, 1);
	r = ringq_reserve_record(&h->port, h->round->size, &place, timeout());
	check_result(h, "reserve", r);
	if (r < 0)
		return;
	doing(h, WRITES);
	r = write_message(h, place, 0);
	linger();
	doing(h, COMMITS);
	if (give_up) {
		ringq_abort(&h->port);
		return;
	}
	check_result(h, "commit", ringq_commit_record(&h->port, r));
	sent(h, 1);
}

/* Reserves some, and publishes a part of them. */
static void write_some(struct hand *h, uint64_t n, uint64_t part)
{
	uint64_t i;
	int r;

	doing(h, RESERVES);
	begin(h, part);
	r = ringq_reserve(&h->port, n, timeout());
	check_result(h, "reserve", r);
	if (r < 0)
		return;
	doing(h, WRITES);
	for (i = 0; i < n; i++)
		write_message(h, ringq_at(&h->port, i), i);
	linger();
	doing(h, COMMITS);
	if (!part)
		ringq_abort(&h->port);
	else
		check_result(h, "commit", ringq_commit(&h->port, part));
	sent(h, part);
}

static void produce_once(struct hand *h)
{
	uint64_t n = h->round->row->discipline == RINGQ_LATEST ? 1 : some();

	switch (soak_random(4)) {
	case 0:
		send_some(h, 1);
		break;
	case 1:
		send_some(h, n);
		break;
	default:
		if (row_records(h->round->row))
			write_record(h, !soak_random(8));
		else
			write_some(h, n, soak_random(3) ? n : soak_random(n + 1));
	}
}

static void produce(struct hand *h)
{
	bool lossy = row_lossy(h->round->row);

	while (!ringq_load_acquire(&h->round->ledger->producers_stop) && soak_random(LEAVES) &&
	       (lossy || h->life->sent + BATCH < MOST))
		produce_once(h);
	if (ringq_load_acquire(&h->round->ledger->producers_stop)) {
		if (!lossy)
			check_result(h, "drain", ringq_drain(&h->port, RINGQ_FOREVER));
		ringq_store_release(&h->life->drained, true);
	}
	/* Who leaves may do so with something reserved. */
	if (!row_records(h->round->row) && !soak_random(4))
		ringq_reserve(&h->port, 1, RINGQ_NOWAIT);
}

static void enter(struct hand *h, const void *msg, size_t size)
{
	ledger_enter(h->round, h->life, h->last, msg, size,
		     ringq_flags(&h->port) & RINGQ_REDELIVERED);
}

/* Whoever is cut off in here has them, and has perhaps not said so. */
static void doubt(struct hand *h, uint64_t n)
{
	ringq_store_release(&h->life->doubt, row_lossy(h->round->row) ? 0 : n);
}

/* Elements that are lost are accounted for, to the last one. */
static void check_lost(const struct hand *h, uint64_t pos, uint64_t lost, int64_t n)
{
	const struct ringq_port *p = &h->port;

	if (h->round->row->discipline == RINGQ_LOSSY && !row_records(h->round->row) &&
	    ringq_position(p) - pos != ringq_lost(p) - lost + (n > 0 ? n : 0))
		kills_fail(h->round, "%llu positions further, %lld received, %llu lost",
			   (unsigned long long)(ringq_position(p) - pos), (long long)n,
			   (unsigned long long)(ringq_lost(p) - lost));
}

static void receive_some(struct hand *h, uint64_t n)
{
	uint64_t pos = ringq_position(&h->port), lost = ringq_lost(&h->port);
	int64_t r, i;
	uint32_t size;

	for (i = 0; i < BATCH; i++)
		h->records[i] = (struct iovec){ h->msgs[i], h->round->size };
	doubt(h, n);
	doing(h, RECEIVES);
	if (!row_records(h->round->row)) {
		r = n == 1 ? ringq_recv(&h->port, h->msgs, timeout()) :
			     ringq_recv_many(&h->port, h->msgs, n, timeout());
	} else if (n == 1) {
		r = ringq_recv_record(&h->port, h->msgs[0], h->round->size, &size, timeout());
		h->records[0].iov_len = size;
	} else {
		r = ringq_recv_records(&h->port, h->records, n, timeout());
	}
	check_result(h, "receive", r);
	if (r == 0)
		kills_fail(h->round, "the ring ended, and producers were to come");
	check_lost(h, pos, lost, r);
	doing(h, LOOKS);
	for (i = 0; i < r; i++)
		enter(h, message_at(h, i), row_records(h->round->row) ? h->records[i].iov_len :
								       h->round->size);
	doubt(h, 0);
}

/* Enters some of those that are peeked, and then releases them. */
static void look_and_release(struct hand *h, uint64_t part)
{
	uint64_t cursor = 0, i;
	const void *msg;
	uint32_t size = h->round->size;

	doing(h, LOOKS);
	for (i = 0; i < part; i++) {
		msg = row_records(h->round->row) ? ringq_record(&h->port, &cursor, &size) :
						   ringq_at(&h->port, i);
		if (!msg)
			kills_fail(h->round, "a record is not there that was peeked");
		enter(h, msg, size);
	}
	linger();
	doing(h, RELEASES);
	check_result(h, "release", ringq_release(&h->port, part));
}

static void peek_some(struct hand *h, uint64_t n)
{
	int64_t r;

	doing(h, PEEKS);
	r = ringq_peek(&h->port, n, timeout());
	check_result(h, "peek", r);
	if (r == 0)
		kills_fail(h->round, "the ring ended, and producers were to come");
	if (r > 0)
		look_and_release(h, soak_random(3) ? (uint64_t)r : soak_random(r + 1));
}

static void consume_once(struct hand *h)
{
	uint32_t discipline = h->round->row->discipline;

	if (discipline == RINGQ_LATEST || !soak_random(4))
		receive_some(h, 1);
	else if (discipline == RINGQ_LOSSY || soak_random(2))
		receive_some(h, some());
	else
		peek_some(h, some());
}

/*
 * A reader that leaves gives up its stream, so where each has one, none does before the end; nor
 * where nothing is to come again, as what it leaves does.
 */
static void consume(struct hand *h)
{
	bool stays = row_gated(h->round->row) || row_drops(h->round->row);

	while (!ringq_load_acquire(&h->round->ledger->consumers_stop) &&
	       (stays || soak_random(LEAVES)))
		consume_once(h);
	/* Who leaves may do so with something in hand. */
	ringq_store_release(&h->life->cut, true);
	if (!stays && !row_lossy(h->round->row) && !soak_random(4))
		ringq_peek(&h->port, BATCH, RINGQ_NOWAIT);
}

void worker_mortal(pid_t of)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != of)
		_exit(1);
}

void worker_run(struct round *round, enum ringq_role role, struct life *life)
{
	const struct rlimit core = { RLIM_INFINITY, RLIM_INFINITY };
	struct hand *h = aligned_alloc(RINGQ_LINE_PAIR, ringq_round_up(sizeof(*h),
								       RINGQ_LINE_PAIR));
	int fd = ringq_fd(round->ring), r;

	worker_mortal(atoi(parent));
	setrlimit(RLIMIT_CORE, &core);
	if (!h)
		kills_fail(round, "no memory");
	memset(h, 0, sizeof(*h));
	h->round = round;
	h->life = life;
	h->number = life - round->ledger->life[role];
	soak_seed(round->seed + h->number * 2 + role);
	r = ringq_join_fd(fd, NULL, &round->ring);
	if (r < 0)
		kills_fail(round, "join: %s", ringq_strerror(r));
	attach(h, role);
	if (role == RINGQ_PRODUCER)
		produce(h);
	else
		consume(h);
	doing(h, DETACHES);
	ringq_detach(&h->port);
	ringq_leave(round->ring);
	_exit(0);
}
