// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* ringq info: what this machine offers to rings, and what to do about what is missing. */
#include "tool.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#define MODULE_LIMITS	"/sys/module/ringq/parameters/"

struct info {
	struct ringq_machine machine;
	struct utsname kernel;
	unsigned int cpus;
	uint64_t open_files;
};

static int collect(struct info *info)
{
	struct rlimit limit;
	cpu_set_t cpus;
	int r;

	memset(info, 0, sizeof(*info));
	info->machine.size = sizeof(info->machine);
	r = ringq_get_machine(&info->machine);
	if (r < 0)
		return r;
	if (uname(&info->kernel) < 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	info->open_files = limit.rlim_cur;
	info->cpus = sched_getaffinity(0, sizeof(cpus), &cpus) < 0 ? 0 : CPU_COUNT(&cpus);
	return 0;
}

/* A line of the table; what to do, if anything, stands under it. */
__attribute__((format(printf, 3, 4)))
static void row(const char *what, const char *advice, const char *state, ...)
{
	va_list args;

	printf("%-20s ", what);
	va_start(args, state);
	vprintf(state, args);
	va_end(args);
	printf("\n");
	if (advice)
		printf("%-20s -> %s\n", "", advice);
}

static const char *device_advice(int error)
{
	switch (error) {
	case 0:
		return NULL;
	case -ENODEV:
		return "as root: make modules && insmod build/kmod/*/ringq.ko; memfds till then";
	case -EACCES:
		return "as root: chmod 666 " RINGQ_DEVICE_PATH ", or give it a group of yours";
	case -EPROTO:
		return "module and program are of different versions: make and load it again";
	default:
		return "rings between processes are memfds until this is mended";
	}
}

static void show_device(const struct ringq_machine *m)
{
	char all[TOOL_FIGURE], user[TOOL_FIGURE], used[TOOL_FIGURE];

	row("module", device_advice(m->device), "%s",
	    m->device ? ringq_strerror(m->device) : RINGQ_DEVICE_PATH " is usable");
	if (m->device && m->device != -EPROTO)
		return;
	row("  versions", NULL, "ABI %u, layout %u (the library: %u)", m->abi_version,
	    m->device_layout_version, m->layout_version);
	row("  limits", "to change: " MODULE_LIMITS "max_mib and max_user_mib",
	    "%s in all, %s a user; %s used", tool_bytes(all, m->device_max_bytes),
	    tool_bytes(user, m->device_max_user_bytes), tool_bytes(used, m->device_used_bytes));
	row("  huge pages", NULL, "%s",
	    m->device_huge_shift ? tool_page(m->device_huge_shift) : "none");
}

static void show_table(const struct info *info)
{
	const struct ringq_machine *m = &info->machine;
	char bytes[TOOL_FIGURE];

	row("ringq", NULL, "%d.%d, layout %u", RINGQ_VERSION_MAJOR, RINGQ_VERSION_MINOR,
	    m->layout_version);
	row("kernel", NULL, "%s %s, %s", info->kernel.sysname, info->kernel.release,
	    info->kernel.machine);
	show_device(m);
	row("memfd huge pages", !m->memfd_huge ? NULL :
	    "Linux 6.1 or later gives them on request; else: sysctl vm.nr_hugepages=64", "%s",
	    m->memfd_huge ? ringq_strerror(m->memfd_huge) : "yes");
	row("reserved huge pages", NULL, "%s",
	    m->hugetlb_free ? tool_bytes(bytes, m->hugetlb_free) : "none");
	row("membarrier", !m->membarrier ? NULL :
	    "a filter forbids membarrier(2): let it pass, or each message costs a fence", "%s",
	    m->membarrier ? ringq_strerror(m->membarrier) : "yes");
	row("processors", info->cpus > 1 ? NULL : "two sides of a ring want two", "%u",
	    info->cpus);
	row("open files", info->open_files >= 1024 ? NULL :
	    "a ring takes up to eight: ulimit -n 1024", "%" PRIu64, info->open_files);
}

static void put_string(const char *name, const char *text)
{
	printf("  \"%s\": ", name);
	tool_json_string(text);
	printf(",\n");
}

/* 0 is "ok", an error its name. */
static void put_state(const char *name, int error)
{
	const char *text = error ? strerrorname_np(-error) : "ok";

	put_string(name, text ? text : "?");
}

static void put_number(const char *name, uint64_t number, bool last)
{
	printf("  \"%s\": %" PRIu64 "%s\n", name, number, last ? "" : ",");
}

static void show_json(const struct info *info)
{
	const struct ringq_machine *m = &info->machine;
	char version[16];

	snprintf(version, sizeof(version), "%d.%d", RINGQ_VERSION_MAJOR, RINGQ_VERSION_MINOR);
	printf("{\n");
	put_string("version", version);
	put_string("kernel", info->kernel.release);
	put_string("machine", info->kernel.machine);
	put_state("device", m->device);
	put_state("memfd_huge", m->memfd_huge);
	put_state("membarrier", m->membarrier);
	put_number("layout_version", m->layout_version, false);
	put_number("abi_version", m->abi_version, false);
	put_number("device_layout_version", m->device_layout_version, false);
	put_number("device_max_bytes", m->device_max_bytes, false);
	put_number("device_max_user_bytes", m->device_max_user_bytes, false);
	put_number("device_used_bytes", m->device_used_bytes, false);
	put_number("device_huge_shift", m->device_huge_shift, false);
	put_number("hugetlb_free_bytes", m->hugetlb_free, false);
	put_number("cpus", info->cpus, false);
	put_number("open_files", info->open_files, true);
	printf("}\n");
}

int cmd_info(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ .name = "json", .key = 'j', .doc = "for programs; what is not known is 0" },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options, .parser = tool_parse_json,
		.doc = "Tell what this machine offers to rings, and what to do about the rest. "
		       "Everything is tried out, not guessed.",
	};
	struct info info;
	bool json = false;
	int r;

	argp_parse(&argp, argc, argv, 0, NULL, &json);
	r = collect(&info);
	if (r < 0) {
		warnx("%s", ringq_strerror(r));
		return TOOL_FAILED;
	}
	if (json)
		show_json(&info);
	else
		show_table(&info);
	return TOOL_OK;
}
