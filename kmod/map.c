// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mapping a ring through a port. A role can write the pages that it must write and no others, for
 * good; a mapping cannot be split, so that it is there or not; and it is in one address space
 * only, so that the end of the last one proves that nobody can store through the port any more.
 *
 * The kernel keeps no reference for the entries of a page table here (VM_PFNMAP). The pages live
 * as long as the ring, which the port's file holds, which each mapping holds. In return nothing
 * else can hold them: no get_user_pages(), hence no device that writes to a ring after its process
 * has died.
 */
#include <linux/mm.h>
#include <linux/pagemap.h>

#include "compat.h"
#include "ringq.h"

/* Whether one whole huge page belongs at the faulting address and the mapping has room for it. */
static struct page *ringq_huge_at(struct ringq_ring *ring, struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long start = vmf->address & PMD_MASK;

	if (!RINGQ_HUGE_SHIFT || vma->vm_flags & VM_NOHUGEPAGE || !pmd_none(*vmf->pmd))
		return NULL;
	if (start < vma->vm_start || vma->vm_end - start < PMD_SIZE)
		return NULL;
	return ringq_region_huge_page(ring, linear_page_index(vma, start));
}

/*
 * Huge pages are mapped from here and not from ->huge_fault, which kernels before 6.7 do not call
 * for a device's memory. Whoever has a table of small pages at that address already gets a small
 * one.
 */
static vm_fault_t ringq_fault(struct vm_fault *vmf)
{
	struct ringq_port *port = vmf->vma->vm_private_data;
	struct page *page = ringq_huge_at(port->ring, vmf);

	if (page)
		return ringq_insert_pmd(vmf, page_to_pfn(page), vmf->vma->vm_flags & VM_WRITE);
	page = ringq_region_page(port->ring, vmf->pgoff);
	return vmf_insert_pfn(vmf->vma, vmf->address, page_to_pfn(page));
}

/* A mapping was moved: there are two for a moment. */
static void ringq_vma_open(struct vm_area_struct *vma)
{
	ringq_port_remap(vma->vm_private_data);
}

static void ringq_vma_close(struct vm_area_struct *vma)
{
	ringq_port_unmap(vma->vm_private_data);
}

static int ringq_vma_may_split(struct vm_area_struct *vma, unsigned long address)
{
	return -EINVAL;
}

static const struct vm_operations_struct ringq_vm_ops = {
	.open = ringq_vma_open,
	.close = ringq_vma_close,
	.may_split = ringq_vma_may_split,
	.fault = ringq_fault,
};

static bool ringq_within(u64 start, u64 end, u64 section, u64 next)
{
	return start >= section && end <= next;
}

/* Whether a port may write all of a range: one section must be its own and have all of it. */
static bool ringq_may_write(const struct ringq_port *port, u64 start, u64 end)
{
	const struct ringq_geometry *g = &port->ring->geometry;
	const struct ringq_layout *l = &port->ring->layout;
	u64 own = l->ports + ringq_page_of(g, port->role, port->index) * l->port_stride;
	u64 side = l->sides[port->role];
	u64 next = port->role == RINGQ_PRODUCER ? l->sides[RINGQ_CONSUMER] : l->ports;

	if (ringq_within(start, end, side, next) ||
	    ringq_within(start, end, own, own + l->port_stride))
		return true;
	return ringq_writes_bulk(g, port->role) && ringq_within(start, end, l->bulk, l->total);
}

int ringq_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct ringq_file *file = filp->private_data;
	vm_flags_t clear = VM_MAYEXEC;
	struct ringq_port *port;
	u64 pages, start, end;
	int err;

	if (ringq_file_kind(file) != RINGQ_PORT)
		return -EBADFD;
	port = file->port;
	if (!ringq_port_is_mine(port))
		return -EPERM;
	/* Not VM_SHARED, which the core clears if the file is open for reading only. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	pages = port->ring->layout.total >> PAGE_SHIFT;
	if (vma->vm_pgoff >= pages || vma_pages(vma) > pages - vma->vm_pgoff)
		return -EINVAL;

	start = (u64)vma->vm_pgoff << PAGE_SHIFT;
	end = start + ((u64)vma_pages(vma) << PAGE_SHIFT);
	if (!ringq_may_write(port, start, end)) {
		if (vma->vm_flags & VM_WRITE)
			return -EACCES;
		clear |= VM_MAYWRITE;
	}
	if (vma->vm_flags & VM_EXEC)
		return -EACCES;

	err = ringq_port_map(port);
	if (err)
		return err;
	/* VM_IO keeps MADV_DOFORK from taking VM_DONTCOPY away. */
	vm_flags_mod(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP | VM_DONTCOPY, clear);
	vma->vm_private_data = port;
	vma->vm_ops = &ringq_vm_ops;
	return 0;
}
