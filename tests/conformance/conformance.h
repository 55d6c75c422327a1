/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the conformance cases have in common. A case is a function that gets the memory
 * from conf.memory and returns if all was well; what is not well ends the whole case, from
 * any of its threads and processes, through conf_fail(). The list of cases does not depend
 * on the memory: where memory cannot be shared between processes, the other side is a
 * thread, and being killed is leaving without a word.
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <errno.h>
#include <ringq.h>
#include <stdbool.h>
#include <stdint.h>

#define MS		INT64_C(1000000)	/* nanoseconds */
#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))

struct conf {
	uint32_t memory;	/* enum ringq_memory */
	bool processes;		/* the memory can be shared between processes */
	uint64_t scale;		/* percent of the usual number of repetitions */
};

extern struct conf conf;

struct conf_case {
	const char *name;	/* NULL ends a table */
	void (*body)(uint64_t arg);
	uint64_t arg;
};

/* The tables, one a theme; each file says what it covers. */
extern const struct conf_case conf_flow[];
extern const struct conf_case conf_edges[];
extern const struct conf_case conf_blocked[];
extern const struct conf_case conf_waiting[];
extern const struct conf_case conf_ends[];
extern const struct conf_case conf_death[];
extern const struct conf_case conf_sharing[];
extern const struct conf_case conf_names[];
extern const struct conf_case conf_misuse[];

/* What main() does as the program that a case of sharing.c has exec'ed. */
void conf_inherited(int fd);

/* What a case says before it tries something that may hang, so that a hang has a place. */
void conf_at(const char *file, int line);
__attribute__((noreturn, format(printf, 3, 4)))
void conf_fail(const char *file, int line, const char *format, ...);
void conf_expect(const char *file, int line, const char *what, int64_t got, int64_t wanted);

#define CHECK(cond, ...)						\
	do {								\
		conf_at(__FILE__, __LINE__);				\
		if (!(cond))						\
			conf_fail(__FILE__, __LINE__, __VA_ARGS__);	\
	} while (0)

/* The value of a call, which is evaluated once: a count or a negative errno. */
#define EXPECT(call, wanted)						\
	do {								\
		conf_at(__FILE__, __LINE__);				\
		conf_expect(__FILE__, __LINE__, #call, call, wanted);	\
	} while (0)

/* n, as --scale has it; at least 1. */
uint64_t conf_times(uint64_t n);
uint64_t conf_random(uint64_t below);
int64_t conf_now(void);
void conf_sleep(int64_t ns);
/* Zeroed memory that the processes of a case share. */
void *conf_shared(size_t size);

/* A ring in the memory under test; opts need neither size nor memory. */
struct ringq *conf_create(struct ringq_opts opts);
struct ringq *conf_ring(size_t elem_size, uint64_t capacity, uint32_t flags);
uint64_t conf_capacity(const struct ringq *ring);
/* A name that no other run of the tests uses. */
const char *conf_name(const char *suffix);

/* The element of sequence number seq: every byte depends on it. */
void conf_fill(void *msg, size_t size, uint64_t seq);
void conf_verify(const void *msg, size_t size, uint64_t seq);
/* Sends, receives one of any size without waiting. Returns what the call returned. */
int conf_send_seq(struct ringq_port *port, uint64_t seq);
int conf_recv_seq(struct ringq_port *port, uint64_t seq);
/* Each must succeed. */
void conf_send_range(struct ringq_port *port, uint64_t from, uint64_t to);
void conf_recv_range(struct ringq_port *port, uint64_t from, uint64_t to);

/*
 * The other side: a process of its own if the memory allows (conf_start()), or a thread in
 * any case (conf_start_thread()). A process gets a handle of its own, joined by the
 * inherited descriptor.
 */
typedef void conf_body(struct ringq *ring, void *arg);

struct conf_peer *conf_start(struct ringq *ring, conf_body *body, void *arg);
struct conf_peer *conf_start_thread(struct ringq *ring, conf_body *body, void *arg);
/* A process that gets no ring. */
struct conf_peer *conf_fork(conf_body *body, void *arg);
/* Waits until it is done. */
void conf_join(struct conf_peer *peer);
/* kill -9, and reaped. A thread is made to see conf_dying() instead. */
void conf_kill(struct conf_peer *peer);
/* To be asked by a peer after each call: then detach the port, whatever it holds, and return. */
bool conf_dying(void);
/* By a peer, before a call that is to sleep. */
void conf_will_sleep(void);
/* By another: until the peer sleeps. */
void conf_await_sleep(const struct conf_peer *peer);
/* Sends a signal to the thread that sleeps. */
void conf_signal(const struct conf_peer *peer, int sig);
/* What a sender gets when the last receiver was killed. */
int conf_death_error(void);

/* All operations of a port, through the untyped calls or through a typed ring. */
struct conf_ops {
	size_t size;
	int (*attach)(struct ringq *ring, enum ringq_role role, struct ringq_port *p);
	int (*send)(struct ringq_port *p, const void *msg, int64_t timeout);
	int64_t (*send_many)(struct ringq_port *p, const void *msgs, uint64_t n, int64_t timeout);
	int (*reserve)(struct ringq_port *p, uint64_t n, int64_t timeout);
	void *(*room)(const struct ringq_port *p, uint64_t i);
	int (*commit)(struct ringq_port *p, uint64_t n);
	int (*recv)(struct ringq_port *p, void *msg, int64_t timeout);
	int64_t (*recv_many)(struct ringq_port *p, void *msgs, uint64_t n, int64_t timeout);
	int64_t (*peek)(struct ringq_port *p, uint64_t n, int64_t timeout);
	const void *(*at)(const struct ringq_port *p, uint64_t i);
	int (*release)(struct ringq_port *p, uint64_t n);
};

/* Element sizes: around a line's room, around a line, several lines, more than a page. */
#define CONF_SIZES(X)						\
	X(1) X(4) X(7) X(8) X(12) X(16) X(28) X(29) X(56) X(57)	\
	X(64) X(100) X(248) X(1264) X(4096) X(70000)

/* One of CONF_SIZES. */
struct conf_ops conf_ops(size_t size, bool typed);

/* How messages go through a ring. */
struct conf_way {
	uint64_t batch;
	bool in_place;		/* reserve and commit, peek and release, some of it in part */
	int64_t timeout;	/* RINGQ_NOWAIT: try until it works */
};

/* Sends the messages of from <= sequence number < to. */
void conf_produce(struct ringq_port *port, const struct conf_ops *ops,
		  const struct conf_way *way, uint64_t from, uint64_t to);
/* Receives and verifies them; less only at end-of-file. Returns the next number. */
uint64_t conf_consume(struct ringq_port *port, const struct conf_ops *ops,
		      const struct conf_way *way, uint64_t from, uint64_t to);

#endif /* CONFORMANCE_H */
