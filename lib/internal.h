/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the files of the library know of each other.
 *
 *   ring.c      options, create, join, open, leave           (public)
 *   port.c      attach, detach, close, untyped operations    (public)
 *   operations.c   what is made of those, the same for all disciplines   (public)
 *   backoff.c   pauses that grow                             (public)
 *   loop.c      a thread that receives                       (public)
 *   spsc.c      SPSC: the slow paths of ringq/spsc.h, and its tables of operations
 *   lanes.c     LANES: which lane a consumer reads next, and its table of operations
 *   records.c, lanes_records.c, lossy_records.c     likewise, for records
 *   gated.c     GATED: where the slowest reader is; a reader's arrival
 *   broadcast.c LOSSY and LATEST: the slow paths of ringq/broadcast.h
 *   mpmc.c      MPSC, SPMC, MPMC: likewise of ringq/mpmc.h
 *   claim.c     how ports of one side agree on positions: ringq/claim.h
 *   repair.c    what the dead left: ringq/repair.h, ringq/handover.h
 *   deaths.c    the log of who died, where there is no module
 *   wait.c      spinning and sleeping; wake-ups where there is no module
 *   region.c    the header: written by the creator, checked by everybody else
 *   device.c    memory of /dev/ringq         \
 *   memfd.c     memory of a memfd             > one struct ringq_backend each
 *   private.c   memory of this process       /
 *   file.c      the caller's file, which is used as a memfd is
 *   places.c    who sits where, who left, who died: what memfd and private share
 *   stat.c      who sits where and holds what                (public)
 *   agent.c     the thread that watches for deaths and serves names
 *   bridge.c    the thread that makes kicks of memfd and private memory pollable
 *   names.c     names in abstract unix sockets
 *   thread.c    how all threads are started
 *
 * A ring is guarded by its mutex only where it says so; its geometry and layout are
 * private copies, and the only ones that are used.
 */
#ifndef RINGQ_INTERNAL_H
#define RINGQ_INTERNAL_H

#include <pthread.h>
#include <ringq.h>
#include <ringq/claim.h>
#include <stdbool.h>
#include <sys/types.h>
#include <unistd.h>

#define RINGQ_PUBLIC __attribute__((visibility("default")))

/* What is to be made, after defaults and rounding. */
struct ringq_plan {
	struct ringq_geometry geometry;
	struct ringq_layout layout;
	const char *name;	/* "" for none */
	uint32_t flags;		/* RINGQ_HUGE ... RINGQ_ANY_OWNER */
	uint32_t mode;
	void *buffer;		/* private: where the ring is to lie */
};

/*
 * What a port of one role can do in one discipline. What has no meaning there is NULL. Who
 * calls has seen to it that the port is attached and has no error.
 */
struct ringq_ops {
	/*
	 * Fills what depends on the discipline, when the place is taken and the memory mapped.
	 * Called under the attach lock, if the discipline claims; opts are checked.
	 */
	int (*attach)(struct ringq_port *port, const struct ringq_attach_opts *opts);
	/* Puts in order what the port leaves. Called under the same lock, before it is gone. */
	void (*detach)(struct ringq_port *port);
	/* In order, lossless: the position below which the producer may overwrite. */
	uint64_t (*peer_done)(const struct ringq_port *port);

	int (*send)(struct ringq_port *port, const void *msg, int64_t timeout);
	int64_t (*send_many)(struct ringq_port *port, const void *msgs, uint64_t n,
			     int64_t timeout);
	int (*reserve)(struct ringq_port *port, uint64_t n, int64_t timeout);
	int (*commit)(struct ringq_port *port, uint64_t n);
	int (*drain)(struct ringq_port *port, int64_t timeout);
	int (*recv)(struct ringq_port *port, void *msg, int64_t timeout);
	int64_t (*recv_many)(struct ringq_port *port, void *msgs, uint64_t n, int64_t timeout);
	int64_t (*peek)(struct ringq_port *port, uint64_t n, int64_t timeout);
	int (*release)(struct ringq_port *port, uint64_t n);
	/* Of what may be overwritten while it is looked at. */
	int (*latest)(struct ringq_port *port, void *msg);
	int (*intact)(const struct ringq_port *port);
	int (*glance)(struct ringq_port *port, struct ringq_glance *glance, int64_t timeout);
	int (*glance_read)(const struct ringq_port *port, const struct ringq_glance *glance,
			   void *msg);
	/* A consumer: how many messages it is behind. */
	uint64_t (*lag)(const struct ringq_port *port);
	/* Of what is reserved or peeked; n, if not NULL, becomes how many lie in a row. */
	void *(*at)(const struct ringq_port *port, uint64_t i, uint64_t *n);
	/* All of n or nothing. (That is how a reserve is anyway.) */
	int64_t (*recv_all)(struct ringq_port *port, void *msgs, uint64_t n, int64_t timeout);
	/*
	 * Consumer: published for it, not released. Producer: sent by it, or all, not released (by
	 * the slowest). Right if nobody else does anything meanwhile.
	 */
	uint64_t (*len)(const struct ringq_port *port);
	/* What is left of the capacity, where that does not count messages. */
	uint64_t (*room)(const struct ringq_port *port);

	/* Records; commit then publishes what is reserved, or nothing. */
	int (*send_record)(struct ringq_port *port, const void *data, uint32_t size,
			   int64_t timeout);
	int64_t (*send_records)(struct ringq_port *port, const struct iovec *records, uint64_t n,
				int64_t timeout);
	int (*reserve_record)(struct ringq_port *port, uint32_t size, void **place,
			      int64_t timeout);
	int (*commit_record)(struct ringq_port *port, uint32_t size);
	int (*recv_record)(struct ringq_port *port, void *data, uint32_t room, uint32_t *size,
			   int64_t timeout);
	int64_t (*recv_records)(struct ringq_port *port, struct iovec *records, uint64_t n,
				int64_t timeout);
	const void *(*record)(const struct ringq_port *port, uint64_t *cursor, uint32_t *size);
};

/* How a consumer of LANES reads inside a lane. */
struct ringq_cursor {
	/* Puts the port at position pos of a lane, whose progress it is given. */
	void (*enter)(struct ringq_port *port, uint32_t lane, uint64_t pos);
	/* A message at its position: 1, and limit is behind it; none: 0; or -EBADMSG. */
	int (*fetch)(struct ringq_port *port);
	/* How much waits in a lane from a position on: to compare lanes by, and to tell. */
	uint64_t (*pending)(const struct ringq_port *port, uint32_t lane, uint64_t pos);
	uint64_t budget;	/* positions to go on in a lane before others are looked at */
};

struct ringq_backend {
	/* Makes the memory of plan->geometry, header and all; ring->geometry is set. */
	int (*create)(struct ringq *ring, const struct ringq_plan *plan);
	/* Takes a place, fills base, index, page and calls port->ops->attach(). */
	int (*attach)(struct ringq_port *port, const struct ringq_attach_opts *opts);
	void (*detach)(struct ringq_port *port);
	int (*close)(struct ringq_port *port);
	/* Makes the ring as it was at first, if nobody is attached. NULL: it cannot. */
	int (*reset)(struct ringq *ring);
	/* How a place is taken, and what its port holds. */
	int (*stat)(struct ringq *ring, uint32_t role, uint32_t index,
		    struct ringq_port_stat *stat);
	/* Puts in order what the dead left: how many, or -EAGAIN. NULL: that is done unasked. */
	int (*bury)(struct ringq *ring);
	/* Sleeps until ringq_ready(), or one of the ends: 0; or -ETIMEDOUT, -EINTR. */
	int (*sleep)(struct ringq_port *port, uint64_t need, uint64_t ends, int64_t timeout);
	/* Wakes up to count sleepers of a side. */
	void (*kick)(struct ringq_port *port, uint32_t role, uint64_t count);
	/* The attach lock of the ring; wait: till it is free, else -EAGAIN. */
	int (*lock)(struct ringq_port *port, bool wait);
	void (*unlock)(struct ringq_port *port);
	/* A try found nothing: look whether somebody new is to be watched. */
	void (*idle)(struct ringq_port *port);
	/* For who polls: a try found nothing. True: there is something after all. */
	bool (*arm)(struct ringq_port *port, uint64_t need, uint64_t ends);
	int (*port_fd)(struct ringq_port *port);
	/* An eventfd of the caller's, told what who polls the port is told. */
	int (*add_eventfd)(struct ringq_port *port, int fd);
	int (*remove_eventfd)(struct ringq_port *port, int fd);
	/* 1; 0: none that it has not been told of. */
	int (*next_death)(struct ringq_port *port, struct ringq_death *death);
	void (*free)(struct ringq *ring);
};

struct ringq {
	struct ringq_geometry geometry;
	struct ringq_layout layout;
	const struct ringq_backend *backend;
	uint32_t memory;	/* enum ringq_memory */
	uint32_t created;
	uint32_t page_shift;
	uint32_t uid;
	uint32_t mode;
	uint8_t id[16];
	char name[RINGQ_NAME_SIZE];
	bool observes;		/* no member: RINGQ_OBSERVE */

	pid_t pid;		/* whose handle this is: a forked child's copy is stale */
	int fd;			/* what is passed on; -1: private */
	unsigned char *base;	/* memfd, private: the region; device: NULL, ports map it */
	size_t mapped;		/* bytes to unmap */
	void *buffer;		/* private: handed in, or allocated by the caller's function... */
	void (*free)(void *arg, void *memory, size_t size);	/* ...then this takes it back */
	void *free_arg;
	size_t free_size;

	pthread_mutex_t mutex;	/* memfd, private: places taken by this process */
	int lock_fd;		/* memfd: our own open file; its locks say that we live */
	bool watched;		/* memfd: by the agent */
	uint64_t seen_epoch;	/* memfd: what the agent has looked at */
	__u64 attached[2][RINGQ_SIDE_WORDS];	/* ports of this handle, by role and number */

	struct ringq *next;	/* agent.c's, under its mutex, as is what follows */
	struct ringq_watch *watches;	/* one for each port */
	int listen_fd;		/* where joiners ask if the ring has a name */
	uint64_t listen_serial;	/* its name in the agent's epoll set */
};

extern const struct ringq_backend ringq_device_backend;
extern const struct ringq_backend ringq_memfd_backend;
extern const struct ringq_backend ringq_private_backend;

/* region.c */
void ringq_region_init(struct ringq *ring, const struct ringq_plan *plan, void *base);
/* What ringq_region_init() did, again, but for the header: an empty ring, open to all. */
void ringq_region_restart(const struct ringq *ring, unsigned char *base);
/* Takes over a copy of a header, made by somebody else, of a region of so many bytes. */
int ringq_region_adopt(struct ringq *ring, const struct ringq_header *header, uint64_t size);
/* Address space to map the region at, so that its huge pages can be mapped as such. */
void *ringq_region_address(uint64_t size, uint32_t shift);
/* Bytes of address space that a region takes: more than its memory if lanes are mapped twice. */
uint64_t ringq_region_span(const struct ringq *ring);
/* Maps the lanes' data, twice, at base + layout.data. */
int ringq_region_mirror(const struct ringq *ring, unsigned char *base, int fd, int prot,
			int flags);
bool ringq_region_is_huge(const void *base, uint64_t size);

static inline struct ringq_header *ringq_header(const unsigned char *base)
{
	return (struct ringq_header *)base;
}

static inline struct ringq_attention *ringq_attention_of(const struct ringq *ring,
							 const unsigned char *base)
{
	return (struct ringq_attention *)(base + ring->layout.attention);
}

/* Page i of all, first the producers'. */
static inline struct ringq_port_page *ringq_page(const struct ringq *ring,
						 const unsigned char *base, uint32_t i)
{
	return (struct ringq_port_page *)(base + ring->layout.ports +
					  i * ring->layout.port_stride);
}

/* The page of a port, by role and number. */
static inline struct ringq_port_page *ringq_port_page(const struct ringq *ring,
						      const unsigned char *base, uint32_t role,
						      uint32_t index)
{
	return ringq_page(ring, base, ringq_page_of(&ring->geometry, role, index));
}

static inline struct ringq_side *ringq_side_of(const struct ringq *ring,
					       const unsigned char *base, uint32_t role)
{
	return (struct ringq_side *)(base + ring->layout.sides[role]);
}

static inline struct ringq_lane *ringq_lane_of(const struct ringq *ring,
					       const unsigned char *base, uint32_t lane)
{
	return (struct ringq_lane *)(base + ring->layout.lanes) + lane;
}

/* Where a lane's data is mapped: each twice in a row, if it can be. */
static inline unsigned char *ringq_lane_data(const struct ringq *ring, unsigned char *base,
					     uint32_t lane)
{
	uint64_t times = ringq_is_mirrored(&ring->geometry) ? 2 : 1;

	return base + ring->layout.data + lane * times * ring->layout.lane_data;
}

/* ringq_progress_begin() while others may be looking; who sees done sees the rest. */
static inline void ringq_progress_move(struct ringq_progress *progress, uint64_t pos)
{
	ringq_store_relaxed(&progress->taken, pos);
	ringq_store_relaxed(&progress->hand, pos);
	ringq_store_release(&progress->done, pos);
}

static inline bool ringq_bit(const __u64 *words, uint32_t i)
{
	return ringq_load_acquire(&words[i / 64]) >> i % 64 & 1;
}

/* Is a port of this role and number attached, and alive as far as is known? */
static inline bool ringq_is_live(const struct ringq *ring, const unsigned char *base,
				 uint32_t role, uint32_t index)
{
	return ringq_bit(ringq_attention_of(ring, base)->live[role], index);
}

/* The word that a side reads: producers data, consumers space. */
static inline __u64 *ringq_word_of(const struct ringq *ring, const unsigned char *base,
				      uint32_t role)
{
	struct ringq_attention *a = ringq_attention_of(ring, base);

	return (role == RINGQ_PRODUCER ? &a->data : &a->space);
}

static inline bool ringq_is_stale(const struct ringq *ring)
{
	return ring->pid != getpid();
}

/* The port's own way to do something, or why there is none. */
#define RINGQ_CALL(port, op, ...) \
	((port)->error ? (port)->error : (port)->ops->op ? (port)->ops->op(port, ##__VA_ARGS__) : \
	 -EOPNOTSUPP)

/* The port's error, or -EOPNOTSUPP if it is of the other role. */
static inline int ringq_as(const struct ringq_port *port, uint32_t role)
{
	if (port->error)
		return port->error;
	return port->role == role ? 0 : -EOPNOTSUPP;
}

/* The operations of a role in a discipline; NULL if there is none. ring.c */
const struct ringq_ops *ringq_ops_of(uint32_t discipline, uint32_t shape, uint32_t role);

static inline uint32_t ringq_other_role(uint32_t role)
{
	return role == RINGQ_PRODUCER ? RINGQ_CONSUMER : RINGQ_PRODUCER;
}

/* device.c */
/* An open, unbound file of a module that we can talk to, or why not: -ENODEV, ... */
int ringq_device_open(struct ringq_ioc_info *info);
bool ringq_device_is(int fd);
/* By name, or, if it is NULL, by another handle. */
int ringq_device_join(struct ringq *ring, const char *name, int handle);

/* memfd.c */
/* A new file, mapped at ring->base; ring->fd. Sets page_shift. */
int ringq_memfd_pages(struct ringq *ring, bool huge_only);
int ringq_memfd_join(struct ringq *ring, int fd);	/* takes the fd over, also if it fails */
/* By which a descriptor of this process can be opened, also in threads whose leader has ended. */
#define RINGQ_FD_PATH 40
void ringq_memfd_path(char path[RINGQ_FD_PATH], int fd);
/* Another open file of the same one, for reading and writing. */
int ringq_memfd_reopen(int fd);
/* Maps a file of so many bytes at ring->base; on failure nothing of it is left. */
int ringq_memfd_map(struct ringq *ring, int fd, uint64_t size, uint32_t shift);
void ringq_memfd_collapse(struct ringq *ring);	/* into huge pages, if it can be */
int ringq_memfd_watch(struct ringq *ring);	/* have the agent watch, once */
int ringq_memfd_lock(struct ringq *ring, bool wait);	/* against other attachers and repairers */
void ringq_memfd_unlock(struct ringq *ring);
/* Holds port page i's byte as long as this process lives, or until it is dropped. */
int ringq_memfd_hold(struct ringq *ring, uint32_t index);
void ringq_memfd_drop(struct ringq *ring, uint32_t index);
/* Somebody else's open file holds port i: he lives. */
bool ringq_memfd_held(const struct ringq *ring, uint32_t index);

/* file.c */
/* The handle has the file. Rings are made there under the lock that attaching takes. */
int ringq_file_enter(struct ringq *ring, int fd, bool any_owner);
bool ringq_file_is_huge(const struct ringq *ring);
/* Is there nothing in it, or a ring of this plan (NULL: of any) that was never finished? */
bool ringq_file_is_blank(const struct ringq *ring, const struct ringq_plan *plan);
int ringq_file_create(struct ringq *ring, const struct ringq_plan *plan);
int ringq_file_join(struct ringq *ring);

/* places.c */
int ringq_places_attach(struct ringq_port *port, const struct ringq_attach_opts *opts);
void ringq_places_detach(struct ringq_port *port);
int ringq_places_lock_port(struct ringq_port *port, bool wait);
void ringq_places_unlock_port(struct ringq_port *port);
int ringq_places_close(struct ringq_port *port);
int ringq_places_reset(struct ringq *ring);
/* Ports came or went since the last ringq_places_idle() of this handle. */
bool ringq_places_changed(const struct ringq *ring);
void ringq_places_idle(struct ringq_port *port);
/*
 * Looks whether live ports of others have died, puts in order what those left, and wakes
 * everybody if one did. Returns how many; -EAGAIN: somebody has the lock; or an error.
 */
int ringq_places_bury(struct ringq *ring);
/* The same for one port, for who holds the lock. */
bool ringq_places_bury_one(struct ringq *ring, uint32_t role, uint32_t index);
/* Does a port that counts as live have the lock that it has as long as it is alive? */
bool ringq_places_alive(const struct ringq *ring, uint32_t role, uint32_t index);
uint64_t ringq_pid_namespace(void);

/* stat.c */
int ringq_places_stat(struct ringq *ring, uint32_t role, uint32_t index,
		      struct ringq_port_stat *stat);

/* spsc.c */
extern const struct ringq_ops ringq_spsc_producer;
extern const struct ringq_ops ringq_spsc_consumer;
/* For all that read in order: the port at position pos of a lane, whose progress it is given. */
void ringq_spsc_enter(struct ringq_port *port, uint32_t lane, uint64_t pos);
/* A message at its position: 1, and limit is behind it; none: 0; or -EBADMSG. */
int ringq_spsc_fetch(struct ringq_port *port);
int ringq_spsc_attach_producer(struct ringq_port *port, const struct ringq_attach_opts *opts);
void ringq_spsc_detach_producer(struct ringq_port *port);
int ringq_spsc_attach_consumer(struct ringq_port *port, const struct ringq_attach_opts *opts);
/*
 * How many messages are published in a lane from this position on. From where the consumer is:
 * how many wait. From one that is less than a lap late: how far the producer has come.
 */
uint64_t ringq_spsc_ahead(const struct ringq_port *port, uint32_t lane, uint64_t pos);
uint64_t ringq_spsc_len_producer(const struct ringq_port *port);
uint64_t ringq_spsc_len_consumer(const struct ringq_port *port);
/* Of a consumer whose messages nobody else takes. */
int64_t ringq_spsc_recv_all(struct ringq_port *port, void *msgs, uint64_t n, int64_t timeout);
void ringq_spsc_detach_consumer(struct ringq_port *port);
int ringq_spsc_drain(struct ringq_port *port, int64_t timeout);
/* Where the consumer is, or the slowest of them. */
uint64_t ringq_spsc_peer_done(const struct ringq_port *port);
/* The other side makes no sense: the port is of no more use. -EBADMSG */
int ringq_corrupt(struct ringq_port *port);

/* records.c */
extern const struct ringq_ops ringq_records_producer;
extern const struct ringq_ops ringq_records_consumer;
extern const struct ringq_ops ringq_gated_records_consumer;
/* A record at the consumer's position: 1; none: 0; or -EBADMSG. */
int ringq_records_fetch(struct ringq_port *port, struct ringq_found *found);
/* The port at a position of a lane, with nothing known of what is there: 0, or -EBADMSG. */
int ringq_records_place(struct ringq_port *port, uint32_t lane, uint64_t pos);
/* Where a walk over published records ended, and whether nothing, or nonsense, is there. */
struct ringq_walk {
	uint64_t pos;
	uint64_t count;
	struct ringq_found last;
	bool astray;
};
/* Walks from where a record begins until that position, at most a lap. */
struct ringq_walk ringq_records_walk(const struct ringq_port *port, uint32_t head, uint64_t from,
				     uint64_t until);
/* The records that are published in a lane from a position on, whatever lane the port is in. */
struct ringq_walk ringq_records_ahead(const struct ringq_port *port, uint32_t lane, uint64_t pos);
/* A consumer's limit and flags: what its predecessor had in hand. */
void ringq_records_inherit(struct ringq_port *port);
/* A producer goes on behind the last record of its predecessor: 0, or -EBADMSG. */
int ringq_records_succeed(struct ringq_port *port, uint32_t lane, uint32_t head,
			  struct ringq_found *last);

/* lanes_records.c */
extern const struct ringq_ops ringq_lanes_records_consumer;

/* lossy_records.c */
extern const struct ringq_ops ringq_lossy_records_producer;
extern const struct ringq_ops ringq_lossy_records_consumer;

/* gated.c */
extern const struct ringq_ops ringq_gated_producer;
extern const struct ringq_ops ringq_gated_consumer;
/* For all that gate, of elements or of records. */
uint64_t ringq_gated_peer_done(const struct ringq_port *port);
/*
 * Puts the reader's gate where it begins to read: its progress says where that is. @tail tells
 * the first position that is not published, or an error.
 */
int ringq_gated_arrive(struct ringq_port *port, const struct ringq_attach_opts *opts,
		       int (*tail)(const struct ringq_port *port, uint64_t *pos));
void ringq_gated_leave(struct ringq_port *port);

/* broadcast.c */
extern const struct ringq_ops ringq_lossy_producer;
extern const struct ringq_ops ringq_lossy_consumer;
extern const struct ringq_ops ringq_latest_producer;
extern const struct ringq_ops ringq_latest_consumer;

/* lanes.c; its producers are those of spsc.c */
extern const struct ringq_ops ringq_lanes_consumer;
/* A consumer's ops->attach, given how it reads inside a lane, and ops->detach. */
int ringq_lanes_attach(struct ringq_port *port, const struct ringq_cursor *cursor);
void ringq_lanes_detach(struct ringq_port *port);
/* What is in all lanes, in whosever hand. */
uint64_t ringq_lanes_len(const struct ringq_port *port);

/* mpmc.c */
extern const struct ringq_ops ringq_mpmc_producer;
extern const struct ringq_ops ringq_mpmc_consumer;
/* The highest done of the consumers: below it everything is released. */
uint64_t ringq_mpmc_done(const struct ringq_port *port);

/* The stamp of a position, in either shape. */
static inline __u64 *ringq_mpmc_word(const struct ringq_port *port, uint64_t pos)
{
	return (__u64 *)((unsigned char *)port->stamps +
			 ((pos & port->claims.mask) << port->claims.shift));
}

/* claim.c. Where a port claims, the attach lock is held when it attaches and detaches. */
/* The port's side and position. 0, or -ETIMEDOUT: a port of the side hangs in a claim. */
int ringq_claim_attach(struct ringq_port *port);
void ringq_claim_detach(struct ringq_port *port);
/* Of a port that holds nothing: how is it to claim now? Goes over from one to the other. */
bool ringq_claim_is_biased(struct ringq_port *port);
/* It claims by CAS, and nobody has come or gone since it looked: true. */
static inline bool ringq_claim_is_shared(const struct ringq_port *port)
{
	const struct ringq_claims *c = &port->claims;

	return !c->biased && !c->lonely &&
	       ringq_load_relaxed(&ringq_attention_of(port->ring, port->base)->epoch) == c->epoch;
}
/* 0, -EPIPE or -EOWNERDEAD: is a producer to claim no more? */
int ringq_claim_ended(const struct ringq_port *port);
/* By bias, from the port's position on: 0; -EAGAIN somebody else is there; or it has ended. */
int ringq_claim_own(struct ringq_port *port, uint64_t n);
/* The index of the port's side. Its line is fetched to be written: a CAS of it comes soon. */
static inline uint64_t ringq_claim_next(const struct ringq_port *port)
{
	const struct ringq_side *side = port->claims.side;

	ringq_prefetch_write(&side->index);
	return ringq_load_acquire(&side->index);
}

static inline void ringq_claim_set(struct ringq_port *port, uint32_t state, uint64_t n,
				   uint64_t pos)
{
	ringq_store_release(&port->page->claim, RINGQ_CLAIM(state, n, pos));
	ringq_delay();
}

/*
 * Who reads the word finds a position near it first, below it: stored anew only when it is no more
 * that, for others look at that line. (A consumer's hand inside of the claim would say that some of
 * it is peeked.)
 */
static inline void ringq_claim_try(struct ringq_port *port, uint64_t n, uint64_t pos)
{
	__u64 *near = port->claims.near;

	if (ringq_unlikely(pos - ringq_load_relaxed(near) - 1 >= RINGQ_CLAIM_NEAR))
		ringq_store_relaxed(near, port->role == RINGQ_PRODUCER ? pos : pos + n);
	ringq_claim_set(port, RINGQ_TRY, n, pos);
	ringq_compiler_barrier();
}

/* Taken: the port goes on there, and comes back for more afterwards. */
static inline int ringq_claim_taken(struct ringq_port *port, uint64_t n, uint64_t pos)
{
	ringq_delay();
	port->pos = pos;
	port->limit = pos + n;
	return 1;
}

/*
 * Who was faster is there now, and wants the line once more to go on; so who was not waits a
 * little. Else both of them get on at the pace of that line (measured: by a third slower).
 */
#define RINGQ_LOST_PAUSES	16

/*
 * By CAS, from the index that was loaded on: 1; 0 somebody was faster; or it has ended. In line,
 * for it is a part of every operation of those who share a side.
 */
static inline int ringq_claim_index(struct ringq_port *port, uint64_t n, uint64_t index)
{
	struct ringq_side *side = port->claims.side;
	__u64 expected = index;
	uint32_t i;
	int r = 0;

	ringq_claim_try(port, n, index);				/* C2 [try-closed] */
	if (port->role == RINGQ_PRODUCER && ringq_unlikely(ringq_attention(port)))
		r = ringq_claim_ended(port);
	if (r == 0 && __atomic_compare_exchange_n(&side->index, &expected, index + n, false,
						  __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))	/* C3 */
		return ringq_claim_taken(port, n, index);
	ringq_claim_set(port, RINGQ_IDLE, 0, 0);				/* C4 [idle] */
	for (i = 0; i < RINGQ_LOST_PAUSES; i++)
		ringq_pause();
	return r;
}

/* An orphan that has this stamp: 1; 0 somebody was faster. */
int ringq_claim_orphan(struct ringq_port *port, __u64 stamp, uint64_t pos);
/* Of a port that holds nothing and is about to wait: its page says where it is. */
void ringq_claim_tell(struct ringq_port *port);
/* Producer: the last n that it holds are not taken any more; or they must be tombstones. */
bool ringq_claim_back(struct ringq_port *port, uint64_t n);
/* Of a port that slept and has taken something: wakes another one if there is more. */
void ringq_claim_pass_on(struct ringq_port *port);
/* Does that port live, and may its claim still take something? */
bool ringq_claim_is_pending(const struct ringq_port *port, uint32_t role, uint32_t index);
/* The end of what that port has taken, or least if that is higher. */
uint64_t ringq_claim_end_of(const struct ringq_port *port, uint32_t role, uint32_t index,
			    uint64_t least);

/* repair.c */
/*
 * Of a dead port, before its place is given away: 0; or -EAGAIN, a live port is in the middle of a
 * claim, or of a message, and must have ended it first. What is done is counted in the port's page.
 */
int ringq_repair(struct ringq *ring, uint32_t role, uint32_t index);

/* deaths.c */
/* Of a dead port, under the attach lock, when it has been repaired. Once or again. */
void ringq_death_log(struct ringq *ring, uint32_t role, uint32_t index);
uint64_t ringq_deaths_count(const struct ringq *ring);
int ringq_places_next_death(struct ringq_port *port, struct ringq_death *death);

/* wait.c */
int64_t ringq_now(void);
bool ringq_ready(const struct ringq_port *port, uint64_t need);
/* GATED: where the slowest reader is, at most a lap behind pos; pos, if there is none. */
uint64_t ringq_slowest(const struct ringq_port *port, uint64_t pos);
/* Is a position of a lane, any number, or a later one in its place, published? */
bool ringq_published(const struct ringq_port *port, uint32_t lane, uint64_t pos);
/* Everything that a producer of a ring with claims has sent is released. */
bool ringq_drained(const struct ringq_port *port);
/* Looks for a while, if that was worth it lately: is there need, or one of the ends? */
bool ringq_spin(struct ringq_port *port, uint64_t need, uint64_t ends);
struct ringq_backoff;
/* How the port pauses when it is not to be armed. */
void ringq_backoff_of(const struct ringq_port *port, struct ringq_backoff *backoff);
int ringq_wait(struct ringq_port *port, uint64_t need, uint64_t ends, int64_t timeout);
/*
 * Of a try on a ring that has ended, where what others are about to do decides whether anything is
 * left: -EAGAIN, and who polls finds the port ready, for perhaps nobody will kick it.
 */
int ringq_try_ended(struct ringq_port *port, uint64_t need);
/* Arms the port, as RINGQ_ASLEEP or RINGQ_POLLED, and looks: false if it is not to sleep. */
bool ringq_futex_arm(struct ringq_port *port, uint64_t need, uint64_t ends, uint32_t how);
void ringq_futex_disarm(struct ringq_port *port);
int ringq_futex_sleep(struct ringq_port *port, uint64_t need, uint64_t ends, int64_t timeout);
void ringq_futex_kick(struct ringq_port *port, uint32_t role, uint64_t count);
/* All CPUs that run a member pass a full barrier, and so does this one. */
void ringq_heavy_barrier(const struct ringq *ring);
void ringq_futex_wake_all(struct ringq *ring);
/* 0, or why other CPUs cannot be made to pass a barrier. */
int ringq_barrier_available(uint32_t memory);

/* bridge.c */
/* The port's eventfd, which is made at the first call; -EMFILE, -EOPNOTSUPP, -ENOMEM, -EAGAIN. */
int ringq_bridge_fd(struct ringq_port *port);
void ringq_bridge_close(struct ringq_port *port);
int ringq_bridge_add(struct ringq_port *port, int fd);
int ringq_bridge_remove(struct ringq_port *port, int fd);
/* The three do nothing if the port has no eventfd. */
bool ringq_bridge_arm(struct ringq_port *port, uint64_t need, uint64_t ends);
void ringq_bridge_disarm(struct ringq_port *port);

/* thread.c */
int ringq_thread_start(pthread_t *thread, void *(*body)(void *));
/* One that runs a program's functions: as the program's own, but with all signals blocked. */
int ringq_thread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*body)(void *),
			void *arg);

/* agent.c */
/* Starts the agent if there is none, and lets it watch this ring and serve its name. */
int ringq_agent_add(struct ringq *ring);
/*
 * Returns when the agent does not look at the ring any more; stops it with the last one.
 * Not to be called with the ring's mutex held.
 */
void ringq_agent_remove(struct ringq *ring);
/* The ring's epoch has changed: watch the new ports too. Makes a system call. */
void ringq_agent_poke(void);

/* names.c */
bool ringq_name_valid(const char *name);
/*
 * Holds the bare name, so that nobody else joins or creates it meanwhile: a descriptor to
 * close, or -ETIMEDOUT. Freed by the holder's death.
 */
int ringq_name_lock(const char *name);
/*
 * The memfd of the ring of that name from one of its members. -ENOENT: there is no ring;
 * -EACCES: not for us; -ETIMEDOUT: none of its members answers; -EPROTO: they speak another
 * version; -EOPNOTSUPP: /proc is not mounted.
 */
int ringq_name_find(const char *name, bool any_owner);
/* A listening socket of a member, to be polled; or an error. */
int ringq_name_listen(const char *name);
/* Answers all joiners that wait, and never blocks. */
void ringq_name_answer(int listen_fd, const struct ringq *ring);

#endif /* RINGQ_INTERNAL_H */
