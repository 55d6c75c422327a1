#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Writes a header that says what the kernel's API looks like: conftest.sh HEADER CC [FLAGS...]
# Called by Kbuild with the flags of a module. Each test is a function that compiles or does not.
set -eu

header=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A function of the wrong type is as good as none, also where the kernel only warns of it.
compiles() {
	cat >"$work/test.c"
	"$@" -DKBUILD_MODNAME='"conftest"' -Werror -Wno-unused -Wno-missing-prototypes \
		-Wno-missing-declarations -fsyntax-only "$work/test.c" >"$work/log" 2>&1
}

# Reads the test from standard input and defines NAME if it compiles.
have() {
	name=$1
	shift
	if compiles "$@"; then
		echo "#define $name 1" >>"$work/header"
	else
		echo "/* $name is not set */" >>"$work/header"
	fi
}

# Else no test below would compile and each would seem to have been answered.
compiles "$@" <<END || { cat "$work/log" >&2; echo "conftest.sh: cannot compile" >&2; exit 1; }
#include <linux/mm.h>
#include <linux/module.h>
END

# Linux 6.3 made vm_flags read-only.
have RINGQ_HAVE_VM_FLAGS_MOD "$@" <<END
#include <linux/mm.h>
void test(struct vm_area_struct *vma) { vm_flags_mod(vma, VM_IO, VM_MAYEXEC); }
END

# Linux 6.17 removed pfn_t; before, it was a struct.
have RINGQ_HAVE_PFN_T "$@" <<END
#include <linux/mm.h>
#include <linux/pfn_t.h>
pfn_t test(unsigned long pfn) { return pfn_to_pfn_t(pfn); }
END

# Linux 6.15 can give a process one address space number for all CPUs, and then flush its
# translations on all of them without looking where it runs.
have RINGQ_HAVE_GLOBAL_ASID "$@" <<END
#include <linux/mm_types.h>
int test(struct mm_struct *mm) { return mm->context.global_asid; }
END

# Linux 6.8 took the number from eventfd_signal(), which nobody had used but to say 1.
have RINGQ_HAVE_EVENTFD_SIGNAL_ONE "$@" <<END
#include <linux/eventfd.h>
void test(struct eventfd_ctx *eventfd) { eventfd_signal(eventfd); }
END

# Commands of io_uring that can be cancelled: Linux 6.7, and with this header 6.8. Kernels that call
# or complete them in another way have to be told apart here when the module knows that way.
have RINGQ_HAVE_URING_CMD "$@" <<END
#include <linux/io_uring/cmd.h>
void done(struct io_uring_cmd *cmd, unsigned int flags)
{
	io_uring_cmd_done(cmd, 0, 0, flags);
}
const void *test(struct io_uring_cmd *cmd, unsigned int flags)
{
	io_uring_cmd_mark_cancelable(cmd, flags & IO_URING_F_CANCEL);
	io_uring_cmd_complete_in_task(cmd, done);
	return io_uring_sqe_cmd(cmd->sqe);
}
END

mv "$work/header" "$header"
