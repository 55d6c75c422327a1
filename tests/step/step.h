/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the parts of this suite know of each other.
 *
 *   main.c        options; each cell in a process of its own; the counts
 *   table.c       which cells there are: operations x disciplines x who is there besides
 *   operations.c  the operations, as the one who dies in them calls them
 *   scene.c       a ring, live ports beside the victim, its death, its successor
 *   pairs.c       two at a time: one lies at an instruction, another dies at one
 *   judge.c       what must be true afterwards
 *   message.c     messages that show when they are lost, doubled or torn
 *   stepper.c     a child that is stopped after any instruction
 */
#ifndef TESTS_STEP_H
#define TESTS_STEP_H

#include <pthread.h>
#include <ringq.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stepper.h"

#define STEP_SIZE	72	/* bytes of a message, at most */
#define STEP_BATCH	3
#define STEP_MOST	512	/* messages in one life of a ring */
#define STEP_MS		INT64_C(1000000)

/* A ring: a column of the table. */
struct column {
	const char *name;
	uint32_t discipline;
	uint32_t size;
	uint32_t places[2];	/* by role */
	uint32_t flags;		/* of struct ringq_opts */
};

/* Who is there besides the victim, or was. */
enum cast {
	ALONE,		/* nobody of its role */
	BESIDE,		/* a live port of its role */
	COMING,		/* one that attaches when the victim is there */
	LEAVING,	/* one that detaches when the victim is there; it calls twice */
	ASLEEP,		/* nobody of its role; the other side sleeps */
	TOMBS,		/* BESIDE, and what is next in the ring are tombstones */
	ORPHANS,	/* BESIDE, and there are orphans */
	DROPPED,	/* BESIDE if it can be, and what the dead had in hand is dropped */
	CASTS,
};

/* What the victim says of its call, in shared memory. */
struct report {
	struct stepper_mark mark;
	int64_t result;
	uint64_t sends;		/* so many of its messages may have been sent */
	uint64_t sent;		/* so many have */
	uint64_t takes;		/* so many it may have taken */
	uint64_t got;		/* so many calls have returned, or released */
	uint64_t shown;		/* so many a peek has returned */
	bool blind;		/* it throws them away */
	bool closes;
	uint32_t place;
	uint32_t flags;		/* of what it received last */
	unsigned char buffer[STEP_BATCH][STEP_SIZE];	/* what it receives... */
	unsigned char early[STEP_SIZE];	/* ...and did before */
};

/* What one who is stepped acts on. */
struct act {
	const struct column *column;
	struct ringq *ring;
	struct ringq_port port;
	struct report *report;
	unsigned char msgs[STEP_BATCH][STEP_SIZE];	/* to be sent, in a row of their size... */
	uint32_t sizes[STEP_BATCH];			/* ...of these sizes, if records */
};

/* One who is stepped. */
struct actor {
	const struct operation *op;
	enum cast cast;
	struct ringq *ring;	/* ours; its own is that of act */
	struct act act;
	uint64_t first;		/* number of its first message */
	pid_t pid;
};

/* An operation: a row of the table. */
struct operation {
	const char *name;
	enum ringq_role role;
	/* For each discipline of table.c: x it has it, o -EOPNOTSUPP, v -EINVAL. */
	const char *cells;
	void (*act)(struct act *a);
	void (*before)(struct act *a);	/* attached, not yet stepped */
	enum { SOME, NONE, FULL, LAST } fill;	/* of the ring, before; LAST: but for one */
	bool late;	/* it attaches itself, while it is stepped */
	bool leaves;	/* it detaches */
	bool buries;	/* it has no port, and no thread of the library */
};

extern const struct column columns[];
extern const unsigned int n_columns;
extern const struct operation operations[];
extern const unsigned int n_operations;
extern const char *const cast_names[CASTS];

struct cell {
	const struct operation *op;
	const struct column *column;
	enum cast cast;
};

/* x, o or v; 0 if the table has nothing for it. */
char cell_kind(const struct operation *op, const struct column *c);
/* Is it a cell at all? */
bool cell_exists(const struct cell *cell);
/* To be called by main(): complains of absent cells, and returns how many. */
unsigned int table_check(void);

/* message.c: the bytes of a message follow from its number. */
void message_fill(void *msg, uint32_t size, uint64_t number);
uint64_t message_number(const void *msg);
bool message_is_whole(const void *msg, uint32_t size, uint64_t number);
uint32_t message_size(const struct column *c, uint64_t number);

/* One received message. */
struct note {
	uint64_t number;
	bool again;
};

/* What a consumer of ours has received; where each message goes to one of them, all of ours. */
struct notes {
	struct note note[STEP_MOST];
	unsigned int n;
};

/* One life of a ring. */
struct scene {
	const struct cell *cell;
	struct ringq *ring;
	uint64_t capacity;	/* elements */
	struct ringq_port out, in;	/* ours, while their error is 0 */
	struct ringq_port heir;		/* in the victim's place */
	struct actor victim;
	uint64_t number;	/* of our last one... */
	uint64_t begin;		/* ...of the one before this began... */
	uint64_t at_heir;	/* ...and of the last one before what it ended with */
	struct notes common;	/* in, and heir where they share */
	struct notes heirs;	/* heir, where each gets all */
	uint64_t dropped;	/* as the deaths say, of which we are told */
	bool closed;		/* it turned out to be */
	bool crowded;		/* there is another one who is stepped, so nothing is in order... */
	bool moved;		/* ...who may have taken the victim's place... */
	uint64_t spare;		/* ...and so many more may be flagged */
	struct sleeper {
		pthread_t thread;
		bool there;
		int done;
		int64_t result;
	} sleeper;
};

/* What our live ports do while the victim lies at its instruction. */
enum meanwhile { NOTHING, GO_ON, HOLD, MEANWHILES };

/* Once in a process. */
void scene_init(void);
/* What the operation says where there is none is in the report. */
void scene_refuse(struct scene *s, const struct cell *cell, struct report *report);
void scene_open(struct scene *s, const struct cell *cell, struct report *report);
/* One more who is stepped: attached, unless that is its operation; its numbers from one on. */
void scene_actor(struct scene *s, struct actor *actor, const struct operation *op,
		 struct report *report, uint64_t first);
/* To the beginning of its operation. */
void actor_begin(struct actor *actor);
/* The victim is at its beginning. */
void scene_start(struct scene *s);
/* Is that another thing than NOTHING? */
bool scene_can(const struct cell *cell, enum meanwhile what);
void scene_meanwhile(struct scene *s, enum meanwhile what);
void scene_death(struct scene *s, enum meanwhile what);
/* The same in parts: what the live ones hold; when it is dead; what must be true then. */
void scene_go_on(struct scene *s);
void scene_let_go(struct scene *s);
void scene_take_all(struct scene *s);
void scene_succeed(struct scene *s);
void scene_see_closed(struct scene *s);
void scene_judge(struct scene *s);
void scene_close(struct scene *s);
/* To be watched by the stepper. */
struct stepper_watch scene_watch(const struct scene *s);
bool scene_shares(const struct scene *s);	/* each message goes to one consumer */
bool scene_lives(const struct ringq_port *port);

int put(struct scene *s, struct ringq_port *port, uint64_t number, int64_t timeout);
/* One message, noted: what recv returns. */
int take(struct scene *s, struct ringq_port *port, struct notes *notes, int64_t timeout);

void judge(struct scene *s);
void lap(struct scene *s, struct ringq_port *to, struct ringq_port *from);

extern uint32_t step_memory;
extern struct report *report;

/* pairs.c. Each two of a kind, as cells are. */
struct pair;
extern const unsigned int n_pairs;
const struct pair *pair_of(unsigned int i, char *name, size_t size);
void pair_run(const struct pair *pair);

/* Of all cells, in memory that their processes share. */
struct counts {
	unsigned long instructions;
	unsigned long stores;
	unsigned long places;	/* instructions at which somebody died */
	unsigned long deaths;
	unsigned long detours;	/* other paths than the recorded one */
	unsigned long pairs;
};

extern struct counts *counts;
extern unsigned int every;	/* one in so many instructions */
extern unsigned int dies_at, lies_at;	/* instructions where one dies, and another lies */
extern pid_t victim;
extern char cell_name[128];

/* The cell has failed: says so and ends its process. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);
#define CHECK(cond, ...) do { if (!(cond)) fail(__VA_ARGS__); } while (0)

#endif /* TESTS_STEP_H */
