"""All logs of a folder, held against the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.export import policy_file, run_fingerprint
from gradmap_trainer.monitor.findings import Findings, findings_of
from gradmap_trainer.monitor.logs import Array, Log, play
from gradmap_trainer.monitor.trained import Trained, play_training_days
from gridedge_env.evaluation_files import EPISODES_FILE, load_evaluation
from gridedge_env.reference import Policy
from gridedge_env.simulator import Simulator
from gridedge_gateway.connection import check_connection
from gridedge_gateway.days import work_out
from gridedge_gateway.file import CustomerFile
from gridedge_gateway.graph import Arrays
from gridedge_gateway.mistakes import in_words, one_line


@dataclass(frozen=True, eq=False)
class Promise:
    """What a run's evaluation says of the electricity of the customers that have logged.

    Attributes:
        days: that were evaluated.
        before: cost a day of all of them together without control.
        after: likewise, under the policies.
    """

    days: int
    before: float
    after: float


@dataclass(frozen=True, eq=False)
class MonitoredFleet:
    """What gateways logged, and what the run promised.

    Attributes:
        simulator: of the run.
        trained: what its policies observed in training.
        findings: by customer, in the order of the fleet.
        silent: customers without a log that could be read.
        faults: what could not be read, and why, a line each.
        promise: None if the run was not evaluated.
        voltage: pu, of all customers and steps.
    """

    simulator: Simulator
    trained: Trained
    findings: tuple[Findings, ...]
    silent: tuple[str, ...]
    faults: tuple[str, ...]
    promise: Promise | None
    voltage: Array

    @property
    def to_retrain(self) -> list[Findings]:
        """Customers whose policies are to be trained again."""
        return [findings for findings in self.findings if findings.needs_retraining]


def logged_tables(
    logs: Path, files: Path, to: Path, connection_power: float | None = None
) -> list[Path]:
    """The tables of a folder, if they can be played and told of, before anything else is done.

    Args:
        logs: folder of what gateways logged, `<customer>.csv`.
        files: folder of the files that they served.
        to: folder to write to.
        connection_power: kW that gateways were told a connection can carry, or None.

    Raises:
        ValueError: no tables, no folder of files, or one to write to in which a log would be lost;
            or no power.
    """
    check_connection(connection_power)
    tables = sorted(logs.glob("*.csv"))
    if not tables:
        raise ValueError(f"{logs}: got no tables, expected the folder of gridedge-gateway --log")
    if not files.is_dir():
        raise ValueError(f"{one_line(files)}: not found, expected the folder of gradmap-export")
    if to.resolve() == logs.resolve():
        raise ValueError(f"to: got {to}, the folder of the logs; expected another")
    return tables


def read_fleet(
    run: Path,
    config: TrainConfig,
    simulator: Simulator,
    policies: Policy,
    tables: Sequence[Path],
    files: Path,
    connection_power: float | None = None,
    progress: Callable[[float, str], None] = lambda share, note: None,
) -> MonitoredFleet:
    """Play logs through the customers' files.

    Args:
        run: folder of the run.
        config: of the run.
        simulator: of the run.
        policies: that it trained.
        tables: as of `logged_tables`.
        files: likewise.
        connection_power: likewise.
        progress: told the share of the logs that is done, and whose is next.

    Raises:
        ValueError: nothing could be read; says why.
    """
    fingerprint, names = run_fingerprint(config, simulator), simulator.fleet.names
    played: dict[int, Log] = {}
    worked_out = cache(work_out)  # of a day once for all customers
    faults = []
    for number, table in enumerate(tables):
        customer = unquote(table.stem)
        progress(number / len(tables), customer)
        try:
            if customer not in names:
                raise ValueError(
                    f"{table}: got a customer that {run} does not know, expected its own"
                )
            file = _file(files / policy_file(customer), fingerprint, run, worked_out)
            played[names.index(customer)] = play(table, file, connection_power)
        except (ValueError, OSError) as error:
            faults.append(in_words(error))
    if not played:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise ValueError(f"{faults[0]}{more}")
    ordered = dict(sorted(played.items()))
    logged = (day for log in ordered.values() for day in log.dates)
    trained = play_training_days(simulator, policies, logged)
    limits = simulator.case.limits
    band = limits.minimum_voltage, limits.maximum_voltage
    voltages = np.concatenate([log.voltage for log in ordered.values()])
    return MonitoredFleet(
        simulator,
        trained,
        tuple(
            findings_of(log, trained, agent, simulator.clock.hours, band)
            for agent, log in ordered.items()
        ),
        tuple(name for agent, name in enumerate(names) if agent not in ordered),
        tuple(faults),
        _promise(run, simulator, ordered),
        voltages[np.isfinite(voltages)],
    )


def _file(
    path: Path, fingerprint: str, run: Path, worked_out: Callable[..., Arrays]
) -> CustomerFile:
    """A customer's, of this run."""
    if not path.exists():
        expected = f"expected after gradmap-export {run}"
        raise FileNotFoundError(one_line(f"{path}: not found, {expected}"))
    file = CustomerFile(path, worked_out)
    if file.case["run"] != fingerprint:
        raise ValueError(f"{path}: got the file of another run, expected that of {run}")
    return file


def _promise(run: Path, simulator: Simulator, logs: Mapping[int, Log]) -> Promise | None:
    """Of the same customers on the test days."""
    if not (run / EPISODES_FILE).exists():
        return None
    evaluation, agents = load_evaluation(run, simulator), list(logs)
    before, after = (
        float(evaluation.episodes[method].agent_electricity[:, agents].mean(axis=0).sum())
        for method in ("thermostat", "gradmap")
    )
    return Promise(len(evaluation.dates), before, after)
