// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The agent: one thread a process that does for memfd rings what the module does for its
 * own. It tells those who sleep of the death of who should wake them, and answers those who
 * look for a ring by its name. It runs from the first ring that is added to the last one
 * that is removed, has all signals blocked, and makes no system call while nothing happens.
 *
 * Deaths. The lock of a port's byte is the certificate: its owner lives while it is held.
 * Locks cannot be polled, so something else says when to look:
 *
 *   a pidfd    of an owner in our own pid namespace. It is opened first and the lock looked
 *              at afterwards: if it is held then, the pidfd is that of the owner, for a pid
 *              is not used again while its process lives.
 *   a clock    for all others: owners in other pid namespaces, or when there are no more
 *              descriptors; and for owners that have died while a child of theirs, forked
 *              past pthread_atfork(), still has a copy of the locked descriptor. After 1 ms,
 *              then ever more seldom, once a second in the end. An agent with such a port to
 *              watch is not idle.
 *
 * An owner that calls exec without detaching gives up the lock and lives on. Its pidfd does
 * not tell; it is found when somebody attaches, when another port of the ring is buried, or
 * when the process ends.
 *
 * Whoever finds that ports have come or gone pokes the agent, before he sleeps
 * (ringq_places_idle()). It then compares what it watches with what the pages say: who came
 * after that wakes all sleepers, and they poke again.
 *
 * Locking. agent.mutex guards all that is here, and the agent holds it but for two times:
 * while it sleeps, and while it buries, which is refused, and tried again later, while
 * somebody holds the ring's locks. agent.busy is then the ring that must not go away. Nothing is
 * locked while agent.mutex is held, so it may be taken with a ring's mutex held; but
 * ringq_agent_remove(), which waits for the burial, must be called without.
 *
 * Fork. The child has no agent and no places: its handles are stale, and it closes the
 * copies of the locked descriptors, for they would keep its parent alive.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RINGQ_EVENTS		16
#define RINGQ_DELAY_MIN		INT64_C(1000000)
#define RINGQ_DELAY_MAX		INT64_C(1000000000)
#define RINGQ_NEVER		INT64_MAX

/* What is watched of a port page. */
struct ringq_watch {
	bool live;		/* the rest counts */
	uint32_t generation;	/* whom it was found with */
	uint32_t pid;
	uint64_t pid_ns;
	int pidfd;		/* or -1 */
	uint64_t serial;	/* its name in the epoll set */
	int64_t due;		/* when to look at the lock */
	int64_t delay;		/* and how long after that again */
};

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t changed;	/* busy or stopping */
	struct ringq *rings;
	uint64_t serial;	/* the last that was given */
	struct ringq *busy;	/* being buried in, without the mutex */
	bool stopping;
	pthread_t thread;
	int epoll_fd;
	int event_fd;		/* -1: there is no agent */
	uint32_t pid;
	uint64_t pid_ns;
} agent = {
	.mutex = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
	.epoll_fd = -1,
	.event_fd = -1,
};

static pthread_once_t ringq_agent_once = PTHREAD_ONCE_INIT;
static int ringq_agent_once_error;

/*
 * An event carries a serial number, not its descriptor: by the time it is looked at, that may
 * have been closed and its number given to another. Zero is the eventfd's.
 */
static int ringq_agent_poll(int fd, uint32_t events, uint64_t serial)
{
	struct epoll_event event = { .events = events, .data.u64 = serial };

	return epoll_ctl(agent.epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* A copy that a child has would keep a closed descriptor in the epoll set. */
static void ringq_agent_unpoll(int *fd)
{
	if (*fd < 0)
		return;
	epoll_ctl(agent.epoll_fd, EPOLL_CTL_DEL, *fd, NULL);
	close(*fd);
	*fd = -1;
}

static void ringq_watch_stop(struct ringq_watch *w)
{
	ringq_agent_unpoll(&w->pidfd);
	w->live = false;
	w->due = RINGQ_NEVER;
}

static void ringq_watch_start(struct ringq_watch *w, uint32_t generation, uint32_t pid,
			      uint64_t pid_ns)
{
	w->live = true;
	w->generation = generation;
	w->pid = pid;
	w->pid_ns = pid_ns;
	w->due = 0;
	w->delay = RINGQ_DELAY_MIN;
	if (pid_ns != agent.pid_ns || pid == agent.pid)
		return;
	w->pidfd = syscall(SYS_pidfd_open, pid, 0);
	w->serial = ++agent.serial;
	if (w->pidfd >= 0 && ringq_agent_poll(w->pidfd, EPOLLIN, w->serial) < 0) {
		close(w->pidfd);
		w->pidfd = -1;
	}
}

/* The process is dead. */
static void ringq_watch_alarm(struct ringq_watch *w)
{
	ringq_agent_unpoll(&w->pidfd);
	w->due = 0;
	w->delay = RINGQ_DELAY_MIN;
}

/* Is somebody to be buried? Sets the time of the next look. */
static bool ringq_watch_look(struct ringq_watch *w, const struct ringq *ring, uint32_t index,
			     int64_t now)
{
	bool held = ringq_memfd_held(ring, index);
	/* A port of our own process ends with the agent, or by its detach. */
	bool own = w->pid_ns == agent.pid_ns && w->pid == agent.pid;

	if (own || (held && w->pidfd >= 0)) {
		w->due = RINGQ_NEVER;
	} else {
		w->due = now + w->delay;
		w->delay = w->delay < RINGQ_DELAY_MAX / 2 ? 2 * w->delay : RINGQ_DELAY_MAX;
	}
	return !held;
}

/*
 * Brings what is watched in line with a ring's port pages; true if somebody is to be buried.
 * A page that is being taken at this moment may be read half old and half new: it is read
 * again when its owner has done, for he wakes everybody.
 */
static bool ringq_agent_scan(struct ringq *ring, int64_t now, int64_t *next)
{
	bool dead = false;
	uint32_t i;

	for (i = 0; i < ringq_ports(&ring->geometry); i++) {
		const struct ringq_port_page *page = ringq_page(ring, ring->base, i);
		struct ringq_watch *w = &ring->watches[i];
		uint32_t generation, pid;
		uint64_t pid_ns;

		if (ringq_load_acquire(&page->state) != RINGQ_PORT_LIVE) {
			ringq_watch_stop(w);
			continue;
		}
		generation = ringq_load_relaxed(&page->generation);
		pid = ringq_load_relaxed(&page->pid);
		pid_ns = ringq_load_relaxed(&page->pid_ns);
		if (!w->live || w->generation != generation || w->pid != pid ||
		    w->pid_ns != pid_ns) {
			ringq_watch_stop(w);
			ringq_watch_start(w, generation, pid, pid_ns);
		}
		if (w->due <= now && ringq_watch_look(w, ring, i, now))
			dead = true;
		if (w->due < *next)
			*next = w->due;
	}
	return dead;
}

/* Scans and buries until nobody is left to be buried; returns when to come back. */
static int64_t ringq_agent_round(void)
{
	struct ringq *ring;
	int64_t now, next;

again:
	now = ringq_now();
	next = RINGQ_NEVER;
	for (ring = agent.rings; ring; ring = ring->next) {
		if (!ringq_agent_scan(ring, now, &next))
			continue;
		agent.busy = ring;
		pthread_mutex_unlock(&agent.mutex);
		ringq_places_bury(ring);
		pthread_mutex_lock(&agent.mutex);
		agent.busy = NULL;
		pthread_cond_broadcast(&agent.changed);
		/* The list may be another. Each look moves its due time, so this ends. */
		goto again;
	}
	return next;
}

static int ringq_agent_timeout(int64_t next)
{
	int64_t left;

	if (next == RINGQ_NEVER)
		return -1;
	left = next - ringq_now();
	return left > 0 ? (left + 999999) / 1000000 : 0;
}

static void ringq_agent_event(uint64_t serial)
{
	struct ringq *ring;
	eventfd_t count;
	uint32_t i;

	if (!serial) {
		eventfd_read(agent.event_fd, &count);
		return;
	}
	for (ring = agent.rings; ring; ring = ring->next) {
		if (ring->listen_fd >= 0 && ring->listen_serial == serial) {
			ringq_name_answer(ring->listen_fd, ring);
			return;
		}
		for (i = 0; i < ringq_ports(&ring->geometry); i++) {
			if (ring->watches[i].pidfd >= 0 && ring->watches[i].serial == serial) {
				ringq_watch_alarm(&ring->watches[i]);
				return;
			}
		}
	}
}

static void *ringq_agent_run(void *unused)
{
	struct epoll_event events[RINGQ_EVENTS];
	int64_t next;
	int i, n;

	(void)unused;
	pthread_setname_np(pthread_self(), "ringq-agent");
	pthread_mutex_lock(&agent.mutex);
	for (;;) {
		next = ringq_agent_round();
		if (agent.stopping)
			break;
		pthread_mutex_unlock(&agent.mutex);
		n = epoll_wait(agent.epoll_fd, events, RINGQ_EVENTS, ringq_agent_timeout(next));
		pthread_mutex_lock(&agent.mutex);
		for (i = 0; i < n; i++)
			ringq_agent_event(events[i].data.u64);
	}
	pthread_mutex_unlock(&agent.mutex);
	return NULL;
}

static void ringq_agent_close(void)
{
	if (agent.epoll_fd >= 0)
		close(agent.epoll_fd);
	agent.epoll_fd = -1;
	if (agent.event_fd >= 0)
		close(agent.event_fd);
	ringq_store_relaxed(&agent.event_fd, -1);
}

static int ringq_agent_start(void)
{
	int fd, r;

	agent.pid = getpid();
	agent.pid_ns = ringq_pid_namespace();
	agent.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = agent.epoll_fd < 0 || fd < 0 ? -errno : 0;
	ringq_store_relaxed(&agent.event_fd, fd);
	if (r == 0)
		r = ringq_agent_poll(fd, EPOLLIN, 0);
	if (r == 0)
		r = ringq_thread_start(&agent.thread, ringq_agent_run);
	if (r < 0)
		ringq_agent_close();
	return r;
}

static void ringq_agent_stop(void)
{
	agent.stopping = true;
	ringq_agent_poke();
	pthread_mutex_unlock(&agent.mutex);
	pthread_join(agent.thread, NULL);
	pthread_mutex_lock(&agent.mutex);
	ringq_agent_close();
	agent.stopping = false;
	pthread_cond_broadcast(&agent.changed);
}

static void ringq_agent_before_fork(void)
{
	pthread_mutex_lock(&agent.mutex);
}

static void ringq_agent_in_parent(void)
{
	pthread_mutex_unlock(&agent.mutex);
}

/* Frees what the agent keeps for a ring; the descriptor of its listening socket too. */
static void ringq_agent_forget(struct ringq *ring)
{
	uint32_t i;

	ringq_agent_unpoll(&ring->listen_fd);
	for (i = 0; i < ringq_ports(&ring->geometry); i++)
		ringq_watch_stop(&ring->watches[i]);
	free(ring->watches);
	ring->watches = NULL;
}

static void ringq_agent_in_child(void)
{
	struct ringq *ring;

	/* First of all: the epoll set is the parent's, and nothing is to be taken out of it. */
	ringq_agent_close();
	while ((ring = agent.rings)) {
		agent.rings = ring->next;
		ringq_agent_forget(ring);
		if (ring->lock_fd >= 0)
			close(ring->lock_fd);
		ring->lock_fd = -1;
		/* A thread that is not here may have held it. */
		pthread_mutex_init(&ring->mutex, NULL);
	}
	agent.busy = NULL;
	agent.stopping = false;
	pthread_cond_init(&agent.changed, NULL);
	pthread_mutex_unlock(&agent.mutex);
}

static void ringq_agent_init(void)
{
	ringq_agent_once_error = -pthread_atfork(ringq_agent_before_fork, ringq_agent_in_parent,
						 ringq_agent_in_child);
}

/* Takes a ring in; the agent runs. */
static int ringq_agent_admit(struct ringq *ring)
{
	uint32_t i;
	int r = 0;

	ring->listen_fd = -1;
	ring->watches = calloc(ringq_ports(&ring->geometry), sizeof(*ring->watches));
	if (!ring->watches)
		return -ENOMEM;
	for (i = 0; i < ringq_ports(&ring->geometry); i++)
		ring->watches[i].pidfd = -1;
	if (ring->name[0]) {
		ring->listen_fd = ringq_name_listen(ring->name);
		/*
		 * Told of new joiners only: one that cannot be accepted for want of
		 * descriptors must not keep the agent running in circles.
		 */
		ring->listen_serial = ++agent.serial;
		r = ring->listen_fd < 0 ? ring->listen_fd :
					  ringq_agent_poll(ring->listen_fd, EPOLLIN | EPOLLET,
							   ring->listen_serial);
	}
	if (r < 0) {
		ringq_agent_forget(ring);
		return r;
	}
	ring->next = agent.rings;
	agent.rings = ring;
	return 0;
}

int ringq_agent_add(struct ringq *ring)
{
	int r;

	pthread_once(&ringq_agent_once, ringq_agent_init);
	if (ringq_agent_once_error < 0)
		return ringq_agent_once_error;
	pthread_mutex_lock(&agent.mutex);
	while (agent.stopping)
		pthread_cond_wait(&agent.changed, &agent.mutex);
	r = agent.event_fd < 0 ? ringq_agent_start() : 0;
	if (r == 0) {
		r = ringq_agent_admit(ring);
		if (!agent.rings)
			ringq_agent_stop();
		else
			ringq_agent_poke();
	}
	pthread_mutex_unlock(&agent.mutex);
	return r;
}

void ringq_agent_remove(struct ringq *ring)
{
	struct ringq **at;

	pthread_mutex_lock(&agent.mutex);
	while (agent.busy == ring)
		pthread_cond_wait(&agent.changed, &agent.mutex);
	for (at = &agent.rings; *at && *at != ring; at = &(*at)->next)
		;
	if (*at) {
		*at = ring->next;
		ringq_agent_forget(ring);
		if (!agent.rings)
			ringq_agent_stop();
	}
	pthread_mutex_unlock(&agent.mutex);
}

/*
 * Takes no mutex, because the try forms may be called by a signal handler. Who calls it has
 * a ring here that is not removed meanwhile, so the agent does not go away under it.
 */
void ringq_agent_poke(void)
{
	int fd = ringq_load_relaxed(&agent.event_fd);

	if (fd >= 0)
		eventfd_write(fd, 1);
}
