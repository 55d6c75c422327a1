/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * A look at a ring and at all its places, by somebody who is not attached: what `ringq stat' shows,
 * and `ringq repair' goes by. Two looks, one after the other, tell for how long something has been
 * held at least: no message costs a look at a clock.
 */
#ifndef RINGQ_LOOK_H
#define RINGQ_LOOK_H

#include "tool.h"

#include <stdbool.h>

/* Of a process: its name, cut like the kernel's, and its state as ps(1) has it, 'T': stopped. */
struct process {
	char command[16];
	char state;		/* '?': not known */
};

/* A place at the ring. */
struct seat {
	uint32_t role;
	uint32_t index;
	struct ringq_port_stat stat;
	struct process process;
	int64_t since;		/* what it holds it has held in every look since then */
};

struct look {
	const char *what;	/* the ring's name, or its file's */
	struct ringq *ring;
	struct ringq_info info;
	struct seat *seats;
	uint32_t n;
	int64_t at;		/* when: of tool_now() */
};

/* Where a ring is: one of the two. */
struct target {
	const char *name;
	const char *file;
};

/* For the options of a command that has a target; 'f' is --file. */
#define TARGET_FILE_OPTION \
	{ .name = "file", .key = 'f', .arg = "FILE", .doc = "the ring lies in this file" }

/* A key of argp's that is about the target: 0, or ARGP_ERR_UNKNOWN. */
error_t target_parse(struct target *t, int key, char *arg, struct argp_state *state);

/* Joins, to look only. Returns TOOL_OK, or says why not and returns another status. */
int look_open(struct look *look, const struct target *t);
void look_close(struct look *look);

/*
 * Joins by name, to look only, also a ring in a memfd whose members are all stopped, and cannot
 * answer, if they are processes that we may look into. Returns 0 or what ringq_join() returns.
 */
int look_join(const char *name, uint32_t memory, struct ringq **ring);

/* Looks, for the first time or again: 0, or negative errno. */
int look_again(struct look *look);

/* Waits for so many nanoseconds, or a signal, and looks again. */
int look_later(struct look *look, int64_t ns);

/* What was sent and not released, in messages or bytes. */
uint64_t look_waiting(const struct look *look);

/* "producer" or "consumer". */
const char *look_role(uint32_t role);

/* "spsc" ... "latest", or "?". */
const char *look_discipline(uint32_t discipline);

/* What a seat is in, in a word: "live", "stopped", "asleep", "claiming", "dying", "left" ... */
const char *seat_word(const struct seat *seat);

/* In the middle of a claim: others of its side may have to wait for it. */
bool seat_is_claiming(const struct seat *seat);

/* Its process is stopped, by a signal or by somebody who traces it. */
bool seat_is_stopped(const struct seat *seat);

/* "process 4711 (worker)", or that it is of another pid namespace. */
const char *seat_process(char text[64], const struct seat *seat);

#endif /* RINGQ_LOOK_H */
