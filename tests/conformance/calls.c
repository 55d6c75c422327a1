// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The calls that have no type, as one set for rings of elements and rings of records, so that
 * one body serves both: what is sent as an element of the largest size arrives as a record of
 * some size from 8 bytes on, which follows from its number, as everything else does.
 */
#include "conformance.h"

#include <stdlib.h>

size_t conf_size(uint64_t seq, size_t most)
{
	return most <= 8 ? most : 8 + (seq * UINT64_C(0x9e3779b97f4a7c15) >> 32) % (most - 7);
}

size_t conf_size_of(const void *msg, size_t most)
{
	return conf.discipline->flags & RINGQ_RECORDS ? conf_size(conf_seq_of(msg), most) : most;
}

static const void *element_at(const struct ringq_port *p, uint64_t i)
{
	return ringq_at(p, i);
}

static const struct conf_ops elements = {
	.most = UINT64_MAX,
	.attach = ringq_attach,
	.send = ringq_send,
	.send_many = ringq_send_many,
	.reserve = ringq_reserve,
	.room = ringq_at,
	.commit = ringq_commit,
	.recv = ringq_recv,
	.recv_many = ringq_recv_many,
	.peek = ringq_peek,
	.at = element_at,
	.release = ringq_release,
};

static int record_send(struct ringq_port *p, const void *msg, int64_t timeout)
{
	return ringq_send_record(p, msg, conf_size_of(msg, p->elem_size), timeout);
}

/* An array of the largest size as so many places for records. */
static struct iovec *places_of(const struct ringq_port *p, const void *msgs, uint64_t n)
{
	struct iovec *places = calloc(n ? n : 1, sizeof(*places));
	uint64_t i;

	CHECK(places, "no memory");
	for (i = 0; i < n; i++)
		places[i] = (struct iovec){ (char *)msgs + i * p->elem_size, p->elem_size };
	return places;
}

static int64_t record_send_many(struct ringq_port *p, const void *msgs, uint64_t n,
				int64_t timeout)
{
	struct iovec *places = places_of(p, msgs, n);
	uint64_t i;
	int64_t r;

	for (i = 0; i < n; i++)
		places[i].iov_len = conf_size_of(places[i].iov_base, p->elem_size);
	r = ringq_send_records(p, places, n, timeout);
	free(places);
	return r;
}

/* Where the ports of this thread have reserved. */
static __thread struct {
	const struct ringq_port *port;
	void *place;
} reserved[8];

static unsigned int reserved_by(const struct ringq_port *p)
{
	unsigned int i = 0;

	while (i < COUNT(reserved) && reserved[i].port != p)
		i++;
	return i;
}

static int record_reserve(struct ringq_port *p, uint64_t n, int64_t timeout)
{
	static __thread unsigned int next;
	unsigned int i = reserved_by(p);
	void *place;
	int r;

	if (n != 1)
		return -EINVAL;
	r = ringq_reserve_record(p, p->elem_size, &place, timeout);
	if (r < 0)
		return r;
	if (i == COUNT(reserved))
		i = next++ % COUNT(reserved);
	reserved[i].port = p;
	reserved[i].place = place;
	return 0;
}

static void *record_room(const struct ringq_port *p, uint64_t i)
{
	(void)i;
	return reserved[reserved_by(p)].place;
}

static int record_commit(struct ringq_port *p, uint64_t n)
{
	if (n != 1)
		return ringq_commit(p, n);
	return ringq_commit_record(p, conf_size_of(record_room(p, 0), p->elem_size));
}

static void check_size(const struct ringq_port *p, const void *msg, size_t size)
{
	EXPECT(size, conf_size(conf_seq_of(msg), p->elem_size));
}

static int record_recv(struct ringq_port *p, void *msg, int64_t timeout)
{
	uint32_t size = 0;
	int r = ringq_recv_record(p, msg, p->elem_size, &size, timeout);

	if (r == 1)
		check_size(p, msg, size);
	return r;
}

static int64_t record_recv_many(struct ringq_port *p, void *msgs, uint64_t n, int64_t timeout)
{
	struct iovec *places = places_of(p, msgs, n);
	int64_t r = ringq_recv_records(p, places, n, timeout), i;

	for (i = 0; i < r; i++)
		check_size(p, places[i].iov_base, places[i].iov_len);
	free(places);
	return r;
}

static const void *record_at(const struct ringq_port *p, uint64_t i)
{
	const void *msg = NULL;
	uint64_t cursor = 0, n;
	uint32_t size = 0;

	for (n = 0; n <= i; n++)
		msg = ringq_record(p, &cursor, &size);
	CHECK(msg, "record %llu is not there", (unsigned long long)i);
	check_size(p, msg, size);
	return msg;
}

static const struct conf_ops records = {
	.most = 1,
	.attach = ringq_attach,
	.send = record_send,
	.send_many = record_send_many,
	.reserve = record_reserve,
	.room = record_room,
	.commit = record_commit,
	.recv = record_recv,
	.recv_many = record_recv_many,
	.peek = ringq_peek,
	.at = record_at,
	.release = ringq_release,
};

static const struct conf_ops *calls(void)
{
	return conf.discipline->flags & RINGQ_RECORDS ? &records : &elements;
}

struct conf_ops conf_ops(size_t size, bool typed)
{
	const struct conf_ops *t = conf_typed(size);
	struct conf_ops ops = *calls();

	CHECK(t || !typed || conf.discipline->flags & RINGQ_RECORDS,
	      "there is no typed ring of %zu bytes", size);
	if (typed && t)
		return *t;
	ops.size = size;
	return ops;
}

int conf_send(struct ringq_port *p, const void *msg, int64_t timeout)
{
	return calls()->send(p, msg, timeout);
}

int64_t conf_send_many(struct ringq_port *p, const void *msgs, uint64_t n, int64_t timeout)
{
	return calls()->send_many(p, msgs, n, timeout);
}

int conf_reserve(struct ringq_port *p, uint64_t n, int64_t timeout)
{
	return calls()->reserve(p, n, timeout);
}

void *conf_room(const struct ringq_port *p, uint64_t i)
{
	return calls()->room(p, i);
}

int conf_commit(struct ringq_port *p, uint64_t n)
{
	return calls()->commit(p, n);
}

int conf_recv(struct ringq_port *p, void *msg, int64_t timeout)
{
	return calls()->recv(p, msg, timeout);
}

int64_t conf_recv_many(struct ringq_port *p, void *msgs, uint64_t n, int64_t timeout)
{
	return calls()->recv_many(p, msgs, n, timeout);
}

const void *conf_msg(const struct ringq_port *p, uint64_t i)
{
	return calls()->at(p, i);
}
