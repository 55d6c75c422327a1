// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The event bridge: what makes ringq_port_fd() of memfd and private memory something that can be
 * polled. A kick arrives at a port's futex word, and nothing can poll a futex; so one thread a
 * process waits for the words of all ports that are polled, and passes each kick on to the port's
 * eventfd. On the device there is no need of it, for there the module answers poll(2) itself.
 *
 * Invariant, of a port with an eventfd:
 *
 *	an eventfd that is not ready implies that the port is armed, and was seen empty after that
 *
 * Ready means readable for a consumer, writable for a producer, so that a program polls for the
 * same events as on the device: a producer's eventfd that is not ready is full.
 *
 * Arming, by the port's thread, when a try finds nothing:
 *   E1  has the bridge signalled since? then make the eventfd not ready
 *   E2  still armed? then that is all
 *   E3  wake = POLLED, then the group's bit            as S1a, S1b of lib/wait.c
 *   E4  heavy barrier                                  as S2
 *   E5  ringq_ready(), an end? then not armed: wake = AWAKE, settle, eventfd ready
 *   E6  else armed = 1, control + 1, wake the bridge
 * The bridge:
 *   B1  load control, then look at each armed port
 *   B2  its word is not POLLED: armed = 0, eventfd ready, signalled = 1
 *   B3  sleep while control and all words that are POLLED are as they were (futex_waitv)
 *
 * A kick after E3 finds POLLED and leaves KICKED. If the bridge looked before E6, E6 has it look
 * again; after that B2 or B3 sees the word. If E1 takes away what a B2 has just signalled, that B2
 * has set armed to 0 before, so E2 goes on to a look of its own (E5). A B2 that is late, after
 * E1, leaves an eventfd that is ready without need: one try in vain, which E1 then ends, because
 * signalled is stored after the eventfd is written.
 *
 * A port that is POLLED does not take a kick from one that sleeps: who is armed for an eventfd may
 * be busy elsewhere. So each kick goes to all that are POLLED, and is not counted (lib/wait.c).
 *
 * A port whose thread goes to sleep in a call is not armed, so it makes its eventfd ready first.
 *
 * Cost: a kick of a polled port is two hand-overs instead of one. Idle, the bridge makes no system
 * call. At most RINGQ_BRIDGE_PORTS ports a process, for the kernel waits for 128 words at a time.
 *
 * Eventfds that the caller adds are raised whenever the port's own becomes ready. Their list is
 * changed by the port's thread under bridge.mutex, and read by it, or by the bridge, which holds
 * that mutex.
 *
 * The thread runs from the first such port to the last, with all signals blocked, and nobody waits
 * for its end. bridge.mutex guards the list. A port's own thread takes it only to come and to go,
 * so arming is safe where the try forms are. A child made by fork has no bridge, and its ports are
 * stale.
 */
#include "internal.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RINGQ_BRIDGE_PORTS	(FUTEX_WAITV_MAX - 1)

/* A count at which an eventfd cannot be written to any more. */
#define RINGQ_EVENTFD_FULL	(UINT64_MAX - 1)

struct ringq_bridge {
	struct ringq_bridge *next;
	__u32 *wake;		/* the port's */
	uint32_t flags;		/* how to wait for it */
	uint32_t role;
	int fd;
	uint32_t armed;
	uint32_t signalled;	/* the eventfd has been written since it was made not ready */
	uint32_t others;	/* eventfds of the caller's, which are signalled as well */
	int other[RINGQ_EVENTFDS];
};

static struct {
	pthread_mutex_t mutex;
	struct ringq_bridge *ports;
	unsigned int count;
	bool running;
	__u32 control;		/* futex: the list, or what is armed, has changed */
} bridge = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static pthread_once_t ringq_bridge_once = PTHREAD_ONCE_INIT;
static int ringq_bridge_once_error;

static int ringq_waitv(const struct futex_waitv *waiters, unsigned int n)
{
	return syscall(SYS_futex_waitv, waiters, n, 0, NULL, 0) < 0 ? -errno : 0;
}

static void ringq_bridge_poke(void)
{
	__atomic_fetch_add(&bridge.control, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &bridge.control, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* The eventfd never blocks: what is full stays full, what is empty stays empty. */
static void ringq_bridge_ready(const struct ringq_bridge *b)
{
	eventfd_t count;

	if (b->role == RINGQ_CONSUMER)
		eventfd_write(b->fd, 1);
	else
		eventfd_read(b->fd, &count);
}

static void ringq_bridge_not_ready(const struct ringq_bridge *b)
{
	eventfd_t count;

	eventfd_read(b->fd, &count);
	if (b->role == RINGQ_PRODUCER)
		eventfd_write(b->fd, RINGQ_EVENTFD_FULL);
}

static void ringq_bridge_signal(struct ringq_bridge *b)
{
	uint32_t i;

	ringq_bridge_ready(b);
	ringq_delay();
	ringq_store_release(&b->signalled, 1);
	for (i = 0; i < b->others; i++)
		eventfd_write(b->other[i], 1);
}

/* B1, B2; what is to be waited for. */
static unsigned int ringq_bridge_look(struct futex_waitv *waiters)
{
	struct ringq_bridge *b;
	unsigned int n = 1;

	waiters[0] = (struct futex_waitv){
		.val = __atomic_load_n(&bridge.control, __ATOMIC_SEQ_CST),
		.uaddr = (uintptr_t)&bridge.control, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG,
	};
	for (b = bridge.ports; b; b = b->next) {
		if (!ringq_load_acquire(&b->armed))
			continue;
		if (ringq_load_acquire(b->wake) == RINGQ_POLLED) {
			waiters[n++] = (struct futex_waitv){
				.val = RINGQ_POLLED, .uaddr = (uintptr_t)b->wake,
				.flags = b->flags,
			};
		} else if (__atomic_exchange_n(&b->armed, 0, __ATOMIC_SEQ_CST)) {
			ringq_delay();
			ringq_bridge_signal(b);
		}
	}
	return n;
}

static void *ringq_bridge_run(void *unused)
{
	struct futex_waitv waiters[FUTEX_WAITV_MAX];
	unsigned int n;

	(void)unused;
	pthread_setname_np(pthread_self(), "ringq-bridge");
	for (;;) {
		pthread_mutex_lock(&bridge.mutex);
		n = ringq_bridge_look(waiters);
		bridge.running = bridge.count;
		if (!bridge.running)
			break;
		pthread_mutex_unlock(&bridge.mutex);
		ringq_delay();
		/* Whatever it returns: a look. A word that is gone has left the list before. */
		ringq_waitv(waiters, n);					/* B3 */
	}
	pthread_mutex_unlock(&bridge.mutex);
	return NULL;
}

static void ringq_bridge_before_fork(void)
{
	pthread_mutex_lock(&bridge.mutex);
}

static void ringq_bridge_in_parent(void)
{
	pthread_mutex_unlock(&bridge.mutex);
}

/* The eventfds are the parent's, and not to be touched. */
static void ringq_bridge_in_child(void)
{
	struct ringq_bridge *b;

	for (b = bridge.ports; b; b = b->next)
		close(b->fd);
	bridge.ports = NULL;
	bridge.count = 0;
	bridge.running = false;
	pthread_mutex_unlock(&bridge.mutex);
}

static void ringq_bridge_init(void)
{
	/* Two words that are not as they are said to be: -EAGAIN if the kernel can do it. */
	struct futex_waitv probe = {
		.val = bridge.control + 1, .uaddr = (uintptr_t)&bridge.control,
		.flags = FUTEX_32 | FUTEX_PRIVATE_FLAG,
	};

	ringq_bridge_once_error = ringq_waitv(&probe, 1) == -EAGAIN ?
		-pthread_atfork(ringq_bridge_before_fork, ringq_bridge_in_parent,
				ringq_bridge_in_child) : -EOPNOTSUPP;
}

/* Into the list, with the thread running. */
static int ringq_bridge_enter(struct ringq_bridge *b)
{
	pthread_t thread;
	int r;

	if (bridge.count == RINGQ_BRIDGE_PORTS)
		return -EMFILE;
	if (!bridge.running) {
		r = ringq_thread_start(&thread, ringq_bridge_run);
		if (r < 0)
			return r;
		pthread_detach(thread);
		bridge.running = true;
	}
	b->next = bridge.ports;
	bridge.ports = b;
	bridge.count++;
	return 0;
}

static int ringq_bridge_open(struct ringq_port *p)
{
	struct ringq_bridge *b;
	int r;

	pthread_once(&ringq_bridge_once, ringq_bridge_init);
	if (ringq_bridge_once_error < 0)
		return ringq_bridge_once_error;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->wake = &p->page->wake;
	b->flags = FUTEX_32 | (p->ring->memory == RINGQ_PRIVATE ? FUTEX_PRIVATE_FLAG : 0);
	b->role = p->role;
	/* Ready at first: nobody has looked yet. */
	b->signalled = 1;
	b->fd = eventfd(p->role == RINGQ_CONSUMER, EFD_CLOEXEC | EFD_NONBLOCK);
	if (b->fd < 0) {
		r = -errno;
		free(b);
		return r;
	}
	pthread_mutex_lock(&bridge.mutex);
	r = ringq_bridge_enter(b);
	pthread_mutex_unlock(&bridge.mutex);
	if (r < 0) {
		close(b->fd);
		free(b);
		return r;
	}
	p->memory = b;
	return 0;
}

int ringq_bridge_fd(struct ringq_port *p)
{
	const struct ringq_bridge *b;
	int r = p->memory ? 0 : ringq_bridge_open(p);

	b = p->memory;
	return r < 0 ? r : b->fd;
}

/* One that a write never waits for. */
static int ringq_eventfd_check(int fd)
{
	char path[RINGQ_FD_PATH], target[32];
	int flags = fcntl(fd, F_GETFL);
	ssize_t n;

	if (flags < 0)
		return -errno;
	ringq_memfd_path(path, fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return -EOPNOTSUPP;
	target[n] = 0;
	return strcmp(target, "anon_inode:[eventfd]") || !(flags & O_NONBLOCK) ? -EINVAL : 0;
}

static uint32_t ringq_bridge_find(const struct ringq_bridge *b, int fd)
{
	uint32_t i = 0;

	while (i < b->others && b->other[i] != fd)
		i++;
	return i;
}

int ringq_bridge_add(struct ringq_port *p, int fd)
{
	int r = ringq_eventfd_check(fd);
	struct ringq_bridge *b;

	if (r == 0)
		r = ringq_bridge_fd(p);
	if (r < 0)
		return r;
	b = p->memory;
	if (ringq_bridge_find(b, fd) < b->others)
		return -EEXIST;
	if (b->others == RINGQ_EVENTFDS)
		return -ENOSPC;
	pthread_mutex_lock(&bridge.mutex);
	b->other[b->others++] = fd;
	pthread_mutex_unlock(&bridge.mutex);
	/* Nobody has looked yet. */
	eventfd_write(fd, 1);
	return 0;
}

int ringq_bridge_remove(struct ringq_port *p, int fd)
{
	struct ringq_bridge *b = p->memory;
	uint32_t i = b ? ringq_bridge_find(b, fd) : 0;

	if (!b || i == b->others)
		return -ENOENT;
	pthread_mutex_lock(&bridge.mutex);
	b->other[i] = b->other[--b->others];
	pthread_mutex_unlock(&bridge.mutex);
	return 0;
}

void ringq_bridge_close(struct ringq_port *p)
{
	struct ringq_bridge *b = p->memory, **at;

	if (!b)
		return;
	pthread_mutex_lock(&bridge.mutex);
	for (at = &bridge.ports; *at != b; at = &(*at)->next)
		;
	*at = b->next;
	bridge.count--;
	ringq_bridge_poke();
	pthread_mutex_unlock(&bridge.mutex);
	close(b->fd);
	free(b);
	p->memory = NULL;
}

/* E1 to E6 */
bool ringq_bridge_arm(struct ringq_port *p, uint64_t need, uint64_t ends)
{
	struct ringq_bridge *b = p->memory;

	if (!b)
		return false;
	if (ringq_load_acquire(&b->signalled)) {
		ringq_store_relaxed(&b->signalled, 0);
		ringq_delay();
		ringq_bridge_not_ready(b);					/* E1 */
		ringq_delay();
	}
	if (__atomic_load_n(&b->armed, __ATOMIC_SEQ_CST))			/* E2 */
		return false;
	if (!ringq_futex_arm(p, need, ends, RINGQ_POLLED)) {			/* E3, E4, E5 */
		ringq_futex_disarm(p);
		ringq_bridge_signal(b);
		return true;
	}
	ringq_delay();
	__atomic_store_n(&b->armed, 1, __ATOMIC_SEQ_CST);			/* E6 */
	ringq_delay();
	ringq_bridge_poke();
	return false;
}

void ringq_bridge_disarm(struct ringq_port *p)
{
	struct ringq_bridge *b = p->memory;

	if (b && __atomic_exchange_n(&b->armed, 0, __ATOMIC_SEQ_CST))
		ringq_bridge_signal(b);
}
