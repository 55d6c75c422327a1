// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Messages that show when they are lost, doubled or torn: every byte of one depends on its
 * sequence number, and its first 8 bytes tell that number.
 */
#include "conformance.h"

#include <string.h>

#define FACTOR	UINT64_C(0x9e3779b97f4a7c15)
#define INVERSE	UINT64_C(0xf1de83e19937733d)	/* FACTOR * INVERSE is 1, in 64 bits */

/* The i-th 8 bytes of a message. The factors are odd, so different numbers differ. */
static uint64_t word_of(uint64_t seq, uint64_t i)
{
	uint64_t x = (seq + 1) * FACTOR + i * UINT64_C(0xbf58476d1ce4e5b9);

	return x ^ x >> 32;
}

uint64_t conf_seq_of(const void *msg)
{
	uint64_t x;

	memcpy(&x, msg, sizeof(x));
	return (x ^ x >> 32) * INVERSE - 1;
}

void conf_fill(void *msg, size_t size, uint64_t seq)
{
	unsigned char *to = msg;
	uint64_t word;
	size_t at, n;

	for (at = 0; at < size; at += n) {
		n = size - at < sizeof(word) ? size - at : sizeof(word);
		word = word_of(seq, at / sizeof(word));
		memcpy(to + at, &word, n);
	}
}

void conf_verify(const void *msg, size_t size, uint64_t seq)
{
	const unsigned char *from = msg;
	uint64_t word;
	size_t at, n;

	for (at = 0; at < size; at += n) {
		n = size - at < sizeof(word) ? size - at : sizeof(word);
		word = word_of(seq, at / sizeof(word));
		CHECK(!memcmp(from + at, &word, n),
		      "message %llu is lost, doubled or torn: wrong at byte %zu of %zu",
		      (unsigned long long)seq, at, size);
	}
	conf_count();
}

void conf_check(const struct ringq_port *port, const void *msg, uint64_t seq)
{
	conf_verify(msg, conf_size_of(msg, port->elem_size), seq);
}

void conf_check_at(const struct ringq_port *port, uint64_t i, uint64_t seq)
{
	conf_check(port, conf_msg(port, i), seq);
}

int conf_send_seq(struct ringq_port *port, uint64_t seq)
{
	unsigned char msg[port->elem_size];

	conf_fill(msg, sizeof(msg), seq);
	return conf_send(port, msg, RINGQ_NOWAIT);
}

int conf_recv_seq(struct ringq_port *port, uint64_t seq)
{
	unsigned char msg[port->elem_size];
	int r = conf_recv(port, msg, RINGQ_NOWAIT);

	if (r == 1)
		conf_check(port, msg, seq);
	return r;
}

void conf_send_range(struct ringq_port *port, uint64_t from, uint64_t to)
{
	for (; from < to; from++)
		EXPECT(conf_send_seq(port, from), 1);
}

void conf_recv_range(struct ringq_port *port, uint64_t from, uint64_t to)
{
	for (; from < to; from++)
		EXPECT(conf_recv_seq(port, from), 1);
}
