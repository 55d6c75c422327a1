// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Processes that a command starts, kills and waits for. */
#include "child.h"
#include "tool.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int child_fork(struct child *c)
{
	pid_t parent = getpid();

	c->pid = fork();
	if (c->pid < 0) {
		c->pid = 0;
		return -errno;
	}
	if (c->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(TOOL_FAILED);
		return 1;
	}
	c->pidfd = syscall(SYS_pidfd_open, c->pid, 0);
	if (c->pidfd < 0) {
		int error = errno;

		kill(c->pid, SIGKILL);
		waitpid(c->pid, NULL, 0);
		c->pid = 0;
		return -error;
	}
	return 0;
}

int child_start(struct child *c, char *const argv[], const char *log)
{
	int r = child_fork(c);
	int fd;

	if (r <= 0)
		return r;
	fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
		err(TOOL_FAILED, "%s", log);
	execv("/proc/self/exe", argv);
	err(TOOL_FAILED, "/proc/self/exe");
}

int child_wait(struct child *c, int64_t timeout)
{
	struct pollfd p = { .fd = c->pidfd, .events = POLLIN };
	int64_t deadline = tool_now() + timeout;
	int status;

	for (;;) {
		int64_t left = deadline - tool_now();
		int r;

		if (tool_signal)
			return -EINTR;
		r = poll(&p, 1, left > 0 ? left / 1000000 + 1 : 0);
		if (r > 0)
			break;
		if (r == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
	waitpid(c->pid, &status, 0);
	close(c->pidfd);
	c->pid = 0;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

bool child_ended(const struct child *c)
{
	struct pollfd p = { .fd = c->pidfd, .events = POLLIN };

	return !c->pid || poll(&p, 1, 0) > 0;
}

void child_kill(const struct child *c)
{
	kill(c->pid, SIGKILL);
}

void child_end(struct child *c)
{
	if (!c->pid)
		return;
	child_kill(c);
	waitpid(c->pid, NULL, 0);
	close(c->pidfd);
	c->pid = 0;
}
