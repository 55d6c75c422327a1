// SPDX-License-Identifier: GPL-2.0-only
/*
 * How much memory rings may take. A ring outlives its creator in whoever else is attached, so
 * neither RLIMIT_MEMLOCK nor any other count that ends with a process can bound it. Each user has
 * an account, charged when a ring is made and relieved when it is freed. The owner of each user
 * namespace around the creator is charged as well, for he could make users without end.
 *
 * The memory cgroup of the creator is charged too, by the allocations themselves.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>

#include "ringq.h"

static unsigned long ringq_max_mib;
module_param_named(max_mib, ringq_max_mib, ulong, 0644);
MODULE_PARM_DESC(max_mib, "MiB that all rings together may take (0: half of the memory)");

static unsigned long ringq_max_user_mib;
module_param_named(max_user_mib, ringq_max_user_mib, ulong, 0644);
MODULE_PARM_DESC(max_user_mib, "MiB that the rings of one user may take (0: 1/8 of the memory)");

/* What the rings of one user take. There while it is more than nothing. */
struct ringq_account {
	struct hlist_node node;
	kuid_t uid;
	u64 bytes;
};

/* Protects the accounts and the sum. */
static DEFINE_MUTEX(ringq_accounts_lock);
static DEFINE_HASHTABLE(ringq_accounts, 6);
static u64 ringq_used_bytes;

static u64 ringq_limit(unsigned long mib, unsigned int share)
{
	if (!mib)
		return ((u64)totalram_pages() << PAGE_SHIFT) / share;
	return min_t(u64, mib, U64_MAX >> 21) << 20;
}

static u64 ringq_max_bytes(void)
{
	return ringq_limit(READ_ONCE(ringq_max_mib), 2);
}

static u64 ringq_max_user_bytes(void)
{
	return ringq_limit(READ_ONCE(ringq_max_user_mib), 8);
}

static struct ringq_account *ringq_account_get(kuid_t uid)
{
	struct ringq_account *account;

	lockdep_assert_held(&ringq_accounts_lock);
	hash_for_each_possible(ringq_accounts, account, node, __kuid_val(uid))
		if (uid_eq(account->uid, uid))
			return account;
	account = kzalloc(sizeof(*account), GFP_KERNEL_ACCOUNT);
	if (account) {
		account->uid = uid;
		hash_add(ringq_accounts, &account->node, __kuid_val(uid));
	}
	return account;
}

static void ringq_account_put(struct ringq_account *account)
{
	lockdep_assert_held(&ringq_accounts_lock);
	if (!account->bytes) {
		hash_del(&account->node);
		kfree(account);
	}
}

static int ringq_charge_user(struct ringq_charge *charge, kuid_t uid)
{
	struct ringq_account *account = ringq_account_get(uid);
	unsigned int i;

	if (!account)
		return -ENOMEM;
	for (i = 0; i < charge->nr; i++)
		if (charge->accounts[i] == account)
			return 0;
	if (account->bytes + charge->bytes > ringq_max_user_bytes() && !capable(CAP_SYS_RESOURCE)) {
		ringq_account_put(account);
		return -EDQUOT;
	}
	account->bytes += charge->bytes;
	charge->accounts[charge->nr++] = account;
	return 0;
}

static void ringq_uncharge_users(struct ringq_charge *charge)
{
	while (charge->nr) {
		struct ringq_account *account = charge->accounts[--charge->nr];

		account->bytes -= charge->bytes;
		ringq_account_put(account);
	}
	kfree(charge->accounts);
	charge->bytes = 0;
}

/**
 * ringq_charge - take memory from the caller's account, and from all that answer for him
 * @charge: zeroed; what was done, to be undone by ringq_uncharge().
 * @bytes: more than zero.
 *
 * Returns 0, -EDQUOT or -ENOMEM.
 */
int ringq_charge(struct ringq_charge *charge, u64 bytes)
{
	struct user_namespace *ns = current_user_ns();
	kuid_t uid = current_uid();
	int err = -EDQUOT;

	charge->accounts = kcalloc(ns->level + 1, sizeof(*charge->accounts), GFP_KERNEL_ACCOUNT);
	if (!charge->accounts)
		return -ENOMEM;
	charge->bytes = bytes;

	mutex_lock(&ringq_accounts_lock);
	if (ringq_used_bytes + bytes > ringq_max_bytes())
		goto fail;
	for (;;) {
		err = ringq_charge_user(charge, uid);
		if (err)
			goto fail;
		if (!ns->parent)
			break;
		uid = ns->owner;
		ns = ns->parent;
	}
	ringq_used_bytes += bytes;
	mutex_unlock(&ringq_accounts_lock);
	return 0;

fail:
	ringq_uncharge_users(charge);
	mutex_unlock(&ringq_accounts_lock);
	return err;
}

/* Does nothing if nothing was charged. */
void ringq_uncharge(struct ringq_charge *charge)
{
	if (!charge->bytes)
		return;
	mutex_lock(&ringq_accounts_lock);
	ringq_used_bytes -= charge->bytes;
	ringq_uncharge_users(charge);
	mutex_unlock(&ringq_accounts_lock);
}

void ringq_account_info(struct ringq_ioc_info *info)
{
	info->max_bytes = ringq_max_bytes();
	info->max_user_bytes = ringq_max_user_bytes();
	mutex_lock(&ringq_accounts_lock);
	info->used_bytes = ringq_used_bytes;
	mutex_unlock(&ringq_accounts_lock);
}
