// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* What this machine offers, found out by trying. */
#include "internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void ringq_ask_device(struct ringq_machine *m)
{
	struct ringq_ioc_info info = { .size = sizeof(info) };
	int fd = ringq_device_open(&info);

	m->device = fd < 0 ? fd : 0;
	if (fd >= 0)
		close(fd);
	if (fd < 0 && fd != -EPROTO)
		return;
	m->abi_version = info.abi_version;
	m->device_layout_version = info.layout_version;
	m->device_max_bytes = info.max_bytes;
	m->device_max_user_bytes = info.max_user_bytes;
	m->device_used_bytes = info.used_bytes;
	m->device_huge_shift = info.huge_shift;
}

static uint64_t ringq_hugetlb_free(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "re");

	if (!f)
		return 0;
	if (fscanf(f, "%lu", &pages) != 1)
		pages = 0;
	fclose(f);
	return (uint64_t)pages << RINGQ_BULK_HUGE;
}

/* A small ring in huge pages, made and left. */
static int ringq_try_huge(void)
{
	struct ringq_opts o = {
		.size = sizeof(o), .memory = RINGQ_MEMFD, .elem_size = 8, .capacity = 7,
		.flags = RINGQ_HUGE_ONLY,
	};
	struct ringq *ring;
	int r = ringq_create(&o, &ring);

	if (r == 0)
		ringq_leave(ring);
	return r;
}

RINGQ_PUBLIC int ringq_get_machine(struct ringq_machine *machine)
{
	struct ringq_machine m = {
		.layout_version = RINGQ_LAYOUT_VERSION,
		.membarrier = ringq_barrier_available(RINGQ_MEMFD),
		.hugetlb_free = ringq_hugetlb_free(),
		.memfd_huge = ringq_try_huge(),
	};

	if (machine->size < sizeof(m))
		return -EINVAL;
	ringq_ask_device(&m);
	m.size = machine->size;
	memcpy(machine, &m, sizeof(m));
	return 0;
}
