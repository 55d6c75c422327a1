#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# The first program of README.md, as it stands there, compiled by the command that stands
# there, against an installed library, and run: it must compile without a warning and print
# what its text says.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

fail() {
	echo "FAIL - README.md: $1"
	exit 1
}

awk '/^```c$/ { on = 1; next } /^```$/ && on { exit } on' README.md >"$tmp/hello.c"
[ -s "$tmp/hello.c" ] || fail "no C program"
compile=$(awk '/^```c$/ { seen = 1 } seen && /^    cc / { print; exit }' README.md)
[ -n "$compile" ] || fail "no command that compiles it"

make -s install DESTDIR="$tmp" PREFIX=/usr >"$tmp/log" 2>&1 || {
	cat "$tmp/log"
	fail "make install failed"
}
cd "$tmp" || exit 1
export C_INCLUDE_PATH=$tmp/usr/include LIBRARY_PATH=$tmp/usr/lib LD_LIBRARY_PATH=$tmp/usr/lib
# shellcheck disable=SC2086 # the words of the command
$compile -Wall -Wextra -Werror || fail "it does not compile: $compile"
timeout 60 ./hello >out </dev/null || fail "it ended with status $?"
for _ in 1 2 3 4 5 6 7 8 9 10; do
	[ -s out ] && break
	sleep 0.5
done
[ "$(cat out)" = "hello from the other process" ] || fail "it printed \"$(cat out)\""
echo "ok - README.md's program compiles, runs, and says: $(cat out)"
