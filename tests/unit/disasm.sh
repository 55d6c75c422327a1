#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# What the fast path compiles to: a typed send and a typed receive, by gcc -O2, have no locked
# instruction, no fence, no exchange with memory (which locks by itself), no system call, and
# no call: those that the slow path makes are declared cold here, so that the compiler sets aside
# the part that makes them. (In ringq's headers they are not: ringq/atomic.h says why.)
# Both shapes, small and large elements (a large one is copied by a call to memcpy, so
# those here are of a size that gcc copies in line).
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

result() {
	if [ "$1" = 0 ]; then
		echo "ok - $2"
	else
		echo "FAIL - $2"
		failed=1
	fi
}

if [ "$(uname -m)" != x86_64 ]; then
	echo "FAIL - this test reads x86-64's instructions only"
	exit 1
fi

cat >"$tmp/fast.c" <<'END'
#include <ringq.h>

struct e8 { uint64_t w; };
struct e56 { uint64_t w[7]; };
struct e64 { uint64_t w[8]; };

#define COLD(f) extern __typeof__(f) f __attribute__((cold))
COLD(ringq_attend);
COLD(ringq_spsc_room);
COLD(ringq_spsc_look);
COLD(ringq_lanes_look);
COLD(ringq_lanes_let_go);
COLD(ringq_lossy_room);
COLD(ringq_lossy_look);
COLD(ringq_lossy_overrun);
COLD(ringq_latest_look);
COLD(ringq_latest_again);

#define FAST(d, n)							\
RINGQ_TYPED(d##n, struct e##n, d);					\
int d##_send_##n(struct d##n##_producer *q, const struct e##n *msg);	\
int d##_recv_##n(struct d##n##_consumer *q, struct e##n *msg);		\
int d##_send_##n(struct d##n##_producer *q, const struct e##n *msg)	\
{									\
	return d##n##_send(q, msg, RINGQ_NOWAIT);			\
}									\
int d##_recv_##n(struct d##n##_consumer *q, struct e##n *msg)		\
{									\
	return d##n##_recv(q, msg, RINGQ_NOWAIT);			\
}
#define ALL(d) FAST(d, 8) FAST(d, 56) FAST(d, 64)

ALL(spsc)
ALL(lanes)
ALL(lossy)
ALL(latest)
END
# Not folded: LATEST sends as LOSSY does, and one would be a jump to the other.
gcc -O2 -fno-ipa-icf -D_GNU_SOURCE -Iinclude -Iinclude/uapi -c -o "$tmp/fast.o" "$tmp/fast.c" || {
	echo "FAIL - it does not compile"
	exit 1
}
objdump -dr --no-show-raw-insn "$tmp/fast.o" >"$tmp/all"

# body SYMBOL: its instructions, from its label to the next.
body() {
	awk -v label="<$1>:" '/^[0-9a-f]+ <.*>:$/ { on = $2 == label; next } on && NF' "$tmp/all"
}

for size in 8 56 64; do
	for way in {spsc,lanes,lossy,latest}_{send,recv}; do
		name=${way}_$size
		body "$name" >"$tmp/hot"
		[ -s "$tmp/hot" ]
		result $? "$name is there, $(wc -l <"$tmp/hot") instructions"
		while read -r what pattern; do
			! grep -E "$pattern" "$tmp/hot"
			result $? "$name: no $what"
		done <<'END'
lock \<lock\>
fence [lms]fence
exchange xchg.*\(
system-call syscall
call \<call
jump-to-another-function R_X86_64_(PLT32|GOTPCREL)
END
		# It does something: it stores, and it can leave for the cold part, which calls.
		grep -qE 'mov +%[a-z0-9]+,[0-9a-fx]*\(%' "$tmp/hot" &&
			body "$name.cold" | grep -q call
		result $? "$name: the slow path is a call, and is set aside"
	done
done
exit $failed
