"""Solve a power flow and draw it: `python examples/draw_feeder.py [folder]` writes feeder.png."""

from __future__ import annotations

import argparse
from pathlib import Path

import gridedge_env
from gridedge_env.rendering import draw_feeder

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder", nargs="?", type=Path, default=Path())
folder = parser.parse_args().folder
if not folder.is_dir():
    parser.error(f"folder: got {folder}, expected one that is there")

feeder = gridedge_env.load_feeder("ieee123")
power_flow = gridedge_env.PowerFlow(feeder)
solution = power_flow.solve()  # the feeder's own loads at their nominal power, a batch of one

voltage = solution.voltage_magnitude[0]  # pu, one for each of feeder.node_names
loading = solution.branch_current_magnitude[0] / power_flow.branch_rating  # 1 = its rating

lowest, highest = int(voltage.argmin()), int(voltage.argmax())
fullest = int(loading.argmax())
print(f"converged: {bool(solution.converged)}, in {int(solution.iterations)} iterations")
print(f"lowest voltage {voltage[lowest]:.4f} pu at node {feeder.node_names[lowest]}")
print(f"highest voltage {voltage[highest]:.4f} pu at node {feeder.node_names[highest]}")
print(f"fullest branch {power_flow.branch_names[fullest]}, {100 * loading[fullest]:.0f} %")

figure = draw_feeder(feeder, voltage, loading)
figure.savefig(folder / "feeder.png", dpi=150, bbox_inches="tight")
print(f"wrote {folder / 'feeder.png'}")
