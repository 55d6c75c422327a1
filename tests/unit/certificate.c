// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What is a death, and what is none: for each way in which a process can end, stop, multiply or
 * become another one, what who waits at the other side of a ring is told.
 *
 *	certificate [device]
 *
 * The test process is the survivor: a consumer, or beside it. The victim is the only producer of a
 * ring that ends with it. "Told" is a receive that was waiting and returns the end, by no other
 * help; what never comes is ended by an alarm, so nothing here measures time. "Lives" is a place
 * that is still taken after somebody has looked for the dead.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <ringq.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../quiet.h"

#define MIB (1 << 20)
#define MS INT64_C(1000000)

static uint32_t memory = RINGQ_MEMFD;
static struct ringq *ring;
static struct ringq_port in;
static pid_t victim;
static int lines[2];	/* a socket pair: ours, and the victim's */

/* What a victim does: to sit down, and then. */
typedef void act(struct ringq *mine, struct ringq_port *port);

/* In a process that is not ours: it ends with the line that failed. */
#define CHILD(cond)					\
	do {						\
		if (!(cond))				\
			_exit(__LINE__ % 200 + 1);	\
	} while (0)

static void say(int line)
{
	if (write(line, "", 1) != 1)
		_exit(1);
}

static bool hear(int line)
{
	char byte;

	return read(line, &byte, 1) == 1;
}

static void sit(struct ringq *mine, struct ringq_port *port)
{
	CHILD(ringq_attach(mine, RINGQ_PRODUCER, port) == 0);
}

static void rest(struct ringq *mine, struct ringq_port *port)
{
	(void)mine;
	(void)port;
}

static void send_when_asked(struct ringq *mine, struct ringq_port *port)
{
	uint64_t msg = 1;

	(void)mine;
	CHILD(hear(lines[1]));
	CHILD(ringq_send(port, &msg, RINGQ_NOWAIT) == 1);
}

/* In a new process: it sits, says so, does what it is to do, and stays until it is killed. */
static void be_victim(act *first, act *then)
{
	static struct ringq_port port;
	struct ringq *mine = NULL;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CHILD(ringq_join_fd(ringq_fd(ring), NULL, &mine) == 0);
	first(mine, &port);
	say(lines[1]);
	then(mine, &port);
	for (;;)
		pause();
}

static void fork_victim(act *first, act *then)
{
	quiet();
	victim = fork();
	assert_true(victim >= 0);
	if (victim == 0) {
		close(lines[0]);
		be_victim(first, then);
	}
}

static void start(act *first, act *then)
{
	fork_victim(first, then);
	assert_true(hear(lines[0]));
}

static void end_victim(void)
{
	kill(victim, SIGKILL);
	while (waitpid(victim, NULL, 0) < 0 && errno == EINTR)
		;
	victim = 0;
}

static void told(void)
{
	uint64_t msg;

	assert_int_equal(ringq_recv(&in, &msg, RINGQ_FOREVER), 0);
}

static void lives(void)
{
	struct ringq_port port;
	uint64_t msg;

	assert_int_equal(ringq_recv(&in, &msg, 20 * MS), -ETIMEDOUT);
	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &port), -EBUSY);
}

/* It sends a message now. */
static void still_sends(void)
{
	uint64_t msg;

	say(lines[0]);
	assert_int_equal(ringq_recv(&in, &msg, RINGQ_FOREVER), 1);
}

/* So that who waits for it sleeps by then, most often. */
#define LATER 50000

/* Another process kills, while this one sleeps. */
static void told_when_killed(pid_t pid)
{
	pid_t killer;

	quiet();
	killer = fork();
	assert_true(killer >= 0);
	if (killer == 0) {
		usleep(LATER);
		_exit(kill(pid, SIGKILL) ? 1 : 0);
	}
	told();
	assert_int_equal(waitpid(killer, NULL, 0), killer);
}

static void lives_until_killed(void)
{
	lives();
	told_when_killed(victim);
	end_victim();
}

static int setup(void **state)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = memory, .elem_size = 8, .capacity = 16,
		.flags = RINGQ_CONSUMER_WAIT,
	};

	(void)state;
	if (ringq_create(&opts, &ring) < 0 || ringq_attach(ring, RINGQ_CONSUMER, &in) < 0)
		return -1;
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lines);
}

static int teardown(void **state)
{
	(void)state;
	if (victim > 0)
		end_victim();
	close(lines[0]);
	close(lines[1]);
	ringq_detach(&in);
	ringq_leave(ring);
	return 0;
}

static void killed(void **state)
{
	(void)state;
	start(sit, rest);
	lives_until_killed();
}

/* A child has its parent's descriptors, and nothing of its ports. */
static void sit_and_fork(struct ringq *mine, struct ringq_port *port)
{
	sit(mine, port);
	quiet();
	if (fork() == 0) {
		/* Until the test is over. */
		hear(lines[1]);
		_exit(0);
	}
}

static void forked_child_lives(void **state)
{
	(void)state;
	start(sit_and_fork, rest);
	lives_until_killed();
}

/* Whom the library does not know of: its handlers are not called. */
static void sit_and_clone(struct ringq *mine, struct ringq_port *port)
{
	char byte;

	sit(mine, port);
	if (syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) == 0)
		syscall(SYS_exit, (int)syscall(SYS_read, lines[1], &byte, 1));
}

/* It keeps its parent's lock, as the manual says; of the module's memory it has nothing. */
static void raw_clone_lives(void **state)
{
	(void)state;
	start(sit_and_clone, rest);
	lives();
	end_victim();
	if (memory == RINGQ_MEMFD) {
		lives();
		say(lines[0]);
	}
	told();
}

/* The child has all of its parent's memory, until it calls exec. */
static void sit_and_vfork(struct ringq *mine, struct ringq_port *port)
{
	pid_t pid;

	sit(mine, port);
	pid = vfork();
	if (pid == 0) {
		execl("/bin/sleep", "sleep", "1000", NULL);
		_exit(1);
	}
	CHILD(pid > 0 && write(lines[1], &pid, sizeof(pid)) == sizeof(pid));
}

static void vfork_and_exec(void **state)
{
	pid_t child;

	(void)state;
	fork_victim(sit_and_vfork, rest);
	assert_int_equal(read(lines[0], &child, sizeof(child)), sizeof(child));
	assert_true(hear(lines[0]));
	lives_until_killed();
	assert_int_equal(kill(child, SIGKILL), 0);
}

static void become_another(struct ringq *mine, struct ringq_port *port)
{
	(void)mine;
	(void)port;
	usleep(LATER);
	execl("/bin/sleep", "sleep", "1000", NULL);
	_exit(1);
}

/* Attaching is a look at who is there. */
static void look_later(void)
{
	struct ringq *mine = NULL;
	struct ringq_port port;

	usleep(2 * LATER);
	CHILD(ringq_join_fd(ringq_fd(ring), NULL, &mine) == 0);
	while (ringq_attach(mine, RINGQ_PRODUCER, &port) != -EPIPE)
		usleep(1000);
	_exit(0);
}

/*
 * What it was has died, whatever it is now. The module tells at once; a memfd's lock is free, but
 * its owner's pidfd says nothing, so who sleeps is told when somebody looks.
 */
static void exec_without_detach(void **state)
{
	pid_t looker = 0;
	int status = 0;

	(void)state;
	start(sit, become_another);
	if (memory == RINGQ_MEMFD) {
		quiet();
		looker = fork();
		if (looker == 0)
			look_later();
	}
	told();
	assert_int_equal(waitpid(victim, NULL, WNOHANG), 0);
	if (looker)
		assert_int_equal(waitpid(looker, &status, 0), looker);
	assert_int_equal(status, 0);
}

union control {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

static void pass(struct ringq *mine, struct ringq_port *port)
{
	union control control = { .header = {
		.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
	} };
	struct iovec iov = { (char[]){ 0 }, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int fd = ringq_fd(mine);

	(void)port;
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	CHILD(sendmsg(lines[1], &msg, 0) == 1);
}

static int take(void)
{
	union control control;
	struct iovec iov = { (char[]){ 0 }, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int fd;

	assert_int_equal(recvmsg(lines[0], &msg, MSG_CMSG_CLOEXEC), 1);
	memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	return fd;
}

/* Who is handed a ring's descriptor has the ring, and is no port of it. */
static void descriptor_passed_on(void **state)
{
	struct ringq *passed = NULL;
	int fd;

	(void)state;
	start(sit, pass);
	fd = take();
	assert_int_equal(ringq_join_fd(fd, NULL, &passed), 0);
	lives_until_killed();
	ringq_leave(passed);
	close(fd);
}

/* Copies of all descriptors, whatever they are. */
static void sit_and_dup(struct ringq *mine, struct ringq_port *port)
{
	int fd;

	sit(mine, port);
	for (fd = 3; fd < 40; fd++)
		fcntl(fd, F_DUPFD_CLOEXEC, 100);
}

static void descriptors_duplicated(void **state)
{
	(void)state;
	start(sit_and_dup, rest);
	lives_until_killed();
}

static void leave(struct ringq *mine, struct ringq_port *port)
{
	(void)mine;
	ringq_detach(port);
}

/* They do not keep a place that was left. */
static void descriptors_duplicated_and_left(void **state)
{
	(void)state;
	start(sit_and_dup, leave);
	told();
	assert_int_equal(waitpid(victim, NULL, WNOHANG), 0);
}

/* A port is a process's: the thread that attached may go, and another one goes on with it. */
struct seat {
	struct ringq *mine;
	struct ringq_port *port;
};

static void *sit_in_a_thread(void *arg)
{
	struct seat *seat = arg;

	sit(seat->mine, seat->port);
	return NULL;
}

static void sit_by_a_thread(struct ringq *mine, struct ringq_port *port)
{
	struct seat seat = { mine, port };
	pthread_t thread;

	CHILD(pthread_create(&thread, NULL, sit_in_a_thread, &seat) == 0);
	CHILD(pthread_join(thread, NULL) == 0);
}

static void thread_ends(void **state)
{
	(void)state;
	start(sit_by_a_thread, send_when_asked);
	lives();
	still_sends();
	lives_until_killed();
}

static void *fill_and_sleep(void *port)
{
	uint64_t msg = 0;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	while (ringq_send(port, &msg, RINGQ_FOREVER) == 1)
		;
	return NULL;
}

static void sit_and_cancel(struct ringq *mine, struct ringq_port *port)
{
	pthread_t thread;

	sit(mine, port);
	ringq_set_strategy(port, RINGQ_STRATEGY_BLOCK);
	CHILD(pthread_create(&thread, NULL, fill_and_sleep, port) == 0);
	while (!ringq_is_full(port))
		usleep(1000);
	usleep(20000);
	CHILD(pthread_cancel(thread) == 0);
	CHILD(pthread_join(thread, NULL) == 0);
}

/* Cancelled in its sleep. */
static void thread_cancelled(void **state)
{
	uint64_t msg;
	int64_t n = 0;

	(void)state;
	start(sit_and_cancel, send_when_asked);
	while (ringq_recv(&in, &msg, RINGQ_NOWAIT) == 1)
		n++;
	assert_int_equal(n, ringq_capacity(&in));
	lives();
	still_sends();
	lives_until_killed();
}

static void *leader_is_gone(void *arg)
{
	struct seat *seat = arg;
	char path[60], state = 0;
	FILE *f;

	struct ringq *again = NULL;

	/* It is a zombie while others of its threads live. */
	while (state != 'Z') {
		snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", getpid(), getpid());
		f = fopen(path, "re");
		CHILD(f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1);
		fclose(f);
	}
	CHILD(ringq_join_fd(ringq_fd(seat->mine), NULL, &again) == 0);
	sit(again, seat->port);
	say(lines[1]);
	send_when_asked(again, seat->port);
	for (;;)
		pause();
}

static void end_leader(struct ringq *mine, struct ringq_port *port)
{
	static struct seat seat;
	pthread_t thread;

	seat = (struct seat){ mine, port };
	CHILD(pthread_create(&thread, NULL, leader_is_gone, &seat) == 0);
	syscall(SYS_exit, 0);
}

/* A process without its first thread lives, and can do all that others can. */
static void leader_exits(void **state)
{
	(void)state;
	start(end_leader, rest);
	lives();
	still_sends();
	lives_until_killed();
}

static void dump_core(struct ringq *mine, struct ringq_port *port)
{
	const struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	char *heap = malloc(32 * MIB);

	(void)mine;
	(void)port;
	CHILD(heap);
	memset(heap, 1, 32 * MIB);
	setrlimit(RLIMIT_CORE, &limit);
	signal(SIGABRT, SIG_DFL);
	abort();
}

/* It is dead when it has been dumped. */
static void core_dumped(void **state)
{
	char directory[] = "/tmp/ringq-certificate-XXXXXX", command[80];
	int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), status = 0;

	(void)state;
	assert_non_null(mkdtemp(directory));
	assert_int_equal(chdir(directory), 0);
	start(sit, dump_core);
	assert_int_equal(fchdir(here), 0);
	close(here);
	told();
	assert_int_equal(waitpid(victim, &status, 0), victim);
	victim = 0;
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	assert_int_equal(system(command), 0);
}

static void stop_victim(void)
{
	int status;

	assert_int_equal(kill(victim, SIGSTOP), 0);
	assert_int_equal(waitpid(victim, &status, WUNTRACED), victim);
	assert_true(WIFSTOPPED(status));
}

/* Who is stopped lives, however long, and goes on. */
static void stopped(void **state)
{
	(void)state;
	start(sit, send_when_asked);
	stop_victim();
	lives();
	usleep(300000);
	lives();
	assert_int_equal(kill(victim, SIGCONT), 0);
	still_sends();
	lives_until_killed();
}

static void stopped_and_killed(void **state)
{
	(void)state;
	start(sit, rest);
	stop_victim();
	lives_until_killed();
}

/* Stopped by a tracer, gone on, and killed while it is traced, by who has not waited for it. */
static void traced(void **state)
{
	int status;

	(void)state;
	start(sit, send_when_asked);
	assert_int_equal(ptrace(PTRACE_SEIZE, victim, NULL, NULL), 0);
	assert_int_equal(ptrace(PTRACE_INTERRUPT, victim, NULL, NULL), 0);
	assert_int_equal(waitpid(victim, &status, __WALL), victim);
	lives();
	assert_int_equal(ptrace(PTRACE_CONT, victim, NULL, NULL), 0);
	still_sends();
	lives();
	told_when_killed(victim);
}

static bool new_pids(void)
{
	if (unshare(CLONE_NEWPID) == 0)
		return true;
	return false;
}

/* Its pid says nothing to us. */
static void victim_in_a_pid_namespace(void **state)
{
	pid_t between, inner = 0;

	(void)state;
	quiet();
	between = fork();
	assert_true(between >= 0);
	if (between == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		inner = new_pids() ? fork() : -1;
		if (inner == 0) {
			CHILD(hear(lines[1]));
			be_victim(sit, rest);
		}
		CHILD(write(lines[1], &inner, sizeof(inner)) == sizeof(inner));
		for (;;)
			pause();
	}
	assert_int_equal(read(lines[0], &inner, sizeof(inner)), sizeof(inner));
	victim = between;
	if (inner < 0)
		skip();
	say(lines[0]);
	assert_true(hear(lines[0]));
	lives();
	told_when_killed(inner);
}

static void be_survivor(void)
{
	struct ringq *mine = NULL;
	struct ringq_port port;
	uint64_t msg;

	CHILD(ringq_join_fd(ringq_fd(ring), NULL, &mine) == 0);
	CHILD(ringq_attach(mine, RINGQ_CONSUMER, &port) == 0);
	say(lines[1]);
	CHILD(ringq_recv(&port, &msg, RINGQ_FOREVER) == 1);
	say(lines[1]);
	CHILD(ringq_recv(&port, &msg, RINGQ_FOREVER) == 0);
	_exit(0);
}

/* The other way round: he who waits for the end is inside. */
static void survivor_in_a_pid_namespace(void **state)
{
	pid_t between, inner;
	char answer;
	int status;

	(void)state;
	start(sit, send_when_asked);
	ringq_detach(&in);
	quiet();
	between = fork();
	assert_true(between >= 0);
	if (between == 0) {
		inner = new_pids() ? fork() : -1;
		if (inner == 0)
			be_survivor();
		CHILD(write(lines[1], inner < 0 ? "n" : "y", 1) == 1 && inner > 0);
		CHILD(waitpid(inner, &status, 0) == inner);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
	}
	assert_int_equal(read(lines[0], &answer, 1), 1);
	if (answer == 'n') {
		waitpid(between, NULL, 0);
		skip();
	}
	assert_true(hear(lines[0]));
	say(lines[0]);
	assert_true(hear(lines[0]));
	usleep(LATER);
	end_victim();
	assert_int_equal(waitpid(between, &status, 0), between);
	assert_int_equal(status, 0);
}

/*
 * Before anybody who would have watched is there it dies, and its pid is given to a stranger, who
 * lives.
 */
static void pid_used_again(void **state)
{
	struct clone_args args = { .exit_signal = SIGCHLD, .set_tid_size = 1 };
	pid_t pid;
	long stranger;

	(void)state;
	/* Nobody is attached beside the victim, so nobody watches it. */
	ringq_detach(&in);
	start(sit, rest);
	pid = victim;
	end_victim();
	args.set_tid = (uintptr_t)&pid;
	quiet();
	stranger = syscall(SYS_clone3, &args, sizeof(args));
	if (stranger == 0)
		for (;;)
			syscall(SYS_pause);
	if (stranger < 0)
		skip();
	victim = stranger;
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	told();
}

/* Of this process and those that it starts: there is no more of what a system call gives. */
static void refuse(int nr)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EMFILE),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
							    &program))
		abort();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(killed),
		TEST(forked_child_lives),
		TEST(raw_clone_lives),
		TEST(vfork_and_exec),
		TEST(exec_without_detach),
		TEST(descriptor_passed_on),
		TEST(descriptors_duplicated),
		TEST(descriptors_duplicated_and_left),
		TEST(thread_ends),
		TEST(thread_cancelled),
		TEST(leader_exits),
		TEST(core_dumped),
		TEST(stopped),
		TEST(stopped_and_killed),
		TEST(traced),
		TEST(victim_in_a_pid_namespace),
		TEST(survivor_in_a_pid_namespace),
		TEST(pid_used_again),
	};
	int failed;

	if (argc > 1)
		memory = strcmp(argv[1], "device") ? RINGQ_MEMFD : RINGQ_DEVICE;
	alarm(100);
	failed = cmocka_run_group_tests_name("certificate", tests, NULL, NULL);
	if (memory == RINGQ_DEVICE)
		return failed;
	/* Then there is nothing but a clock to say when to look. */
	refuse(SYS_pidfd_open);
	failed += cmocka_run_group_tests_name("by the clock", tests, NULL, NULL);
	return failed;
}
