// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* The disciplines, and what each promises: the cases ask for promises, not for names. */
#include "conformance.h"

#define QUEUE (CONF_LOSSLESS | CONF_KEEPS | CONF_ONCE | CONF_EACH)
#define FIFO (CONF_ELEMENTS | QUEUE)
#define BROADCAST (CONF_ORDER | CONF_CONSUMERS)

const struct conf_discipline conf_disciplines[] = {
	{ "spsc", RINGQ_SPSC, 0, FIFO | CONF_SPSC | CONF_ORDER },
	{ "mpsc", RINGQ_MPSC, 0, FIFO | CONF_ORDER | CONF_CLAIMS | CONF_PRODUCERS },
	{ "spmc", RINGQ_SPMC, 0, FIFO | CONF_ORDER | CONF_CLAIMS | CONF_CONSUMERS },
	{ "mpmc", RINGQ_MPMC, 0,
	  FIFO | CONF_ORDER | CONF_CLAIMS | CONF_PRODUCERS | CONF_CONSUMERS },
	{ "lanes", RINGQ_LANES, 0, FIFO | CONF_PRODUCERS | CONF_CONSUMERS },
	{ "gated", RINGQ_GATED, 0,
	  BROADCAST | CONF_ELEMENTS | CONF_LOSSLESS | CONF_EACH | CONF_GATED },
	{ "lossy", RINGQ_LOSSY, 0, BROADCAST | CONF_ELEMENTS | CONF_EACH | CONF_LOSSY },
	{ "latest", RINGQ_LATEST, 0, BROADCAST | CONF_ELEMENTS | CONF_LATEST },
	{ "spsc-records", RINGQ_SPSC, RINGQ_RECORDS, QUEUE | CONF_ORDER },
	{ "lanes-records", RINGQ_LANES, RINGQ_RECORDS, QUEUE | CONF_PRODUCERS | CONF_CONSUMERS },
	{ "gated-records", RINGQ_GATED, RINGQ_RECORDS,
	  BROADCAST | CONF_LOSSLESS | CONF_EACH | CONF_GATED },
	{ "lossy-records", RINGQ_LOSSY, RINGQ_RECORDS, BROADCAST | CONF_EACH | CONF_LOSSY },
	{ 0 }
};
