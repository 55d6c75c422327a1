// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Messages whose every byte follows from their number, which the first 8 bytes tell.
 */
#include "step.h"

#include <string.h>

#define FACTOR	UINT64_C(0xd1342543de82ef95)	/* odd: different words for different numbers */

static uint64_t word_of(uint64_t number, uint32_t i)
{
	uint64_t x = number;

	if (!i)
		return number;
	x = (x ^ x >> 29) * FACTOR + i;
	return x ^ x >> 32;
}

void message_fill(void *msg, uint32_t size, uint64_t number)
{
	unsigned char *to = msg;
	uint32_t at, n;
	uint64_t word;

	for (at = 0; at < size; at += n) {
		word = word_of(number, at / sizeof(word));
		n = size - at < sizeof(word) ? size - at : sizeof(word);
		memcpy(to + at, &word, n);
	}
}

uint64_t message_number(const void *msg)
{
	uint64_t number;

	memcpy(&number, msg, sizeof(number));
	return number;
}

bool message_is_whole(const void *msg, uint32_t size, uint64_t number)
{
	unsigned char right[STEP_SIZE];

	message_fill(right, size, number);
	return !memcmp(msg, right, size);
}

uint32_t message_size(const struct column *c, uint64_t number)
{
	return c->flags & RINGQ_RECORDS ? 8 + number * 5 % (c->size - 7) : c->size;
}
