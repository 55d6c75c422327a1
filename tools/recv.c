// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * ringq recv: what comes out of a ring, into a file or to standard output; transfer.h has
 * the frames.
 *
 * A frame is looked at in the ring, written, and only then released: if this process is
 * killed, its successor gets the one frame that was in hand once more. In a regular FILE it
 * goes to the same place, and nothing is lost or doubled. For this FILE is not truncated
 * when it is opened, for it may be what a predecessor has written, but cut to the length
 * that was reached when the transfer ends. What has gone into a pipe or to a terminal
 * cannot be put right: there a frame that comes again is written again, and reported.
 */
#include "transfer.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char doc[] =
	"Receive into FILE, or to standard output, what a `ringq send' of the same NAME sends."
	"\v"
	"Whoever comes first makes the ring; then the other is waited for.\n"
	"\n"
	"If a receiver dies or is stopped, start another one with the same FILE: it goes on "
	"where that one stopped, and FILE will be whole. Into a pipe or a terminal, a frame "
	"that a dead receiver had in hand may come twice: that is reported, and the status "
	"is 1. FILE is overwritten in place and cut to the right length at the end.\n"
	"\n"
	"If the sender dies, all that it had committed is written, and the status is 1.";

struct sink {
	const char *path;	/* for messages */
	int fd;
	bool regular;		/* bytes go to where they belong */
	bool begun;		/* reached counts */
	uint64_t reached;	/* the offset that comes next */
	uint64_t again;		/* frames that a predecessor had in hand */
	uint64_t again_bytes;
	int error;		/* negative errno: the output failed, not the ring */
};

static int open_sink(struct sink *s, const char *path)
{
	struct stat st;

	memset(s, 0, sizeof(*s));
	s->path = path ? path : "standard output";
	s->fd = STDOUT_FILENO;
	if (path)
		s->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (s->fd < 0 || fstat(s->fd, &st) < 0) {
		warn("%s", s->path);
		return -1;
	}
	s->regular = path && S_ISREG(st.st_mode);
	return 0;
}

static int write_all(struct sink *s, const unsigned char *bytes, uint32_t length)
{
	uint64_t at = s->reached;

	while (length) {
		ssize_t n = s->regular ? pwrite(s->fd, bytes, length, at) :
					 write(s->fd, bytes, length);

		if (n < 0 && errno == EINTR) {
			if (tool_signal)
				return -EINTR;
			continue;
		}
		if (n < 0)
			return s->error = -errno;
		bytes += n;
		length -= n;
		at += n;
	}
	return 0;
}

/* The first frame says where we are. A file that ends before it is not the predecessor's. */
static int begin_sink(struct sink *s, uint64_t offset)
{
	struct stat st;

	s->begun = true;
	s->reached = offset;
	if (!offset)
		return 0;
	warnx("goes on at byte %llu, where another receiver stopped", (unsigned long long)offset);
	if (!s->regular)
		return 0;
	if (fstat(s->fd, &st) < 0)
		return s->error = -errno;
	return (uint64_t)st.st_size < offset ? s->error = -ESPIPE : 0;
}

/* The file is as long as what was received, whatever it was before. */
static int end_sink(struct sink *s)
{
	if (s->regular && ftruncate(s->fd, s->reached) < 0)
		return s->error = -errno;
	return 0;
}

/* Writes the frame in hand: 1; it was END, and all is done: 0; or an error. */
static int take_frame(struct sink *s, struct ringq_port *port)
{
	const struct frame *in_ring = ringq_at(port, 0);
	struct frame frame = *in_ring;
	int r;

	/* It is another process's memory: what has been checked is not looked at again. */
	ringq_compiler_barrier();
	if ((frame.kind != FRAME_DATA && frame.kind != FRAME_END) || frame.length > FRAME_ROOM ||
	    (s->begun && frame.offset != s->reached))
		return -EBADMSG;
	if (!s->begun) {
		r = begin_sink(s, frame.offset);
		if (r < 0) {
			ringq_release(port, 0);		/* untouched */
			return r;
		}
	}
	if (frame.kind == FRAME_END)
		return end_sink(s);
	if (ringq_flags(port) & RINGQ_REDELIVERED) {
		s->again++;
		s->again_bytes += frame.length;
	}
	r = write_all(s, in_ring->bytes, frame.length);
	if (r < 0)
		return r;
	s->reached += frame.length;
	return 1;
}

/* 0 after END; 1 if the sender is gone without one; or an error. */
static int recv_stream(struct transfer *t, struct sink *s)
{
	int64_t n;
	int r;

	do {
		if (tool_signal)
			return -EINTR;
		n = ringq_peek(&t->port, 1, t->timeout);
		if (n <= 0)
			return n < 0 ? n : 1;
		if (!s->begun)
			t->begin = tool_now();
		r = take_frame(s, &t->port);
		if (r < 0)
			return r;
		ringq_release(&t->port, 1);
		transfer_progress(t, s->reached, false);
	} while (r == 1);
	return 0;
}

/* Nobody reads what we write: tells the sender, and frees what it has already sent. */
static void refuse_rest(struct transfer *t)
{
	int64_t n;

	ringq_release(&t->port, 1);
	ringq_close(&t->port);
	while ((n = ringq_peek(&t->port, 1, RINGQ_NOWAIT)) > 0)
		ringq_release(&t->port, n);
}

static void explain_output(const struct transfer *t, const struct sink *s)
{
	unsigned long long bytes = s->reached;

	if (s->error == -EPIPE)
		warnx("the output was closed after %llu bytes; the sender is told", bytes);
	else if (s->error == -ESPIPE)
		warnx("%s is shorter than that: receive '%s' into the file that the other receiver "
		      "wrote", s->path, t->name);
	else
		warnx("%s, after %llu bytes: %s; the sender waits for another receiver", s->path,
		      bytes, strerror(-s->error));
}

static void explain(const struct transfer *t, const struct sink *s, int r)
{
	unsigned long long bytes = s->reached;

	switch (r) {
	case 1:
		warnx("the sender died or gave up after %llu bytes; they are all written", bytes);
		break;
	case -EINTR:
		warnx("ended by a signal (%s) after %llu bytes; the sender waits for another "
		      "receiver", strsignal(tool_signal), bytes);
		break;
	case -EBADMSG:
		warnx("'%s', after %llu bytes: this is not what `ringq send' sends", t->name,
		      bytes);
		break;
	case -ETIMEDOUT:
		warnx("nothing came for %g s, after %llu bytes from '%s' (start `ringq send %s', "
		      "or wait longer)", (double)t->timeout / TOOL_SECOND, bytes, t->name,
		      t->name);
		break;
	default:
		warnx("'%s', after %llu bytes: %s", t->name, bytes, ringq_strerror(r));
	}
}

static void report_again(const struct sink *s)
{
	warnx("frames that the other receiver had in hand came again: %llu, of %llu bytes%s",
	      (unsigned long long)s->again, (unsigned long long)s->again_bytes,
	      s->regular ? ", to the same place" : "; they may be double in the output");
}

int cmd_recv(int argc, char **argv)
{
	struct transfer t;
	struct sink s;
	int r;

	transfer_parse(&t, argc, argv, doc);
	tool_catch_signals();
	signal(SIGPIPE, SIG_IGN);
	if (open_sink(&s, t.path) < 0)
		return TOOL_FAILED;
	r = transfer_open(&t, RINGQ_CONSUMER);
	if (r)
		return r;
	r = recv_stream(&t, &s);
	transfer_progress(&t, s.reached, true);
	if (s.error == -EPIPE)
		refuse_rest(&t);
	/* Nothing of an older file shall follow what was received. */
	if (r && s.begun && !s.error)
		end_sink(&s);
	transfer_close(&t);
	if (s.error)
		explain_output(&t, &s);
	else if (r)
		explain(&t, &s, r);
	if (s.again)
		report_again(&s);
	if (r || s.error || (s.again && !s.regular))
		return TOOL_FAILED;
	/* Some file systems tell only now what went wrong. */
	if (close(s.fd) < 0) {
		warn("%s", s.path);
		return TOOL_FAILED;
	}
	return TOOL_OK;
}
