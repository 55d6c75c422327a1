// SPDX-License-Identifier: GPL-2.0-only
/*
 * See iou.h.
 */
#include "iou.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES	64

static int enter(const struct iou *u, unsigned int submit, unsigned int wait, unsigned int flags)
{
	long n;

	do
		n = syscall(SYS_io_uring_enter, u->fd, submit, wait, flags, NULL, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}

static void *map(const struct iou *u, size_t size, off_t what)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, u->fd, what);

	return at == MAP_FAILED ? NULL : at;
}

static size_t sq_size(const struct iou *u)
{
	return u->params.sq_off.array + u->params.sq_entries * sizeof(unsigned int);
}

static size_t cq_size(const struct iou *u)
{
	return u->params.cq_off.cqes + u->params.cq_entries * sizeof(struct io_uring_cqe);
}

static size_t sqes_size(const struct iou *u)
{
	return u->params.sq_entries * sizeof(struct io_uring_sqe);
}

int iou_open(struct iou *u, unsigned int flags)
{
	*u = (struct iou){ .params.flags = flags };
	u->fd = syscall(SYS_io_uring_setup, ENTRIES, &u->params);
	if (u->fd < 0)
		return -errno;
	u->sq = map(u, sq_size(u), IORING_OFF_SQ_RING);
	u->cq = map(u, cq_size(u), IORING_OFF_CQ_RING);
	u->sqes = map(u, sqes_size(u), IORING_OFF_SQES);
	return u->sq && u->cq && u->sqes ? 0 : -ENOMEM;
}

/* Closes the descriptor too. */
void iou_close(struct iou *u)
{
	munmap(u->sq, sq_size(u));
	munmap(u->cq, cq_size(u));
	munmap(u->sqes, sqes_size(u));
	close(u->fd);
}

static unsigned int *word(char *ring, unsigned int offset)
{
	return (unsigned int *)(ring + offset);
}

/* Several requests by one system call. */
int iou_submit_many(struct iou *u, const struct io_uring_sqe *sqe, unsigned int n)
{
	const struct io_sqring_offsets *o = &u->params.sq_off;
	unsigned int tail = *word(u->sq, o->tail), i;
	int done;

	for (i = 0; i < n; i++, tail++) {
		unsigned int slot = tail & *word(u->sq, o->ring_mask);

		u->sqes[slot] = sqe[i];
		word(u->sq, o->array)[slot] = slot;
	}
	__atomic_store_n(word(u->sq, o->tail), tail, __ATOMIC_RELEASE);
	/* The flag is for the thread of a ring that has one. */
	done = enter(u, n, 0, IORING_ENTER_SQ_WAKEUP);
	return done < 0 ? done : done == (int)n ? 0 : -EIO;
}

int iou_submit(struct iou *u, const struct io_uring_sqe *sqe)
{
	return iou_submit_many(u, sqe, 1);
}

static int take(struct iou *u, struct io_uring_cqe *cqe)
{
	const struct io_cqring_offsets *o = &u->params.cq_off;
	unsigned int head = *word(u->cq, o->head);
	const struct io_uring_cqe *cqes = (void *)(u->cq + o->cqes);

	if (head == __atomic_load_n(word(u->cq, o->tail), __ATOMIC_ACQUIRE))
		return -EAGAIN;
	*cqe = cqes[head & *word(u->cq, o->ring_mask)];
	__atomic_store_n(word(u->cq, o->head), head + 1, __ATOMIC_RELEASE);
	return 0;
}

/* A completion, or -EAGAIN if there is none. */
int iou_look(struct iou *u, struct io_uring_cqe *cqe)
{
	/* Also lets the kernel do what it has left to this thread. */
	int err = enter(u, 0, 0, IORING_ENTER_GETEVENTS);

	return err < 0 ? err : take(u, cqe);
}

/* Waits for a completion. */
int iou_wait(struct iou *u, struct io_uring_cqe *cqe)
{
	int err = take(u, cqe);

	while (err == -EAGAIN) {
		err = enter(u, 0, 1, IORING_ENTER_GETEVENTS);
		if (err < 0)
			return err;
		err = take(u, cqe);
	}
	return err;
}
