/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the conformance cases have in common. A case is a function that makes its rings by
 * conf_create(), in the memory and the discipline under test, and returns if all was well;
 * what is not well ends the whole case, from any of its threads and processes, through
 * conf_fail(). The list of cases does not depend on the memory: where memory cannot be shared
 * between processes, the other side is a thread, and being killed is leaving without a word.
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <errno.h>
#include <ringq.h>
#include <stdbool.h>
#include <stdint.h>

#define MS		INT64_C(1000000)	/* nanoseconds */
#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))

/* What a discipline promises. */
#define CONF_ELEMENTS	(1u << 0)	/* all messages have one size */
#define CONF_LOSSLESS	(1u << 1)	/* who sends into a full ring waits */
#define CONF_ONCE	(1u << 2)	/* each message goes to one consumer; else to all of them */
#define CONF_ORDER	(1u << 3)	/* one FIFO; else one for each producer */
#define CONF_PRODUCERS	(1u << 4)	/* there can be several */
#define CONF_CONSUMERS	(1u << 5)	/* likewise */
#define CONF_KEEPS	(1u << 6)	/* what is sent waits for a consumer who is yet to come */
#define CONF_CLAIMS	(1u << 7)	/* ports of a side claim from one index */
#define CONF_EACH	(1u << 8)	/* who is not too slow gets each message; else the newest */
#define CONF_LOSSY	(1u << 9)	/* who is too slow is told what he lost */
#define CONF_LATEST	(1u << 10)	/* not CONF_EACH */
#define CONF_GATED	(1u << 11)	/* the producer waits for the slowest consumer */
#define CONF_SPSC	(1u << 12)	/* for what is the same in all disciplines */

struct conf_discipline {
	const char *name;	/* as in the names of cases */
	uint32_t id;		/* enum ringq_discipline */
	uint32_t flags;		/* RINGQ_RECORDS, or 0 */
	uint32_t has;		/* CONF_ promises */
};

/* The first is SPSC; one without a name ends the table. */
extern const struct conf_discipline conf_disciplines[];

struct conf {
	uint32_t memory;	/* enum ringq_memory */
	bool processes;		/* the memory can be shared between processes */
	uint32_t flags;		/* RINGQ_HUGE_ONLY, or 0 */
	uint64_t scale;		/* percent of the usual number of repetitions */
	const struct conf_discipline *discipline;
};

extern struct conf conf;

struct conf_case {
	const char *name;	/* NULL ends a table */
	void (*body)(uint64_t arg);
	uint64_t arg;
	uint32_t needs;		/* CONF_ promises */
};

/* The tables, one a theme; each file says what it covers. */
extern const struct conf_case conf_flow[];
extern const struct conf_case conf_sizes[];
extern const struct conf_case conf_laps[];
extern const struct conf_case conf_ordering[];
extern const struct conf_case conf_edges[];
extern const struct conf_case conf_several[];
extern const struct conf_case conf_walk[];
extern const struct conf_case conf_blocked[];
extern const struct conf_case conf_waiting[];
extern const struct conf_case conf_ends[];
extern const struct conf_case conf_coming[];
extern const struct conf_case conf_closing[];
extern const struct conf_case conf_crowd[];
extern const struct conf_case conf_strategies[];
extern const struct conf_case conf_lossy[];
extern const struct conf_case conf_latest[];
extern const struct conf_case conf_death[];
extern const struct conf_case conf_holds[];
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
/* Copies what may be overwritten meanwhile; the thread sanitizer is to know that we know. */
void conf_copy_racing(void *to, const void *from, size_t size);
/* Zeroed memory that the processes of a case share. */
void *conf_shared(size_t size);
void conf_unshare(void *memory, size_t size);

/* So many where there can be several, else 1. */
uint32_t conf_producers(uint32_t n);
uint32_t conf_consumers(uint32_t n);

/* A ring; opts need neither size nor memory nor discipline. The capacity is in messages. */
struct ringq *conf_create(struct ringq_opts opts);
struct ringq *conf_ring(size_t elem_size, uint64_t capacity, uint32_t flags);
uint64_t conf_capacity(const struct ringq *ring);
/*
 * The number of the port's next message, in a stream that began with 0 at position 0; and what
 * it should be where a port has just attached, if it can know.
 */
uint64_t conf_number(const struct ringq_port *port);
void conf_expect_number(const struct ringq_port *port, uint64_t n);
/* Sends messages from a number on until it is full; returns how many. */
uint64_t conf_fill_up(struct ringq_port *port, uint64_t seq);
/* n, or as many as can be reserved at a time. */
uint64_t conf_at_once(uint64_t n);
/* A name that no other run of the tests uses. */
const char *conf_name(const char *suffix);

/* The element of sequence number seq: every byte depends on it. */
void conf_fill(void *msg, size_t size, uint64_t seq);
void conf_verify(const void *msg, size_t size, uint64_t seq);
/* The same, of what a port has received, or holds. */
void conf_check(const struct ringq_port *port, const void *msg, uint64_t seq);
void conf_check_at(const struct ringq_port *port, uint64_t i, uint64_t seq);
/* What number a message of at least 8 bytes has, if it is one. */
uint64_t conf_seq_of(const void *msg);
/* Of this number, of a ring whose largest message has so many bytes. */
size_t conf_size(uint64_t seq, size_t most);
size_t conf_size_of(const void *msg, size_t most);
/* One more message was verified: for what is told at the end. */
void conf_count(void);
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
/* From now on signals of that number are counted, in all processes of the case, from 0. */
int *conf_count_signals(int sig, int flags);
/* Sends a signal to the thread that sleeps. */
void conf_signal(const struct conf_peer *peer, int sig);
/* What a sender gets when the last receiver was killed. */
int conf_death_error(void);

/* Threads and processes that must begin together: waits until n have called this. */
struct conf_gate *conf_gate(void);
void conf_gate_free(struct conf_gate *gate);
void conf_meet(struct conf_gate *gate, uint32_t n);

/*
 * All operations of a port: by the calls for elements, by those for records, or by a typed
 * ring. Records, too, are handed over in room for the largest.
 */
struct conf_ops {
	size_t size;	/* of the largest message */
	uint64_t most;	/* messages that can be reserved at a time; and the capacity */
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
#define CONF_SIZES(X, ...)								\
	X(1, ##__VA_ARGS__) X(4, ##__VA_ARGS__) X(7, ##__VA_ARGS__) X(8, ##__VA_ARGS__)	\
	X(12, ##__VA_ARGS__) X(16, ##__VA_ARGS__) X(28, ##__VA_ARGS__)			\
	X(29, ##__VA_ARGS__) X(56, ##__VA_ARGS__) X(57, ##__VA_ARGS__)			\
	X(64, ##__VA_ARGS__) X(100, ##__VA_ARGS__) X(248, ##__VA_ARGS__)		\
	X(1264, ##__VA_ARGS__) X(4096, ##__VA_ARGS__) X(70000, ##__VA_ARGS__)

/* Of the discipline under test; typed only if there is a typed ring of that size. */
struct conf_ops conf_ops(size_t size, bool typed);
const struct conf_ops *conf_typed(size_t size);

/* Those that have no type. (peek, release, attach, drain and close are everywhere the same.) */
int conf_send(struct ringq_port *p, const void *msg, int64_t timeout);
int64_t conf_send_many(struct ringq_port *p, const void *msgs, uint64_t n, int64_t timeout);
int conf_reserve(struct ringq_port *p, uint64_t n, int64_t timeout);
void *conf_room(const struct ringq_port *p, uint64_t i);
int conf_commit(struct ringq_port *p, uint64_t n);
int conf_recv(struct ringq_port *p, void *msg, int64_t timeout);
int64_t conf_recv_many(struct ringq_port *p, void *msgs, uint64_t n, int64_t timeout);
const void *conf_msg(const struct ringq_port *p, uint64_t i);

enum conf_wait {
	CONF_SPIN,	/* try until it works */
	CONF_YIELD,	/* let others run between the tries */
	CONF_TIMED,	/* wait, but not for long; and again */
	CONF_BLOCK,
	CONF_POLL,	/* wait until poll(2) says so */
	CONF_EDGE,	/* ...or an epoll that tells of edges */
	CONF_MIXED,	/* any of these but the last, at every call */
};

/* How messages go through a port. */
struct conf_way {
	uint64_t batch;
	bool in_place;		/* reserve and commit, peek and release, some of it in part */
	enum conf_wait wait;
	enum ringq_strategy strategy;	/* where the library waits */
};

/* Sends the messages of from <= sequence number < to. */
void conf_produce(struct ringq_port *port, const struct conf_ops *ops,
		  const struct conf_way *way, uint64_t from, uint64_t to);
/* Receives and verifies them; less only at end-of-file. Returns the next number. */
uint64_t conf_consume(struct ringq_port *port, const struct conf_ops *ops,
		      const struct conf_way *way, uint64_t from, uint64_t to);

/* Shows each message that is received, with its flags, to take(). Returns how many. */
typedef void conf_take(void *arg, const void *msg, size_t size, uint32_t flags);
uint64_t conf_consume_each(struct ringq_port *port, const struct conf_ops *ops,
			   const struct conf_way *way, uint64_t most, conf_take *take, void *arg);

/* Several producers, of at most so many messages each, and several consumers. */
struct conf_ledger *conf_ledger(uint32_t producers, uint32_t consumers, uint64_t most);
void conf_ledger_free(struct conf_ledger *ledger);
/* The sequence number of a producer's message n. */
uint64_t conf_seq(uint32_t producer, uint64_t n);
uint32_t conf_producer_of(uint64_t seq);
/* Now: so many of a producer's messages have been received, as the discipline promises. */
void conf_ledger_expect(const struct conf_ledger *ledger, uint32_t producer, uint64_t n);
/* By a producer: so many more were sent. */
void conf_sent(struct conf_ledger *ledger, uint32_t producer, uint64_t n);

struct conf_reader {
	struct conf_ledger *ledger;
	uint32_t consumer;
};

/* By a consumer, as conf_take, for a conf_reader: it is whole, new, and in order. */
void conf_received(void *reader, const void *msg, size_t size, uint32_t flags);
/* When all is done: nothing was lost, nothing doubled. */
void conf_ledger_judge(const struct conf_ledger *ledger);

/* Streams of several producers to several consumers, all at once. */
struct conf_many {
	size_t size;		/* of a message, at least 8 */
	uint32_t producers;
	uint32_t consumers;
	bool processes;		/* each a process of its own, if the memory allows; else threads */
	uint64_t n;		/* messages of each producer */
	const struct conf_way *way;	/* or NULL: each another one, from this number on */
	uint32_t variant;
};

/* One of all combinations of batches, in place or not, and three ways to wait. */
#define CONF_WAYS 24
struct conf_way conf_way_of(uint32_t variant);

/* Runs them to the end and checks that all arrived, as the discipline promises. */
void conf_run_many(struct ringq *ring, const struct conf_many *many);

#endif /* CONFORMANCE_H */
