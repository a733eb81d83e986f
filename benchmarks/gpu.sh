#!/usr/bin/env bash
# All that wants a GPU, in eight minutes: the same results as on the CPU, then power flows and environment
# steps a second, 1,000 agents trained to their usual quality, and 100,000 for a minute.
#
#     benchmarks/gpu.sh                            a page in runs/gpu
#     FOLDER=runs/h200 benchmarks/gpu.sh --quick   elsewhere, and options of `python -m benchmarks run`
#
# Takes this checkout, and a Python with torch, numpy, scipy, gymnasium and pettingzoo: $PYTHON, or
# python3. Nothing need be installed. The page is written after each benchmark, so that what there is no
# time for is all that is lost. DEVICE=cpu tries the script out where there is no GPU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
device=${DEVICE:-cuda}
folder=${FOLDER:-runs/gpu}
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
until=$((SECONDS + 470))

"$python" - "$device" <<'PROGRAM'
import sys
import torch
if sys.argv[1] != "cpu" and not torch.cuda.is_available():
    sys.exit(f"device: got {sys.argv[1]!r}, but torch {torch.__version__} sees no GPU here")
PROGRAM

failed=0
part() {  # at most so many seconds of a command
    timeout "$@" || { failed=$?; echo "exit code $failed (124: it took too long): ${*:2}" >&2; }
}

part 150 "$python" tests/test_gpu.py
part 100 "$python" tests/test_host_synchronisation.py
# Without peers and the start of commands, which are the CPU's.
part $((until - SECONDS)) "$python" -m benchmarks run machine power_flow simulator quality \
    --device "$device" --agents 1000 100000 \
    --json "$folder/benchmarks.json" --page "$folder/benchmarks.md" "$@"
echo "Results: $folder/benchmarks.md"
exit "$failed"
