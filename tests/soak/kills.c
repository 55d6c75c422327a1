// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Death at random: kills [--seconds=N] [--seed=N] [--memory=memfd|device] [ROW]
 *
 * Processes send and receive through a ring of each discipline, by every operation (worker.c),
 * while they are killed, stopped and killed, made to call exec or to dump core wherever they are,
 * or killed for the memory they take; successors take their places, and die too. What was sent
 * and received is in a ledger, in memory that outlives them all (ledger.c). A round is a new ring
 * and some hundreds of deaths; then nobody dies any more, and
 *
 *	what was sent is received to the end, by who waits for it, and nobody hangs;
 *	every message that was committed was received, whole, once, in its sender's order,
 *	or again and flagged; but for those that a dead one had received and not yet entered, and
 *	where that is the policy, those that it had in hand: which then come to nobody;
 *	the ring holds as much as it did when it was new, and passes it on.
 *
 * While they die, the others must get on: nobody is killed before something has been sent or
 * received after the last death (but sometimes several die at once), and in every other round often
 * no successor comes, and nobody else dies, before that is more than the ring holds. What stands
 * still for GRACE seconds fails, and what everybody is doing and has in hand is told.
 *
 * A line for each row, "ok - ..." or "FAIL - ...", and a summary. The seed repeats what is chosen,
 * not what the machine makes of it.
 */
#include "kills.h"
#include "soak.h"

#include <argp.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GRACE	60	/* seconds; it ends hangs and measures nothing */
#define MS	INT64_C(1000000)
#define ROUND	(300 * MS)
#define WAIT	(RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct row rows[] = {
	{ "spsc", RINGQ_SPSC, WAIT, { 1, 1 } },
	{ "mpsc", RINGQ_MPSC, WAIT, { 3, 1 } },
	{ "spmc", RINGQ_SPMC, WAIT, { 1, 3 } },
	{ "mpmc", RINGQ_MPMC, WAIT, { 3, 3 } },
	{ "mpmc, fenced", RINGQ_MPMC, WAIT | RINGQ_FENCE, { 2, 2 } },
	{ "lanes", RINGQ_LANES, WAIT, { 3, 1 } },
	{ "lanes, shared", RINGQ_LANES, WAIT, { 3, 3 } },
	{ "gated", RINGQ_GATED, WAIT, { 1, 3 } },
	{ "lossy", RINGQ_LOSSY, WAIT, { 1, 3 } },
	{ "latest", RINGQ_LATEST, WAIT, { 1, 3 } },
	{ "spsc, drop", RINGQ_SPSC, WAIT | RINGQ_DROP, { 1, 1 } },
	{ "mpmc, drop", RINGQ_MPMC, WAIT | RINGQ_DROP, { 3, 3 } },
	{ "lanes, drop", RINGQ_LANES, WAIT | RINGQ_DROP, { 3, 1 } },
	{ "gated, drop", RINGQ_GATED, WAIT | RINGQ_DROP, { 1, 3 } },
	{ "spsc, records", RINGQ_SPSC, WAIT | RINGQ_RECORDS, { 1, 1 } },
	{ "lanes, records", RINGQ_LANES, WAIT | RINGQ_RECORDS, { 3, 1 } },
	{ "lanes, shared, records", RINGQ_LANES, WAIT | RINGQ_RECORDS, { 3, 3 } },
	{ "gated, records", RINGQ_GATED, WAIT | RINGQ_RECORDS, { 1, 3 } },
	{ "spsc, records, drop", RINGQ_SPSC, WAIT | RINGQ_RECORDS | RINGQ_DROP, { 1, 1 } },
	{ "lossy, records", RINGQ_LOSSY, WAIT | RINGQ_RECORDS, { 1, 3 } },
};

enum strike { KILL, STOP, STOP_KILL, EXEC, DUMP, EAT, STRIKES };

/* How often of a hundred. */
static const struct {
	const char *name;
	unsigned int share;
} strikes[STRIKES] = {
	[KILL] = { "killed", 52 },
	[STOP] = { "stopped for a while", 18 },
	[STOP_KILL] = { "stopped, then killed", 10 },
	[EXEC] = { "called exec", 10 },
	[DUMP] = { "dumped core", 5 },
	[EAT] = { "killed for memory", 5 },
};

struct total {
	uint64_t rounds, strikes[STRIKES], left, sent, flagged, doubt, tombs;
};

/* A place, and who has it. */
struct seat {
	enum ringq_role role;
	uint32_t number;
	pid_t pid;		/* 0: nobody */
	struct life *life;
	int64_t due;		/* when a successor comes, or who is stopped goes on */
	bool stopped;
	bool doomed;		/* is killed then */
	bool waits;		/* nobody comes before the others have got on to here */
	uint64_t after;
	bool struck;		/* its end is no surprise */
};

struct match {
	struct round round;
	struct seat seat[2 * SEATS];
	uint32_t seats;
	uint32_t lives[2];	/* so many have been used */
	pid_t idle[2 * LIVES];	/* what those became that called exec */
	uint32_t idlers;
	uint64_t seen;		/* ledger_progress(), when it last moved... */
	int64_t moved;		/* ...which was then */
	uint64_t at_death;	/* and as it was at the last death */
	uint64_t enough;	/* so much of it, and nothing can be stuck any more */
	bool alone;		/* survivors are to get on without a successor */
	struct total *total;
};

static struct {
	uint32_t memory;
	int64_t seconds;
	uint64_t seed;
	const char *row;
	char directory[32];	/* for core dumps */
	char cgroup[300];	/* empty: there is none */
} soak = { .memory = RINGQ_MEMFD, .seconds = 60 };

/* A cgroup (version 2) in which a process is killed for a few megabytes. */
static bool cgroup_write(const char *name, const char *value)
{
	char path[400];
	int fd, r;

	snprintf(path, sizeof(path), "%s/%s", soak.cgroup, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	r = fd < 0 ? -1 : write(fd, value, strlen(value));
	if (fd >= 0)
		close(fd);
	return r >= 0;
}

/* Below our own, if that can be had: what we may use, our children may. */
static const char *cgroup_open(void)
{
	char line[200] = "", mount[100] = "";
	FILE *f = fopen("/proc/self/cgroup", "re");

	while (f && fgets(line, sizeof(line), f) && strncmp(line, "0::", 3))
		;
	if (f)
		fclose(f);
	f = fopen("/proc/self/mounts", "re");
	while (f && fscanf(f, "%*s %99s %*[^\n]", mount) == 1 &&
	       access(strcat(mount, "/cgroup.subtree_control"), F_OK) < 0)
		mount[0] = '\0';
	if (f)
		fclose(f);
	if (strncmp(line, "0::", 3) || !mount[0])
		return "no cgroup of version 2 is mounted";
	*strrchr(mount, '/') = '\0';
	line[strcspn(line, "\n")] = '\0';
	snprintf(soak.cgroup, sizeof(soak.cgroup), "%s%s", mount, line + 3);
	if (!cgroup_write("cgroup.subtree_control", "+memory"))
		return "our cgroup does not give memory to those below it";
	snprintf(soak.cgroup + strlen(soak.cgroup), sizeof(soak.cgroup) - strlen(soak.cgroup),
		 "/ringq-kills-%d", getpid());
	if (mkdir(soak.cgroup, 0755) < 0 || !cgroup_write("memory.max", "16M"))
		return "no cgroup can be made";
	cgroup_write("memory.swap.max", "0");
	return NULL;
}

static void nap(void)
{
	const struct timespec ts = { .tv_nsec = 200000 };

	nanosleep(&ts, NULL);
}

/* By a handle of its own, so that the process has no agent when it is over: others watch, then. */
static struct ringq *join(struct match *m)
{
	struct ringq *ring;
	int r = ringq_join_fd(ringq_fd(m->round.ring), NULL, &ring);

	if (r < 0)
		kills_fail(&m->round, "join: %s", ringq_strerror(r));
	return ring;
}

/* How many messages the ring holds: each is sent and received, twice. Nobody else is there. */
static uint64_t capacity(struct match *m)
{
	static unsigned char msg[SIZE];
	const struct row *row = m->round.row;
	struct ringq_port out[SEATS], in;
	struct ringq *ring = join(m);
	uint64_t sent = 0, lap, got;
	uint32_t i, size;
	int r;

	r = ringq_attach(ring, RINGQ_CONSUMER, &in);
	for (i = 0; i < row->seats[RINGQ_PRODUCER] && r == 0; i++)
		r = ringq_attach(ring, RINGQ_PRODUCER, &out[i]);
	if (r < 0)
		kills_fail(&m->round, "nobody is there, and a port is refused: %s",
			   ringq_strerror(r));
	for (lap = 0; lap < 2; lap++) {
		for (i = 0, sent = 0; i < row->seats[RINGQ_PRODUCER]; i++) {
			while ((r = row_records(row) ?
				    ringq_send_record(&out[i], msg, m->round.size, 0) :
				    ringq_send(&out[i], msg, 0)) == 1)
				sent++;
			if (r != -EAGAIN)
				kills_fail(&m->round, "filled up: %s", ringq_strerror(r));
		}
		for (got = 0; (r = row_records(row) ?
			       ringq_recv_record(&in, msg, sizeof(msg), &size, 0) :
			       ringq_recv(&in, msg, 0)) == 1; got++)
			;
		if (r != -EAGAIN || got != sent)
			kills_fail(&m->round, "%llu were sent, %llu came, then: %s",
				   (unsigned long long)sent, (unsigned long long)got,
				   ringq_strerror(r));
	}
	for (i = 0; i < row->seats[RINGQ_PRODUCER]; i++)
		ringq_detach(&out[i]);
	ringq_detach(&in);
	ringq_leave(ring);
	return sent;
}

/* How many positions have been given to producers. */
static uint64_t position(struct match *m)
{
	struct ringq *ring = join(m);
	struct ringq_port port;
	uint64_t pos;

	if (ringq_attach(ring, RINGQ_PRODUCER, &port) < 0)
		kills_fail(&m->round, "nobody is there, and a port is refused");
	pos = ringq_position(&port);
	ringq_detach(&port);
	ringq_leave(ring);
	return pos;
}

/* Who has which place of the ring, and what in hand. */
static void tell_ports(const struct match *m, enum ringq_role role)
{
	struct ringq_port_stat stat = { .size = sizeof(stat) };
	uint32_t i;
	int r;

	for (i = 0; i < m->round.row->seats[role]; i++) {
		r = ringq_port_stat(m->round.ring, role, i, &stat);
		printf("# %s's place %u: %s, state %u, generation %u, pid %u, flags %x, claim %u, "
		       "position %llu, held %llu from %llu on, %llu wait\n",
		       role == RINGQ_PRODUCER ? "producer" : "consumer", i, ringq_strerror(r),
		       stat.state, stat.generation, stat.pid, stat.flags, stat.claim,
		       (unsigned long long)stat.position, (unsigned long long)stat.held,
		       (unsigned long long)stat.held_at, (unsigned long long)stat.waiting);
	}
}

static void stands_still(struct match *m)
{
	static const char *const names[DOINGS] = {
		"starts", "attaches", "sends", "reserves", "writes", "commits", "receives",
		"peeks", "looks", "releases", "detaches",
	};
	uint32_t i;

	for (i = 0; i < m->seats; i++) {
		const struct seat *s = &m->seat[i];

		printf("# %s %u: pid %d%s, %s; sent %llu, begun %llu, entered %llu\n",
		       s->role == RINGQ_PRODUCER ? "producer" : "consumer", s->number, s->pid,
		       s->stopped ? ", stopped" : "", s->life ? names[s->life->doing] : "nobody",
		       (unsigned long long)(s->life ? s->life->sent : 0),
		       (unsigned long long)(s->life ? s->life->begun : 0),
		       (unsigned long long)(s->life ? s->life->entered : 0));
	}
	tell_ports(m, RINGQ_PRODUCER);
	tell_ports(m, RINGQ_CONSUMER);
	fflush(stdout);
	kills_fail(&m->round, "nobody gets on");
}

/* To be called again and again: somebody gets on, or GRACE seconds are not over. */
static void watch(struct match *m)
{
	uint64_t progress = ledger_progress(m->round.ledger);
	int64_t now = soak_now();

	if (progress != m->seen)
		m->moved = now;
	m->seen = progress;
	if (now - m->moved > GRACE * 1000 * MS)
		stands_still(m);
}

static void sit(struct match *m, struct seat *s)
{
	uint32_t number = m->lives[s->role]++;
	struct life *life = &m->round.ledger->life[s->role][number];

	if (number == LIVES)
		kills_fail(&m->round, "there are no more lives");
	life->seat = s->number;
	s->life = life;
	s->stopped = false;
	s->doomed = false;
	s->struck = false;
	fflush(stdout);
	s->pid = fork();
	if (s->pid == 0)
		worker_run(&m->round, s->role, life);
	if (s->pid < 0)
		err(1, "fork");
}

/*
 * A successor comes soon; or not before those that are left have shown that they get on without
 * one, and are not stuck behind what the dead one had in hand.
 */
static void vacate(struct match *m, struct seat *s)
{
	m->at_death = ledger_progress(m->round.ledger);
	s->pid = 0;
	s->stopped = false;
	s->due = soak_now() + (soak_random(4) ? 0 : (int64_t)soak_random(4 * MS));
	s->waits = m->alone && soak_random(2);
	s->after = m->at_death + m->enough;
}

/* Are there some of both sides who need nobody else? (A gate does.) */
static bool others_get_on(const struct match *m)
{
	bool there[2] = { false, false };
	uint32_t i;

	for (i = 0; i < m->seats; i++)
		there[m->seat[i].role] |= m->seat[i].pid && !m->seat[i].struck;
	return there[0] && there[1] && !row_gated(m->round.row);
}

/* Is somebody to get on without a successor, and has not yet? */
static bool in_mourning(const struct match *m, const struct seat *s)
{
	return !s->pid && s->waits && m->seen < s->after && others_get_on(m);
}

/* Somebody's end: as it was to be, or everything ends here. */
static void bury(struct match *m, struct seat *s, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		m->total->left++;
	else if (!WIFSIGNALED(status) || !s->struck)
		kills_fail(&m->round, "a process ended with status %x", status);
	else
		s->life->cut = true;
	vacate(m, s);
}

static void reap(struct match *m)
{
	int status;
	uint32_t i;

	for (i = 0; i < m->seats; i++)
		if (m->seat[i].pid && waitpid(m->seat[i].pid, &status, WNOHANG) > 0)
			bury(m, &m->seat[i], status);
}

/* Who is stopped goes on, or is killed. */
static void go_on(struct seat *s)
{
	s->stopped = false;
	kill(s->pid, s->doomed ? SIGKILL : SIGCONT);
}

/* Those whose time has come. */
static void tend(struct match *m)
{
	int64_t now = soak_now();
	uint32_t i;

	reap(m);
	for (i = 0; i < m->seats; i++) {
		struct seat *s = &m->seat[i];

		if (s->due > now)
			continue;
		if (in_mourning(m, s))
			continue;
		if (!s->pid)
			sit(m, s);
		else if (s->stopped)
			go_on(s);
	}
	watch(m);
}

/* Whatever it becomes is none of the ring's. */
static void make_exec(struct match *m, struct seat *s)
{
	kill(s->pid, KILLS_EXEC);
	s->life->cut = true;
	m->idle[m->idlers++] = s->pid;
	vacate(m, s);
}

/* Of an exec on memfd nobody is told before somebody comes. */
static enum strike choose(const struct match *m)
{
	uint64_t dice = soak_random(100);
	enum strike what = 0;

	while (dice >= strikes[what].share)
		dice -= strikes[what++].share;
	if ((what == EAT && !soak.cgroup[0]) ||
	    (what == EXEC && m->alone && soak.memory != RINGQ_DEVICE))
		return KILL;
	return what;
}

static void strike(struct match *m, struct seat *s)
{
	enum strike what = choose(m);
	char pid[20];

	m->total->strikes[what]++;
	s->struck = what != STOP;
	switch (what) {
	case STOP:
	case STOP_KILL:
		s->stopped = true;
		s->doomed = what == STOP_KILL;
		s->due = soak_now() + soak_random(5 * MS);
		kill(s->pid, SIGSTOP);
		break;
	case EXEC:
		make_exec(m, s);
		break;
	case DUMP:
		kill(s->pid, SIGABRT);
		break;
	case EAT:
		snprintf(pid, sizeof(pid), "%d", s->pid);
		kill(s->pid, cgroup_write("cgroup.procs", pid) ? KILLS_EAT : SIGKILL);
		break;
	default:
		kill(s->pid, SIGKILL);
	}
}

/* One, and now and then several at once. */
static void strike_some(struct match *m)
{
	uint32_t n = soak_random(6) ? 1 : 1 + soak_random(m->seats);

	while (n--) {
		struct seat *s = &m->seat[soak_random(m->seats)];

		if (s->pid && !s->stopped && !s->struck)
			strike(m, s);
	}
}

static bool anybody_mourned(const struct match *m)
{
	uint32_t i;

	for (i = 0; i < m->seats; i++)
		if (in_mourning(m, &m->seat[i]))
			return true;
	return false;
}

static void die(struct match *m)
{
	const uint32_t most = LIVES - 8 * SEATS;
	int64_t end = soak_now() + ROUND, next = 0;
	bool mourned;

	do {
		tend(m);
		nap();
		mourned = anybody_mourned(m);
		if (mourned || m->seen == m->at_death || soak_now() < next)
			continue;
		strike_some(m);
		next = soak_now() + soak_random(4 * MS);
	} while (mourned ||
		 (soak_now() < end && m->lives[0] < most && m->lives[1] < most));
}

static bool any_consumer(const struct match *m)
{
	uint32_t i;

	for (i = 0; i < m->seats; i++)
		if (m->seat[i].pid && m->seat[i].role == RINGQ_CONSUMER)
			return true;
	return false;
}

static bool all_drained(const struct match *m)
{
	uint32_t i;

	for (i = 0; i < m->seats; i++)
		if (m->seat[i].role == RINGQ_PRODUCER &&
		    (m->seat[i].pid || !m->seat[i].life->drained))
			return false;
	return true;
}

/*
 * Each producer waits until all that was sent at its seat is received. By now the consumers sleep,
 * or will: what is left has to wake them, and nothing else does.
 */
static void end_producers(struct match *m)
{
	uint32_t i;

	for (i = 0; i < m->seats; i++) {
		struct seat *s = &m->seat[i];

		if (s->pid && s->stopped)
			go_on(s);
	}
	ringq_store_release(&m->round.ledger->producers_stop, 1);
	while (!all_drained(m)) {
		reap(m);
		for (i = 0; i < m->seats; i++) {
			struct seat *s = &m->seat[i];

			if (!s->pid && (s->role == RINGQ_CONSUMER || !s->life->drained))
				sit(m, s);
		}
		watch(m);
		nap();
	}
}

static void end_consumers(struct match *m)
{
	uint32_t i;

	ringq_store_release(&m->round.ledger->consumers_stop, 1);
	while (any_consumer(m)) {
		for (i = 0; i < m->seats; i++)
			if (m->seat[i].pid && m->seat[i].life->attached)
				kill(m->seat[i].pid, KILLS_WAKE);
		reap(m);
		watch(m);
		nap();
	}
}

/* What was sent last is there for who comes late. */
static void check_newest(struct match *m)
{
	static unsigned char msg[SIZE];
	struct ringq_attach_opts opts = { .size = sizeof(opts) };
	struct { uint64_t sum; uint32_t life, number; } head = { 0 };
	struct ringq *ring = join(m);
	uint32_t life, end, size;
	struct ringq_port port;
	int r;

	if (m->round.row->discipline == RINGQ_LOSSY)
		opts.flags = RINGQ_OLDEST;
	r = ringq_attach_with(ring, RINGQ_CONSUMER, &opts, &port);
	if (r < 0)
		kills_fail(&m->round, "nobody is there, and a port is refused");
	/* A dead producer may have been about to overwrite the oldest. */
	while ((r = row_records(m->round.row) ?
		    ringq_recv_record(&port, msg, sizeof(msg), &size, 0) :
		    ringq_recv(&port, msg, 0)) != -EAGAIN)
		if (r == 1)
			memcpy(&head, msg, sizeof(head));
		else if (r != -EOVERFLOW)
			break;
	ringq_detach(&port);
	ringq_leave(ring);
	if (r != -EAGAIN)
		kills_fail(&m->round, "for who comes late: %s", ringq_strerror(r));
	if (ledger_newest(&m->round, &life, &end) &&
	    (head.life < life || (head.life == life && head.number + 1 < end)))
		kills_fail(&m->round, "life %u sent %u last, and life %u's %u is there", life,
			   end - 1, head.life, head.number);
}

static void forget_idlers(struct match *m)
{
	int status;

	while (m->idlers) {
		m->idlers--;
		kill(m->idle[m->idlers], SIGKILL);
		waitpid(m->idle[m->idlers], &status, 0);
		if (WIFEXITED(status) && WEXITSTATUS(status))
			kills_fail(&m->round, "a process ended with status %x", status);
	}
}

static void judge(struct match *m, uint64_t room, uint64_t pos)
{
	const struct row *row = m->round.row;
	struct verdict verdict = ledger_judge(&m->round);
	uint64_t now;

	if (row_lossy(row))
		check_newest(m);
	if (row->discipline == RINGQ_MPSC || row->discipline == RINGQ_SPMC ||
	    row->discipline == RINGQ_MPMC)
		m->total->tombs += position(m) - pos - verdict.sent;
	if (!row_lossy(row)) {
		now = capacity(m);
		if (now != room)
			kills_fail(&m->round, "there was room for %llu, and is for %llu",
				   (unsigned long long)room, (unsigned long long)now);
	}
	m->total->rounds++;
	m->total->sent += verdict.sent;
	m->total->flagged += verdict.flagged;
	m->total->doubt += verdict.doubt;
}

static void open_round(struct match *m)
{
	static const uint32_t sizes[] = { LEAST, 24, 40, 64, 200, SIZE };
	const struct row *row = m->round.row;
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = soak.memory, .discipline = row->discipline,
		.flags = row->flags, .producers = row->seats[RINGQ_PRODUCER],
		.consumers = row->seats[RINGQ_CONSUMER],
	};
	int r;

	opts.elem_size = sizes[soak_random(COUNT(sizes))];
	opts.capacity = UINT64_C(16) << soak_random(5);
	opts.first = soak_random(2) ? 0 : soak_random(UINT64_C(1) << 40) * 8;
	if (row_records(row))
		opts.capacity *= SIZE;
	m->round.size = opts.elem_size;
	m->round.seed = soak_random(UINT64_C(1) << 62);
	r = ringq_create(&opts, &m->round.ring);
	if (r < 0)
		kills_fail(&m->round, "create: %s", ringq_strerror(r));
	m->round.ledger = mmap(NULL, sizeof(*m->round.ledger), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->round.ledger == MAP_FAILED)
		err(1, "mmap");
}

static void run_round(const struct row *row, struct total *total)
{
	struct match m = { .round.row = row, .total = total, .moved = soak_now() };
	uint64_t room = 0, pos;
	uint32_t role, i;

	open_round(&m);
	if (!row_lossy(row))
		room = capacity(&m);
	/* What can be sent and received in spite of what is stuck, in and out, and more. */
	m.enough = 4 * room + 64;
	m.alone = soak_random(2);
	pos = position(&m);
	for (role = 0; role < 2; role++)
		for (i = 0; i < row->seats[role]; i++)
			m.seat[m.seats++] = (struct seat){ .role = role, .number = i };
	/* Readers have their places before the first message: each may be to get all. */
	for (i = m.seats; i--;) {
		struct seat *s = &m.seat[i];

		sit(&m, s);
		while (s->role == RINGQ_CONSUMER && !ringq_load_acquire(&s->life->attached))
			nap();
	}
	die(&m);
	end_producers(&m);
	end_consumers(&m);
	forget_idlers(&m);
	judge(&m, room, pos);
	munmap(m.round.ledger, sizeof(*m.round.ledger));
	ringq_leave(m.round.ring);
}

static void run_row(const struct row *row, struct total *sum, int64_t ns)
{
	int64_t end = soak_now() + ns;
	struct total total = { 0 };
	uint64_t deaths = 0;
	uint32_t i;

	do
		run_round(row, &total);
	while (soak_now() + ROUND < end);
	for (i = 0; i < STRIKES; i++) {
		sum->strikes[i] += total.strikes[i];
		deaths += i == STOP ? 0 : total.strikes[i];
	}
	sum->rounds += total.rounds;
	sum->left += total.left;
	sum->sent += total.sent;
	sum->flagged += total.flagged;
	sum->doubt += total.doubt;
	sum->tombs += total.tombs;
	printf("ok - %s, %s: %llu rounds, %llu deaths, %llu left, %llu messages: %llu redelivered, "
	       "%llu in doubt, %llu tombs\n", row->name, ringq_memory_name(soak.memory),
	       (unsigned long long)total.rounds, (unsigned long long)deaths,
	       (unsigned long long)total.left, (unsigned long long)total.sent,
	       (unsigned long long)total.flagged, (unsigned long long)total.doubt,
	       (unsigned long long)total.tombs);
	fflush(stdout);
}

static bool wanted(const struct row *row)
{
	return !soak.row || !strcmp(soak.row, row->name);
}

static void run_rows(void)
{
	struct total sum = { 0 };
	uint32_t n = 0, i;

	soak_seed(soak.seed);
	worker_signals();
	for (i = 0; i < COUNT(rows); i++)
		n += wanted(&rows[i]);
	for (i = 0; i < COUNT(rows); i++)
		if (wanted(&rows[i]))
			run_row(&rows[i], &sum, soak.seconds * 1000 * MS / n);
	printf("# %llu rounds, seed %llu", (unsigned long long)sum.rounds,
	       (unsigned long long)soak.seed);
	for (i = 0; i < STRIKES; i++)
		printf(", %llu %s", (unsigned long long)sum.strikes[i], strikes[i].name);
	printf(", %llu left; %llu messages, %llu redelivered, %llu in doubt, %llu tombs\n",
	       (unsigned long long)sum.left, (unsigned long long)sum.sent,
	       (unsigned long long)sum.flagged, (unsigned long long)sum.doubt,
	       (unsigned long long)sum.tombs);
	fflush(stdout);
}

static void clean_up(void)
{
	DIR *dir = opendir(soak.directory);
	struct dirent *entry;
	int tries = 1000;

	while (dir && (entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(soak.directory);
	/* Those who died last may still be on their way out. */
	while (soak.cgroup[0] && rmdir(soak.cgroup) < 0 && errno == EBUSY && tries--)
		nap();
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	char *end = "";

	switch (key) {
	case 's':
		soak.seconds = strtoll(arg, &end, 10);
		break;
	case 'r':
		soak.seed = strtoull(arg, &end, 10);
		break;
	case 'm':
		soak.memory = strcmp(arg, "device") ? RINGQ_MEMFD : RINGQ_DEVICE;
		if (soak.memory == RINGQ_MEMFD && strcmp(arg, "memfd"))
			argp_error(state, "--memory wants memfd or device: '%s'", arg);
		break;
	case 'i':
		worker_mortal(atoi(arg));
		for (;;)
			pause();
	case ARGP_KEY_ARG:
		soak.row = arg;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	if (*end || soak.seconds <= 0)
		argp_error(state, "a number is wanted: '%s'", arg);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ .name = "seconds", .key = 's', .arg = "N", .doc = "60" },
		{ .name = "seed", .key = 'r', .arg = "N", .doc = "another each time" },
		{ .name = "memory", .key = 'm', .arg = "MEMORY", .doc = "memfd or device" },
		{ .name = "idle", .key = 'i', .arg = "PID", .flags = OPTION_HIDDEN },
		{ 0 }
	};
	static const struct argp argp = { .options = options, .parser = parse,
					  .args_doc = "[ROW]" };
	const char *left_out;
	pid_t pid, referee;
	int status = 1;

	soak.seed = soak_now();
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	left_out = cgroup_open();
	if (left_out) {
		soak.cgroup[0] = '\0';
		fprintf(stderr, "kills: left out: killed for memory: %s\n", left_out);
	}
	strcpy(soak.directory, "/tmp/ringq-kills-XXXXXX");
	if (!mkdtemp(soak.directory) || chdir(soak.directory) < 0)
		err(2, "%s", soak.directory);
	pid = getpid();
	referee = fork();
	if (referee == 0) {
		worker_mortal(pid);
		run_rows();
		_exit(0);
	}
	if (referee > 0)
		waitpid(referee, &status, 0);
	if (status)
		printf("# seed %llu\n", (unsigned long long)soak.seed);
	clean_up();
	return status ? 1 : 0;
}
