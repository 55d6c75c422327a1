/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What `ringq send' and `ringq recv' agree on.
 *
 * A stream of bytes goes through a named ring as frames, one a message, each of which says
 * where in the stream its bytes belong:
 *
 *	DATA offset length bytes...     DATA ...     END offset, the length of the stream
 *
 * A stream without an END is not whole: its sender died or gave up. A receiver that has
 * put a frame where it belongs and dies before it can release it does no harm: its
 * successor gets the frame again and puts it into the same place.
 *
 * The side that comes first makes the ring. It outlives a receiver (RINGQ_CONSUMER_WAIT):
 * the sender waits for the next one, which goes on where that one stopped. It does not
 * outlive the sender: what he committed is received, and then it ends.
 */
#ifndef RINGQ_TRANSFER_H
#define RINGQ_TRANSFER_H

#include "tool.h"

#include <stdbool.h>

/*
 * Frames are large enough for the system calls that fill and empty them not to matter. As
 * many as are in a ring by default let each side run on while the other is not scheduled,
 * stay in a processor's cache, and fit into one huge page.
 */
#define FRAME_SIZE		65536u
#define FRAME_ROOM		(FRAME_SIZE - (uint32_t)sizeof(struct frame))
#define TRANSFER_CAPACITY	16

/* No small numbers, so that frames of somebody else are told from ours. */
enum frame_kind {
	FRAME_DATA = 0x61746164,
	FRAME_END = 0x21646e65,
};

struct frame {
	uint64_t offset;
	uint32_t length;	/* of the bytes, at most FRAME_ROOM */
	uint32_t kind;
	unsigned char bytes[];
};

struct transfer {
	const char *name;
	const char *path;	/* NULL: standard input or output */
	uint32_t memory;
	uint64_t capacity;	/* frames, if we make the ring */
	int64_t timeout;	/* for each wait */

	struct ringq *ring;
	struct ringq_port port;

	/* Progress, on a terminal. */
	bool watched;
	uint64_t total;		/* 0: not known */
	int64_t begin, shown;
};

/* Options and arguments; exits if they are wrong. */
void transfer_parse(struct transfer *t, int argc, char **argv, const char *doc);

/* The ring that is made or joined. */
struct ringq_opts transfer_opts(const struct transfer *t);

/* Makes or joins the ring and takes the place: 0, or a status after saying why not. */
int transfer_open(struct transfer *t, enum ringq_role role);
void transfer_close(struct transfer *t);

/* So many bytes are done; shown now and then, and at the end if there is one. */
void transfer_progress(struct transfer *t, uint64_t bytes, bool end);

#endif /* RINGQ_TRANSFER_H */
