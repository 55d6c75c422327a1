// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Rings in a file of the caller's: made by whoever comes first, joined by the others, there as
 * long as the file; what is no ring is left as it is, and what a maker left that died is not in
 * the way. On a disk, on tmpfs, and on hugetlbfs if the machine has pages for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/memfd.h>
#include <linux/seccomp.h>
#include <ringq.h>
#include <stdbool.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../quiet.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CHILDREN 8

/* In a child: its status is the line that failed. */
#define CHILD(cond)					\
	do {						\
		if (!(cond))				\
			_exit(__LINE__ % 200 + 1);	\
	} while (0)

static void join_child(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_msg("the child: status %x, near line %d", status, WEXITSTATUS(status) - 1);
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

static const char *const places[] = { "/tmp/ringq-file-XXXXXX", "/dev/shm/ringq-file-XXXXXX" };

/* An empty file without a name. */
static int make_file(const char *place)
{
	char path[64];
	int fd;

	strcpy(path, place);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	return fd;
}

static uint64_t size_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_size;
}

static struct ringq_opts opts_of(int fd)
{
	return (struct ringq_opts){
		.size = sizeof(struct ringq_opts), .elem_size = 8, .capacity = 100, .fd = fd,
		.flags = RINGQ_FILE | RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT,
	};
}

/* Three messages go through; or three more. */
static void use(struct ringq *to, struct ringq *from)
{
	struct ringq_port out, in;
	uint64_t msg, i;

	assert_int_equal(ringq_attach(to, RINGQ_PRODUCER, &out), 0);
	assert_int_equal(ringq_attach(from, RINGQ_CONSUMER, &in), 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(ringq_send(&out, &i, RINGQ_NOWAIT), 1);
		assert_int_equal(ringq_recv(&in, &msg, RINGQ_NOWAIT), 1);
		assert_int_equal(msg, i);
	}
	assert_int_equal(ringq_recv(&in, &msg, RINGQ_NOWAIT), -EAGAIN);
	ringq_detach(&out);
	ringq_detach(&in);
}

static struct ringq_info info_of(const struct ringq *ring)
{
	struct ringq_info info = { .size = sizeof(info) };

	assert_int_equal(ringq_get_info(ring, &info), 0);
	return info;
}

static void made_and_joined(void **state)
{
	struct ringq *one, *two, *three = (struct ringq *)1;
	unsigned int i;
	struct ringq_opts opts;
	int fd, before;

	(void)state;
	for (i = 0; i < COUNT(places); i++) {
		fd = make_file(places[i]);
		before = descriptors();
		opts = opts_of(fd);
		assert_int_equal(ringq_join(&opts, &three), -ENOENT);
		assert_null(three);
		assert_int_equal(size_of(fd), 0);
		assert_int_equal(ringq_open(&opts, &one), 0);
		assert_int_equal(info_of(one).created, 1);
		assert_int_equal(info_of(one).memory, RINGQ_MEMFD);
		assert_int_equal(info_of(one).total, size_of(fd));
		assert_int_equal(ringq_open(&opts, &two), 0);
		assert_int_equal(info_of(two).created, 0);
		assert_memory_equal(info_of(two).id, info_of(one).id, 16);
		use(one, two);
		use(two, one);
		assert_int_equal(ringq_create(&opts, &three), -EEXIST);
		assert_null(three);
		ringq_leave(one);
		opts.elem_size = 0;
		assert_int_equal(ringq_join(&opts, &three), 0);
		use(two, three);
		ringq_leave(three);
		opts.elem_size = 16;
		assert_int_equal(ringq_open(&opts, &three), -EPROTOTYPE);
		/* Nothing seals it, so its descriptor alone does not lead there. */
		assert_true(ringq_join_fd(ringq_fd(two), NULL, &three) < 0);
		ringq_leave(two);
		assert_int_equal(descriptors(), before);
		close(fd);
	}
}

/* Records lie in a row that is mapped twice, and wrap around anywhere. */
static void records(void **state)
{
	unsigned char record[500], got[500];
	struct ringq_port out, in;
	struct ringq *one, *two;
	struct ringq_opts opts;
	unsigned int i, k;
	uint32_t size;
	int fd;

	(void)state;
	for (i = 0; i < COUNT(places); i++) {
		fd = make_file(places[i]);
		opts = opts_of(fd);
		opts.flags |= RINGQ_RECORDS;
		opts.elem_size = sizeof(record);
		opts.capacity = 4096;
		assert_int_equal(ringq_open(&opts, &one), 0);
		assert_int_equal(ringq_open(&opts, &two), 0);
		assert_int_equal(ringq_attach(one, RINGQ_PRODUCER, &out), 0);
		assert_int_equal(ringq_attach(two, RINGQ_CONSUMER, &in), 0);
		for (k = 0; k < 100; k++) {
			memset(record, k, sizeof(record));
			assert_int_equal(ringq_send_record(&out, record, 100 + k, 0), 1);
			assert_int_equal(ringq_recv_record(&in, got, sizeof(got), &size, 0), 1);
			assert_int_equal(size, 100 + k);
			assert_memory_equal(got, record, size);
		}
		ringq_detach(&out);
		ringq_detach(&in);
		ringq_leave(one);
		ringq_leave(two);
		close(fd);
	}
}

/* The ring is there when nobody is; one that has ended is opened again. */
static void outlives_its_members(void **state)
{
	struct ringq_port port;
	struct ringq *ring;
	struct ringq_opts opts;
	uint64_t msg = 77, i;
	int fd;
	pid_t pid;

	(void)state;
	fd = make_file(places[0]);
	opts = opts_of(fd);
	quiet();
	pid = fork();
	if (pid == 0) {
		CHILD(ringq_create(&opts, &ring) == 0);
		CHILD(ringq_attach(ring, RINGQ_PRODUCER, &port) == 0);
		for (i = 0; i < 5; i++)
			CHILD(ringq_send(&port, &i, RINGQ_NOWAIT) == 1);
		/* It dies, with its place taken. */
		_exit(0);
	}
	join_child(pid);
	assert_int_equal(ringq_join(&opts, &ring), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &port), 0);
	for (i = 0; i < 5; i++) {
		assert_int_equal(ringq_recv(&port, &msg, RINGQ_NOWAIT), 1);
		assert_int_equal(msg, i);
	}
	assert_int_equal(ringq_recv(&port, &msg, RINGQ_NOWAIT), -EAGAIN);
	ringq_detach(&port);
	ringq_leave(ring);
	close(fd);

	fd = make_file(places[0]);
	opts = opts_of(fd);
	opts.flags = RINGQ_FILE;
	assert_int_equal(ringq_create(&opts, &ring), 0);
	use(ring, ring);
	ringq_leave(ring);
	assert_int_equal(ringq_join(&opts, &ring), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &port), -EPIPE);
	assert_int_equal(ringq_reset(ring), 0);
	use(ring, ring);
	ringq_leave(ring);
	close(fd);
}

/* All at once: one makes it. */
static void race(void **state)
{
	struct ringq_opts opts;
	struct ringq *ring;
	unsigned int round, i, made;
	pid_t pids[CHILDREN];
	int gate[2], told[2], fd;
	char byte;

	(void)state;
	for (round = 0; round < 10; round++) {
		fd = make_file(places[round % 2]);
		opts = opts_of(fd);
		assert_int_equal(pipe(gate), 0);
		assert_int_equal(pipe(told), 0);
		quiet();
		for (i = 0; i < CHILDREN; i++) {
			pids[i] = fork();
			if (pids[i])
				continue;
			close(gate[1]);
			CHILD(read(gate[0], &byte, 1) == 0);
			CHILD(ringq_open(&opts, &ring) == 0);
			if (info_of(ring).created)
				CHILD(write(told[1], "", 1) == 1);
			ringq_leave(ring);
			_exit(0);
		}
		close(gate[1]);
		close(told[1]);
		for (i = 0; i < CHILDREN; i++)
			join_child(pids[i]);
		for (made = 0; read(told[0], &byte, 1) == 1; made++)
			;
		assert_int_equal(made, 1);
		assert_int_equal(ringq_join(&opts, &ring), 0);
		use(ring, ring);
		ringq_leave(ring);
		close(gate[0]);
		close(told[0]);
		close(fd);
	}
}

/* Files that have something else in them: refused, and as they were. */
static void something_else(void **state)
{
	static unsigned char bytes[1 << 16], after[1 << 16];
	const uint64_t sizes[] = { 1, 8, 271, 272, 4096, 28671, 28672, 28673, sizeof(bytes) };
	struct ringq *ring;
	struct ringq_opts opts;
	unsigned int i, zero;
	int fd;

	(void)state;
	for (i = 0; i < COUNT(sizes) * 2; i++) {
		zero = i / COUNT(sizes);
		memset(bytes, zero ? 0 : 0x5a, sizeof(bytes));
		fd = make_file(places[0]);
		opts = opts_of(fd);
		assert_int_equal(write(fd, bytes, sizes[i % COUNT(sizes)]),
				 sizes[i % COUNT(sizes)]);
		assert_int_equal(ringq_join(&opts, &ring), -EBADMSG);
		/* Of the right size, and zero: what a maker left. */
		if (zero && sizes[i % COUNT(sizes)] == 28672) {
			assert_int_equal(ringq_open(&opts, &ring), 0);
			assert_int_equal(info_of(ring).created, 1);
			ringq_leave(ring);
		} else {
			assert_int_equal(ringq_open(&opts, &ring), -EBADMSG);
			assert_int_equal(ringq_create(&opts, &ring), -EEXIST);
			assert_int_equal(pread(fd, after, sizeof(after), 0),
					 sizes[i % COUNT(sizes)]);
			assert_memory_equal(after, bytes, sizes[i % COUNT(sizes)]);
		}
		close(fd);
	}

	/* A ring that was cut off, by half or by a page, or has not enough of a header. */
	fd = make_file(places[0]);
	opts = opts_of(fd);
	assert_int_equal(ringq_open(&opts, &ring), 0);
	ringq_leave(ring);
	assert_int_equal(size_of(fd), 28672);
	for (i = 28671; i; i /= 2) {
		assert_int_equal(ftruncate(fd, i), 0);
		assert_int_equal(ringq_open(&opts, &ring), -EBADMSG);
	}
	close(fd);
}

/* Dies at this system call. */
static void die_at(int nr)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { COUNT(code), code };

	CHILD(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHILD(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void death_of_the_maker(void **state)
{
	/* Before it has a size, before it is there, before it is mapped, in the midst of it. */
	static const int calls[] = { SYS_ftruncate, SYS_fallocate, SYS_madvise, SYS_getrandom };
	struct ringq_opts opts;
	struct ringq *ring;
	unsigned int i;
	int fd, status;
	pid_t pid;

	(void)state;
	for (i = 0; i < COUNT(calls); i++) {
		fd = make_file(places[1]);
		opts = opts_of(fd);
		quiet();
		pid = fork();
		if (pid == 0) {
			die_at(calls[i]);
			ringq_open(&opts, &ring);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
		assert_int_equal(ringq_open(&opts, &ring), 0);
		assert_int_equal(info_of(ring).created, 1);
		use(ring, ring);
		ringq_leave(ring);
		assert_int_equal(ringq_open(&opts, &ring), 0);
		assert_int_equal(info_of(ring).created, 0);
		ringq_leave(ring);
		close(fd);
	}
}

/* What was half written: all but the word that comes last. Nothing of it is in the new one. */
static void half_a_ring(void **state)
{
	int fd = make_file(places[0]);
	struct ringq_opts opts = opts_of(fd);
	unsigned char noise[4096];
	struct ringq *ring;
	uint64_t at;

	(void)state;
	assert_int_equal(ringq_open(&opts, &ring), 0);
	ringq_leave(ring);
	memset(noise, 0x55, sizeof(noise));
	for (at = 0; at < 28672; at += sizeof(noise))
		assert_int_equal(pwrite(fd, noise, sizeof(noise), at), sizeof(noise));
	memset(noise, 0, 8);
	assert_int_equal(pwrite(fd, noise, 8, 0), 8);
	assert_int_equal(ringq_open(&opts, &ring), 0);
	assert_int_equal(info_of(ring).created, 1);
	use(ring, ring);
	ringq_leave(ring);
	close(fd);
}

/* A hole, as in a copy, is filled before anybody can fall into it. */
static void holes(void **state)
{
	int fd = make_file(places[1]);
	struct ringq_opts opts = opts_of(fd);
	struct ringq *ring;
	struct stat st;

	(void)state;
	assert_int_equal(ringq_open(&opts, &ring), 0);
	ringq_leave(ring);
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 24576, 4096), 0);
	assert_int_equal(ringq_open(&opts, &ring), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_blocks * 512 >= st.st_size);
	use(ring, ring);
	ringq_leave(ring);
	close(fd);
}

static void rights(void **state)
{
	struct ringq_opts opts;
	struct ringq *ring;
	char path[64];
	int fd, again;

	(void)state;
	/* A descriptor for reading is enough, where the file could be opened for writing. */
	strcpy(path, places[0]);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	again = open(path, O_RDONLY);
	unlink(path);
	opts = opts_of(again);
	assert_int_equal(ringq_open(&opts, &ring), 0);
	use(ring, ring);
	ringq_leave(ring);
	close(again);
	close(fd);
	if (geteuid())
		return;

	/* Another user's, who could cut it off. */
	fd = make_file(places[0]);
	assert_int_equal(fchown(fd, 12345, 12345), 0);
	opts = opts_of(fd);
	assert_int_equal(ringq_open(&opts, &ring), -EACCES);
	assert_int_equal(size_of(fd), 0);
	opts.flags |= RINGQ_ANY_OWNER;
	assert_int_equal(ringq_open(&opts, &ring), 0);
	ringq_leave(ring);
	opts.flags &= ~RINGQ_ANY_OWNER;
	assert_int_equal(ringq_join(&opts, &ring), -EACCES);
	close(fd);
}

static void wrong(void **state)
{
	int fd = make_file(places[0]), pair[2], before = descriptors();
	struct ringq_opts opts = opts_of(fd);
	struct ringq *ring;

	(void)state;
	opts.flags = 0;
	assert_int_equal(ringq_create(&opts, &ring), -EINVAL);
	opts = opts_of(fd);
	opts.name = "file";
	assert_int_equal(ringq_open(&opts, &ring), -EINVAL);
	opts = opts_of(fd);
	opts.memory = RINGQ_PRIVATE;
	assert_int_equal(ringq_create(&opts, &ring), -EINVAL);
	opts.memory = RINGQ_DEVICE;
	assert_int_equal(ringq_create(&opts, &ring), -EINVAL);
	opts = opts_of(fd);
	opts.elem_size = 0;
	assert_int_equal(ringq_open(&opts, &ring), -EINVAL);
	opts = opts_of(fd);
	opts.capacity = 1ull << 50;
	assert_int_equal(ringq_open(&opts, &ring), -EFBIG);
	opts.capacity = 7ull << 33;
	assert_int_equal(ringq_open(&opts, &ring), -ENOMEM);
	assert_int_equal(size_of(fd), 0);
	assert_int_equal(descriptors(), before);
	close(fd);
	opts = opts_of(fd);
	assert_int_equal(ringq_open(&opts, &ring), -EBADF);
	opts = opts_of(-1);
	assert_int_equal(ringq_open(&opts, &ring), -EBADF);
	assert_int_equal(pipe(pair), 0);
	opts = opts_of(pair[0]);
	assert_int_equal(ringq_open(&opts, &ring), -EBADMSG);
	close(pair[0]);
	close(pair[1]);
	fd = open("/tmp", O_RDONLY | O_DIRECTORY);
	opts = opts_of(fd);
	assert_int_equal(ringq_open(&opts, &ring), -EBADMSG);
	close(fd);
}

/* A file system that is too small: an error, no signal, and the file is empty again. */
/* What is mounted on /dev/shm is seen by us alone, in a chroot too, whose root is no mount. */
static bool alone_with_mounts(void)
{
	static const char *const mounts[] = { "/", "/dev/shm", "/dev" };
	unsigned int i;

	if (unshare(CLONE_NEWNS | (geteuid() ? CLONE_NEWUSER : 0)) < 0)
		return false;
	for (i = 0; i < COUNT(mounts); i++) {
		if (mount(NULL, mounts[i], NULL, MS_REC | MS_PRIVATE, NULL) == 0)
			return true;
	}
	return false;
}

static void no_room(void **state)
{
	struct ringq_opts opts;
	struct ringq *ring;
	pid_t pid;
	int fd;

	(void)state;
	quiet();
	pid = fork();
	if (pid == 0) {
		CHILD(alone_with_mounts());
		CHILD(mount("none", "/dev/shm", "tmpfs", 0, "size=64k") == 0);
		fd = make_file(places[1]);
		opts = opts_of(fd);
		opts.capacity = 20000;
		CHILD(ringq_open(&opts, &ring) == -ENOSPC);
		CHILD(size_of(fd) == 0);
		opts.capacity = 100;
		CHILD(ringq_open(&opts, &ring) == 0);
		ringq_leave(ring);
		_exit(0);
	}
	join_child(pid);
}

static void huge_pages(void **state)
{
	int fd = memfd_create("huge", MFD_HUGETLB | MFD_HUGE_2MB);
	struct ringq_machine machine = { .size = sizeof(machine) };
	struct ringq_opts opts = opts_of(fd);
	struct ringq *ring, *again;
	int r;

	(void)state;
	if (fd < 0)
		return;
	assert_int_equal(ringq_get_machine(&machine), 0);
	opts.flags |= RINGQ_HUGE_ONLY;
	r = ringq_open(&opts, &ring);
	if (machine.hugetlb_free < 4 << 20) {
		assert_true(r == -ENOSPC || r == -ENOMEM);
	} else {
		assert_int_equal(r, 0);
		assert_int_equal(info_of(ring).page_shift, 21);
		assert_int_equal(ringq_open(&opts, &again), 0);
		use(ring, again);
		ringq_leave(again);
		ringq_leave(ring);
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(made_and_joined),
		cmocka_unit_test(records),
		cmocka_unit_test(outlives_its_members),
		cmocka_unit_test(race),
		cmocka_unit_test(something_else),
		cmocka_unit_test(death_of_the_maker),
		cmocka_unit_test(half_a_ring),
		cmocka_unit_test(holes),
		cmocka_unit_test(rights),
		cmocka_unit_test(wrong),
		cmocka_unit_test(no_room),
		cmocka_unit_test(huge_pages),
	};

	alarm(200);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
