// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* What the commands of ringq share. */
#include "tool.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

volatile sig_atomic_t tool_signal;

static void tool_on_signal(int sig)
{
	if (sig != SIGALRM)
		tool_signal = sig;
	alarm(1);
}

void tool_catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = tool_on_signal }, old;

	sigaction(SIGALRM, &action, NULL);
	action.sa_flags = SA_RESETHAND;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		/* What nohup(1), or a shell in the background, has had ignored stays so. */
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
}

void tool_die_of_signal(void)
{
	signal(tool_signal, SIG_DFL);
	raise(tool_signal);
}

int64_t tool_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * TOOL_SECOND + ts.tv_nsec;
}

int tool_memory(const char *name)
{
	for (int memory = RINGQ_AUTO; memory <= RINGQ_MEMFD; memory++) {
		if (!strcmp(name, ringq_memory_name(memory)))
			return memory;
	}
	return -1;
}

uint32_t tool_parse_memory(const char *arg, struct argp_state *state)
{
	int memory = tool_memory(arg);

	if (memory < 0)
		argp_error(state, "--memory wants auto, device or memfd: '%s'", arg);
	return memory;
}

error_t tool_parse_json(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'j':
		*(bool *)state->input = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_usage(state);
	}
	(void)arg;
	return ARGP_ERR_UNKNOWN;
}

const char *tool_bytes(char text[TOOL_FIGURE], double bytes)
{
	static const char *const units[] = { "kB", "MB", "GB", "TB", "PB" };
	size_t i = 0;

	if (bytes < 1000) {
		snprintf(text, TOOL_FIGURE, "%.0f byte%s", bytes, bytes == 1 ? "" : "s");
		return text;
	}
	for (bytes /= 1000; bytes >= 999.95 && i < sizeof(units) / sizeof(units[0]) - 1; i++)
		bytes /= 1000;
	snprintf(text, TOOL_FIGURE, "%.1f %s", bytes, units[i]);
	return text;
}

const char *tool_page(uint32_t shift)
{
	return shift >= 30 ? "1 GiB" : shift >= 21 ? "2 MiB" : "4 KiB";
}

/* Bytes of the UTF-8 character that begins here; 0: none does. */
static size_t utf8_length(const unsigned char *text)
{
	size_t n = *text < 0x80 ? 1 : *text < 0xc2 ? 0 : *text < 0xe0 ? 2 : *text < 0xf0 ? 3 :
		   *text < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < n; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	return n;
}

void tool_json_string(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t n;

	putchar('"');
	while (*at) {
		n = utf8_length(at);
		if (!n || *at == '"' || *at == '\\' || *at < ' ') {
			printf("\\u%04x", *at);
			n = 1;
		} else {
			fwrite(at, 1, n, stdout);
		}
		at += n;
	}
	putchar('"');
}
