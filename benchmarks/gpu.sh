#!/usr/bin/env bash
# All that wants a GPU: the tests of it, then the benchmarks, with fleets of 1,000 and 100,000 agents.
#
#     benchmarks/gpu.sh                          results in runs/gpu
#     FOLDER=runs/h200 benchmarks/gpu.sh --quick     elsewhere, and options of `python -m benchmarks run`
#
# Takes this checkout, and a Python with torch, numpy, scipy, gymnasium and pettingzoo: $PYTHON, or
# python3. Training to the end (`quality`) also takes safetensors, for its checkpoints. Nothing need
# be installed. DEVICE=cpu tries the script out where there is no GPU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
device=${DEVICE:-cuda}
folder=${FOLDER:-runs/gpu}
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}

"$python" - "$device" <<'PROGRAM'
import sys
import torch
if sys.argv[1] != "cpu" and not torch.cuda.is_available():
    sys.exit(f"device: got {sys.argv[1]!r}, but torch {torch.__version__} sees no GPU here")
PROGRAM

"$python" tests/test_gpu.py
"$python" tests/test_host_synchronisation.py
# Not the peers and not the start of commands: those are the CPU's.
"$python" -m benchmarks run machine power_flow environment simulator training growth quality \
    --device "$device" --agents 1000 100000 \
    --json "$folder/benchmarks.json" --page "$folder/benchmarks.md" "$@"
echo "Results: $folder/benchmarks.md"
