/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * The ABI of /dev/ringq: rings in memory that processes share, and the things
 * about them that only a kernel can do: sleeping and waking, knowing that a
 * peer has died, and deciding who may attach.
 *
 * An open file of the device starts unbound. One ioctl binds it, once and for
 * all, to be
 *
 *   a handle   RINGQ_IOC_CREATE makes a ring, RINGQ_IOC_OPEN finds one, by its
 *              name or by another handle. A handle keeps the ring alive and lets
 *              its holder make ports of the roles in its mask. It may be passed
 *              to another process over a socket: that is how a right is given.
 *              A handle cannot be mapped.
 *
 *   a port     RINGQ_IOC_ATTACH, given a handle's descriptor. A port belongs to
 *              the process that attached it and to nobody else. Its file is what
 *              is mapped, polled, slept on and closed.
 *
 * The ring lives as long as a handle, a port, or a mapping of a port does; then
 * its memory and its name are gone. Nothing else has to be cleaned up.
 *
 * A port's life: attached; live from its first mmap(2); dead when its last
 * mapping has gone without RINGQ_IOC_DETACH (the process was killed, exited,
 * called exec, or unmapped it), for then nobody can store through it any more
 * and all that was stored is visible. Closing an attached file that was never
 * mapped is a departure, not a death. A port does not come back: mmap of a dead
 * or detached one is -ESTALE.
 *
 * Every struct begins with its own size in bytes. A kernel that knows a smaller
 * struct accepts a larger one if the part it does not know is zero, and says
 * -E2BIG otherwise; fields that an older caller does not send read as zero.
 * Reserved fields and unknown flags must be zero (-EINVAL). Fields marked (out)
 * are written by the kernel if the caller's size covers them.
 *
 * Errors of every ioctl: -EFAULT a bad pointer, -EINVAL a bad size, flag or
 * value, -E2BIG an unknown non-zero tail, -ENOTTY no such ioctl, -EBADFD the file
 * is not of the kind that this ioctl wants (unbound, handle, port), -ESTALE the
 * port is dead or detached, -EPERM the port is another process's.
 */
#ifndef _UAPI_LINUX_RINGQ_H
#define _UAPI_LINUX_RINGQ_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define RINGQ_DEVICE_PATH	"/dev/ringq"

/* The version of this ABI. It grows by new ioctls, flags and struct tails. */
#define RINGQ_ABI_VERSION	1

/* The version of the shared memory's layout (ringq/layout.h). */
#define RINGQ_LAYOUT_VERSION	1

/* Bytes of a name with its terminating zero; a name has 1 to 63 bytes, no '/', no control bytes. */
#define RINGQ_NAME_SIZE		64

/* Who may share a ring, and in which order messages leave it. */
enum ringq_discipline {
	RINGQ_SPSC = 1,		/* one producer, one consumer, FIFO */
	RINGQ_MPSC = 2,		/* several producers, one consumer, one FIFO */
	RINGQ_SPMC = 3,		/* one producer, several consumers, each message to one of them */
	RINGQ_MPMC = 4,		/* several of both, one FIFO, each message to one consumer */
	RINGQ_LANES = 5,	/* several of both, FIFO for each producer, which has a lane */
	RINGQ_GATED = 6,	/* one producer, every consumer gets all; waits for the slowest */
	RINGQ_LOSSY = 7,	/* one producer, never waits; who is too slow learns what he lost */
	RINGQ_LATEST = 8,	/* one producer, never waits; consumers get the newest value */
};

/* How messages and stamps lie in memory; ringq/layout.h has the pictures. */
enum ringq_shape {
	RINGQ_SHAPE_LINE = 1,	/* the elements of a cache line share it with one stamp */
	RINGQ_SHAPE_APART = 2,	/* elements of several lines, their stamps packed elsewhere */
	RINGQ_SHAPE_SLOT = 3,	/* each element has its own stamp beside it */
	RINGQ_SHAPE_RECORDS = 4, /* messages of any size, a header before each */
};

/* What a port does. A port has one role; who wants both attaches twice. */
enum ringq_role {
	RINGQ_PRODUCER = 0,
	RINGQ_CONSUMER = 1,
};

#define RINGQ_ROLE_MASK(role)	(1u << (role))
#define RINGQ_ROLES_ALL		(RINGQ_ROLE_MASK(RINGQ_PRODUCER) | RINGQ_ROLE_MASK(RINGQ_CONSUMER))

/*
 * What the ring does when the last port of a side is gone, by leaving or by
 * death. Without the flag that is the end: producers get -EPIPE or -EOWNERDEAD,
 * consumers get what was committed and then end-of-file. With it the ring waits
 * for a successor, who goes on exactly where the predecessor stopped. In the
 * broadcasts (GATED, LOSSY, LATEST) consumers come and go, and their side never
 * ends; there RINGQ_CONSUMER_WAIT says of GATED that the place of a dead consumer
 * is kept: the producer waits for a successor as it did for that one. A side that
 * has ended is refused to who comes (RINGQ_IOC_ATTACH: -EPIPE).
 */
#define RINGQ_PRODUCER_WAIT	(1u << 0)
#define RINGQ_CONSUMER_WAIT	(1u << 1)

/*
 * Every publication is followed by a full fence, and no sleeper interrupts other
 * CPUs: for machines and threads that must not be interrupted. The kernel adds
 * this flag where it cannot name the CPUs of the other side.
 */
#define RINGQ_FENCE		(1u << 2)

/*
 * What a consumer that has died had in hand is dropped, and its room comes back at once: at most
 * once, where without the flag it comes again, flagged: at least once. In hand is what it had
 * taken (in order: had been shown in place) and not released. A consumer that leaves drops
 * nothing. No matter in the broadcasts, where nothing comes again, but for GATED with
 * RINGQ_CONSUMER_WAIT.
 */
#define RINGQ_DROP		(1u << 3)

#define RINGQ_GEOMETRY_FLAGS \
	(RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT | RINGQ_FENCE | RINGQ_DROP)

/* Ports of one side, at most. */
#define RINGQ_SIDE_MAX		256

/**
 * struct ringq_geometry - what fixes the place of every byte of a ring
 * @discipline: enum ringq_discipline.
 * @shape: enum ringq_shape. Elements of 1 to 56 bytes: SLOT in MPSC, SPMC and MPMC, LINE in
 *	the others; larger ones: APART. RECORDS in SPSC, LANES, GATED and LOSSY.
 * @elem_size: bytes of an element, 1 to 2^30; RECORDS: of the largest message, at most half of
 *	the capacity less 32.
 * @flags: RINGQ_PRODUCER_WAIT, RINGQ_CONSUMER_WAIT, RINGQ_FENCE, RINGQ_DROP.
 * @capacity: elements, of each lane. LINE: (56 / elem_size) << m; SLOT and APART: 1 << m;
 *	m at least 1 in LOSSY and LATEST.
 *	RECORDS: bytes, 1 << m, and at least 1 << bulk_shift.
 * @first: position of the first message, below 2^60; 0 unless a test wants otherwise. RECORDS:
 *	a multiple of 8.
 * @producers: how many there may be at a time, 1 to 256; 1 but in MPSC, MPMC and LANES.
 * @consumers: likewise; 1 in SPSC and MPSC.
 * @unit_shift: control sections begin at multiples of 1 << unit_shift bytes: 12
 *	in memory with page permissions, 7 in memory that has none to give.
 * @bulk_shift: the stamps and data begin at a multiple of 1 << bulk_shift bytes
 *	and the whole ends at one: 21 for huge pages, else equal to @unit_shift.
 *
 * The kernel takes a geometry only if it is exact; rounding is the library's
 * part. The total size, which follows from it, is at most 2^40 bytes.
 */
struct ringq_geometry {
	__u32 discipline;
	__u32 shape;
	__u32 elem_size;
	__u32 flags;
	__u64 capacity;
	__u64 first;
	__u32 producers;
	__u32 consumers;
	__u32 unit_shift;
	__u32 bulk_shift;
};

/**
 * struct ringq_ioc_info - what this kernel offers
 * @size: sizeof(struct ringq_ioc_info).
 * @abi_version: (out) RINGQ_ABI_VERSION of the module.
 * @layout_version: (out) RINGQ_LAYOUT_VERSION of the module.
 * @huge_shift: (out) log2 of the huge page size it can map, or 0.
 * @features: (out) RINGQ_FEATURE_ bits.
 * @max_bytes: (out) bytes that all rings together may take.
 * @max_user_bytes: (out) bytes that the rings of one user may take.
 * @used_bytes: (out) bytes that all rings take now.
 *
 * Works on any file of the device, in any state.
 */
struct ringq_ioc_info {
	__u32 size;
	__u32 abi_version;
	__u32 layout_version;
	__u32 huge_shift;
	__u64 features;
	__u64 max_bytes;
	__u64 max_user_bytes;
	__u64 used_bytes;
};

/* The barrier on other CPUs is to be had; without it every ring is RINGQ_FENCE. */
#define RINGQ_FEATURE_BARRIER	(1ull << 0)
/* RINGQ_URING_CMD_WAIT is to be had. */
#define RINGQ_FEATURE_URING_CMD	(1ull << 1)

/* Flags of RINGQ_IOC_CREATE. */
#define RINGQ_CREATE_OR_OPEN	(1u << 0)	/* if the name is taken, open that ring */
#define RINGQ_CREATE_HUGE	(1u << 1)	/* huge pages for the data, with fallback */
#define RINGQ_CREATE_HUGE_ONLY	(1u << 2)	/* huge pages, or -ENOMEM */

/**
 * struct ringq_ioc_create - make a ring; the unbound file becomes its handle
 * @size: sizeof(struct ringq_ioc_create).
 * @flags: RINGQ_CREATE_ flags; HUGE and HUGE_ONLY want geometry.bulk_shift 21,
 *	without them it is 12.
 * @geometry: in, exact, unit_shift 12. (out) as the ring has it: the kernel may
 *	add RINGQ_FENCE; with OR_OPEN it is that of the ring that was found.
 * @name: zero-terminated, zero-padded; empty for a ring without a name. Names are
 *	those of the caller's network namespace, as with abstract unix sockets.
 * @mode: permission bits of those who open by name, as of a file owned by the
 *	caller's effective uid and gid: r lets attach consumers, w producers.
 * @node: NUMA node, or -1 for the caller's.
 * @page_shift: (out) log2 of the smallest page that holds data.
 * @created: (out) 1 if the ring was made, 0 if OR_OPEN found it.
 * @total: (out) bytes to map, from offset 0.
 * @id: (out) the ring's random identity.
 *
 * -EFBIG the ring would be larger than 2^40 bytes; -EEXIST the name is taken;
 * -EACCES (OR_OPEN) the ring's mode gives no role; -ENOMEM no memory; -EDQUOT the
 * user's or the module's limit is reached; -EINTR a signal came while another
 * process was making the ring (restarted if the handler says so).
 */
struct ringq_ioc_create {
	__u32 size;
	__u32 flags;
	struct ringq_geometry geometry;
	char name[RINGQ_NAME_SIZE];
	__u32 mode;
	__s32 node;
	__u32 page_shift;
	__u32 created;
	__u64 total;
	__u8 id[16];
};

/**
 * struct ringq_ioc_open - find a ring; the unbound file becomes a handle of it
 * @size: sizeof(struct ringq_ioc_open).
 * @flags: zero.
 * @fd: a handle to derive from, or -1 to look for @name.
 * @roles: mask of roles wanted, RINGQ_ROLE_MASK(); 0 means all that may be had.
 *	(out) the roles that this handle gives: with @fd those of both handles, by
 *	name those that the ring's mode gives the caller.
 * @name: as in struct ringq_ioc_create; empty with @fd.
 * @geometry: (out)
 * @page_shift: (out) as in struct ringq_ioc_create.
 * @uid: (out) the creator's uid, in the caller's user namespace.
 * @total: (out) bytes to map, from offset 0.
 * @id: (out) the ring's random identity.
 *
 * -ENOENT no ring of that name; -EACCES a role was wanted that the mode or the
 * other handle does not give, or none is left; -EBADF @fd is no descriptor;
 * -EBADFD @fd is no handle; -EINTR a signal came while the ring was being made.
 */
struct ringq_ioc_open {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 roles;
	char name[RINGQ_NAME_SIZE];
	struct ringq_geometry geometry;
	__u32 page_shift;
	__u32 uid;
	__u64 total;
	__u8 id[16];
};

/* Flags of RINGQ_IOC_ATTACH. */
#define RINGQ_ATTACH_PLACE	(1u << 0)	/* that of @port and no other */
#define RINGQ_ATTACH_LOCK	(1u << 1)	/* with the attach lock: RINGQ_IOC_LOCK */

/**
 * struct ringq_ioc_attach - take a place at a ring; the unbound file becomes a port
 * @size: sizeof(struct ringq_ioc_attach).
 * @flags: RINGQ_ATTACH_ flags.
 * @fd: a handle of the ring.
 * @role: enum ringq_role.
 * @port: number of the place among those of its role, from 0. In with RINGQ_ATTACH_PLACE,
 *	else the kernel gives the first free one, kept ones before others. (out)
 * @generation: (out) how often that place was taken before, plus one.
 *
 * -EBUSY the place, or all places of the role, are taken by live ports, or, in MPSC, SPMC
 * and MPMC, by dead ones whose claims cannot be put in order yet, because a live port is
 * in the middle of one (they are seen as live until then); -EINVAL there is no such
 * place; -EACCES the handle does not give the role; -EPIPE that side of the ring has
 * ended (see RINGQ_PRODUCER_WAIT), or the ring is closed and a producer is no more
 * wanted; -EINTR (RINGQ_ATTACH_LOCK) a signal came while another held the lock.
 *
 * Who is attached can be seen in the attention page (struct ringq_attention), which the
 * kernel alone writes. With RINGQ_ATTACH_LOCK the port is seen there only once it has
 * the attach lock, so that whoever holds the lock meets no newcomer.
 *
 * In a GATED ring the new consumer's @done is set to that of the producer before it is
 * seen; the producer waits for it from then on. But if the place was kept for a
 * successor, the new consumer goes on at the old @done. A successor that goes before it
 * has mapped anything leaves the place kept.
 *
 * What may be mapped through a port: any range of [0, total), shared, at a
 * multiple of the page size. Writable only within one of these: the section of
 * the port's own role (producers or consumers, in LANES with the words of the
 * lanes), the port's own page, and the bulk, stamps and data, if the port is a
 * producer, or a consumer of SPMC or MPMC, which frees by stamps. The same range
 * may be mapped again, so that a row of bytes that wraps around is contiguous.
 * Everything else is for reading and stays so: a later mprotect(PROT_WRITE)
 * fails. Nothing can be executed, split, grown, moved to another size, or
 * inherited over fork. -EACCES it would be writable where it may not, or
 * executable; -EINVAL it is private or beyond the end; -EPERM not the process
 * that attached; -EBADFD not a port; -ESTALE.
 */
struct ringq_ioc_attach {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 role;
	__u32 port;
	__u32 generation;
};

/**
 * struct ringq_ioc_wait - sleep until there is something to do
 * @size: sizeof(struct ringq_ioc_wait).
 * @flags: zero or RINGQ_WAIT_DRAIN.
 * @timeout_ns: nanoseconds from now, 0 to only look, negative for no limit.
 * @need: elements wanted: published ones (consumer) or free ones (producer), 1 to
 *	capacity. RECORDS: a consumer waits for one record; a producer for so many free
 *	bytes, or if it is 1, as poll(2) does, for room for the largest record.
 * @events: (out) RINGQ_EVENT_ bits that hold now.
 *
 * The port says how far it is in shared memory, where ringq/ready.h looks: in its own
 * page (struct ringq_port_page), a consumer of LANES in the words of the lane. Whoever
 * calls this has stored @done, and @hand while something is peeked, before.
 *
 * Returns 0 when an event holds, also one that is not wanted (the ring was
 * closed). -ETIMEDOUT; -EINTR a signal came, with a time-out given; without one
 * the call is restarted if the handler says so.
 *
 * A port is used by one thread at a time: a second sleeper on it gets -EBUSY.
 */
struct ringq_ioc_wait {
	__u32 size;
	__u32 flags;
	__s64 timeout_ns;
	__u64 need;
	__u32 events;
	__u32 reserved;
};

/*
 * Do not return because the ring is closed: for a producer who waits, with @need equal to
 * the capacity, until everything that it has sent is released.
 */
#define RINGQ_WAIT_DRAIN	(1u << 0)

#define RINGQ_EVENT_READY	(1u << 0)	/* @need elements are there */
#define RINGQ_EVENT_CLOSED	(1u << 1)	/* the ring is closed */
#define RINGQ_EVENT_GONE	(1u << 2)	/* the other side has left and will not come back */
#define RINGQ_EVENT_DEAD	(1u << 3)	/* the other side has died and will not come back */

/*
 * Wake sleepers of the port's own side: there is more than it took, or something else
 * that it does not take itself. Who sleeps on the own side can be seen in the attention
 * word that the other side reads. It is to be loaded after a full fence, because no
 * barrier on this CPU is made for a sleeper of the own side.
 */
#define RINGQ_KICK_OWN		(1u << 0)

/**
 * struct ringq_ioc_kick - wake sleepers of the other side
 * @size: sizeof(struct ringq_ioc_kick).
 * @flags: zero or RINGQ_KICK_OWN.
 * @count: how many ports that are in RINGQ_IOC_WAIT; as many as messages were published
 *	or freed, or more if each is for all.
 * @woken: (out) how many this woke.
 *
 * Called by a port that has published (or freed) something and then has seen the
 * attention word of its side non-zero; never needed otherwise. Who has waited for
 * longest is woken first. Whom it does not help, because his @need is not there, hands
 * it on to the next, who was waiting when it came. All pollers of the other side are
 * woken as well.
 */
struct ringq_ioc_kick {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 woken;
};

/* Eventfds that may be attached to a port at a time. */
#define RINGQ_EVENTFDS		8

/* Take the eventfd off again. */
#define RINGQ_EVENTFD_DETACH	(1u << 0)

/**
 * struct ringq_ioc_eventfd - have an eventfd signalled when a port may have something to do
 * @size: sizeof(struct ringq_ioc_eventfd).
 * @flags: zero or RINGQ_EVENTFD_DETACH.
 * @fd: an eventfd of any kind, also one that others use, or wait for in another process.
 * @reserved: zero.
 *
 * An attached eventfd's counter is raised by 1, without ever waiting,
 *   - at once, if poll(2) on the port would report anything; if not, the port is armed;
 *   - when a kick disarms the port;
 *   - whether it is armed or not: when the ring is closed; when a port of the ring, this one
 *     too, leaves or dies; and when what a dead one left has been put in order.
 * A counter that is full stays so, and polls with EPOLLERR, see eventfd(2). What the eventfd
 * tells is that the port is to be looked at; there may be nothing. See "Edges" below for how
 * the port is armed again.
 *
 * Attached is the eventfd, not the descriptor: it stays so when that is closed, until it is
 * detached through any descriptor of it or the port is over. A detached one is not signalled any
 * more when the call returns.
 *
 * -EBADF @fd is no descriptor; -EINVAL it is no eventfd; -EEXIST it is attached already; -ENOSPC
 * RINGQ_EVENTFDS others are; -ENOENT (DETACH) it is not attached.
 */
struct ringq_ioc_eventfd {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 reserved;
};

/* Flags of struct ringq_ioc_port. */
#define RINGQ_IS_ASLEEP		(1u << 0)	/* in RINGQ_IOC_WAIT */
#define RINGQ_IS_POLLED		(1u << 1)	/* armed by who polls it */
#define RINGQ_IS_KEPT		(1u << 2)	/* GATED: the producer waits for a successor */

#define RINGQ_NO_LANE		(~0u)

/**
 * struct ringq_ioc_port - how a place at the ring is taken, and what its port holds
 * @size: sizeof(struct ringq_ioc_port).
 * @flags: in, zero. (out) RINGQ_IS_ flags.
 * @role: enum ringq_role.
 * @port: number of the place among those of its role.
 * @state: (out) enum ringq_port_state (ringq/layout.h): never taken, live, left, dead, or dead and
 *	not yet put in order.
 * @generation: (out) how often the place was taken.
 * @pid: (out) the process that attached last, as the caller sees it; 0: it is not seen from the
 *	caller's pid namespace. Of a port that is not live it may be another process's by now.
 * @claim: (out) MPSC, SPMC, MPMC: the state of its claim (ringq/claim.h), else 0.
 * @lane: (out) LANES: that of a producer; that in which a consumer reads, or else holds something;
 *	RINGQ_NO_LANE: none.
 * @reserved: (out) 0.
 * @attached_ns: (out) when it attached, of the caller's CLOCK_MONOTONIC.
 * @position: (out) how far it is.
 * @held: (out) how many positions are in its hands: claimed by a producer and not published; taken
 *	by a consumer and not released. 0 if the port is neither live nor not yet put in order.
 * @held_at: (out) the first of them.
 * @waiting: (out) what was sent and is not released, as far as it concerns this port.
 * @tombs: (out) if it is dead and in order, what became of what it had, as in struct ringq_death;
 *	else 0. So @redelivered and @dropped.
 *
 * ringq/holds.h says how it is found out. Ports go on meanwhile: what is told of one that is at
 * work may never have been true as a whole. What they say of themselves in shared memory is
 * theirs: a port that lies is told of as it lies.
 *
 * On a handle, whatever its roles, or a port of the calling process. Whoever has one could map a
 * port and read all of this but the pid. -EINVAL there is no such place.
 */
struct ringq_ioc_port {
	__u32 size;
	__u32 flags;
	__u32 role;
	__u32 port;
	__u32 state;
	__u32 generation;
	__u32 pid;
	__u32 claim;
	__u32 lane;
	__u32 reserved;
	__u64 attached_ns;
	__u64 position;
	__u64 held;
	__u64 held_at;
	__u64 waiting;
	__u64 tombs;
	__u64 redelivered;
	__u64 dropped;
};

/**
 * struct ringq_ioc_list - the rings that have names
 * @size: sizeof(struct ringq_ioc_list).
 * @flags: zero.
 * @name: in, a name, which need not be any ring's, or empty. (out) the first name after it, byte by
 *	byte, in the caller's network namespace.
 * @geometry: (out)
 * @uid: (out) the creator's uid, in the caller's user namespace.
 * @mode: (out) permission bits.
 * @roles: (out) the roles that the caller would get by this name; may be none.
 * @producers: (out) how many ports are live.
 * @consumers: (out) likewise.
 * @page_shift: (out) as in struct ringq_ioc_create.
 * @total: (out) bytes of the ring.
 * @id: (out) its random identity.
 *
 * Works on any file of the device, in any state. All names are told, also those of rings that are
 * not for the caller: like those of files in a directory, and of abstract unix sockets, they are no
 * secret in their namespace. A ring that is just being made is not told of.
 *
 * -ENOENT there is no name after that one; -EINVAL @name is none, and not empty.
 */
struct ringq_ioc_list {
	__u32 size;
	__u32 flags;
	char name[RINGQ_NAME_SIZE];
	struct ringq_geometry geometry;
	__u32 uid;
	__u32 mode;
	__u32 roles;
	__u32 producers;
	__u32 consumers;
	__u32 page_shift;
	__u64 total;
	__u8 id[16];
};

/**
 * struct ringq_uring_wait - what a command of io_uring waits for
 * @need: as in struct ringq_ioc_wait.
 * @flags: zero or RINGQ_WAIT_DRAIN.
 * @reserved: zero.
 *
 * IORING_OP_URING_CMD on a port, with cmd_op RINGQ_URING_CMD_WAIT and this struct in the sqe's
 * cmd, asks what RINGQ_IOC_WAIT asks, and completes when that would return. The completion's
 * res is the RINGQ_EVENT_ bits that hold, or an error:
 *
 * -EOPNOTSUPP this kernel could not cancel the command, so it does not begin it (see
 * RINGQ_FEATURE_URING_CMD; a poll on the port's file does everywhere); -EBUSY another one is
 * pending on this port: there is one at a time; -ECANCELED the ring of io_uring that it came
 * by was closed, its thread has called exec, or RINGQ_URING_CMD_CANCEL; -ENOTTY another cmd_op;
 * -EINVAL, -EBADFD, -EPERM, -ESTALE as for ioctls, -ESTALE also later, when the port dies or
 * is detached.
 *
 * A kick does not count a command as one that it has woken: like pollers, all are told that
 * wait. The command holds the port's file, so that closing it is no end of either.
 *
 * RINGQ_URING_CMD_CANCEL, with nothing in the sqe's cmd, ends the command that is pending on the
 * port, whichever thread and ring of io_uring it came from: -ECANCELED, unless it has something
 * to tell; that completion may come later than this one's, whose res is 0, or -ENOENT if there
 * was none. (IORING_OP_ASYNC_CANCEL and linked time-outs do not end commands on all kernels.)
 */
struct ringq_uring_wait {
	__u64 need;
	__u32 flags;
	__u32 reserved;
};

#define RINGQ_URING_CMD_WAIT	_IOW(0xE2, 0x4c, struct ringq_uring_wait)
#define RINGQ_URING_CMD_CANCEL	_IO(0xE2, 0x4d)

/* Deaths that a ring remembers. */
#define RINGQ_DEATHS		16

/**
 * struct ringq_death - a port that has died, and what became of what it had
 * @serial: 1 is the ring's first. A number that is left out is one that came too late to be read.
 * @time_ns: when what it left had been put in order, of CLOCK_MONOTONIC in the reader's time
 *	namespace; in memory without the module, in that of whoever buried it.
 * @role: enum ringq_role.
 * @port: its number among those of its role.
 * @generation: as RINGQ_IOC_ATTACH told it.
 * @pid: its process, as who reads this would call it; 0 if he cannot see it in his pid namespace,
 *	in memory without the module also if that is just another one.
 * @tombs: a producer's (MPSC, SPMC, MPMC): positions that it had taken and not published, which
 *	consumers now skip.
 * @redelivered: a consumer's: messages that it had in hand, and that come again, flagged. Of
 *	records, bytes, headers included.
 * @dropped: likewise, but with RINGQ_DROP they do not.
 * @reserved: 0.
 *
 * read(2) on a port gives its owner the deaths in the ring since it attached, as many as fit into
 * the buffer, each once, the oldest first. Only the last RINGQ_DEATHS of a ring are kept. If there
 * is none, it sleeps until there is, unless the file is O_NONBLOCK. A port that is over has no
 * more to tell, read or not.
 *
 * -EINVAL the buffer has no room for one; -EAGAIN (O_NONBLOCK) there is none; -EINTR a signal came
 * (restarted if the handler says so); -EFAULT a bad buffer, and nothing is lost; -EBADFD the file
 * is not a port's; -EPERM not the process that attached; -ESTALE the port is dead or detached,
 * also when that happens to who sleeps.
 */
struct ringq_death {
	__u64 serial;
	__u64 time_ns;
	__u32 role;
	__u32 port;
	__u32 generation;
	__u32 pid;
	__u64 tombs;
	__u64 redelivered;
	__u64 dropped;
	__u64 reserved;
};

/*
 * poll(2) on a port: EPOLLIN | EPOLLRDNORM something is published (consumer),
 * EPOLLOUT | EPOLLWRNORM something is free (producer), EPOLLRDHUP the ring is
 * closed, EPOLLHUP the other side has left, or died, and will not come back,
 * EPOLLERR it has died. What would not wait is ready: on a closed ring EPOLLIN and
 * EPOLLOUT too, and EPOLLIN for a consumer whose producer will not come back, for a
 * receive tells end-of-file then. EPOLLPRI: read(2) would give a death; who does not ask for
 * that need not care, the port is armed all the same. On a file that is not a port, or on a
 * port that is dead or detached: EPOLLERR.
 *
 * A port that polls is armed, so that who publishes or frees something kicks, by poll(2),
 * select(2) or epoll finding nothing. The kick disarms it. Level-triggered, nothing has to be
 * done for that: who waits again asks again.
 *
 * Edges (EPOLLET, a multishot poll of io_uring, eventfds) come from kicks, and from closing,
 * leaving and dying. Nobody asks again after them. Each death gives one when it can be read: who
 * wants to know of all of them reads until -EAGAIN. So whoever waits for an edge
 *
 *   1. on an edge, reads the eventfd if it is one, then drains the port until it is empty (full,
 *      for a producer),
 *   2. calls poll(2) on the port with time-out 0. This arms the port, and tells whether there is
 *      something after all: if so, back to draining,
 *   3. waits for the next edge.
 *
 * EPOLLONESHOT is armed by EPOLL_CTL_MOD, which asks. An edge is a hint: what it told of may be
 * gone, or at another port of that side, when it is looked at.
 */

/* What this kernel offers. */
#define RINGQ_IOC_INFO		_IOWR(0xE2, 0x40, struct ringq_ioc_info)
/* Unbound file: make a ring, or find a ring, and be a handle of it. */
#define RINGQ_IOC_CREATE	_IOWR(0xE2, 0x41, struct ringq_ioc_create)
#define RINGQ_IOC_OPEN		_IOWR(0xE2, 0x42, struct ringq_ioc_open)
/* Unbound file: be a port. */
#define RINGQ_IOC_ATTACH	_IOWR(0xE2, 0x43, struct ringq_ioc_attach)
/* Port: sleep, and wake the other side. */
#define RINGQ_IOC_WAIT		_IOWR(0xE2, 0x44, struct ringq_ioc_wait)
#define RINGQ_IOC_KICK		_IOWR(0xE2, 0x45, struct ringq_ioc_kick)
/* Port, no argument: no message is to be sent on this ring any more. */
#define RINGQ_IOC_CLOSE		_IO(0xE2, 0x46)
/* Port, no argument: leave; what follows (munmap, close) is then no death. */
#define RINGQ_IOC_DETACH	_IO(0xE2, 0x47)
/*
 * Port, no argument: take the ring's attach lock, under which ports of a side agree how
 * they claim; and let go of it. Whoever leaves or dies lets go of it, and nobody needs it
 * for that. While another port holds it, LOCK sleeps (-EINTR a signal came; restarted if
 * the handler says so) and TRYLOCK says -EAGAIN. -EDEADLK it is this port's already;
 * UNLOCK: -ENOLCK it is not.
 */
#define RINGQ_IOC_LOCK		_IO(0xE2, 0x48)
#define RINGQ_IOC_TRYLOCK	_IO(0xE2, 0x49)
#define RINGQ_IOC_UNLOCK	_IO(0xE2, 0x4a)
/* Port: attach an eventfd, or detach it. */
#define RINGQ_IOC_EVENTFD	_IOWR(0xE2, 0x4b, struct ringq_ioc_eventfd)
/* Handle or port: who sits at a place, and what he holds. */
#define RINGQ_IOC_PORT		_IOWR(0xE2, 0x4e, struct ringq_ioc_port)
/* Any file: which rings have names. */
#define RINGQ_IOC_LIST		_IOWR(0xE2, 0x4f, struct ringq_ioc_list)

#endif /* _UAPI_LINUX_RINGQ_H */
