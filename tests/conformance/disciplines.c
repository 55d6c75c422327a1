// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* The disciplines, and what each promises: the cases ask for promises, not for names. */
#include "conformance.h"

#define FIFO (CONF_ELEMENTS | CONF_LOSSLESS | CONF_KEEPS | CONF_ONCE)

const struct conf_discipline conf_disciplines[CONF_DISCIPLINES] = {
	{ "spsc", RINGQ_SPSC, 0, FIFO | CONF_SPSC | CONF_ORDER },
};
