// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Who got what. Several producers number their messages each for itself; each consumer notes
 * what it received in a part of the ledger that is its own, so that noting orders nothing;
 * and in the end all of it is added up.
 */
#include "conformance.h"

struct conf_ledger {
	uint32_t producers;
	uint32_t consumers;
	uint64_t most;		/* messages of a producer */
	uint64_t *sent;		/* by producer */
	uint64_t *next;		/* by consumer and producer: above all that it has received */
	unsigned char *got;	/* by consumer, producer and number */
};

#define NUMBER_BITS 40

uint64_t conf_seq(uint32_t producer, uint64_t n)
{
	return (uint64_t)producer << NUMBER_BITS | n;
}

uint32_t conf_producer_of(uint64_t seq)
{
	return seq >> NUMBER_BITS;
}

struct conf_ledger *conf_ledger(uint32_t producers, uint32_t consumers, uint64_t most)
{
	struct conf_ledger *l = conf_shared(sizeof(*l));

	l->producers = producers;
	l->consumers = consumers;
	l->most = most;
	l->sent = conf_shared(producers * sizeof(*l->sent));
	l->next = conf_shared((uint64_t)consumers * producers * sizeof(*l->next));
	l->got = conf_shared(consumers * producers * most);
	return l;
}

void conf_ledger_free(struct conf_ledger *l)
{
	conf_unshare(l->got, l->consumers * l->producers * l->most);
	conf_unshare(l->next, (uint64_t)l->consumers * l->producers * sizeof(*l->next));
	conf_unshare(l->sent, l->producers * sizeof(*l->sent));
	conf_unshare(l, sizeof(*l));
}

void conf_sent(struct conf_ledger *l, uint32_t producer, uint64_t n)
{
	l->sent[producer] += n;
}

static unsigned char *got(const struct conf_ledger *l, uint32_t consumer, uint32_t producer,
			  uint64_t n)
{
	return &l->got[(consumer * l->producers + producer) * l->most + n];
}

/* A consumer that gets all of a producer's messages gets them one after the other. */
static void check_order(const struct conf_reader *reader, uint32_t producer, uint64_t n,
			uint32_t flags)
{
	const struct conf_ledger *l = reader->ledger;
	uint64_t *next = &l->next[reader->consumer * l->producers + producer];
	bool gaps = l->consumers > 1 && conf.discipline->has & CONF_ONCE;

	/* What another had in hand comes when it comes, where others have gone on meanwhile. */
	if (conf.discipline->has & CONF_CLAIMS && gaps && flags & RINGQ_REDELIVERED)
		return;
	CHECK(gaps ? n >= *next : n == *next, "consumer %u got %u:%llu, after all before %llu",
	      reader->consumer, producer, (unsigned long long)n, (unsigned long long)*next);
	*next = n + 1;
}

void conf_received(void *arg, const void *msg, size_t size, uint32_t flags)
{
	const struct conf_reader *reader = arg;
	const struct conf_ledger *l = reader->ledger;
	uint64_t seq = conf_seq_of(msg), n = seq & ((UINT64_C(1) << NUMBER_BITS) - 1);
	uint32_t producer = conf_producer_of(seq);

	CHECK(seq >> NUMBER_BITS < l->producers && n < l->most,
	      "what consumer %u received is nothing that was sent", reader->consumer);
	conf_verify(msg, size, seq);
	CHECK(!*got(l, reader->consumer, producer, n), "consumer %u got %u:%llu twice",
	      reader->consumer, producer, (unsigned long long)n);
	*got(l, reader->consumer, producer, n) = 1;
	check_order(reader, producer, n, flags);
}

/* How often a message was received, of how often it should be. */
static void judge(const struct conf_ledger *l, uint32_t producer, uint64_t n, bool sent)
{
	uint32_t c, times = 0, wanted = !sent ? 0 :
				      conf.discipline->has & CONF_ONCE ? 1 : l->consumers;

	for (c = 0; c < l->consumers; c++)
		times += *got(l, c, producer, n);
	CHECK(times == wanted, "%u:%llu was received %u times, not %u", producer,
	      (unsigned long long)n, times, wanted);
}

void conf_ledger_expect(const struct conf_ledger *l, uint32_t producer, uint64_t n)
{
	uint64_t i;

	for (i = 0; i < l->most; i++)
		judge(l, producer, i, i < n);
}

void conf_ledger_judge(const struct conf_ledger *l)
{
	uint32_t p;

	for (p = 0; p < l->producers; p++)
		conf_ledger_expect(l, p, l->sent[p]);
}
