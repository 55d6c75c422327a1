// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module stays as long as anybody has something of it: an open file of any kind, or a mapping.
 * That it goes when nobody has is for the script that runs the tests.
 */
#include <fcntl.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"

#include "common.h"

FIXTURE(unload) {
};

FIXTURE_SETUP(unload)
{
}

FIXTURE_TEARDOWN_PARENT(unload)
{
	EXPECT_NOTHING_LEFT();
}

static int unload(void)
{
	return syscall(SYS_delete_module, "ringq", O_NONBLOCK) < 0 ? -errno : 0;
}

TEST_F(unload, unbound_file)
{
	ASSERT_LE(0, device());
	EXPECT_EQ(-EWOULDBLOCK, unload());
}

TEST_F(unload, handle)
{
	struct ringq_geometry g = geometry_of(8, 16);
	struct ring r;

	ASSERT_EQ(0, ring_create(&r, &g, "unload"));
	EXPECT_EQ(-EWOULDBLOCK, unload());
}

TEST_F(unload, port)
{
	struct ringq_geometry g = geometry_of(8, 16);
	struct ring r;
	struct port p;

	ASSERT_EQ(0, ring_create(&r, &g, ""));
	ASSERT_EQ(0, port_attach(&p, &r, RINGQ_CONSUMER));
	close(r.fd);
	EXPECT_EQ(-EWOULDBLOCK, unload());
}

TEST_F(unload, mapping_without_a_file)
{
	struct ringq_geometry g = geometry_of(8, 16);
	struct ring r;
	struct port p;

	ASSERT_EQ(0, ring_create(&r, &g, ""));
	ASSERT_EQ(0, port_join(&p, &r, RINGQ_CONSUMER));
	close(r.fd);
	close(p.fd);
	EXPECT_EQ(-EWOULDBLOCK, unload());
	EXPECT_EQ(RINGQ_MAGIC, header(&p)->magic);
}

TEST_F(unload, mapping_of_a_port_that_left)
{
	struct ringq_geometry g = geometry_of(8, 16);
	struct ring r;
	struct port p;

	ASSERT_EQ(0, ring_create(&r, &g, ""));
	ASSERT_EQ(0, port_join(&p, &r, RINGQ_CONSUMER));
	ASSERT_EQ(0, call(p.fd, RINGQ_IOC_DETACH, NULL));
	close(r.fd);
	close(p.fd);
	EXPECT_EQ(-EWOULDBLOCK, unload());
	EXPECT_EQ(RINGQ_MAGIC, header(&p)->magic);
}

TEST_F(unload, handle_in_a_socket)
{
	struct ringq_geometry g = geometry_of(8, 16);
	struct peer child;
	struct ring r;

	if (!peer_fork(&child))
		pause();
	ASSERT_EQ(0, ring_create(&r, &g, ""));
	ASSERT_EQ(0, fd_send(&child, r.fd));
	close(r.fd);
	EXPECT_EQ(-EWOULDBLOCK, unload());
	EXPECT_EQ(r.layout.total, used_bytes());
}

TEST_HARNESS_MAIN
