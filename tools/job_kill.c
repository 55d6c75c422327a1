// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The promises about kill -9. The file that is being received tells how far the transfer
 * is; at half its length one side is killed, in the middle of its work. If it was faster
 * and had done everything by then, nothing was tried, and it is tried again; only a file
 * that is smaller than a few rings may be too small to be caught.
 */
#include "job.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KILL_TRIES	10
#define KILL_SMALL	(UINT64_C(8) << 20)
#define KILL_LOOK	20000	/* ns between looks */
#define KILL_GRACE	TOOL_SECOND

/* Between a look and the next; a short sleep, so as not to hold up those who work. */
static int doze(int64_t deadline)
{
	static const struct timespec pause = { .tv_nsec = KILL_LOOK };

	nanosleep(&pause, NULL);
	return tool_signal ? -EINTR : tool_now() > deadline ? -ETIMEDOUT : 0;
}

/* Starts both; returns when half of the file is there, or the child has done its work. */
static int run_to_half(struct job *job, const struct child *c, struct ringq **seen)
{
	struct ringq_opts opts = { .size = sizeof(opts), .name = job->name };
	int64_t deadline = tool_now() + 60 * TOOL_SECOND;
	int r;

	unlink(job->out);
	r = job_start_recv(job);
	if (r == 0)
		r = job_start_send(job);
	while (r == 0 && seen && !*seen && !child_ended(&job->recv)) {
		r = ringq_join(&opts, seen);
		if (r == -ENOENT)
			r = doze(deadline);
	}
	while (r == 0 && job_received(job) <= job->size / 2 && !child_ended(c))
		r = doze(deadline);
	return r;
}

/* What a killed sender has left. */
struct cut {
	int status;		/* the receiver's */
	double ms;		/* from the kill to the receiver's end */
	uint64_t bytes;		/* received */
	uint64_t frames;	/* released, says the ring */
	int64_t left;		/* committed and not received, says the ring: 0 is none */
};

/* The ring, which this process has joined for that, tells what had been committed. */
static int look_into(struct ringq *ring, struct cut *cut)
{
	struct ringq_port port;
	int r = ringq_attach(ring, RINGQ_CONSUMER, &port);

	if (r < 0)
		return r;
	cut->frames = ringq_position(&port);
	cut->left = ringq_peek(&port, 1, RINGQ_NOWAIT);
	ringq_detach(&port);
	return 0;
}

static int kill_sender(struct job *job, struct cut *cut)
{
	struct ringq *ring = NULL;
	int64_t begin;
	int r = run_to_half(job, &job->send, &ring);

	memset(cut, 0, sizeof(*cut));
	if (r < 0)
		goto out;
	begin = tool_now();
	child_kill(&job->send);
	r = job_wait(&job->recv);
	if (r < 0)
		goto out;
	cut->status = r;
	cut->ms = (tool_now() - begin) / 1e6;
	child_end(&job->send);
	cut->bytes = job_received(job);
	r = ring ? look_into(ring, cut) : 0;
out:
	ringq_leave(ring);
	return r;
}

static double percent(const struct job *job, uint64_t bytes)
{
	return job->size ? 100.0 * bytes / job->size : 100;
}

/* All frames but a file's last are full. */
static uint64_t bytes_of(const struct job *job, uint64_t frames)
{
	return frames * FRAME_ROOM < job->size ? frames * FRAME_ROOM : job->size;
}

/* Did the receiver say so? */
static bool said(const struct job *job, const char *format, uint64_t *a, uint64_t *b)
{
	FILE *f = fopen(job->log, "re");
	bool found = false;
	char line[512];

	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, format, a, b) > 0;
	if (f)
		fclose(f);
	return found;
}

/* A death in the last quarter, of a file that has quarters, is tried again. */
static bool is_late(const struct job *job, int status, uint64_t bytes)
{
	return !status || (job->size >= KILL_SMALL && bytes > job->size / 4 * 3);
}

/* No try has caught the victim at work. */
static void promise_uncaught(struct job *job, const char *who, bool whole)
{
	if (!whole)
		job_promise(job, false, "%s killed after it had done all: the file is not whole",
			    who);
	else if (job->size < KILL_SMALL)
		job_promise(job, true, "%s killed, but too late: this file is too small for it to "
			    "be caught half-way; it is whole", who);
	else
		job_promise(job, false, "%s killed: too late each of %d times", who, KILL_TRIES);
}

static bool sender_kept(const struct job *job, const struct cut *cut)
{
	if (!cut->status)
		return job_is_whole(job);
	return job_is_prefix(job) && cut->left == 0 && cut->bytes == bytes_of(job, cut->frames);
}

int job_kill_sender(struct job *job)
{
	char got[TOOL_FIGURE], all[TOOL_FIGURE];
	uint64_t bytes = 0, none;
	struct cut cut;
	int tries = 0;
	bool kept;

	do {
		int r = kill_sender(job, &cut);

		if (r < 0)
			return r;
		kept = sender_kept(job, &cut);
	} while (kept && is_late(job, cut.status, cut.bytes) && ++tries < KILL_TRIES);
	if (!cut.status) {
		promise_uncaught(job, "sender", kept);
		return 0;
	}
	job_promise(job, kept, "sender killed at %.0f %%: what it had committed arrived, %" PRIu64
		    " frame%s, %s of %s, byte for byte the file's; the ring is empty",
		    percent(job, cut.bytes), cut.frames, cut.frames == 1 ? "" : "s",
		    tool_bytes(got, cut.bytes), tool_bytes(all, job->size));
	job_promise(job, said(job, "ringq recv: the sender died or gave up after %" SCNu64, &bytes,
			      &none) && bytes == cut.bytes,
		    "sender killed at %.0f %%: the receiver ended %.1f ms after the kill, and said "
		    "that this is not all", percent(job, cut.bytes), cut.ms);
	return 0;
}

/* How one receiver has taken over from another. */
struct takeover {
	int killed;		/* status of the first: 0, it had done all */
	int status, sent;	/* of the second, and of the sender */
	uint64_t written;	/* bytes, by the first */
	uint64_t from;		/* where the second went on */
	uint64_t again;		/* frames that it got flagged, */
	uint64_t again_bytes;	/* and their bytes */
};

static int take_over(struct job *job, struct takeover *t)
{
	uint64_t none;
	int r = job_start_recv(job);

	if (r < 0)
		return r;
	t->status = job_wait(&job->recv);
	if (t->status < 0)
		return t->status;
	/* If that went wrong, the sender waits for yet another one. */
	if (t->status)
		child_end(&job->send);
	else
		t->sent = job_wait(&job->send);
	said(job, "ringq recv: goes on at byte %" SCNu64, &t->from, &none);
	said(job, "ringq recv: frames that the other receiver had in hand came again: %" SCNu64
	     ", of %" SCNu64, &t->again, &t->again_bytes);
	return t->sent < 0 ? t->sent : 0;
}

static int kill_receiver(struct job *job, struct takeover *t)
{
	int r = run_to_half(job, &job->recv, NULL);

	memset(t, 0, sizeof(*t));
	if (r < 0)
		return r;
	child_kill(&job->recv);
	t->killed = job_wait(&job->recv);
	if (t->killed < 0)
		return t->killed;
	t->written = job_received(job);
	if (t->written < job->size)
		return take_over(job, t);
	/* If it was killed after it had done all, the sender ends without another one. */
	r = child_wait(&job->send, KILL_GRACE);
	if (r == -ETIMEDOUT)
		return take_over(job, t);
	t->killed = 0;
	return r < 0 ? r : 0;
}

int job_kill_receiver(struct job *job)
{
	struct takeover t;
	int tries = 0;
	bool whole;

	do {
		int r = kill_receiver(job, &t);

		if (r < 0)
			return r;
		whole = t.status == 0 && t.sent == 0 && job_is_whole(job);
	} while (whole && is_late(job, t.killed, t.written) && ++tries < KILL_TRIES);
	if (!t.killed) {
		promise_uncaught(job, "receiver", whole);
		return 0;
	}
	job_promise(job, whole, "receiver killed at %.0f %%, byte %" PRIu64 ", another one went on "
		    "at byte %" PRIu64 ": the file is whole, digests equal",
		    percent(job, t.written), t.written, t.from);
	/* It holds one frame at a time; what was written and came again must be of that one. */
	job_promise(job, t.again <= 1 && t.from <= t.written && t.written - t.from <= t.again_bytes,
		    "receiver killed at %.0f %%: of the 1 frame that it can have held %" PRIu64
		    " came again, flagged, %" PRIu64 " bytes", percent(job, t.written), t.again,
		    t.again_bytes);
	return 0;
}
