// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A worker's port, and all the ways there are to wait for it. The end of a row closes its rings,
 * so nobody waits for ever.
 */
#include "soak.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

const char *soak_how(enum soak_how how)
{
	static const char *const names[HOWS] = {
		"block", "phased", "timed", "poll", "level", "edge", "eventfd", "multishot",
		"command",
	};

	return names[how];
}

bool soak_can(enum soak_how how, uint32_t memory)
{
	return how != COMMAND || memory == RINGQ_DEVICE;
}

static short events_of(const struct soak_side *s)
{
	return s->port.role == RINGQ_CONSUMER ? POLLIN : POLLOUT;
}

static int open_epoll(struct soak_side *s)
{
	struct epoll_event event = { .events = events_of(s) | (s->how == EDGE ? EPOLLET : 0) };

	s->fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->fd < 0)
		return -errno;
	return epoll_ctl(s->fd, EPOLL_CTL_ADD, ringq_port_fd(&s->port), &event) ? -errno : 0;
}

static int open_event(struct soak_side *s)
{
	s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return s->fd < 0 ? -errno : ringq_add_eventfd(&s->port, s->fd);
}

static int open_uring(struct soak_side *s)
{
	int r = io_uring_queue_init(4, &s->uring, 0);

	s->has_uring = r == 0;
	return r;
}

int soak_open(struct soak_side *s, struct ringq *ring, enum ringq_role role, enum soak_how how)
{
	int r = ringq_attach(ring, role, &s->port);

	s->how = how;
	s->fd = -1;
	s->has_uring = false;
	s->armed = false;
	if (r < 0)
		return r;
	ringq_set_strategy(&s->port, how == BLOCK ? RINGQ_STRATEGY_BLOCK : RINGQ_STRATEGY_PHASED);
	if (how == LEVEL || how == EDGE)
		return open_epoll(s);
	if (how == EVENTFD)
		return open_event(s);
	return how == MULTISHOT || how == COMMAND ? open_uring(s) : 0;
}

void soak_close(struct soak_side *s)
{
	if (s->how == EVENTFD)
		ringq_remove_eventfd(&s->port, s->fd);
	if (s->fd >= 0)
		close(s->fd);
	if (s->has_uring)
		io_uring_queue_exit(&s->uring);
	ringq_detach(&s->port);
}

static int await_fd(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return fd < 0 ? fd : poll(&p, 1, -1) < 0 ? -errno : 0;
}

static int await_epoll(struct soak_side *s)
{
	struct epoll_event event;

	return epoll_wait(s->fd, &event, 1, -1) < 0 ? -errno : 0;
}

static int await_event(struct soak_side *s)
{
	eventfd_t count;
	int r = await_fd(s->fd, POLLIN);

	eventfd_read(s->fd, &count);
	return r;
}

/* What a completion says, and whether the request is still there. */
static int complete(struct soak_side *s, bool *more)
{
	struct io_uring_cqe *cqe;
	int r;

	do
		r = io_uring_wait_cqe(&s->uring, &cqe);
	while (r == -EINTR);
	if (r < 0)
		return r;
	r = cqe->res;
	*more = cqe->flags & IORING_CQE_F_MORE;
	io_uring_cqe_seen(&s->uring, cqe);
	return r < 0 ? r : 0;
}

static int await_multishot(struct soak_side *s)
{
	int r = 0;

	if (!s->armed) {
		io_uring_prep_poll_multishot(io_uring_get_sqe(&s->uring), ringq_port_fd(&s->port),
					     events_of(s));
		r = io_uring_submit(&s->uring);
	}
	return r < 0 ? r : complete(s, &s->armed);
}

static int await_command(struct soak_side *s)
{
	const struct ringq_uring_wait wait = { .need = 1 };
	struct io_uring_sqe *sqe = io_uring_get_sqe(&s->uring);
	bool more;
	int r;

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, ringq_port_fd(&s->port), NULL, 0, 0);
	sqe->cmd_op = RINGQ_URING_CMD_WAIT;
	memcpy(sqe->cmd, &wait, sizeof(wait));
	r = io_uring_submit(&s->uring);
	return r < 0 ? r : complete(s, &more);
}

/* Until it is worth trying again. */
static int await(struct soak_side *s)
{
	int r;

	if (s->how == POLL)
		return await_fd(ringq_port_fd(&s->port), events_of(s));
	if (s->how == LEVEL)
		return await_epoll(s);
	if (s->how == COMMAND)
		return await_command(s);
	r = ringq_arm(&s->port);
	if (r)
		return r;
	return s->how == EDGE ? await_epoll(s) :
	       s->how == EVENTFD ? await_event(s) : await_multishot(s);
}

static int64_t timeout_of(const struct soak_side *s)
{
	if (s->how == BLOCK || s->how == PHASED)
		return RINGQ_FOREVER;
	return s->how == TIMED ? 1 + (int64_t)soak_random(200000) : RINGQ_NOWAIT;
}

int soak_move(struct soak_side *s, uint64_t *token)
{
	int r;

	for (;;) {
		if (s->port.role == RINGQ_CONSUMER)
			r = ringq_recv(&s->port, token, timeout_of(s));
		else
			r = ringq_send(&s->port, token, timeout_of(s));
		if (r == -EAGAIN)
			r = await(s);
		else if (r != -ETIMEDOUT)
			return r;
		if (r < 0 && r != -ETIMEDOUT)
			return r;
	}
}
