// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * ringq send: a file, or what comes in, into a ring; transfer.h has the frames.
 *
 * The bytes are read right into the ring. The command ends well when all of them, and the
 * frame that says so, have been received and released.
 */
#include "transfer.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char doc[] =
	"Send FILE, or standard input, to a `ringq recv' of the same NAME."
	"\v"
	"Whoever comes first makes the ring; then the other is waited for. If the receiver "
	"dies, another one can take over with nothing lost. If the sender dies, the receiver "
	"gets what was committed, and is told that this is not all.";

static int open_input(struct transfer *t)
{
	struct stat st;
	int fd = STDIN_FILENO;

	if (t->path)
		fd = open(t->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		warn("%s", t->path ? t->path : "standard input");
		return -1;
	}
	if (S_ISDIR(st.st_mode)) {
		warnx("%s is a directory (tar c %s | ringq send %s)",
		      t->path ? t->path : "standard input", t->path ? t->path : ".", t->name);
		return -1;
	}
	if (S_ISREG(st.st_mode))
		t->total = st.st_size;
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return fd;
}

/* Reads once, into a place in the ring: what read(2) returned, or -EINTR. */
static ssize_t read_frame(int fd, struct frame *frame)
{
	ssize_t n;

	do {
		if (tool_signal)
			return -EINTR;
		n = read(fd, frame->bytes, FRAME_ROOM);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* All the input and then END: 0, or an error of the ring; *input_error is the input's. */
static int send_stream(struct transfer *t, int fd, uint64_t *sent, int *input_error)
{
	ssize_t n = 1;
	int r;

	while (n > 0) {
		struct frame *frame;

		if (tool_signal)
			return -EINTR;
		r = ringq_reserve(&t->port, 1, t->timeout);
		if (r < 0)
			return r;
		frame = ringq_at(&t->port, 0);
		n = read_frame(fd, frame);
		if (n < 0) {
			ringq_abort(&t->port);
			*input_error = n;
			return n;
		}
		frame->offset = *sent;
		frame->length = n;
		frame->kind = n ? FRAME_DATA : FRAME_END;
		ringq_commit(&t->port, 1);
		*sent += n;
		transfer_progress(t, *sent, false);
	}
	return 0;
}

/*
 * Waits until END has been released. A receiver that closes the ring throws away what it
 * finds, and leaves; if END came too late for that, the ring is seen to be closed here, for
 * the fence puts END before the look at it.
 */
static int send_rest(struct transfer *t)
{
	int r;

	atomic_thread_fence(memory_order_seq_cst);
	r = ringq_reserve(&t->port, 1, RINGQ_NOWAIT);
	if (r == 0)
		ringq_abort(&t->port);
	else if (r != -EAGAIN)
		return r;
	return tool_signal ? -EINTR : ringq_drain(&t->port, t->timeout);
}

static void explain(const struct transfer *t, int r, uint64_t sent)
{
	unsigned long long bytes = sent;

	switch (r) {
	case -EINTR:
		warnx("ended by a signal (%s) after %llu bytes; a receiver gets those, and is told",
		      strsignal(tool_signal), bytes);
		break;
	case -EPIPE:
		warnx("the receiver closed '%s' after %llu bytes had been sent", t->name, bytes);
		break;
	case -ETIMEDOUT:
		warnx("nobody received for %g s: %llu bytes had been sent into '%s' (start `ringq "
		      "recv %s', or wait longer)", (double)t->timeout / TOOL_SECOND, bytes,
		      t->name, t->name);
		break;
	default:
		warnx("'%s', after %llu bytes: %s", t->name, bytes, ringq_strerror(r));
	}
}

int cmd_send(int argc, char **argv)
{
	struct transfer t;
	uint64_t sent = 0;
	int fd, r, input_error = 0;

	transfer_parse(&t, argc, argv, doc);
	tool_catch_signals();
	fd = open_input(&t);
	if (fd < 0)
		return TOOL_FAILED;
	r = transfer_open(&t, RINGQ_PRODUCER);
	if (r)
		return r;
	r = send_stream(&t, fd, &sent, &input_error);
	if (r == 0)
		r = send_rest(&t);
	transfer_progress(&t, sent, true);
	transfer_close(&t);
	if (r == 0)
		return TOOL_OK;
	if (input_error && input_error != -EINTR)
		warnx("%s, after %llu bytes: %s", t.path ? t.path : "standard input",
		      (unsigned long long)sent, strerror(-input_error));
	else
		explain(&t, r, sent);
	return TOOL_FAILED;
}
