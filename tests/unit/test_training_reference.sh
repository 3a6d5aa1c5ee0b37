#!/usr/bin/env bash
# The second implementation of whole trainings still gives what it gave: its Python and the file that
# test_training_reference.c compares the C with belong together. Prints TAP.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "1..1"
if ! command -v python3 >/dev/null; then
	echo "ok 1 # SKIP there is no python3"
	exit 0
fi
PYTHONDONTWRITEBYTECODE=1 python3 tests/unit/training_reference.py >"$work/trained" 2>"$work/errors"
if cmp -s "$work/trained" tests/unit/training_reference.txt; then
	echo "ok 1 - training_reference.py writes training_reference.txt"
else
	echo "not ok 1 - training_reference.py writes training_reference.txt"
	diff "$work/trained" tests/unit/training_reference.txt | cut -c1-160 | sed 's/^/# /'
	sed 's/^/# /' "$work/errors"
	exit 1
fi
