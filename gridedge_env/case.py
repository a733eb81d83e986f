"""A case: everything but the algorithm. Feeder, customers and devices, days, tariff, limits, clock.

    case = default_case(feeder="ieee123", num_agents=1000, seed=0)
    simulator = make_simulator(case=case)

`Case` holds what is simulated, `CaseSettings` how the default case is made: plain values, for
command lines and files.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any

from gridedge_env.case_files import can_be_saved, read_case, write_case
from gridedge_env.checks import (
    check_flag,
    check_known,
    check_members,
    check_not_negative,
    check_seed,
    check_source_voltage,
    check_text,
    check_type,
    check_whole_number,
    renamed,
    settle,
    shown,
)
from gridedge_env.clock import Clock, check_step_minutes
from gridedge_env.constraints import Limits
from gridedge_env.currency import EURO, check_currency
from gridedge_env.devices import (
    Fleet,
    default_home_scale,
    mixed_counts,
    sample_fleet,
    sample_places,
)
from gridedge_env.devices.sampling import MOST_AGENTS, check_home_scale, check_mix
from gridedge_env.feeder import Feeder, load_feeder
from gridedge_env.feeder.places import loads_beside
from gridedge_env.feeder.records import Load
from gridedge_env.public_plan.plan import planned_limits
from gridedge_env.record import Record
from gridedge_env.scenarios import (
    CustomerMeters,
    DaySource,
    DemandSource,
    GeneratedDemand,
    LoadProfiles,
    ObservedDays,
    Tariff,
    load_metered_demand,
    tariff_from_record,
)
from gridedge_env.scenarios.metered import check_unit
from gridedge_env.scenarios.series.local_time import zone_of
from gridedge_gateway.names import check_line

GENERATED = "generated"
AMSTERDAM = "Europe/Amsterdam"
# What a source of demand must have.
DEMAND_MEMBERS = ("assign_homes", "draw", "scale")


@dataclass(frozen=True, eq=False)
class Case(Record):
    """All that a simulator needs to know.

    Attributes:
        feeder: the network, its source voltage and taps as they are to be. Its loads take no part:
            they draw what they draw, beside the homes.
        fleet: customers and their devices, in double precision on the CPU.
        clock: of the days.
        days: where weather and prices come from.
        demand: where the demand of homes comes from.
        load_profiles: how the feeder's own loads go up and down; None: they draw their nominal
            power, as their load models say.
        tariff: retail prices.
        limits: of the network.
        penalty: money in the reward per unit of network violation.
        reactive_power: whether actions have a number for the reactive power of every device, too.
        local_response: whether inverters answer the voltage at their homes by themselves, by
            volt-watt and volt-var.
        regulator_control: whether taps follow their controls: after every step they move as
            OpenDSS's would under its voltages, within the step's time, and stand there in the next
            step. Otherwise they are frozen.
        seed: chooses which demand homes have, and begins all other randomness.
        name: in tables and reports; none: what `title` makes of the rest.
        currency: of all prices and costs, as it is to be written: "€", "CHF".
        public_plan: whether agents observe the plan for the fleet that all can work out.

    Raises:
        ValueError: a field is of another type or out of range, or fields do not fit each other;
            names it, what came and what was expected.
    """

    feeder: Feeder
    fleet: Fleet
    clock: Clock = Clock()
    days: DaySource = ObservedDays()
    demand: DemandSource[Any] = GeneratedDemand()
    load_profiles: LoadProfiles | None = None
    tariff: Tariff = Tariff()
    limits: Limits = field(default_factory=Limits)
    penalty: float = 100.0
    reactive_power: bool = False
    local_response: bool = False
    regulator_control: bool = False
    seed: int = 0
    name: str = ""
    currency: str = EURO
    public_plan: bool = False

    def __post_init__(self) -> None:
        for name, kind in (
            ("feeder", Feeder),
            ("fleet", Fleet),
            ("clock", Clock),
            ("tariff", Tariff),
            ("limits", Limits),
        ):
            check_type(getattr(self, name), kind, name, f"a {kind.__name__}")
        check_members(self.days, ("load",), "days", "a DaySource")
        check_members(self.demand, DEMAND_MEMBERS, "demand", "a DemandSource")
        if isinstance(self.demand, CustomerMeters):
            self.demand.check_case(self.days, len(self.fleet.names))
        if self.load_profiles is not None:
            check_type(self.load_profiles, LoadProfiles, "load_profiles", "LoadProfiles")
            if len(self.load_profiles.names) != len(self.feeder.loads):
                raise ValueError(
                    f"load_profiles.names: got {len(self.load_profiles.names)}, expected one for "
                    f"each of the feeder's {len(self.feeder.loads)} loads"
                )
        sources: tuple[Any, ...] = (self.days, self.demand, self.load_profiles)
        zones = {source.time_zone for source in sources if hasattr(source, "time_zone")}
        if len(zones) > 1:
            listed = ", ".join(sorted(zones))
            raise ValueError(f"time_zone: got {listed}, expected the same of all series")
        # Numbers of NumPy are as good, but a case is to equal the one read from its folder.
        settle(self, seed=check_seed, penalty=check_not_negative)
        for name in ("reactive_power", "local_response", "regulator_control", "public_plan"):
            check_flag(getattr(self, name), name)
        if self.public_plan:
            planned_limits(self.limits)
        check_line(self.name, "name", "text in one line, without spaces at its ends")
        check_currency(self.currency, "currency")
        self.tariff.check_clock(self.clock)
        self.fleet.check_clock(self.clock)

    @property
    def title(self) -> str:
        """Its name or, without one, "1,000 agents on ieee123"."""
        count = len(self.fleet.names)
        return self.name or f"{count:,} agent{'s' * (count != 1)} on {self.feeder.name}"

    @property
    def time_zone(self) -> str:
        """Of its series, an IANA name; the built-in ones are of Amsterdam's."""
        sources: tuple[Any, ...] = (self.demand, self.days, self.load_profiles)
        return next((of.time_zone for of in sources if hasattr(of, "time_zone")), AMSTERDAM)

    @property
    def can_be_saved(self) -> bool:
        """Whether a folder can hold it: no source of days or demand is your own in Python."""
        return can_be_saved(self.days, self.demand)

    def save(self, folder: str | Path) -> None:
        """Write the case as a folder of readable files, which `load_case` reads back exactly.

        Raises:
            ValueError: the folder holds something, or days or demand come from a source of your own
                in Python, which no file can hold.
        """
        write_case(vars(self), Path(folder))

    @property
    def action_size(self) -> int:
        """Numbers per action: one for each device of the agent that has most, or two."""
        return self.fleet.slots * (2 if self.reactive_power else 1)


def load_case(folder: str | Path) -> Case:
    """A case from its folder; `docs/your_case.md` describes what is in it.

    Raises:
        FileNotFoundError: no such folder, or no `case.toml` in it.
        ValueError: what is wrong in its files, all of it, with file, row and column.
    """
    return Case(**read_case(Path(folder))[0])


@dataclass(frozen=True)
class CaseSettings:
    """How the default case is made: fields of configurations, options of commands.

    Attributes:
        feeder: a built-in feeder's name, a folder of tables, or an OpenDSS script.
        num_agents: number of homes, a third with each kind of device if `mix` says nothing else.
        seed: chooses homes, devices and where they stand, and begins all other randomness.
        step_minutes: length of a step: 15, 30 or 60.
        source_voltage: pu behind the feeder's source.
        neutral_taps: regulators at neutral, not at the feeder's tap positions. Those of the
            published feeders boost a full, one-way load; homes that import less and also export
            would see overvoltage at rest.
        regulator_control: whether taps follow their controls from step to step.
        keep_loads: whether the feeder's loads that no home replaces stay, at nominal power. Homes
            are then in proportion to those that they replace.
        home_scale: size of every home over an ordinary one's; None: in proportion to the feeder
            (1 for 1,000 agents on IEEE 123).
        reactive_power: whether batteries and generators also control reactive power, within their
            inverter's rating.
        local_response: whether all that has an inverter answers the voltage by itself, by volt-watt
            and volt-var as of IEEE 1547-2018, category B.
        penalty: € in the reward per unit of network violation.
        public_plan: whether agents observe the plan for the fleet that all can work out.
        tariff: retail prices.
        limits: of the network: thresholds by name that are not the default ones.
        mix: share of the homes with each kind of device by its name, 1 in all; none: thirds of
            batteries, heat pumps and generators.
        demand: "generated", or a file of metered demand.
        demand_unit: of power in that file: "kW" or "W".
        time_zone: of that file, an IANA name.

    Raises:
        ValueError: a setting is of another type or out of range, or two contradict each other;
            names it.
    """

    feeder: str = "ieee123"
    num_agents: int = 1000
    seed: int = 0
    step_minutes: int = 30
    source_voltage: float = 1.0
    neutral_taps: bool = True
    regulator_control: bool = False
    keep_loads: bool = False
    home_scale: float | None = None
    reactive_power: bool = False
    local_response: bool = False
    penalty: float = 100.0
    public_plan: bool = False
    tariff: Tariff = Tariff()
    limits: dict[str, float] = field(default_factory=dict)
    mix: dict[str, float] = field(default_factory=dict)
    demand: str = GENERATED
    demand_unit: str = "kW"
    time_zone: str = AMSTERDAM

    def __post_init__(self) -> None:
        settle(
            self,
            num_agents=lambda value, name: check_whole_number(value, 1, name, MOST_AGENTS),
            seed=check_seed,
            step_minutes=check_step_minutes,
            source_voltage=check_source_voltage,
            penalty=check_not_negative,
        )
        if self.home_scale is not None:
            settle(self, home_scale=check_home_scale)
        switches = "neutral_taps", "regulator_control", "keep_loads"
        for name in (*switches, "reactive_power", "local_response", "public_plan"):
            check_flag(getattr(self, name), name)
        for name in ("feeder", "demand"):
            check_text(getattr(self, name), name, "a name or a path")
        with renamed(unit="demand_unit"):
            check_unit(self.demand_unit)
        if self.time_zone != AMSTERDAM:  # which needs no table of zones while nothing is metered
            zone_of(self.time_zone)
        check_type(self.tariff, Tariff, "tariff", "a Tariff")
        self.tariff.check_clock(Clock.of_minutes(self.step_minutes))
        if not isinstance(self.limits, dict) or any(type(name) is not str for name in self.limits):
            raise ValueError(f"limits: got {shown(self.limits)}, expected thresholds by name")
        limits = Limits(**self.limits)
        settle(self, limits=lambda given, _: {name: getattr(limits, name) for name in given})
        if self.public_plan:
            planned_limits(limits)
        settle(self, mix=check_mix)

    def make(self) -> Case:
        """The case.

        Raises:
            ValueError: a feeder or a file that is none.
        FileNotFoundError: a folder that lacks a table, or a file that is not there.
        """
        return _make_case(self, load_feeder(self.feeder))


def settings_from_record(record: Any) -> CaseSettings:
    """Settings from their record, as `dataclasses.asdict` and TOML files have it.

    Raises:
        ValueError: not an object, or a field is unknown or not what it should be; names it as it
            stands in the record, "case.seed".
    """
    if not isinstance(record, dict):
        raise ValueError(f"case: got {shown(record)}, expected an object")
    check_known(record, [entry.name for entry in fields(CaseSettings)], "case")
    try:
        tariff = tariff_from_record(record.get("tariff", {}))
        return CaseSettings(**{**record, "tariff": tariff})
    except ValueError as error:
        raise ValueError(f"case.{error}") from error


def default_case(
    feeder: str | Feeder = "ieee123",
    num_agents: int = 1000,
    seed: int = 0,
    limits: Limits | None = None,
    demand: str | DemandSource[Any] = GENERATED,
    **options: Any,
) -> Case:
    """The default case, or one that departs from it in some options.

    Args:
        feeder: name of a built-in feeder, a folder of tables, an OpenDSS script, or a `Feeder`.
        num_agents: number of homes, a third with each kind of device if `mix` says nothing else.
        seed: chooses homes, devices and where they stand.
        limits: of the network.
        demand: "generated", a file of metered demand, or any other source.
        **options: other fields of `CaseSettings`.

    Raises:
        ValueError: an option that is unknown or out of range; names it and what was expected.
    """
    given = {"limits", "demand", "feeder", "num_agents"}
    known = [entry.name for entry in fields(CaseSettings) if entry.name not in given]
    for name in options:
        if name not in known:
            raise ValueError(
                f"options: unknown option {name!r}, expected one of "
                f"{', '.join([*known, 'limits', 'demand'])}"
            )
    check_type(feeder, (str, Path, Feeder), "feeder", "a name or a path")
    check_type(limits, (Limits, NoneType), "limits", "Limits")
    if not isinstance(demand, str):
        check_members(demand, DEMAND_MEMBERS, "demand", "a DemandSource")
    settings = CaseSettings(
        num_agents=num_agents,
        seed=seed,
        limits=limits.thresholds if limits else {},
        demand=demand if isinstance(demand, str) else GENERATED,
        **options,
    )
    network = feeder if isinstance(feeder, Feeder) else load_feeder(feeder)
    return _make_case(settings, network, None if isinstance(demand, str) else demand)


def _demand_source(settings: CaseSettings, scale: float) -> DemandSource[Any]:
    """Metered demand is what it is, whatever the size of an ordinary home."""
    if settings.demand == GENERATED:
        return GeneratedDemand(scale)
    try:
        with renamed(timezone="time_zone"):
            return load_metered_demand(settings.demand, settings.demand_unit, settings.time_zone)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"demand: {error}") from error


def _make_case(
    settings: CaseSettings, feeder: Feeder, demand: DemandSource[Any] | None = None
) -> Case:
    """Homes stand where the feeder's own loads are, and replace them."""
    count = int(settings.num_agents)
    replaced, kept = feeder, tuple[Load, ...]()
    if settings.keep_loads:
        kept = loads_beside(feeder, sample_places(feeder, count, settings.seed))
        beside = {load.name for load in kept}
        replaced = feeder.with_loads(load for load in feeder.loads if load.name not in beside)
    scale = settings.home_scale or default_home_scale(replaced, count)
    network = feeder.with_neutral_taps() if settings.neutral_taps else feeder
    return Case(
        feeder=network.with_loads(kept).with_source_voltage(settings.source_voltage),
        fleet=sample_fleet(feeder, mixed_counts(settings.mix, count), settings.seed, scale),
        clock=Clock.of_minutes(settings.step_minutes),
        demand=_demand_source(settings, scale) if demand is None else demand,
        tariff=settings.tariff,
        limits=Limits(**settings.limits),
        penalty=settings.penalty,
        reactive_power=settings.reactive_power,
        local_response=settings.local_response,
        regulator_control=settings.regulator_control,
        seed=settings.seed,
        public_plan=settings.public_plan,
    )
