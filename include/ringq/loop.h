/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * A loop: a thread of the library that receives from a port, and shows each message to a handler.
 *
 *     static int on_quote(void *arg, const void *msg, size_t size, uint32_t flags)
 *     {
 *             ...
 *             return 0;
 *     }
 *
 *     struct ringq_loop_opts opts = { .size = sizeof(opts), .handler = on_quote };
 *     struct ringq_loop *loop;
 *
 *     ringq_attach(ring, RINGQ_CONSUMER, &port);
 *     ringq_loop_start(&port, &opts, &loop);
 *     ...
 *     ringq_loop_stop(loop);
 *     r = ringq_loop_join(loop, NULL, RINGQ_FOREVER);
 *     ringq_detach(&port);
 *
 * The port is any consumer: of every discipline, of elements or of records, in every memory. From
 * ringq_loop_start() to ringq_loop_join() the thread is the one that uses it; afterwards it is the
 * caller's again, and what was not handled is still there, for him or for a successor.
 *
 * Who has a loop of his own (libuv, libevent, GLib, sd-event, io_uring, plain poll) has no need of
 * this thread: ringq_port_fd() fits into that. tools/examples/loop_*.c has a program for each, and
 * loop_thread.c for this.
 *
 * The handler sees messages where they lie, a batch at a time, and they are released when all of
 * the batch have been handled, or the loop ends. If the process dies in between, a successor gets
 * the batch once more, flagged. LOSSY and LATEST: it sees a copy of each, which is whole.
 *
 * The thread waits as its port does (enum ringq_strategy). If that sleeps, it takes the port's
 * descriptor; otherwise it looks by itself whether to stop, with SLEEP after a millisecond at most.
 *
 * What ends it: a stop, a drain that is done, the handler, end-of-file, or an error, whichever
 * comes first; ringq_loop_join() tells which. A thread that sleeps is woken by a stop as it is by a
 * message: in one poll(2), on the port's descriptor and on one of the loop's own, that becomes
 * readable at the first stop or drain and stays so. There is no time-out in it.
 *
 *     who stops                               the thread
 *   L1  note what is asked (release)        T1  load what is asked (acquire)
 *   L2  make the loop's descriptor ready    T2  the ring is empty: armed (lib/bridge.c, or T3)
 *                                           T3  poll both, without limit
 *
 * If T1 comes too early to see L1, T3 finds L2 or is woken by it.
 *
 * The thread also tells who has died in the ring, if a function for that is given: it looks at the
 * ring's epoch, one load, before each batch, and after it has armed, and asks only when that has
 * changed; a death wakes it; and it asks once more at end-of-file. (A death is in the log before
 * the epoch changes.) What it has not told when it ends otherwise the port is told later.
 *
 * The thread is as one that the caller starts, but has all signals blocked.
 */
#ifndef RINGQ_LOOP_H
#define RINGQ_LOOP_H

#include <ringq/port.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* No message, but messages that this LOSSY consumer has lost. */
#define RINGQ_LOOP_LOST		(1u << 16)

/**
 * ringq_loop_handler - what the thread calls for each message
 * @arg: ringq_loop_opts.arg.
 * @msg: to be read until this returns; aligned as in an array of its type.
 * @size: its bytes.
 * @flags: RINGQ_REDELIVERED, or 0. Or RINGQ_LOOP_LOST: @msg is NULL, and @size messages were
 *	overwritten since the last time this was said, before this consumer had them.
 *
 * Runs in the loop's thread, one call at a time. May use any port but the loop's, of which it may
 * ask what reads it only (ringq_lane(), ringq_lost()), or set the strategy; may stop the loop. Must
 * return: not by longjmp(3), not by ending the thread. Returns 0 to go on; anything else: this
 * message is done with, and was the last.
 */
typedef int ringq_loop_handler(void *arg, const void *msg, size_t size, uint32_t flags);

/**
 * ringq_loop_mourner - what the thread calls for each death in the ring
 * @arg: ringq_loop_opts.arg.
 * @death: what ringq_next_death() has told; to be read until this returns.
 *
 * As a ringq_loop_handler: between two messages or batches, in the same thread, by the same rules.
 * Returns 0 to go on; anything else ends the loop (RINGQ_LOOP_ENOUGH).
 */
typedef int ringq_loop_mourner(void *arg, const struct ringq_death *death);

/**
 * struct ringq_loop_opts - what the loop is to do
 * @size: sizeof(struct ringq_loop_opts). A larger one is accepted if the rest is zero (-E2BIG).
 * @handler: must be given.
 * @arg: for it.
 * @batch: how many messages to take in hand at a time, 1 to RINGQ_SHOWN; 0: RINGQ_SHOWN. As many
 *	come twice if the process dies, are kept from other consumers of MPMC and the like, and are
 *	no room yet for the producer.
 * @reserved: 0.
 * @on_death: NULL: nobody wants to know. The loop takes what ringq_next_death() would have told.
 */
struct ringq_loop_opts {
	size_t size;
	ringq_loop_handler *handler;
	void *arg;
	uint32_t batch;
	uint32_t reserved;
	ringq_loop_mourner *on_death;
};

/* How a loop that has met with no error has ended. */
enum ringq_loop_end {
	RINGQ_LOOP_EOF = 0,	/* the ring has ended, and nothing is left in it */
	RINGQ_LOOP_STOPPED = 1,
	RINGQ_LOOP_DRAINED = 2,
	RINGQ_LOOP_ENOUGH = 3,	/* said the handler */
};

struct ringq_loop;

/**
 * ringq_loop_start - have a thread receive from a port
 * @port: a consumer; not to be used, nor detached, before ringq_loop_join() has returned.
 * @opts: is not needed afterwards.
 * @loop: (out) ringq_loop_join() ends its use.
 *
 * Returns 0, or: -EINVAL no handler, a batch too large; -E2BIG options from the
 * future; -EOPNOTSUPP the port is a producer; -ESTALE, -EBADMSG; -ENOMEM; -EMFILE, -ENFILE no
 * descriptor is left; -EAGAIN no thread; and if the port sleeps, what ringq_port_fd() returns.
 */
int ringq_loop_start(struct ringq_port *port, const struct ringq_loop_opts *opts,
		     struct ringq_loop **loop);

/**
 * ringq_loop_stop - end it after the message that is being handled
 *
 * Returns at once: when the thread has noticed, ringq_loop_join() returns. At most one more
 * message is shown after this has returned. What was in hand and has not been shown stays in the
 * ring. May be called by any thread, by the handler, and by a signal handler; more than once; and
 * after ringq_loop_drain(). Returns 0, or -ESTALE: the loop is the parent process's.
 */
int ringq_loop_stop(struct ringq_loop *loop);

/**
 * ringq_loop_drain - end it when all is handled that is there
 *
 * Not what is sent after the thread has noticed: so it ends though the producers go on. What was
 * sent before this call is handled, unless the ring does not give it (another consumer has it; a
 * message before it is not written yet, in MPMC and the like; a LOSSY ring has overwritten it), or
 * something else ends the loop. Otherwise as ringq_loop_stop().
 */
int ringq_loop_drain(struct ringq_loop *loop);

/* How many messages have been handled. Whoever reads it sees what the handler did for them. */
uint64_t ringq_loop_handled(const struct ringq_loop *loop);

/**
 * ringq_loop_join - wait for the end of the thread
 * @handled: (out) as ringq_loop_handled(); may be NULL.
 *
 * Does not stop it. Is not interrupted by signals. Returns enum ringq_loop_end, or the error of
 * the receive that ended it, and the loop is gone, the port the caller's again. But it is still
 * there, and running, after -EAGAIN (RINGQ_NOWAIT), -ETIMEDOUT, and -EDEADLK: this is its own
 * thread. In a forked child the loop is the parent's: -ESTALE, and its memory here is given back.
 */
int ringq_loop_join(struct ringq_loop *loop, uint64_t *handled, int64_t timeout);

#ifdef __cplusplus
}
#endif

#endif /* RINGQ_LOOP_H */
