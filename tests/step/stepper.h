/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * A child that goes by single instructions, and dies where it is told to.
 *
 * What it is to do lies between stepper_begin() and stepper_over(), which stop it. Once it is
 * recorded: stepped through (ptrace(2)) from the one to the other, with the address of each
 * instruction, and whether what is watched has changed by it, or it was a system call. Another
 * child then comes to instruction k of the same path by a breakpoint of the processor's, which
 * touches no code, at the last address before it that is soon reached, and by single steps from
 * there. That it got there is seen by the address it is at. If the path was another this time,
 * a third one takes every step.
 */
#ifndef TESTS_STEP_STEPPER_H
#define TESTS_STEP_STEPPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Instructions of a path, at most. */
#define STEPPER_MOST	20000

/* What the child says of itself, in memory that it shares with us. */
struct stepper_mark {
	int traced;
	int begun;
	int over;
};

/* One path from the beginning to the end. */
struct stepper_path {
	unsigned int n;			/* instructions */
	uint64_t at[STEPPER_MOST + 1];	/* where it is after so many */
	bool event[STEPPER_MOST + 1];	/* the last one was a store that is seen */
	uint16_t before[STEPPER_MOST + 1];	/* how often it was there before */
};

/* What is looked at after each instruction, while a path is recorded. */
struct stepper_watch {
	const void *memory;
	size_t size;
};

/* Once. */
void stepper_init(void);

/* In the child; where there is nobody to step it, all of these do nothing. */
#define stepper_halt(mark)							\
	do {									\
		if ((mark)->traced)						\
			__asm__ volatile("int3" ::: "memory");			\
	} while (0)
void stepper_stop(void);	/* until stepper_go() */
#define stepper_begin(mark)							\
	do {									\
		__atomic_store_n(&(mark)->begun, 1, __ATOMIC_SEQ_CST);		\
		stepper_halt(mark);						\
	} while (0)
#define stepper_over(mark)							\
	do {									\
		__atomic_store_n(&(mark)->over, 1, __ATOMIC_SEQ_CST);		\
		stepper_halt(mark);						\
	} while (0)

/* Here. A child that runs until its first stepper_stop(). */
pid_t stepper_start(void (*run)(void *arg), void *arg, struct stepper_mark *mark);
/* On to the next stop, or to its stepper_begin(). */
void stepper_go(pid_t pid);
/* So many instructions, or until it is over. */
void stepper_steps(pid_t pid, const struct stepper_mark *mark, unsigned int steps);
/* Most instructions of it at most: it may be waiting. */
void stepper_record(pid_t pid, const struct stepper_mark *mark, const struct stepper_watch *watch,
		    unsigned int most, struct stepper_path *path);
/* To where it is after k instructions of the path. False: it went another way. */
bool stepper_to(pid_t pid, const struct stepper_mark *mark, const struct stepper_path *path,
		unsigned int k);
/* Lets it run to its end: stepper_over(), or another stop. */
void stepper_finish(pid_t pid);
void stepper_kill(pid_t pid);

#endif /* TESTS_STEP_STEPPER_H */
