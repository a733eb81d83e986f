"""What is compared: the TOML file, checked.

`full.toml`, beside this file, has every field with its meaning.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from baselines.compare.own_case import case_from_record, fingerprint
from baselines.compare.trials import PLAIN, Trial, trial_from_record
from baselines.methods import METHODS, Rule, find
from gridedge_env.case import Case, CaseSettings, load_case
from gridedge_env.checks import (
    check_known,
    check_not_negative,
    check_positive,
    check_seed,
    check_whole_number,
    renamed,
)
from gridedge_env.clock import Clock
from gridedge_env.constraints import Limits
from gridedge_env.currency import EURO
from gridedge_env.evaluation import evaluation_days
from gridedge_env.scenarios import Tariff
from gridedge_env.simulator import make_simulator
from gridedge_gateway.mistakes import one_line, regular_file

if sys.version_info >= (3, 11):
    import tomllib
else:  # the same library, from before it was Python's own
    import tomli as tomllib

FULL = Path(__file__).with_name("full.toml")
QUICK = Path(__file__).with_name("quick.toml")

AS_OBSERVED = "as_observed"
FORESIGHT = "perfect_foresight"


@dataclass(frozen=True)
class Days:
    """Which days are played, and how hard the optimum is searched.

    Attributes:
        test: days of the test year on which the trained policies are compared.
        validation: days of the validation year behind each point of a training curve.
        points: of a training curve.
        foresight_iterations: effort of the perfect-foresight optimum.
    """

    test: int = 28
    validation: int = 8
    points: int = 20
    foresight_iterations: int = 300

    def __post_init__(self) -> None:
        for one in fields(self):
            check_whole_number(getattr(self, one.name), 1, f"days.{one.name}")


@dataclass(frozen=True)
class Running:
    """How the jobs are run; it bears on what a second of training is worth.

    Attributes:
        processes: jobs side by side.
        threads: of each job.
        device: where they compute.
        overhead_seconds: what a job may take beyond its training: start, curve and test days.
    """

    processes: int = 1
    threads: int = 1
    device: str = "cpu"
    overhead_seconds: float = 1800.0

    def __post_init__(self) -> None:
        check_whole_number(self.processes, 1, "running.processes")
        check_whole_number(self.threads, 1, "running.threads")
        if not isinstance(self.device, str):
            raise ValueError(f"running.device: got {self.device!r}, expected a name such as 'cpu'")
        check_positive(self.overhead_seconds, "running.overhead_seconds")


@dataclass(frozen=True)
class Quality:
    """What makes costs comparable that were bought with different violations.

    Attributes:
        price: that one percentage point of steps outside limits is worth, a day, in the
            case's currency.
    """

    price: float = 13.0

    def __post_init__(self) -> None:
        check_not_negative(self.price, "quality.price")


@dataclass(frozen=True)
class Job:
    """One training and its evaluation; of rules and perfect foresight, the evaluation alone.

    Attributes:
        method: as in `baselines.methods`, or "perfect_foresight".
        seed: of homes and training.
        seconds: of training; None for what does not learn.
    """

    method: str
    seed: int
    seconds: float | None = None

    @property
    def name(self) -> str:
        """For files and messages."""
        budget = "" if self.seconds is None else f"-{self.seconds:g}s"
        return f"{self.method.replace(':', '.')}-seed{self.seed}{budget}"


@dataclass(frozen=True)
class Comparison:
    """A comparison.

    Attributes:
        seeds: each one a fleet, and a training of every learner.
        rules: methods that have nothing to learn.
        learners: budgets of every method that learns, seconds.
        case: what is learned; the seed is each job's. Or the folder of a case of one's own, whose
            customers are the same for every seed.
        days: that are played.
        robustness: trials by name, beside that of the days as observed.
        running: of the jobs.
        quality: price of violations.
    """

    seeds: tuple[int, ...]
    rules: tuple[str, ...]
    learners: Mapping[str, tuple[float, ...]]
    case: CaseSettings | str = field(default_factory=CaseSettings)
    days: Days = field(default_factory=Days)
    robustness: Mapping[str, Trial] = field(default_factory=dict)
    running: Running = field(default_factory=Running)
    quality: Quality = field(default_factory=Quality)

    def __post_init__(self) -> None:
        for seed in self.seeds:
            check_seed(seed, "seeds")
        _check_list(self.seeds, "seeds")
        for method in self.rules:
            if not isinstance(method, str):
                raise ValueError(f"rules: got {method!r}, expected the name of a method")
        _check_list(self.rules, "rules", least=0)
        if not self.rules and not self.learners:
            raise ValueError("learners: got none, and no rules; expected methods to compare")
        for method, budgets in self.learners.items():
            for budget in budgets:
                check_positive(budget, f"learners.{method}")
            _check_list(budgets, f"learners.{method}")
        if AS_OBSERVED in self.robustness:
            raise ValueError(f"robustness: got {AS_OBSERVED!r}, expected a name that is not taken")
        for name, trial in self.robustness.items():
            if trial.of_settings and isinstance(self.case, str):
                raise ValueError(
                    f"robustness.{name}.{trial.of_settings[0]}: got it and a case of one's own, "
                    "expected one of them: its customers and taps are the same for every seed"
                )

    @property
    def trials(self) -> dict[str, Trial]:
        """What every method plays: the days as observed, then the tests of robustness."""
        return {AS_OBSERVED: PLAIN, **self.robustness}

    @cached_property
    def _own(self) -> Case:
        """The case in a folder."""
        assert isinstance(self.case, str)
        return load_case(self.case)

    @property
    def clock(self) -> Clock:
        """Of the days."""
        if isinstance(self.case, str):
            return self._own.clock
        return Clock.of_minutes(self.case.step_minutes)

    @property
    def limits(self) -> Limits:
        """Of the network."""
        return self._own.limits if isinstance(self.case, str) else Limits(**self.case.limits)

    @property
    def tariff(self) -> Tariff:
        """Retail prices."""
        return self._own.tariff if isinstance(self.case, str) else self.case.tariff

    @property
    def currency(self) -> str:
        """Of all prices and costs."""
        return self._own.currency if isinstance(self.case, str) else EURO

    @property
    def population(self) -> str:
        """The case's name, or who is there: "1,000 agents on ieee123"."""
        if isinstance(self.case, str):
            return self._own.title
        return f"{self.case.num_agents:,} agents on {self.case.feeder}"

    @property
    def jobs(self) -> list[Job]:
        """All jobs, in the order of running: seeds are completed one by one.

        What does not learn comes first: by the time that training is timed, whatever is compiled
        when it is first used has been.
        """
        without = [Job(method, seed) for seed in self.seeds for method in (FORESIGHT, *self.rules)]
        return without + [
            Job(method, seed, seconds)
            for seed in self.seeds
            for method, budgets in self.learners.items()
            for seconds in sorted(budgets)
        ]

    @property
    def record(self) -> dict[str, Any]:
        """As `comparison_from` reads it."""
        record = asdict(self)
        if not isinstance(self.case, str):
            del record["case"]["seed"]
            record["case"]["tariff"] = self.case.tariff.record()
        record["robustness"] = {name: trial.record for name, trial in self.robustness.items()}
        return record

    @property
    def bearing(self) -> dict[str, Any]:
        """What bears on the result of any job, by dotted name; of limits, all that there are.

        Of a case of one's own what its files hold, wherever they are.
        """
        record = self.record
        if isinstance(self.case, str):
            record["case"] = {"files": fingerprint(Path(self.case))}
        else:
            record["case"]["limits"] = self.limits.thresholds
        del record["running"]["overhead_seconds"]
        return flat({name: record[name] for name in ("case", "days", "robustness", "running")})

    def case_of(self, seed: int, trial: Trial = PLAIN) -> Case:
        """The case of a seed, with the feeder as it is in a trial."""
        if not isinstance(self.case, str):
            return replace(self.case, seed=seed, **trial.of_feeder).make()
        feeder = self._own.feeder
        if trial.source_voltage is not None:
            feeder = feeder.with_source_voltage(trial.source_voltage)
        return replace(self._own, seed=seed, feeder=feeder)


def load_comparison(path: Path, case: Path | None = None) -> Comparison:
    """Read a configuration and check it against the methods and the case.

    Args:
        path: a TOML file.
        case: folder of a case of one's own, in place of the configuration's.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: names the field, what came and what was expected.
    """
    if not path.exists():
        raise FileNotFoundError(f"config: {one_line(path)} not found, expected a TOML file")
    try:
        record = tomllib.loads(regular_file(path).read_text(encoding="utf-8"))
        comparison = comparison_from(record)
        if case is not None:
            comparison = _on_case(comparison, case)
        _check_against_the_world(comparison)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from error
    return comparison


def _on_case(comparison: Comparison, folder: Path) -> Comparison:
    """On a case of one's own, without the trials and the rule that do not go with it."""
    planned = load_case(folder).public_plan
    return replace(
        comparison,
        case=str(folder),
        rules=tuple(rule for rule in comparison.rules if planned or rule != "plan_following"),
        robustness={k: t for k, t in comparison.robustness.items() if not t.of_settings},
    )


def comparison_from(record: Mapping[str, Any]) -> Comparison:
    """A comparison from what a TOML file or `Comparison.record` says.

    Raises:
        ValueError: a field is unknown, missing or not what it should be.
    """
    check_known(record, _names(Comparison), "configuration")
    if "seeds" not in record:
        raise ValueError("seeds: got none, expected a list of whole numbers")
    robustness = _table(record, "robustness")
    return Comparison(
        seeds=_tuple(record["seeds"], "seeds"),
        rules=_tuple(record.get("rules", ()), "rules"),
        learners={
            method: _tuple(budgets, f"learners.{method}")
            for method, budgets in _table(record, "learners").items()
        },
        case=case_from_record(record),
        days=_read(Days, record, "days"),
        robustness={name: _trial(robustness, name) for name in robustness},
        running=_read(Running, record, "running"),
        quality=_read(Quality, record, "quality"),
    )


def _check_against_the_world(comparison: Comparison) -> None:
    """Every method is there and for the case, every fleet can be built, years have so many days."""
    for methods in ("rules", "learners"):
        with renamed(method=methods):
            for method in getattr(comparison, methods):
                _check_listed(method, methods)
    in_case = {name: f"case.{name}" for name in _names(CaseSettings)}
    with renamed(device="running.device", **in_case):
        case = comparison.case_of(comparison.seeds[0])
        simulator = make_simulator(case=case, device=comparison.running.device)
        for rule in map(find, comparison.rules):
            if isinstance(rule, Rule):
                rule.make(simulator)
    for split in ("test", "validation"):
        with renamed(days=f"days.{split}"):
            evaluation_days(simulator, split, getattr(comparison.days, split))


def _check_listed(method: str, methods: str) -> None:
    """Refuse a rule among the learners, and a learner of `METHODS` among the rules.

    What another function does shows only when it has run.
    """
    is_rule = isinstance(find(method), Rule)
    if is_rule if methods == "learners" else method in METHODS and not is_rule:
        other = "rules" if is_rule else "learners"
        raise ValueError(f"{methods}: got {method!r}, expected it among the {other}")


def _read(kind: type, record: Mapping[str, Any], name: str) -> Any:
    table = _table(record, name)
    check_known(table, _names(kind), name)
    return kind(**table)


def _trial(robustness: Mapping[str, Any], name: str) -> Trial:
    where = f"robustness.{name}"
    return trial_from_record(_table(robustness, name, where), where)


def _names(kind: type) -> list[str]:
    return [entry.name for entry in fields(kind)]


def _table(record: Mapping[str, Any], name: str, where: str | None = None) -> dict[str, Any]:
    """A copy of a table, empty if there is none."""
    table = record.get(name, {})
    if not isinstance(table, Mapping):
        raise ValueError(f"{where or name}: got {table!r}, expected a table")
    return dict(table)


def _tuple(values: Any, name: str) -> tuple:
    if not isinstance(values, list | tuple):
        raise ValueError(f"{name}: got {values!r}, expected a list")
    return tuple(values)


def _check_list(values: tuple, name: str, least: int = 1) -> None:
    if len(values) < least or len(set(values)) < len(values):
        raise ValueError(f"{name}: got {list(values)}, expected {least} or more, each once")


def flat(record: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """The values of a record of records, by dotted name."""
    values: dict[str, Any] = {}
    for name, value in record.items():
        inside = isinstance(value, Mapping)
        values |= flat(value, f"{above}{name}.") if inside else {f"{above}{name}": value}
    return values
