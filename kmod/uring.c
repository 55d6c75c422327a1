// SPDX-License-Identifier: GPL-2.0-only
/*
 * RINGQ_URING_CMD_WAIT: the question of RINGQ_IOC_WAIT as a command of io_uring, which is done when
 * there is something to do.
 *
 * Armed is not asleep. Who has a command pending may be busy with other completions, so a kick
 * that was spent on it might leave idle one who sleeps in RINGQ_IOC_WAIT; and it could hand that
 * kick on only when it comes to its own task. So a command is a poller: it arms as poll does, each
 * kick tells it, none is used up by it, and there is nothing to hand on.
 *
 * The protocol is that of wait.c: arm (S1), barrier (S2), look (S3), and stay if there is nothing
 * (S4). Who kicks holds the ring's lock and is another task, so it only queues the look to the task
 * of the command; there the command looks, and either is done or arms again and stays. While
 * somebody looks, the command is busy: it is not queued again, nor cancelled, but who looks is told
 * to look once more before it stays. A port that is armed by somebody else, by poll, needs no other
 * arm; what comes disarms the port and tells both.
 *
 *     state      who may end it
 *     none
 *     busy       who looks: the task that issues it, or that it was queued to
 *     pending    who takes it out of this state, under the ring's lock: a kick, a wake-up of all
 *                or RINGQ_URING_CMD_CANCEL by making it busy; io_uring by cancelling it
 *
 * io_uring cancels when its ring is closed, or the task calls exec, and asks again as long as the
 * command is busy. A thread that ends leaves its commands behind: from then on the kernel's own
 * threads look in its place. A command holds the port's file until it is done, and so the port, the
 * ring and the module.
 */
#include <linux/errno.h>

#include "compat.h"
#include "ringq.h"

#ifdef RINGQ_HAVE_URING_CMD

/* The port has a command, which somebody looks for now; or an error. */
static int ringq_command_begin(struct ringq_port *port, const struct ringq_command *begun)
{
	struct ringq_ring *ring = port->ring;
	int err = 0;

	spin_lock(&ring->lock);
	if (port->life == RINGQ_OVER)
		err = -ESTALE;
	else if (port->command.cmd)
		err = -EBUSY;
	else
		port->command = *begun;
	spin_unlock(&ring->lock);
	return err;
}

/* Who looks for it has ended it. */
static void ringq_command_end(struct ringq_port *port)
{
	spin_lock(&port->ring->lock);
	port->command.cmd = NULL;
	spin_unlock(&port->ring->lock);
}

/* Who looks has found nothing. Returns whether the command is pending now; else he looks again. */
static bool ringq_command_stay(struct ringq_port *port)
{
	struct ringq_command *command = &port->command;
	bool stay;

	spin_lock(&port->ring->lock);
	stay = !command->again;
	command->again = false;
	command->busy = !stay;
	spin_unlock(&port->ring->lock);
	return stay;
}

/* Called by who looks. Returns the events, or 0 if none that is wanted is there. */
static int ringq_command_look(const struct ringq_port *port)
{
	const struct ringq_command *command = &port->command;
	u32 events = ringq_look(port, command->need, command->drain);

	return events & command->wanted ? events : 0;
}

/* Called by who has found nothing. Returns the command's result, or 0 if it is pending. */
static int ringq_command_arm(struct ringq_port *port)
{
	int events, err;

	do {
		err = ringq_arm(port, RINGQ_BY_POLL);
		if (err)
			return err;
		events = ringq_command_look(port);
		if (events)
			return events;
		/* Written before who looks is told to do so. */
		if (READ_ONCE(port->command.canceled))
			return -ECANCELED;
	} while (!ringq_command_stay(port));
	return 0;
}

static void ringq_command_done(struct ringq_port *port, struct io_uring_cmd *cmd, int result,
			       unsigned int issue_flags)
{
	ringq_command_end(port);
	io_uring_cmd_done(cmd, result, 0, issue_flags);
}

/* In the task of the command, or in one of the kernel's if that has ended. */
static void ringq_command_work(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	struct ringq_port *port = ringq_file_of(cmd->file)->port;
	int result = ringq_command_look(port);

	/* To arm before would cost the other side a kick, as in poll. */
	if (!result)
		result = ringq_command_arm(port);
	if (result)
		ringq_command_done(port, cmd, result, issue_flags);
}

/* The port's command, if it has one, is to be looked for. */
void ringq_command_tell(struct ringq_port *port)
{
	struct ringq_command *command = &port->command;

	lockdep_assert_held(&port->ring->lock);
	if (!command->cmd)
		return;
	if (command->busy) {
		command->again = true;
		return;
	}
	command->busy = true;
	io_uring_cmd_complete_in_task(command->cmd, ringq_command_work);
}

/*
 * Before the command can be pending, io_uring must be able to cancel it; and from then on it cannot
 * be done by returning a result.
 */
static int ringq_command_wait(struct ringq_port *port, struct io_uring_cmd *cmd,
			      unsigned int issue_flags)
{
	const struct ringq_uring_wait *arg = io_uring_sqe_cmd(cmd->sqe);
	u32 flags = READ_ONCE(arg->flags);
	struct ringq_command command = {
		.cmd = cmd,
		.need = READ_ONCE(arg->need),
		.wanted = ringq_wanted(flags),
		.drain = flags & RINGQ_WAIT_DRAIN,
		.busy = true,
	};
	int err, result;

	if (READ_ONCE(arg->reserved))
		return -EINVAL;
	err = ringq_wait_check(port, command.need, flags);
	if (err)
		return err;
	err = ringq_command_begin(port, &command);
	if (err)
		return err;
	result = ringq_command_look(port);
	if (result) {
		ringq_command_end(port);
		return result;
	}
	io_uring_cmd_mark_cancelable(cmd, issue_flags);
	result = ringq_command_arm(port);
	if (result)
		ringq_command_done(port, cmd, result, issue_flags);
	return -EIOCBQUEUED;
}

/* Of another ring of io_uring, perhaps: so not done here but in its own task. */
static int ringq_command_cancel(struct ringq_port *port, const struct io_uring_cmd *cmd)
{
	struct ringq_ring *ring = port->ring;
	int err = -ENOENT;

	if (memchr_inv(io_uring_sqe_cmd(cmd->sqe), 0, sizeof(struct ringq_uring_wait)))
		return -EINVAL;
	spin_lock(&ring->lock);
	if (port->life == RINGQ_OVER) {
		err = -ESTALE;
	} else if (port->command.cmd) {
		WRITE_ONCE(port->command.canceled, true);
		ringq_command_tell(port);
		err = 0;
	}
	spin_unlock(&ring->lock);
	return err;
}

int ringq_command(struct ringq_port *port, struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	switch (cmd->cmd_op) {
	case RINGQ_URING_CMD_WAIT:
		return ringq_command_wait(port, cmd, issue_flags);
	case RINGQ_URING_CMD_CANCEL:
		return ringq_command_cancel(port, cmd);
	default:
		return -ENOTTY;
	}
}

/* io_uring cancels. For a command that is busy it asks again. */
void ringq_command_abandon(struct ringq_port *port, struct io_uring_cmd *cmd,
			   unsigned int issue_flags)
{
	struct ringq_command *command = &port->command;
	bool taken;

	spin_lock(&port->ring->lock);
	taken = command->cmd == cmd && !command->busy;
	if (taken)
		command->cmd = NULL;
	spin_unlock(&port->ring->lock);
	if (taken)
		io_uring_cmd_done(cmd, -ECANCELED, 0, issue_flags);
}

#else

void ringq_command_tell(struct ringq_port *port)
{
}

#endif /* RINGQ_HAVE_URING_CMD */
