// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* ringq: one program, a command a file. */
#include "tool.h"

#include <argp.h>
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define VERSION_TEXT(major, minor)	"ringq " #major "." #minor
#define VERSION_OF(major, minor)	VERSION_TEXT(major, minor)

const char *argp_program_version = VERSION_OF(RINGQ_VERSION_MAJOR, RINGQ_VERSION_MINOR);

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "send", cmd_send },
	{ "recv", cmd_recv },
	{ "job", cmd_job },
	{ "demo", cmd_demo },
	{ "ls", cmd_ls },
	{ "stat", cmd_stat },
	{ "repair", cmd_repair },
	{ "info", cmd_info },
	{ "bench", cmd_bench },
};

static const char doc[] =
	"A pipe that you can mmap: messages between processes through memory that both have "
	"mapped.\n"
	"\n"
	"  send    send a file, or standard input, into a ring\n"
	"  recv    receive it\n"
	"  job     move a file through a ring, with and without kills, and check it\n"
	"  demo    see in seconds what a ring does\n"
	"  ls      which rings there are\n"
	"  stat    who is attached to a ring, how far, and what each holds\n"
	"  repair  put in order what dead processes left in a ring, now\n"
	"  info    what this machine offers, and what to do about it\n"
	"  bench   how fast rings are here\n"
	"\n"
	"`ringq COMMAND --help' tells more."
	"\v"
	"Exit status of every command:\n"
	"  0   done\n"
	"  1   failed; the reason is on standard error\n"
	"  2   wrong usage: an unknown option, a name that cannot be one\n"
	"A command that a signal ends cleans up, and then dies of the signal.";

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case ARGP_KEY_ARG:
		/* What follows is the command's. */
		state->next--;
		*(int *)state->input = state->next;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
	}
	(void)arg;
	return ARGP_ERR_UNKNOWN;
}

int main(int argc, char **argv)
{
	static const struct argp argp = { .parser = parse, .args_doc = "COMMAND [ARG...]",
					  .doc = doc };
	char *name;
	int at = 0, r;

	argp_err_exit_status = TOOL_USAGE;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &at);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, argv[at]))
			continue;
		if (asprintf(&name, "ringq %s", commands[i].name) < 0)
			err(TOOL_FAILED, NULL);
		argv[at] = name;
		program_invocation_name = name;
		program_invocation_short_name = name;
		r = commands[i].run(argc - at, argv + at);
		if (tool_signal)
			tool_die_of_signal();
		return r;
	}
	warnx("there is no command '%s' (see `ringq --help')", argv[at]);
	return TOOL_USAGE;
}
