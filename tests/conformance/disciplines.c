// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* The disciplines, and what each promises: the cases ask for promises, not for names. */
#include "conformance.h"

#define QUEUE (CONF_LOSSLESS | CONF_KEEPS | CONF_ONCE)
#define FIFO (CONF_ELEMENTS | QUEUE)

const struct conf_discipline conf_disciplines[] = {
	{ "spsc", RINGQ_SPSC, 0, FIFO | CONF_SPSC | CONF_ORDER },
	{ "gated", RINGQ_GATED, 0, CONF_ELEMENTS | CONF_LOSSLESS | CONF_ORDER | CONF_CONSUMERS },
	{ "spsc-records", RINGQ_SPSC, RINGQ_RECORDS, QUEUE | CONF_ORDER },
	{ 0 }
};
