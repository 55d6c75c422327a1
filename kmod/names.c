// SPDX-License-Identifier: GPL-2.0-only
/*
 * The names of rings: a tree in each network namespace, so that a name means the same to whoever
 * may speak to each other by abstract unix sockets.
 *
 * A ring has its name from before its memory is allocated. Until it is born, who wants to open it
 * waits, interruptibly and without a reference: so any number of processes may say "create or
 * open" at once, and all get the same ring. A ring whose last reference has gone has no name,
 * even while it is still in the tree.
 *
 * One lock for all trees: it is taken when a named ring is made, opened and freed, and a ring can
 * be freed when its namespace is gone already.
 */
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/nsproxy.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>

#include "ringq.h"

/* The names of one network namespace. @births counts what ends a wait for a birth. */
struct ringq_names {
	struct rb_root tree;
	u64 births;
	wait_queue_head_t waiters;
};

static DEFINE_SPINLOCK(ringq_names_lock);
static unsigned int ringq_names_id;

/* A name is zero-terminated, zero-padded, and has nothing in it that confuses who lists it. */
bool ringq_name_is_valid(const char *name)
{
	size_t len = strnlen(name, RINGQ_NAME_SIZE), i;

	if (!len || len == RINGQ_NAME_SIZE || memchr_inv(name + len, 0, RINGQ_NAME_SIZE - len))
		return false;
	for (i = 0; i < len; i++) {
		unsigned char c = name[i];

		if (c < 0x20 || c == 0x7f || c == '/')
			return false;
	}
	return true;
}

static int ringq_name_cmp(const void *key, const struct rb_node *node)
{
	return strcmp(key, rb_entry(node, struct ringq_ring, name_node)->name);
}

static int ringq_name_node_cmp(struct rb_node *node, const struct rb_node *in_tree)
{
	return ringq_name_cmp(rb_entry(node, struct ringq_ring, name_node)->name, in_tree);
}

static struct ringq_names *ringq_names_current(void)
{
	return net_generic(current->nsproxy->net_ns, ringq_names_id);
}

static void ringq_names_changed(struct ringq_names *names)
{
	lockdep_assert_held(&ringq_names_lock);
	WRITE_ONCE(names->births, names->births + 1);
	wake_up_all(&names->waiters);
}

static void ringq_name_erase(struct ringq_ring *ring)
{
	lockdep_assert_held(&ringq_names_lock);
	rb_erase(&ring->name_node, &ring->names->tree);
	ring->names = NULL;
}

/* Returns a reference, or NULL if the name is free, or -EAGAIN if the ring is not born yet. */
static struct ringq_ring *ringq_name_get(struct ringq_names *names, const char *name)
{
	struct rb_node *node = rb_find(name, &names->tree, ringq_name_cmp);
	struct ringq_ring *ring = rb_entry_safe(node, struct ringq_ring, name_node);

	lockdep_assert_held(&ringq_names_lock);
	if (!ring)
		return NULL;
	if (!ring->born)
		return ERR_PTR(-EAGAIN);
	if (kref_get_unless_zero(&ring->kref))
		return ring;
	ringq_name_erase(ring);
	return NULL;
}

static int ringq_name_wait(struct ringq_names *names, u64 births)
{
	return wait_event_interruptible(names->waiters, READ_ONCE(names->births) != births);
}

/**
 * ringq_name_claim - give a ring its name, or find the ring that has it
 * @ring: named, not born.
 * @or_open: look for the other one.
 *
 * Returns NULL if @ring has the name now, a reference to the ring that has it, -EEXIST if there
 * is one and @or_open is false, or -ERESTARTSYS.
 */
struct ringq_ring *ringq_name_claim(struct ringq_ring *ring, bool or_open)
{
	struct ringq_names *names = ringq_names_current();
	struct ringq_ring *found;
	u64 births;
	int err;

	for (;;) {
		spin_lock(&ringq_names_lock);
		births = names->births;
		found = ringq_name_get(names, ring->name);
		if (!found) {
			rb_find_add(&ring->name_node, &names->tree, ringq_name_node_cmp);
			ring->names = names;
		}
		spin_unlock(&ringq_names_lock);

		if (!found)
			return NULL;
		if (!or_open) {
			if (!IS_ERR(found))
				ringq_ring_put(found);
			return ERR_PTR(-EEXIST);
		}
		if (!IS_ERR(found))
			return found;
		err = ringq_name_wait(names, births);
		if (err)
			return ERR_PTR(err);
	}
}

/* Returns a reference, -ENOENT, or -ERESTARTSYS. */
struct ringq_ring *ringq_name_find(const char *name)
{
	struct ringq_names *names = ringq_names_current();
	struct ringq_ring *found;
	u64 births;
	int err;

	for (;;) {
		spin_lock(&ringq_names_lock);
		births = names->births;
		found = ringq_name_get(names, name);
		spin_unlock(&ringq_names_lock);

		if (!found)
			return ERR_PTR(-ENOENT);
		if (!IS_ERR(found))
			return found;
		err = ringq_name_wait(names, births);
		if (err)
			return ERR_PTR(err);
	}
}

/* A reference to the first ring that can be found and has a name after that one; or NULL. */
static struct ringq_ring *ringq_name_after(const struct ringq_names *names, const char *name)
{
	struct rb_node *node = names->tree.rb_node, *found = NULL;
	struct ringq_ring *ring;

	lockdep_assert_held(&ringq_names_lock);
	while (node) {
		if (ringq_name_cmp(name, node) < 0) {
			found = node;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	for (; found; found = rb_next(found)) {
		ring = rb_entry(found, struct ringq_ring, name_node);
		if (ring->born && kref_get_unless_zero(&ring->kref))
			return ring;
	}
	return NULL;
}

static u32 ringq_count_live(struct ringq_ring *ring, u32 role)
{
	const struct ringq_row *row = &ring->rows[role];
	u32 i, n = 0;

	spin_lock(&ring->lock);
	for (i = 0; i < row->nr; i++)
		n += !!row->places[i].port;
	spin_unlock(&ring->lock);
	return n;
}

/* What stands behind a name, for whoever is in the namespace. */
int ringq_name_list(struct ringq_ioc_list *arg)
{
	const struct ringq_names *names = ringq_names_current();
	struct ringq_ring *ring;

	if (arg->flags ||
	    (memchr_inv(arg->name, 0, sizeof(arg->name)) && !ringq_name_is_valid(arg->name)))
		return -EINVAL;
	spin_lock(&ringq_names_lock);
	ring = ringq_name_after(names, arg->name);
	spin_unlock(&ringq_names_lock);
	if (!ring)
		return -ENOENT;
	memcpy(arg->name, ring->name, sizeof(arg->name));
	arg->geometry = ring->geometry;
	arg->uid = from_kuid_munged(current_user_ns(), ring->uid);
	arg->mode = ring->mode;
	arg->roles = ringq_roles_by_mode(ring);
	arg->producers = ringq_count_live(ring, RINGQ_PRODUCER);
	arg->consumers = ringq_count_live(ring, RINGQ_CONSUMER);
	arg->page_shift = ring->page_shift;
	arg->total = ring->layout.total;
	memcpy(arg->id, ring->id, sizeof(arg->id));
	ringq_ring_put(ring);
	return 0;
}

/* The ring is complete: from now on it can be found. */
void ringq_name_born(struct ringq_ring *ring)
{
	spin_lock(&ringq_names_lock);
	ring->born = true;
	if (ring->names)
		ringq_names_changed(ring->names);
	spin_unlock(&ringq_names_lock);
}

/* The last reference has gone, perhaps before the ring was born. */
void ringq_name_drop(struct ringq_ring *ring)
{
	struct ringq_names *names;

	spin_lock(&ringq_names_lock);
	names = ring->names;
	if (names) {
		ringq_name_erase(ring);
		ringq_names_changed(names);
	}
	spin_unlock(&ringq_names_lock);
}

static int __net_init ringq_names_net_init(struct net *net)
{
	struct ringq_names *names = net_generic(net, ringq_names_id);

	names->tree = RB_ROOT;
	init_waitqueue_head(&names->waiters);
	return 0;
}

/* Nobody is in the namespace any more, so nobody waits; rings live on in those who hold them. */
static void __net_exit ringq_names_net_exit(struct net *net)
{
	struct ringq_names *names = net_generic(net, ringq_names_id);
	struct rb_node *node;

	spin_lock(&ringq_names_lock);
	while ((node = rb_first(&names->tree)))
		ringq_name_erase(rb_entry(node, struct ringq_ring, name_node));
	spin_unlock(&ringq_names_lock);
}

static struct pernet_operations ringq_names_ops = {
	.init = ringq_names_net_init,
	.exit = ringq_names_net_exit,
	.id = &ringq_names_id,
	.size = sizeof(struct ringq_names),
};

int ringq_names_init(void)
{
	return register_pernet_subsys(&ringq_names_ops);
}

void ringq_names_exit(void)
{
	unregister_pernet_subsys(&ringq_names_ops);
}
