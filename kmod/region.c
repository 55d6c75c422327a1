// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory of a ring. The control pages, those below the bulk, are single pages, because each
 * has permissions of its own; between them and a bulk in huge pages there may be a gap that takes
 * no memory. The bulk, stamps and data, is in chunks of a huge page's size, each of them one
 * compound page or single pages.
 *
 * All memory is zeroed, charged to the creator, allocated here and freed when the ring is.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/user_namespace.h>

#include "compat.h"
#include "ringq.h"

#if PAGE_SHIFT != 12 || !defined(CONFIG_64BIT)
#error "ringq needs pages of 4 KiB and 64-bit words"
#endif

#define RINGQ_CHUNK_PAGES	(1ul << (RINGQ_BULK_HUGE - PAGE_SHIFT))
#define RINGQ_CHUNK_ORDER	(RINGQ_BULK_HUGE - PAGE_SHIFT)

/* A piece of the bulk: one of the two is set, or neither if it was not allocated. */
struct ringq_chunk {
	struct page *huge;
	struct page **pages;
};

/* Nobody else is killed for a ring's memory; who asks for too much is told so. */
#define RINGQ_GFP	(GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN | __GFP_RETRY_MAYFAIL)

static int ringq_pages_alloc(struct page **pages, unsigned long nr, int node)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		if (fatal_signal_pending(current))
			return -EINTR;
		pages[i] = alloc_pages_node(node, RINGQ_GFP, 0);
		if (!pages[i])
			return -ENOMEM;
		cond_resched();
	}
	return 0;
}

static void ringq_pages_free(struct page **pages, unsigned long nr)
{
	unsigned long i;

	for (i = 0; pages && i < nr && pages[i]; i++)
		__free_page(pages[i]);
	kvfree(pages);
}

/*
 * A compound page, because a kernel that lets get_user_pages() have it counts the references to
 * it in its head. Memory is not compacted for it unless nothing else will do.
 */
static struct page *ringq_huge_alloc(bool huge_only, int node)
{
	gfp_t gfp = RINGQ_GFP | __GFP_COMP;

	if (!RINGQ_HUGE_SHIFT)
		return NULL;
	if (!huge_only)
		gfp = (gfp & ~__GFP_RETRY_MAYFAIL) | __GFP_NORETRY;
	return alloc_pages_node(node, gfp, RINGQ_CHUNK_ORDER);
}

/* How many single pages chunk number i is made of; the last one may have fewer than the others. */
static unsigned long ringq_chunk_pages(const struct ringq_ring *ring, unsigned long i)
{
	u64 pages = (ring->layout.total - ring->layout.bulk) >> PAGE_SHIFT;

	return min_t(u64, pages - i * RINGQ_CHUNK_PAGES, RINGQ_CHUNK_PAGES);
}

static int ringq_bulk_alloc(struct ringq_ring *ring, bool huge_only, int node)
{
	bool huge = ring->geometry.bulk_shift == RINGQ_BULK_HUGE;
	unsigned long i, nr;
	int err;

	ring->page_shift = huge ? RINGQ_BULK_HUGE : PAGE_SHIFT;
	for (i = 0; i < ring->nr_chunks; i++) {
		struct ringq_chunk *chunk = &ring->chunks[i];

		if (fatal_signal_pending(current))
			return -EINTR;
		if (huge)
			chunk->huge = ringq_huge_alloc(huge_only, node);
		if (chunk->huge) {
			cond_resched();
			continue;
		}
		if (huge_only)
			return -ENOMEM;
		ring->page_shift = PAGE_SHIFT;
		nr = ringq_chunk_pages(ring, i);
		chunk->pages = kvcalloc(nr, sizeof(*chunk->pages), GFP_KERNEL_ACCOUNT);
		if (!chunk->pages)
			return -ENOMEM;
		err = ringq_pages_alloc(chunk->pages, nr, node);
		if (err)
			return err;
	}
	return 0;
}

static void ringq_region_header(struct ringq_ring *ring)
{
	struct ringq_header *header = ringq_region_address(ring, 0);

	*header = (struct ringq_header){
		.magic = RINGQ_MAGIC,
		.version = RINGQ_LAYOUT_VERSION,
		.size = sizeof(*header),
		.geometry = ring->geometry,
		.layout = ring->layout,
		.created_ns = ktime_get_real_ns(),
		.uid = from_kuid_munged(current_user_ns(), ring->uid),
		.pid = task_tgid_vnr(current),
		.mode = ring->mode,
		.page_shift = ring->page_shift,
	};
	memcpy(header->id, ring->id, sizeof(header->id));
	memcpy(header->name, ring->name, sizeof(header->name));
	ring->attention = ringq_region_address(ring, ring->layout.attention);
}

/* The words that say how far everybody is: at the beginning. */
static void ringq_region_begin(struct ringq_ring *ring)
{
	const struct ringq_geometry *g = &ring->geometry;
	const struct ringq_layout *l = &ring->layout;
	struct ringq_port_page *page;
	struct ringq_lane *lane;
	struct ringq_side *side;
	u32 i;

	for (i = 0; i < ringq_ports(g); i++) {
		page = ringq_region_address(ring, l->ports + i * l->port_stride);
		ringq_progress_begin(&page->progress, g->first);
	}
	for (i = 0; i < RINGQ_SIDES; i++) {
		side = ringq_region_address(ring, l->sides[i]);
		side->index = g->first;
	}
	for (i = 0; g->discipline == RINGQ_LANES && i < g->producers; i++) {
		lane = ringq_region_address(ring, l->lanes + i * sizeof(*lane));
		ringq_progress_begin(&lane->progress, g->first);
	}
}

/* Where several ports claim positions, each stamp says that its slot is free. */
static int ringq_region_stamp(struct ringq_ring *ring)
{
	const struct ringq_geometry *g = &ring->geometry;
	u64 pos, *stamp;

	if (!ringq_claims(g->discipline))
		return 0;
	for (pos = g->first; pos < g->first + g->capacity; pos++) {
		if (fatal_signal_pending(current))
			return -EINTR;
		stamp = ringq_region_address(ring, ringq_stamp_at(g, &ring->layout, 0, pos));
		*stamp = RINGQ_STAMP(pos, RINGQ_FREE);
		cond_resched();
	}
	return 0;
}

/**
 * ringq_region_alloc - allocate a ring's memory and make an empty ring of it
 * @ring: geometry, layout and what the header tells are set.
 * @huge_only: no data in small pages.
 * @node: NUMA node, or NUMA_NO_NODE.
 *
 * Returns 0, -EDQUOT, -ENOMEM, or -EINTR if the caller is being killed. What was allocated then
 * is the ring's, for ringq_region_free().
 */
int ringq_region_alloc(struct ringq_ring *ring, bool huge_only, int node)
{
	const struct ringq_layout *l = &ring->layout;
	u64 bulk = l->total - l->bulk;
	int err;

	ring->nr_control = (l->ports + ringq_ports(&ring->geometry) * l->port_stride) >> PAGE_SHIFT;
	ring->nr_chunks = DIV_ROUND_UP(bulk, RINGQ_CHUNK_PAGES << PAGE_SHIFT);
	err = ringq_charge(&ring->charge, bulk + (ring->nr_control << PAGE_SHIFT));
	if (err)
		return err;

	ring->control = kvcalloc(ring->nr_control, sizeof(*ring->control), GFP_KERNEL_ACCOUNT);
	ring->chunks = kvcalloc(ring->nr_chunks, sizeof(*ring->chunks), GFP_KERNEL_ACCOUNT);
	if (!ring->control || !ring->chunks)
		return -ENOMEM;
	err = ringq_pages_alloc(ring->control, ring->nr_control, node);
	if (!err)
		err = ringq_bulk_alloc(ring, huge_only, node);
	if (!err)
		err = ringq_region_stamp(ring);
	if (err)
		return err;
	ringq_region_begin(ring);
	ringq_region_header(ring);
	return 0;
}

/* Frees what there is of a ring's memory; nobody can reach it any more. */
void ringq_region_free(struct ringq_ring *ring)
{
	unsigned long i;

	for (i = 0; ring->chunks && i < ring->nr_chunks; i++) {
		struct ringq_chunk *chunk = &ring->chunks[i];

		if (chunk->huge)
			__free_pages(chunk->huge, RINGQ_CHUNK_ORDER);
		ringq_pages_free(chunk->pages, ringq_chunk_pages(ring, i));
		cond_resched();
	}
	kvfree(ring->chunks);
	ringq_pages_free(ring->control, ring->nr_control);
	ringq_uncharge(&ring->charge);
}

/* The page at an index below the total; in the gap, which nobody can write, that of zeroes. */
struct page *ringq_region_page(const struct ringq_ring *ring, unsigned long index)
{
	unsigned long bulk = ring->layout.bulk >> PAGE_SHIFT, i;
	struct ringq_chunk *chunk;

	if (index < ring->nr_control)
		return ring->control[index];
	if (index < bulk)
		return ZERO_PAGE(0);
	chunk = &ring->chunks[(index - bulk) / RINGQ_CHUNK_PAGES];
	i = (index - bulk) % RINGQ_CHUNK_PAGES;
	return chunk->huge ? chunk->huge + i : chunk->pages[i];
}

/* The huge page that begins at an index below the total, or NULL if none begins there. */
struct page *ringq_region_huge_page(const struct ringq_ring *ring, unsigned long index)
{
	unsigned long bulk = ring->layout.bulk >> PAGE_SHIFT;

	if (index < bulk || (index - bulk) % RINGQ_CHUNK_PAGES)
		return NULL;
	return ring->chunks[(index - bulk) / RINGQ_CHUNK_PAGES].huge;
}

/* The kernel's own address of a byte at an offset below the total, outside the gap. */
void *ringq_region_address(const struct ringq_ring *ring, u64 offset)
{
	return page_address(ringq_region_page(ring, offset >> PAGE_SHIFT)) + offset_in_page(offset);
}
