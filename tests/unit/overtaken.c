// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * LOSSY: between two instructions of one who receives, the producer goes round the ring. What is
 * received then is whole, or an overrun is told. (Threads seldom meet there.)
 */
#include "actors.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define LIMIT	280	/* seconds for all of them; a few are usual */
#define SIZE	200	/* of a message: several lines */
#define LAPS	60	/* messages that are more than the ring holds */
#ifdef __SANITIZE_ADDRESS__
#define EVERY	13	/* instruction: there are many more of them */
#else
#define EVERY	1
#endif

static struct report {
	int over, result;
	uint32_t size;
	unsigned char msg[SIZE];
} *report;

static bool records;

static void act_receive(struct ringq *mine)
{
	struct ringq_port in;

	must(attached(mine, IN, &in));
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	report->size = SIZE;
	report->result = records ?
		ringq_recv_record(&in, report->msg, SIZE, &report->size, RINGQ_NOWAIT) :
		ringq_recv(&in, report->msg, RINGQ_NOWAIT);
	__atomic_store_n(&report->over, 1, __ATOMIC_RELEASE);
}

static void send_all_of(struct ringq_port *out, unsigned char byte)
{
	unsigned char msg[SIZE];

	memset(msg, byte, SIZE);
	assert_int_equal(records ? ringq_send_record(out, msg, SIZE, RINGQ_NOWAIT) :
				   ringq_send(out, msg, RINGQ_NOWAIT), 1);
}

/* After so many instructions. Returns whether it was over before. */
static bool overtaken_at(unsigned int n, unsigned int *overruns)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_MEMFD, .discipline = RINGQ_LOSSY,
		.elem_size = SIZE, .capacity = records ? 4096 : 8, .consumers = 1,
		.flags = records ? RINGQ_RECORDS : 0,
	};
	struct ringq_port out;
	unsigned int i;
	bool over;
	pid_t pid;

	memset(report, 0, sizeof(*report));
	assert_int_equal(ringq_create(&opts, &ring), 0);
	assert_int_equal(ringq_attach(ring, OUT, &out), 0);
	pid = start_and_stop(act_receive);
	send_all_of(&out, 1);
	while (n-- && !__atomic_load_n(&report->over, __ATOMIC_ACQUIRE))
		step(pid);
	over = __atomic_load_n(&report->over, __ATOMIC_ACQUIRE);
	for (i = 0; i < LAPS; i++)
		send_all_of(&out, 2 + i);
	if (!over) {
		assert_int_equal(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
		must_stop(pid);
	}
	assert_true(report->result == 1 || report->result == -EOVERFLOW);
	*overruns += report->result != 1;
	if (report->result == 1) {
		assert_int_equal(report->size, SIZE);
		for (i = 0; i < SIZE; i++)
			assert_int_equal(report->msg[i], 1);
	}
	ringq_detach(&out);
	end(pid);
	ringq_leave(ring);
	ring = NULL;
	return over;
}

static void overtaken(void)
{
	unsigned int n, overruns = 0;

	for (n = 0; !overtaken_at(n, &overruns); n += EVERY)
		;
	printf("# %u overruns, tried at every %u. of %u instructions\n", overruns, EVERY, n);
	assert_in_range(overruns, 1, n / EVERY - 1);
}

static void elements(void **state)
{
	(void)state;
	records = false;
	overtaken();
}

static void of_any_size(void **state)
{
	(void)state;
	records = true;
	overtaken();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(elements),
		cmocka_unit_test(of_any_size),
	};

	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (report == MAP_FAILED)
		return 1;
	setbuf(stdout, NULL);
	alarm(LIMIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
