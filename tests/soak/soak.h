/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* The soaks: main.c and kills.c, each with delays between the steps of protocols. */
#ifndef SOAK_H
#define SOAK_H

#include <liburing.h>
#include <ringq.h>
#include <stdbool.h>

/* delay.c. What is random from now on, in this thread. */
void soak_seed(uint64_t seed);
uint64_t soak_random(uint64_t below);
/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t soak_now(void);

/* side.c */
/* How a worker waits: by a strategy of the port, or by its descriptor. */
enum soak_how { BLOCK, PHASED, TIMED, POLL, LEVEL, EDGE, EVENTFD, MULTISHOT, COMMAND, HOWS };

/* A worker's port, and what it waits by. */
struct soak_side {
	struct ringq_port port;
	enum soak_how how;
	int fd;			/* of epoll, or an eventfd, or -1 */
	bool has_uring;
	bool armed;		/* a multishot poll is there */
	struct io_uring uring;
};

const char *soak_how(enum soak_how how);
/* Is there such a way in this memory? */
bool soak_can(enum soak_how how, uint32_t memory);
int soak_open(struct soak_side *s, struct ringq *ring, enum ringq_role role, enum soak_how how);
void soak_close(struct soak_side *s);
/* Sends or receives one: 1; the end: 0 or an error. */
int soak_move(struct soak_side *s, uint64_t *token);

#endif /* SOAK_H */
