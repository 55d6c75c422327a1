// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* What was sent, and what was received: every message by its number and its checksum. */
#include "kills.h"
#include "soak.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct head {
	uint64_t sum;		/* of all that follows, and the size */
	uint32_t life;
	uint32_t number;
};

_Static_assert(sizeof(struct head) == LEAST, "a message is at least its head");

void kills_fail(const struct round *round, const char *format, ...)
{
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* In one call: several may fail at once. */
	dprintf(STDOUT_FILENO, "FAIL - %s: %s\n", round->row->name, text);
	_exit(1);
}

uint32_t message_size(const struct round *round, uint32_t life, uint32_t number)
{
	if (!row_records(round->row))
		return round->size;
	return LEAST + (number * 7 + life) % (round->size - LEAST + 1);
}

static uint64_t message_sum(const struct head *head, const unsigned char *rest, uint32_t size)
{
	/* FNV-1a, of words and then bytes */
	const uint64_t prime = UINT64_C(0x100000001b3);
	uint64_t sum = UINT64_C(0xcbf29ce484222325), word;
	uint32_t n = size - sizeof(*head);

	sum = (sum ^ head->life) * prime;
	sum = (sum ^ head->number) * prime;
	sum = (sum ^ size) * prime;
	for (; n >= sizeof(word); n -= sizeof(word), rest += sizeof(word)) {
		memcpy(&word, rest, sizeof(word));
		sum = (sum ^ word) * prime;
	}
	while (n--)
		sum = (sum ^ *rest++) * prime;
	return sum;
}

void message_write(void *to, uint32_t size, uint32_t life, uint32_t number)
{
	struct head head = { .life = life, .number = number };
	unsigned char *rest = (unsigned char *)to + sizeof(head);
	uint64_t word = (uint64_t)life << 32 | number;
	uint32_t n, i;

	for (i = 0; i < size - sizeof(head); i += n) {
		word = word * UINT64_C(6364136223846793005) + 1442695040888963407;
		n = size - sizeof(head) - i < sizeof(word) ? size - sizeof(head) - i : sizeof(word);
		memcpy(rest + i, &word, n);
	}
	head.sum = message_sum(&head, rest, size);
	memcpy(to, &head, sizeof(head));
}

/* Is it one, whole, that somebody may have sent? */
static struct head message_check(const struct round *round, const void *msg, size_t size)
{
	const struct life *producers = round->ledger->life[RINGQ_PRODUCER];
	struct head head;

	if (size < sizeof(head))
		kills_fail(round, "a message of %zu bytes", size);
	memcpy(&head, msg, sizeof(head));
	if (head.sum != message_sum(&head, (const unsigned char *)msg + sizeof(head), size))
		kills_fail(round, "a message is not what was sent: life %u, number %u, %zu bytes",
			   head.life, head.number, size);
	if (size != message_size(round, head.life, head.number))
		kills_fail(round, "number %u of life %u came with %zu bytes", head.number,
			   head.life, size);
	if (head.life >= LIVES ||
	    head.number >= ringq_load_acquire(&producers[head.life].begun))
		kills_fail(round, "number %u of life %u came, and nobody sent it", head.number,
			   head.life);
	return head;
}

/* Flagged ones are out of order: they come when they can. */
static void check_order(const struct round *round, uint32_t *next, const struct head *head)
{
	if (head->number < next[head->life])
		kills_fail(round, "number %u of life %u came after number %u", head->number,
			   head->life, next[head->life] - 1);
	next[head->life] = head->number + 1;
}

/* What is overwritten may be missed; what comes, comes once and in order, also across lives. */
static void enter_lossy(const struct round *round, const struct head *head, uint32_t *last)
{
	uint32_t life;

	for (life = head->life + 1; life < LIVES; life++)
		if (last[life])
			kills_fail(round, "life %u sent after life %u, and came before it", life,
				   head->life);
	check_order(round, last, head);
}

void ledger_enter(const struct round *round, struct life *reader, uint32_t *last, const void *msg,
		  size_t size, bool flagged)
{
	const struct head head = message_check(round, msg, size);
	uint32_t stream = row_gated(round->row) ? reader->seat : 0;
	struct entry *entry;
	bool again;

	ringq_store_relaxed(&reader->entered, reader->entered + 1);
	if (row_lossy(round->row)) {
		enter_lossy(round, &head, last);
		return;
	}
	entry = &round->ledger->entry[stream][head.life][head.number];
	again = __atomic_load_n(&entry->flagged, __ATOMIC_ACQUIRE);
	if (flagged) {
		__atomic_fetch_add(&entry->flagged, 1, __ATOMIC_ACQ_REL);
		ringq_store_relaxed(&reader->flagged, reader->flagged + 1);
		return;
	}
	if (__atomic_fetch_add(&entry->plain, 1, __ATOMIC_ACQ_REL) || again)
		kills_fail(round, "number %u of life %u came twice, and is not flagged",
			   head.number, head.life);
	check_order(round, last, &head);
	if (row_in_order(round->row))
		check_order(round, round->ledger->next[stream], &head);
}

/* What was sent and not received, and the last of it. */
struct missing {
	uint64_t count;
	uint32_t stream, life, number;
};

static uint64_t judge_life(const struct round *round, uint32_t stream, uint32_t number,
			   struct missing *missing)
{
	const struct life *life = &round->ledger->life[RINGQ_PRODUCER][number];
	uint64_t sent = 0;
	uint32_t i;

	for (i = 0; i < life->begun; i++) {
		const struct entry *entry = &round->ledger->entry[stream][number][i];

		if (entry->plain || entry->flagged)
			sent++;
		else if (i < life->sent)
			*missing = (struct missing){ missing->count + 1, stream, number, i };
	}
	return sent;
}

struct verdict ledger_judge(const struct round *round)
{
	uint32_t streams = row_gated(round->row) ? round->row->seats[RINGQ_CONSUMER] : 1, s, i;
	struct missing missing = { 0 };
	uint64_t cut = 0, hands;
	struct verdict verdict = { 0 };

	for (i = 0; i < LIVES; i++) {
		const struct life *producer = &round->ledger->life[RINGQ_PRODUCER][i];
		const struct life *reader = &round->ledger->life[RINGQ_CONSUMER][i];

		if (producer->begun - producer->sent > BATCH)
			kills_fail(round, "life %u is in doubt about %llu messages", i,
				   (unsigned long long)(producer->begun - producer->sent));
		verdict.doubt += reader->doubt;
		verdict.flagged += reader->flagged;
		cut += reader->cut;
		if (row_lossy(round->row))
			verdict.sent += producer->sent;
		for (s = 0; s < streams && !row_lossy(round->row); s++)
			verdict.sent += judge_life(round, s, i, &missing);
	}
	/*
	 * In hand, or given back after a look: in each of the lanes. Where lanes are shared, also
	 * what was given back by who lives.
	 */
	hands = cut * BATCH;
	if (round->row->discipline == RINGQ_LANES)
		hands *= round->row->seats[RINGQ_PRODUCER];
	verdict.doubt += row_drops(round->row) ? hands : 0;
	if (missing.count > verdict.doubt)
		kills_fail(round, "%llu messages are missing, and the dead can have had %llu; the "
			   "last is number %u of life %u, for reader %u",
			   (unsigned long long)missing.count, (unsigned long long)verdict.doubt,
			   missing.number, missing.life, missing.stream);
	verdict.doubt = missing.count;
	if (round->row->discipline == RINGQ_LANES && round->row->seats[RINGQ_CONSUMER] > 1)
		hands = UINT64_MAX;
	if (verdict.flagged > (row_drops(round->row) ? 0 : hands))
		kills_fail(round, "%llu messages came flagged, and %llu readers were cut off",
			   (unsigned long long)verdict.flagged, (unsigned long long)cut);
	verdict.sent += missing.count;
	return verdict;
}

bool ledger_newest(const struct round *round, uint32_t *life, uint32_t *end)
{
	uint32_t i = LIVES;

	while (i--) {
		*life = i;
		*end = round->ledger->life[RINGQ_PRODUCER][i].sent;
		if (*end)
			return true;
	}
	return false;
}

uint64_t ledger_progress(const struct ledger *ledger)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < LIVES; i++)
		sum += ringq_load_relaxed(&ledger->life[RINGQ_PRODUCER][i].sent) +
		       ringq_load_relaxed(&ledger->life[RINGQ_CONSUMER][i].entered);
	return sum;
}
