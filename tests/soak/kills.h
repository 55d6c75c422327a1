/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the processes of the kill soak (kills.c says what it does) share: a ring, and a ledger of
 * what was sent and received, in memory that outlives each of them.
 *
 * A life is one process at one port. What a life tells of itself it stores after the call that
 * made it true, or before the call that may: so of a life that was cut off, what is true lies
 * between the two.
 *
 * A message is its sender's life, a number that counts from 0 in each life, and filling that
 * follows from the two; with a checksum of all of it, and of its size.
 */
#ifndef KILLS_H
#define KILLS_H

#include <ringq.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SEATS	3		/* of a side, at most */
#define LIVES	512		/* of a side, in a round, at most */
#define MOST	(1u << 14)	/* messages of a life */
#define BATCH	8		/* messages of a call, at most */
#define LEAST	16		/* bytes of a message, at least */
#define SIZE	1264		/* and at most */

enum doing { STARTS, ATTACHES, SENDS, RESERVES, WRITES, COMMITS, RECEIVES, PEEKS, LOOKS, RELEASES,
	     DETACHES, DOINGS };

struct life {
	/* Of a producer: below begun numbers may have been sent, below sent they were. */
	uint64_t begun __attribute__((aligned(RINGQ_LINE_PAIR)));
	uint64_t sent;
	/* Of a consumer: what it has entered in the ledger, and how many it may have besides. */
	uint64_t entered;
	uint64_t flagged;
	uint64_t doubt;
	uint64_t position;	/* the last it knew of */
	uint32_t seat;
	uint32_t doing;
	pid_t pid;
	bool attached;		/* it has been */
	bool cut;		/* it died, or left, perhaps with something in hand */
	bool drained;		/* it saw that producers were to stop, and all was received */
};

/* How often a message was received. */
struct entry {
	uint8_t plain;
	uint8_t flagged;
};

/* A ring, and how it is used. */
struct row {
	const char *name;
	uint32_t discipline;
	uint32_t flags;
	uint32_t seats[2];	/* by enum ringq_role */
};

struct ledger {
	uint32_t producers_stop;
	uint32_t consumers_stop;
	struct life life[2][LIVES];
	/* Where one reader sees all of a stream: the number it must see next, of each life. */
	uint32_t next[SEATS][LIVES];
	/* Of each reader, where each gets all; else of all together. */
	struct entry entry[SEATS][LIVES][MOST];
};

struct round {
	const struct row *row;
	struct ringq *ring;
	struct ledger *ledger;
	uint32_t size;		/* of a message; the largest, of records */
	uint64_t seed;
};

static inline bool row_records(const struct row *row)
{
	return row->flags & RINGQ_RECORDS;
}

/* A message may be overwritten before it is received. */
static inline bool row_lossy(const struct row *row)
{
	return row->discipline == RINGQ_LOSSY || row->discipline == RINGQ_LATEST;
}

/* What a dead reader had in hand comes to nobody. */
static inline bool row_drops(const struct row *row)
{
	return row->flags & RINGQ_DROP;
}

/* Every reader gets every message. */
static inline bool row_gated(const struct row *row)
{
	return row->discipline == RINGQ_GATED;
}

/* What a producer sends comes to one reader, or its successor. */
static inline bool row_in_order(const struct row *row)
{
	return row_gated(row) || (!row_lossy(row) && row->seats[RINGQ_CONSUMER] == 1);
}

/* ledger.c. What must not be ends the process, with status 1 and a line that says it. */
void kills_fail(const struct round *round, const char *format, ...)
	__attribute__((format(printf, 2, 3), noreturn));
uint32_t message_size(const struct round *round, uint32_t life, uint32_t number);
void message_write(void *to, uint32_t size, uint32_t life, uint32_t number);
/* Enters what a reader has received; last: the number that it saw last, plus 1, of each life. */
void ledger_enter(const struct round *round, struct life *reader, uint32_t *last, const void *msg,
		  size_t size, bool flagged);

struct verdict {
	uint64_t sent;		/* and said so, or received */
	uint64_t flagged;
	uint64_t doubt;		/* received or dropped, as far as can be known */
};

/* At the end of a round: everything is there. */
struct verdict ledger_judge(const struct round *round);
/* What was committed last, at least: the life, and its number plus 1; false: nothing. */
bool ledger_newest(const struct round *round, uint32_t *life, uint32_t *end);
/* Grows whenever something is sent or received. */
uint64_t ledger_progress(const struct ledger *ledger);

/* worker.c. Handlers of signals that end a process in other ways than signals do. */
#define KILLS_EXEC	SIGUSR2
#define KILLS_EAT	(SIGRTMIN + 1)	/* takes memory until it is killed for it */
#define KILLS_WAKE	SIGUSR1		/* interrupts a call that sleeps */
void worker_signals(void);
/* The process dies with its parent, which has this pid. */
void worker_mortal(pid_t of);
/* Takes a seat, and works until it is told to stop, dies, or has had enough. Does not return. */
void worker_run(struct round *round, enum ringq_role role, struct life *life)
	__attribute__((noreturn));

#endif /* KILLS_H */
