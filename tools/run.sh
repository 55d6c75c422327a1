#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# tools/run.sh [FILE]: what `make run' runs once everything is built. Sends FILE, or a large one
# that is here anyway (largest-file), through rings by `ringq job', whose status it returns.
# Through /dev/ringq if the module is loaded, or can be made and loaded here; it is
# unloaded again then. Else through a memfd. It says which, and why.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
program=build/ringq
loaded=

say() {
	echo "run: $*"
}

# Makes and loads the module; or says why not, and fails.
load_module() {
	local kdir package log=build/run-module.log module

	kdir=/lib/modules/$(uname -r)/build
	package=linux-headers-$(uname -r)
	if [ "$(id -u)" -ne 0 ]; then
		say "not root, so the module cannot be loaded"
		return 1
	fi
	if [ "$(cat /proc/sys/kernel/modules_disabled 2>/dev/null)" != 0 ]; then
		say "this kernel takes no modules"
		return 1
	fi
	if [ ! -e "$kdir/Makefile" ] && command -v apt-get >/dev/null &&
		apt-cache show "$package" >/dev/null 2>&1; then
		say "installing $package: the module is made against it"
		apt-get install -y --no-install-recommends --no-remove "$package" >"$log" 2>&1
	fi
	if [ ! -e "$kdir/Makefile" ]; then
		say "no headers of this kernel, $(uname -r), to make the module against"
		return 1
	fi
	if ! make -s modules >"$log" 2>&1; then
		say "the module could not be made: see $log"
		return 1
	fi
	module=build/kmod/$(uname -r)/ringq.ko
	if ! insmod "$module" 2>>"$log"; then
		say "the module could not be loaded: $(tail -1 "$log")"
		return 1
	fi
	loaded=yes
	if [ ! -e /dev/ringq ]; then
		say "the module is loaded, but nobody makes /dev/ringq here (devtmpfs)"
		return 1
	fi
	say "module made and loaded"
}

unload_module() {
	[ -z "$loaded" ] || rmmod ringq
}
trap unload_module EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

if [ $# -gt 1 ]; then
	echo "usage: tools/run.sh [FILE]" >&2
	exit 2
fi
file=${1:-$(tools/largest-file)} || exit 1

memory=memfd
if [ -e /dev/ringq ]; then
	memory=auto
	say "there is /dev/ringq"
elif load_module; then
	memory=device
else
	say "so the rings are memfds"
fi
$program job --memory=$memory "$file"
