// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Records of a GATED ring: every reader gets every record from where it began, whole and in
 * order; the slowest is waited for, and nobody else; readers come, leave, and are killed, while
 * the producer runs.
 */
#include "records.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)

static const struct ringq_opts rings[] = {
	{ .elem_size = 32, .capacity = 128 },
	{ .elem_size = 200, .capacity = 512, .first = (UINT64_C(1) << 32) - 256 },
	{ .elem_size = 2016, .capacity = 4096, .first = RINGQ_FIRST_MAX - 8 },
	{ .elem_size = 60, .capacity = 4096, .flags = RINGQ_FENCE },
};

static struct ringq_opts gated(const struct ringq_opts *opts)
{
	struct ringq_opts o = *opts;

	o.discipline = RINGQ_GATED;
	o.consumers = 4;
	return o;
}

/* A record is known by its position. */
static uint32_t size_at(uint64_t pos, uint32_t largest)
{
	uint64_t x = pos * UINT64_C(0x9e3779b97f4a7c15) >> 32;

	return x % 5 ? x / 5 % (largest < 40 ? largest + 1 : 40) : x / 5 % (largest + 1);
}

static int send_next(struct ringq_port *out, int64_t timeout)
{
	uint64_t pos = ringq_position(out);
	uint32_t size = size_at(pos, out->elem_size);
	void *place;
	int r;

	r = ringq_reserve_record(out, pos / 8 % 2 ? size : out->elem_size, &place, timeout);
	if (r < 0)
		return r;
	fill(place, size, pos);
	r = ringq_commit_record(out, size);
	return r < 0 ? r : 1;
}

/* 1, or what the call returned, or -EILSEQ: not what was sent. */
static int recv_next(struct ringq_port *in, int64_t timeout)
{
	uint64_t pos = ringq_position(in), cursor = 0;
	unsigned char data[2048];
	const void *there;
	uint32_t size = 0;
	int r;

	if (pos / 8 % 3) {
		r = ringq_recv_record(in, data, sizeof(data), &size, timeout);
		if (r <= 0)
			return r;
		return size == size_at(pos, in->elem_size) && same(data, size, pos) == size ?
		       1 : -EILSEQ;
	}
	r = ringq_peek(in, 3, timeout);
	if (r <= 0)
		return r;
	there = ringq_record(in, &cursor, &size);
	if (!there || size != size_at(pos, in->elem_size) || same(there, size, pos) != size)
		return -EILSEQ;
	r = ringq_release(in, 1);
	return r < 0 ? r : 1;
}

/* The producer waits for the slowest, and for nobody who has left. */
static void slowest(void **state)
{
	struct ringq_port out, in[3];
	struct ringq_opts opts;
	struct row row;
	unsigned int i, k;
	uint64_t n;

	(void)state;
	for (i = 0; i < COUNT(rings); i++) {
		opts = gated(&rings[i]);
		open_row(&row, &opts);
		assert_int_equal(ringq_attach(row.ring, RINGQ_PRODUCER, &out), 0);
		/* Nobody is there: it runs free. */
		while (ringq_position(&out) < opts.first + 3 * row.capacity)
			assert_int_equal(send_next(&out, 0), 1);
		assert_int_equal(ringq_drain(&out, 0), 0);
		for (k = 0; k < 3; k++)
			assert_int_equal(ringq_attach(row.ring, RINGQ_CONSUMER, &in[k]), 0);
		for (n = 0; n < 300; n++) {
			while (send_next(&out, 0) == 1)
				;
			assert_int_equal(send_next(&out, 0), -EAGAIN);
			assert_true(ringq_is_full(&out));
			while (recv_next(&in[0], 0) == 1)
				;
			assert_int_equal(recv_next(&in[0], 0), -EAGAIN);
			assert_int_equal(ringq_len(&in[0]), 0);
			/* The others have taken nothing yet. */
			assert_int_equal(send_next(&out, 0), -EAGAIN);
			assert_int_equal(recv_next(&in[1], 0), 1);
			assert_int_equal(send_next(&out, 0), -EAGAIN);
			while (recv_next(&in[2], 0) == 1)
				;
			while (recv_next(&in[1], 0) == 1)
				;
			assert_int_equal(ringq_position(&in[1]), ringq_position(&out));
			assert_int_equal(ringq_position(&in[2]), ringq_position(&out));
			assert_int_equal(ringq_len(&out), 0);
		}
		while (send_next(&out, 0) == 1)
			;
		assert_int_equal(ringq_drain(&out, 0), -EAGAIN);
		for (k = 0; k < 3; k++) {
			assert_int_equal(send_next(&out, 0), -EAGAIN);
			ringq_detach(&in[k]);
		}
		assert_int_equal(send_next(&out, 0), 1);
		assert_int_equal(ringq_drain(&out, 0), 0);
		ringq_detach(&out);
		close_row(&row);
	}
}

/* From the next, or from what another has not released; a producer's successor changes nothing. */
static void begins(void **state)
{
	const struct ringq_attach_opts from_oldest = {
		.size = sizeof(from_oldest), .flags = RINGQ_OLDEST,
	};
	struct ringq_port out, slow, in;
	struct ringq_opts opts;
	struct row row;
	uint64_t n, pos;
	unsigned int i;

	(void)state;
	for (i = 0; i < COUNT(rings); i++) {
		opts = gated(&rings[i]);
		opts.flags |= RINGQ_PRODUCER_WAIT;
		open_row(&row, &opts);
		assert_int_equal(ringq_attach_with(row.ring, RINGQ_CONSUMER, &from_oldest, &slow),
				 0);
		assert_int_equal(ringq_attach(row.ring, RINGQ_PRODUCER, &out), 0);
		for (n = 0; n < 500; n++) {
			if (send_next(&out, 0) != 1)
				assert_int_equal(recv_next(&slow, 0), 1);
			if (n % 20 == 5) {
				ringq_detach(&out);
				assert_int_equal(ringq_attach(row.ring, RINGQ_PRODUCER, &out), 0);
			}
			pos = ringq_position(&out);
			assert_int_equal(ringq_attach(row.ring, RINGQ_CONSUMER, &in), 0);
			assert_int_equal(ringq_position(&in), pos);
			assert_int_equal(recv_next(&in, 0), -EAGAIN);
			if (send_next(&out, 0) == 1)
				assert_int_equal(recv_next(&in, 0), 1);
			ringq_detach(&in);
			assert_int_equal(ringq_attach_with(row.ring, RINGQ_CONSUMER, &from_oldest,
							   &in), 0);
			assert_int_equal(ringq_position(&in), ringq_position(&slow));
			while (recv_next(&in, 0) == 1)
				;
			assert_int_equal(ringq_position(&in), ringq_position(&out));
			ringq_detach(&in);
		}
		ringq_detach(&out);
		ringq_detach(&slow);
		close_row(&row);
	}
}

/* A reader that is just arriving has its gate anywhere: nobody begins there. */
static void arriving(void **state)
{
	const struct ringq_attach_opts from_oldest = {
		.size = sizeof(from_oldest), .flags = RINGQ_OLDEST,
	};
	struct ringq_opts opts = gated(&rings[3]);
	struct ringq_port out, other, in;
	struct row row;
	uint64_t claim;
	int i;

	(void)state;
	open_row(&row, &opts);
	attach(&row, &out, &other);
	claim = other.page->claim;
	for (i = 0; i < 9; i++)
		assert_int_equal(send_next(&out, 0), 1);
	assert_int_equal(ringq_attach_with(row.ring, RINGQ_CONSUMER, &from_oldest, &in), 0);
	assert_int_equal(ringq_position(&in), ringq_position(&other));
	ringq_detach(&in);
	other.page->claim = 0;
	other.page->progress.done += 8;
	assert_int_equal(ringq_attach_with(row.ring, RINGQ_CONSUMER, &from_oldest, &in), 0);
	assert_int_equal(ringq_position(&in), ringq_position(&out));
	ringq_detach(&in);
	other.page->claim = claim;
	other.page->progress.done -= 8;
	ringq_detach(&other);
	ringq_detach(&out);
	close_row(&row);
}

/* Who left is not waited for, and not succeeded; who died is, whatever lies before. */
static void kept(void **state)
{
	struct ringq_opts opts = gated(&rings[3]);
	struct ringq_port_page *page, dead;
	struct ringq_attention *attention;
	struct ringq_port out, in;
	struct row row;
	uint64_t first;
	int i;

	(void)state;
	opts.flags |= RINGQ_CONSUMER_WAIT;
	opts.consumers = 1;
	open_row(&row, &opts);
	attach(&row, &out, &in);
	first = ringq_position(&out);
	for (i = 0; i < 9; i++)
		assert_int_equal(send_next(&out, 0), 1);
	for (i = 0; i < 5; i++)
		assert_int_equal(recv_next(&in, 0), 1);
	page = in.page;
	dead = *page;
	ringq_detach(&in);
	assert_int_equal(ringq_attach(row.ring, RINGQ_CONSUMER, &in), 0);
	assert_int_equal(ringq_position(&in), ringq_position(&out));
	ringq_detach(&in);

	/*
	 * As if it had died, and the producer, which has not said yet that it is beyond the first
	 * record, had overwritten that.
	 */
	assert_int_equal(out.page->progress.done, first);
	memset(out.data + first % row.capacity, 0xff, 8);
	attention = (struct ringq_attention *)
		    (out.base + ((struct ringq_header *)out.base)->layout.attention);
	attention->kept[0] |= 1;
	page->claim = dead.claim;
	page->progress = dead.progress;
	assert_int_equal(ringq_attach(row.ring, RINGQ_CONSUMER, &in), 0);
	assert_int_equal(ringq_position(&in), dead.progress.done);
	for (i = 5; i < 9; i++)
		assert_int_equal(recv_next(&in, 0), 1);
	assert_int_equal(recv_next(&in, 0), -EAGAIN);
	ringq_detach(&in);
	ringq_detach(&out);
	close_row(&row);
}

static bool stop;

/* A reader that comes, reads for a while, and leaves, over and over. */
static void *come_and_go(void *arg)
{
	struct row *row = arg;
	struct ringq_port in;
	uint64_t x = (uintptr_t)&in | 1, n;
	int r;

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		if (ringq_attach(row->ring, RINGQ_CONSUMER, &in) < 0)
			return "attach";
		for (n = next_random(&x) % 200; n; n--) {
			r = recv_next(&in, n % 8 ? RINGQ_NOWAIT : MS);
			if (r == 0)
				break;
			if (r < 0 && r != -EAGAIN && r != -ETIMEDOUT)
				return r == -EILSEQ ? "content" : "receive";
		}
		ringq_detach(&in);
	}
	return NULL;
}

/* One that stays, from the first record to the end. */
static void *stay(void *arg)
{
	struct ringq_port *in = arg;
	int r;

	while ((r = recv_next(in, RINGQ_FOREVER)) == 1)
		;
	ringq_detach(in);
	return r == 0 ? NULL : r == -EILSEQ ? "content" : "receive";
}

static void threads(void **state)
{
	struct ringq_port out, in;
	pthread_t goes[2], stays;
	struct ringq_opts opts;
	unsigned int k, t;
	struct row row;
	void *error;
	int i;

	(void)state;
	for (k = 0; k < COUNT(rings); k++) {
		opts = gated(&rings[k]);
		open_row(&row, &opts);
		stop = false;
		attach(&row, &out, &in);
		assert_int_equal(pthread_create(&stays, NULL, stay, &in), 0);
		for (t = 0; t < 2; t++)
			assert_int_equal(pthread_create(&goes[t], NULL, come_and_go, &row), 0);
		for (i = 0; i < 5000; i++)
			assert_int_equal(send_next(&out, 10 * SECOND), 1);
		__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
		for (t = 0; t < 2; t++) {
			pthread_join(goes[t], &error);
			if (error)
				fail_msg("ring %u: %s", k, (char *)error);
		}
		ringq_detach(&out);
		pthread_join(stays, &error);
		if (error)
			fail_msg("ring %u, who stays: %s", k, (char *)error);
		close_row(&row);
	}
}

/* Reads until it is killed, and says how far it came. */
static void read_until_killed(int fd, uint64_t *seen)
{
	struct ringq_port in;
	struct ringq *ring;

	if (ringq_join_fd(fd, NULL, &ring) < 0 || ringq_attach(ring, RINGQ_CONSUMER, &in) < 0)
		_exit(1);
	if (seen[1] && ringq_position(&in) != seen[0] &&
	    ringq_position(&in) != seen[0] + ringq_record_span(RINGQ_RECORD_HEAD,
							       size_at(seen[0], in.elem_size)))
		_exit(2);
	for (;;) {
		__atomic_store_n(&seen[0], ringq_position(&in), __ATOMIC_RELEASE);
		__atomic_store_n(&seen[1], 1, __ATOMIC_RELEASE);
		if (recv_next(&in, RINGQ_FOREVER) != 1)
			_exit(3);
	}
}

/* A dead reader's place is kept, and the next goes on there; or it is not waited for. */
static void readers_killed(void **state)
{
	struct ringq_opts opts = gated(&(struct ringq_opts){ .memory = RINGQ_MEMFD,
						.elem_size = 200, .capacity = 4096 });
	uint64_t *seen = shared(2 * sizeof(*seen)), random = 88172645463325252ull;
	struct ringq_port out, in;
	struct row row;
	pid_t pid;
	int k, round, n, r;

	(void)state;
	for (k = 0; k < 2; k++) {
		opts.flags = k ? RINGQ_CONSUMER_WAIT : 0;
		open_row(&row, &opts);
		attach(&row, &out, &in);
		seen[1] = 0;
		for (round = 0; round < 30; round++) {
			if (!k)
				seen[1] = 0;
			pid = child();
			if (pid == 0)
				read_until_killed(ringq_fd(row.ring), seen);
			while (!__atomic_load_n(&seen[1], __ATOMIC_ACQUIRE))
				usleep(100);
			for (n = next_random(&random) % 400; n; n--) {
				while ((r = send_next(&out, SECOND / 100)) != 1) {
					assert_int_equal(r, -ETIMEDOUT);
					assert_int_not_equal(waitpid(pid, NULL, WNOHANG), pid);
				}
				assert_int_equal(recv_next(&in, RINGQ_NOWAIT), 1);
			}
			kill(pid, SIGKILL);
			join_killed(pid);
			/* As much as fits at once, or without end. */
			for (n = 0; n < 1000 && send_next(&out, k ? MS : SECOND) == 1; n++)
				assert_int_equal(recv_next(&in, RINGQ_NOWAIT), 1);
			if (k)
				assert_true(n < 1000);
			else
				assert_int_equal(n, 1000);
		}
		ringq_detach(&out);
		ringq_detach(&in);
		close_row(&row);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slowest),
		cmocka_unit_test(begins),
		cmocka_unit_test(arriving),
		cmocka_unit_test(kept),
		cmocka_unit_test(threads),
		cmocka_unit_test(readers_killed),
	};

	/* A hang is a failure. */
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
