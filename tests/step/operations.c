// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The operations. Each says, before it is stepped, how many messages it may send or take at
 * most, and as it goes on, how many calls that returned have sent, shown or taken.
 */
#include "step.h"

#include <string.h>

static bool has_records(const struct act *a)
{
	return a->column->flags & RINGQ_RECORDS;
}

/* LATEST reserves and peeks one. */
static uint64_t batch(const struct act *a)
{
	return a->column->discipline == RINGQ_LATEST ? 1 : STEP_BATCH;
}

#define BEGIN(a)	stepper_begin(&(a)->report->mark)
#define OVER(a, r)								\
	do {									\
		(a)->report->result = (r);					\
		(a)->report->flags = ringq_flags(&(a)->port);			\
		stepper_over(&(a)->report->mark);				\
	} while (0)

/* A send of any kind: most messages, of which all that the call returns are sent. */
#define SENDS(a, most, call)							\
	do {									\
		int64_t r_;							\
										\
		(a)->report->sends += (most);					\
		BEGIN(a);							\
		r_ = (call);							\
		if (r_ > 0)							\
			(a)->report->sent += r_;				\
		OVER(a, r_);							\
	} while (0)

#define TAKES(a, most, call)							\
	do {									\
		int64_t r_;							\
										\
		(a)->report->takes += (most);					\
		BEGIN(a);							\
		r_ = (call);							\
		if (r_ > 0)							\
			(a)->report->got += r_;					\
		OVER(a, r_);							\
	} while (0)

static void act_send(struct act *a)
{
	SENDS(a, 1, ringq_send(&a->port, a->msgs, RINGQ_NOWAIT));
}

static void act_send_many(struct act *a)
{
	SENDS(a, STEP_BATCH, ringq_send_many(&a->port, a->msgs, STEP_BATCH, RINGQ_NOWAIT));
}

static void act_send_all(struct act *a)
{
	SENDS(a, batch(a), ringq_send_all(&a->port, a->msgs, batch(a), RINGQ_NOWAIT));
}

static void act_send_record(struct act *a)
{
	SENDS(a, 1, ringq_send_record(&a->port, a->msgs, a->sizes[0], RINGQ_NOWAIT));
}

static void act_send_records(struct act *a)
{
	const unsigned char *at = (const unsigned char *)a->msgs;
	struct iovec v[STEP_BATCH];
	unsigned int i;

	for (i = 0; i < STEP_BATCH; i++) {
		v[i].iov_base = (void *)at;
		v[i].iov_len = a->sizes[i];
		at += a->sizes[i];
	}
	SENDS(a, STEP_BATCH, ringq_send_records(&a->port, v, STEP_BATCH, RINGQ_NOWAIT));
}

/* Reserves some, writes and commits the first n of them. */
static void commit(struct act *a, uint64_t reserve, uint64_t n)
{
	const unsigned char *at = (const unsigned char *)a->msgs;
	uint32_t size = a->column->size;
	uint64_t i;
	int64_t r;

	a->report->sends += n;
	BEGIN(a);
	r = ringq_reserve(&a->port, reserve, RINGQ_NOWAIT);
	for (i = 0; r == 0 && i < n; i++)
		memcpy(ringq_at(&a->port, i), at + i * size, size);
	if (r == 0)
		r = ringq_commit(&a->port, n);
	if (r == 0)
		a->report->sent += n;
	OVER(a, r);
}

static void act_commit(struct act *a)
{
	commit(a, batch(a), batch(a));
}

static void act_commit_part(struct act *a)
{
	commit(a, STEP_BATCH, 1);
}

static void act_abort(struct act *a)
{
	int64_t r;

	BEGIN(a);
	r = ringq_reserve(&a->port, batch(a), RINGQ_NOWAIT);
	if (r == 0)
		memset(ringq_at(&a->port, 0), 0xee, a->column->size);
	ringq_abort(&a->port);
	OVER(a, r);
}

static void commit_record(struct act *a, uint32_t reserve, bool abort)
{
	void *place;
	int64_t r;

	a->report->sends += !abort;
	BEGIN(a);
	r = ringq_reserve_record(&a->port, reserve, &place, RINGQ_NOWAIT);
	if (r == 0) {
		memcpy(place, a->msgs, a->sizes[0]);
		if (abort)
			ringq_abort(&a->port);
		else
			r = ringq_commit_record(&a->port, a->sizes[0]);
	}
	if (r == 0)
		a->report->sent += !abort;
	OVER(a, r);
}

static void act_commit_record(struct act *a)
{
	commit_record(a, a->sizes[0], false);
}

static void act_commit_record_part(struct act *a)
{
	commit_record(a, a->column->size, false);
}

static void act_abort_record(struct act *a)
{
	commit_record(a, a->column->size, true);
}

/* Into a ring that is full (some never are): it may go to sleep, and is woken by the clock. */
static void try_send(struct act *a, int64_t timeout)
{
	SENDS(a, 1, has_records(a) ?
		     ringq_send_record(&a->port, a->msgs, a->sizes[0], timeout) :
		     ringq_send(&a->port, a->msgs, timeout));
}

static void act_send_full(struct act *a)
{
	try_send(a, RINGQ_NOWAIT);
}

static void act_send_wait(struct act *a)
{
	try_send(a, STEP_MS);
}

static void act_drain(struct act *a)
{
	int64_t r;

	BEGIN(a);
	r = ringq_drain(&a->port, STEP_MS);
	OVER(a, r);
}

static void act_close(struct act *a)
{
	int64_t r;

	a->report->closes = true;
	BEGIN(a);
	r = ringq_close(&a->port);
	OVER(a, r);
}

static void before_arm(struct act *a)
{
	unsigned char buffer[STEP_SIZE];
	uint32_t size;

	CHECK(ringq_port_fd(&a->port) >= 0, "no descriptor");
	/* A call that finds nothing, as one makes before one arms. */
	if (a->port.role == RINGQ_PRODUCER)
		return;
	if (has_records(a))
		ringq_recv_record(&a->port, buffer, sizeof(buffer), &size, RINGQ_NOWAIT);
	else
		ringq_recv(&a->port, buffer, RINGQ_NOWAIT);
}

static void act_arm(struct act *a)
{
	int64_t r;

	BEGIN(a);
	r = ringq_arm(&a->port);
	OVER(a, r);
}

static void act_recv(struct act *a)
{
	TAKES(a, 1, ringq_recv(&a->port, a->report->buffer, RINGQ_NOWAIT));
}

static void act_recv_many(struct act *a)
{
	TAKES(a, STEP_BATCH,
	      ringq_recv_many(&a->port, a->report->buffer, STEP_BATCH, RINGQ_NOWAIT));
}

static void act_recv_all(struct act *a)
{
	TAKES(a, STEP_BATCH, ringq_recv_all(&a->port, a->report->buffer, STEP_BATCH, RINGQ_NOWAIT));
}

static void act_recv_from(struct act *a)
{
	TAKES(a, STEP_BATCH, ringq_recv_from(&a->port, 0, a->report->buffer, STEP_BATCH));
}

static void act_recv_record(struct act *a)
{
	uint32_t size;

	TAKES(a, 1, ringq_recv_record(&a->port, a->report->buffer, STEP_SIZE, &size, RINGQ_NOWAIT));
}

static void act_recv_records(struct act *a)
{
	struct iovec v[STEP_BATCH];
	unsigned int i;

	for (i = 0; i < STEP_BATCH; i++) {
		v[i].iov_base = a->report->buffer[i];
		v[i].iov_len = STEP_SIZE;
	}
	TAKES(a, STEP_BATCH, ringq_recv_records(&a->port, v, STEP_BATCH, RINGQ_NOWAIT));
}

static void act_skip(struct act *a)
{
	a->report->blind = true;
	TAKES(a, STEP_BATCH, ringq_skip(&a->port, STEP_BATCH, RINGQ_NOWAIT));
}

static void act_discard(struct act *a)
{
	a->report->blind = true;
	TAKES(a, STEP_MOST, ringq_discard(&a->port));
}

/* Shows the handler what is copied out, as a recv does. */
static int handle(void *arg, const void *msg, size_t size)
{
	struct act *a = arg;

	if (a->report->shown < STEP_BATCH)
		memcpy(a->report->buffer[a->report->shown], msg, size);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	a->report->shown++;
	return 0;
}

static void act_consume(struct act *a)
{
	TAKES(a, STEP_BATCH, ringq_consume(&a->port, STEP_BATCH, handle, a, RINGQ_NOWAIT));
}

/* Peeks, looks at it, and releases so many of what it got. */
static void release(struct act *a, uint64_t most)
{
	uint64_t cursor = 0, i;
	const void *msg;
	uint32_t size = a->column->size;
	int64_t r;

	a->report->takes += batch(a);
	BEGIN(a);
	r = ringq_peek(&a->port, batch(a), RINGQ_NOWAIT);
	for (i = 0; r > 0 && i < (uint64_t)r; i++) {
		msg = has_records(a) ? ringq_record(&a->port, &cursor, &size) :
				       ringq_at(&a->port, i);
		memcpy(a->report->buffer[i], msg, size);
	}
	if (r > 0) {
		a->report->shown = r;
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		if (most > (uint64_t)r)
			most = r;
		r = ringq_release(&a->port, most);
		if (r == 0)
			a->report->got += most;
	}
	OVER(a, r);
}

static void act_release(struct act *a)
{
	release(a, STEP_BATCH);
}

static void act_release_part(struct act *a)
{
	release(a, 1);
}

static void act_release_none(struct act *a)
{
	release(a, 0);
}

static void act_latest(struct act *a)
{
	TAKES(a, 1, ringq_latest(&a->port, a->report->buffer));
}

static void act_glance(struct act *a)
{
	struct ringq_glance glance;

	TAKES(a, 1, ringq_glance(&a->port, &glance, RINGQ_NOWAIT));
}

/* From a ring that is empty. */
static void try_recv(struct act *a, int64_t timeout)
{
	uint32_t size;

	TAKES(a, 1, has_records(a) ?
		     ringq_recv_record(&a->port, a->report->buffer, STEP_SIZE, &size, timeout) :
		     ringq_recv(&a->port, a->report->buffer, timeout));
}

static void act_recv_empty(struct act *a)
{
	try_recv(a, RINGQ_NOWAIT);
}

static void act_recv_wait(struct act *a)
{
	try_recv(a, STEP_MS);
}

/* What it has in hand when it leaves goes to the others. */
static void before_leave(struct act *a)
{
	struct report *report = a->report;
	void *place;
	int64_t r;

	if (a->port.role == RINGQ_PRODUCER) {
		r = has_records(a) ?
			    ringq_reserve_record(&a->port, a->column->size, &place, RINGQ_NOWAIT) :
			    ringq_reserve(&a->port, batch(a), RINGQ_NOWAIT);
	} else {
		report->takes += batch(a);
		r = ringq_peek(&a->port, batch(a), RINGQ_NOWAIT);
		if (r > 0)
			report->shown = r;
	}
	CHECK(r >= 0, "nothing to hold: %lld", (long long)r);
}

static void act_detach(struct act *a)
{
	BEGIN(a);
	ringq_detach(&a->port);
	OVER(a, 0);
}

static void act_attach(struct act *a, enum ringq_role role)
{
	int64_t r;

	BEGIN(a);
	r = ringq_attach(a->ring, role, &a->port);
	OVER(a, r);
}

static void act_attach_producer(struct act *a)
{
	act_attach(a, RINGQ_PRODUCER);
}

static void act_attach_consumer(struct act *a)
{
	act_attach(a, RINGQ_CONSUMER);
}

#define OUT .role = RINGQ_PRODUCER
#define IN .role = RINGQ_CONSUMER

/*
 * spsc mpsc spmc mpmc lanes gated lossy latest, then records of spsc lanes gated lossy. What
 * LATEST has one of at a time, it says of more that they are too many.
 */
const struct operation operations[] = {
	{ "send",		OUT, "xxxxxxxxoooo", act_send, .fill = NONE },
	{ "send-last",		OUT, "xxxxxxxxoooo", act_send, .fill = LAST },
	{ "send-many",		OUT, "xxxxxxxooooo", act_send_many, .fill = NONE },
	{ "send-all",		OUT, "xxxxxxxxoooo", act_send_all, .fill = NONE },
	{ "commit",		OUT, "xxxxxxxxoooo", act_commit, .fill = NONE },
	{ "commit-part",	OUT, "xxxxxxxvoooo", act_commit_part, .fill = NONE },
	{ "abort",		OUT, "xxxxxxxxoooo", act_abort, .fill = NONE },
	{ "send-record",	OUT, "ooooooooxxxx", act_send_record, .fill = NONE },
	{ "send-records",	OUT, "ooooooooxxxx", act_send_records, .fill = NONE },
	{ "commit-record",	OUT, "ooooooooxxxx", act_commit_record, .fill = NONE },
	{ "commit-record-part",	OUT, "ooooooooxxxx", act_commit_record_part, .fill = NONE },
	{ "abort-record",	OUT, "ooooooooxxxx", act_abort_record, .fill = NONE },
	{ "send-full",		OUT, "xxxxxxxxxxxx", act_send_full, .fill = FULL },
	{ "send-wait",		OUT, "xxxxxxxxxxxx", act_send_wait, .fill = FULL },
	{ "drain",		OUT, "xxxxxxooxxxo", act_drain, .fill = SOME },
	{ "close-by-producer",	OUT, "xxxxxxxxxxxx", act_close, .fill = SOME },
	{ "arm-producer",	OUT, "xxxxxxxxxxxx", act_arm, before_arm, FULL },
	{ "attach-producer",	OUT, "xxxxxxxxxxxx", act_attach_producer, .late = true },
	{ "detach-producer",	OUT, "xxxxxxxxxxxx", act_detach, before_leave, .leaves = true },
	{ "recv",		IN, "xxxxxxxxoooo", act_recv },
	{ "recv-last",		IN, "xxxxxxxxoooo", act_recv, .fill = LAST },
	{ "recv-many",		IN, "xxxxxxxooooo", act_recv_many },
	{ "recv-all",		IN, "xxxxoxoooooo", act_recv_all },
	{ "recv-from",		IN, "ooooxooooooo", act_recv_from },
	{ "recv-record",	IN, "ooooooooxxxx", act_recv_record },
	{ "recv-records",	IN, "ooooooooxxxx", act_recv_records },
	{ "skip",		IN, "xxxxxxxxxxxx", act_skip },
	{ "discard",		IN, "xxxxxxxxxxxx", act_discard },
	{ "consume",		IN, "xxxxxxxxxxxx", act_consume },
	{ "release",		IN, "xxxxxxxxxxxx", act_release },
	{ "release-part",	IN, "xxxxxxxxxxxx", act_release_part },
	{ "release-none",	IN, "xxxxxxxxxxxx", act_release_none },
	{ "latest",		IN, "oooooooxoooo", act_latest },
	{ "glance",		IN, "ooooooxxoooo", act_glance },
	{ "recv-empty",		IN, "xxxxxxxxxxxx", act_recv_empty, .fill = NONE },
	{ "recv-wait",		IN, "xxxxxxxxxxxx", act_recv_wait, .fill = NONE },
	{ "close-by-consumer",	IN, "xxxxxxxxxxxx", act_close },
	{ "arm-consumer",	IN, "xxxxxxxxxxxx", act_arm, before_arm, NONE },
	{ "attach-consumer",	IN, "xxxxxxxxxxxx", act_attach_consumer, .late = true },
	{ "detach-consumer",	IN, "xxxxxxxxxxxx", act_detach, before_leave, .leaves = true },
};

const unsigned int n_operations = sizeof(operations) / sizeof(operations[0]);
