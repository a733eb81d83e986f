"""Record the voltages that OpenDSS finds for a built-in feeder, as a reference for the power flow.

    python tests/gridedge_env/data/record_opendss.py path/to/IEEE123Master.dss ieee123

OpenDSS solves its model at the built-in feeder's tap positions, controls off, to a tolerance of
1e-10. The reference is written beside this script as `<feeder>_opendss.csv`: node, voltage
magnitude in per unit of the node's base, angle in degrees, at full double precision.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

from benchmarks.opendss import OpenDSSModel
from gridedge_env import PowerFlow, load_feeder


def main(master: str, feeder_name: str) -> None:
    feeder = load_feeder(feeder_name)
    power_flow, model = PowerFlow(feeder), OpenDSSModel(Path(master))
    model.set_taps(feeder.regulators)
    if not model.solve(power_flow.injection_names, power_flow.nominal_power.numpy()):
        raise SystemExit("OpenDSS did not converge")
    base = 1e3 * np.array([bus.base_kv for bus in feeder.buses for _ in bus.phases])
    voltage = model.voltage(feeder.node_names)
    with (Path(__file__).parent / f"{feeder_name}_opendss.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["node", "magnitude_pu", "angle_degrees"])
        columns = np.abs(voltage) / base, np.angle(voltage, deg=True)
        writer.writerows(zip(feeder.node_names, *(c.tolist() for c in columns), strict=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
