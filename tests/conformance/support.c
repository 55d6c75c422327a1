// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What the cases are made of: time and chance, rings in the memory under test, messages that
 * show when they are lost, doubled or torn, and the other side, as a process or a thread.
 */
#include "conformance.h"
#include "../quiet.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

uint64_t conf_times(uint64_t n)
{
	n = n * conf.scale / 100;
	return n ? n : 1;
}

int64_t conf_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

uint64_t conf_random(uint64_t below)
{
	static __thread uint64_t state;

	if (!state)
		state = conf_now() | 1;
	/* xorshift64 */
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % below;
}

void conf_sleep(int64_t ns)
{
	struct timespec ts = { ns / 1000000000, ns % 1000000000 };

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

void *conf_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED, "no memory");
	return p;
}

struct ringq *conf_create(struct ringq_opts opts)
{
	struct ringq *ring = NULL;

	opts.size = sizeof(opts);
	opts.memory = conf.memory;
	EXPECT(ringq_create(&opts, &ring), 0);
	return ring;
}

struct ringq *conf_ring(size_t elem_size, uint64_t capacity, uint32_t flags)
{
	return conf_create((struct ringq_opts){
		.elem_size = elem_size, .capacity = capacity, .flags = flags,
	});
}

uint64_t conf_capacity(const struct ringq *ring)
{
	struct ringq_info info = { .size = sizeof(info) };

	EXPECT(ringq_get_info(ring, &info), 0);
	return info.capacity;
}

const char *conf_name(const char *suffix)
{
	static char name[RINGQ_NAME_SIZE];

	snprintf(name, sizeof(name), "conformance-%d-%lld-%s", getpid(),
		 (long long)conf_now(), suffix);
	return name;
}

/* The i-th 8 bytes of a message. The factors are odd, so different numbers differ. */
static uint64_t word_of(uint64_t seq, uint64_t i)
{
	uint64_t x = (seq + 1) * UINT64_C(0x9e3779b97f4a7c15) + i * UINT64_C(0xbf58476d1ce4e5b9);

	return x ^ x >> 32;
}

void conf_fill(void *msg, size_t size, uint64_t seq)
{
	unsigned char *to = msg;
	uint64_t word;
	size_t at, n;

	for (at = 0; at < size; at += n) {
		n = size - at < sizeof(word) ? size - at : sizeof(word);
		word = word_of(seq, at / sizeof(word));
		memcpy(to + at, &word, n);
	}
}

void conf_verify(const void *msg, size_t size, uint64_t seq)
{
	const unsigned char *from = msg;
	uint64_t word;
	size_t at, n;

	for (at = 0; at < size; at += n) {
		n = size - at < sizeof(word) ? size - at : sizeof(word);
		word = word_of(seq, at / sizeof(word));
		CHECK(!memcmp(from + at, &word, n),
		      "message %llu is lost, doubled or torn: wrong at byte %zu of %zu",
		      (unsigned long long)seq, at, size);
	}
}

int conf_send_seq(struct ringq_port *port, uint64_t seq)
{
	unsigned char msg[port->elem_size];

	conf_fill(msg, sizeof(msg), seq);
	return ringq_send(port, msg, RINGQ_NOWAIT);
}

int conf_recv_seq(struct ringq_port *port, uint64_t seq)
{
	unsigned char msg[port->elem_size];
	int r = ringq_recv(port, msg, RINGQ_NOWAIT);

	if (r == 1)
		conf_verify(msg, sizeof(msg), seq);
	return r;
}

void conf_send_range(struct ringq_port *port, uint64_t from, uint64_t to)
{
	for (; from < to; from++)
		EXPECT(conf_send_seq(port, from), 1);
}

void conf_recv_range(struct ringq_port *port, uint64_t from, uint64_t to)
{
	for (; from < to; from++)
		EXPECT(conf_recv_seq(port, from), 1);
}

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
	munmap(peer->state, sizeof(*peer->state));
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

static void interrupt(int sig)
{
	(void)sig;
}

void conf_kill(struct conf_peer *peer)
{
	/* No SA_RESTART: a wait that it interrupts returns. */
	const struct sigaction act = { .sa_handler = interrupt };
	int status = 0;

	conf_at(__FILE__, __LINE__);
	if (peer->pid) {
		kill(peer->pid, SIGKILL);
		waitpid(peer->pid, &status, 0);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
		      "the process to be killed had ended before");
	} else {
		sigaction(SIGUSR2, &act, NULL);
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
