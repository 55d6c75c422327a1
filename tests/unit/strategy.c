// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The strategies by which a port waits: what is refused, that each keeps its time-out and ends
 * with the ring, which of them arm, and that they can be changed. A hang is a failure: the alarm
 * ends the test. (That streams flow with each is shown by the conformance cases.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <ringq.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define LIMIT 60	/* seconds for all of them; less than one is usual */
#define STRATEGIES 5

static struct ringq *ring;
static struct ringq_port out, in;

static struct ringq_attach_opts attach_opts(uint32_t strategy)
{
	return (struct ringq_attach_opts){
		.size = sizeof(struct ringq_attach_opts), .strategy = strategy,
	};
}

static void begin(uint32_t memory, uint32_t strategy)
{
	const struct ringq_attach_opts attach = attach_opts(strategy);
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = memory, .elem_size = 8, .capacity = 7,
	};

	assert_int_equal(ringq_create(&opts, &ring), 0);
	assert_int_equal(ringq_attach_with(ring, RINGQ_PRODUCER, &attach, &out), 0);
	assert_int_equal(ringq_attach_with(ring, RINGQ_CONSUMER, &attach, &in), 0);
}

static void end(void)
{
	ringq_detach(&out);
	ringq_detach(&in);
	ringq_leave(ring);
}

static void refused(void **state)
{
	struct ringq_attach_opts attach = attach_opts(STRATEGIES);

	(void)state;
	begin(RINGQ_PRIVATE, RINGQ_STRATEGY_PHASED);
	ringq_detach(&in);
	assert_int_equal(ringq_attach_with(ring, RINGQ_CONSUMER, &attach, &in), -EINVAL);
	attach = attach_opts(RINGQ_STRATEGY_SLEEP);
	attach.reserved = 1;
	assert_int_equal(ringq_attach_with(ring, RINGQ_CONSUMER, &attach, &in), -EINVAL);
	assert_int_equal(ringq_set_strategy(&out, STRATEGIES), -EINVAL);
	assert_int_equal(ringq_set_strategy(&out, -1), -EINVAL);
	assert_int_equal(ringq_set_strategy(&out, RINGQ_STRATEGY_SLEEP), 0);
	ringq_detach(&out);
	assert_int_equal(ringq_set_strategy(&out, RINGQ_STRATEGY_SLEEP), -ESTALE);
	end();
}

static void time_outs(void **state)
{
	static const uint32_t memories[] = { RINGQ_PRIVATE, RINGQ_MEMFD };
	uint32_t i, strategy;
	uint64_t msg = 0;

	(void)state;
	for (i = 0; i < 2; i++) {
		for (strategy = 0; strategy < STRATEGIES; strategy++) {
			begin(memories[i], strategy);
			assert_int_equal(ringq_recv(&in, &msg, 1), -ETIMEDOUT);
			assert_int_equal(ringq_recv(&in, &msg, 2000000), -ETIMEDOUT);
			assert_int_equal(ringq_recv(&in, &msg, RINGQ_NOWAIT), -EAGAIN);
			while (ringq_send(&out, &msg, RINGQ_NOWAIT) == 1)
				;
			assert_int_equal(ringq_send(&out, &msg, 2000000), -ETIMEDOUT);
			assert_int_equal(ringq_drain(&out, 2000000), -ETIMEDOUT);
			assert_int_equal(ringq_recv(&in, &msg, 2000000), 1);
			assert_int_equal(ringq_send(&out, &msg, 2000000), 1);
			end();
		}
	}
}

static int64_t result;

static void *recv_forever(void *unused)
{
	uint64_t msg;
	int64_t r = ringq_recv(&in, &msg, RINGQ_FOREVER);

	(void)unused;
	__atomic_store_n(&result, r, __ATOMIC_RELEASE);
	return NULL;
}

static uint32_t wake(void)
{
	return ringq_load_acquire(&in.page->wake);
}

/* Waits in a thread; armed, if that is how it waits, and else never. */
static void start(pthread_t *thread, bool armed)
{
	unsigned int i;

	__atomic_store_n(&result, -1, __ATOMIC_RELEASE);
	assert_int_equal(pthread_create(thread, NULL, recv_forever, NULL), 0);
	while (armed && wake() != RINGQ_ASLEEP)
		usleep(1000);
	for (i = 0; !armed && i < 20; i++) {
		usleep(1000);
		assert_int_equal(wake(), RINGQ_AWAKE);
	}
	assert_int_equal(__atomic_load_n(&result, __ATOMIC_ACQUIRE), -1);
}

static void woken(void **state)
{
	const uint64_t msg = 1;
	uint32_t strategy, k;
	pthread_t thread;

	(void)state;
	for (k = 0; k < 2; k++) {
		begin(RINGQ_PRIVATE, RINGQ_STRATEGY_PHASED);
		for (strategy = 0; strategy < STRATEGIES; strategy++) {
			/* At any time, while it is not waiting. */
			assert_int_equal(ringq_set_strategy(&in, strategy), 0);
			start(&thread, strategy < RINGQ_STRATEGY_SPIN);
			assert_int_equal(ringq_send(&out, &msg, RINGQ_NOWAIT), 1);
			assert_int_equal(pthread_join(thread, NULL), 0);
			assert_int_equal(result, 1);
		}
		assert_int_equal(ringq_set_strategy(&in, RINGQ_STRATEGY_SPIN + k), 0);
		start(&thread, false);
		if (k)
			ringq_close(&out);
		else
			ringq_detach(&out);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(result, 0);
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused),
		cmocka_unit_test(time_outs),
		cmocka_unit_test(woken),
	};

	alarm(LIMIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
