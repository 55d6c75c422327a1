// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A consumer without a loop of its own: a thread of the library receives, and shows each message
 * to a handler, until the sender has left. Meanwhile the program does what it likes.
 */
#include "loop.h"

#include <ringq/loop.h>
#include <string.h>

static int on_number(void *arg, const void *msg, size_t size, uint32_t flags)
{
	struct feed *feed = arg;
	uint64_t number;

	(void)flags;
	memcpy(&number, msg, size);
	feed->sum += number;
	return 0;
}

int main(void)
{
	struct ringq_loop_opts opts = { .size = sizeof(opts), .handler = on_number };
	struct ringq_loop *loop;
	struct feed feed;

	feed_open(&feed);
	opts.arg = &feed;
	NEED(ringq_loop_start(&feed.in.port, &opts, &loop));
	/* Or, to end it before: ringq_loop_stop(), ringq_loop_drain(). */
	if (NEED(ringq_loop_join(loop, NULL, RINGQ_FOREVER)) != RINGQ_LOOP_EOF)
		return EXIT_FAILURE;
	return feed_close(&feed);
}
