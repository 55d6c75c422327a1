// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The other side, as a process or a thread.
 */
#include "conformance.h"
#include "../quiet.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The other side. What it tells of itself lies in shared memory; body and arg are known to
 * the child because it is forked.
 */
struct conf_peer {
	struct {
		int tid;	/* 0 until it is about to sleep */
		bool dying;
	} *state;
	pid_t pid;		/* 0: a thread */
	pthread_t thread;
	struct ringq *ring;
	conf_body *body;
	void *arg;
};

static __thread struct conf_peer *self;

static void *run_thread(void *arg)
{
	self = arg;
	self->body(self->ring, self->arg);
	return NULL;
}

static void run_process(struct conf_peer *peer, int fd)
{
	struct ringq *ring = NULL;

	self = peer;
	if (fd >= 0)
		EXPECT(ringq_join_fd(fd, NULL, &ring), 0);
	peer->body(ring, peer->arg);
	ringq_leave(ring);
	_exit(0);
}

static struct conf_peer *new_peer(struct ringq *ring, conf_body *body, void *arg)
{
	struct conf_peer *peer = calloc(1, sizeof(*peer));

	CHECK(peer, "no memory");
	peer->state = conf_shared(sizeof(*peer->state));
	peer->ring = ring;
	peer->body = body;
	peer->arg = arg;
	return peer;
}

static void fork_peer(struct conf_peer *peer, int fd)
{
	quiet();
	peer->pid = fork();
	CHECK(peer->pid >= 0, "fork: %s", strerror(errno));
	if (peer->pid == 0)
		run_process(peer, fd);
}

struct conf_peer *conf_start_thread(struct ringq *ring, conf_body *body, void *arg)
{
	struct conf_peer *peer = new_peer(ring, body, arg);

	EXPECT(pthread_create(&peer->thread, NULL, run_thread, peer), 0);
	return peer;
}

struct conf_peer *conf_start(struct ringq *ring, conf_body *body, void *arg)
{
	struct conf_peer *peer;

	if (!conf.processes)
		return conf_start_thread(ring, body, arg);
	peer = new_peer(ring, body, arg);
	fork_peer(peer, ringq_fd(ring));
	return peer;
}

struct conf_peer *conf_fork(conf_body *body, void *arg)
{
	struct conf_peer *peer = new_peer(NULL, body, arg);

	fork_peer(peer, -1);
	return peer;
}

static void free_peer(struct conf_peer *peer)
{
	conf_unshare(peer->state, sizeof(*peer->state));
	free(peer);
}

void conf_join(struct conf_peer *peer)
{
	int status = 0;

	conf_at(__FILE__, __LINE__);
	if (peer->pid) {
		CHECK(waitpid(peer->pid, &status, 0) == peer->pid, "waitpid: %s", strerror(errno));
		CHECK(!WIFSIGNALED(status), "the other process died: %s",
		      strsignal(WTERMSIG(status)));
		CHECK(!WEXITSTATUS(status), "the other process ended with status %d",
		      WEXITSTATUS(status));
	} else {
		pthread_join(peer->thread, NULL);
	}
	free_peer(peer);
}

/*
 * The thread sanitizer keeps a signal back while its thread is in a system call that it does
 * not know to block, such as a futex, and runs the handler when that has returned: a call
 * that the kernel restarts, as it should, would never see it run. So the handler is installed
 * behind the sanitizer's back, and calls nothing of it.
 */
#ifdef __SANITIZE_THREAD__
int __sigaction(int sig, const struct sigaction *act, struct sigaction *old);
#define SIGACTION __sigaction
#else
#define SIGACTION sigaction
#endif

static int *signals;

__attribute__((no_sanitize("thread"))) static void count_signal(int sig)
{
	(void)sig;
	__atomic_fetch_add(signals, 1, __ATOMIC_SEQ_CST);
}

int *conf_count_signals(int sig, int flags)
{
	const struct sigaction act = { .sa_handler = count_signal, .sa_flags = flags };

	if (!signals)
		signals = conf_shared(sizeof(*signals));
	__atomic_store_n(signals, 0, __ATOMIC_SEQ_CST);
	EXPECT(SIGACTION(sig, &act, NULL), 0);
	return signals;
}

void conf_kill(struct conf_peer *peer)
{
	int status = 0;

	conf_at(__FILE__, __LINE__);
	if (peer->pid) {
		kill(peer->pid, SIGKILL);
		waitpid(peer->pid, &status, 0);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
		      "the process to be killed had ended before");
	} else {
		/* No SA_RESTART: a wait that it interrupts returns. */
		conf_count_signals(SIGUSR2, 0);
		__atomic_store_n(&peer->state->dying, true, __ATOMIC_RELEASE);
		while (pthread_tryjoin_np(peer->thread, NULL)) {
			pthread_kill(peer->thread, SIGUSR2);
			conf_sleep(MS / 10);
		}
	}
	free_peer(peer);
}

bool conf_dying(void)
{
	return __atomic_load_n(&self->state->dying, __ATOMIC_ACQUIRE);
}

void conf_will_sleep(void)
{
	__atomic_store_n(&self->state->tid, gettid(), __ATOMIC_RELEASE);
}

static char state_of(int tid)
{
	char path[40], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	f = fopen(path, "r");
	CHECK(f, "the other side is gone");
	CHECK(fscanf(f, "%*d (%*[^)]) %c", &state) == 1, "%s is strange", path);
	fclose(f);
	CHECK(state != 'Z', "the other side has ended instead of sleeping");
	return state;
}

void conf_await_sleep(const struct conf_peer *peer)
{
	int asleep = 0, tid;

	conf_at(__FILE__, __LINE__);
	/* More than once in a row, in case it was on its way to the call that is to sleep. */
	while (asleep < 5) {
		tid = __atomic_load_n(&peer->state->tid, __ATOMIC_ACQUIRE);
		asleep = tid && state_of(tid) == 'S' ? asleep + 1 : 0;
		conf_sleep(MS);
	}
}

void conf_signal(const struct conf_peer *peer, int sig)
{
	EXPECT(tgkill(peer->pid ? peer->pid : getpid(), peer->state->tid, sig), 0);
}

int conf_death_error(void)
{
	/* A thread that is told to die can but detach. */
	return conf.processes ? -EOWNERDEAD : -EPIPE;
}

struct conf_gate {
	uint32_t here;
};

struct conf_gate *conf_gate(void)
{
	return conf_shared(sizeof(struct conf_gate));
}

void conf_gate_free(struct conf_gate *gate)
{
	conf_unshare(gate, sizeof(*gate));
}

void conf_meet(struct conf_gate *gate, uint32_t n)
{
	uint32_t place = __atomic_fetch_add(&gate->here, 1, __ATOMIC_SEQ_CST);

	/* The n that come next meet among themselves. */
	while (__atomic_load_n(&gate->here, __ATOMIC_SEQ_CST) / n == place / n)
		sched_yield();
}
