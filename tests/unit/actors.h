/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Processes that are looked at: each does its part with a ring, and stops itself, or is stepped
 * through a call by ptrace(2), so that what is told of it must be exact. And the ring, which the
 * test has a handle of and no port: nothing is buried but when it says so.
 */
#ifndef TESTS_ACTORS_H
#define TESTS_ACTORS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <ringq.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../quiet.h"

#define STEPS 100000	/* instructions of a call, at most, with sanitizers in it */
#define OUT RINGQ_PRODUCER
#define IN RINGQ_CONSUMER

static struct ringq *ring;
static int file = -1;	/* where it lies; -1: in a memfd */

static inline void make(uint32_t discipline, uint32_t flags, uint32_t ports)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_MEMFD, .discipline = discipline,
		.elem_size = 8, .capacity = flags & RINGQ_RECORDS ? 4096 : 14, .flags = flags,
	};

	if (discipline == RINGQ_MPSC || discipline == RINGQ_MPMC || discipline == RINGQ_LANES)
		opts.producers = ports;
	if (discipline != RINGQ_SPSC && discipline != RINGQ_MPSC)
		opts.consumers = ports;
	if (file >= 0) {
		opts.memory = RINGQ_AUTO;
		opts.flags |= RINGQ_FILE;
		opts.fd = file;
	}
	assert_int_equal(ringq_create(&opts, &ring), 0);
}

static inline int teardown(void **state)
{
	(void)state;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	ringq_leave(ring);
	ring = NULL;
	return 0;
}

static inline struct ringq_port_stat look(enum ringq_role role, uint32_t index)
{
	struct ringq_port_stat s = { .size = sizeof(s) };

	assert_int_equal(ringq_port_stat(ring, role, index, &s), 0);
	return s;
}

/* Of a process that acts: what it cannot do is not what it was made for. */
static inline void must(bool yes)
{
	if (!yes)
		_exit(1);
}

static inline bool attached(struct ringq *mine, enum ringq_role role, struct ringq_port *port)
{
	return ringq_attach(mine, role, port) == 0;
}

/* Sends five, of eight bytes each. */
static inline void send_five(struct ringq_port *port, bool records)
{
	uint64_t i;

	for (i = 0; i < 5; i++)
		must((records ? ringq_send_record(port, &i, sizeof(i), RINGQ_NOWAIT) :
				ringq_send(port, &i, RINGQ_NOWAIT)) == 1);
}

/* The same ring in a child. */
static inline int join(struct ringq **mine)
{
	struct ringq_opts opts = { .size = sizeof(opts), .flags = RINGQ_FILE, .fd = file };

	return file < 0 ? ringq_join_fd(ringq_fd(ring), NULL, mine) : ringq_join(&opts, mine);
}

static inline pid_t start(void (*act)(struct ringq *mine))
{
	struct ringq *mine;
	pid_t pid;

	quiet();
	pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	must(join(&mine) == 0);
	act(mine);
	raise(SIGSTOP);
	for (;;)
		pause();
}

static inline void must_stop(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	if (!WIFSTOPPED(status))
		fail_msg("the other process ended by itself: %x", status);
}

static inline pid_t start_and_stop(void (*act)(struct ringq *mine))
{
	pid_t pid = start(act);

	must_stop(pid);
	return pid;
}

static inline void end(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* Two ports, and each instruction of a send, from a stop on. */
static __attribute__((unused)) struct ringq_port mine_first, mine_second;

static inline void act_traced_send(struct ringq *mine)
{
	uint64_t msg = 7;

	/* The second claims by CAS. */
	must(attached(mine, OUT, &mine_first) && attached(mine, OUT, &mine_second));
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	ringq_send(&mine_second, &msg, RINGQ_NOWAIT);
}

static inline void step(pid_t pid)
{
	assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
	must_stop(pid);
}

/* Until that port tries to claim so many positions, and has perhaps; the port then. */
static inline struct ringq_port_stat step_to(pid_t pid, uint32_t index, uint64_t held)
{
	struct ringq_port_stat s = look(OUT, index);
	unsigned int i;

	for (i = 0; (s.claim != RINGQ_TRY || s.held != held) && i < STEPS; i++) {
		step(pid);
		s = look(OUT, index);
	}
	assert_int_equal(s.claim, RINGQ_TRY);
	assert_int_equal(s.held, held);
	return s;
}

/*
 * One is stopped where it may have taken a position, or not; another, which has taken it, is dead.
 * Each has two ports, the first of them with nothing: 0 and 1 are the dead one's.
 */
static inline pid_t start_blocked(void)
{
	pid_t tries, dies;

	make(RINGQ_MPMC, 0, 4);
	/* Attached before the other one is stopped, for an attacher would wait for it. */
	dies = start_and_stop(act_traced_send);
	tries = start_and_stop(act_traced_send);
	step_to(tries, 3, 0);
	step_to(dies, 1, 1);
	end(dies);
	return tries;
}

/* Somebody in the middle of attaching or leaving keeps others from burying. */
static inline void act_lock(struct ringq *mine)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", ringq_fd(mine));
	fd = open(path, O_RDWR);
	must(fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0);
}

#endif /* TESTS_ACTORS_H */
