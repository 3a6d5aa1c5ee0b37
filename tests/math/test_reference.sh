#!/usr/bin/env bash
# The second implementation of the arithmetic, in exact rational numbers, still gives the digests that the C is compared
# with: what the Python prints and the committed file belong together. REFERENCE_LONG=1 also runs that of packed updates,
# which takes minutes. Prints TAP.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
claims=0 failures=0
export PYTHONDONTWRITEBYTECODE=1

writes() { # SCRIPT FILE
	claims=$((claims + 1))
	if ! command -v python3 >/dev/null; then
		echo "ok $claims # SKIP there is no python3"
	elif python3 "$1" >"$work/written" 2>"$work/errors" && cmp -s "$work/written" "$2"; then
		echo "ok $claims - ${1##*/} writes ${2##*/}"
	else
		echo "not ok $claims - ${1##*/} writes ${2##*/}"
		{ diff "$work/written" "$2" | head -n 20; cat "$work/errors"; } | cut -c1-160 | sed 's/^/# /'
		failures=$((failures + 1))
	fi
}

writes tests/math/numerics_reference.py tests/math/numerics_golden.txt
[ -z "${REFERENCE_LONG:-}" ] || writes tests/unit/compress_reference.py tests/unit/compress_golden.txt
echo "1..$claims"
[ "$failures" = 0 ]
