// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Names: which are valid, taken, absent, permitted; who gets in with which rights; many who
 * open one at once; and how long a name lives. Private memory has no names, and must say so
 * to every call that is given one.
 */
#include "conformance.h"

#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOBODY 65534
#define SOMEBODY 65533

typedef int way_in(const struct ringq_opts *opts, struct ringq **ring);

static struct ringq_opts opts_of(const char *name, size_t elem_size)
{
	return (struct ringq_opts){
		.size = sizeof(struct ringq_opts), .memory = conf.memory, .name = name,
		.elem_size = elem_size, .capacity = 20,
	};
}

static int try_mode(way_in *in, const char *name, uint32_t mode, uint32_t flags,
		    struct ringq **ring)
{
	struct ringq_opts opts = opts_of(name, 8);

	opts.mode = mode;
	opts.flags = flags;
	*ring = NULL;
	return in(&opts, ring);
}

static int try_name(way_in *in, const char *name, struct ringq **ring)
{
	return try_mode(in, name, 0, 0, ring);
}

/* To be asked first by each case. */
static bool no_names(void)
{
	struct ringq *ring;

	if (conf.processes)
		return false;
	EXPECT(try_name(ringq_create, conf_name("x"), &ring), -EINVAL);
	EXPECT(try_name(ringq_join, conf_name("x"), &ring), -EINVAL);
	EXPECT(try_name(ringq_open, conf_name("x"), &ring), -EINVAL);
	return true;
}

static void invalid(uint64_t arg)
{
	static const char *const names[] = {
		"", "a/b", "/", "a\n", "\001", "a\177", "\037b",
		/* 64 bytes, and many */
		"0123456789012345678901234567890123456789012345678901234567890123",
		"0123456789012345678901234567890123456789012345678901234567890123456789",
	};
	struct ringq *ring;
	unsigned int i;

	(void)arg;
	no_names();
	for (i = 0; i < COUNT(names); i++) {
		EXPECT(try_name(ringq_create, names[i], &ring), -EINVAL);
		EXPECT(try_name(ringq_join, names[i], &ring), -EINVAL);
		EXPECT(try_name(ringq_open, names[i], &ring), -EINVAL);
	}
	EXPECT(try_name(ringq_join, NULL, &ring), -EINVAL);
	EXPECT(try_name(ringq_open, NULL, &ring), -EINVAL);
}

static void valid(uint64_t arg)
{
	/* The process number makes them this run's own. */
	static const char *const patterns[] = {
		"%d", " %d ", "@%d", ".%d.", "%d \"quoted\" 'name'", "%d-gr\303\266\303\237e",
		"~%d*?", "%-63d", "%063d",
	};
	struct ringq_info info = { .size = sizeof(info) };
	struct ringq *ring, *again;
	char name[RINGQ_NAME_SIZE];
	unsigned int i;

	(void)arg;
	if (no_names())
		return;
	for (i = 0; i < COUNT(patterns); i++) {
		snprintf(name, sizeof(name), patterns[i], getpid());
		EXPECT(try_name(ringq_create, name, &ring), 0);
		EXPECT(try_name(ringq_join, name, &again), 0);
		EXPECT(ringq_get_info(again, &info), 0);
		CHECK(!strcmp(info.name, name), "its name is \"%s\", not \"%s\"", info.name, name);
		EXPECT(info.created, 0);
		ringq_leave(again);
		ringq_leave(ring);
	}
}

static void taken_and_absent(uint64_t arg)
{
	const char *name = conf_name("taken");
	struct ringq *ring, *again;

	(void)arg;
	if (no_names())
		return;
	EXPECT(try_name(ringq_join, name, &again), -ENOENT);
	EXPECT(try_name(ringq_create, name, &ring), 0);
	EXPECT(try_name(ringq_create, name, &again), -EEXIST);
	CHECK(!again, "a ring was given together with an error");
	EXPECT(try_name(ringq_join, name, &again), 0);
	EXPECT(try_name(ringq_create, name, &(struct ringq *){ 0 }), -EEXIST);
	ringq_leave(again);
	ringq_leave(ring);
	EXPECT(try_name(ringq_join, name, &again), -ENOENT);
	/* Of a name that was left nothing is left. */
	EXPECT(try_name(ringq_create, name, &ring), 0);
	ringq_leave(ring);
}

/* Names that are prefixes of each other are different names. */
static void alike(uint64_t arg)
{
	static const char *const tails[] = { "", "-", "-1", "-1-", "-1-0123456789abcdef" };
	char name[COUNT(tails)][RINGQ_NAME_SIZE];
	struct ringq *ring[COUNT(tails)], *found;
	struct ringq_info a = { .size = sizeof(a) }, b = { .size = sizeof(b) };
	unsigned int i;

	(void)arg;
	if (no_names())
		return;
	for (i = 0; i < COUNT(tails); i++) {
		snprintf(name[i], sizeof(name[i]), "%d%s", getpid(), tails[i]);
		EXPECT(try_name(ringq_join, name[i], &found), -ENOENT);
		EXPECT(try_name(ringq_create, name[i], &ring[i]), 0);
	}
	for (i = 0; i < COUNT(tails); i++) {
		EXPECT(try_name(ringq_join, name[i], &found), 0);
		EXPECT(ringq_get_info(ring[i], &a), 0);
		EXPECT(ringq_get_info(found, &b), 0);
		CHECK(!memcmp(a.id, b.id, sizeof(a.id)), "\"%s\" led to another ring", name[i]);
		ringq_leave(found);
	}
	for (i = 0; i < COUNT(tails); i++)
		ringq_leave(ring[i]);
}

static void prototype(uint64_t arg)
{
	const char *name = conf_name("proto");
	struct ringq_opts opts = opts_of(name, 8);
	struct ringq *ring, *again;
	struct ringq_info info = { .size = sizeof(info) };

	(void)arg;
	if (no_names())
		return;
	EXPECT(ringq_create(&opts, &ring), 0);
	opts.elem_size = 16;
	EXPECT(ringq_join(&opts, &again), -EPROTOTYPE);
	EXPECT(ringq_open(&opts, &again), -EPROTOTYPE);
	EXPECT(ringq_join_fd(ringq_fd(ring), &opts, &again), -EPROTOTYPE);
	opts.elem_size = 0;
	opts.capacity = 5000;
	opts.discipline = RINGQ_SPSC;
	EXPECT(ringq_join(&opts, &again), 0);
	EXPECT(ringq_get_info(again, &info), 0);
	EXPECT(info.elem_size, 8);
	EXPECT(info.capacity, conf_capacity(ring));
	ringq_leave(again);
	ringq_leave(ring);
	/* To make one it must be known. */
	EXPECT(ringq_open(&opts, &again), -EINVAL);
	EXPECT(ringq_join(&opts, &again), -ENOENT);
}

struct rush {
	const char *name;
	struct {
		int ready, created, members;
		uint8_t id[16];
	} *shared;
};

static void rush_in(struct ringq *none, void *arg)
{
	const struct rush *r = arg;
	struct ringq_info info = { .size = sizeof(info) };
	static const uint8_t nobody[16];
	struct ringq *ring;

	(void)none;
	__atomic_fetch_add(&r->shared->ready, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&r->shared->ready, __ATOMIC_SEQ_CST) < 4)
		;
	EXPECT(try_name(ringq_open, r->name, &ring), 0);
	EXPECT(ringq_get_info(ring, &info), 0);
	if (info.created) {
		EXPECT(__atomic_fetch_add(&r->shared->created, 1, __ATOMIC_SEQ_CST), 0);
		memcpy(r->shared->id, info.id, sizeof(info.id));
	}
	/* Nobody leaves before all are in. */
	__atomic_fetch_add(&r->shared->members, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&r->shared->members, __ATOMIC_SEQ_CST) < 4)
		conf_sleep(MS / 10);
	EXPECT(r->shared->created, 1);
	CHECK(memcmp(info.id, nobody, sizeof(nobody)), "the ring has no identity");
	CHECK(!memcmp(info.id, r->shared->id, sizeof(info.id)), "two rings of one name");
	ringq_leave(ring);
}

static void opened_at_once(uint64_t arg)
{
	uint64_t rounds = conf_times(30), i;
	struct conf_peer *peers[4];
	struct rush r;
	unsigned int p;

	(void)arg;
	if (no_names())
		return;
	for (i = 0; i < rounds; i++) {
		r.name = conf_name("rush");
		r.shared = conf_shared(sizeof(*r.shared));
		for (p = 0; p < 4; p++)
			peers[p] = conf_fork(rush_in, &r);
		for (p = 0; p < 4; p++)
			conf_join(peers[p]);
	}
}

struct member {
	const char *name;
	way_in *in;
	int *in_there;
};

static void be_member(struct ringq *none, void *arg)
{
	const struct member *m = arg;
	struct ringq *ring;

	(void)none;
	EXPECT(try_name(m->in, m->name, &ring), 0);
	__atomic_store_n(m->in_there, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

static struct conf_peer *member(const char *name, way_in *in)
{
	struct member m = { name, in, conf_shared(sizeof(*m.in_there)) };
	struct conf_peer *peer = conf_fork(be_member, &m);

	conf_at(__FILE__, __LINE__);
	while (!__atomic_load_n(m.in_there, __ATOMIC_ACQUIRE))
		conf_sleep(MS / 10);
	return peer;
}

/* The name lives as long as any member does, whoever made it, however they go. */
static void life(uint64_t arg)
{
	const char *name = conf_name("life");
	struct conf_peer *first, *second;
	struct ringq *ring;

	(void)arg;
	if (no_names())
		return;
	first = member(name, ringq_create);
	second = member(name, ringq_join);
	conf_kill(first);
	EXPECT(try_name(ringq_join, name, &ring), 0);
	ringq_leave(ring);
	first = member(name, ringq_open);
	conf_kill(second);
	EXPECT(try_name(ringq_create, name, &ring), -EEXIST);
	conf_kill(first);
	EXPECT(try_name(ringq_join, name, &ring), -ENOENT);

	/* One that left in peace, while another stays. */
	EXPECT(try_name(ringq_create, name, &ring), 0);
	first = member(name, ringq_join);
	ringq_leave(ring);
	EXPECT(try_name(ringq_join, name, &ring), 0);
	conf_kill(first);
	ringq_leave(ring);
	EXPECT(try_name(ringq_create, name, &ring), 0);
	ringq_leave(ring);
}

/* Messages stay with the ring, not with who made it. */
static void creator_leaves(uint64_t arg)
{
	const char *name = conf_name("heir");
	struct ringq *ring, *again;
	struct ringq_port out, in;

	(void)arg;
	if (no_names())
		return;
	EXPECT(try_name(ringq_create, name, &ring), 0);
	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	conf_send_range(&out, 0, 5);
	EXPECT(try_name(ringq_join, name, &again), 0);
	ringq_detach(&out);
	ringq_leave(ring);
	EXPECT(try_name(ringq_join, name, &ring), 0);
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	conf_recv_range(&in, 0, 5);
	ringq_detach(&in);
	ringq_leave(ring);
	ringq_leave(again);
}

static void become(uid_t uid)
{
	EXPECT(setgroups(0, NULL), 0);
	EXPECT(setgid(uid), 0);
	EXPECT(setuid(uid), 0);
}

struct visit {
	const char *name;
	uid_t uid;		/* 0: as I am */
	uint32_t flags;
	int join, consumer, producer;
};

static void visit(struct ringq *none, void *arg)
{
	const struct visit *v = arg;
	struct ringq_port port;
	struct ringq *ring;

	(void)none;
	if (v->uid)
		become(v->uid);
	EXPECT(try_mode(ringq_open, v->name, 0, v->flags, &ring), v->join);
	EXPECT(try_mode(ringq_join, v->name, 0, v->flags, &ring), v->join);
	if (v->join < 0) {
		EXPECT(try_mode(ringq_create, v->name, 0, v->flags, &ring), -EEXIST);
		return;
	}
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &port), v->consumer);
	if (v->consumer == 0)
		ringq_detach(&port);
	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &port), v->producer);
	if (v->producer == 0)
		ringq_detach(&port);
	ringq_leave(ring);
}

/* By the bits for others if we are root, and can be another; else by those of the owner. */
static void permission(uint64_t arg)
{
	bool memfd = conf.memory == RINGQ_MEMFD;
	const struct {
		uint32_t bits;
		int join, consumer, producer;
	} tries[] = {
		{ 0, -EACCES, 0, 0 },
		{ 1, -EACCES, 0, 0 },
		/* The module gives half; a memfd is given or not. */
		{ 4, memfd ? -EACCES : 0, 0, -EACCES },
		{ 2, memfd ? -EACCES : 0, -EACCES, 0 },
		{ 6, 0, 0, 0 },
	};
	bool root = geteuid() == 0;
	struct ringq *ring;
	struct visit v;
	unsigned int i;

	(void)arg;
	if (no_names())
		return;
	for (i = 0; i < COUNT(tries); i++) {
		v = (struct visit){
			conf_name("mode"), root ? NOBODY : 0, 0,
			tries[i].join, tries[i].consumer, tries[i].producer,
		};
		/* The owner's execute bit keeps the mode from being 0, which asks for 0600. */
		EXPECT(try_mode(ringq_create, v.name,
				root ? 0600 | tries[i].bits : 0100 | tries[i].bits << 6,
				RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT, &ring), 0);
		conf_join(conf_fork(visit, &v));
		ringq_leave(ring);
	}
}

struct foreign {
	const char *name;
	uint32_t mode;
	int *in_there;
};

static void be_foreign(struct ringq *none, void *arg)
{
	const struct foreign *f = arg;
	struct ringq *ring;

	(void)none;
	become(NOBODY);
	EXPECT(try_mode(ringq_create, f->name, f->mode,
			RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT, &ring), 0);
	__atomic_store_n(f->in_there, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

/*
 * A ring that a stranger made, open to all, is not joined unawares: he may be after the
 * messages. Without root there are no strangers to be had; then one is joined as our own.
 */
static void stranger(uint64_t arg)
{
	struct foreign f = { conf_name("foreign"), 0666, conf_shared(sizeof(*f.in_there)) };
	struct visit visits[] = {
		{ f.name, SOMEBODY, 0, -EACCES, 0, 0 },
		{ f.name, SOMEBODY, RINGQ_ANY_OWNER, 0, 0, 0 },
		{ f.name, 0, 0, -EACCES, 0, 0 },
		{ f.name, 0, RINGQ_ANY_OWNER, 0, 0, 0 },
		{ f.name, NOBODY, 0, 0, 0, 0 },
	};
	struct conf_peer *peer;
	struct ringq *ring;
	unsigned int i;

	(void)arg;
	if (no_names())
		return;
	if (geteuid() != 0) {
		EXPECT(try_mode(ringq_create, f.name, 0600, RINGQ_PRODUCER_WAIT |
				RINGQ_CONSUMER_WAIT, &ring), 0);
		conf_join(conf_fork(visit, &(struct visit){ f.name, 0, 0, 0, 0, 0 }));
		ringq_leave(ring);
		return;
	}
	peer = conf_fork(be_foreign, &f);
	while (!__atomic_load_n(f.in_there, __ATOMIC_ACQUIRE))
		conf_sleep(MS / 10);
	for (i = 0; i < COUNT(visits); i++)
		conf_join(conf_fork(visit, &visits[i]));
	conf_kill(peer);
}

const struct conf_case conf_names[] = {
	{ "name-invalid", invalid, 0, 0 },
	{ "name-valid", valid, 0, 0 },
	{ "name-taken-and-absent", taken_and_absent, 0, 0 },
	{ "name-alike", alike, 0, 0 },
	{ "name-prototype", prototype, 0, 0 },
	{ "name-opened-at-once", opened_at_once, 0, 0 },
	{ "name-life", life, 0, 0 },
	{ "name-creator-leaves", creator_leaves, 0, 0 },
	{ "name-permission", permission, 0, 0 },
	{ "name-stranger", stranger, 0, 0 },
	{ 0 }
};
