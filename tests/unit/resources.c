// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What the library asks of the system is refused: address space, descriptors, each system
 * call that it needs to make and to use a ring. Then there is the documented error, nothing
 * is left behind, and afterwards, with all to be had again, all works.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <ringq.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Each try is a child, for limits and filters stay; its status is the line that failed. */
#define CHILD(cond)					\
	do {						\
		if (!(cond))				\
			_exit(__LINE__ % 200 + 1);	\
	} while (0)

static void join_child(pid_t pid, const char *what)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_msg("%s: status %x, near line %d", what, status, WEXITSTATUS(status) - 1);
}

static int descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static struct ringq_opts opts_of(uint32_t memory, uint64_t capacity)
{
	return (struct ringq_opts){
		.size = sizeof(struct ringq_opts), .memory = memory,
		.elem_size = 8, .capacity = capacity,
	};
}

/* Everything that a ring is for, once; or the first error. */
static int use_all(const struct ringq_opts *opts)
{
	struct ringq_port out, in;
	uint64_t msg = 9;
	struct ringq *ring;
	int r = ringq_create(opts, &ring);

	if (r < 0)
		return r;
	r = ringq_attach(ring, RINGQ_PRODUCER, &out);
	if (r < 0)
		goto leave;
	r = ringq_attach(ring, RINGQ_CONSUMER, &in);
	if (r < 0)
		goto detach;
	r = ringq_send(&out, &msg, RINGQ_FOREVER) == 1 &&
	    ringq_recv(&in, &msg, RINGQ_FOREVER) == 1 ? 0 : -EIO;
	ringq_detach(&in);
detach:
	ringq_detach(&out);
leave:
	ringq_leave(ring);
	return r;
}

static void no_address_space(void **state)
{
	static const uint32_t memories[] = { RINGQ_PRIVATE, RINGQ_MEMFD };
	struct ringq_opts opts;
	struct rlimit limit;
	unsigned int i;
	long pages;
	FILE *f;
	pid_t pid;
	int before;

	(void)state;
	for (i = 0; i < COUNT(memories); i++) {
		pid = fork();
		if (pid == 0) {
			opts = opts_of(memories[i], 8 << 20);
			f = fopen("/proc/self/statm", "r");
			CHILD(f && fscanf(f, "%ld", &pages) == 1);
			fclose(f);
			before = descriptors();
			limit.rlim_cur = limit.rlim_max = pages * 4096 + (32 << 20);
			CHILD(setrlimit(RLIMIT_AS, &limit) == 0);
			CHILD(use_all(&opts) == -ENOMEM);
			CHILD(descriptors() == before);
			opts = opts_of(memories[i], 100);
			CHILD(use_all(&opts) == 0);
			CHILD(descriptors() == before);
			_exit(0);
		}
		join_child(pid, ringq_memory_name(memories[i]));
	}
}

/* One descriptor more each time, until there are enough. */
static void no_descriptors(void **state)
{
	struct ringq_opts opts = opts_of(RINGQ_MEMFD, 100);
	char name[RINGQ_NAME_SIZE];
	struct rlimit limit;
	unsigned int named;
	int before, r = -EMFILE, more;
	pid_t pid;

	(void)state;
	snprintf(name, sizeof(name), "resources-%d", getpid());
	for (named = 0; named < 2; named++) {
		opts.name = named ? name : NULL;
		pid = fork();
		if (pid == 0) {
			before = descriptors();
			for (more = 0; r < 0; more++) {
				CHILD(getrlimit(RLIMIT_NOFILE, &limit) == 0);
				limit.rlim_cur = more;
				CHILD(setrlimit(RLIMIT_NOFILE, &limit) == 0);
				r = use_all(&opts);
				CHILD(r == 0 || r == -EMFILE);
				limit.rlim_cur = limit.rlim_max;
				CHILD(setrlimit(RLIMIT_NOFILE, &limit) == 0);
				CHILD(descriptors() == before);
				CHILD(more < 1000);
			}
			CHILD(more > 3);
			_exit(0);
		}
		join_child(pid, named ? "named" : "no name");
	}
}

/* Answers one system call with this, from now on, for good. */
static void filter(int nr, uint32_t answer)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, answer),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { COUNT(code), code };

	CHILD(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHILD(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/*
 * A ring of nearly the largest size, which is more than the machine has. It is refused before
 * a page of it is asked for: else the kernel would look for somebody to kill. (Nobody: what
 * would fill it is not let through.)
 */
static void no_memory(void **state)
{
	static const uint32_t memories[] = { RINGQ_PRIVATE, RINGQ_MEMFD };
	struct ringq_opts opts;
	unsigned int i;
	int before;
	pid_t pid;

	(void)state;
	for (i = 0; i < COUNT(memories); i++) {
		pid = fork();
		if (pid == 0) {
			opts = opts_of(memories[i], 7ull << 33);
			before = descriptors();
			filter(SYS_madvise, SECCOMP_RET_KILL_PROCESS);
			filter(SYS_fallocate, SECCOMP_RET_KILL_PROCESS);
			CHILD(use_all(&opts) == -ENOMEM);
			CHILD(descriptors() == before);
			_exit(0);
		}
		join_child(pid, ringq_memory_name(memories[i]));
	}
}

static const struct {
	const char *what;
	int nr, error;
	int wanted;		/* by a named ring on memfd */
} refusals[] = {
	{ "memfd_create", SYS_memfd_create, ENOMEM, -ENOMEM },
	{ "memfd_create", SYS_memfd_create, EMFILE, -EMFILE },
	{ "memfd_create", SYS_memfd_create, ENFILE, -ENFILE },
	{ "ftruncate", SYS_ftruncate, ENOMEM, -ENOMEM },
	{ "fallocate", SYS_fallocate, ENOSPC, -ENOMEM },
	{ "fallocate", SYS_fallocate, ENOMEM, -ENOMEM },
	{ "eventfd", SYS_eventfd2, EMFILE, -EMFILE },
	{ "epoll_create", SYS_epoll_create1, ENFILE, -ENFILE },
	{ "epoll_ctl", SYS_epoll_ctl, ENOMEM, -ENOMEM },
	{ "socket", SYS_socket, EMFILE, -EMFILE },
	{ "listen", SYS_listen, ENOMEM, -ENOMEM },
};

static void no_system_call(void **state)
{
	struct ringq_opts opts = opts_of(RINGQ_MEMFD, 100);
	char name[RINGQ_NAME_SIZE];
	unsigned int i;
	int before;
	pid_t pid;

	(void)state;
	snprintf(name, sizeof(name), "resources-%d", getpid());
	opts.name = name;
	assert_int_equal(use_all(&opts), 0);
	for (i = 0; i < COUNT(refusals); i++) {
		pid = fork();
		if (pid == 0) {
			before = descriptors();
			filter(refusals[i].nr, SECCOMP_RET_ERRNO | refusals[i].error);
			CHILD(use_all(&opts) == refusals[i].wanted);
			CHILD(descriptors() == before);
			_exit(0);
		}
		join_child(pid, refusals[i].what);
	}
}

static void no_threads(void **state)
{
	struct ringq_opts opts = opts_of(RINGQ_MEMFD, 100);
	int before;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		before = descriptors();
		filter(SYS_clone3, SECCOMP_RET_ERRNO | EAGAIN);
		filter(SYS_clone, SECCOMP_RET_ERRNO | EAGAIN);
		CHILD(use_all(&opts) == -EAGAIN);
		CHILD(descriptors() == before);
		/* Between threads of one process there is nobody to watch. */
		opts.memory = RINGQ_PRIVATE;
		CHILD(use_all(&opts) == 0);
		_exit(0);
	}
	join_child(pid, "clone");
}

static void no_proc(void **state)
{
	struct ringq_opts opts = opts_of(RINGQ_MEMFD, 100);
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		/* Root needs no user namespace for that; others do. */
		CHILD(unshare(CLONE_NEWNS | (geteuid() ? CLONE_NEWUSER : 0)) == 0);
		CHILD(mount(NULL, "/proc", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
		CHILD(mount("none", "/proc", "tmpfs", 0, NULL) == 0);
		CHILD(use_all(&opts) == -EOPNOTSUPP);
		opts.memory = RINGQ_PRIVATE;
		CHILD(use_all(&opts) == 0);
		_exit(0);
	}
	join_child(pid, "/proc");
}

/* No module: asked for, it is an error; left to choose, the library takes something else. */
static void no_module(void **state)
{
	struct ringq_machine machine = { .size = sizeof(machine) };
	struct ringq_info info = { .size = sizeof(info) };
	struct ringq_opts opts = opts_of(RINGQ_DEVICE, 100);
	struct ringq *ring = (struct ringq *)1;

	(void)state;
	assert_int_equal(ringq_get_machine(&machine), 0);
	assert_int_equal(use_all(&opts), machine.device);
	assert_int_equal(ringq_create(&opts, &ring), machine.device);
	if (machine.device == 0)
		ringq_leave(ring);
	else
		assert_null(ring);
	opts.memory = RINGQ_AUTO;
	assert_int_equal(ringq_create(&opts, &ring), 0);
	assert_int_equal(ringq_get_info(ring, &info), 0);
	assert_int_equal(info.memory, machine.device == 0 ? RINGQ_DEVICE : RINGQ_MEMFD);
	ringq_leave(ring);
	assert_int_equal(use_all(&opts), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_address_space),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(no_descriptors),
		cmocka_unit_test(no_system_call),
		cmocka_unit_test(no_threads),
		cmocka_unit_test(no_proc),
		cmocka_unit_test(no_module),
	};

	alarm(200);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
