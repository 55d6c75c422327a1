// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/ringq: the device, its ioctls, and what binds an open file to a ring.
 *
 * Each ioctl's struct begins with its size. The kernel reads as much of it as both know, refuses
 * what it does not know unless it is zero, and writes back as much. No handler sees a user's
 * pointer, and none is called twice for one copy.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>

#include "compat.h"
#include "ringq.h"

union ringq_arg {
	u32 size;
	struct ringq_ioc_info info;
	struct ringq_ioc_create create;
	struct ringq_ioc_open open;
	struct ringq_ioc_attach attach;
	struct ringq_ioc_wait wait;
	struct ringq_ioc_kick kick;
	struct ringq_ioc_eventfd eventfd;
	struct ringq_ioc_port port;
	struct ringq_ioc_list list;
};

static const struct file_operations ringq_fops;

/* Returns NULL if the file is not one of ours. */
struct ringq_file *ringq_file_of(struct file *filp)
{
	return filp->f_op == &ringq_fops ? filp->private_data : NULL;
}

static void ringq_ring_free(struct kref *kref)
{
	struct ringq_ring *ring = container_of(kref, struct ringq_ring, kref);

	ringq_name_drop(ring);
	ringq_deaths_free(ring);
	ringq_rows_free(ring);
	ringq_region_free(ring);
	put_user_ns(ring->user_ns);
	kvfree(ring);
}

void ringq_ring_put(struct ringq_ring *ring)
{
	kref_put(&ring->kref, ringq_ring_free);
}

/* The roles that the mode gives the caller, who asks by name; like access to a file. */
u32 ringq_roles_by_mode(const struct ringq_ring *ring)
{
	u32 roles = 0, bits = ring->mode;

	if (uid_eq(ring->uid, current_euid()))
		bits >>= 6;
	else if (in_egroup_p(ring->gid))
		bits >>= 3;
	if (bits & 4)
		roles |= RINGQ_ROLE_MASK(RINGQ_CONSUMER);
	if (bits & 2)
		roles |= RINGQ_ROLE_MASK(RINGQ_PRODUCER);
	if (roles != RINGQ_ROLES_ALL && ns_capable(ring->user_ns, CAP_DAC_OVERRIDE))
		roles = RINGQ_ROLES_ALL;
	return roles;
}

/* The file takes over the reference to the ring. */
static void ringq_bind_handle(struct ringq_file *file, struct ringq_ring *ring, u32 roles)
{
	file->ring = ring;
	file->roles = roles;
	ringq_file_bind(file, RINGQ_HANDLE);
}

static int ringq_info(struct ringq_ioc_info *arg)
{
	arg->abi_version = RINGQ_ABI_VERSION;
	arg->layout_version = RINGQ_LAYOUT_VERSION;
	arg->huge_shift = RINGQ_HUGE_SHIFT;
	arg->features = 0;
	if (ringq_has_barrier())
		arg->features |= RINGQ_FEATURE_BARRIER;
	if (ringq_has_uring_cmd())
		arg->features |= RINGQ_FEATURE_URING_CMD;
	ringq_account_info(arg);
	return 0;
}

#define RINGQ_CREATE_FLAGS (RINGQ_CREATE_OR_OPEN | RINGQ_CREATE_HUGE | RINGQ_CREATE_HUGE_ONLY)

static int ringq_create_check(const struct ringq_ioc_create *arg)
{
	bool huge = arg->flags & (RINGQ_CREATE_HUGE | RINGQ_CREATE_HUGE_ONLY);

	if (arg->flags & ~RINGQ_CREATE_FLAGS || arg->mode & ~0777u)
		return -EINVAL;
	if (arg->geometry.unit_shift != RINGQ_UNIT_PAGES ||
	    arg->geometry.bulk_shift != (huge ? RINGQ_BULK_HUGE : RINGQ_UNIT_PAGES))
		return -EINVAL;
	if (arg->node != NUMA_NO_NODE &&
	    (arg->node < 0 || arg->node >= MAX_NUMNODES || !node_online(arg->node)))
		return -EINVAL;
	if (!arg->name[0])
		return arg->flags & RINGQ_CREATE_OR_OPEN || memchr_inv(arg->name, 0,
								       sizeof(arg->name)) ?
		       -EINVAL : 0;
	return ringq_name_is_valid(arg->name) ? 0 : -EINVAL;
}

/* A ring of one reference, without memory and name. */
static struct ringq_ring *ringq_ring_new(const struct ringq_ioc_create *arg)
{
	struct ringq_layout layout;
	struct ringq_ring *ring;
	int err;

	err = ringq_layout_compute(&arg->geometry, &layout);
	if (err)
		return ERR_PTR(err);
	ring = kvzalloc(struct_size(ring, places, ringq_ports(&arg->geometry)),
			GFP_KERNEL_ACCOUNT);
	if (!ring)
		return ERR_PTR(-ENOMEM);
	ring->geometry = arg->geometry;
	ring->layout = layout;
	if (!ringq_has_barrier())
		ring->geometry.flags |= RINGQ_FENCE;
	kref_init(&ring->kref);
	spin_lock_init(&ring->lock);
	init_waitqueue_head(&ring->lockers);
	ringq_repair_prepare(ring);
	ringq_deaths_init(ring);
	ringq_rows_init(ring);
	get_random_bytes(ring->id, sizeof(ring->id));
	memcpy(ring->name, arg->name, sizeof(ring->name));
	ring->uid = current_euid();
	ring->gid = current_egid();
	ring->mode = arg->mode;
	ring->user_ns = get_user_ns(current_user_ns());
	return ring;
}

static void ringq_create_result(struct ringq_ioc_create *arg, const struct ringq_ring *ring,
				bool created)
{
	arg->geometry = ring->geometry;
	arg->page_shift = ring->page_shift;
	arg->created = created;
	arg->total = ring->layout.total;
	memcpy(arg->id, ring->id, sizeof(arg->id));
}

static int ringq_create(struct ringq_file *file, struct ringq_ioc_create *arg)
{
	struct ringq_ring *ring, *found = NULL;
	u32 roles = RINGQ_ROLES_ALL;
	int err;

	err = ringq_create_check(arg);
	if (err)
		return err;
	ring = ringq_ring_new(arg);
	if (IS_ERR(ring))
		return PTR_ERR(ring);

	if (ring->name[0])
		found = ringq_name_claim(ring, arg->flags & RINGQ_CREATE_OR_OPEN);
	if (found) {
		ringq_ring_put(ring);
		if (IS_ERR(found))
			return PTR_ERR(found);
		ring = found;
		roles = ringq_roles_by_mode(ring);
		err = roles ? 0 : -EACCES;
	} else {
		err = ringq_region_alloc(ring, arg->flags & RINGQ_CREATE_HUGE_ONLY, arg->node);
		if (!err) {
			ringq_attention_init(ring);
			ringq_name_born(ring);
		}
	}
	if (err) {
		ringq_ring_put(ring);
		return err;
	}
	ringq_create_result(arg, ring, !found);
	ringq_bind_handle(file, ring, roles);
	return 0;
}

/* Finds the ring of another handle; that one's mask bounds the new one's. */
static struct ringq_ring *ringq_open_derived(int fd, u32 *roles)
{
	struct ringq_ring *ring = ERR_PTR(-EBADFD);
	struct file *filp = fget(fd);
	struct ringq_file *handle;

	if (!filp)
		return ERR_PTR(-EBADF);
	handle = ringq_file_of(filp);
	if (handle && ringq_file_kind(handle) == RINGQ_HANDLE) {
		ring = handle->ring;
		*roles = handle->roles;
		kref_get(&ring->kref);
	}
	fput(filp);
	return ring;
}

static struct ringq_ring *ringq_open_by_name(const char *name, u32 *roles)
{
	struct ringq_ring *ring = ringq_name_find(name);

	if (!IS_ERR(ring))
		*roles = ringq_roles_by_mode(ring);
	return ring;
}

static int ringq_open(struct ringq_file *file, struct ringq_ioc_open *arg)
{
	struct ringq_ring *ring;
	u32 roles;

	if (arg->flags || arg->roles & ~RINGQ_ROLES_ALL)
		return -EINVAL;
	if (arg->fd == -1 ? !ringq_name_is_valid(arg->name) :
			    !!memchr_inv(arg->name, 0, sizeof(arg->name)))
		return -EINVAL;

	ring = arg->fd == -1 ? ringq_open_by_name(arg->name, &roles) :
			       ringq_open_derived(arg->fd, &roles);
	if (IS_ERR(ring))
		return PTR_ERR(ring);
	if (!roles || arg->roles & ~roles) {
		ringq_ring_put(ring);
		return -EACCES;
	}
	if (arg->roles)
		roles = arg->roles;

	arg->roles = roles;
	arg->geometry = ring->geometry;
	arg->page_shift = ring->page_shift;
	arg->uid = from_kuid_munged(current_user_ns(), ring->uid);
	arg->total = ring->layout.total;
	memcpy(arg->id, ring->id, sizeof(arg->id));
	ringq_bind_handle(file, ring, roles);
	return 0;
}

/* Ioctls of an unbound file bind it: one at a time. */
static int ringq_call_unbound(struct ringq_file *file, unsigned int cmd, union ringq_arg *arg)
{
	int err = -EBADFD;

	if (mutex_lock_interruptible(&file->binding))
		return -ERESTARTSYS;
	if (file->kind == RINGQ_UNBOUND) {
		switch (cmd) {
		case RINGQ_IOC_CREATE:
			err = ringq_create(file, &arg->create);
			break;
		case RINGQ_IOC_OPEN:
			err = ringq_open(file, &arg->open);
			break;
		default:
			err = ringq_attach(file, &arg->attach);
		}
	}
	mutex_unlock(&file->binding);
	return err;
}

static int ringq_call_port(struct ringq_file *file, unsigned int cmd, union ringq_arg *arg)
{
	if (ringq_file_kind(file) != RINGQ_PORT)
		return -EBADFD;
	if (!ringq_port_is_mine(file->port))
		return -EPERM;
	switch (cmd) {
	case RINGQ_IOC_WAIT:
		return ringq_wait(file->port, &arg->wait);
	case RINGQ_IOC_KICK:
		return ringq_kick(file->port, &arg->kick);
	case RINGQ_IOC_EVENTFD:
		return ringq_eventfd(file->port, &arg->eventfd);
	case RINGQ_IOC_CLOSE:
		return ringq_close(file->port);
	case RINGQ_IOC_DETACH:
		return ringq_detach(file->port);
	case RINGQ_IOC_LOCK:
		return ringq_lock(file->port);
	case RINGQ_IOC_TRYLOCK:
		return ringq_trylock(file->port);
	default:
		return ringq_unlock(file->port);
	}
}

/* A handle is enough, of any role, for a port of that role could read it all, but for the pid. */
static int ringq_call_stat(struct ringq_file *file, struct ringq_ioc_port *arg)
{
	switch (ringq_file_kind(file)) {
	case RINGQ_HANDLE:
		return ringq_stat(file->ring, arg);
	case RINGQ_PORT:
		return ringq_port_is_mine(file->port) ? ringq_stat(file->port->ring, arg) : -EPERM;
	default:
		return -EBADFD;
	}
}

static int ringq_call(struct ringq_file *file, unsigned int cmd, union ringq_arg *arg)
{
	switch (cmd) {
	case RINGQ_IOC_INFO:
		return ringq_info(&arg->info);
	case RINGQ_IOC_LIST:
		return ringq_name_list(&arg->list);
	case RINGQ_IOC_PORT:
		return ringq_call_stat(file, &arg->port);
	case RINGQ_IOC_CREATE:
	case RINGQ_IOC_OPEN:
	case RINGQ_IOC_ATTACH:
		return ringq_call_unbound(file, cmd, arg);
	default:
		return ringq_call_port(file, cmd, arg);
	}
}

static const unsigned int ringq_cmds[] = {
	RINGQ_IOC_INFO,
	RINGQ_IOC_CREATE,
	RINGQ_IOC_OPEN,
	RINGQ_IOC_ATTACH,
	RINGQ_IOC_WAIT,
	RINGQ_IOC_KICK,
	RINGQ_IOC_CLOSE,
	RINGQ_IOC_DETACH,
	RINGQ_IOC_LOCK,
	RINGQ_IOC_TRYLOCK,
	RINGQ_IOC_UNLOCK,
	RINGQ_IOC_EVENTFD,
	RINGQ_IOC_PORT,
	RINGQ_IOC_LIST,
};

/* The command as this kernel knows it: a caller's struct, and so his number, may be larger. */
static unsigned int ringq_cmd(unsigned int cmd)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ringq_cmds); i++)
		if (!((cmd ^ ringq_cmds[i]) & ~IOCSIZE_MASK))
			return ringq_cmds[i];
	return 0;
}

static int ringq_arg_get(union ringq_arg *arg, size_t size, void __user *from)
{
	u32 user_size;
	int err;

	if (get_user(user_size, (u32 __user *)from))
		return -EFAULT;
	if (user_size < size)
		return -EINVAL;
	if (user_size > PAGE_SIZE)
		return -E2BIG;
	err = copy_struct_from_user(arg, size, from, user_size);
	if (err)
		return err;
	arg->size = user_size;
	return 0;
}

static long ringq_ioctl(struct file *filp, unsigned int cmd, unsigned long user)
{
	void __user *to = (void __user *)user;
	union ringq_arg arg;
	size_t size;
	int err;

	cmd = ringq_cmd(cmd);
	if (!cmd)
		return -ENOTTY;
	size = _IOC_SIZE(cmd);
	if (size) {
		err = ringq_arg_get(&arg, size, to);
		if (err)
			return err;
		/* A result that cannot be told is better found out before anything is done. */
		if (copy_to_user(to, &arg, size))
			return -EFAULT;
	}
	err = ringq_call(filp->private_data, cmd, &arg);
	if (!err && size && copy_to_user(to, &arg, size))
		return -EFAULT;
	return err;
}

static __poll_t ringq_file_poll(struct file *filp, struct poll_table_struct *table)
{
	struct ringq_file *file = filp->private_data;

	if (ringq_file_kind(file) != RINGQ_PORT)
		return EPOLLERR;
	return ringq_poll(file->port, filp, table);
}

static ssize_t ringq_file_read(struct file *filp, char __user *to, size_t size, loff_t *pos)
{
	struct ringq_file *file = filp->private_data;

	if (ringq_file_kind(file) != RINGQ_PORT)
		return -EBADFD;
	if (!ringq_port_is_mine(file->port))
		return -EPERM;
	return ringq_deaths_read(file->port, to, size, !(filp->f_flags & O_NONBLOCK));
}

#ifdef RINGQ_HAVE_URING_CMD
static int ringq_file_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	struct ringq_file *file = ringq_file_of(cmd->file);

	if (issue_flags & IO_URING_F_CANCEL) {
		ringq_command_abandon(file->port, cmd, issue_flags);
		return 0;
	}
	if (ringq_file_kind(file) != RINGQ_PORT)
		return -EBADFD;
	if (!ringq_port_is_mine(file->port))
		return -EPERM;
	return ringq_command(file->port, cmd, issue_flags);
}
#endif

static int ringq_file_open(struct inode *inode, struct file *filp)
{
	struct ringq_file *file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);

	if (!file)
		return -ENOMEM;
	mutex_init(&file->binding);
	filp->private_data = file;
	return nonseekable_open(inode, filp);
}

static int ringq_file_flush(struct file *filp, fl_owner_t id)
{
	struct ringq_file *file = filp->private_data;

	if (ringq_file_kind(file) == RINGQ_PORT)
		ringq_port_flush(file->port);
	return 0;
}

static int ringq_file_release(struct inode *inode, struct file *filp)
{
	struct ringq_file *file = filp->private_data;

	if (file->kind == RINGQ_HANDLE)
		ringq_ring_put(file->ring);
	else if (file->kind == RINGQ_PORT)
		ringq_port_free(file->port);
	kfree(file);
	return 0;
}

static const struct file_operations ringq_fops = {
	.owner = THIS_MODULE,
	.open = ringq_file_open,
	.flush = ringq_file_flush,
	.release = ringq_file_release,
	.read = ringq_file_read,
	.unlocked_ioctl = ringq_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.poll = ringq_file_poll,
#ifdef RINGQ_HAVE_URING_CMD
	.uring_cmd = ringq_file_uring_cmd,
#endif
	.mmap = ringq_mmap,
	.get_unmapped_area = thp_get_unmapped_area,
};

/* Open to all, like pipe(2): rings have permissions of their own, and memory is accounted. */
static struct miscdevice ringq_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "ringq",
	.fops = &ringq_fops,
	.mode = 0666,
};

static int __init ringq_init(void)
{
	int err = ringq_barrier_init();

	if (err)
		return err;
	err = ringq_repair_init();
	if (err)
		goto repair;
	err = ringq_names_init();
	if (err)
		goto names;
	err = misc_register(&ringq_device);
	if (err)
		goto device;
	return 0;

device:
	ringq_names_exit();
names:
	ringq_repair_exit();
repair:
	ringq_barrier_exit();
	return err;
}

static void __exit ringq_exit(void)
{
	misc_deregister(&ringq_device);
	/* Repairs hold rings, which have names. */
	ringq_repair_exit();
	ringq_names_exit();
	ringq_barrier_exit();
}

module_init(ringq_init);
module_exit(ringq_exit);

MODULE_DESCRIPTION("ringq: rings in memory that processes share, a pipe to be mapped");
MODULE_LICENSE("GPL");
