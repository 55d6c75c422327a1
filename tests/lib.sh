# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# For suites that are shell: a test that consists in a command's ending well.

failures=0

# step WHAT COMMAND...
step() {
	local what=$1
	shift
	if "$@"; then
		echo "ok - $what"
	else
		echo "FAIL - $what"
		failures=$((failures + 1))
	fi
}
