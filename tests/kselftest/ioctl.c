// SPDX-License-Identifier: GPL-2.0-only
/*
 * What every ioctl owes a caller who gets the form wrong: sizes, flags, reserved fields, pointers,
 * and the kind of file. One table has all of them, so that a new one cannot be forgotten.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "kselftest_harness.h"

#include "common.h"

#define TAIL	32	/* bytes of a struct that only a later kernel knows */

union arg {
	__u32 size;
	struct ringq_ioc_info info;
	struct ringq_ioc_create create;
	struct ringq_ioc_open open;
	struct ringq_ioc_attach attach;
	struct ringq_ioc_wait wait;
	struct ringq_ioc_kick kick;
	struct ringq_ioc_eventfd eventfd;
	struct ringq_ioc_port port;
	struct ringq_ioc_list list;
	unsigned char bytes[2 * PAGE];
};

/* The kinds of file that an ioctl may be called on. */
#define UNBOUND	(1u << 0)
#define HANDLE	(1u << 1)
#define PORT	(1u << 2)
#define ANY	(UNBOUND | HANDLE | PORT)

struct command {
	unsigned long cmd;
	unsigned int kinds;
	size_t flags;		/* offset of the word of flags; 0: none */
	__u32 known;		/* flags */
	size_t reserved;	/* offset of a word that must be zero; 0: none */
};

/* Those that have an argument come first. */
static const struct command commands[] = {
	{ RINGQ_IOC_INFO, ANY, 0, 0, 0 },
	{ RINGQ_IOC_CREATE, UNBOUND, offsetof(struct ringq_ioc_create, flags),
	  RINGQ_CREATE_OR_OPEN | RINGQ_CREATE_HUGE | RINGQ_CREATE_HUGE_ONLY, 0 },
	{ RINGQ_IOC_OPEN, UNBOUND, offsetof(struct ringq_ioc_open, flags), 0, 0 },
	{ RINGQ_IOC_ATTACH, UNBOUND, offsetof(struct ringq_ioc_attach, flags),
	  RINGQ_ATTACH_PLACE | RINGQ_ATTACH_LOCK, 0 },
	{ RINGQ_IOC_WAIT, PORT, offsetof(struct ringq_ioc_wait, flags), RINGQ_WAIT_DRAIN,
	  offsetof(struct ringq_ioc_wait, reserved) },
	{ RINGQ_IOC_KICK, PORT, offsetof(struct ringq_ioc_kick, flags), RINGQ_KICK_OWN, 0 },
	{ RINGQ_IOC_EVENTFD, PORT, offsetof(struct ringq_ioc_eventfd, flags),
	  RINGQ_EVENTFD_DETACH, offsetof(struct ringq_ioc_eventfd, reserved) },
	{ RINGQ_IOC_PORT, HANDLE | PORT, offsetof(struct ringq_ioc_port, flags), 0, 0 },
	{ RINGQ_IOC_LIST, ANY, offsetof(struct ringq_ioc_list, flags), 0, 0 },
	{ RINGQ_IOC_CLOSE, PORT, 0, 0, 0 },
	{ RINGQ_IOC_DETACH, PORT, 0, 0, 0 },
	{ RINGQ_IOC_LOCK, PORT, 0, 0, 0 },
	{ RINGQ_IOC_TRYLOCK, PORT, 0, 0, 0 },
	{ RINGQ_IOC_UNLOCK, PORT, 0, 0, 0 },
};

#define for_each_command(c)						\
	for ((c) = commands; (c) < commands + ARRAY_SIZE(commands); (c)++)

#define for_each_struct(c)						\
	for ((c) = commands; _IOC_SIZE((c)->cmd); (c)++)

FIXTURE(form) {
	struct ring ring;
	struct port port;
	union arg *arg;
};

FIXTURE_SETUP(form)
{
	struct ringq_geometry g = geometry_of(8, 16);

	/* The places can be left and taken again. */
	g.flags = RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT;
	self->arg = mmap(NULL, sizeof(*self->arg), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->arg);
	ASSERT_EQ(0, ring_create(&self->ring, &g, "form"));
	ASSERT_EQ(0, port_join(&self->port, &self->ring, RINGQ_CONSUMER));
}

FIXTURE_TEARDOWN_PARENT(form)
{
	EXPECT_NOTHING_LEFT();
}

/* Arguments that are right for a file of the kind that the ioctl wants. */
static void fill(FIXTURE_DATA(form) *self, const struct command *c)
{
	struct ringq_geometry g = geometry_of(8, 16);
	union arg *arg = self->arg;

	memset(arg, 0, sizeof(*arg));
	switch (c->cmd) {
	case RINGQ_IOC_CREATE:
		arg->create = create_args(&g, "other");
		break;
	case RINGQ_IOC_OPEN:
		arg->open = open_args("form", -1);
		break;
	case RINGQ_IOC_ATTACH:
		arg->attach.fd = self->ring.fd;
		arg->attach.role = RINGQ_PRODUCER;
		break;
	case RINGQ_IOC_WAIT:
		arg->wait.need = 1;
		break;
	case RINGQ_IOC_KICK:
		arg->kick.count = 1;
		break;
	case RINGQ_IOC_EVENTFD:
		arg->eventfd.fd = eventfd(0, 0);
		break;
	}
	arg->size = _IOC_SIZE(c->cmd);
}

/* A file of a kind that the ioctl wants; the port is one for all. */
static int file_for(FIXTURE_DATA(form) *self, const struct command *c)
{
	return c->kinds & UNBOUND ? device() : self->port.fd;
}

static void file_done(FIXTURE_DATA(form) *self, int fd)
{
	if (fd != self->port.fd)
		close(fd);
}

/* What the ioctl answers if nothing is wrong: the ring is empty, and WAIT only looks. */
static int right_answer(const struct command *c)
{
	return c->cmd == RINGQ_IOC_WAIT ? -ETIMEDOUT : 0;
}

static int ask(FIXTURE_DATA(form) *self, const struct command *c, unsigned long cmd, void *arg)
{
	int fd = file_for(self, c), err;

	err = call(fd, cmd, arg);
	file_done(self, fd);
	return err;
}

TEST_F(form, right_size)
{
	const struct command *c;

	for_each_struct(c) {
		fill(self, c);
		EXPECT_EQ(right_answer(c), ask(self, c, c->cmd, self->arg))
			TH_LOG("ioctl %#lx", c->cmd);
		EXPECT_EQ(_IOC_SIZE(c->cmd), self->arg->size);
	}
}

TEST_F(form, size_too_small)
{
	const struct command *c;
	__u32 size;

	for_each_struct(c) {
		for (size = 0; size < _IOC_SIZE(c->cmd); size++) {
			fill(self, c);
			self->arg->size = size;
			EXPECT_EQ(-EINVAL, ask(self, c, c->cmd, self->arg))
				TH_LOG("ioctl %#lx, size %u", c->cmd, size);
		}
	}
}

/* A later caller's struct, and with it the ioctl's number, is larger. */
TEST_F(form, larger_with_a_tail_of_zeroes)
{
	const struct command *c;

	for_each_struct(c) {
		unsigned long later = _IOC(_IOC_DIR(c->cmd), _IOC_TYPE(c->cmd), _IOC_NR(c->cmd),
					   _IOC_SIZE(c->cmd) + TAIL);

		fill(self, c);
		self->arg->size += TAIL;
		EXPECT_EQ(right_answer(c), ask(self, c, c->cmd, self->arg))
			TH_LOG("ioctl %#lx", c->cmd);

		fill(self, c);
		self->arg->size += TAIL;
		EXPECT_EQ(right_answer(c), ask(self, c, later, self->arg))
			TH_LOG("ioctl %#lx", later);

		fill(self, c);
		self->arg->size = PAGE;
		EXPECT_EQ(right_answer(c), ask(self, c, c->cmd, self->arg))
			TH_LOG("ioctl %#lx, a page", c->cmd);
	}
}

TEST_F(form, larger_with_something_in_the_tail)
{
	const struct command *c;
	__u32 at;

	for_each_struct(c) {
		for (at = 0; at < TAIL; at++) {
			fill(self, c);
			self->arg->bytes[self->arg->size + at] = 1;
			self->arg->size += TAIL;
			EXPECT_EQ(-E2BIG, ask(self, c, c->cmd, self->arg))
				TH_LOG("ioctl %#lx, byte %u of the tail", c->cmd, at);
		}
	}
}

/* Nobody has to look through gigabytes for a byte that is not zero. */
TEST_F(form, absurd_size)
{
	static const __u32 sizes[] = { PAGE + 1, 2 * PAGE, 1u << 20, 1u << 31, ~0u };
	const struct command *c;
	size_t i;

	for_each_struct(c) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			fill(self, c);
			self->arg->size = sizes[i];
			EXPECT_EQ(-E2BIG, ask(self, c, c->cmd, self->arg))
				TH_LOG("ioctl %#lx, size %u", c->cmd, sizes[i]);
		}
	}
}

TEST_F(form, unknown_flags)
{
	const struct command *c;
	int bit;

	for_each_struct(c) {
		if (!c->flags)
			continue;
		for (bit = 0; bit < 32; bit++) {
			if (c->known & 1u << bit)
				continue;
			fill(self, c);
			*(__u32 *)(self->arg->bytes + c->flags) = 1u << bit;
			EXPECT_EQ(-EINVAL, ask(self, c, c->cmd, self->arg))
				TH_LOG("ioctl %#lx, flag %d", c->cmd, bit);
		}
	}
}

TEST_F(form, reserved_fields)
{
	const struct command *c;
	int bit;

	for_each_struct(c) {
		for (bit = 0; c->reserved && bit < 32; bit++) {
			fill(self, c);
			*(__u32 *)(self->arg->bytes + c->reserved) = 1u << bit;
			EXPECT_EQ(-EINVAL, ask(self, c, c->cmd, self->arg))
				TH_LOG("ioctl %#lx, bit %d", c->cmd, bit);
		}
	}
}

TEST_F(form, wrong_kind_of_file)
{
	const struct command *c;

	for_each_command(c) {
		int unbound = device(), handle = self->ring.fd;

		fill(self, c);
		if (!(c->kinds & UNBOUND))
			EXPECT_EQ(-EBADFD, call(unbound, c->cmd, self->arg))
				TH_LOG("ioctl %#lx, unbound", c->cmd);
		if (!(c->kinds & HANDLE))
			EXPECT_EQ(-EBADFD, call(handle, c->cmd, self->arg))
				TH_LOG("ioctl %#lx, handle", c->cmd);
		if (!(c->kinds & PORT))
			EXPECT_EQ(-EBADFD, call(self->port.fd, c->cmd, self->arg))
				TH_LOG("ioctl %#lx, port", c->cmd);
		close(unbound);
	}
	/* None of the refusals has done anything. */
	EXPECT_EQ(-ETIMEDOUT, port_wait(&self->port, 1, 0, 0, NULL));
}

TEST_F(form, info_on_every_kind_of_file)
{
	int fds[] = { device(), self->ring.fd, self->port.fd };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		struct ringq_ioc_info info = { .size = sizeof(info) };

		EXPECT_EQ(0, call(fds[i], RINGQ_IOC_INFO, &info));
		EXPECT_EQ(RINGQ_ABI_VERSION, info.abi_version);
		EXPECT_EQ(RINGQ_LAYOUT_VERSION, info.layout_version);
		EXPECT_TRUE(info.huge_shift == 0 || info.huge_shift == RINGQ_BULK_HUGE);
		EXPECT_EQ(0, info.features & ~(RINGQ_FEATURE_BARRIER |
						 RINGQ_FEATURE_URING_CMD));
		EXPECT_EQ(self->ring.layout.total, info.used_bytes);
		EXPECT_LE(info.used_bytes, info.max_bytes);
		EXPECT_LE(info.used_bytes, info.max_user_bytes);
	}
}

TEST_F(form, dead_and_detached_ports)
{
	struct port left, dead;
	const struct command *c;

	ASSERT_EQ(0, port_attach(&left, &self->ring, RINGQ_PRODUCER));
	ASSERT_EQ(0, call(left.fd, RINGQ_IOC_DETACH, NULL));
	dead = self->port;
	port_unmap(&dead);
	for_each_command(c) {
		if (c->kinds != PORT)
			continue;
		fill(self, c);
		EXPECT_EQ(-ESTALE, call(left.fd, c->cmd, self->arg))
			TH_LOG("ioctl %#lx, detached", c->cmd);
		fill(self, c);
		EXPECT_EQ(-ESTALE, call(dead.fd, c->cmd, self->arg))
			TH_LOG("ioctl %#lx, dead", c->cmd);
	}
}

TEST_F(form, bad_pointers)
{
	const struct command *c;
	size_t at;

	for_each_struct(c) {
		unsigned char *hole = self->arg->bytes + PAGE;

		EXPECT_EQ(-EFAULT, ask(self, c, c->cmd, NULL));
		EXPECT_EQ(-EFAULT, ask(self, c, c->cmd, (void *)-1l));
		EXPECT_EQ(-EFAULT, ask(self, c, c->cmd, (void *)0xffff888000000000ul));

		/* The struct runs into a page that is not there, at every one of its bytes. */
		for (at = 0; at < _IOC_SIZE(c->cmd); at++) {
			union arg *arg = (void *)(hole - at);

			fill(self, c);
			memmove(hole - at, self->arg, at);
			ASSERT_EQ(0, munmap(hole, PAGE));
			EXPECT_EQ(-EFAULT, ask(self, c, c->cmd, arg))
				TH_LOG("ioctl %#lx, %zu bytes there", c->cmd, at);
			ASSERT_EQ(hole, mmap(hole, PAGE, PROT_READ | PROT_WRITE,
					     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
		}
	}
}

/* What cannot be answered is not done either. */
TEST_F(form, read_only_pointers)
{
	const struct command *c;
	struct port producer;
	struct ring other;

	for_each_struct(c) {
		int fd = file_for(self, c);

		fill(self, c);
		ASSERT_EQ(0, mprotect(self->arg, sizeof(*self->arg), PROT_READ));
		EXPECT_EQ(-EFAULT, call(fd, c->cmd, self->arg))
			TH_LOG("ioctl %#lx", c->cmd);
		ASSERT_EQ(0, mprotect(self->arg, sizeof(*self->arg), PROT_READ | PROT_WRITE));
		if (c->kinds == UNBOUND)
			EXPECT_EQ(-EBADFD, call(fd, RINGQ_IOC_CLOSE, NULL));
		file_done(self, fd);
	}
	EXPECT_EQ(-ENOENT, ring_open(&other, "other", -1, 0));
	EXPECT_EQ(0, port_attach(&producer, &self->ring, RINGQ_PRODUCER));
}

TEST_F(form, unknown_ioctls)
{
	int fds[] = { device(), self->ring.fd, self->port.fd };
	unsigned int nr;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		for (nr = 0; nr < 256; nr++) {
			if (nr >= _IOC_NR(RINGQ_IOC_INFO) && nr <= _IOC_NR(RINGQ_IOC_EVENTFD))
				continue;
			if (nr == _IOC_NR(RINGQ_IOC_PORT) || nr == _IOC_NR(RINGQ_IOC_LIST))
				continue;
			EXPECT_EQ(-ENOTTY, call(fds[i], _IO(0xE2, nr), self->arg));
			EXPECT_EQ(-ENOTTY, call(fds[i], _IOWR(0xE2, nr, union arg), self->arg));
		}
		/* Another type, and another direction. */
		EXPECT_EQ(-ENOTTY, call(fds[i], _IOWR(0xE3, 0x40, struct ringq_ioc_info),
					self->arg));
		EXPECT_EQ(-ENOTTY, call(fds[i], _IOW(0xE2, 0x40, struct ringq_ioc_info),
					self->arg));
		EXPECT_EQ(-ENOTTY, call(fds[i], _IO(0xE2, 0x40), self->arg));
		EXPECT_EQ(-ENOTTY, call(fds[i], ~0u, self->arg));
	}
}

/* A port's deaths are read, and a byte has no room for one. */
TEST_F(form, no_data_by_read_and_write)
{
	int fds[] = { device(), self->ring.fd, self->port.fd };
	char byte = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		EXPECT_EQ(-1, read(fds[i], &byte, 1));
		EXPECT_EQ(fds[i] == self->port.fd ? EINVAL : EBADFD, errno);
		EXPECT_EQ(-1, write(fds[i], &byte, 1));
		EXPECT_EQ(EINVAL, errno);
		EXPECT_EQ(-1, lseek(fds[i], 0, SEEK_SET));
		EXPECT_EQ(ESPIPE, errno);
	}
}

TEST_F(form, attach_arguments)
{
	int bad[] = { -1, -2, 1 << 20, device(), self->port.fd, open("/dev/null", O_RDWR) };
	struct ring r = self->ring;
	struct ringq_ioc_attach a;
	struct port p;
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		r.fd = bad[i];
		EXPECT_EQ(i < 3 ? -EBADF : -EBADFD, port_attach(&p, &r, RINGQ_PRODUCER));
	}
	/* A file that is to be bound to itself. */
	fd = device();
	a = (struct ringq_ioc_attach){ .size = sizeof(a), .fd = fd };
	EXPECT_EQ(-EBADFD, call(fd, RINGQ_IOC_ATTACH, &a));

	EXPECT_EQ(-EINVAL, port_attach(&p, &self->ring, 2));
	EXPECT_EQ(-EINVAL, port_attach(&p, &self->ring, 31));
	EXPECT_EQ(-EINVAL, port_attach(&p, &self->ring, 32));
	EXPECT_EQ(-EINVAL, port_attach(&p, &self->ring, ~0u));
}

TEST_F(form, attach_tells_place_and_generation)
{
	__u32 role, generation;

	port_leave(&self->port);
	for (role = 0; role < 2; role++) {
		struct ringq_ioc_attach a = { .size = sizeof(a), .role = role };

		/* The consumer's place was taken once already. */
		a.fd = self->ring.fd;
		for (generation = 1 + role; generation < 5; generation++) {
			int fd = device();

			ASSERT_EQ(0, call(fd, RINGQ_IOC_ATTACH, &a));
			EXPECT_EQ(0, a.port);
			EXPECT_EQ(generation, a.generation);
			close(fd);
		}
	}
}

TEST_F(form, attach_twice)
{
	struct port p;

	EXPECT_EQ(-EBUSY, port_attach(&p, &self->ring, RINGQ_CONSUMER));
	ASSERT_EQ(0, port_attach(&p, &self->ring, RINGQ_PRODUCER));
	EXPECT_EQ(-EBUSY, port_attach(&p, &self->ring, RINGQ_PRODUCER));
	EXPECT_EQ(-EBUSY, port_attach(&p, &self->ring, RINGQ_CONSUMER));
}

/* A child has the file, but the port is its parent's. */
TEST_F(form, port_of_another_process)
{
	const struct command *c;
	struct peer child;

	if (!peer_fork(&child)) {
		for_each_command(c) {
			if (c->kinds != PORT)
				continue;
			fill(self, c);
			EXPECT_EQ(-EPERM, call(self->port.fd, c->cmd, self->arg))
				TH_LOG("ioctl %#lx", c->cmd);
		}
		_exit(0);
	}
	EXPECT_EQ(0, peer_end(&child));
	EXPECT_EQ(-ETIMEDOUT, port_wait(&self->port, 1, 0, 0, NULL));
}

TEST_HARNESS_MAIN
