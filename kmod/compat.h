/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The places where kernels differ, each under its newest name. conftest.h is made by conftest.sh
 * from the headers of the kernel that this is built for.
 */
#ifndef RINGQ_COMPAT_H
#define RINGQ_COMPAT_H

#include <linux/eventfd.h>
#include <linux/mm.h>

#include "conftest.h"

#ifdef RINGQ_HAVE_URING_CMD
#include <linux/io_uring/cmd.h>
#endif

#ifndef RINGQ_HAVE_VM_FLAGS_MOD
static inline void vm_flags_mod(struct vm_area_struct *vma, vm_flags_t set, vm_flags_t clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

/*
 * Huge pages are those that one entry of a PMD maps; the layout knows them by one size only.
 * Kernels for PREEMPT_RT have none.
 */
#if defined(CONFIG_TRANSPARENT_HUGEPAGE) && PMD_SHIFT == 21
#define RINGQ_HUGE_SHIFT	21

#ifdef RINGQ_HAVE_PFN_T
#include <linux/pfn_t.h>

static inline vm_fault_t ringq_insert_pmd(struct vm_fault *vmf, unsigned long pfn, bool write)
{
	return vmf_insert_pfn_pmd(vmf, pfn_to_pfn_t(pfn), write);
}
#else
static inline vm_fault_t ringq_insert_pmd(struct vm_fault *vmf, unsigned long pfn, bool write)
{
	return vmf_insert_pfn_pmd(vmf, pfn, write);
}
#endif

#else
#define RINGQ_HUGE_SHIFT	0

static inline vm_fault_t ringq_insert_pmd(struct vm_fault *vmf, unsigned long pfn, bool write)
{
	return VM_FAULT_SIGBUS;
}
#endif

/* Whether a command of io_uring can wait: be done later, and be cancelled before. */
static inline bool ringq_has_uring_cmd(void)
{
#ifdef RINGQ_HAVE_URING_CMD
	return IS_ENABLED(CONFIG_IO_URING);
#else
	return false;
#endif
}

/* By 1. */
static inline void ringq_eventfd_signal(struct eventfd_ctx *eventfd)
{
#ifdef RINGQ_HAVE_EVENTFD_SIGNAL_ONE
	eventfd_signal(eventfd);
#else
	eventfd_signal(eventfd, 1);
#endif
}

/*
 * Whether the CPUs that run a process are known and may be interrupted. On x86-64 a CPU sets its
 * bit in mm_cpumask() by a locked instruction before it runs the process, and clears it, by
 * another one, only when it does not run it any more; other architectures keep no such mask.
 * PREEMPT_RT is for machines whose CPUs must not be disturbed. A kernel that flushes translations
 * by broadcast, where the CPU can (INVLPGB), has no need to keep the mask exact.
 */
static inline bool ringq_has_barrier(void)
{
#if !defined(CONFIG_X86_64) || defined(CONFIG_PREEMPT_RT)
	return false;
#elif defined(RINGQ_HAVE_GLOBAL_ASID)
	return !boot_cpu_has(X86_FEATURE_INVLPGB);
#else
	return true;
#endif
}

#endif /* RINGQ_COMPAT_H */
