"""What a three-phase feeder is made of: immutable records with names, units and nothing computed.

Every record is one row of a table (`gridedge_env.feeder.tables`), every field one column. A
terminal is a bus and some of its phases: 1, 2, 3 for a, b, c, and 4 or more for a neutral that is a
conductor of its own. 0 is the ground. `gridedge_env.feeder.Feeder` refuses records that do not
fit together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Connection = Literal["wye", "delta", "open_delta"]
LeadLag = Literal["lag", "lead"]
LoadModelName = Literal["constant_power", "constant_current", "constant_impedance", "exponential"]
LengthUnit = Literal["mi", "kft", "km", "m", "ft", "in", "cm", "none"]
Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Source:
    """A grounded three-phase or single-phase voltage source behind its short-circuit impedance.

    Attributes:
        bus: bus it feeds.
        phases: three phases in the order of their rotation, or one.
        base_kv: rated voltage, kV line to line; to ground if single-phase.
        per_unit: voltage behind the impedance, per unit of `base_kv`.
        angle_degrees: angle of the first phase; the others follow at -120 and +120 degrees.
        r1, x1: positive-sequence resistance and reactance, ohm; those of the phase if single-phase.
        r0, x0: zero-sequence resistance and reactance, ohm; of no effect if single-phase.
    """

    bus: str
    phases: tuple[int, ...]
    base_kv: float
    per_unit: float
    angle_degrees: float
    r1: float
    x1: float
    r0: float
    x0: float


@dataclass(frozen=True)
class Bus:
    """A bus: `base_kv` is its base voltage in kV to neutral; x and y are for drawing only."""

    name: str
    phases: tuple[int, ...]
    base_kv: float
    x: float | None = None
    y: float | None = None


@dataclass(frozen=True)
class LineCode:
    """Series impedance and shunt capacitance of a line construction, per `length_unit`.

    Attributes:
        name: line code.
        phases: number of phase conductors.
        resistance: (phases, phases) ohm per length unit, symmetric.
        reactance: (phases, phases) ohm per length unit at the feeder's frequency, symmetric.
        capacitance: (phases, phases) nF per length unit, nodal (off-diagonals negative), symmetric.
        ampacity: thermal limit of each phase conductor, A; None: not rated.
        length_unit: unit of length of the three matrices; "none" goes with lines of unit "none".
    """

    name: str
    phases: int
    resistance: Matrix
    reactance: Matrix
    capacitance: Matrix
    ampacity: float | None
    length_unit: LengthUnit


@dataclass(frozen=True)
class Line:
    """A line: conductor k joins `from_phases[k]` to `to_phases[k]`, in the line code's order.

    A conductor may end at 0, the ground.
    """

    name: str
    from_bus: str
    to_bus: str
    from_phases: tuple[int, ...]
    to_phases: tuple[int, ...]
    line_code: str
    length: float
    length_unit: LengthUnit


@dataclass(frozen=True)
class Switch:
    """A switch of a small resistance per phase; an open one joins nothing."""

    name: str
    from_bus: str
    to_bus: str
    phases: tuple[int, ...]
    resistance_ohm: float
    closed: bool


@dataclass(frozen=True)
class Winding:
    """One winding of a transformer.

    Attributes:
        bus: its bus.
        phases: its terminals: the line terminals of its coils in wye (to the neutral), the three
            corners in delta and open delta. The coil of a single-phase transformer lies between one
            phase and the neutral, or between two, of which one may be 0: (0, 2) is the lower half
            of a centre-tapped winding.
        connection: wye, delta or (two-phase transformers) open delta.
        kv: rated voltage, kV: across the coil in a single-phase transformer, line to line
            otherwise.
        kva: rated power of all phases together.
        resistance_percent: on the power rating of winding 1.
        tap: turns ratio in per unit of the nominal one.
        neutral: phase number that the star point of a wye is tied to; 0: grounded.
    """

    bus: str
    phases: tuple[int, ...]
    connection: Connection
    kv: float
    kva: float
    resistance_percent: float
    tap: float = 1.0
    neutral: int = 0


@dataclass(frozen=True)
class Transformer:
    """A transformer of one, two or three phases and two or more windings.

    Attributes:
        name: transformer.
        phases: number of coils of each winding.
        reactance_percent: short-circuit reactance of each pair of windings on the power rating of
            winding 1, in the order x12, x13, ..., x23, ...
        lead_lag: in a mix of wye and delta, whether the low-voltage side lags the high-voltage side
            by 30 degrees (ANSI; Dy1, Yd1) or leads it (Dy11, Yd11).
        antifloat_ppm: inductive shunt at every coil end and star point, in millionths of the
            transformer's rating, that gives a floating delta a place to stand. OpenDSS's default
            is 1.
        windings: the windings, in order.
        no_load_loss_percent: core loss, on the power rating of winding 1.
        magnetising_percent: magnetising current, on the same.
    """

    name: str
    phases: int
    reactance_percent: tuple[float, ...]
    lead_lag: LeadLag
    antifloat_ppm: float
    windings: tuple[Winding, ...]
    no_load_loss_percent: float = 0.0
    magnetising_percent: float = 0.0


@dataclass(frozen=True)
class Regulator:
    """A tap changer, frozen at `tap_position`, with the settings of the control that moves it.

    Attributes:
        transformer: transformer it belongs to.
        winding: number of the winding with the taps, from 1.
        tap_position: -`tap_limit` to `tap_limit`; the winding's tap is 1 + tap_step · tap_position.
        target_voltage: centre of the band, V on the control's 120-V side.
        bandwidth: full width of the band, V on the same side.
        pt_ratio: potential transformer's ratio, line-to-neutral.
        ct_primary: current transformer's primary rating, A.
        r, x: line-drop compensator's settings, V.
        delay: seconds out of band before a tap moves.
        tap_step: voltage of a step, per unit; 32 steps for ±10 % are usual.
        tap_limit: highest tap position.
    """

    transformer: str
    winding: int
    tap_position: int
    target_voltage: float
    bandwidth: float
    pt_ratio: float
    ct_primary: float
    r: float
    x: float
    delay: float
    tap_step: float = 0.00625
    tap_limit: int = 16

    @property
    def tap(self) -> float:
        """Turns ratio in per unit of the nominal one."""
        return 1.0 + self.tap_step * self.tap_position


@dataclass(frozen=True)
class Capacitor:
    """A capacitor bank: `kvar` of all phases together at `kv`.

    `kv` is line to line for two or three phases in wye, and across the capacitor otherwise.
    `neutral` is the phase number that the star point of a wye is tied to; 0: grounded.
    """

    name: str
    bus: str
    phases: tuple[int, ...]
    connection: Connection
    kvar: float
    kv: float
    neutral: int = 0

    @property
    def branches(self) -> tuple[tuple[int, int], ...]:
        """(phase, phase) of each unit; 0 is ground."""
        return terminal_pairs(self.phases, self.connection, self.neutral)

    @property
    def branch_kv(self) -> float:
        """Rated voltage across each unit, kV."""
        return branch_kv(self.kv, self.phases, self.connection)


@dataclass(frozen=True)
class Load:
    """A load: `kw` and `kvar` drawn by all phases together at `kv`, shared equally.

    `kv` is line to line for two or three phases in wye, and across the load otherwise. The load
    keeps its model between `vmin_pu` and `vmax_pu` of `kv`, becomes a constant impedance above, and
    changes linearly to its nominal impedance at `vlow_pu` below. The defaults are OpenDSS's.

    An exponential load draws kw · v^p_exponent and kvar · v^q_exponent at v per unit of `kv`.
    `neutral` is the phase number that the star point of a wye is tied to; 0: grounded. A generator
    is a load of negative `kw`; at `vlow_pu` = 0 it is a constant impedance below `vmin_pu`.
    """

    name: str
    bus: str
    phases: tuple[int, ...]
    connection: Connection
    model: LoadModelName
    kv: float
    kw: float
    kvar: float
    vmin_pu: float = 0.95
    vmax_pu: float = 1.05
    vlow_pu: float = 0.5
    neutral: int = 0
    p_exponent: float | None = None
    q_exponent: float | None = None

    @property
    def branches(self) -> tuple[tuple[int, int], ...]:
        """(phase, phase) of each branch of the load; 0 is ground."""
        return terminal_pairs(self.phases, self.connection, self.neutral)

    @property
    def branch_kv(self) -> float:
        """Rated voltage across each branch of the load, kV."""
        return branch_kv(self.kv, self.phases, self.connection)


@dataclass(frozen=True)
class Admittance:
    """Any other linear element, by its admittance: a reactor, an unusual transformer.

    Attributes:
        name: element.
        from_nodes: nodes of its first terminal, "bus.phase".
        to_nodes: their counterparts at the second terminal; none if the element is a shunt.
        conductance: (nodes, nodes) S over from_nodes and to_nodes, symmetric.
        susceptance: (nodes, nodes) S, likewise.
    """

    name: str
    from_nodes: tuple[str, ...]
    to_nodes: tuple[str, ...]
    conductance: Matrix
    susceptance: Matrix


@dataclass(frozen=True)
class FeederRecords:
    """All records of a feeder. Nodes come in the order of `buses`, and of the phases of each."""

    name: str
    frequency: float
    source: Source
    buses: tuple[Bus, ...]
    line_codes: tuple[LineCode, ...] = ()
    lines: tuple[Line, ...] = ()
    switches: tuple[Switch, ...] = ()
    transformers: tuple[Transformer, ...] = ()
    regulators: tuple[Regulator, ...] = ()
    capacitors: tuple[Capacitor, ...] = ()
    loads: tuple[Load, ...] = ()
    admittances: tuple[Admittance, ...] = ()
    provenance: str = ""

    @property
    def node_names(self) -> list[str]:
        """Every node as bus.phase, in order."""
        return [f"{bus.name}.{phase}" for bus in self.buses for phase in bus.phases]


def terminal_pairs(
    phases: Sequence[int], connection: Connection, neutral: int = 0, step: int = 1
) -> tuple[tuple[int, int], ...]:
    """The two ends of each branch of a wye or delta element; 0 is ground.

    Args:
        phases: the element's terminals, in order. A delta of two has one branch, of three three.
        connection: wye joins every terminal to the neutral, delta every terminal to the one `step`
            on, open delta every terminal but the last to the next.
        neutral: of a wye.
        step: 1, or -1 for a delta wound the other way round.
    """
    if connection == "wye":
        return tuple((phase, neutral) for phase in phases)
    if connection == "open_delta" or len(phases) == 2:
        return tuple(pairwise(phases))
    count = len(phases)
    return tuple((phases[k], phases[(k + step) % count]) for k in range(count))


def branch_kv(kv: float, phases: Sequence[int], connection: Connection) -> float:
    """Rated voltage across each branch: `kv` is line to line in a wye of more than one phase."""
    return kv / math.sqrt(3.0) if connection == "wye" and len(phases) > 1 else kv
