/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * ringq: a pipe that you can mmap.
 *
 * Messages of a fixed size go from one process or thread to another through memory that
 * both have mapped. While both sides are busy no message costs a system call or a fence;
 * a side that has nothing to do sleeps, and uses no CPU; a side that dies is noticed, what
 * it had committed arrives, and what it had not never does.
 *
 *     struct ringq_opts opts = { .size = sizeof(opts), .name = "quotes", .elem_size = 8 };
 *     struct ringq *ring;
 *     struct ringq_port port;
 *
 *     ringq_open(&opts, &ring);                       make the ring, or join it
 *     ringq_attach(ring, RINGQ_PRODUCER, &port);      take the producer's place
 *     ringq_send(&port, &value, RINGQ_FOREVER);
 *     ringq_detach(&port);
 *     ringq_leave(ring);
 *
 * Three memories. RINGQ_DEVICE: the module /dev/ringq, which knows of every death by
 * itself, enforces who may write what, and can be polled. RINGQ_MEMFD: an ordinary memfd;
 * a thread of the library (the agent) does what the module would: it serves the ring's
 * name and watches for deaths. RINGQ_PRIVATE: memory of this process, between threads.
 * The default takes the device if it can be opened and a memfd if not; ringq_get_info()
 * says which it was.
 *
 * Errors are negative errno values; ringq_strerror() has a sentence for each. Calls return
 * 0, or a count. The time-out of a call is in nanoseconds from now: RINGQ_NOWAIT (0) to try,
 * RINGQ_FOREVER (-1) to wait without limit. A number of messages must not be 0 (-EINVAL). A wait
 * that a signal handler interrupts returns -EINTR; without a time-out it goes on if the handler was
 * installed with SA_RESTART.
 *
 * Threads. A ring may be used by all threads at once. A port is used by one thread at a
 * time, a typed one (RINGQ_TYPED) likewise. Nothing is async-signal-safe but the try forms
 * of send and recv on a port that the interrupted code does not use.
 *
 * Processes. A handle and its ports belong to the process that got them. In a forked child
 * they are stale: their memory is not there, attach returns -ESTALE, detach and leave do
 * nothing but forget. The child joins by name, or by ringq_join_fd(ringq_fd(ring)), which
 * works in it. A process that exits, or calls exec, without ringq_detach() has died as far
 * as its peers can tell.
 *
 * Memory ordering. Whatever the sender did before a send, or a commit, happens before what
 * the receiver does after the recv, or the peek, that returns that message.
 *
 * Progress. The try forms are wait-free on both sides unless somebody of the other side
 * sleeps, and must be woken by a system call. Waiting is waiting.
 */
#ifndef RINGQ_H
#define RINGQ_H

#include <ringq/broadcast.h>
#include <ringq/gated.h>
#include <ringq/lanes.h>
#include <ringq/layout.h>
#include <ringq/lossy_records.h>
#include <ringq/mpmc.h>
#include <ringq/port.h>
#include <ringq/records.h>
#include <ringq/spsc.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RINGQ_VERSION_MAJOR	0
#define RINGQ_VERSION_MINOR	1

/* Time-outs of all calls that may wait; otherwise nanoseconds from now, or ringq_until(). */
#define RINGQ_NOWAIT		((int64_t)0)
#define RINGQ_FOREVER		((int64_t)-1)

/* A number of messages: all that are there. */
#define RINGQ_ALL		UINT64_MAX

/* Messages that are shown to a handler before they are released. */
#define RINGQ_SHOWN		64

enum ringq_memory {
	RINGQ_AUTO = 0,		/* the device if it can be opened, else a memfd */
	RINGQ_DEVICE = 1,
	RINGQ_MEMFD = 2,
	RINGQ_PRIVATE = 3,
};

/*
 * Flags of struct ringq_opts beside RINGQ_PRODUCER_WAIT, RINGQ_CONSUMER_WAIT, RINGQ_DROP and
 * RINGQ_FENCE (linux/ringq.h).
 */
#define RINGQ_HUGE		(1u << 16)	/* huge pages if they are to be had */
#define RINGQ_HUGE_ONLY		(1u << 17)	/* huge pages, or -ENOMEM */
#define RINGQ_SMALL		(1u << 18)	/* pages of the usual size */
#define RINGQ_ANY_OWNER		(1u << 19)	/* join also what neither I nor root created */
#define RINGQ_RECORDS		(1u << 20)	/* messages of any size up to elem_size */
#define RINGQ_FILE		(1u << 21)	/* the ring lies in the file of ringq_opts.fd */
/*
 * To join, only to look: ringq_port_stat(), ringq_get_info(), ringq_bury(). No port can be attached
 * (-EACCES). On memfd such a handle is no member: it does not serve the ring's name, and no thread
 * of it watches for deaths. (On the device it keeps the ring and its name, as every handle does.)
 */
#define RINGQ_OBSERVE		(1u << 22)

/*
 * Values for ringq_opts.capacity. In a ring of few slots a message waits behind few others, and
 * all of them stay in a near cache; many slots take up the bursts of a sender whom the receiver
 * keeps up with only on the average.
 */
enum ringq_preset {
	RINGQ_CAPACITY_ULTRA_LOW_LATENCY = 1 << 10,
	RINGQ_CAPACITY_LOW_LATENCY = 1 << 12,
	RINGQ_CAPACITY_DEFAULT = 1 << 16,
	RINGQ_CAPACITY_HIGH_THROUGHPUT = 1 << 18,
};

/**
 * struct ringq_opts - what ring is wanted
 * @size: sizeof(struct ringq_opts). A larger one, from a newer program, is accepted if
 *	the rest is zero (-E2BIG). All that is zero takes its default.
 * @name: 1 to 63 bytes, no '/', no control characters; NULL for none. It is one in the
 *	network namespace, like an abstract unix socket's, and lives as long as a member.
 * @memory: enum ringq_memory. Names are for the device and memfd.
 * @discipline: enum ringq_discipline; RINGQ_SPSC by default.
 * @elem_size: bytes of a message, 1 to 2^30; with RINGQ_RECORDS, of the largest. To join, 0 accepts
 *	what is there, another value must be what is there (-EPROTOTYPE).
 * @capacity: messages, of each lane in LANES, rounded up to what the layout can hold (LOSSY
 *	and LATEST: two of them, or two cache lines of them, at least); 65536
 *	by default (LATEST: 8), fewer (at least 64) if they would take more than 64 MiB. With
 *	RINGQ_RECORDS, bytes: 1 MiB by default, rounded up to a power of two, to a page, and to
 *	twice the largest message and 64 bytes. ringq_get_info() tells. Not compared when joining.
 * @flags: of the two lists above. Without a word on page size, rings of 1 MiB and more
 *	take RINGQ_HUGE; rings of records, if each lane has 2 MiB and more.
 * @mode: permission bits for those who join by name: r to receive, w to send. 0600 by
 *	default. The module judges them as for a file. A memfd can only be given whole: its
 *	owner and root need both bits of the owner's, all others both bits of the others'.
 * @first: position of the first message, below 2^60; for tests.
 * @buffer: RINGQ_PRIVATE: memory to use, at any address, instead of asking for some;
 *	ringq_buffer_size() says how much is needed. It stays the caller's and must live as
 *	long as the ring. Nothing else is allocated then.
 * @buffer_size: its bytes. Fewer than needed: -ENOBUFS.
 * @producers, @consumers: how many ports of a side there may be at a time, 1 to 256. By
 *	default 1 where the discipline has one, else 16; but 1 consumer in LANES, where one alone
 *	is many times as fast. Each takes a page of memory, and in LANES each producer a lane.
 * @alloc: RINGQ_PRIVATE: called once, with @arg, for all the memory that the ring takes, handle
 *	and all. It returns memory aligned to @align, a power of two (-EINVAL: it is not), or
 *	NULL (-ENOMEM).
 * @free: goes with it: called with what @alloc was called with and returned, by ringq_leave(),
 *	and when the ring cannot be made after all. Not in a forked child.
 * @arg: for both.
 * @fd: with RINGQ_FILE: a file on tmpfs, on hugetlbfs (of 2 MiB pages, for records) or on a disk.
 *	It stays the caller's. ringq_create() makes the ring in an empty one (-EEXIST: it is not
 *	empty), ringq_join() takes the ring that is there (-ENOENT: it is empty), ringq_open()
 *	does either. A file of just the ring's size that begins with zeros, as it is left by a
 *	maker who dies, counts as empty. The ring is there as long as the file is, members or
 *	not; one that has ended is opened again by ringq_reset(). Others join it by the file, not
 *	by ringq_join_fd(). Who can write to the file can kill all members: if it is cut off
 *	they get SIGBUS. So nobody else should be able to; one that belongs neither to root nor
 *	to oneself is refused (-EACCES) unless RINGQ_ANY_OWNER is given. Single bytes of it are
 *	locked (F_OFD_SETLK), so no other program should lock any.
 * @reserved: 0.
 */
struct ringq_opts {
	size_t size;
	const char *name;
	uint32_t memory;
	uint32_t discipline;
	size_t elem_size;
	uint64_t capacity;
	uint32_t flags;
	uint32_t mode;
	uint64_t first;
	void *buffer;
	size_t buffer_size;
	uint32_t producers;
	uint32_t consumers;
	void *(*alloc)(void *arg, size_t size, size_t align);
	void (*free)(void *arg, void *memory, size_t size);
	void *arg;
	int32_t fd;
	uint32_t reserved;
};

/**
 * struct ringq_info - what a ring is; filled by ringq_get_info()
 * @size: sizeof(struct ringq_info), set by the caller.
 * @memory: enum ringq_memory, never RINGQ_AUTO.
 * @discipline, @elem_size, @capacity, @flags, @producers, @consumers: as granted. @flags has
 *	RINGQ_RECORDS if it is such a ring.
 * @created: 1 if this call made the ring, 0 if it joined.
 * @page_shift: log2 of the smallest page that held data when the ring was made: 12, 21 or
 *	30; 0 in memory that was handed in or allocated by the caller.
 * @total: bytes of the whole ring. @header: of what comes before stamps and messages. @data: of
 *	the slots for messages, with the stamps that lie in them.
 * @uid: of the creator. @mode: its permission bits.
 * @id: random identity. @name: empty if it has none.
 */
struct ringq_info {
	size_t size;
	uint32_t memory;
	uint32_t discipline;
	uint64_t elem_size;
	uint64_t capacity;
	uint32_t flags;
	uint32_t created;
	uint32_t page_shift;
	uint32_t uid;
	uint32_t mode;
	uint32_t reserved;
	uint64_t total;
	uint64_t header;
	uint8_t id[16];
	char name[RINGQ_NAME_SIZE];
	uint32_t producers;
	uint32_t consumers;
	uint64_t data;
};

/**
 * ringq_create - make a ring that nobody else has made yet
 * @opts: what is wanted; elem_size must be given.
 * @ring: (out) the ring; ringq_leave() ends its use.
 *
 * Returns 0, or: -EINVAL a bad option; -EOPNOTSUPP no such discipline; -E2BIG options from
 * the future; -EFBIG a message of more than 2^30 bytes, a ring of more than 2^40; -ENOBUFS
 * the buffer is too small; -EEXIST the name is taken; -ENOMEM, -EMFILE, -ENFILE; -EDQUOT the
 * module's limit; -ENODEV RINGQ_DEVICE and no module; -EACCES no permission to open it; -EPROTO
 * the module speaks another version; -ETIMEDOUT the name was busy for seconds, or the members
 * of the ring do not answer (they are stopped); -EOPNOTSUPP (memfd) /proc is not mounted. With
 * RINGQ_FILE: -EEXIST, -EACCES as told there; -EBADF; -ENOSPC, -EDQUOT no room for all of it.
 */
int ringq_create(const struct ringq_opts *opts, struct ringq **ring);

/**
 * ringq_join - find a ring by its name, or in a file
 * @opts: name, or RINGQ_FILE and fd, must be given.
 * @ring: (out) as for ringq_create().
 *
 * Returns 0, or: -ENOENT no ring of that name; -EACCES its mode lets us neither send nor
 * receive, or it belongs to another user and RINGQ_ANY_OWNER was not given; -EPROTOTYPE
 * another size of message or another discipline; -EBADMSG it is corrupt; -EPROTO another
 * version of the layout; -EPERM its memory could be cut off under us (not sealed); and what
 * ringq_create() returns.
 */
int ringq_join(const struct ringq_opts *opts, struct ringq **ring);

/**
 * ringq_open - join the ring of that name or file, or make it if there is none
 *
 * Of several processes that call this at once one makes it. Errors as for ringq_create()
 * and ringq_join(), but -EEXIST and -ENOENT.
 */
int ringq_open(const struct ringq_opts *opts, struct ringq **ring);

/**
 * ringq_join_fd - use a ring whose descriptor was inherited or passed over a socket
 * @fd: from ringq_fd() in this or another process; it stays the caller's.
 * @opts: may be NULL; elem_size and discipline are compared if given.
 * @ring: (out)
 *
 * Returns 0 or what ringq_join() returns; -EBADMSG also if @fd is something else.
 */
int ringq_join_fd(int fd, const struct ringq_opts *opts, struct ringq **ring);

/**
 * ringq_fd - the descriptor that gives others this ring
 *
 * It is the ring's own: do not close it, and pass it over a socket or let a child inherit
 * it (clear FD_CLOEXEC) to let another process call ringq_join_fd(). Who has it may attach
 * in both roles. Returns the descriptor, or -EOPNOTSUPP for private memory.
 */
int ringq_fd(const struct ringq *ring);

/**
 * ringq_leave - end the use of a ring
 * @ring: may be NULL. Its ports must be detached before.
 *
 * The memory and the name are gone when the last member has left or died.
 */
void ringq_leave(struct ringq *ring);

/**
 * ringq_get_info - what was granted
 *
 * Returns 0, or -EINVAL if @info->size is less than that of version 0.1. Only the part
 * that both sides know is written.
 */
int ringq_get_info(const struct ringq *ring, struct ringq_info *info);

/**
 * struct ringq_port_stat - how a place at a ring is taken; filled by ringq_port_stat()
 * @size: sizeof(struct ringq_port_stat), set by the caller.
 * @state: enum ringq_port_state. RINGQ_PORT_FREE never taken; LIVE; LEFT; DEAD, and what it left is
 *	in order; DYING: dead, and that is still to be done.
 * @generation: how often the place was taken. With the place's number it names one port.
 * @pid: the process that attached last, as it is seen from here; 0: it is of a pid namespace that
 *	is not (memfd: that is not ours). Of a port that is not LIVE it may be another process's by
 *	now.
 * @flags: RINGQ_IS_ASLEEP it sleeps in a call that waits; RINGQ_IS_POLLED it is armed for who polls
 *	it; RINGQ_IS_KEPT (GATED) it is dead, and the producer waits for its successor.
 * @claim: MPSC, SPMC, MPMC: the state of its claim, RINGQ_IDLE, RINGQ_TRY, RINGQ_OWN or RINGQ_BACK
 *	(ringq/claim.h); else RINGQ_IDLE. In TRY and BACK the port is in the middle of a claim, or
 *	of a message that it sends or receives, at @position: a matter of moments, unless it is
 *	stopped there; others may have to wait for it when they attach, or repair.
 * @lane: LANES: a producer's; that in which a consumer reads, or else holds something;
 *	RINGQ_NO_LANE: none, or no lanes.
 * @attached_ns: when it attached, of CLOCK_MONOTONIC: here (device), or in the time namespace of
 *	who attached (memfd).
 * @position: how far it is, as ringq_position() counts. Producer: what it has published; of records
 *	perhaps less, if it has sent more than 1024 since it last found the ring full, slept or
 *	polled. Consumer: what it has released; LANES: in @lane, else 0. MPSC, SPMC, MPMC: where the
 *	last that it claimed, or tried to, ends, or what is still held of it begins.
 * @held: how many messages (records: bytes, headers and all) are in its hands: taken by a consumer
 *	and not released; MPSC, SPMC, MPMC: taken by a producer and not published; if @claim is
 *	RINGQ_TRY, perhaps by another port, of which the same is told. What another producer has
 *	reserved can be told by nobody, and holds up nobody. LOSSY and LATEST: nothing is ever
 *	held. 0 of a port that is neither LIVE nor DYING: what it left is its successor's.
 * @held_at: the first of them.
 * @waiting: messages (records: bytes) that were sent and are not released, as ringq_len() counts:
 *	at most the capacity, in LANES for a consumer that of all lanes.
 * @tombs, @redelivered, @dropped: of a DEAD port, what became of what it had, as in struct
 *	ringq_death; else 0.
 */
struct ringq_port_stat {
	size_t size;
	uint32_t state;
	uint32_t generation;
	uint32_t pid;
	uint32_t flags;
	uint32_t claim;
	uint32_t lane;
	uint64_t attached_ns;
	uint64_t position;
	uint64_t held;
	uint64_t held_at;
	uint64_t waiting;
	uint64_t tombs;
	uint64_t redelivered;
	uint64_t dropped;
};

/**
 * ringq_port_stat - who sits at a place, does he live, how far is he, and what does he hold
 * @ring: any handle, attached or not, of any memory; may be used by several threads at once.
 * @role: RINGQ_PRODUCER or RINGQ_CONSUMER. @index: number of the place, below that of
 *	struct ringq_info.
 *
 * For programs that watch, and people. It takes nothing, stores nothing, and costs those who use
 * the ring nothing. The answer is put together from words that they are writing: about a port that
 * is at work it may never have been true as a whole; about one that sleeps, is stopped or dead it
 * is exact (but for a TRY, which is perhaps another's). Somebody who scribbles over shared memory
 * makes it odd, and nothing worse.
 *
 * No message costs a look at a clock, so that "since when" is for the caller to find out: who looks
 * twice and finds the same @generation, @held_at and @held knows that it was held all the while.
 *
 * A death is told at once where the place's lock is free (memfd), or the module knows of it: no
 * need to wait until somebody has noticed.
 *
 * Takes the time of some hundred loads; in LANES, for a consumer, of some ten for each lane; of
 * records, of one for each that is waiting, up to 1024 a lane. Returns 0, or: -EINVAL no such
 * place, a bad size; -ESTALE the handle is the parent process's; -EOPNOTSUPP the module is older.
 */
int ringq_port_stat(struct ringq *ring, enum ringq_role role, uint32_t index,
		    struct ringq_port_stat *stat);

/**
 * ringq_bury - look now for ports that have died, and put in order what they left
 *
 * This is done by itself: by the module, and on memfd by a thread of every member. To be called by
 * who cannot wait for that, or where no member has a thread that runs: all are stopped, or the
 * ring is in a file and nobody is attached.
 *
 * Returns how many were buried, also 0; or: -ETIMEDOUT another process has been in the middle of
 * attaching or leaving for a second (it is stopped there); -ESTALE. On the device it has nothing to
 * do. A dead port whose place stays RINGQ_PORT_DYING waits for a live one that is in the middle of
 * a claim, or of a message: see struct ringq_port_stat.claim.
 */
int ringq_bury(struct ringq *ring);

/**
 * ringq_buffer_size - bytes that a private ring of these options needs as @opts->buffer
 *
 * Includes what is lost to alignment. Returns the bytes, or what ringq_create() returns.
 */
int64_t ringq_buffer_size(const struct ringq_opts *opts);

/**
 * ringq_reset - make a ring as it was when it was created
 *
 * Empty, not closed, no side ended; its messages are gone, and positions begin again at the
 * first. For a ring that is to be used again, and at which nobody sits: it is done under the
 * lock that attaching takes, so that whoever attaches finds all of it or has to wait. A process
 * that dies in the middle leaves a ring that has ended, until it is reset again.
 *
 * Returns 0, or: -EBUSY a live port, of any process, is attached; -EOPNOTSUPP it is the module's
 * (leave it and create another); -ESTALE.
 */
int ringq_reset(struct ringq *ring);

/**
 * ringq_attach - take a place at a ring
 * @ring: must outlive the port.
 * @role: RINGQ_PRODUCER or RINGQ_CONSUMER.
 * @port: (out) caller-owned, aligned to 64 bytes as its type is; ringq_detach() ends its use.
 *
 * A successor of a port that has left or died goes on exactly where that one stopped: a
 * producer after the last committed message, a consumer with the first that was not
 * released. Messages that a dead consumer had in hand come first, flagged (ringq_flags()); but
 * with RINGQ_DROP they do not come again, and their room was free as soon as the death was known.
 *
 * But a consumer of GATED, LOSSY or LATEST gets every message itself, and begins with the next
 * one that is sent (LATEST: with the newest), unless RINGQ_OLDEST is given. Only in a GATED ring
 * that is RINGQ_CONSUMER_WAIT does it go on where a consumer that died (not: left) stopped, for
 * whom the producer has been waiting; such places are given first.
 *
 * Returns 0, or: -EBUSY the place is taken; -EPIPE this side of the ring has ended, or the
 * ring is closed and takes no producer; -EACCES the handle does not give this role;
 * -EBADMSG what the predecessor left makes no sense; -ETIMEDOUT (MPSC, SPMC, MPMC) another port
 * of this side is stopped in the middle of a call; -EOPNOTSUPP (memfd) /proc is not mounted, or
 * membarrier(2) is filtered and the ring is not RINGQ_FENCE; -ESTALE the handle is the parent
 * process's; -ENOMEM, -EMFILE, -EAGAIN (no thread for the agent).
 *
 * -ENOMEM may also mean that the process has as many mappings as it may have (sysctl
 * vm.max_map_count): on the device each port has up to seven, and of a ring of LANES with
 * RINGQ_RECORDS two for each lane besides.
 */
int ringq_attach(struct ringq *ring, enum ringq_role role, struct ringq_port *port);

/* Flags of struct ringq_attach_opts. */
#define RINGQ_AT_PLACE		(1u << 0)	/* take the place of number @place, or -EBUSY */
/*
 * GATED, LOSSY consumer: begin with the oldest message. LOSSY: that is still there, up to a ring
 * full. GATED: that some other consumer has not released; if there is no other, with the next.
 */
#define RINGQ_OLDEST		(1u << 1)

/**
 * struct ringq_attach_opts - which place, and where to begin
 * @size: sizeof(struct ringq_attach_opts).
 * @flags: RINGQ_AT_PLACE, RINGQ_OLDEST.
 * @place: from 0; with RINGQ_AT_PLACE. To succeed a port of a certain number: in LANES a
 *	producer's number is that of its lane.
 * @stride: LOSSY consumer: take only messages number @phase, @phase + @stride, @phase + 2 *
 *	@stride ... since the ring began, so that several consumers share the stream. 0: all.
 * @phase: less than @stride.
 * @strategy: enum ringq_strategy: how the port waits; ringq_set_strategy() changes it.
 */
struct ringq_attach_opts {
	size_t size;
	uint32_t flags;
	uint32_t place;
	uint32_t stride;
	uint32_t phase;
	uint32_t strategy;
	uint32_t reserved;	/* 0 */
};

/**
 * enum ringq_strategy - how a port waits in a call that has a time-out, or RINGQ_FOREVER
 *
 * PHASED	spins, a little longer if that was worth it lately, and up to some 50 us; yields;
 *		then sleeps in the kernel until it is woken. Costs nothing while it sleeps.
 * BLOCK	sleeps at once. For who waits long, or shares a CPU with the other side.
 * SPIN		spins until there is something: the quickest, and takes a CPU.
 * YIELD	likewise, but lets others run that are ready.
 * SLEEP	naps of 1 us to 1 ms, growing: late by as much, next to no CPU.
 *
 * With the last three the port is never armed, so nobody has to make a system call to wake it; and
 * a signal does not end the call (-EINTR): only what is waited for, an end of the ring, or the
 * time-out does. All of them look at the clock with a time-out, and none does without.
 */
enum ringq_strategy {
	RINGQ_STRATEGY_PHASED = 0,
	RINGQ_STRATEGY_BLOCK = 1,
	RINGQ_STRATEGY_SPIN = 2,
	RINGQ_STRATEGY_YIELD = 3,
	RINGQ_STRATEGY_SLEEP = 4,
};

/**
 * ringq_attach_with - take a place at a ring, with a say in which and how
 * @opts: may be NULL.
 *
 * As ringq_attach(), and: -EINVAL a bad option, no such place; -E2BIG options from the future;
 * -EOPNOTSUPP an option that has no meaning in this discipline or role.
 */
int ringq_attach_with(struct ringq *ring, enum ringq_role role,
		      const struct ringq_attach_opts *opts, struct ringq_port *port);

/**
 * ringq_set_strategy - from now on, wait like this
 *
 * Of the port's own thread. Returns 0, -EINVAL, or -ESTALE.
 */
int ringq_set_strategy(struct ringq_port *port, enum ringq_strategy strategy);

/**
 * ringq_detach - leave the place
 *
 * What was reserved and not committed is given up; what was peeked and not released goes
 * to a successor. The port is then stale: every call on it returns -ESTALE, but another
 * detach, which does nothing. If the ring does not wait for one, this is the end for the other
 * side: receivers get what was committed and then end-of-file, senders get -EPIPE.
 */
void ringq_detach(struct ringq_port *port);

/**
 * ringq_close - no message is to be sent on this ring any more
 * @port: of either side.
 *
 * Senders get -EPIPE from now on, except those that are past their look at this moment:
 * a message sent while the receiver closes may stay unread, as in a pipe. Receivers get
 * what was committed, then end-of-file. Everybody who sleeps is woken. There is no way
 * back. Returns 0, or -ESTALE.
 */
int ringq_close(struct ringq_port *port);

/**
 * ringq_send - send one message
 * @msg: elem_size bytes, copied.
 *
 * Returns 1, or: -EAGAIN full (RINGQ_NOWAIT); -ETIMEDOUT; -EINTR; -EPIPE closed, or the
 * receivers have left; -EOWNERDEAD the last receiver died; -EBUSY something is reserved;
 * -EBADMSG the ring is corrupt; -EOPNOTSUPP the port is a consumer.
 */
int ringq_send(struct ringq_port *port, const void *msg, int64_t timeout);

/**
 * ringq_recv - receive one message
 * @msg: elem_size bytes. When this returns the message is delivered: its place is free.
 *
 * Returns 1; 0 at end-of-file (closed, or the senders are gone, and nothing is left); or
 * -EAGAIN empty (RINGQ_NOWAIT), -ETIMEDOUT, -EINTR, -EBUSY something is peeked, -EBADMSG,
 * -EOPNOTSUPP the port is a producer. After an error @msg may have been written to.
 *
 * LOSSY: -EOVERFLOW, once: messages were overwritten before this port had them; ringq_lost_last()
 * tells how many. The next call goes on with later ones, a quarter of the capacity above the
 * oldest, so as not to be late again at once. The same of recv_many, peek and glance.
 *
 * LATEST: the newest value, if this port has not returned it yet. Values in between are not
 * returned, and that is no error.
 */
int ringq_recv(struct ringq_port *port, void *msg, int64_t timeout);

/**
 * ringq_send_many - send up to n messages, in order
 *
 * Waits as long as there are some left to send. Returns how many were sent, fewer than @n
 * if the time ran out or the ring ended on the way; or an error if it was none.
 */
int64_t ringq_send_many(struct ringq_port *port, const void *msgs, uint64_t n, int64_t timeout);

/**
 * ringq_recv_many - receive up to n messages
 *
 * Waits for the first only. Returns how many, 0 at end-of-file, or an error. All of them
 * are redelivered or none (ringq_flags()).
 */
int64_t ringq_recv_many(struct ringq_port *port, void *msgs, uint64_t n, int64_t timeout);

/**
 * ringq_reserve - take room for n messages, to write them in place
 *
 * All of @n, at most the capacity (MPSC, SPMC, MPMC: and 4095; -EINVAL). ringq_at() and
 * ringq_run() give the places,
 * ringq_commit() publishes, ringq_abort() gives up. One reservation a port. Returns 0, or
 * what ringq_send() returns.
 *
 * MPSC, SPMC, MPMC: at most 4095. What is given up is no more room until the receivers have
 * come by, unless the producer is alone on its side.
 *
 * LOSSY and LATEST: the messages whose places are taken are lost at once to readers that are so
 * late, also if the reservation is given up. LATEST: one. LOSSY: at most the capacity + 1 less
 * the messages of a cache line, 56 / elem_size (1 if they are larger).
 */
int ringq_reserve(struct ringq_port *port, uint64_t n, int64_t timeout);

/**
 * ringq_commit - publish the first n of the reserved messages and give up the rest
 * @n: of records, one is reserved: 1 or 0.
 *
 * In ascending order: a death in the middle leaves a prefix. Returns 0, or -EINVAL if
 * fewer are reserved.
 */
int ringq_commit(struct ringq_port *port, uint64_t n);

/**
 * ringq_peek - look at up to n messages in place
 *
 * Waits for the first only. ringq_at() and ringq_run() give the places (of records,
 * ringq_record()), which stay as they are until ringq_release(). Returns how many, 0 at
 * end-of-file, or what ringq_recv() returns. A consumer that dies before the release leaves
 * them to its successor, flagged, or in a ring with RINGQ_DROP to nobody.
 *
 * MPSC, SPMC, MPMC: at most 4095. If there are other consumers, the first of them to come gets
 * what one that left or died had in hand. What is released in part stays this port's own.
 *
 * LOSSY and LATEST: the producer may overwrite them while they are looked at. What was made of
 * them counts only if ringq_release(), or ringq_intact() afterwards, says so. LATEST: one.
 */
int64_t ringq_peek(struct ringq_port *port, uint64_t n, int64_t timeout);

/**
 * ringq_release - free the first n of the peeked messages
 *
 * The others can be peeked or received again. Returns 0, or -EINVAL if fewer were peeked.
 *
 * LOSSY and LATEST: -EOVERFLOW some of them have been overwritten since, and none is to be
 * believed. The port goes on as after any other overrun: those that are still there, if any,
 * come again. (Of @n == 0, which gives up looking, nothing is said.)
 */
int ringq_release(struct ringq_port *port, uint64_t n);

/*
 * Records: messages of any size up to elem_size, in a ring made with RINGQ_RECORDS. There they
 * take the place of send, send_many, recv, recv_many, reserve, at and run, which return
 * -EOPNOTSUPP (NULL), as these do in other rings. All other calls are the same.
 */

/**
 * ringq_send_record - send one record
 * @data: @size bytes, copied; may be NULL if there are none.
 * @size: 0 to elem_size of the ring.
 *
 * Returns 1, or what ringq_send() returns, or -EMSGSIZE: no record of this ring is so large. A
 * LOSSY ring is never full.
 */
int ringq_send_record(struct ringq_port *port, const void *data, uint32_t size, int64_t timeout);

/**
 * ringq_send_records - send up to n records, in order
 * @records: address and size of each.
 *
 * As ringq_send_many(). It also stops before a record that is too large: -EMSGSIZE if that is
 * the first.
 */
int64_t ringq_send_records(struct ringq_port *port, const struct iovec *records, uint64_t n,
			   int64_t timeout);

/**
 * ringq_reserve_record - take room for a record, to write it in place
 * @size: the most that it may come to.
 * @place: (out) where it is to be written, in a row; a multiple of 8.
 *
 * ringq_commit_record() publishes, ringq_abort() gives up. One reservation a port. Returns 0,
 * or what ringq_send_record() returns.
 */
int ringq_reserve_record(struct ringq_port *port, uint32_t size, void **place, int64_t timeout);

/**
 * ringq_commit_record - publish the first @size bytes of the reserved record
 *
 * Returns 0, or -EINVAL if less, or nothing, is reserved.
 */
int ringq_commit_record(struct ringq_port *port, uint32_t size);

/**
 * ringq_recv_record - receive one record
 * @data: @room bytes.
 * @size: (out) of the record, if there is one.
 *
 * Returns 1; 0 at end-of-file; or what ringq_recv() returns; or -EMSGSIZE: @room is not enough
 * for @size, and the record stays; or in a LOSSY ring -EOVERFLOW: records were overwritten before
 * they were received, and ringq_lost() tells how many. That is said once, and the next call
 * goes on with the oldest record that is left. What is in @data is then nothing.
 */
int ringq_recv_record(struct ringq_port *port, void *data, uint32_t room, uint32_t *size,
		      int64_t timeout);

/**
 * ringq_recv_records - receive up to n records
 * @records: (in and out) address and room for each; the room becomes the size.
 *
 * Waits for the first only. Returns how many; 0 at end-of-file; or what ringq_recv_record()
 * returns if that happened to the first, and -EMSGSIZE with its size in @records. All of them
 * are redelivered or none (ringq_flags()).
 */
int64_t ringq_recv_records(struct ringq_port *port, struct iovec *records, uint64_t n,
			   int64_t timeout);

/**
 * ringq_record - one after the other of the records that ringq_peek() holds
 * @cursor: 0 for the first; becomes that of the next one. Otherwise of no meaning.
 * @size: (out) of this record.
 *
 *     for (cursor = 0; (data = ringq_record(&port, &cursor, &size)); )
 *
 * Returns where it lies, in a row; NULL after the last, or before it if the headers make no
 * sense any more (LOSSY: they are overwritten). Every call takes the same, small time.
 */
const void *ringq_record(const struct ringq_port *port, uint64_t *cursor, uint32_t *size);

/**
 * ringq_at - the i-th of the reserved or peeked messages
 * @i: less than what was reserved or peeked; not checked.
 */
void *ringq_at(const struct ringq_port *port, uint64_t i);

/**
 * ringq_run - the i-th of the reserved or peeked messages and its neighbours
 * @n: (out) how many, from it on, lie in a row as an array of elem_size bytes each; not
 *	more than are reserved or peeked.
 */
void *ringq_run(const struct ringq_port *port, uint64_t i, uint64_t *n);

/* Gives up what is reserved; a later reserve or send gets the same room if it can be had. */
void ringq_abort(struct ringq_port *port);

/**
 * ringq_send_all - send n messages, or none
 *
 * Waits until there is room for all of them; then sends them as one ringq_commit() does, next to
 * each other. @n is at most what can be reserved (-EINVAL). Returns @n, or what ringq_reserve()
 * returns: nothing has been sent then. -EOPNOTSUPP in a ring of records.
 */
int64_t ringq_send_all(struct ringq_port *port, const void *msgs, uint64_t n, int64_t timeout);

/**
 * ringq_recv_all - receive n messages, or none
 *
 * Waits until there are so many, next to each other. @n is at most the capacity (MPSC, SPMC,
 * MPMC: and 4095; -EINVAL). What is redelivered comes first and by itself: then it may be fewer.
 * Returns how many; 0 if the ring has ended and fewer than @n are left, which ringq_recv_many()
 * still gets; or what ringq_recv() returns: nothing has been taken then. MPSC, SPMC, MPMC: also
 * -EBUSY less is left of what was peeked and released in part; -ENOBUFS what senders that died
 * had reserved leaves no room for @n at once (ringq_recv_many() gets what there is). -EOPNOTSUPP
 * in LANES, where a batch is of one lane, LOSSY, LATEST, and of records.
 */
int64_t ringq_recv_all(struct ringq_port *port, void *msgs, uint64_t n, int64_t timeout);

/**
 * ringq_skip - throw away up to n messages, unread
 *
 * As ringq_recv_many(), without a copy. @n may be RINGQ_ALL.
 */
int64_t ringq_skip(struct ringq_port *port, uint64_t n, int64_t timeout);

/**
 * ringq_discard - throw away all messages that are there, if any
 *
 * Not those that are sent meanwhile. (ringq_drain() is the producer's, and waits until they are
 * received.) Returns how many, also 0, or what ringq_recv() returns but -EAGAIN.
 */
int64_t ringq_discard(struct ringq_port *port);

/**
 * ringq_handler - what ringq_consume() calls for each message
 * @arg: what the caller of ringq_consume() gave.
 * @msg: in the ring, to be read until this returns; aligned as in an array of its type.
 * @size: its bytes.
 *
 * May use any port but this one, of which it may ask ringq_flags() and ringq_position(). Returns
 * 0 to go on; anything else: this message is done with, and was the last.
 */
typedef int ringq_handler(void *arg, const void *msg, size_t size);

/**
 * ringq_consume - have messages looked at in place, in order, one after the other
 * @max: how many at most; RINGQ_ALL: as many as there are, but not what is sent meanwhile.
 * @handler: NULL to throw them away and be told how many.
 *
 * Waits for the first only. They are released a few at a time, after the handler has returned for
 * each of those: if it never does, because the process dies, a successor gets these few, flagged.
 * LOSSY and LATEST: the handler is shown a copy of each, which is whole; an overrun ends the call
 * (ringq_lost()). Returns how many, 0 at end-of-file, or what ringq_recv() returns; LOSSY and
 * LATEST also -ENOMEM.
 */
int64_t ringq_consume(struct ringq_port *port, uint64_t max, ringq_handler *handler, void *arg,
		      int64_t timeout);

/* A walk over messages in place. The fields are the library's. */
struct ringq_iter {
	struct ringq_port *port;
	const unsigned char *next;
	uint64_t run;
	uint64_t seen;
	uint64_t count;
};

/**
 * ringq_iter_begin - walk over up to max messages, and leave them where they are
 * @iter: (out) if it returns 0 or an error there is nothing to walk over, and nothing to finish.
 *
 * They count as peeked until ringq_iter_finish(). Returns what ringq_peek() returns.
 */
int64_t ringq_iter_begin(struct ringq_port *port, uint64_t max, int64_t timeout,
			 struct ringq_iter *iter);

/* The next message, in the ring, and (unless NULL is given) its size. NULL: that was all. */
const void *ringq_iter_next(struct ringq_iter *iter, size_t *size);

/**
 * ringq_iter_finish - release the messages that ringq_iter_next() has returned
 *
 * The others can be received again. To release none: ringq_release(port, 0). Returns 0 or what
 * ringq_release() returns.
 */
int ringq_iter_finish(struct ringq_iter *iter);

/**
 * ringq_drain - wait until everything that this producer sent has been received
 *
 * Returns 0, or -EAGAIN, -ETIMEDOUT, -EINTR; -EPIPE or -EOWNERDEAD: the receivers are gone,
 * for good, and something is left. A ring that was closed can still be drained.
 */
int ringq_drain(struct ringq_port *port, int64_t timeout);

/**
 * ringq_intact - is what is peeked still as it was?
 * @port: of LOSSY or LATEST.
 *
 * For one who holds messages for long, and would rather stop than go on in vain. What was read
 * before a call that returns 1 was whole. Returns 1, or: -EOVERFLOW some of it is overwritten;
 * -EINVAL nothing is peeked; -ESTALE, -EBADMSG, -EOPNOTSUPP. Wait-free.
 */
int ringq_intact(const struct ringq_port *port);

/* How many messages this LOSSY consumer has lost since it attached; 0 for all other ports. */
uint64_t ringq_lost(const struct ringq_port *port);

/* How many of them the last -EOVERFLOW was for. */
uint64_t ringq_lost_last(const struct ringq_port *port);

/**
 * ringq_lag - how many messages a consumer is behind the newest
 *
 * GATED: sent and not yet released by it. LOSSY: sent since those that it has taken, of those
 * that are for it (struct ringq_attach_opts.stride); it may have lost some of them. LATEST:
 * values sent since the one that it returned last. Right at some moment during the call.
 * Returns a number, or: -EOPNOTSUPP a producer, or another discipline; -ESTALE, -EBADMSG.
 * GATED: takes time in proportion to the number; else wait-free and short.
 */
int64_t ringq_lag(const struct ringq_port *port);

/**
 * struct ringq_glance - a message that is copied later, perhaps
 * @position: its number, as ringq_position() counts.
 *
 * It holds nothing and needs not be given back. It may be assigned, kept, and passed to
 * consumers of the same ring in other threads and processes.
 */
struct ringq_glance {
	uint64_t position;
};

/**
 * ringq_glance - take the next message without copying it
 * @port: of LOSSY or LATEST.
 * @glance: (out) what to read it by, as often as wanted.
 *
 * As far as the port is concerned the message has been received. Returns what ringq_recv()
 * returns.
 */
int ringq_glance(struct ringq_port *port, struct ringq_glance *glance, int64_t timeout);

/**
 * ringq_glance_read - copy the message
 * @port: any consumer of the ring that @glance is from, whatever else it is doing.
 * @msg: elem_size bytes; to be ignored after an error.
 *
 * Returns 1, or: -EOVERFLOW it has been overwritten (not counted by ringq_lost()); -EINVAL no
 * such message has been sent yet; -ESTALE, -EBADMSG, -EOPNOTSUPP. Wait-free.
 */
int ringq_glance_read(const struct ringq_port *port, const struct ringq_glance *glance, void *msg);

/**
 * ringq_latest - the newest value
 * @port: a consumer of LATEST.
 * @msg: elem_size bytes.
 *
 * Whether this port has returned it already or not; ringq_recv() will not return it again. Still
 * there when the producer is gone. Never waits. Returns 1, or: -EAGAIN none was ever sent; -EBUSY
 * one is peeked; -ESTALE, -EBADMSG, -EOPNOTSUPP. Lock-free: it begins again if the producer
 * meanwhile sends as many values as the ring holds, less at most a cache line of them.
 */
int ringq_latest(struct ringq_port *port, void *msg);

/* Of what the last recv or peek returned: a predecessor had been shown it, not released it. */
#define RINGQ_REDELIVERED	(1u << 0)

static inline uint32_t ringq_flags(const struct ringq_port *port)
{
	return port->flags;
}

/*
 * How many messages were sent (received, released) on this ring before this port's next; in
 * LANES, in the lane that the port is in. In a ring of records it is a number of bytes, headers
 * and all.
 */
static inline uint64_t ringq_position(const struct ringq_port *port)
{
	return port->pos;
}

/*
 * LANES. Each producer has a lane, whose number is that of its place; messages of a lane arrive
 * in the order in which they were sent. A producer registers by ringq_attach() and leaves by
 * ringq_detach(), whatever the others do, up to as many as the ring was made for; a successor
 * goes on in the lane behind what is still there. A batch that is received or peeked is of one
 * lane. Of several consumers one at a time reads a lane: for one call, or from peek to release.
 * What it leaves to others, and had peeked, they get flagged as redelivered. A receive that does
 * not wait returns -EAGAIN when all that there is lies in lanes that others are reading.
 * End-of-file comes when the ring has ended, all lanes are empty and nobody has anything in hand.
 *
 * All of these return -EOPNOTSUPP on a port of another discipline or of the wrong role, and the
 * port's error (-ESTALE, -EBADMSG).
 */

/**
 * ringq_lane - a lane's number
 *
 * A producer's own; of a consumer, that of what its last recv or peek returned, or -EAGAIN
 * before that.
 */
int ringq_lane(const struct ringq_port *port);

/**
 * ringq_lane_pending - how many messages wait in a lane
 * @port: a consumer.
 *
 * What is peeked and not released waits. At most the capacity; exact while nobody sends or
 * receives there. Takes time with the logarithm of the number. -EINVAL: no such lane. (A
 * producer's own: ringq_len().)
 */
int64_t ringq_lane_pending(const struct ringq_port *port, uint32_t lane);

/**
 * ringq_hottest - the lane in which most messages wait
 * @port: a consumer.
 * @pending: (out) how many, as ringq_lane_pending() says; may be NULL.
 *
 * Returns its number, or -EAGAIN if all lanes are empty.
 */
int ringq_hottest(const struct ringq_port *port, uint64_t *pending);

/**
 * ringq_recv_from - receive up to n messages of one lane
 *
 * As ringq_recv_many(), but never waits. Returns how many; 0 if the ring has ended and the
 * lane is empty; or -EAGAIN empty, or another consumer is reading it; -EINVAL no such lane, or
 * @n is 0; -EBUSY something is peeked.
 */
int64_t ringq_recv_from(struct ringq_port *port, uint32_t lane, void *msgs, uint64_t n);

/**
 * ringq_reset_skips - pass over no lane in the next round
 *
 * A lane that is found empty again and again is looked at ever more seldom while others are
 * busy, in the end once in 65 rounds. Who knows that a lane has come to life can say so here.
 * Nothing is received later for want of it than when the other lanes are empty. Returns 0.
 */
int ringq_reset_skips(struct ringq_port *port);

/**
 * ringq_len - how many messages there are, for this port
 *
 * A consumer's: those it could receive, and those it has in hand. A producer's: those that it
 * (MPSC, MPMC: that anybody) has sent and nobody has released (several consumers in SPMC, MPMC:
 * nobody has taken, but if it is 0 all are released; GATED, LOSSY, LATEST: the slowest consumer
 * has not). It is exact at some moment during the call, if no other port of the side is at work.
 * A consumer's costs a few loads for each doubling of the number, of lines that the producer may
 * be writing: not for every message; of records, one load for each of them. Returns the number;
 * -ESTALE, -EBADMSG; or -EOPNOTSUPP. So do those that follow.
 */
int64_t ringq_len(const struct ringq_port *port);

/*
 * How many there can be, for this port: the capacity; to a consumer of LANES, that of all. Of
 * records, how many bytes of them, with 8 more for each.
 */
int64_t ringq_capacity(const struct ringq_port *port);

/* How many more there can be: capacity less len. Of records, bytes. */
int64_t ringq_room(const struct ringq_port *port);

/* 1 or 0. A ring of records is full if the largest might not fit. */
int ringq_is_empty(const struct ringq_port *port);
int ringq_is_full(const struct ringq_port *port);

/* 1 if somebody has called ringq_close() on this ring, or 0. */
int ringq_is_closed(const struct ringq_port *port);

/**
 * ringq_is_ended - will this port never send, or receive, anything more?
 *
 * Returns 1 if a producer's send would be told that the ring is closed or the receivers are gone
 * for good, or a consumer's receive that it is at end-of-file; else 0; or -ESTALE, -EBADMSG. It
 * may change to 1 at any time. To be asked by the thread that uses the port: it may peek.
 */
int ringq_is_ended(struct ringq_port *port);

/* 1 if the ring has ended as above and nothing is left in it, of a producer's or for a consumer. */
int ringq_is_drained(struct ringq_port *port);

/**
 * ringq_until - a time-out that ends at a certain time
 * @deadline: of CLOCK_MONOTONIC, as it is in the time namespace of the caller, in nanoseconds;
 *	RINGQ_FOREVER stays that.
 *
 * Returns the time-out for a call that is made now. If the time is past it is the shortest there
 * is, so that the call tries once and says -ETIMEDOUT.
 */
int64_t ringq_until(int64_t deadline);

/**
 * ringq_port_fd - the port's own descriptor, for poll, select, epoll and io_uring
 *
 * A consumer is polled for POLLIN: a receive would not wait; a producer for POLLOUT: a send would
 * not wait. What ends a ring is ready too, so that the next call tells it. On the device also
 * POLLRDHUP closed, POLLHUP the other side is gone for good, POLLERR it has died.
 *
 * Level-triggered: call what you need with RINGQ_NOWAIT when it is ready, and poll again. On memfd
 * and in private memory the descriptor stays ready until a call has found nothing (-EAGAIN), so it
 * may be ready without need; the first time it always is. Who waits for edges (EPOLLET,
 * io_uring's multishot poll) goes on until -EAGAIN, and then calls ringq_arm().
 *
 * When the ring has ended, and another port is about to decide whether anything is left (LANES: it
 * has messages in hand), the descriptor is ready and a call returns -EAGAIN: pause, and try again.
 *
 * Elsewhere than on the device the descriptor is an eventfd, which a thread of the library signals;
 * it starts with the first one in the process and ends with the last, and makes no system call
 * while nothing happens. There may be 127 of them in a process.
 *
 * Returns the descriptor, which is the port's: do not read, write, close or pass it on; -ESTALE.
 * Elsewhere than on the device also -EOPNOTSUPP the kernel has no futex_waitv(2) (Linux 5.16);
 * -EMFILE there are 127, or no descriptor is left; -ENOMEM, -EAGAIN (no thread).
 */
int ringq_port_fd(struct ringq_port *port);

/**
 * ringq_arm - is there something, and if not, let the port's descriptor tell when there is
 *
 * For edges: after a call has found nothing (-EAGAIN), and before the descriptor is waited for.
 * Who polls level-triggered has no need of it. Costs a barrier on the CPUs of the other side,
 * unless the port is armed already, and then makes one of the other side's calls a system call.
 *
 * Returns 1: something may be there, call again; 0: armed; or what ringq_port_fd() returns.
 */
int ringq_arm(struct ringq_port *port);

/**
 * ringq_add_eventfd - have an eventfd of yours raised when the port may have something to do
 * @fd: an eventfd(2), which others may use too; it stays yours, and must stay open until it is
 *	removed or the port is detached. Elsewhere than on the device it must be EFD_NONBLOCK.
 *
 * It is raised by 1 when the port's descriptor (ringq_port_fd()) becomes ready, and perhaps at
 * once; one that is full stays as it is. To wait for it: read it, call what you need until -EAGAIN,
 * then ringq_arm(), and if that returns 0 wait. So one eventfd can serve many ports, and io_uring
 * can read it.
 *
 * Returns 0, or: -EBADF; -EINVAL it is no such eventfd; -EEXIST it is there already; -ENOSPC eight
 * are; -ESTALE; or what ringq_port_fd() returns.
 */
int ringq_add_eventfd(struct ringq_port *port, int fd);

/* It is not raised any more when this returns. 0; -ENOENT it was not there; -EBADF, -ESTALE. */
int ringq_remove_eventfd(struct ringq_port *port, int fd);

/**
 * ringq_next_death - what has died in the ring since this port attached
 * @death: (out) the next one that this port has not been told of; struct ringq_death
 *	(linux/ringq.h) says what it tells, serial 0 never. If one is left out in the serials there
 *	were more than RINGQ_DEATHS between two calls.
 *
 * Each port of a ring is told by itself, also of deaths on its own side; never of its own. A
 * process that leaves (ringq_detach()) has not died. What the dead one left has been put in order
 * when it is told: what is counted as redelivered can be received, what was dropped is room.
 *
 * No call ends for a death but for that of the last port of the other side. To be told at once,
 * poll: every death makes ringq_port_fd() ready, and raises eventfds, of a port that is armed. So
 * after a call has found nothing (-EAGAIN), ask for deaths, and then wait for the descriptor. (On
 * the device it also says POLLPRI as long as there is one to be told of; each death is an edge of
 * it, and armed or not, every port's eventfds are raised.)
 *
 * Of the port's own thread. Does not wait; on the device a system call, elsewhere some loads if
 * there is none. Returns 1; 0: none; -ESTALE the port is detached, or another process's. In private
 * memory nobody dies alone: 0.
 */
int ringq_next_death(struct ringq_port *port, struct ringq_death *death);

/* What this machine offers; filled by ringq_get_machine(). */
struct ringq_machine {
	size_t size;		/* sizeof(struct ringq_machine), set by the caller */
	int32_t device;		/* 0, or why /dev/ringq cannot be used: -ENODEV, -EACCES, -EPROTO */
	uint32_t abi_version;	/* of the module */
	uint32_t layout_version;	/* of the library */
	uint32_t device_layout_version;
	uint64_t device_max_bytes;
	uint64_t device_max_user_bytes;
	uint64_t device_used_bytes;
	uint32_t device_huge_shift;	/* log2 of the huge pages that the module maps, or 0 */
	int32_t membarrier;	/* 0, or why membarrier(2) cannot be used */
	uint64_t hugetlb_free;	/* bytes of free 2 MiB hugetlb pages */
	int32_t memfd_huge;	/* 0, or why memfds cannot be had in huge pages */
	uint32_t reserved;
};

/**
 * ringq_get_machine - what this machine offers
 *
 * Tries each thing out, in milliseconds. Returns 0, or -EINVAL for a bad size.
 */
int ringq_get_machine(struct ringq_machine *machine);

/* A sentence for an error that ringq returned, positive or negative; never NULL. */
const char *ringq_strerror(int error);

/* "device", "memfd", "private", "auto", or "?". */
const char *ringq_memory_name(uint32_t memory);

/* 0 if the ring has this discipline and elements of this size; else, of records too, -EPROTOTYPE. */
int ringq_check(const struct ringq *ring, enum ringq_discipline discipline, size_t elem_size);

#ifdef __cplusplus
}
#endif

/* A program need not use all of them. */
#define RINGQ_TYPED_FN static inline __attribute__((unused))

/**
 * RINGQ_TYPED - a ring whose element and discipline the compiler knows
 * @name: becomes struct name_producer, struct name_consumer and the functions name_*().
 * @type: of an element; it is copied as bytes, and must not hold pointers that the other
 *	side cannot follow.
 * @discipline: spsc, ... as in enum ringq_discipline, in small letters.
 *
 * The functions are those without a type, inlined with the size known: a send of 8 bytes is
 * a dozen instructions. name_attach_producer() and name_attach_consumer() return
 * -EPROTOTYPE if the ring is another. The member port is for the calls that have no type:
 * ringq_detach(&q.port), ringq_close(&q.port), ringq_flags(&q.port).
 */
#define RINGQ_TYPED(name, type, discipline) RINGQ_TYPED_##discipline(name, type)

#define RINGQ_TYPED_spsc(name, type) RINGQ_TYPED_FIFO(name, type, spsc)
#define RINGQ_TYPED_lanes(name, type) RINGQ_TYPED_FIFO(name, type, lanes)

#define RINGQ_TYPED_gated(name, type) RINGQ_TYPED_FIFO(name, type, gated)

#define RINGQ_TYPED_lossy(name, type)							\
RINGQ_TYPED_STREAM(name, type, lossy);							\
RINGQ_TYPED_OVERWRITTEN(name, type)
#define RINGQ_TYPED_mpsc(name, type) RINGQ_TYPED_FIFO(name, type, mpsc)
#define RINGQ_TYPED_spmc(name, type) RINGQ_TYPED_FIFO(name, type, spmc)
#define RINGQ_TYPED_mpmc(name, type) RINGQ_TYPED_FIFO(name, type, mpmc)

/* The discipline has all operations on elements. */
#define RINGQ_TYPED_FIFO(name, type, discipline)					\
RINGQ_TYPED_STREAM(name, type, discipline);						\
RINGQ_TYPED_FN int64_t name##_recv_all(struct name##_consumer *q, type *msgs,		\
				       uint64_t n, int64_t timeout)			\
{											\
	return ringq_recv_all(&q->port, msgs, n, timeout);				\
}											\
RINGQ_TYPED_FN int64_t name##_consume(struct name##_consumer *q, uint64_t max,		\
				      int (*handler)(void *arg, const type *msg),	\
				      void *arg, int64_t timeout)			\
{											\
	uint64_t done = 0, i;								\
	int64_t n;									\
	int enough = 0;									\
											\
	while (done < max && !enough) {							\
		n = name##_peek(q, max - done < RINGQ_SHOWN ? max - done : RINGQ_SHOWN,	\
				done ? RINGQ_NOWAIT : timeout);				\
		if (n <= 0)								\
			return done ? (int64_t)done : n;				\
		if (max == RINGQ_ALL) {							\
			int64_t len = ringq_len(&q->port);				\
											\
			max = len > n ? len : n;					\
		}									\
		for (i = 0; i < (uint64_t)n && !enough; i++)				\
			enough = handler(arg, name##_at(q, i));				\
		name##_release(q, i);							\
		done += i;								\
	}										\
	return max ? (int64_t)done : -EINVAL;						\
}											\
struct name##_producer

/* Those that need not be sure that a message stays as it is while it is looked at. */
#define RINGQ_TYPED_STREAM(name, type, discipline)					\
RINGQ_TYPED_ONE(name, type, discipline);						\
RINGQ_TYPED_FN int64_t name##_send_many(struct name##_producer *q, const type *msgs,	\
				       uint64_t n, int64_t timeout)			\
{											\
	return ringq_##discipline##_send_many(&q->port, msgs, sizeof(type), n, timeout); \
}											\
RINGQ_TYPED_FN int64_t name##_recv_many(struct name##_consumer *q, type *msgs,		\
				       uint64_t n, int64_t timeout)			\
{											\
	return ringq_##discipline##_recv_many(&q->port, msgs, sizeof(type), n, timeout); \
}											\
RINGQ_TYPED_FN int64_t name##_send_all(struct name##_producer *q, const type *msgs,	\
				       uint64_t n, int64_t timeout)			\
{											\
	return ringq_send_all(&q->port, msgs, n, timeout);				\
}											\
struct name##_producer

/* Those on one element, and in place. */
#define RINGQ_TYPED_ONE(name, type, discipline)						\
struct name##_producer {								\
	struct ringq_port port;								\
};											\
struct name##_consumer {								\
	struct ringq_port port;								\
};											\
RINGQ_TYPED_FN int name##_attach_producer(struct ringq *ring, struct name##_producer *q) \
{											\
	int r = ringq_check(ring, ringq_##discipline##_id, sizeof(type));		\
											\
	return r < 0 ? r : ringq_attach(ring, RINGQ_PRODUCER, &q->port);		\
}											\
RINGQ_TYPED_FN int name##_attach_consumer(struct ringq *ring, struct name##_consumer *q) \
{											\
	int r = ringq_check(ring, ringq_##discipline##_id, sizeof(type));		\
											\
	return r < 0 ? r : ringq_attach(ring, RINGQ_CONSUMER, &q->port);		\
}											\
RINGQ_TYPED_FN int name##_send(struct name##_producer *q, const type *msg, int64_t timeout) \
{											\
	return ringq_##discipline##_send(&q->port, msg, sizeof(type), timeout);		\
}											\
RINGQ_TYPED_FN int name##_reserve(struct name##_producer *q, uint64_t n, int64_t timeout) \
{											\
	return ringq_##discipline##_reserve(&q->port, sizeof(type), n, timeout);	\
}											\
RINGQ_TYPED_FN type *name##_room(const struct name##_producer *q, uint64_t i)		\
{											\
	return (type *)ringq_##discipline##_at(&q->port, sizeof(type), i, NULL);	\
}											\
RINGQ_TYPED_FN int name##_commit(struct name##_producer *q, uint64_t n)			\
{											\
	return ringq_##discipline##_commit(&q->port, sizeof(type), n);			\
}											\
RINGQ_TYPED_FN int name##_recv(struct name##_consumer *q, type *msg, int64_t timeout)	\
{											\
	return ringq_##discipline##_recv(&q->port, msg, sizeof(type), timeout);		\
}											\
RINGQ_TYPED_FN int64_t name##_peek(struct name##_consumer *q, uint64_t n, int64_t timeout) \
{											\
	return ringq_##discipline##_peek(&q->port, sizeof(type), n, timeout);		\
}											\
RINGQ_TYPED_FN const type *name##_at(const struct name##_consumer *q, uint64_t i)	\
{											\
	return (const type *)ringq_##discipline##_at(&q->port, sizeof(type), i, NULL);	\
}											\
RINGQ_TYPED_FN int name##_release(struct name##_consumer *q, uint64_t n)		\
{											\
	return ringq_##discipline##_release(&q->port, sizeof(type), n);			\
}											\
RINGQ_TYPED_FN int64_t name##_skip(struct name##_consumer *q, uint64_t n, int64_t timeout) \
{											\
	return ringq_skip(&q->port, n, timeout);					\
}											\
struct name##_producer

/* What may be overwritten while it is read. */
#define RINGQ_TYPED_OVERWRITTEN(name, type)						\
RINGQ_TYPED_FN int name##_glance(struct name##_consumer *q, struct ringq_glance *glance, \
				 int64_t timeout)					\
{											\
	return ringq_glance(&q->port, glance, timeout);					\
}											\
RINGQ_TYPED_FN int name##_glance_read(const struct name##_consumer *q,			\
				      const struct ringq_glance *glance, type *msg)	\
{											\
	return ringq_glance_read(&q->port, glance, msg);				\
}											\
RINGQ_TYPED_FN int64_t name##_consume(struct name##_consumer *q, uint64_t max,		\
				      int (*handler)(void *arg, const type *msg),	\
				      void *arg, int64_t timeout)			\
{											\
	int64_t r = max ? 1 : -EINVAL, len;						\
	uint64_t done = 0;								\
	int enough = 0;									\
	type copy;									\
											\
	while (done < max && !enough) {							\
		r = name##_recv(q, &copy, done ? RINGQ_NOWAIT : timeout);		\
		if (r <= 0)								\
			break;								\
		done++;									\
		if (max == RINGQ_ALL) {							\
			len = ringq_len(&q->port);					\
			max = done + (len > 0 ? len : 0);				\
		}									\
		enough = handler(arg, &copy);						\
	}										\
	return done ? (int64_t)done : r;						\
}											\
struct name##_producer

#define RINGQ_TYPED_latest(name, type)							\
RINGQ_TYPED_ONE(name, type, latest);							\
RINGQ_TYPED_OVERWRITTEN(name, type);							\
RINGQ_TYPED_FN int name##_latest(struct name##_consumer *q, type *msg)			\
{											\
	return ringq_latest(&q->port, msg);						\
}											\
struct name##_producer

#define ringq_spsc_id RINGQ_SPSC
#define ringq_gated_id RINGQ_GATED
#define ringq_lossy_id RINGQ_LOSSY
#define ringq_latest_id RINGQ_LATEST
#define ringq_lanes_id RINGQ_LANES
#define ringq_mpsc_id RINGQ_MPSC
#define ringq_spmc_id RINGQ_SPMC
#define ringq_mpmc_id RINGQ_MPMC

#endif /* RINGQ_H */
