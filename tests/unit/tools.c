// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * ringq stat, ls and repair: what they print of rings that are in a known state, and their status.
 * The program is the one that was built with this test.
 */
#include "actors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LIMIT 120	/* seconds for all of them; ten are usual */
#define OUTPUT 8192

static char program[512], output[OUTPUT];

/* Runs a command line of the program: its status; what it said, on both ways, is in output. */
static int run(const char *format, ...)
{
	char line[1100], rest[512];
	va_list args;
	size_t n;
	FILE *f;
	int r;

	va_start(args, format);
	vsnprintf(rest, sizeof(rest), format, args);
	va_end(args);
	snprintf(line, sizeof(line), "%s %s 2>&1", program, rest);
	quiet();
	f = popen(line, "re");
	assert_non_null(f);
	n = fread(output, 1, sizeof(output) - 1, f);
	output[n] = '\0';
	r = pclose(f);
	return WIFEXITED(r) ? WEXITSTATUS(r) : -1;
}

static void said(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!strstr(output, text))
		fail_msg("not said: '%s', but:\n%s", text, output);
}

static void not_said(const char *text)
{
	if (strstr(output, text))
		fail_msg("said: '%s', in:\n%s", text, output);
}

/* A file of no name, but for who has it, or looks at us. */
static char path[64];

static int setup(void **state)
{
	(void)state;
	file = memfd_create("tools", 0);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), file);
	return file < 0;
}

static int teardown_file(void **state)
{
	teardown(state);
	close(file);
	file = -1;
	return 0;
}

static void act_hold(struct ringq *mine)
{
	struct ringq_port out, in;

	must(attached(mine, OUT, &out) && attached(mine, IN, &in));
	send_five(&out, false);
	must(ringq_peek(&in, 3, RINGQ_NOWAIT) == 3 && ringq_release(&in, 1) == 0);
}

static void test_holder(void **state)
{
	pid_t pid;

	(void)state;
	make(RINGQ_SPSC, RINGQ_CONSUMER_WAIT | RINGQ_PRODUCER_WAIT, 1);
	assert_int_equal(run("stat --file=%s", path), 0);
	said("spsc, memfd, 14 messages of 8 bytes; 0 messages wait");
	said("nobody has attached");

	pid = start_and_stop(act_hold);
	assert_int_equal(run("stat -f %s -o 0.01", path), 0);
	said("; 4 messages wait");
	said("consumer 0    stopped   %8d  tools", pid);
	said("         1         4         2             1  ");
	assert_int_equal(run("stat --file=%s --over=0 --json", path), 0);
	said("\"pid\": %d, ", pid);
	said("\"process\": \"T\"");
	said("\"position\": 1, \"waiting\": 4, \"held\": 2, \"held_at\": 1, \"held_for_ns\": ");
	said("\"position\": 5, \"waiting\": 4, \"held\": 0, \"held_at\": 0, \"held_for_ns\": 0");
	assert_int_equal(run("repair --file=%s", path), 0);
	said("held: consumer 0, process %d (tools): 2 from 1 on, and it is stopped\n", pid);
	said("in order; 2 ports are live\n");
	not_said("buried");

	end(pid);
	assert_int_equal(run("stat --file=%s --over=0", path), 0);
	said("dying");
	assert_int_equal(run("repair --file=%s", path), 0);
	said("buried: producer 0, process %d: in order\n", pid);
	said("buried: consumer 0, process %d: 2 messages that it had in hand: to come again; "
	     "in order\n", pid);
	said("in order; 0 ports are live\n");
	assert_int_equal(run("repair --file=%s", path), 0);
	not_said("buried");
	assert_int_equal(run("stat --file=%s", path), 0);
	said("consumer 0    dead ");
	assert_int_equal(run("stat --file=%s --over=0 --json", path), 0);
	said("\"redelivered\": 2, ");
}

/* A ring that drops what the dead had in hand. */
static void test_drop(void **state)
{
	pid_t pid;

	(void)state;
	make(RINGQ_MPMC, RINGQ_CONSUMER_WAIT | RINGQ_PRODUCER_WAIT | RINGQ_DROP, 2);
	pid = start_and_stop(act_hold);
	end(pid);
	assert_int_equal(run("repair --file=%s", path), 0);
	said("buried: consumer 0, process %d: 2 messages that it had in hand: dropped; in order\n",
	     pid);
	assert_int_equal(run("stat --file=%s --over=0 --json", path), 0);
	said("\"dropped\": 2 }");
}

static void test_blocked(void **state)
{
	pid_t tries;

	(void)state;
	tries = start_blocked();
	assert_int_equal(run("repair --file=%s", path), 1);
	said("dead, and not in order yet: producer 1, process ");
	said("it had perhaps 1 in hand, from 0 on\n");
	said("  it waits for producer 3, process %d (tools): stopped in the middle of a claim at 0 "
	     "(kill -CONT, or kill it)\n", tries);
	said("held: producer 3, process %d (tools): perhaps 1 from 0 on, and it is stopped\n", tries);
	said(": not in order; 2 ports are live\n");
	assert_int_equal(run("stat --file=%s --over=0 --json", path), 0);
	said("\"claim\": \"try\"");
	end(tries);
	assert_int_equal(run("repair --file=%s", path), 0);
	said("buried: producer 1, ");
	said(" 1 message that it had not finished: skipped; in order\n");
}

static void test_locked(void **state)
{
	pid_t pid, holds;

	(void)state;
	make(RINGQ_SPSC, 0, 1);
	holds = start_and_stop(act_hold);
	pid = start_and_stop(act_lock);
	assert_int_equal(run("stat --file=%s", path), 0);
	assert_int_equal(run("repair --file=%s", path), 1);
	said("in the middle of attaching, leaving or repairing");
	said("stopped: consumer 0, process %d (tools): it may be the one\n", holds);
	end(pid);
	end(holds);
}

/* It goes on, until whoever listens has gone. */
static void test_watch(void **state)
{
	char line[1024];
	int seen = 0;
	FILE *f;

	(void)state;
	make(RINGQ_SPSC, 0, 1);
	snprintf(line, sizeof(line), "exec %s stat --file=%s --watch --over=0.01", program, path);
	quiet();
	f = popen(line, "re");
	assert_non_null(f);
	while (seen < 3 && fgets(line, sizeof(line), f))
		seen += !!strstr(line, "spsc");
	assert_int_equal(seen, 3);
	assert_int_not_equal(pclose(f), 0);
}

static void act_nothing(struct ringq *mine)
{
	(void)mine;
}

static void test_ls(void **state)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_MEMFD, .discipline = RINGQ_GATED,
		.elem_size = 24, .capacity = 128, .consumers = 3, .mode = 0640,
	};
	struct ringq_port out, in;
	char name[RINGQ_NAME_SIZE];
	pid_t pid;

	(void)state;
	/* All that a name may have in it. */
	snprintf(name, sizeof(name), "a \"b\\ @ringq \xc3\xa4 \xff %d", getpid());
	opts.name = name;
	assert_int_equal(ringq_create(&opts, &ring), 0);
	assert_int_equal(ringq_attach(ring, OUT, &out), 0);
	assert_int_equal(ringq_attach(ring, IN, &in), 0);
	assert_int_equal(run("ls"), 0);
	said("%-24s  memfd   gated              128          24       1+1  ", name);
	/* One that has two members, of which one does not answer, is one. */
	pid = start_and_stop(act_nothing);
	assert_int_equal(run("ls"), 0);
	said("%-24s  memfd   gated              128          24       1+1  ", name);
	assert_null(strstr(strstr(output, name) + 1, name));
	end(pid);
	assert_int_equal(run("ls --json"), 0);
	said("{ \"name\": \"a \\u0022b\\u005c @ringq \xc3\xa4 \\u00ff %d\", \"memory\": \"memfd\"",
	     getpid());
	said("\"producers\": 1, \"consumers\": 1, ");
	said("\"mode\": \"0640\"");
	assert_int_equal(run("stat 'a \"b\\ @ringq \xc3\xa4 \xff %d' --over=0", getpid()), 0);
	said("consumer 0    live ");
	ringq_detach(&out);
	ringq_detach(&in);
	ringq_leave(ring);
	ring = NULL;
	assert_int_equal(run("ls"), 0);
	not_said(name);
}

/* All members of a ring with a name are stopped: nobody answers who looks for it. */
static void test_stopped(void **state)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_MEMFD, .elem_size = 8, .capacity = 14,
	};
	char name[RINGQ_NAME_SIZE];
	struct ringq *mine;
	pid_t pid;

	(void)state;
	snprintf(name, sizeof(name), "stopped-%d", getpid());
	opts.name = name;
	quiet();
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		must(ringq_create(&opts, &mine) == 0);
		act_hold(mine);
		raise(SIGSTOP);
		_exit(1);
	}
	must_stop(pid);
	assert_int_equal(run("repair %s", name), 0);
	said("held: consumer 0, process %d (tools): 2 from 1 on, and it is stopped\n", pid);
	end(pid);
	assert_int_equal(run("repair %s", name), 1);
	said("there is no ring of this name");
}

/* What is for programs can be read by them. */
static void test_json(void **state)
{
	static const char check[] = "| python3 -c 'import json, sys; json.load(sys.stdin)'";
	pid_t pid;

	(void)state;
	make(RINGQ_LANES, 0, 2);
	assert_int_equal(run("stat --file=%s --over=0 --json %s", path, check), 0);
	pid = start_and_stop(act_hold);
	assert_int_equal(run("stat --file=%s --over=0 --json %s", path, check), 0);
	assert_int_equal(run("ls --json %s", check), 0);
	assert_int_equal(run("info --json %s", check), 0);
	end(pid);
}

static void test_misuse(void **state)
{
	static const struct {
		const char *line;
		int status;
		const char *text;
	} cases[] = {
		{ "stat", 2, "one ring is wanted" },
		{ "stat one two", 2, "Usage" },
		{ "stat one --file=two", 2, "one ring is wanted" },
		{ "stat a/b", 2, "cannot be a name" },
		{ "stat ''", 2, "cannot be a name" },
		{ "stat --over=x one", 2, "--over wants" },
		{ "stat --over=-1 one", 2, "--over wants" },
		{ "stat --over=nan one", 2, "--over wants" },
		{ "stat --over=1e9 one", 2, "--over wants" },
		{ "stat --nothing one", 2, "unrecognized" },
		{ "stat no-ring-of-this-name", 1, "there is no ring of this name" },
		{ "stat --file=/nonexistent/file", 1, "no such file" },
		{ "stat --file=/", 1, "/: " },
		{ "stat --file=/dev/null", 1, "this is no ring" },
		{ "repair", 2, "one ring is wanted" },
		{ "repair one two", 2, "Usage" },
		{ "repair a/b", 2, "cannot be a name" },
		{ "repair --over=1 one", 2, "unrecognized" },
		{ "repair no-ring-of-this-name", 1, "there is no ring of this name" },
		{ "repair --file=/nonexistent/file", 1, "no such file" },
		{ "ls one", 2, "Usage" },
		{ "ls --nothing", 2, "unrecognized" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (run("%s", cases[i].line) != cases[i].status)
			fail_msg("%s: not status %d:\n%s", cases[i].line, cases[i].status, output);
		said("%s", cases[i].text);
	}
	/* An empty file, and one of something else. */
	assert_int_equal(run("stat --file=%s", path), 1);
	said("there is no ring in it");
	assert_int_equal(ftruncate(file, 1 << 20), 0);
	assert_int_equal(run("stat --file=%s", path), 1);
	said("this is no ring");
}

static void find_program(void)
{
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 16);
	char *slash;

	must(n > 0);
	program[n] = '\0';
	/* build/unit/tools: build/ringq */
	slash = strrchr(program, '/');
	must(slash);
	strcpy(slash, "/../ringq");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_holder, setup, teardown_file),
		cmocka_unit_test_setup_teardown(test_drop, setup, teardown_file),
		cmocka_unit_test_setup_teardown(test_blocked, setup, teardown_file),
		cmocka_unit_test_setup_teardown(test_locked, setup, teardown_file),
		cmocka_unit_test_setup_teardown(test_watch, setup, teardown_file),
		cmocka_unit_test_teardown(test_ls, teardown),
		cmocka_unit_test_teardown(test_stopped, teardown),
		cmocka_unit_test_setup_teardown(test_json, setup, teardown_file),
		cmocka_unit_test_setup_teardown(test_misuse, setup, teardown_file),
	};

	alarm(LIMIT);
	find_program();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
