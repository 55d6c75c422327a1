// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Records of a LOSSY ring: whatever is received is whole and in order, and what is received and
 * what is lost together is what was sent, to the record: with consumers of any pace, beginning
 * anywhere, and over the deaths of producers.
 */
#include "records.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#define MS INT64_C(1000000)

static const uint64_t firsts[] = { 0, (UINT64_C(1) << 32) - 256, RINGQ_FIRST_MAX - 8 };

static const struct ringq_opts rings[] = {
	{ .elem_size = 32, .capacity = 128 },
	{ .elem_size = 1, .capacity = 128 },
	{ .elem_size = 224, .capacity = 512 },
	{ .elem_size = 2016, .capacity = 4096 },
	{ .elem_size = 60, .capacity = 4096 },
};

static struct ringq_opts lossy(const struct ringq_opts *opts)
{
	struct ringq_opts o = *opts;

	o.discipline = RINGQ_LOSSY;
	o.flags |= RINGQ_PRODUCER_WAIT;
	return o;
}

/* A record is known by its number. */
static uint32_t size_of(uint64_t number, uint32_t largest)
{
	uint64_t x = number * UINT64_C(0x9e3779b97f4a7c15) >> 32;

	return x % 5 ? x / 5 % (largest < 40 ? largest + 1 : 40) : x / 5 % (largest + 1);
}

static void send_number(struct ringq_port *out, uint64_t number)
{
	uint32_t size = size_of(number, out->elem_size), most;
	unsigned char data[2048];
	struct iovec one = { data, size };
	void *place;

	fill(data, size, number);
	switch (number % 4) {
	case 0:
		assert_int_equal(ringq_send_records(out, &one, 1, RINGQ_FOREVER), 1);
		break;
	case 1:
		/* Given up, which nobody may see; then of more room than it needs. */
		assert_int_equal(ringq_reserve_record(out, out->elem_size, &place, 0), 0);
		fill(place, out->elem_size, number + 1);
		ringq_abort(out);
		most = size + (out->elem_size - size) / 2;
		assert_int_equal(ringq_reserve_record(out, most, &place, RINGQ_FOREVER), 0);
		fill(place, most, number + 2);
		memcpy(place, data, size);
		assert_int_equal(ringq_commit_record(out, size), 0);
		break;
	default:
		assert_int_equal(ringq_send_record(out, data, size, RINGQ_FOREVER), 1);
	}
}

struct reader {
	struct ringq_port port;
	uint64_t begin;		/* the number that it was to see first */
	uint64_t got;
	uint64_t lost;
	uint64_t overruns;
};

static uint64_t next_number(const struct reader *r)
{
	return r->begin + r->got + r->lost;
}

static void open_reader(struct reader *r, struct row *row, uint64_t begin)
{
	memset(r, 0, sizeof(*r));
	r->begin = begin;
	assert_int_equal(ringq_attach(row->ring, RINGQ_CONSUMER, &r->port), 0);
}

static void check_record(struct reader *r, const void *data, uint32_t size)
{
	assert_int_equal(size, size_of(next_number(r), r->port.elem_size));
	check_content(data, size, next_number(r));
	r->got++;
}

/* Overrun: that is something lost, and said once. */
static void overrun(struct reader *r)
{
	uint64_t lost = ringq_lost(&r->port);

	assert_true(lost > r->lost);
	assert_int_equal(ringq_lost_last(&r->port), lost - r->lost);
	assert_int_equal(ringq_len(&r->port), ringq_lag(&r->port));
	r->lost = lost;
	r->overruns++;
}

/* One call, of one of the kinds; the ring has what was sent up to now. */
static void read_some(struct reader *r, uint64_t sent, uint64_t choice)
{
	unsigned char data[3][2048];
	struct iovec records[3];
	uint64_t cursor = 0, i;
	const void *there;
	uint32_t size = 0;
	int64_t n;

	switch (choice % 3) {
	case 0:
		n = ringq_recv_record(&r->port, data, sizeof(data), &size, RINGQ_NOWAIT);
		if (n > 0)
			check_record(r, data, size);
		break;
	case 1:
		for (i = 0; i < COUNT(records); i++) {
			records[i].iov_base = data[i];
			records[i].iov_len = sizeof(data[i]);
		}
		n = ringq_recv_records(&r->port, records, COUNT(records), RINGQ_NOWAIT);
		for (i = 0; (int64_t)i < n; i++)
			check_record(r, data[i], records[i].iov_len);
		break;
	default:
		n = ringq_peek(&r->port, 1 + choice / 3 % 5, RINGQ_NOWAIT);
		for (i = 0; n > 0 && (there = ringq_record(&r->port, &cursor, &size)); i++)
			assert_int_equal(same(there, size, next_number(r) + i), size);
		if (n > 0) {
			assert_int_equal(i, n);
			n = choice / 15 % (n + 1);
			assert_int_equal(ringq_release(&r->port, n), 0);
			r->got += n;
			n = 1;
		}
	}
	if (n == -EOVERFLOW)
		overrun(r);
	else if (next_number(r) == sent && n <= 0)
		assert_int_equal(n, -EAGAIN);
	else
		assert_true(n > 0);
	assert_int_equal(ringq_lost(&r->port), r->lost);
	assert_int_equal(ringq_lag(&r->port), sent - next_number(r));
	assert_true(ringq_len(&r->port) <= ringq_lag(&r->port));
}

static void read_all(struct reader *r, uint64_t sent)
{
	int choice;

	for (choice = 0; next_number(r) < sent; choice++)
		read_some(r, sent, choice);
	assert_int_equal(next_number(r), sent);
}

/* A fast one, a slow one, and a producer that changes. */
static void any_pace(void **state)
{
	uint64_t random, sent;
	struct reader fast, slow;
	struct ringq_opts opts;
	struct ringq_port out;
	struct row row;
	unsigned int i;
	int n;

	(void)state;
	for (i = 0; i < COUNT(rings) * COUNT(firsts); i++) {
		opts = lossy(&rings[i / COUNT(firsts)]);
		opts.first = firsts[i % COUNT(firsts)];
		open_row(&row, &opts);
		assert_int_equal(ringq_attach(row.ring, RINGQ_PRODUCER, &out), 0);
		open_reader(&fast, &row, 0);
		open_reader(&slow, &row, 0);
		random = 88172645463325252ull + i;
		for (n = 0, sent = 0; n < 3000; n++) {
			send_number(&out, sent++);
			if (next_random(&random) % 2)
				read_some(&fast, sent, next_random(&random) >> 8);
			if (next_random(&random) % 20 == 0)
				read_some(&slow, sent, next_random(&random) >> 8);
			if (n % 100 == 99) {
				ringq_detach(&out);
				assert_int_equal(ringq_attach(row.ring, RINGQ_PRODUCER, &out), 0);
			}
		}
		read_all(&fast, sent);
		read_all(&slow, sent);
		assert_true(slow.overruns > 0);
		assert_true(fast.got > slow.got);
		ringq_detach(&out);
		ringq_detach(&fast.port);
		ringq_detach(&slow.port);
		close_row(&row);
	}
}

static void open_oldest(struct reader *r, struct row *row, uint64_t begin)
{
	const struct ringq_attach_opts oldest = { .size = sizeof(oldest), .flags = RINGQ_OLDEST };

	memset(r, 0, sizeof(*r));
	r->begin = begin;
	assert_int_equal(ringq_attach_with(row->ring, RINGQ_CONSUMER, &oldest, &r->port), 0);
}

/* How many records there are, for who begins with the oldest. */
static uint64_t count(struct row *row)
{
	unsigned char data[2048];
	struct reader r;
	uint64_t n = 0;
	uint32_t size;

	open_oldest(&r, row, 0);
	while (ringq_recv_record(&r.port, data, sizeof(data), &size, RINGQ_NOWAIT) == 1)
		n++;
	assert_int_equal(ringq_lost(&r.port), 0);
	ringq_detach(&r.port);
	return n;
}

/* From the next, or from the oldest, of which there is most of the row. */
static void begins(void **state)
{
	struct reader now, old, early;
	struct ringq_opts opts;
	struct ringq_port out;
	struct row row;
	uint64_t sent, kept;
	unsigned int i;

	(void)state;
	for (i = 0; i < COUNT(rings); i++) {
		opts = lossy(&rings[i]);
		opts.first = firsts[i % COUNT(firsts)];
		open_row(&row, &opts);
		/* Before there was a producer. */
		open_oldest(&early, &row, 0);
		assert_int_equal(ringq_attach(row.ring, RINGQ_PRODUCER, &out), 0);
		assert_int_equal(ringq_position(&out), opts.first);
		for (sent = 0; sent < 1000; ) {
			open_reader(&now, &row, sent);
			open_oldest(&old, &row, sent - count(&row));
			kept = ringq_position(&out) - ringq_position(&old.port);
			if (sent > 500)
				assert_true(kept + 2 * (row.largest + 24) >= row.capacity / 8 * 7);
			read_all(&old, sent);
			send_number(&out, sent++);
			read_all(&old, sent);
			read_all(&now, sent);
			assert_int_equal(now.got, 1);
			assert_int_equal(old.overruns, 0);
			ringq_detach(&now.port);
			ringq_detach(&old.port);
		}
		read_all(&early, sent);
		assert_int_equal(early.overruns, 1);
		ringq_detach(&early.port);
		ringq_detach(&out);
		close_row(&row);
	}
}

/* What is looked at in place is overwritten meanwhile: the release says so, nothing else. */
static void overwritten_in_hand(void **state)
{
	struct ringq_opts opts = lossy(&(struct ringq_opts){ .elem_size = 100, .capacity = 4096 });
	struct ringq_port out;
	uint64_t sent, cursor;
	struct reader r;
	struct row row;
	uint32_t size;
	int round;

	(void)state;
	open_row(&row, &opts);
	assert_int_equal(ringq_attach(row.ring, RINGQ_PRODUCER, &out), 0);
	open_reader(&r, &row, 0);
	for (sent = 0; sent < 10; sent++)
		send_number(&out, sent);
	for (round = 0; round < 50; round++) {
		assert_int_equal(ringq_peek(&r.port, 3, RINGQ_NOWAIT), 3);
		assert_int_equal(ringq_recv_record(&r.port, NULL, 0, &size, 0), -EBUSY);
		assert_int_equal(ringq_intact(&r.port), 1);
		if (round % 3 == 0) {
			assert_int_equal(ringq_release(&r.port, 2), 0);
			r.got += 2;
			send_number(&out, sent++);
			send_number(&out, sent++);
			continue;
		}
		for (; ringq_position(&out) < ringq_position(&r.port) + 2 * row.capacity; sent++)
			send_number(&out, sent);
		assert_int_equal(ringq_intact(&r.port), -EOVERFLOW);
		/* No nonsense leads out of the ring. */
		for (cursor = 0; ringq_record(&r.port, &cursor, &size); )
			assert_true(size <= 100);
		if (round % 3 == 1) {
			assert_int_equal(ringq_release(&r.port, 0), 0);
			assert_int_equal(ringq_recv_record(&r.port, NULL, 0, &size, 0), -EOVERFLOW);
		} else {
			assert_int_equal(ringq_release(&r.port, 1), -EOVERFLOW);
		}
		overrun(&r);
		assert_int_equal(ringq_release(&r.port, 1), -EINVAL);
		assert_int_equal(ringq_intact(&r.port), -EINVAL);
		read_some(&r, sent, 0);
		assert_int_equal(ringq_lost(&r.port), r.lost);
		read_all(&r, sent);
		for (cursor = sent + 10; sent < cursor; sent++)
			send_number(&out, sent);
	}
	read_all(&r, sent);
	ringq_detach(&out);
	ringq_detach(&r.port);
	close_row(&row);
}

/* The room for what is received, the end, and what there is not. */
static void edges(void **state)
{
	struct ringq_opts opts = lossy(&(struct ringq_opts){ .elem_size = 32, .capacity = 128 });
	struct ringq_port out, in;
	struct iovec one;
	struct row row;
	uint32_t size;
	char data[32];
	void *place;
	int i;

	(void)state;
	open_row(&row, &opts);
	attach(&row, &out, &in);
	assert_int_equal(ringq_recv_record(&in, data, 32, &size, MS), -ETIMEDOUT);
	assert_int_equal(ringq_send_record(&out, data, 33, 0), -EMSGSIZE);
	assert_int_equal(ringq_drain(&out, RINGQ_FOREVER), -EOPNOTSUPP);
	assert_int_equal(ringq_send_record(&in, data, 1, 0), -EOPNOTSUPP);
	assert_int_equal(ringq_recv_record(&out, data, 32, &size, 0), -EOPNOTSUPP);
	assert_int_equal(ringq_send(&out, data, 0), -EOPNOTSUPP);
	assert_int_equal(ringq_recv(&in, data, 0), -EOPNOTSUPP);
	assert_int_equal(ringq_peek(&in, 0, 0), -EINVAL);
	assert_int_equal(ringq_commit_record(&out, 0), -EINVAL);
	assert_int_equal(ringq_reserve_record(&out, 5, &place, 0), 0);
	assert_int_equal(ringq_send_record(&out, data, 1, 0), -EBUSY);
	assert_int_equal(ringq_commit_record(&out, 6), -EINVAL);
	memcpy(place, "abcde", 5);
	assert_int_equal(ringq_commit(&out, 1), 0);
	assert_int_equal(ringq_recv_record(&in, data, 4, &size, 0), -EMSGSIZE);
	assert_int_equal(size, 5);
	one.iov_base = data;
	one.iov_len = 4;
	assert_int_equal(ringq_recv_records(&in, &one, 1, 0), -EMSGSIZE);
	assert_int_equal(one.iov_len, 5);
	assert_int_equal(ringq_recv_records(&in, &one, 0, 0), -EINVAL);
	assert_int_equal(ringq_recv_records(&in, &one, 1, 0), 1);
	assert_memory_equal(data, "abcde", 5);
	/* Which does not fit is overwritten as any other. */
	assert_int_equal(ringq_send_record(&out, "abcde", 5, 0), 1);
	for (i = 0; i < 9; i++)
		assert_int_equal(ringq_send_record(&out, "xyz", 3, 0), 1);
	assert_int_equal(ringq_recv_record(&in, data, 1, &size, 0), -EOVERFLOW);
	assert_int_equal(ringq_close(&in), 0);
	assert_int_equal(ringq_send_record(&out, "xyz", 3, 0), -EPIPE);
	assert_int_equal(ringq_reserve_record(&out, 1, &place, 0), -EPIPE);
	for (i = 0; ringq_recv_record(&in, data, 32, &size, RINGQ_FOREVER) == 1; i++)
		assert_memory_equal(data, "xyz", 3);
	assert_true(i > 0);
	assert_int_equal(i + ringq_lost(&in), 10);
	assert_int_equal(ringq_peek(&in, 1, RINGQ_FOREVER), 0);
	ringq_detach(&in);
	ringq_detach(&out);
	close_row(&row);
}

/* A consumer has something to do if there is a record, or it was overrun; a producer always. */
static void ready(void **state)
{
	struct ringq_opts opts = lossy(&(struct ringq_opts){ .elem_size = 32, .capacity = 128 });
	uint64_t random = 88172645463325252ull, sent;
	struct ringq_port out;
	struct reader r;
	struct row row;

	(void)state;
	open_row(&row, &opts);
	assert_int_equal(ringq_attach(row.ring, RINGQ_PRODUCER, &out), 0);
	open_reader(&r, &row, 0);
	for (sent = 0; sent < 2000; sent++) {
		assert_int_equal(is_ready(&r.port, 1), next_number(&r) != sent);
		assert_true(is_ready(&out, 1));
		assert_true(is_ready(&out, 128));
		if (next_random(&random) % 6 == 0)
			read_all(&r, sent);
		send_number(&out, sent);
	}
	assert_true(r.overruns > 10);
	ringq_detach(&out);
	ringq_detach(&r.port);
	close_row(&row);
}

struct stream {
	struct row row;
	uint64_t n;
	unsigned int pause;	/* a reader sleeps after so many */
};

static void *read_stream(void *arg)
{
	struct stream *s = arg;
	unsigned char data[2048];
	static __thread struct reader r;
	uint32_t size = 0;
	int n;

	memset(&r, 0, sizeof(r));
	if (ringq_attach(s->row.ring, RINGQ_CONSUMER, &r.port) < 0)
		return "attach";
	__atomic_add_fetch(&s->n, 1, __ATOMIC_SEQ_CST);
	while ((n = ringq_recv_record(&r.port, data, sizeof(data), &size, RINGQ_FOREVER)) != 0) {
		if (n == -EOVERFLOW) {
			r.lost = ringq_lost(&r.port);
			continue;
		}
		r.lost = ringq_lost(&r.port);
		if (n != 1)
			return "receive";
		if (size != size_of(next_number(&r), r.port.elem_size))
			return "size";
		if (same(data, size, next_number(&r)) != size)
			return "content";
		r.got++;
		if (s->pause && r.got % s->pause == 0)
			usleep(100);
	}
	r.lost = ringq_lost(&r.port);
	ringq_detach(&r.port);
	if (next_number(&r) != 100000)
		return "account";
	return r.got ? NULL : "nothing";
}

/* Readers race with a producer that goes as fast as it can. */
static void threads(void **state)
{
	unsigned char data[2048];
	uint32_t size;
	struct ringq_opts opts;
	pthread_t thread[2];
	struct ringq_port out;
	struct stream s[2];
	void *error;
	uint64_t i;
	unsigned int k, t;

	(void)state;
	for (k = 0; k < COUNT(rings); k++) {
		opts = lossy(&rings[k]);
		opts.flags &= ~RINGQ_PRODUCER_WAIT;
		open_row(&s[0].row, &opts);
		s[1].row = s[0].row;
		for (t = 0; t < 2; t++) {
			s[t].n = 0;
			s[t].pause = t ? 300 : 0;
			assert_int_equal(pthread_create(&thread[t], NULL, read_stream, &s[t]), 0);
			while (!__atomic_load_n(&s[t].n, __ATOMIC_SEQ_CST))
				;
		}
		assert_int_equal(ringq_attach(s[0].row.ring, RINGQ_PRODUCER, &out), 0);
		for (i = 0; i < 100000; i++) {
			size = size_of(i, out.elem_size);
			fill(data, size, i);
			assert_int_equal(ringq_send_record(&out, data, size, RINGQ_FOREVER), 1);
		}
		ringq_detach(&out);
		for (t = 0; t < 2; t++) {
			pthread_join(thread[t], &error);
			if (error)
				fail_msg("ring %u, reader %u: %s", k, t, (char *)error);
		}
		close_row(&s[0].row);
	}
}

/* In the tests with kills a record is known by its position. */
static void send_until_killed(int fd, uint64_t *sent)
{
	unsigned char data[128];
	struct ringq_port out;
	struct ringq *ring;
	uint64_t pos;
	void *place;

	if (ringq_join_fd(fd, NULL, &ring) < 0 || ringq_attach(ring, RINGQ_PRODUCER, &out) < 0)
		_exit(1);
	for (;;) {
		pos = ringq_position(&out);
		if (pos / 8 % 2) {
			fill(data, size_of(pos, 100), pos);
			if (ringq_send_record(&out, data, size_of(pos, 100), RINGQ_FOREVER) != 1)
				_exit(2);
		} else {
			if (ringq_reserve_record(&out, 100, &place, RINGQ_FOREVER) < 0)
				_exit(3);
			fill(place, 100, pos);
			if (ringq_commit_record(&out, size_of(pos, 100)) < 0)
				_exit(4);
		}
		__atomic_store_n(sent, *sent + 1, __ATOMIC_RELEASE);
	}
}

/* The numbers go on over deaths of the producer, whatever it was doing. */
static void producers_killed(void **state)
{
	struct ringq_opts opts = lossy(&(struct ringq_opts){ .memory = RINGQ_MEMFD,
						.elem_size = 100, .capacity = 4096 });
	uint64_t *sent = shared(sizeof(*sent)), random = 88172645463325252ull, pos, got = 0, want;
	unsigned char data[128];
	struct ringq_port in;
	struct row row;
	uint32_t size;
	int round, r;
	pid_t pid;

	(void)state;
	open_row(&row, &opts);
	assert_int_equal(ringq_attach(row.ring, RINGQ_CONSUMER, &in), 0);
	for (round = 1; round <= 60; round++) {
		pid = child();
		if (pid == 0)
			send_until_killed(ringq_fd(row.ring), sent);
		want = got + 1 + next_random(&random) % 500;
		for (r = 0; got < want || r != -EAGAIN; ) {
			pos = ringq_position(&in);
			r = ringq_recv_record(&in, data, sizeof(data), &size,
					      got < want ? RINGQ_FOREVER : RINGQ_NOWAIT);
			if (r == 1) {
				assert_int_equal(size, size_of(pos, 100));
				check_content(data, size, pos);
				got++;
			} else {
				assert_true(r == -EOVERFLOW || r == -EAGAIN);
			}
			if (got == want && pid) {
				kill(pid, SIGKILL);
				join_killed(pid);
				pid = 0;
			}
		}
		/* A record may be sent, and its sender killed before it could say so. */
		assert_true(got + ringq_lost(&in) >= *sent);
		assert_true(got + ringq_lost(&in) <= *sent + round);
	}
	assert_true(ringq_lost(&in) > 0);
	ringq_detach(&in);
	close_row(&row);
}

/*
 * Killed after a record was published, and before all of what follows is said: the port's page
 * is put back to that. A consumer that comes begins with the record, a successor goes on behind it.
 */
static void killed_between(void **state)
{
	struct ringq_opts opts = lossy(&(struct ringq_opts){ .elem_size = 60, .capacity = 4096 });
	struct ringq_progress before, *progress;
	struct ringq_port out;
	struct reader early, late;
	struct row row;
	uint64_t sent, k;

	(void)state;
	opts.consumers = 2;
	for (k = 0; k < 3; k++) {
		open_row(&row, &opts);
		assert_int_equal(ringq_attach(row.ring, RINGQ_PRODUCER, &out), 0);
		open_reader(&early, &row, 0);
		for (sent = 0; sent < 600; ) {
			progress = &out.page->progress;
			before = *progress;
			send_number(&out, sent++);
			ringq_detach(&out);
			if (k < 2)
				progress->done = before.done;
			if (k < 1)
				progress->taken = before.taken;
			open_reader(&late, &row, sent - (k < 2));
			assert_int_equal(ringq_attach(row.ring, RINGQ_PRODUCER, &out), 0);
			send_number(&out, sent++);
			read_all(&late, sent);
			assert_int_equal(late.lost, 0);
			assert_int_equal(late.got, k < 2 ? 2 : 1);
			ringq_detach(&late.port);
			if (sent % 400 == 0)
				read_all(&early, sent);
		}
		read_all(&early, sent);
		assert_true(early.lost > 0);
		ringq_detach(&early.port);
		ringq_detach(&out);
		close_row(&row);
	}
}

/* The word that all consumers look at after each record changes a few times a lap. */
static void seldom(void **state)
{
	struct ringq_opts opts = lossy(&(struct ringq_opts){ .elem_size = 60, .capacity = 4096 });
	uint64_t sent, oldest, changes = 0;
	struct ringq_port out;
	struct row row;

	(void)state;
	open_row(&row, &opts);
	assert_int_equal(ringq_attach(row.ring, RINGQ_PRODUCER, &out), 0);
	for (sent = 0; ringq_position(&out) < 100 * 4096; sent++) {
		oldest = out.page->oldest;
		assert_int_equal(ringq_send_record(&out, NULL, 0, 0), 1);
		changes += oldest != out.page->oldest;
	}
	assert_int_equal(sent, 100 * 4096 / 16);
	assert_true(changes < 100 * 9);
	ringq_detach(&out);
	close_row(&row);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_pace),
		cmocka_unit_test(begins),
		cmocka_unit_test(overwritten_in_hand),
		cmocka_unit_test(edges),
		cmocka_unit_test(ready),
		cmocka_unit_test(threads),
		cmocka_unit_test(producers_killed),
		cmocka_unit_test(killed_between),
		cmocka_unit_test(seldom),
	};

	/* A hang is a failure. */
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
