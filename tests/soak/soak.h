/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* The soak: tests/soak/main.c says what it does. */
#ifndef SOAK_H
#define SOAK_H

#include <ringq.h>

uint64_t soak_random(uint64_t below);
int64_t soak_now(void);

#endif /* SOAK_H */
