/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The points at which the simulator may let another actor go on, and what its files know of each
 * other. All that it is linked with is compiled with this header before anything else (make SIM=1),
 * so each atomic access of the library, and each ringq_delay() in it, is such a point.
 */
#ifndef SIM_H
#define SIM_H

void ringq_delay(void);

#define __atomic_load_n(...)	(ringq_delay(), __atomic_load_n(__VA_ARGS__))
#define __atomic_compare_exchange_n(...) \
	(ringq_delay(), __atomic_compare_exchange_n(__VA_ARGS__))
#define __atomic_exchange_n(...) (ringq_delay(), __atomic_exchange_n(__VA_ARGS__))
#define __atomic_fetch_add(...)	(ringq_delay(), __atomic_fetch_add(__VA_ARGS__))
#define __atomic_fetch_and(...)	(ringq_delay(), __atomic_fetch_and(__VA_ARGS__))
#define __atomic_fetch_or(...)	(ringq_delay(), __atomic_fetch_or(__VA_ARGS__))
/* What is stored has been worked out before others go on. */
#define __atomic_store_n(p, value, order) ({		\
	__auto_type sim_value = (value);		\
							\
	ringq_delay();					\
	__atomic_store_n(p, sim_value, order);		\
})

#include <ringq.h>
#include <setjmp.h>
#include <stdbool.h>
#include <ucontext.h>

#define SEATS		3	/* of a side, at most */
#define ACTORS		16	/* ports, buriers, and who looks at the end what is left */
#define MESSAGES	4096	/* of a round, at most */

/* A kind of ring. */
struct row {
	const char *name;
	uint32_t discipline;
	uint32_t flags;
	uint32_t seats[2];	/* by enum ringq_role */
};

/* Where ports sit. One that is dead counts as live until it is buried. */
struct place {
	bool dead;
	uint32_t buriers;	/* that are at it; the last one makes it free */
};

struct actor {
	void (*body)(struct actor *actor);
	ucontext_t context;	/* of its beginning */
	jmp_buf place_in_body;
	const char *doing;
	uint32_t stopped;	/* turns that it misses */
	bool begun, mortal, dies, over;

	/* A port, and what it has seen. */
	struct ringq_port port;
	enum ringq_role role;
	uint32_t in_doubt;	/* messages that it may have in a call, and has not entered */
	uint32_t last[ACTORS];	/* of each sender, the number seen last */
	uint32_t ends;		/* sim.ends, when its call began */
	bool closes;		/* it is to close the ring */
	bool idles;		/* there was nothing to be had */
	bool leaves;		/* there is nothing more to be done */

	struct place *place;	/* a burier: the one that he is at */
};

struct message {
	/* Nobody is to see it; it is about to be sent, or was perhaps; it was. */
	enum state { HIDDEN, OFFERED, COMMITTED } state;
	uint32_t sender;	/* an actor */
	uint32_t shown;		/* to these actors, a bit for each */
	bool released;
};

/* A round: all of it is new each time. */
struct round {
	const struct row *row;
	struct ringq *ring;
	uint64_t seed, number;
	uint64_t points;	/* so many have been passed */
	bool quiet;		/* who runs is not interrupted */

	/* schedule.c: one in so many, of the points. */
	uint32_t switches;	/* is where another actor goes on */
	uint32_t stops, kills;	/* is where one is stopped, or dies... */
	uint32_t risk_stops, risk_kills;	/* ...in the midst of a claim, or a repair */
	uint32_t deaths_left;

	struct actor actor[ACTORS];
	uint32_t actors;
	struct actor *running;	/* or NULL */
	struct place place[2][SEATS];

	/* The ledger. A message's number is its place here. */
	struct message message[MESSAGES];
	uint32_t messages;
	uint32_t deaths, doubt, redelivered;
	uint32_t ends;		/* so many have seen end-of-file */
	bool closing;		/* somebody has begun to close the ring */
};

extern struct round sim;
extern bool sim_traces;

/* sim.c. What must not be ends the process, with status 1 and a line that says it. */
void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void sim_trace(const struct actor *actor, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* schedule.c. All that is random in a round follows from its seed. */
void sim_seed(uint64_t seed);
uint64_t sim_random(uint64_t below);
/* Real nanoseconds; in the library time stands still. */
int64_t sim_clock(void);
/* The actor will begin with its body. */
void sim_start(struct actor *actor, void (*body)(struct actor *actor));
/* Others may go on. */
void sim_yield(void);
/* The same, for so many turns at most. */
void sim_pause(uint32_t most);
/* Lets somebody, if anybody can, go on until it yields or dies. */
void sim_turn(void);

/* actors.c. Words of a message: its number, and the rest, each of which follows from that. */
uint32_t message_words(void);
/* A port attaches, sends or receives, and detaches. */
void port_body(struct actor *actor);
/* Makes free what ports that died have left, until nothing more is to come. */
void burier_body(struct actor *actor);
bool burier_is_needed(void);
/* The actor has died, and will not run again. */
void actor_dies(struct actor *actor);
/* Enters what it has been shown. */
uint32_t actor_sees(struct actor *actor, const uint64_t *message);

#endif /* SIM_H */
