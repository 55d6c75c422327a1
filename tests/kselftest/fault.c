// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that runs out, and copies that fail, at every single place: each operation is repeated
 * with its first, second, ... allocation or copy made to fail, until one run needs no more of them.
 * An operation may fail or do with less; it leaves nothing behind.
 *
 * Only a kernel with fault injection can be tested like this. On any other one, there is a note
 * and not a single test.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "kselftest_harness.h"

#include "common.h"

#define FAIL_NTH "/proc/thread-self/fail-nth"

static int write_file(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, value, strlen(value));
	close(fd);
	return n < 0 ? -EIO : 0;
}

static int set(const char *what, const char *key, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", what, key);
	return write_file(path, value);
}

FIXTURE(fault) {
	struct ringq_geometry small;
	struct ringq_geometry huge;
	int nth;		/* FAIL_NTH of the test's thread */
};

FIXTURE_SETUP(fault)
{
	static const char * const kinds[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	size_t i;

	self->small = geometry_of(1264, 64);
	self->huge = geometry_of(8, 2 * HUGE / RINGQ_LINE);
	self->huge.bulk_shift = RINGQ_BULK_HUGE;
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		/* A report of each failure would look like a fault of the kernel. */
		ASSERT_EQ(0, set(kinds[i], "verbose", "0"));
		ASSERT_EQ(0, set(kinds[i], "probability", "0"));
	}
	ASSERT_EQ(0, set("failslab", "ignore-gfp-wait", "N"));
	ASSERT_EQ(0, set("fail_page_alloc", "ignore-gfp-wait", "N"));
	ASSERT_EQ(0, set("fail_page_alloc", "ignore-gfp-highmem", "N"));
	ASSERT_EQ(0, set("fail_page_alloc", "min-order", "0"));
	self->nth = open(FAIL_NTH, O_RDWR);
	ASSERT_LE(0, self->nth);
}

FIXTURE_TEARDOWN_PARENT(fault)
{
	EXPECT_EQ(0, set("fail_page_alloc", "probability", "0"));
	EXPECT_NOTHING_LEFT();
}

static void fail_at(int nth, unsigned int n)
{
	char text[16];

	pwrite(nth, text, snprintf(text, sizeof(text), "%u", n), 0);
}

/* Ends the injection: true if there was nothing left to fail. */
static bool failed_none(int nth)
{
	char text[16] = "";
	bool none;

	pread(nth, text, sizeof(text) - 1, 0);
	none = strtoul(text, NULL, 10) != 0;
	fail_at(nth, 0);
	return none;
}

/*
 * Runs a statement that sets err, with every failure, until it succeeds without one. What is to be
 * undone after each run follows it.
 */
#define for_every_failure(n, err)						\
	for ((n) = 1, (err) = -ENOMEM; (err) != 1; (n)++)

#define EXPECT_FAILED_WELL(n, err)						\
	do {									\
		if (failed_none(self->nth)) {					\
			EXPECT_EQ(0, err)					\
				TH_LOG("without a failure");			\
			EXPECT_LT(1, n);					\
			(err) = 1;						\
		} else if (err) {						\
			EXPECT_TRUE((err) == -ENOMEM || (err) == -EFAULT)	\
				TH_LOG("failure %u: %d", n, err);		\
		}								\
	} while (0)

TEST_F(fault, open_file)
{
	unsigned int n;
	int err, fd;

	for_every_failure(n, err) {
		fail_at(self->nth, n);
		fd = device();
		err = fd < 0 ? fd : 0;
		EXPECT_FAILED_WELL(n, err);
		if (fd >= 0)
			close(fd);
	}
}

static void create(struct __test_metadata *_metadata, FIXTURE_DATA(fault) *self,
		   const struct ringq_geometry *g, const char *name, __u32 flags)
{
	struct ringq_ioc_create c;
	unsigned int n;
	struct ring r;
	int err, fd;

	for_every_failure(n, err) {
		c = create_args(g, name);
		c.flags = flags;
		fd = device();
		fail_at(self->nth, n);
		err = call(fd, RINGQ_IOC_CREATE, &c);
		EXPECT_FAILED_WELL(n, err);
		if (err && err != 1 && *name && err != -EFAULT)
			EXPECT_EQ(-ENOENT, ring_open(&r, name, -1, 0));
		if (err == -ENOMEM)
			EXPECT_EQ(0, used_bytes());
		close(fd);
		ASSERT_EQ(0, used_bytes());
	}
}

TEST_F_TIMEOUT(fault, create, 300)
{
	create(_metadata, self, &self->small, "", 0);
	create(_metadata, self, &self->small, "named", 0);
	create(_metadata, self, &self->small, "named", RINGQ_CREATE_OR_OPEN);
}

TEST_F_TIMEOUT(fault, create_huge, 300)
{
	create(_metadata, self, &self->huge, "", RINGQ_CREATE_HUGE_ONLY);
	create(_metadata, self, &self->huge, "named", RINGQ_CREATE_HUGE);
}

TEST_F(fault, open_ring)
{
	struct ringq_ioc_open o;
	unsigned int n;
	struct ring r;
	int err, fd, by_name;

	ASSERT_EQ(0, ring_create(&r, &self->small, "named"));
	for (by_name = 0; by_name < 2; by_name++) {
		for_every_failure(n, err) {
			o = by_name ? open_args("named", -1) : open_args("", r.fd);
			fd = device();
			fail_at(self->nth, n);
			err = call(fd, RINGQ_IOC_OPEN, &o);
			EXPECT_FAILED_WELL(n, err);
			close(fd);
		}
	}
}

/* A place whose port could not be made is free. */
TEST_F(fault, attach)
{
	struct ringq_ioc_attach a;
	unsigned int n;
	struct port p;
	struct ring r;
	int err, fd;

	self->small.flags = RINGQ_PRODUCER_WAIT;
	ASSERT_EQ(0, ring_create(&r, &self->small, ""));
	for_every_failure(n, err) {
		a = (struct ringq_ioc_attach){ .size = sizeof(a), .fd = r.fd };
		fd = device();
		fail_at(self->nth, n);
		err = call(fd, RINGQ_IOC_ATTACH, &a);
		EXPECT_FAILED_WELL(n, err);
		close(fd);
		ASSERT_EQ(0, port_attach(&p, &r, RINGQ_PRODUCER));
		close(p.fd);
	}
}

/* A mapping that did not come about is no life, and its end no death. */
TEST_F_TIMEOUT(fault, map_and_touch, 300)
{
	const struct ringq_geometry *kinds[] = { &self->small, &self->huge };
	unsigned int n;
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		for_every_failure(n, err) {
			const struct ringq_layout *l;
			unsigned char *at;
			struct port p;
			struct ring r;
			__u64 size;

			ASSERT_EQ(0, ring_create(&r, kinds[i], ""));
			ASSERT_EQ(0, port_attach(&p, &r, RINGQ_PRODUCER));
			l = &r.layout;
			size = l->total - l->bulk;
			fail_at(self->nth, n);
			at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, p.fd, l->bulk);
			err = at == MAP_FAILED ? -errno : 0;
			if (!err) {
				at[0] = 1;
				at[size - PAGE] = 1;
			}
			EXPECT_FAILED_WELL(n, err);
			if (at != MAP_FAILED)
				munmap(at, size);
			close(p.fd);
			close(r.fd);
			ASSERT_EQ(0, used_bytes());
		}
	}
}

TEST_F_TIMEOUT(fault, use, 300)
{
	struct port producer, consumer;
	struct ringq_ioc_kick k;
	struct ringq_ioc_wait w;
	struct pollfd pfd;
	unsigned int n;
	struct ring r;
	int err;

	ASSERT_EQ(0, ring_create(&r, &self->small, ""));
	ASSERT_EQ(0, port_join(&producer, &r, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&consumer, &r, RINGQ_CONSUMER));
	publish(&producer, 1);
	for_every_failure(n, err) {
		w = (struct ringq_ioc_wait){ .size = sizeof(w), .need = 1, .timeout_ns = FOREVER };
		fail_at(self->nth, n);
		err = call(consumer.fd, RINGQ_IOC_WAIT, &w);
		EXPECT_FAILED_WELL(n, err);
	}
	for_every_failure(n, err) {
		k = (struct ringq_ioc_kick){ .size = sizeof(k), .count = 1 };
		fail_at(self->nth, n);
		err = call(producer.fd, RINGQ_IOC_KICK, &k);
		EXPECT_FAILED_WELL(n, err);
	}
	for_every_failure(n, err) {
		pfd = (struct pollfd){ .fd = consumer.fd, .events = POLLIN };
		fail_at(self->nth, n);
		err = poll(&pfd, 1, 1) < 0 ? -errno : 0;
		EXPECT_FAILED_WELL(n, err);
	}
	/* Everything still is as it was. */
	EXPECT_EQ(1, consume(&consumer, 1));
	EXPECT_EQ(-ETIMEDOUT, port_wait(&consumer, 1, MSEC, 0, NULL));
	EXPECT_EQ(0, attention(&producer));
}

/* No huge page is to be had: small ones are, and are said to be, unless others were insisted on. */
TEST_F(fault, no_huge_pages)
{
	struct ringq_ioc_create c = create_args(&self->huge, "");
	struct port producer, consumer;
	struct ring r;

	ASSERT_EQ(0, set("fail_page_alloc", "task-filter", "Y"));
	ASSERT_EQ(0, set("fail_page_alloc", "min-order", "9"));
	ASSERT_EQ(0, set("fail_page_alloc", "times", "-1"));
	ASSERT_EQ(0, set("fail_page_alloc", "probability", "100"));
	ASSERT_EQ(0, write_file("/proc/self/make-it-fail", "1"));

	c.flags = RINGQ_CREATE_HUGE_ONLY;
	EXPECT_EQ(-ENOMEM, ring_create_with(&r, &c));
	c.flags = RINGQ_CREATE_HUGE;
	ASSERT_EQ(0, ring_create_with(&r, &c));
	EXPECT_EQ(RINGQ_UNIT_PAGES, r.page_shift);
	ASSERT_EQ(0, port_join(&producer, &r, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&consumer, &r, RINGQ_CONSUMER));
	EXPECT_EQ(RINGQ_UNIT_PAGES, header(&consumer)->page_shift);
	publish(&producer, self->huge.capacity);
	EXPECT_EQ((int)self->huge.capacity, consume(&consumer, self->huge.capacity));
	EXPECT_EQ(0, write_file("/proc/self/make-it-fail", "0"));
}

int main(int argc, char **argv)
{
	if (access(FAIL_NTH, W_OK) < 0) {
		printf("# fault: not run, as this kernel has no fault injection\n");
		return KSFT_PASS;
	}
	return test_harness_run(argc, argv);
}
