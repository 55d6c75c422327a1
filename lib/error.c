// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Names and sentences for people. */
#include "internal.h"

#include <limits.h>
#include <string.h>

static const struct {
	int error;
	const char *text;
} ringq_errors[] = {
	{ 0, "success" },
	{ EAGAIN, "nothing to receive, or no room to send, and not asked to wait" },
	{ ETIMEDOUT, "the time ran out" },
	{ EINTR, "a signal came while waiting" },
	{ EPIPE, "the ring is closed, or the other side has left for good" },
	{ EOWNERDEAD, "the process on the other side died" },
	{ EOVERFLOW, "messages were overwritten before they could be read" },
	{ ESTALE, "this port or ring is not attached any more, or belongs to the parent process" },
	{ EBADMSG, "this is no ring, or its contents are corrupt" },
	{ EPROTO, "this ring, or the module, is of another version" },
	{ EPROTOTYPE, "the ring has another size of message, or another discipline" },
	{ EOPNOTSUPP, "there is no such operation here" },
	{ EMSGSIZE, "the message is larger than the ring, or the buffer, takes" },
	{ EBUSY, "the place is taken, or messages are already reserved or peeked" },
	{ EEXIST, "a ring of this name exists" },
	{ ENOENT, "there is no ring of this name" },
	{ EACCES, "the ring's or the device's permissions do not allow this" },
	{ EPERM, "the ring's memory is not sealed: it could be cut off" },
	{ ENODEV, "the module is not loaded: there is no " RINGQ_DEVICE_PATH },
	{ EDQUOT, "the module's limit of memory is reached" },
	{ EFBIG, "such a ring would be too large" },
	{ ENOBUFS, "the buffer is too small for the ring" },
	{ EINVAL, "an argument is out of range" },
	{ E2BIG, "an option is from a newer version of the library" },
	{ ENOMEM, "not enough memory, or no huge pages" },
	{ ENOSPC, "no room for the ring on the file's file system" },
	{ EMFILE, "this process has too many open files" },
	{ ENFILE, "the system has too many open files" },
	{ EBADF, "not an open file" },
};

RINGQ_PUBLIC const char *ringq_strerror(int error)
{
	size_t i;

	/* Not abs(), which the smallest number has none of. */
	error = error < 0 && error != INT_MIN ? -error : error;
	for (i = 0; i < sizeof(ringq_errors) / sizeof(ringq_errors[0]); i++) {
		if (ringq_errors[i].error == error)
			return ringq_errors[i].text;
	}
	/* One that the system returned and ringq passed on; NULL if there is no such number. */
	return strerrordesc_np(error) ? strerrordesc_np(error) : "unknown error";
}

RINGQ_PUBLIC const char *ringq_memory_name(uint32_t memory)
{
	static const char *const names[] = { "auto", "device", "memfd", "private" };

	return memory < sizeof(names) / sizeof(names[0]) ? names[memory] : "?";
}
