// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The region as a whole: its header, written by whoever creates it and believed by nobody,
 * and the address space for it. (On the device the module writes the header.)
 */
#include "internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* The words that say how far everybody is: at the beginning. */
static void ringq_region_begin(const struct ringq *ring, unsigned char *base)
{
	const struct ringq_geometry *g = &ring->geometry;
	uint64_t pos;
	uint32_t i;

	for (i = 0; i < ringq_ports(g); i++)
		ringq_progress_begin(&ringq_page(ring, base, i)->progress, g->first);
	ringq_page(ring, base, 0)->oldest = g->first;
	for (i = 0; i < 2; i++)
		ringq_side_of(ring, base, i)->index = g->first;
	for (i = 0; g->discipline == RINGQ_LANES && i < g->producers; i++)
		ringq_progress_begin(&ringq_lane_of(ring, base, i)->progress, g->first);
	for (pos = g->first; ringq_claims(g->discipline) && pos < g->first + g->capacity; pos++)
		*(__u64 *)(base + ringq_stamp_at(g, &ring->layout, 0, pos)) =
			RINGQ_STAMP(pos, RINGQ_FREE);
}

/* What both sides look at: nothing is the matter, but for what the ring was made with. */
static void ringq_region_open(const struct ringq *ring, unsigned char *base)
{
	uint64_t flags = ring->geometry.flags & RINGQ_FENCE ? RINGQ_FENCED : 0;

	ringq_store_release(ringq_word_of(ring, base, RINGQ_PRODUCER), flags);
	ringq_store_release(ringq_word_of(ring, base, RINGQ_CONSUMER), flags);
}

/* Zeroes what ringq_region_begin() expects to be zero. Who sat where stays. */
static void ringq_region_clear(const struct ringq *ring, unsigned char *base)
{
	const struct ringq_layout *l = &ring->layout;
	struct ringq_attention *a = ringq_attention_of(ring, base);
	uint32_t i;

	memset(a->kept, 0, sizeof(a->kept));
	memset(base + l->sides[RINGQ_PRODUCER], 0, l->ports - l->sides[RINGQ_PRODUCER]);
	for (i = 0; i < ringq_ports(&ring->geometry); i++) {
		struct ringq_port_page *page = ringq_page(ring, base, i);

		memset(page, 0, offsetof(struct ringq_port_page, state));
		memset(page + 1, 0, l->port_stride - sizeof(*page));
	}
	memset(base + l->bulk, 0, l->data - l->bulk);
	for (i = 0; i < ringq_lanes(&ring->geometry); i++)
		memset(ringq_lane_data(ring, base, i), 0, l->slots * l->slot_size);
}

void ringq_region_restart(const struct ringq *ring, unsigned char *base)
{
	__atomic_fetch_or(ringq_word_of(ring, base, RINGQ_PRODUCER), RINGQ_DEAD, __ATOMIC_SEQ_CST);
	__atomic_fetch_or(ringq_word_of(ring, base, RINGQ_CONSUMER), RINGQ_DEAD, __ATOMIC_SEQ_CST);
	ringq_region_clear(ring, base);
	ringq_region_begin(ring, base);
	ringq_region_open(ring, base);
}

/* Fills a zeroed region, and what the handle says of it. */
void ringq_region_init(struct ringq *ring, const struct ringq_plan *plan, void *base)
{
	struct ringq_header *h = base;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	ring->uid = geteuid();
	ring->mode = plan->mode;
	/* Without entropy yet (early boot) the id is all zero, which harms nobody. */
	if (getrandom(ring->id, sizeof(ring->id), GRND_NONBLOCK) < 0)
		memset(ring->id, 0, sizeof(ring->id));
	strcpy(ring->name, plan->name);

	h->version = RINGQ_LAYOUT_VERSION;
	h->size = sizeof(*h);
	h->geometry = ring->geometry;
	h->layout = ring->layout;
	memcpy(h->id, ring->id, sizeof(h->id));
	h->created_ns = now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
	h->uid = ring->uid;
	h->pid = getpid();
	h->mode = ring->mode;
	h->page_shift = ring->page_shift;
	memcpy(h->name, ring->name, sizeof(h->name));

	ringq_region_begin(ring, base);
	ringq_region_open(ring, base);
	/* Last of all: what has no magic is not finished. */
	ringq_store_release(&h->magic, RINGQ_MAGIC);
}

int ringq_region_adopt(struct ringq *ring, const struct ringq_header *h, uint64_t size)
{
	struct ringq_layout layout;

	if (h->magic != RINGQ_MAGIC)
		return -EBADMSG;
	if (h->version != RINGQ_LAYOUT_VERSION)
		return -EPROTO;
	memset(&layout, 0, sizeof(layout));
	if (h->size != sizeof(*h) || ringq_layout_compute(&h->geometry, &layout) < 0 ||
	    memcmp(&layout, &h->layout, sizeof(layout)) || layout.total > size ||
	    strnlen(h->name, sizeof(h->name)) == sizeof(h->name))
		return -EBADMSG;
	ring->geometry = h->geometry;
	ring->layout = layout;
	ring->uid = h->uid;
	ring->mode = h->mode;
	ring->page_shift = h->page_shift;
	memcpy(ring->id, h->id, sizeof(ring->id));
	memcpy(ring->name, h->name, sizeof(ring->name));
	return 0;
}

void *ringq_region_address(uint64_t size, uint32_t shift)
{
	uint64_t align = UINT64_C(1) << shift, lead;
	unsigned char *p;

	p = mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	lead = ringq_round_up((uintptr_t)p, align) - (uintptr_t)p;
	if (lead)
		munmap(p, lead);
	if (lead < align)
		munmap(p + lead + size, align - lead);
	return p + lead;
}

uint64_t ringq_region_span(const struct ringq *ring)
{
	const struct ringq_layout *l = &ring->layout;

	return ringq_is_mirrored(&ring->geometry) ?
		       l->total + ringq_lanes(&ring->geometry) * l->lane_data : l->total;
}

int ringq_region_mirror(const struct ringq *ring, unsigned char *base, int fd, int prot, int flags)
{
	const struct ringq_layout *l = &ring->layout;
	uint32_t i;

	for (i = 0; i < 2 * ringq_lanes(&ring->geometry); i++) {
		if (mmap(base + l->data + i * l->lane_data, l->lane_data, prot,
			 MAP_SHARED | MAP_FIXED | flags, fd,
			 l->data + i / 2 * l->lane_data) == MAP_FAILED)
			return -errno;
	}
	return 0;
}

/* Is the whole mapping in huge pages? What the kernel says of it. */
bool ringq_region_is_huge(const void *base, uint64_t size)
{
	unsigned long start, end, kib, huge = 0;
	bool inside = false;
	char line[256];
	FILE *f = fopen("/proc/thread-self/smaps", "re");

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = start >= (uintptr_t)base && end <= (uintptr_t)base + size;
		else if (inside && (sscanf(line, "ShmemPmdMapped: %lu kB", &kib) == 1 ||
				    sscanf(line, "AnonHugePages: %lu kB", &kib) == 1))
			huge += kib;
	}
	fclose(f);
	return huge * 1024 >= size;
}
