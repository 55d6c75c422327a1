// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Names without the module: abstract unix sockets, which are names in the network namespace
 * that vanish with their owner.
 *
 *   @ringq/NAME                     bound by who is joining or creating, so that no two
 *                                   processes make the ring at once
 *   @ringq/NAME/0123456789abcdef    one for each member: its agent listens here and hands
 *                                   out the memfd; the tail is random
 *
 * Every member has an address of its own because the ring must outlive its creator: while
 * one member lives, joiners find that ring and do not make a second one. They find the
 * addresses in /proc/net/unix and ask one member after the other.
 *
 * A member that is there and does not answer (it is stopped, or out of descriptors) counts
 * as a reason to fail, never as a ring that is not there. One that dies or leaves while it
 * is asked counts as not there.
 *
 * Whom to trust. Addresses are free for all: who asks looks at the uid of who listens, and
 * takes a ring only from its own or root unless told otherwise. Who answers looks at the uid
 * of who asks: the ring's owner and root are measured by the owner's bits of its mode,
 * everybody else by those of others (the group's bits are not used: the ring knows no
 * group). A memfd cannot be half given, so both r and w are needed.
 */
#include "internal.h"

#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define RINGQ_HELLO_VERSION	1
#define RINGQ_BACKLOG		64
#define RINGQ_LOCK_TIME		INT64_C(10000000000)	/* until the bare name is given up */
#define RINGQ_FIND_TIME		INT64_C(5000000000)	/* until all members are */
#define RINGQ_ANSWER_TIME	INT64_C(200000000)	/* until one is passed over for the next */
#define RINGQ_TAIL_DIGITS	16
#define RINGQ_FLAG_LISTENS	(1u << 16)		/* of /proc/net/unix */

/* What a member says, once, to who connects; with the memfd if error is 0. */
struct ringq_hello {
	uint64_t magic;		/* RINGQ_MAGIC */
	uint32_t version;	/* RINGQ_HELLO_VERSION */
	int32_t error;		/* 0 or a negative errno */
};

bool ringq_name_valid(const char *name)
{
	size_t n = strnlen(name, RINGQ_NAME_SIZE), i;

	if (!n || n == RINGQ_NAME_SIZE)
		return false;
	for (i = 0; i < n; i++) {
		unsigned char c = name[i];

		if (c < 0x20 || c == 0x7f || c == '/')
			return false;
	}
	return true;
}

/* The address of a name, or of a member if tail is not empty; returns its length. */
static socklen_t ringq_address(struct sockaddr_un *address, const char *name, const char *tail)
{
	int n;

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	n = snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1, "ringq/%s%s%s", name,
		     *tail ? "/" : "", tail);
	return offsetof(struct sockaddr_un, sun_path) + 1 + n;
}

static int ringq_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

int ringq_name_lock(const char *name)
{
	struct timespec pause = { .tv_nsec = 500000 };
	int64_t deadline = ringq_now() + RINGQ_LOCK_TIME;
	struct sockaddr_un address;
	socklen_t size = ringq_address(&address, name, "");
	int fd = ringq_socket(), r;

	if (fd < 0)
		return fd;
	while (bind(fd, (struct sockaddr *)&address, size) < 0) {
		r = errno == EADDRINUSE ? -ETIMEDOUT : -errno;
		if (r != -ETIMEDOUT || ringq_now() >= deadline) {
			close(fd);
			return r;
		}
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < 50000000)
			pause.tv_nsec *= 2;
	}
	return fd;
}

int ringq_name_listen(const char *name)
{
	char tail[RINGQ_TAIL_DIGITS + 1];
	struct sockaddr_un address;
	socklen_t size;
	unsigned long long random;
	int fd, r;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -errno;
	snprintf(tail, sizeof(tail), "%016llx", random);
	size = ringq_address(&address, name, tail);
	fd = ringq_socket();
	if (fd < 0)
		return fd;
	if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, RINGQ_BACKLOG) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

/* The effective uid that the other end had when it connected or listened, or an error. */
static int64_t ringq_peer_uid(int fd)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return -errno;
	return cred.uid;
}

static int ringq_may_join(int fd, const struct ringq *ring)
{
	int64_t uid = ringq_peer_uid(fd);
	uint32_t need;

	if (uid < 0)
		return uid;
	need = uid == ring->uid || uid == 0 ? 0600 : 0006;
	return (ring->mode & need) == need ? 0 : -EACCES;
}

static int ringq_hello_send(int to, int error, int fd)
{
	struct ringq_hello hello = {
		.magic = RINGQ_MAGIC, .version = RINGQ_HELLO_VERSION, .error = error,
	};
	struct iovec iov = { .iov_base = &hello, .iov_len = sizeof(hello) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { { 0 } };

	if (error == 0) {
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
	}
	return sendmsg(to, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/*
 * One message fits into every new connection, so that a joiner who does not read holds up
 * nobody. The limit is for those who connect faster than they can be answered.
 */
void ringq_name_answer(int listen_fd, const struct ringq *ring)
{
	int i, fd, r;

	for (i = 0; i < 2 * RINGQ_BACKLOG; i++) {
		fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		r = ringq_hello_send(fd, ringq_may_join(fd, ring), ring->fd);
		/* A descriptor that must not or cannot be passed: say that there is a ring. */
		if (r < 0)
			ringq_hello_send(fd, r, -1);
		close(fd);
	}
}

/* The one descriptor of a message, or -EPROTO; any others are closed. */
static int ringq_fd_of(struct msghdr *msg)
{
	struct cmsghdr *c;
	int kept = -EPROTO, fd;
	size_t i, n;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (kept < 0)
				kept = fd;
			else
				close(fd);
		}
	}
	return kept;
}

static int ringq_hello_recv(int from)
{
	struct ringq_hello hello;
	struct iovec iov = { .iov_base = &hello, .iov_len = sizeof(hello) };
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(from, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	int fd, error;

	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : errno == ECONNRESET ? -ENOENT : -errno;
	fd = ringq_fd_of(&msg);
	if (n == 0)
		error = -ENOENT;
	else if (n != sizeof(hello) || hello.magic != RINGQ_MAGIC ||
		 hello.version != RINGQ_HELLO_VERSION || hello.error > 0)
		error = -EPROTO;
	else
		error = hello.error;
	if (error < 0 && fd >= 0)
		close(fd);
	return error < 0 ? error : fd;
}

/* Waits for the answer; signals do not make it longer. */
static int ringq_hello_wait(int from, int64_t patience)
{
	struct pollfd p = { .fd = from, .events = POLLIN };
	int64_t deadline = ringq_now() + patience, left = patience;
	struct timespec ts;

	do {
		ts.tv_sec = left / 1000000000;
		ts.tv_nsec = left % 1000000000;
		if (ppoll(&p, 1, &ts, NULL) > 0)
			break;
		left = deadline - ringq_now();
	} while (left > 0);
	return ringq_hello_recv(from);
}

/* The memfd from one member; -ENOENT: there is nobody at this address. */
static int ringq_name_ask(const char *name, const char *tail, bool any_owner, int64_t patience)
{
	struct sockaddr_un address;
	socklen_t size = ringq_address(&address, name, tail);
	int fd = ringq_socket(), r;
	int64_t uid;

	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&address, size) < 0) {
		/* Its backlog is full, though joiners come one by one: it does not answer. */
		r = errno == ECONNREFUSED ? -ENOENT : errno == EAGAIN ? -ETIMEDOUT : -errno;
		goto out;
	}
	uid = ringq_peer_uid(fd);
	if (uid < 0)
		r = uid;
	else if (!any_owner && uid != 0 && uid != geteuid())
		r = -EACCES;
	else
		r = ringq_hello_wait(fd, patience);
out:
	close(fd);
	return r;
}

/*
 * The tail of the address in a line of /proc/net/unix, if a member of this name listens
 * there. Seven fields come before the address, none of which has an '@'; the address itself
 * may have any byte in it, so that a line may be made to lie: connecting tells the truth.
 */
static const char *ringq_tail_in(char *line, const char *name)
{
	unsigned int flags;
	char *at = strstr(line, " @");
	size_t n = strlen(name);

	if (!at || sscanf(line, "%*s %*s %*s %x", &flags) != 1 || !(flags & RINGQ_FLAG_LISTENS))
		return NULL;
	at += 2;
	if (strncmp(at, "ringq/", 6) || strncmp(at + 6, name, n) || at[6 + n] != '/')
		return NULL;
	at += 6 + n + 1;
	if (strspn(at, "0123456789abcdef") != RINGQ_TAIL_DIGITS || at[RINGQ_TAIL_DIGITS] != '\n')
		return NULL;
	at[RINGQ_TAIL_DIGITS] = '\0';
	return at;
}

/* Once through the list. What keeps us out counts more than silence, silence than nobody. */
static int ringq_name_search(const char *name, bool any_owner, int64_t patience)
{
	/* That of this thread, which may have left the process's network namespace. */
	FILE *list = fopen("/proc/thread-self/net/unix", "re");
	int found = -ENOENT, r;
	size_t room = 0;
	char *line = NULL;

	if (!list)
		return errno == ENOENT ? -EOPNOTSUPP : -errno;
	while (found < 0 && getline(&line, &room, list) > 0) {
		const char *tail = ringq_tail_in(line, name);

		if (!tail)
			continue;
		r = ringq_name_ask(name, tail, any_owner, patience);
		if (found == -ENOENT || (r != -ENOENT && r != -ETIMEDOUT))
			found = r;
	}
	free(line);
	fclose(list);
	return found;
}

int ringq_name_find(const char *name, bool any_owner)
{
	int64_t deadline = ringq_now() + RINGQ_FIND_TIME, patience = RINGQ_ANSWER_TIME;
	int r = ringq_name_search(name, any_owner, patience);

	/*
	 * The list is read in pieces, and a line can be lost between two of them while other
	 * sockets come and go: nobody is nobody only the second time.
	 */
	if (r == -ENOENT)
		r = ringq_name_search(name, any_owner, patience);
	/* A machine that is busy is slower than a member that is stopped may be. */
	while (r == -ETIMEDOUT && ringq_now() < deadline) {
		patience *= 2;
		r = ringq_name_search(name, any_owner, patience);
	}
	return r;
}
