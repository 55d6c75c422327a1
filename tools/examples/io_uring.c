// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A consumer that waits by io_uring: one multishot poll on the port's descriptor, and a completion
 * each time it becomes readable. These are edges: take all there is, and then let ringq_arm() say
 * whether something has come meanwhile. The kernel may end a multishot poll at any completion,
 * which then lacks IORING_CQE_F_MORE: it is put in again, and looks at once.
 */
#include "loop.h"

#include <liburing.h>
#include <poll.h>
#include <string.h>

static int need_uring(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s%s\n", what, strerror(-r), r == -EPERM || r == -ENOSYS ?
			" (io_uring is switched off on this machine)" : "");
		exit(EXIT_FAILURE);
	}
	return r;
}

static void poll_port(struct io_uring *uring, int fd)
{
	io_uring_prep_poll_multishot(io_uring_get_sqe(uring), fd, POLLIN);
	need_uring(io_uring_submit(uring), "io_uring_submit");
}

/* The next completion: is there more to come? */
static bool wait_port(struct io_uring *uring)
{
	struct io_uring_cqe *cqe;
	bool more;
	int r;

	do
		r = io_uring_wait_cqe(uring, &cqe);
	while (r == -EINTR);
	need_uring(r, "io_uring_wait_cqe");
	need_uring(cqe->res, "poll");
	more = cqe->flags & IORING_CQE_F_MORE;
	io_uring_cqe_seen(uring, cqe);
	return more;
}

int main(void)
{
	struct io_uring uring;
	struct feed feed;
	int fd, r;

	feed_open(&feed);
	fd = NEED(ringq_port_fd(&feed.in.port));
	need_uring(io_uring_queue_init(8, &uring, 0), "io_uring_queue_init");
	poll_port(&uring, fd);
	for (;;) {
		bool more = wait_port(&uring);

		do
			r = feed_take(&feed);
		while (r > 0 || (r == -EAGAIN && NEED(ringq_arm(&feed.in.port))));
		if (r == 0)
			break;
		if (!more)
			poll_port(&uring, fd);
	}
	io_uring_queue_exit(&uring);
	return feed_close(&feed);
}
