// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Descriptors that are no rings, or no more, or not yet: cut off, not sealed, foreign, of
 * another version, with any byte of the header scribbled over, or something else altogether.
 * Joining them is an error and leaves no descriptor behind, or gives a ring that works.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ringq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ALL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static struct ringq *make(void)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_MEMFD, .elem_size = 8, .capacity = 100,
	};
	struct ringq *ring = NULL;

	assert_int_equal(ringq_create(&opts, &ring), 0);
	return ring;
}

static uint64_t total(const struct ringq *ring)
{
	struct ringq_info info = { .size = sizeof(info) };

	assert_int_equal(ringq_get_info(ring, &info), 0);
	return info.total;
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

/* A memfd with these bytes, which somebody else might have made. */
static int forge(const void *bytes, uint64_t n, int seals)
{
	int fd = memfd_create("hostile", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	assert_true(fd >= 0);
	if (n)
		assert_int_equal(pwrite(fd, bytes, n, 0), n);
	if (seals)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

/* The bytes of an honest ring. */
static unsigned char *copy_ring(uint64_t *n)
{
	struct ringq *ring = make();
	unsigned char *bytes;

	*n = total(ring);
	bytes = test_malloc(*n);
	assert_int_equal(pread(ringq_fd(ring), bytes, *n, 0), *n);
	ringq_leave(ring);
	return bytes;
}

/* If it is taken for a ring, it must be one. */
static void use(struct ringq *ring)
{
	struct ringq_port out, in;
	uint64_t i, msgs[10] = { 0 };

	if (ringq_attach(ring, RINGQ_PRODUCER, &out) == 0) {
		for (i = 0; i < 300; i++)
			ringq_send(&out, &i, RINGQ_NOWAIT);
		if (ringq_attach(ring, RINGQ_CONSUMER, &in) == 0) {
			ringq_recv_many(&in, msgs, 10, RINGQ_NOWAIT);
			if (ringq_peek(&in, 10, RINGQ_NOWAIT) > 0)
				ringq_release(&in, 1);
			ringq_detach(&in);
		}
		ringq_detach(&out);
	}
	ringq_leave(ring);
}

static int join_and_use(int fd)
{
	int before = descriptors(), r;
	struct ringq *ring = (struct ringq *)1;

	r = ringq_join_fd(fd, NULL, &ring);
	if (r == 0)
		use(ring);
	else
		assert_null(ring);
	assert_int_equal(descriptors(), before);
	return r;
}

static void honest(void **state)
{
	uint64_t n;
	unsigned char *bytes = copy_ring(&n);
	int fd = forge(bytes, n, ALL_SEALS);

	(void)state;
	assert_int_equal(join_and_use(fd), 0);
	close(fd);
	test_free(bytes);
}

static void cut_off(void **state)
{
	uint64_t n, i;
	unsigned char *bytes = copy_ring(&n);
	const uint64_t sizes[] = {
		0, 1, sizeof(struct ringq_header) - 1, sizeof(struct ringq_header), 4096, n / 2,
		n - 4096, n - 1,
	};
	int fd;

	(void)state;
	for (i = 0; i < COUNT(sizes); i++) {
		fd = forge(bytes, sizes[i], ALL_SEALS);
		assert_int_equal(join_and_use(fd), -EBADMSG);
		close(fd);
	}
	test_free(bytes);
}

static void not_sealed(void **state)
{
	static const int seals[] = { 0, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_GROW | F_SEAL_SEAL };
	uint64_t n;
	unsigned char *bytes = copy_ring(&n);
	unsigned int i;
	int fd;

	(void)state;
	for (i = 0; i < COUNT(seals); i++) {
		fd = forge(bytes, n, seals[i]);
		assert_int_equal(join_and_use(fd), -EPERM);
		close(fd);
	}
	test_free(bytes);
}

/* What we make cannot be changed in size by those who share it. */
static void resized(void **state)
{
	struct ringq *ring = make();
	int fd = ringq_fd(ring);

	(void)state;
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, total(ring) - 4096), -1);
	assert_int_equal(ftruncate(fd, total(ring) + 4096), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_int_equal(join_and_use(fd), 0);
	ringq_leave(ring);
}

static void foreign(void **state)
{
	static unsigned char bytes[65536];
	int fd;

	(void)state;
	fd = forge(bytes, sizeof(bytes), ALL_SEALS);
	assert_int_equal(join_and_use(fd), -EBADMSG);
	close(fd);
	memset(bytes, 0xff, sizeof(bytes));
	fd = forge(bytes, sizeof(bytes), ALL_SEALS);
	assert_int_equal(join_and_use(fd), -EBADMSG);
	close(fd);
	memcpy(bytes, "\177ELF", 4);
	fd = forge(bytes, sizeof(bytes), ALL_SEALS);
	assert_int_equal(join_and_use(fd), -EBADMSG);
	close(fd);
}

static void other_version(void **state)
{
	static const uint32_t versions[] = {
		0, RINGQ_LAYOUT_VERSION + 1, RINGQ_LAYOUT_VERSION + 256, UINT32_MAX,
	};
	uint64_t n;
	unsigned char *bytes = copy_ring(&n);
	struct ringq_header *h = (struct ringq_header *)bytes;
	unsigned int i;
	int fd;

	(void)state;
	for (i = 0; i < COUNT(versions); i++) {
		h->version = versions[i];
		/* Its geometry may be one that we have no idea of. */
		h->geometry.discipline = 99;
		fd = forge(bytes, n, ALL_SEALS);
		assert_int_equal(join_and_use(fd), -EPROTO);
		close(fd);
	}
	test_free(bytes);
}

/* Every byte of the header, three ways. No crash, no hang, no other error. */
static void scribbled_header(void **state)
{
	uint64_t n, taken = 0;
	unsigned char *bytes = copy_ring(&n), old;
	unsigned int at, way;
	int fd, r;

	(void)state;
	for (at = 0; at < sizeof(struct ringq_header); at++) {
		for (way = 0; way < 3; way++) {
			old = bytes[at];
			bytes[at] = way == 0 ? old ^ 1 : way == 1 ? old ^ 0x80 : ~old;
			fd = forge(bytes, n, ALL_SEALS);
			r = join_and_use(fd);
			if (r != 0 && r != -EBADMSG && r != -EPROTO)
				fail_msg("byte %u, way %u: %d", at, way, r);
			/* What the places follow from is checked. */
			if (at < offsetof(struct ringq_header, id) &&
			    (at < offsetof(struct ringq_header, geometry.first) ||
			     at >= offsetof(struct ringq_header, geometry.producers)) &&
			    at / 4 != offsetof(struct ringq_header, geometry.flags) / 4)
				assert_int_not_equal(r, 0);
			taken += r == 0;
			close(fd);
			bytes[at] = old;
		}
	}
	/* The identity, the times and the name say nothing about places. */
	assert_true(taken > 3 * 16);
	test_free(bytes);
}

/* Geometries that are right in themselves, and not for this file. */
static void wrong_geometry(void **state)
{
	static const struct ringq_geometry tries[] = {
		/* Larger than the file. */
		{ RINGQ_SPSC, RINGQ_SHAPE_LINE, 8, 0, 7ull << 20, 0, 1, 1, 12, 12 },
		{ RINGQ_SPSC, RINGQ_SHAPE_LINE, 8, 0, 7ull << 33, 0, 1, 1, 12, 12 },
		{ RINGQ_SPSC, RINGQ_SHAPE_LINE, 8, 0, 7ull << 4, 0, 1, 1, 12, 21 },
		{ RINGQ_SPSC, RINGQ_SHAPE_APART, 1u << 30, 0, 1, 0, 1, 1, 12, 12 },
		{ RINGQ_SPSC, RINGQ_SHAPE_RECORDS, 8, 0, 1 << 20, 0, 1, 1, 12, 12 },
		{ RINGQ_MPMC, RINGQ_SHAPE_SLOT, 8, 0, 1, 0, 256, 256, 12, 12 },
		{ RINGQ_LANES, RINGQ_SHAPE_LINE, 8, 0, 7, 0, 256, 1, 12, 12 },
		{ RINGQ_GATED, RINGQ_SHAPE_LINE, 8, 0, 7, 0, 1, 256, 12, 12 },
		/* Of memory without pages. */
		{ RINGQ_SPSC, RINGQ_SHAPE_LINE, 8, 0, 7, 0, 1, 1, 7, 7 },
		{ RINGQ_MPSC, RINGQ_SHAPE_SLOT, 8, 0, 8, 0, 2, 1, 7, 7 },
	};
	uint64_t n;
	unsigned char *bytes = copy_ring(&n);
	struct ringq_header *h = (struct ringq_header *)bytes;
	unsigned int i;
	int fd;

	(void)state;
	for (i = 0; i < COUNT(tries); i++) {
		h->geometry = tries[i];
		memset(&h->layout, 0, sizeof(h->layout));
		assert_int_equal(ringq_layout_compute(&h->geometry, &h->layout), 0);
		fd = forge(bytes, n, ALL_SEALS);
		assert_int_equal(join_and_use(fd), -EBADMSG);
		close(fd);
	}
	test_free(bytes);
}

/* Words of the ring's own state, set before anybody attaches. */
static void scribbled_state(void **state)
{
	static const uint64_t values[] = {
		1, 2, 6, 7, 8, 100, 1ull << 31, 1ull << 56, 1ull << 60, 1ull << 61, 1ull << 62,
		1ull << 63, UINT64_MAX,
	};
	uint64_t n, at, old;
	unsigned char *bytes = copy_ring(&n);
	unsigned int i;
	int fd;

	(void)state;
	for (at = 4096; at < n; at += 8) {
		/* The words of sections begin them; the rest of most pages is nobody's. */
		if (at % 4096 >= 512)
			continue;
		memcpy(&old, bytes + at, 8);
		for (i = 0; i < COUNT(values); i++) {
			memcpy(bytes + at, &values[i], 8);
			fd = forge(bytes, n, ALL_SEALS);
			assert_int_equal(join_and_use(fd), 0);
			close(fd);
		}
		memcpy(bytes + at, &old, 8);
	}
	test_free(bytes);
}

static void other_things(void **state)
{
	int pair[2], sock[2], fd, r;
	struct ringq *ring;
	uint64_t n;
	unsigned char *bytes = copy_ring(&n);
	char path[] = "/tmp/ringq-hostile-XXXXXX";

	(void)state;
	assert_int_equal(pipe(pair), 0);
	assert_int_equal(join_and_use(pair[0]), -EBADMSG);
	assert_int_equal(join_and_use(pair[1]), -EBADMSG);
	close(pair[1]);
	close(pair[0]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sock), 0);
	assert_int_equal(join_and_use(sock[0]), -EBADMSG);
	close(sock[0]);
	close(sock[1]);
	fd = open("/dev/null", O_RDWR);
	assert_int_equal(join_and_use(fd), -EBADMSG);
	close(fd);
	fd = open("/", O_RDONLY | O_DIRECTORY);
	assert_int_equal(join_and_use(fd), -EBADMSG);
	close(fd);
	fd = open("/", O_PATH);
	assert_int_equal(join_and_use(fd), -EBADMSG);
	close(fd);
	/* A file with all the right bytes can still be cut off. */
	fd = mkstemp(path);
	unlink(path);
	assert_int_equal(write(fd, bytes, n), n);
	r = join_and_use(fd);
	assert_true(r == -EBADMSG || r == -EPERM);
	close(fd);
	test_free(bytes);

	ring = (struct ringq *)1;
	assert_int_equal(ringq_join_fd(fd, NULL, &ring), -EBADF);
	assert_null(ring);
	assert_int_equal(ringq_join_fd(-1, NULL, &ring), -EBADF);
	assert_int_equal(ringq_join_fd(1 << 30, NULL, &ring), -EBADF);
}

/* A descriptor that can only be read is as good: who has it can open it for writing. */
static void read_only(void **state)
{
	struct ringq *ring = make();
	char path[40];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ringq_fd(ring));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(join_and_use(fd), 0);
	close(fd);
	ringq_leave(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(honest),
		cmocka_unit_test(cut_off),
		cmocka_unit_test(not_sealed),
		cmocka_unit_test(resized),
		cmocka_unit_test(foreign),
		cmocka_unit_test(other_version),
		cmocka_unit_test(scribbled_header),
		cmocka_unit_test(wrong_geometry),
		cmocka_unit_test(scribbled_state),
		cmocka_unit_test(other_things),
		cmocka_unit_test(read_only),
	};

	/* A hang is a failure. */
	alarm(200);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
