// SPDX-License-Identifier: GPL-2.0-only
/*
 * See common.h.
 */
#include "common.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

void snooze(void)
{
	usleep(1000);
}

/* A new unbound file. It is not closed at exec: to have a descriptor is not to be alive. */
int device(void)
{
	int fd = open(RINGQ_DEVICE_PATH, O_RDWR);

	return fd < 0 ? -errno : fd;
}

int call(int fd, unsigned long cmd, void *arg)
{
	int r = ioctl(fd, cmd, arg);

	return r < 0 ? -errno : r;
}

/* Bytes that all rings take; ~0 if the device does not tell. */
__u64 used_bytes(void)
{
	struct ringq_ioc_info info = { .size = sizeof(info) };
	int fd = device();

	if (call(fd, RINGQ_IOC_INFO, &info) < 0)
		info.used_bytes = ~0ull;
	close(fd);
	return info.used_bytes;
}

static int parameter_open(const char *name, int mode)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/module/ringq/parameters/%s", name);
	fd = open(path, mode);
	return fd < 0 ? -errno : fd;
}

/* Reads a parameter of the module, without the line's end. */
int parameter_get(const char *name, char *value, size_t size)
{
	int fd = parameter_open(name, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, value, size - 1);
	close(fd);
	if (n < 0)
		return -EIO;
	value[n] = 0;
	value[strcspn(value, "\n")] = 0;
	return 0;
}

int parameter_set(const char *name, const char *value)
{
	int fd = parameter_open(name, O_WRONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = write(fd, value, strlen(value));
	close(fd);
	return n < 0 ? -EIO : 0;
}

/* Ports of a side, where a discipline has several. */
#define MANY 3

/* An exact geometry in small pages. */
struct ringq_geometry geometry_many(__u32 discipline, __u32 elem_size, __u64 slots)
{
	struct ringq_geometry g = {
		.discipline = discipline,
		.shape = RINGQ_SHAPE_APART,
		.elem_size = elem_size,
		.capacity = slots,
		.producers = ringq_has_many_producers(discipline) ? MANY : 1,
		.consumers = ringq_has_many_consumers(discipline) ? MANY : 1,
		.unit_shift = RINGQ_UNIT_PAGES,
		.bulk_shift = RINGQ_UNIT_PAGES,
	};

	if (elem_size <= RINGQ_LINE_ROOM && ringq_claims(discipline)) {
		g.shape = RINGQ_SHAPE_SLOT;
	} else if (elem_size <= RINGQ_LINE_ROOM) {
		g.shape = RINGQ_SHAPE_LINE;
		g.capacity *= ringq_per_line(elem_size);
	}
	return g;
}

struct ringq_geometry geometry_records(__u32 discipline, __u64 capacity)
{
	struct ringq_geometry g = geometry_many(discipline, 1, 1);

	g.shape = RINGQ_SHAPE_RECORDS;
	g.capacity = capacity;
	g.elem_size = ringq_record_max(capacity);
	return g;
}

/* Of the simplest discipline, where that does not matter. */
struct ringq_geometry geometry_of(__u32 elem_size, __u64 slots)
{
	return geometry_many(RINGQ_SPSC, elem_size, slots);
}

/* Each discipline in each shape that it can have, in small pages; returns how many. */
size_t every_kind(struct ringq_geometry *kinds)
{
	__u32 discipline;
	size_t n = 0;

	for (discipline = RINGQ_SPSC; discipline <= RINGQ_LATEST; discipline++) {
		kinds[n++] = geometry_many(discipline, 8, 16);
		kinds[n++] = geometry_many(discipline, 200, 64);
		if (!ringq_claims(discipline) && discipline != RINGQ_LATEST)
			kinds[n++] = geometry_records(discipline, PAGE);
	}
	return n;
}

/* The name may be of any length: what does not fit is cut, without a terminator. */
struct ringq_ioc_create create_args(const struct ringq_geometry *g, const char *name)
{
	struct ringq_ioc_create c = {
		.size = sizeof(c), .geometry = *g, .mode = 0600, .node = -1,
	};

	memcpy(c.name, name, strnlen(name, sizeof(c.name)));
	return c;
}

struct ringq_ioc_open open_args(const char *name, int fd)
{
	struct ringq_ioc_open o = { .size = sizeof(o), .fd = fd };

	memcpy(o.name, name, strnlen(name, sizeof(o.name)));
	return o;
}

static int ring_bound(struct ring *r, int err, const struct ringq_geometry *g, __u64 total)
{
	if (!err) {
		r->geometry = *g;
		err = ringq_layout_compute(g, &r->layout);
		if (!err && r->layout.total != total)
			err = -EPROTO;
	}
	if (err) {
		close(r->fd);
		r->fd = -1;
	}
	return err;
}

int ring_create_with(struct ring *r, struct ringq_ioc_create *c)
{
	int err;

	*r = (struct ring){ .fd = device() };
	if (r->fd < 0)
		return r->fd;
	err = call(r->fd, RINGQ_IOC_CREATE, c);
	r->page_shift = c->page_shift;
	r->created = c->created;
	r->roles = RINGQ_ROLES_ALL;
	memcpy(r->id, c->id, sizeof(r->id));
	return ring_bound(r, err, &c->geometry, c->total);
}

/* In huge pages if the geometry says so. */
int ring_create(struct ring *r, const struct ringq_geometry *g, const char *name)
{
	struct ringq_ioc_create c = create_args(g, name);

	if (g->bulk_shift == RINGQ_BULK_HUGE)
		c.flags = RINGQ_CREATE_HUGE;
	return ring_create_with(r, &c);
}

int ring_open(struct ring *r, const char *name, int fd, __u32 roles)
{
	struct ringq_ioc_open o = open_args(name, fd);
	int err;

	*r = (struct ring){ .fd = device() };
	if (r->fd < 0)
		return r->fd;
	o.roles = roles;
	err = call(r->fd, RINGQ_IOC_OPEN, &o);
	r->page_shift = o.page_shift;
	r->roles = o.roles;
	memcpy(r->id, o.id, sizeof(r->id));
	return ring_bound(r, err, &o.geometry, o.total);
}

int port_attach_with(struct port *p, const struct ring *r, __u32 role, __u32 flags, __u32 place)
{
	struct ringq_ioc_attach a = {
		.size = sizeof(a), .flags = flags, .fd = r->fd, .role = role, .port = place,
	};
	int err;

	*p = (struct port){
		.fd = device(), .role = role, .geometry = r->geometry, .layout = r->layout,
	};
	if (p->fd < 0)
		return p->fd;
	err = call(p->fd, RINGQ_IOC_ATTACH, &a);
	if (err) {
		close(p->fd);
		p->fd = -1;
	}
	p->index = a.port;
	p->generation = a.generation;
	return err;
}

int port_attach(struct port *p, const struct ring *r, __u32 role)
{
	return port_attach_with(p, r, role, 0, 0);
}

static void *port_mmap(struct port *p, __u64 offset, __u64 size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, offset);

	return at == MAP_FAILED ? NULL : at;
}

/* Bytes of the section of the port's role. */
__u64 side_size(const struct port *p)
{
	const struct ringq_layout *l = &p->layout;

	return (p->role == RINGQ_PRODUCER ? l->sides[RINGQ_CONSUMER] : l->ports) -
	       l->sides[p->role];
}

static int port_map_own(struct port *p)
{
	const struct ringq_layout *l = &p->layout;
	__u32 page = ringq_page_of(&p->geometry, p->role, p->index);

	p->side = port_mmap(p, l->sides[p->role], side_size(p));
	if (!p->side)
		return -errno;
	p->page = port_mmap(p, l->ports + page * l->port_stride, l->port_stride);
	if (!p->page)
		return -errno;
	if (!ringq_writes_bulk(&p->geometry, p->role))
		return 0;
	p->bulk = port_mmap(p, l->bulk, l->total - l->bulk);
	return p->bulk ? 0 : -errno;
}

/* Also finds the position: a producer's done may be behind what is published. */
int port_map(struct port *p)
{
	void *at = mmap(NULL, p->layout.total, PROT_READ, MAP_SHARED, p->fd, 0);
	int err;

	if (at == MAP_FAILED)
		return -errno;
	p->region = at;
	err = port_map_own(p);
	if (err) {
		port_unmap(p);
		return err;
	}
	p->pos = p->page->progress.done;
	if (p->role == RINGQ_PRODUCER)
		p->pos += published(p);
	return 0;
}

void port_unmap(struct port *p)
{
	const struct ringq_layout *l = &p->layout;

	if (p->region)
		munmap((void *)p->region, l->total);
	if (p->side)
		munmap(p->side, side_size(p));
	if (p->page)
		munmap(p->page, l->port_stride);
	if (p->bulk)
		munmap(p->bulk, l->total - l->bulk);
	p->region = NULL;
	p->side = NULL;
	p->page = NULL;
	p->bulk = NULL;
}

int port_join(struct port *p, const struct ring *r, __u32 role)
{
	int err = port_attach(p, r, role);

	return err ? err : port_map(p);
}

int port_leave(struct port *p)
{
	int err = call(p->fd, RINGQ_IOC_DETACH, NULL);

	port_unmap(p);
	close(p->fd);
	p->fd = -1;
	return err;
}

const struct ringq_attention *attention_of(const struct port *p)
{
	return (const void *)(p->region + p->layout.attention);
}

/* The word that this port reads at every message. */
__u64 attention(const struct port *p)
{
	const struct ringq_attention *a = attention_of(p);

	return ringq_load_acquire(p->role == RINGQ_PRODUCER ? &a->data : &a->space);
}

const struct ringq_header *header(const struct port *p)
{
	return (const void *)p->region;
}

const struct ringq_port_page *page_at(const struct port *p, __u32 role, __u32 index)
{
	return (const void *)(p->region + p->layout.ports +
			      ringq_page_of(&p->geometry, role, index) * p->layout.port_stride);
}

/* Of the first port of a role. */
const struct ringq_port_page *page_of(const struct port *p, __u32 role)
{
	return page_at(p, role, 0);
}

/* The stamp of a position, if the port may write it. */
__u64 *stamp_of(const struct port *p, __u64 pos)
{
	return (__u64 *)(p->bulk - p->layout.bulk +
			 ringq_stamp_at(&p->geometry, &p->layout, 0, pos));
}

static __u64 elem_offset(const struct port *p, __u64 pos)
{
	const struct ringq_layout *l = &p->layout;

	return l->data + (pos / l->per_slot & (l->slots - 1)) * l->slot_size +
	       pos % l->per_slot * p->geometry.elem_size;
}

/* Publishes without looking for room; the first byte of a message tells its position. */
void publish(struct port *p, __u64 n)
{
	unsigned char *base = p->bulk - p->layout.bulk;

	for (; n; n--, p->pos++) {
		base[elem_offset(p, p->pos)] = p->pos;
		ringq_store_release(stamp_of(p, p->pos), RINGQ_STAMP(p->pos, RINGQ_FULL));
	}
	ringq_store_release(&p->page->progress.done, p->pos);
}

/* How many messages are published from the port's position on. */
__u64 published(const struct port *p)
{
	__u64 n = 0;

	for (; n < p->geometry.capacity; n++) {
		__u64 at = ringq_stamp_at(&p->geometry, &p->layout, 0, p->pos + n);
		__u64 stamp = ringq_load_acquire((const __u64 *)(p->region + at));

		if ((__s64)(stamp - RINGQ_STAMP(p->pos + n, RINGQ_FULL)) < 0)
			break;
	}
	return n;
}

__u64 room_of(const struct port *p)
{
	return p->geometry.capacity -
	       (p->pos - ringq_load_acquire(&page_of(p, RINGQ_CONSUMER)->progress.done));
}

/* Takes and frees up to n messages; -EBADMSG if one is not what was sent. */
int consume(struct port *p, __u64 n)
{
	__u64 have = published(p), i;

	if (n > have)
		n = have;
	for (i = 0; i < n; i++)
		if (p->region[elem_offset(p, p->pos + i)] != (unsigned char)(p->pos + i))
			return -EBADMSG;
	p->pos += n;
	ringq_store_release(&p->page->progress.done, p->pos);
	return n;
}

int port_wait(struct port *p, __u64 need, __s64 timeout, __u32 flags, __u32 *events)
{
	struct ringq_ioc_wait w = {
		.size = sizeof(w), .flags = flags, .timeout_ns = timeout, .need = need,
	};
	int err = call(p->fd, RINGQ_IOC_WAIT, &w);

	if (events)
		*events = w.events;
	return err;
}

static int kick(struct port *p, __u32 flags, __u32 count)
{
	struct ringq_ioc_kick k = { .size = sizeof(k), .flags = flags, .count = count };
	int err = call(p->fd, RINGQ_IOC_KICK, &k);

	return err ? err : (int)k.woken;
}

/* Returns how many sleepers it woke. */
int port_kick(struct port *p, __u32 count)
{
	return kick(p, 0, count);
}

int port_kick_own(struct port *p, __u32 count)
{
	return kick(p, RINGQ_KICK_OWN, count);
}

/* Attaches an eventfd, or takes it off again: RINGQ_EVENTFD_DETACH. */
int port_eventfd(struct port *p, int fd, __u32 flags)
{
	struct ringq_ioc_eventfd e = { .size = sizeof(e), .flags = flags, .fd = fd };

	return call(p->fd, RINGQ_IOC_EVENTFD, &e);
}

/* What follows a publication: the kick only if it is asked for. */
int port_notify(struct port *p, __u32 count)
{
	__u64 word;

	ringq_compiler_barrier();
	word = attention(p);
	if (word & RINGQ_FENCED) {
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		word = attention(p);
	}
	return word & RINGQ_ARMED ? port_kick(p, count) : 0;
}

/* Returns the events, all that may be asked for, but POLLPRI: deaths.c. */
int port_poll(const struct port *p, int timeout_ms)
{
	struct pollfd pfd = {
		.fd = p->fd,
		.events = POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLRDHUP,
	};
	int n = poll(&pfd, 1, timeout_ms);

	return n < 0 ? -errno : n ? pfd.revents : 0;
}

/* As fork(2); -errno if it fails. */
int peer_fork(struct peer *peer)
{
	pid_t parent = getpid();
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	peer->pid = fork();
	if (peer->pid < 0)
		return -errno;
	if (!peer->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	peer->fd = pair[!peer->pid];
	close(pair[!!peer->pid]);
	return peer->pid;
}

int peer_say(const struct peer *peer, int word)
{
	return send(peer->fd, &word, sizeof(word), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Returns what the other process said; -EPIPE if it is gone. */
int peer_hear(const struct peer *peer)
{
	int word;
	ssize_t n = recv(peer->fd, &word, sizeof(word), 0);

	return n < 0 ? -errno : n ? word : -EPIPE;
}

/* Waits for the end: the exit status, or minus the signal. */
int peer_end(struct peer *peer)
{
	int status;

	if (waitpid(peer->pid, &status, 0) < 0)
		return -errno;
	close(peer->fd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int peer_kill(struct peer *peer)
{
	kill(peer->pid, SIGKILL);
	return peer_end(peer);
}

/* Whether a thread is in a certain system call, and blocked there. */
bool sleeps_in(pid_t tid, long call)
{
	char path[64], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/syscall", tid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return false;
	read(fd, text, sizeof(text) - 1);
	close(fd);
	return text[0] != 'r' && strtol(text, NULL, 10) == call;
}

/* Another user from here on, without privileges. */
int become(uid_t uid, gid_t gid)
{
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	/* The change of user has cleared it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return 0;
}

int fd_send(const struct peer *peer, int fd)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .header = {
		.cmsg_len = CMSG_LEN(sizeof(int)),
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
	} };
	char byte = 0;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.room),
	};

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	return sendmsg(peer->fd, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int fd_receive(const struct peer *peer)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int fd;

	if (recvmsg(peer->fd, &msg, 0) < 0)
		return -errno;
	if (!CMSG_FIRSTHDR(&msg))
		return -EPIPE;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}
