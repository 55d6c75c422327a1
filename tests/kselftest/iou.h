/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * io_uring by its system calls alone, so that the tests need no library of another version: rings
 * that are used by one thread, one request at a time.
 *
 * Functions return 0 or a negative errno, and judge nothing.
 */
#ifndef RINGQ_KSELFTEST_IOU_H
#define RINGQ_KSELFTEST_IOU_H

#include <stdbool.h>

#include <linux/io_uring.h>

struct iou {
	int fd;
	struct io_uring_params params;
	char *sq;
	char *cq;
	struct io_uring_sqe *sqes;
};

int iou_open(struct iou *u, unsigned int flags);
void iou_close(struct iou *u);
int iou_submit(struct iou *u, const struct io_uring_sqe *sqe);
int iou_submit_many(struct iou *u, const struct io_uring_sqe *sqe, unsigned int n);
int iou_look(struct iou *u, struct io_uring_cqe *cqe);
int iou_wait(struct iou *u, struct io_uring_cqe *cqe);

#endif /* RINGQ_KSELFTEST_IOU_H */
