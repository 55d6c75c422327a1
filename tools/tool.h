/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the commands of ringq share: their entries, the end by a signal, the clock, and
 * figures as people read them. Messages go out by warnx(3) and argp(3), which main() has
 * told the name "ringq COMMAND".
 */
#ifndef RINGQ_TOOL_H
#define RINGQ_TOOL_H

#include <argp.h>
#include <ringq.h>
#include <signal.h>
#include <stdint.h>

/* What every command returns, and so the program's exit status. */
enum tool_status {
	TOOL_OK = 0,
	TOOL_FAILED = 1,
	TOOL_USAGE = 2,
};

/* argv[0] is "ringq COMMAND". */
int cmd_send(int argc, char **argv);
int cmd_recv(int argc, char **argv);
int cmd_job(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_repair(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_bench(int argc, char **argv);

/* The signal that asked this process to end, or 0. */
extern volatile sig_atomic_t tool_signal;

/*
 * From now on SIGINT, SIGTERM and SIGHUP set tool_signal and let calls that wait return
 * EINTR. They do so again every second, so that it does not matter if the first comes
 * between a look at tool_signal and the call; the same signal again ends the process at once.
 */
void tool_catch_signals(void);

/* Ends the process as the signal would have, so that whoever started it can tell. */
void tool_die_of_signal(void);

/* Nanoseconds of the monotonic clock. */
int64_t tool_now(void);

#define TOOL_SECOND	INT64_C(1000000000)

/* enum ringq_memory; -1 if there is no such memory between processes. */
int tool_memory(const char *name);

/* The same for the argument of an option, exiting if it is wrong. */
uint32_t tool_parse_memory(const char *arg, struct argp_state *state);

/* The parser of a command whose one option is --json: the input is a bool. */
error_t tool_parse_json(int key, char *arg, struct argp_state *state);

#define TOOL_FIGURE	24

/* "33.3 MB", in powers of ten. */
const char *tool_bytes(char text[TOOL_FIGURE], double bytes);

/* To standard output, in quotes, as JSON wants it, whatever bytes the text is of. */
void tool_json_string(const char *text);

/* "4 KiB", "2 MiB" or "1 GiB" pages. */
const char *tool_page(uint32_t shift);

#endif /* RINGQ_TOOL_H */
