"""Transformers and regulators of an OpenDSS circuit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from gridedge_env.feeder.elements import transformer_element
from gridedge_env.feeder.opendss.circuit import Circuit, CircuitElement
from gridedge_env.feeder.opendss.elements import OTHER_THAN_WYE, admittance_of
from gridedge_env.feeder.opendss.verification import same_admittance
from gridedge_env.feeder.records import Admittance, Regulator, Transformer, Winding

PLAIN_CONTROL = {
    "Bus": "",
    "Reversible": False,
    "InverseTime": False,
    "VLimit": 0.0,
    "PTPhase": "1",
    "LDC_Z": 0.0,
}
"""The settings of a control that `Regulator` can hold, where it has no field for them."""


@dataclass(frozen=True)
class Transformers:
    """The transformers of a circuit, the regulators among them, and what is neither."""

    transformers: tuple[Transformer, ...]
    regulators: tuple[Regulator, ...]
    admittances: tuple[Admittance, ...]


def transformers_of(circuit: Circuit) -> Transformers:
    """Every transformer, its taps where the controls have left them.

    The tap is the regulator's where `Regulator` can hold the control, else the winding's own.
    """
    transformers: dict[str, Transformer] = {}
    admittances: list[Admittance] = []
    for element in circuit.elements_of("Transformer"):
        transformer = _transformer(element)
        if transformer is not None and _is_same(transformer, element):
            transformers[element.name] = transformer
        else:
            admittances += admittance_of(element)
    properties = {
        element.name: element.properties for element in circuit.elements_of("Transformer")
    }
    controls = circuit.regulator_controls
    driven = Counter((c["Transformer"], c["TapWinding"]) for c in controls)
    regulators = tuple(
        regulator
        for control in controls
        if control["Transformer"].lower() in transformers
        and driven[control["Transformer"], control["TapWinding"]] == 1
        for regulator in _regulator(control, properties[control["Transformer"].lower()])
    )
    for regulator in regulators:
        before = transformers[regulator.transformer]
        transformers[regulator.transformer] = _without_tap(before, regulator.winding)
    return Transformers(tuple(transformers.values()), regulators, tuple(admittances))


def _transformer(element: CircuitElement) -> Transformer | None:
    """What the properties say; None where there is no such record."""
    properties = element.properties
    windings = tuple(
        _winding(properties, number, terminal) for number, terminal in enumerate(element.terminals)
    )
    reactance = tuple(map(_tidy, properties["XSCArray"]))
    rated = all(w.kv > 0 and w.kva > 0 and w.tap > 0 for w in windings)
    shunts = [properties[name] for name in ("ppm_Antifloat", "pctNoLoadLoss", "pctIMag")]
    possible = properties["Phases"] in (1, 2, 3) and all(map(_is_possible, windings))
    if not (rated and possible and min(reactance) > 0 and min(shunts) >= 0):
        return None
    return Transformer(
        name=element.name,
        phases=properties["Phases"],
        reactance_percent=reactance,
        lead_lag="lead" if properties["LeadLag"] == "Lead" else "lag",
        antifloat_ppm=properties["ppm_Antifloat"],
        windings=windings,
        no_load_loss_percent=_tidy(properties["pctNoLoadLoss"]),
        magnetising_percent=_tidy(properties["pctIMag"]),
    )


def _winding(
    properties: dict[str, Any], number: int, terminal: tuple[tuple[str, int], ...]
) -> Winding:
    delta = properties["Conn"][number] == "delta"
    connection = OTHER_THAN_WYE.get(properties["Phases"], "delta") if delta else "wye"
    phases, neutral = _ends(properties["Phases"], delta, tuple(node for _, node in terminal))
    return Winding(
        bus=terminal[0][0],
        phases=phases,
        connection=connection,
        kv=properties["kV"][number],
        kva=properties["kVA"][number],
        resistance_percent=_tidy(properties["pctR"][number]),
        tap=properties["Tap"][number],
        neutral=neutral,
    )


def _ends(count: int, delta: bool, nodes: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """Phases and neutral of a winding; a single coil may lie between any two nodes."""
    if delta:
        return nodes[: 2 if count == 1 else 3], 0
    if count == 1 and (nodes[0] == 0 or 0 < nodes[1] <= 3):
        return nodes, 0
    return nodes[:-1], nodes[-1]


def _is_possible(winding: Winding) -> bool:
    """Whether its nodes are different, and one of them at most the ground."""
    live = [phase for phase in winding.phases if phase]
    grounded = len(winding.phases) - len(live)
    neutral_apart = winding.neutral == 0 or winding.neutral not in live
    return bool(live) and grounded <= 1 and len(set(live)) == len(live) and neutral_apart


def _is_same(transformer: Transformer, element: CircuitElement) -> bool:
    taps = [winding.tap for winding in transformer.windings]
    return same_admittance(transformer_element(transformer, taps), element)


def _regulator(control: dict[str, Any], transformer: dict[str, Any]) -> Iterator[Regulator]:
    """The control as a regulator; nothing where it does more than a regulator can."""
    number = control["TapWinding"]
    least, most, steps, tap = (
        transformer[name][number - 1] for name in ("MinTap", "MaxTap", "NumTaps", "Tap")
    )
    plain = all(control[name] == setting for name, setting in PLAIN_CONTROL.items())
    if not plain or control["Winding"] != number or steps % 2 or abs(least + most - 2) > 1e-12:
        return
    step = _tidy((most - least) / steps)
    position = round((tap - 1) / step)
    if abs(1 + step * position - tap) > 1e-12:
        return
    yield Regulator(
        transformer=control["Transformer"].lower(),
        winding=number,
        tap_position=position,
        target_voltage=control["VReg"],
        bandwidth=control["Band"],
        pt_ratio=control["PTRatio"],
        ct_primary=control["CTPrim"],
        r=control["R"],
        x=control["X"],
        delay=control["Delay"],
        tap_step=step,
        tap_limit=steps // 2,
    )


def _without_tap(transformer: Transformer, number: int) -> Transformer:
    """The transformer with the tap of a winding left to its regulator."""
    windings = [
        replace(winding, tap=1.0) if index == number else winding
        for index, winding in enumerate(transformer.windings, start=1)
    ]
    return replace(transformer, windings=tuple(windings))


def _tidy(value: float) -> float:
    """Without the last digits that OpenDSS loses between percent and per unit."""
    return float(f"{value:.14g}")
