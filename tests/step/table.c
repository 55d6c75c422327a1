// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Which cells there are. A column is a ring, a row an operation; in the row stands for each kind
 * of ring whether it has the operation. Who else is there is not in the table: it follows from
 * how many places the ring has, and what the operation needs.
 */
#include "step.h"

#include <stdio.h>
#include <string.h>

#define WAIT (RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT)

/* Small messages share lines, or slots, with a stamp; large ones have it elsewhere. */
#define BOTH(name, discipline, producers, consumers)					\
	{ name "-16", discipline, 16, { producers, consumers }, WAIT },			\
	{ name "-72", discipline, 72, { producers, consumers }, WAIT }

const struct column columns[] = {
	BOTH("spsc", RINGQ_SPSC, 1, 1),
	BOTH("mpsc", RINGQ_MPSC, 3, 1),
	BOTH("spmc", RINGQ_SPMC, 1, 3),
	BOTH("mpmc", RINGQ_MPMC, 3, 3),
	BOTH("lanes", RINGQ_LANES, 3, 3),
	{ "lanes-1-16", RINGQ_LANES, 16, { 3, 1 }, WAIT },
	BOTH("gated", RINGQ_GATED, 1, 3),
	/* A dead reader's place is not kept. */
	{ "gated-free-16", RINGQ_GATED, 16, { 1, 3 }, RINGQ_PRODUCER_WAIT },
	BOTH("lossy", RINGQ_LOSSY, 1, 3),
	BOTH("latest", RINGQ_LATEST, 1, 3),
	{ "spsc-records", RINGQ_SPSC, 64, { 1, 1 }, WAIT | RINGQ_RECORDS },
	{ "lanes-records", RINGQ_LANES, 64, { 3, 3 }, WAIT | RINGQ_RECORDS },
	{ "gated-records", RINGQ_GATED, 64, { 1, 3 }, WAIT | RINGQ_RECORDS },
	{ "lossy-records", RINGQ_LOSSY, 64, { 1, 3 }, WAIT | RINGQ_RECORDS },
};

const unsigned int n_columns = sizeof(columns) / sizeof(columns[0]);

const char *const cast_names[CASTS] = {
	"alone", "beside", "coming", "leaving", "asleep", "tombs", "orphans", "dropped",
};

/* The order of struct operation.cells: disciplines from 1 on, then those of records. */
#define KINDS	12

static int kind_of(const struct column *c)
{
	if (!(c->flags & RINGQ_RECORDS))
		return c->discipline - RINGQ_SPSC;
	switch (c->discipline) {
	case RINGQ_SPSC:
		return 8;
	case RINGQ_LANES:
		return 9;
	case RINGQ_GATED:
		return 10;
	default:
		return 11;
	}
}

char cell_kind(const struct operation *op, const struct column *c)
{
	int kind = kind_of(c);

	return strlen(op->cells) == KINDS && strchr("xov", op->cells[kind]) ? op->cells[kind] : 0;
}

static bool claims(const struct column *c)
{
	return c->discipline == RINGQ_MPSC || c->discipline == RINGQ_SPMC ||
	       c->discipline == RINGQ_MPMC;
}

static bool never_full(const struct column *c)
{
	return c->discipline == RINGQ_LOSSY || c->discipline == RINGQ_LATEST;
}

bool cell_exists(const struct cell *cell)
{
	const struct operation *op = cell->op;
	const struct column *c = cell->column;
	bool several = c->places[op->role] > 1;

	if (cell_kind(op, c) != 'x')
		return cell->cast == ALONE;
	/* What does not depend on where the stamps are. */
	if (c->size > RINGQ_LINE_ROOM && !(c->flags & RINGQ_RECORDS) &&
	    (cell->cast == DROPPED || ((op->late || op->leaves) && cell->cast == ASLEEP)))
		return false;
	switch (cell->cast) {
	case ALONE:
		return true;
	case BESIDE:
		return several;
	case COMING:
		/* There must be something for it to do before. */
		return several && claims(c) && !op->late && !op->leaves &&
		       (op->role == RINGQ_PRODUCER ? op->fill == NONE || op->fill == SOME :
						  op->fill == SOME);
	case LEAVING:
		return several && claims(c) && !op->late && !op->leaves;
	case ASLEEP:
		if (op->role == RINGQ_PRODUCER)
			return op->fill == NONE;
		/* It takes a consumer to fill a ring. */
		return op->fill == SOME && !never_full(c) &&
		       !(op->late && c->discipline == RINGQ_GATED);
	case TOMBS:
		return claims(c) && op->role == RINGQ_CONSUMER && op->fill == SOME &&
		       c->places[RINGQ_PRODUCER] > 1;
	case ORPHANS:
		return claims(c) && op->role == RINGQ_CONSUMER && op->fill == SOME && several;
	case DROPPED:
		return op->role == RINGQ_CONSUMER && op->fill == SOME && !never_full(c) &&
		       c->flags & RINGQ_CONSUMER_WAIT;
	default:
		return false;
	}
}

/* Each discipline in both kinds of messages, each kind of ring in each row. */
unsigned int table_check(void)
{
	unsigned int absent = 0, i, j;
	uint32_t discipline;

	for (i = 0; i < n_operations; i++) {
		for (j = 0; j < n_columns; j++) {
			if (cell_kind(&operations[i], &columns[j]))
				continue;
			printf("FAIL - %s-%s is absent\n", columns[j].name, operations[i].name);
			absent++;
		}
	}
	for (discipline = RINGQ_SPSC; discipline <= RINGQ_LATEST; discipline++) {
		for (j = 0; j < n_columns && columns[j].discipline != discipline; j++)
			;
		if (j < n_columns)
			continue;
		printf("FAIL - discipline %u is absent\n", discipline);
		absent++;
	}
	return absent;
}
