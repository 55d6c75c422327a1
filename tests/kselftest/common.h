/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of the module have in common: the ABI of /dev/ringq called as it stands, without
 * the library, and processes that act as the other side.
 *
 * Functions return 0 or what they count, or a negative errno; none of them judges. Nothing here
 * depends on time, but for the grace that soon() gives to what must happen.
 */
#ifndef RINGQ_KSELFTEST_COMMON_H
#define RINGQ_KSELFTEST_COMMON_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <ringq/atomic.h>
#include <ringq/layout.h>

#define MIB	(1ull << 20)
#define PAGE	4096ull
#define HUGE	(2 * MIB)
#define MSEC	1000000ll	/* in nanoseconds, as the ABI has it */
#define FOREVER	(-1ll)

/* How long something that must happen may take on a machine that is emulated and busy. */
#define GRACE_MS	8000

/* Waits until the condition holds; false if it does not within the grace. */
#define soon(cond)							\
	({								\
		int _left = GRACE_MS;					\
		while (!(cond) && _left-- > 0)				\
			snooze();					\
		_left >= 0;						\
	})

/* How many kinds of ring every_kind() makes, at most. */
#define KINDS	24

/* A handle, and what the kernel said of its ring. */
struct ring {
	int fd;
	struct ringq_geometry geometry;
	struct ringq_layout layout;
	__u32 page_shift;
	__u32 roles;
	__u32 created;
	__u8 id[16];
};

/*
 * A port. All of the region is mapped for reading; what the role may write is mapped once more,
 * each section by itself, because a mapping has one permission and cannot be split.
 */
struct port {
	int fd;
	__u32 role;
	__u32 index;			/* number among those of its role */
	__u32 generation;
	struct ringq_geometry geometry;
	struct ringq_layout layout;
	__u64 pos;			/* the next position to publish or to consume */
	const unsigned char *region;
	struct ringq_side *side;
	struct ringq_port_page *page;
	unsigned char *bulk;		/* of who writes there */
};

/* Another process, which dies with its parent. */
struct peer {
	pid_t pid;
	int fd;
};

void snooze(void);

int device(void);
int call(int fd, unsigned long cmd, void *arg);
__u64 used_bytes(void);
int parameter_get(const char *name, char *value, size_t size);
int parameter_set(const char *name, const char *value);

struct ringq_geometry geometry_of(__u32 elem_size, __u64 slots);
struct ringq_geometry geometry_many(__u32 discipline, __u32 elem_size, __u64 slots);
struct ringq_geometry geometry_records(__u32 discipline, __u64 capacity);
size_t every_kind(struct ringq_geometry *kinds);
struct ringq_ioc_create create_args(const struct ringq_geometry *g, const char *name);
struct ringq_ioc_open open_args(const char *name, int fd);

int ring_create_with(struct ring *r, struct ringq_ioc_create *c);
int ring_create(struct ring *r, const struct ringq_geometry *g, const char *name);
int ring_open(struct ring *r, const char *name, int fd, __u32 roles);

int port_attach_with(struct port *p, const struct ring *r, __u32 role, __u32 flags, __u32 place);
int port_attach(struct port *p, const struct ring *r, __u32 role);
int port_map(struct port *p);
void port_unmap(struct port *p);
int port_join(struct port *p, const struct ring *r, __u32 role);
int port_leave(struct port *p);
__u64 side_size(const struct port *p);

__u64 attention(const struct port *p);
const struct ringq_header *header(const struct port *p);
__u64 *stamp_of(const struct port *p, __u64 pos);
const struct ringq_attention *attention_of(const struct port *p);
const struct ringq_port_page *page_at(const struct port *p, __u32 role, __u32 index);
const struct ringq_port_page *page_of(const struct port *p, __u32 role);
void publish(struct port *p, __u64 n);
__u64 published(const struct port *p);
/* Of a producer, with one consumer. */
__u64 room_of(const struct port *p);
int consume(struct port *p, __u64 n);

int port_wait(struct port *p, __u64 need, __s64 timeout, __u32 flags, __u32 *events);
int port_kick(struct port *p, __u32 count);
int port_kick_own(struct port *p, __u32 count);
int port_notify(struct port *p, __u32 count);
int port_eventfd(struct port *p, int fd, __u32 flags);
int port_poll(const struct port *p, int timeout_ms);

int peer_fork(struct peer *peer);
int peer_say(const struct peer *peer, int word);
int peer_hear(const struct peer *peer);
int peer_end(struct peer *peer);
int peer_kill(struct peer *peer);
bool sleeps_in(pid_t tid, long call);
int become(uid_t uid, gid_t gid);

int fd_send(const struct peer *peer, int fd);
int fd_receive(const struct peer *peer);

/* The harness's own limit is for machines that are not emulated. What hangs, hangs for longer. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 120

/* For FIXTURE_TEARDOWN_PARENT: the test's processes are gone, and its rings must be. */
#define EXPECT_NOTHING_LEFT() EXPECT_TRUE(soon(used_bytes() == 0))

#endif /* RINGQ_KSELFTEST_COMMON_H */
