"""Record the voltages that OpenDSS finds for a built-in feeder, as a reference for the power flow.

    python tests/gridedge_env/data/record_opendss.py path/to/IEEE123Master.dss ieee123

OpenDSS first moves its regulators one tap at a time, with the delays in the feeder's table, as the
run script that comes with the OpenDSS model does; the taps must end where the feeder's are frozen.
Then its controls are switched off and it solves once more to a tolerance of 1e-10. The reference is
written beside this script as `<feeder>_opendss.csv`: node, voltage magnitude in per unit of the
node's base, angle in degrees, at full double precision.
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import numpy as np
from dss import DSS

from gridedge_env.feeder import Feeder, load_feeder


def main(master: str, feeder_name: str) -> None:
    feeder = load_feeder(feeder_name)
    compile_model(Path(master))
    settle_taps(feeder)
    run("set controlmode=off tolerance=1e-10 maxiterations=1000", "solve")
    with (Path(__file__).parent / f"{feeder_name}_opendss.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["node", "magnitude_pu", "angle_degrees"])
        writer.writerows(node_voltages(feeder))


def compile_model(master: Path) -> None:
    """Compile an OpenDSS model; it changes the working directory, which is put back."""
    folder = Path.cwd()
    try:
        run(f'compile "{master.resolve()}"')
    finally:
        os.chdir(folder)


def settle_taps(feeder: Feeder) -> None:
    """Let the regulators move, check where they end, and set exactly those taps."""
    delay = {regulator.transformer: regulator.delay for regulator in feeder.regulators}
    for name, transformer in [(c.Name, c.Transformer) for c in DSS.ActiveCircuit.RegControls]:
        run(f"regcontrol.{name}.maxtapchange=1 delay={delay[transformer]}")
    run("set maxcontroliter=100", "solve")
    for regulator in feeder.regulators:
        transformers = DSS.ActiveCircuit.Transformers
        transformers.Name = regulator.transformer
        transformers.Wdg = regulator.winding
        tap = 1 + 0.00625 * regulator.tap_position
        if abs(transformers.Tap - tap) > 1e-9:
            raise SystemExit(f"{regulator.transformer}: tap {transformers.Tap}, frozen at {tap}")
        transformers.Tap = tap


def node_voltages(feeder: Feeder) -> list[tuple[str, float, float]]:
    circuit = DSS.ActiveCircuit
    voltage = dict(
        zip(circuit.AllNodeNames, np.asarray(circuit.AllBusVolts).view(complex), strict=True)
    )
    base = {
        f"{bus.name}.{phase}": 1e3 * bus.base_kv for bus in feeder.buses for phase in bus.phases
    }
    return [
        (node, float(abs(voltage[node]) / base[node]), float(np.angle(voltage[node], deg=True)))
        for node in feeder.node_names
    ]


def run(*commands: str) -> None:
    for command in commands:
        DSS.Text.Command = command
    if not DSS.ActiveCircuit.Solution.Converged and commands[-1] == "solve":
        raise SystemExit("OpenDSS did not converge")


if __name__ == "__main__":
    main(*sys.argv[1:])
