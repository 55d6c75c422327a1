/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the module share. The ABI is in linux/ringq.h, the place of every byte of a
 * ring in ringq/layout.h.
 *
 * Ownership. Handles and ports are open files, and each holds a reference to its ring; a mapping
 * holds the file of its port, as every mapping does, and a file holds the module. So a ring's
 * memory is there as long as anybody can reach it and is freed by the last close(2). A ring points
 * to its ports without holding them: a port takes itself out of its place before it goes. A repair
 * that is to be made holds a reference to its ring, and the module waits for it as it goes. A ring
 * holds nothing of its network namespace: if that ends first, the ring has no name any more.
 *
 * Trust. Geometry, layout and everything else in these structs are the kernel's own copies; nothing
 * that decides about memory or permission is read from pages that a user can write. What is read
 * there, positions and stamps, is read once and only decides whether somebody sleeps.
 */
#ifndef RINGQ_KMOD_H
#define RINGQ_KMOD_H

#include <linux/bits.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <ringq/layout.h>

struct eventfd_ctx;
struct io_uring_cmd;
struct pid;
struct ringq_account;
struct ringq_chunk;
struct ringq_names;

#define RINGQ_SIDES	2	/* by enum ringq_role */

/* The accounts that a ring's memory is charged to: its creator's and those above it. */
struct ringq_charge {
	u64 bytes;
	unsigned int nr;
	struct ringq_account **accounts;
};

/* What a port is armed by. Either asks for a kick; which one tells whom a kick has woken. */
enum ringq_arm {
	RINGQ_BY_WAIT,
	RINGQ_BY_POLL,
	RINGQ_ARMS,
};

/* A place for a port. Under the ring's lock; also read without it by who repairs. */
struct ringq_place {
	struct ringq_port *port;	/* attached and not over, or NULL */
	u32 generation;			/* how often the place was taken */
	bool dead;			/* taken by one who died, until that is repaired */
	struct ringq_tally left;	/* what has become of what a dead one left, so far */
	u32 was;			/* what became of the last port that is over */
	struct pid *tgid;		/* the process that took it last, or NULL */
	u64 attached_ns;		/* when it did, of the monotonic clock */
};

/* What a ring remembers of a death, and who it was. */
struct ringq_grave {
	struct ringq_death death;
	struct pid *tgid;
};

/**
 * struct ringq_row - one side of a ring: the places of one role
 * @places: @nr of them, the place of port i is number i.
 * @nr: fixed, as @places is.
 * @taken: how many of them are.
 * @ended: RINGQ_DEAD or RINGQ_GONE: none can be taken any more.
 * @armed: the armed ports, by enum ringq_arm; who armed first is first.
 * @arms: counts who armed by RINGQ_IOC_WAIT.
 * @lulls: counts how often nobody was armed any more.
 * @fenced: somebody is armed, and the other side's CPUs have passed a barrier since.
 * @pollers: who polls a port of this role, armed or not.
 *
 * Under the ring's lock.
 */
struct ringq_row {
	struct ringq_place *places;
	u32 nr;
	u32 taken;
	u64 ended;
	struct list_head armed[RINGQ_ARMS];
	u64 arms;
	u64 lulls;
	bool fenced;
	wait_queue_head_t pollers;
};

/**
 * struct ringq_ring - a ring
 * @kref: one for each handle and port, and one for who makes it.
 * @geometry: with @layout, fixed before anybody else sees the ring.
 * @layout: follows from @geometry.
 * @id: random.
 * @uid: the creator's, effective; with @gid and @mode it decides who opens by name.
 * @gid: the creator's, effective.
 * @mode: permission bits.
 * @user_ns: the creator's, whose CAP_DAC_OVERRIDE counts.
 * @page_shift: log2 of the smallest page that holds data.
 * @charge: whom the memory is charged to.
 * @control: the pages below the bulk, @nr_control of them.
 * @chunks: the bulk, in pieces of a huge page's size, @nr_chunks of them.
 * @attention: the page of the attention words, which only the kernel writes.
 * @name: empty for none.
 * @name_node: in the tree of @names; both under the lock of names.c.
 * @names: the table that has the name, or NULL.
 * @born: found by name only if set; what is not, is still being made.
 * @lock: protects what follows, the ports' fields that say so, and the attention page.
 * @closed: RINGQ_IOC_CLOSE was called.
 * @holder: the port that has the attach lock, or NULL.
 * @lockers: who waits for the attach lock.
 * @dead: how many places are.
 * @patience: until the next round of repair, in jiffies.
 * @repair: the rounds of repair; holds a reference while it is to run.
 * @nr_deaths: how many have been noted; also read without the lock.
 * @graves: the last of them, that of serial s at s % RINGQ_DEATHS.
 * @mourners: who sleeps until there is one more.
 * @rows: by role.
 * @places: of both rows.
 *
 * The lock nests inside mmap_lock, as mappings come and go under that, and outside the locks of
 * the wait queues. Nothing is copied from or to user space under it. No lock of the kernel's is
 * held for longer than it takes to wake all ports of a ring, and no two rings' locks nest. (The
 * attach lock is none of them: it is a word that users agree about.)
 */
struct ringq_ring {
	struct kref kref;

	struct ringq_geometry geometry;
	struct ringq_layout layout;
	u8 id[16];
	kuid_t uid;
	kgid_t gid;
	u32 mode;
	struct user_namespace *user_ns;

	u32 page_shift;
	struct ringq_charge charge;
	struct page **control;
	unsigned long nr_control;
	struct ringq_chunk *chunks;
	unsigned long nr_chunks;
	struct ringq_attention *attention;

	char name[RINGQ_NAME_SIZE];
	struct rb_node name_node;
	struct ringq_names *names;
	bool born;

	spinlock_t lock;	/* what follows, as said above */
	bool closed;
	struct ringq_port *holder;
	wait_queue_head_t lockers;
	u32 dead;
	unsigned long patience;
	struct delayed_work repair;
	u64 nr_deaths;
	struct ringq_grave graves[RINGQ_DEATHS];
	wait_queue_head_t mourners;
	struct ringq_row rows[RINGQ_SIDES];
	struct ringq_place places[];
};

/* A port's life, which goes only forward. */
enum ringq_life {
	RINGQ_ATTACHED,		/* it has its place; not mapped yet */
	RINGQ_LIVE,		/* mapped */
	RINGQ_OVER,		/* it left or died; the place may be somebody else's */
};

/**
 * struct ringq_command - a command of io_uring that is not done; uring.c tells its states
 * @cmd: NULL for none; under the ring's lock.
 * @need: as in RINGQ_IOC_WAIT; with @wanted and @drain, fixed when @cmd is set.
 * @wanted: RINGQ_EVENT_ bits that it ends at.
 * @drain: RINGQ_WAIT_DRAIN.
 * @busy: somebody looks whether it is done, or is going to; under the ring's lock.
 * @again: who looks is to look again; under the ring's lock.
 * @canceled: who looks is to end it; under the ring's lock, read without it.
 */
struct ringq_command {
	struct io_uring_cmd *cmd;
	u64 need;
	u32 wanted;
	bool drain;
	bool busy;
	bool again;
	bool canceled;
};

/**
 * struct ringq_port - a port
 * @ring: it holds a reference.
 * @role: enum ringq_role.
 * @index: its number among those of its role.
 * @heir: its place was kept for it and is still, until it is mapped.
 * @mm: the address space that attached, and the only one that may map; kept from being freed,
 *	not alive.
 * @tgid: the process that attached.
 * @life: enum ringq_life, under the ring's lock; also read without it.
 * @nr_vmas: its mappings, under the ring's lock.
 * @told: of how many of the ring's deaths, under the ring's lock; also read without it.
 * @armed: in the lists of its row, under the ring's lock; also looked at without it.
 * @arm: which of its row's arms by RINGQ_IOC_WAIT was its last one, under the ring's lock.
 * @kicked: a kick has woken it, when the row had so many arms; 0: none, or that is done with.
 *	Under the ring's lock.
 * @asleep: somebody is in RINGQ_IOC_WAIT, under the ring's lock.
 * @sleeper: that one.
 * @eventfds: what is attached, @nr_eventfds of them, under the ring's lock.
 * @command: of io_uring.
 *
 * Lives and dies with its file.
 */
struct ringq_port {
	struct ringq_ring *ring;
	u32 role;
	u32 index;
	bool heir;
	struct mm_struct *mm;
	struct pid *tgid;
	enum ringq_life life;
	unsigned int nr_vmas;
	u64 told;
	struct list_head armed[RINGQ_ARMS];
	u64 arm;
	u64 kicked;
	bool asleep;
	wait_queue_head_t sleeper;
	struct eventfd_ctx *eventfds[RINGQ_EVENTFDS];
	u32 nr_eventfds;
	struct ringq_command command;
};

/* What an open file is. It begins unbound and becomes one of the others, once. */
enum ringq_kind {
	RINGQ_UNBOUND,
	RINGQ_HANDLE,
	RINGQ_PORT,
};

/**
 * struct ringq_file - an open file of the device
 * @binding: held by who tries to bind it.
 * @kind: enum ringq_kind; written last, so that who has read it needs no lock for the rest.
 * @ring: a handle's.
 * @roles: a handle's mask.
 * @port: a port's.
 */
struct ringq_file {
	struct mutex binding;	/* the transition from unbound */
	enum ringq_kind kind;
	struct ringq_ring *ring;
	u32 roles;
	struct ringq_port *port;
};

static inline enum ringq_kind ringq_file_kind(const struct ringq_file *file)
{
	/* Pairs with ringq_file_bind(): who sees the kind sees what belongs to it. */
	return smp_load_acquire(&file->kind);
}

static inline void ringq_file_bind(struct ringq_file *file, enum ringq_kind kind)
{
	lockdep_assert_held(&file->binding);
	/* Pairs with ringq_file_kind(). */
	smp_store_release(&file->kind, kind);
}

static inline struct ringq_row *ringq_row_of(struct ringq_port *port)
{
	return &port->ring->rows[port->role];
}

static inline u32 ringq_other(u32 role)
{
	return role ^ RINGQ_PRODUCER ^ RINGQ_CONSUMER;
}

/* main.c */
void ringq_ring_put(struct ringq_ring *ring);
u32 ringq_roles_by_mode(const struct ringq_ring *ring);
struct ringq_file *ringq_file_of(struct file *filp);

/* names.c */
int ringq_names_init(void);
void ringq_names_exit(void);
bool ringq_name_is_valid(const char *name);
struct ringq_ring *ringq_name_claim(struct ringq_ring *ring, bool or_open);
struct ringq_ring *ringq_name_find(const char *name);
int ringq_name_list(struct ringq_ioc_list *arg);
void ringq_name_born(struct ringq_ring *ring);
void ringq_name_drop(struct ringq_ring *ring);

/* account.c */
int ringq_charge(struct ringq_charge *charge, u64 bytes);
void ringq_uncharge(struct ringq_charge *charge);
void ringq_account_info(struct ringq_ioc_info *info);

/* region.c */
int ringq_region_alloc(struct ringq_ring *ring, bool huge_only, int node);
void ringq_region_free(struct ringq_ring *ring);
struct page *ringq_region_page(const struct ringq_ring *ring, unsigned long index);
struct page *ringq_region_huge_page(const struct ringq_ring *ring, unsigned long index);
void *ringq_region_address(const struct ringq_ring *ring, u64 offset);

/* map.c */
int ringq_mmap(struct file *filp, struct vm_area_struct *vma);

/* places.c */
void ringq_rows_init(struct ringq_ring *ring);
void ringq_rows_free(struct ringq_ring *ring);
int ringq_place_take(struct ringq_port *port, struct ringq_ioc_attach *arg);
void ringq_place_leave(struct ringq_port *port, u64 how);
void ringq_place_bury(struct ringq_ring *ring, u32 role, u32 index);

/* stat.c */
u64 ringq_time_here(u64 ns);
int ringq_stat(struct ringq_ring *ring, struct ringq_ioc_port *arg);

/* port.c */
int ringq_attach(struct ringq_file *file, struct ringq_ioc_attach *arg);
int ringq_detach(struct ringq_port *port);
int ringq_close(struct ringq_port *port);
bool ringq_port_is_mine(const struct ringq_port *port);
int ringq_port_map(struct ringq_port *port);
void ringq_port_remap(struct ringq_port *port);
void ringq_port_unmap(struct ringq_port *port);
void ringq_port_flush(struct ringq_port *port);
void ringq_port_free(struct ringq_port *port);

/* lock.c */
int ringq_lock(struct ringq_port *port);
int ringq_trylock(struct ringq_port *port);
int ringq_unlock(struct ringq_port *port);
void ringq_lock_end(struct ringq_port *port);

/* barrier.c */
int ringq_barrier_init(void);
void ringq_barrier_exit(void);
void ringq_barrier(struct ringq_ring *ring, u32 role);

/* look.c */
u64 *ringq_word(const struct ringq_ring *ring, u64 offset);
u64 ringq_word_at(const void *memory, u64 offset);
int ringq_word_cas(const void *memory, u64 offset, u64 from, u64 to);
u32 ringq_look(const struct ringq_port *port, u64 need, bool drain);

/* repair.c */
int ringq_repair_init(void);
void ringq_repair_exit(void);
void ringq_repair_prepare(struct ringq_ring *ring);
void ringq_repair_soon(struct ringq_ring *ring);
void ringq_repair_flush(struct ringq_ring *ring);

/* deaths.c */
void ringq_deaths_init(struct ringq_ring *ring);
void ringq_deaths_free(struct ringq_ring *ring);
void ringq_death_begin(struct ringq_port *port);
void ringq_death_hand_over(struct ringq_port *port);
void ringq_death_note(struct ringq_ring *ring, u32 role, u32 index);
bool ringq_deaths_unread(const struct ringq_port *port);
ssize_t ringq_deaths_read(struct ringq_port *port, char __user *to, size_t size, bool wait);

/* wait.c */
u64 *ringq_attention_word(const struct ringq_ring *ring, u32 role);
void ringq_attention_init(struct ringq_ring *ring);
void ringq_wake_all(struct ringq_ring *ring);
int ringq_arm(struct ringq_port *port, enum ringq_arm how);
u32 ringq_wanted(u32 flags);
int ringq_wait_check(const struct ringq_port *port, u64 need, u32 flags);
int ringq_wait(struct ringq_port *port, struct ringq_ioc_wait *arg);
int ringq_kick(struct ringq_port *port, struct ringq_ioc_kick *arg);
__poll_t ringq_ready_or_arm(struct ringq_port *port);
__poll_t ringq_poll(struct ringq_port *port, struct file *filp, struct poll_table_struct *table);

/* event.c */
void ringq_tell(struct ringq_port *port);
void ringq_tell_end(struct ringq_port *port);
int ringq_eventfd(struct ringq_port *port, struct ringq_ioc_eventfd *arg);

/* uring.c */
void ringq_command_tell(struct ringq_port *port);
int ringq_command(struct ringq_port *port, struct io_uring_cmd *cmd, unsigned int issue_flags);
void ringq_command_abandon(struct ringq_port *port, struct io_uring_cmd *cmd,
			   unsigned int issue_flags);

#endif /* RINGQ_KMOD_H */
