#!/usr/bin/env bash
# Models against PyTorch's own: agree.py says how. Needs a python3 with torch (Debian's python3-torch) and is skipped
# without one. TORCH_LONG=1 also compares the larger GPT, which takes minutes. Prints TAP.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
build=${TALKOOT_BUILD:-$PWD/build}

for python in "${PYTHON:-python3}" /usr/bin/python3; do
	if "$python" -c 'import torch' 2>/dev/null; then
		export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
		exec "$python" tests/torch/agree.py "$build/tests/torch/dump"
	fi
done
echo 'ok 1 # SKIP no python3 has torch here (Debian: python3-torch)'
echo 1..1
