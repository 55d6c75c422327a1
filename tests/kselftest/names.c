// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finding rings, and who may: names and their namespaces, modes, and handles that are derived or
 * passed on.
 */
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>

#include "kselftest_harness.h"

#include "common.h"

#define P	RINGQ_ROLE_MASK(RINGQ_PRODUCER)
#define C	RINGQ_ROLE_MASK(RINGQ_CONSUMER)
#define BOTH	RINGQ_ROLES_ALL

/* Opens and closes: the roles got, or a negative errno. */
static int roles_of(const char *name, int fd, __u32 wanted)
{
	struct ring r;
	int err = ring_open(&r, name, fd, wanted);

	if (err)
		return err;
	close(r.fd);
	return r.roles;
}

static int create_named(struct ring *r, const char *name, __u32 flags, __u32 mode)
{
	struct ringq_geometry g = geometry_of(8, 16);
	struct ringq_ioc_create c;

	g.flags = RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT;
	c = create_args(&g, name);
	c.flags = flags;
	c.mode = mode;
	return ring_create_with(r, &c);
}

FIXTURE(names) {
	struct ring ring;
};

FIXTURE_SETUP(names)
{
	ASSERT_EQ(0, create_named(&self->ring, "ring", 0, 0600));
}

FIXTURE_TEARDOWN_PARENT(names)
{
	EXPECT_NOTHING_LEFT();
}

TEST_F(names, open_tells_what_the_ring_is)
{
	struct ringq_ioc_open o = open_args("ring", -1);
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, call(device(), RINGQ_IOC_OPEN, &o));
		EXPECT_EQ(BOTH, o.roles);
		EXPECT_EQ(0, memcmp(&o.geometry, &self->ring.geometry, sizeof(o.geometry)));
		EXPECT_EQ(self->ring.page_shift, o.page_shift);
		EXPECT_EQ(geteuid(), o.uid);
		EXPECT_EQ(self->ring.layout.total, o.total);
		EXPECT_EQ(0, memcmp(o.id, self->ring.id, sizeof(o.id)));
		/* And the same by the handle. */
		o = open_args("", self->ring.fd);
	}
}

TEST_F(names, absent)
{
	EXPECT_EQ(-ENOENT, roles_of("absent", -1, 0));
	EXPECT_EQ(-ENOENT, roles_of("rin", -1, 0));
	EXPECT_EQ(-ENOENT, roles_of("ring ", -1, 0));
	EXPECT_EQ(-ENOENT, roles_of("Ring", -1, 0));
}

TEST_F(names, bad_names)
{
	struct ringq_ioc_open o;

	EXPECT_EQ(-EINVAL, roles_of("", -1, 0));
	EXPECT_EQ(-EINVAL, roles_of("a/b", -1, 0));
	EXPECT_EQ(-EINVAL, roles_of("a\nb", -1, 0));
	o = open_args("ring", -1);
	o.name[10] = 'x';
	EXPECT_EQ(-EINVAL, call(device(), RINGQ_IOC_OPEN, &o));
	memset(o.name, 'x', sizeof(o.name));
	EXPECT_EQ(-EINVAL, call(device(), RINGQ_IOC_OPEN, &o));
}

TEST_F(names, name_and_handle)
{
	EXPECT_EQ(-EINVAL, roles_of("ring", self->ring.fd, 0));
}

TEST_F(names, bad_roles)
{
	int bit;

	for (bit = 2; bit < 32; bit++) {
		EXPECT_EQ(-EINVAL, roles_of("ring", -1, 1u << bit));
		EXPECT_EQ(-EINVAL, roles_of("", self->ring.fd, 1u << bit));
	}
}

TEST_F(names, bad_handles)
{
	struct ringq_ioc_open o;
	struct port port;
	int self_bound;

	ASSERT_EQ(0, port_attach(&port, &self->ring, RINGQ_PRODUCER));
	EXPECT_EQ(-EBADF, roles_of("", 1 << 20, 0));
	EXPECT_EQ(-EBADF, roles_of("", -2, 0));
	EXPECT_EQ(-EBADFD, roles_of("", device(), 0));
	EXPECT_EQ(-EBADFD, roles_of("", port.fd, 0));
	EXPECT_EQ(-EBADFD, roles_of("", open("/dev/null", O_RDWR), 0));

	self_bound = device();
	o = open_args("", self_bound);
	EXPECT_EQ(-EBADFD, call(self_bound, RINGQ_IOC_OPEN, &o));
}

/* A file is bound once, and a refusal leaves it as it was. */
TEST_F(names, bound_for_good)
{
	struct ringq_ioc_open o = open_args("absent", -1);
	int fd = device();

	EXPECT_EQ(-ENOENT, call(fd, RINGQ_IOC_OPEN, &o));
	o = open_args("ring", -1);
	EXPECT_EQ(0, call(fd, RINGQ_IOC_OPEN, &o));
	o = open_args("ring", -1);
	EXPECT_EQ(-EBADFD, call(fd, RINGQ_IOC_OPEN, &o));
}

TEST_F(names, masks_narrow)
{
	struct ring narrow, narrower;
	struct port port;

	ASSERT_EQ(0, ring_open(&narrow, "", self->ring.fd, C));
	EXPECT_EQ(C, narrow.roles);
	EXPECT_EQ(-EACCES, port_attach(&port, &narrow, RINGQ_PRODUCER));
	EXPECT_EQ(C, roles_of("", narrow.fd, 0));
	EXPECT_EQ(C, roles_of("", narrow.fd, C));
	EXPECT_EQ(-EACCES, roles_of("", narrow.fd, P));
	EXPECT_EQ(-EACCES, roles_of("", narrow.fd, BOTH));

	/* One that is derived from it is no wider, and outlives it. */
	ASSERT_EQ(0, ring_open(&narrower, "", narrow.fd, 0));
	close(narrow.fd);
	EXPECT_EQ(-EACCES, port_attach(&port, &narrower, RINGQ_PRODUCER));
	EXPECT_EQ(0, port_attach(&port, &narrower, RINGQ_CONSUMER));

	/* By name, a mask of one's own choosing narrows as well. */
	ASSERT_EQ(0, ring_open(&narrow, "ring", -1, P));
	EXPECT_EQ(P, narrow.roles);
	EXPECT_EQ(-EACCES, port_attach(&port, &narrow, RINGQ_CONSUMER));
	EXPECT_EQ(0, port_attach(&port, &narrow, RINGQ_PRODUCER));
}

/* Roles are the handle's, not the file's: how the device was opened does not matter. */
TEST_F(names, read_only_file)
{
	struct ringq_ioc_open o = open_args("ring", -1);
	int fd = open(RINGQ_DEVICE_PATH, O_RDONLY);

	ASSERT_EQ(0, call(fd, RINGQ_IOC_OPEN, &o));
	EXPECT_EQ(BOTH, o.roles);
}

/* What a mode gives to its owner, to the group, to others, and to the administrator. */
static const struct {
	__u32 mode;
	int owner, group, other;
} modes[] = {
	{ 0000, -EACCES, -EACCES, -EACCES },
	{ 0600, BOTH, -EACCES, -EACCES },
	{ 0400, C, -EACCES, -EACCES },
	{ 0200, P, -EACCES, -EACCES },
	{ 0640, BOTH, C, -EACCES },
	{ 0620, BOTH, P, -EACCES },
	{ 0660, BOTH, BOTH, -EACCES },
	{ 0644, BOTH, C, C },
	{ 0622, BOTH, P, P },
	{ 0666, BOTH, BOTH, BOTH },
	{ 0624, BOTH, P, C },
	/* The class decides, not the sum of them. */
	{ 0066, -EACCES, BOTH, BOTH },
	{ 0606, BOTH, -EACCES, BOTH },
	/* To execute is no role. */
	{ 0111, -EACCES, -EACCES, -EACCES },
};

/* Opens as a user, with every mask; the child reports how many answers were wrong. */
static int wrong_answers(const char *name, uid_t uid, gid_t gid, int roles)
{
	struct peer child;
	int wrong = 0;
	__u32 wanted;

	if (peer_fork(&child))
		return peer_end(&child);
	if (become(uid, gid))
		_exit(100);
	if (roles_of(name, -1, 0) != roles)
		wrong++;
	for (wanted = 1; wanted <= BOTH; wanted++) {
		bool given = roles > 0 && !(wanted & ~roles);

		if (roles_of(name, -1, wanted) != (given ? (int)wanted : -EACCES))
			wrong++;
	}
	_exit(wrong);
}

TEST_F(names, modes)
{
	struct peer owner;
	struct ring r;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		if (!peer_fork(&owner)) {
			ASSERT_EQ(0, become(1000, 1000));
			ASSERT_EQ(0, create_named(&r, "theirs", 0, modes[i].mode));
			/* Who made it has all roles, whatever he gives by name. */
			EXPECT_EQ(BOTH, roles_of("", r.fd, 0));
			peer_say(&owner, 1);
			pause();
		}
		ASSERT_EQ(1, peer_hear(&owner));
		EXPECT_EQ(0, wrong_answers("theirs", 1000, 1000, modes[i].owner))
			TH_LOG("mode %04o, owner", modes[i].mode);
		EXPECT_EQ(0, wrong_answers("theirs", 1000, 65534, modes[i].owner))
			TH_LOG("mode %04o, owner in another group", modes[i].mode);
		EXPECT_EQ(0, wrong_answers("theirs", 65534, 1000, modes[i].group))
			TH_LOG("mode %04o, group", modes[i].mode);
		EXPECT_EQ(0, wrong_answers("theirs", 65534, 65534, modes[i].other))
			TH_LOG("mode %04o, others", modes[i].mode);
		EXPECT_EQ(BOTH, roles_of("theirs", -1, 0))
			TH_LOG("mode %04o, administrator", modes[i].mode);
		peer_kill(&owner);
	}
}

/* CREATE_OR_OPEN is no way around the mode. */
TEST_F(names, or_open_obeys_the_mode)
{
	struct ring r, found;
	struct peer child;
	struct port port;

	ASSERT_EQ(0, create_named(&r, "mine", 0, 0604));
	if (!peer_fork(&child)) {
		ASSERT_EQ(0, become(1000, 1000));
		EXPECT_EQ(-EACCES, create_named(&found, "ring", RINGQ_CREATE_OR_OPEN, 0666));
		EXPECT_EQ(-EEXIST, create_named(&found, "ring", 0, 0666));
		ASSERT_EQ(0, create_named(&found, "mine", RINGQ_CREATE_OR_OPEN, 0666));
		EXPECT_EQ(0, found.created);
		EXPECT_EQ(-EACCES, port_attach(&port, &found, RINGQ_PRODUCER));
		EXPECT_EQ(0, port_attach(&port, &found, RINGQ_CONSUMER));
		_exit(0);
	}
	EXPECT_EQ(0, peer_end(&child));
}

/* A privilege in a user namespace of one's own is none here. */
TEST_F(names, root_of_another_user_namespace)
{
	struct peer child;

	if (!peer_fork(&child)) {
		ASSERT_EQ(0, become(1000, 1000));
		if (unshare(CLONE_NEWUSER) < 0)
			_exit(errno);
		EXPECT_EQ(-EACCES, roles_of("ring", -1, 0));
		_exit(0);
	}
	EXPECT_EQ(0, peer_end(&child));
}

TEST_F(names, gone_with_the_last_user)
{
	struct port port;

	/* A port keeps it, a mapping without a file keeps it. */
	ASSERT_EQ(0, port_join(&port, &self->ring, RINGQ_CONSUMER));
	close(self->ring.fd);
	EXPECT_EQ(BOTH, roles_of("ring", -1, 0));
	close(port.fd);
	EXPECT_EQ(BOTH, roles_of("ring", -1, 0));
	port_unmap(&port);
	EXPECT_EQ(-ENOENT, roles_of("ring", -1, 0));
	EXPECT_EQ(0, used_bytes());
	EXPECT_EQ(0, create_named(&self->ring, "ring", 0, 0600));
}

TEST_F(names, gone_with_the_last_process)
{
	struct peer child;
	struct port port;
	struct ring r;

	if (!peer_fork(&child)) {
		ASSERT_EQ(0, create_named(&r, "theirs", 0, 0600));
		ASSERT_EQ(0, port_join(&port, &r, RINGQ_PRODUCER));
		peer_say(&child, 1);
		pause();
	}
	ASSERT_EQ(1, peer_hear(&child));
	EXPECT_EQ(BOTH, roles_of("theirs", -1, 0));
	peer_kill(&child);
	EXPECT_EQ(-ENOENT, roles_of("theirs", -1, 0));
	EXPECT_EQ(self->ring.layout.total, used_bytes());
}

TEST_F(names, network_namespaces_separate)
{
	struct ring other, mine;
	struct peer child;
	struct port port;

	if (!peer_fork(&child)) {
		ASSERT_EQ(0, unshare(CLONE_NEWNET));
		EXPECT_EQ(-ENOENT, roles_of("ring", -1, 0));
		ASSERT_EQ(0, create_named(&other, "ring", 0, 0600));
		EXPECT_NE(0, memcmp(other.id, self->ring.id, sizeof(other.id)));
		ASSERT_EQ(0, create_named(&mine, "mine", 0, 0600));
		/* A handle is a right wherever it comes from. */
		EXPECT_EQ(0, port_attach(&port, &self->ring, RINGQ_CONSUMER));
		fd_send(&child, mine.fd);
		_exit(peer_hear(&child));
	}
	other = self->ring;
	other.fd = fd_receive(&child);
	ASSERT_LE(0, other.fd);
	EXPECT_EQ(-ENOENT, roles_of("mine", -1, 0));
	ASSERT_EQ(0, create_named(&mine, "mine", 0, 0600));
	close(mine.fd);
	peer_say(&child, 0);
	EXPECT_EQ(0, peer_end(&child));

	/* The namespace has gone, or will; the ring lives without a name. */
	EXPECT_EQ(BOTH, roles_of("", other.fd, 0));
	ASSERT_EQ(0, port_join(&port, &other, RINGQ_PRODUCER));
	EXPECT_EQ(0, port_leave(&port));
	close(other.fd);
}

/* A namespace that ends while its rings are being closed, many times. */
TEST_F_TIMEOUT(names, network_namespaces_end, 300)
{
	struct peer child;
	struct ring r;
	int i, kept;

	for (i = 0; i < 50; i++) {
		if (!peer_fork(&child)) {
			ASSERT_EQ(0, unshare(CLONE_NEWNET));
			ASSERT_EQ(0, create_named(&r, "a", 0, 0600));
			fd_send(&child, r.fd);
			ASSERT_EQ(0, create_named(&r, "b", 0, 0600));
			_exit(0);
		}
		kept = fd_receive(&child);
		ASSERT_LE(0, kept);
		if (i & 1)
			close(kept);
		EXPECT_EQ(0, peer_end(&child));
		if (!(i & 1))
			close(kept);
	}
	EXPECT_TRUE(soon(used_bytes() == self->ring.layout.total));
}

TEST_F(names, passed_over_a_socket)
{
	struct ring ring = self->ring, narrow;
	struct peer child;
	struct port port;

	if (!peer_fork(&child)) {
		close(self->ring.fd);
		ASSERT_EQ(0, become(1000, 1000));
		EXPECT_EQ(-EACCES, roles_of("ring", -1, 0));
		ring.fd = fd_receive(&child);
		ASSERT_LE(0, ring.fd);
		/* What was given counts, not the mode; and no more than was given. */
		EXPECT_EQ(-EACCES, port_attach(&port, &ring, RINGQ_PRODUCER));
		EXPECT_EQ(-EACCES, roles_of("", ring.fd, BOTH));
		ASSERT_EQ(0, port_join(&port, &ring, RINGQ_CONSUMER));
		peer_say(&child, 1);
		EXPECT_EQ(2, peer_hear(&child));
		EXPECT_EQ(5, consume(&port, 5));
		_exit(0);
	}
	ASSERT_EQ(0, ring_open(&narrow, "", self->ring.fd, C));
	ASSERT_EQ(0, fd_send(&child, narrow.fd));
	close(narrow.fd);
	ASSERT_EQ(1, peer_hear(&child));
	ASSERT_EQ(0, port_join(&port, &self->ring, RINGQ_PRODUCER));
	publish(&port, 5);
	peer_say(&child, 2);
	EXPECT_EQ(0, peer_end(&child));
}

/* A handle on its way is a user of the ring. */
TEST_F(names, alive_in_a_socket)
{
	struct ring ring = self->ring;
	struct peer child;

	if (!peer_fork(&child)) {
		close(self->ring.fd);
		EXPECT_EQ(1, peer_hear(&child));
		ring.fd = fd_receive(&child);
		EXPECT_EQ(BOTH, roles_of("", ring.fd, 0));
		_exit(0);
	}
	peer_say(&child, 1);
	ASSERT_EQ(0, fd_send(&child, self->ring.fd));
	close(self->ring.fd);
	EXPECT_EQ(0, peer_end(&child));
	EXPECT_EQ(0, used_bytes());
}

TEST_HARNESS_MAIN
