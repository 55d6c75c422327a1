/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * struct ringq_port: one attachment to a ring, as its owner sees it. Nothing of it is
 * shared: the shared part is struct ringq_port_page. The caller provides it, on the
 * stack if he likes, aligned to a line; ringq_attach() fills it. Its layout is ABI,
 * because inline code in programs works on it; its fields are for that code alone.
 */
#ifndef RINGQ_PORT_H
#define RINGQ_PORT_H

#include <ringq/layout.h>
#include <stdint.h>

struct ringq;
struct ringq_ops;
struct ringq_cursor;

/*
 * A consumer of LANES: which lane it reads. The lane of the last batch is the one that the
 * port's position is in. (ringq/lanes.h)
 */
struct ringq_lanes {
	uint64_t leave;		/* below it the port may read on; 0 while the lane is not its */
	uint64_t until;		/* what leave is while the lane is its: the end of the budget */
	uint64_t limit;		/* shared: what the port's limit was when it let go of the lane */
	uint64_t owner;		/* shared: its word in a lane that is its; 0: it is the only one */
	struct ringq_lane *lane;	/* words of that lane; NULL before the first */
	const struct ringq_cursor *cursor;	/* how to read in a lane */
	__u16 *notes;		/* on each lane, in the port's own page */
	uint64_t random;
	uint32_t number;	/* of that lane */
	uint32_t owned;		/* shared: the lane is the port's just now */
	uint32_t round;		/* where the next round begins */
	uint32_t sweep;		/* where the next sweep begins */
	uint32_t choices;	/* how often a lane was looked for */
};

/* What a port of a ring of records knows beside the rest; ringq/records.h. */
struct ringq_port_records {
	unsigned char *end;	/* a record ends here at the latest */
	uint64_t held_end;	/* consumer: where what is peeked ends */
	uint64_t lead;		/* producer: bytes to leave out before what is reserved... */
	uint64_t reserved;	/* ...which is so large */
};

/* A port of LOSSY or LATEST. */
struct ringq_lossy {
	uint64_t lost;		/* messages overwritten before this consumer had them */
	uint64_t lost_last;	/* of these, those that the last -EOVERFLOW was for */
	uint64_t within;	/* stamps of one slot and lap differ by less */
	uint64_t slot_mask;
	uint64_t stride;	/* from a message for this consumer to the next */
	__u64 *oldest;		/* records: in the producer's page */
	const struct ringq_progress *sent;	/* records, consumer: how far the producer is */
	uint64_t number;	/* records: of the one at pos */
};

/* Of a port that claims: MPSC, SPMC, MPMC (ringq/claim.h, ringq/mpmc.h). */
struct ringq_claims {
	uint64_t mask;		/* capacity - 1 */
	struct ringq_side *side;	/* the words of the port's own side */
	__u64 *near;		/* a word of its page that tells about where it claims */
	uint32_t biased;	/* alone on its side: claims without a locked instruction */
	uint32_t single;	/* its side has one place */
	uint32_t lonely;	/* perhaps alone, and not biased: to be looked at */
	uint32_t barrier;	/* consumer: has made its barrier after it saw CLOSED */
	uint32_t ahead;		/* producer: the consumer whose done was the highest */
	uint32_t shift;		/* log2 of the bytes from stamp to stamp, the first at port.stamps */
	uint64_t free;		/* producer: below it, all is free by the consumers' positions */
	uint64_t rest;		/* consumer: from pos on, what was peeked and is still its own */
	uint64_t shown;		/* consumer: below it, what its predecessor had been shown */
	uint64_t seen;		/* consumer: side.orphans, as of the last full search for some */
	uint64_t searched;	/* consumer: side.orphans, as of the search that is under way... */
	uint64_t search;	/* ...which goes on here... */
	uint64_t search_end;	/* ...and ends here */
	uint64_t followed;	/* where it waited for the other side to get ahead */
	uint64_t epoch;		/* attention.epoch, as of the last look at who is there */
};

struct ringq_port {
	/* The line that changes with every message. */
	uint64_t pos;		/* the next position to write or to read */
	uint64_t limit;		/* below it there is room, or there are messages */
	unsigned char *elem;	/* where pos lies */
	__u64 *stamp;		/* SHAPE_APART: the stamp of pos */
	uint64_t held;		/* elements reserved or peeked: limit is then pos... */
	uint64_t held_limit;	/* ...and this is what it will be again */
	const __u64 *attention;	/* the word of this side */
	__u64 *done;		/* in the port's own page */

	/* What stays while the port lives. */
	unsigned char *data;
	unsigned char *data_end;
	__u64 *stamps;		/* the first of them; SHAPE_APART, and of a port that claims */
	uint64_t capacity;
	const __u64 *peer_done;	/* the other side's, exact; or NULL, then ops->peer_done tells */
	struct ringq_progress *progress;	/* consumer: what a successor goes by */
	struct ringq_port_page *page;	/* the port's own */
	unsigned char *base;	/* of the region, as this port has mapped it */
	struct ringq *ring;
	const struct ringq_ops *ops;	/* what this port can do */
	void *memory;		/* what the ring's memory keeps for this port */

	uint64_t taken;		/* consumer: what stands in its progress */
	uint32_t flags;		/* RINGQ_REDELIVERED: of the messages below limit */
	uint32_t elem_size;
	uint8_t role;		/* enum ringq_role */
	uint8_t strategy;	/* enum ringq_strategy */
	uint16_t spins;		/* PHASED: looks before it sleeps, which were worth it lately */
	uint32_t index;		/* number among the ports of that role */
	uint32_t generation;
	int32_t error;		/* -EBADMSG the ring was found corrupt, -ESTALE detached; or 0 */
	uint64_t far;		/* consumer: not to look far ahead before this position */

	/* What only some disciplines know. */
	union {
		uint64_t own[16];
		struct ringq_claims claims;
		struct {
			struct ringq_port_records records;
			union {
				struct ringq_lossy lossy;
				struct ringq_lanes lanes;
			};
		};
	};
} __attribute__((aligned(RINGQ_LINE)));

RINGQ_LAYOUT_ASSERT(sizeof(struct ringq_port) == 320);

#endif /* RINGQ_PORT_H */
