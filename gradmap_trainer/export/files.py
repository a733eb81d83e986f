"""The file of a customer: its policy and, in the metadata, all else that its gateway must know.

Beside what `policy` says there are:

    format    of all this: a gateway that knows another refuses the file
    case      JSON: tariff, clock, time zone, currency, limits of the network; the run it is from
    customer  JSON: where it connects, its devices, their parameters and what can be read of them,
              where they stand when an episode begins, its annual mean demand
    graphs    JSON: by name, those of `Everybody` and of `Customer`; each is `packed`
    program   packed: arrays by name, as NumPy saves them, of the public plan's `FleetProgram`

ONNX has one graph in a file. The others are whole models, which a runtime loads from memory, one
when it is needed: that of a day is by far the largest, and its work done in a moment.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.export.customer import Customer
from gradmap_trainer.export.everybody import Everybody, days_of
from gradmap_trainer.export.policy import action_names, export_policies
from gradmap_trainer.export.tracing import bound, traced
from gradmap_trainer.identity import identity
from gradmap_trainer.policies import Policies
from gridedge_env.devices import DeviceGroup
from gridedge_env.feeder import Feeder
from gridedge_env.feeder.places import place_at, rated_voltage
from gridedge_env.simulator import Simulator
from gridedge_env.state import SimulatorState
from gridedge_gateway.file import FORMAT
from gridedge_gateway.packing import packed
from gridedge_gateway.program import FleetProgram

if TYPE_CHECKING:
    import onnx


# V at 1 pu of a home whose meter does not stand at the voltage of its place on the feeder.
HOUSEHOLD_VOLTAGE = 230.0


def export_run(
    config: TrainConfig, simulator: Simulator, policies: Policies, folder: Path
) -> list[Path]:
    """Write the file of every customer of a run, `folder/<agent>.onnx`.

    Args:
        config: of the run.
        simulator: of its case, on the host, in double precision: in single precision, where devices
            stand drifts from what is stored in them.
        policies: that it trained.
        folder: as of `export_policies`.

    Raises:
        ImportError: the `export` extra is not installed.
        ValueError: a simulator in single precision, or of other customers than the policies.
    """
    if simulator.dtype != torch.float64:
        raise ValueError(f"simulator: got one of {simulator.dtype}, expected torch.float64")
    weights, biases = policies.layers()
    return export_policies(
        weights,
        biases,
        simulator.observation_fields,
        simulator.fleet.names,
        folder,
        action_names(simulator),
        _metadata(config, simulator),
    )


def _metadata(config: TrainConfig, simulator: Simulator) -> Iterator[dict[str, str]]:
    """Of each customer's file."""
    everybody, first = Everybody.of(simulator), simulator.starts("train")[0]
    known = everybody.known(days_of(simulator, "train", first))
    shared = {name: _packed(traced(do, known)) for name, do in everybody.graphs().items()}
    case = {"format": FORMAT, "case": json.dumps(_of_case(config, simulator))}
    if everybody.plan is not None:
        case["program"] = _packed_program(everybody.plan.program)
    state = simulator.reset(split="train", days=[first])
    of_layout: dict[object, dict[str, onnx.ModelProto]] = {}
    for agent, mean_demand in enumerate(state.day.mean_demand.tolist()):
        customer = Customer.of(simulator, agent)
        if customer.layout not in of_layout:
            example = {**known, **_example(customer, simulator, state, agent)}
            of_layout[customer.layout] = {
                name: traced(do, example) for name, do in customer.graphs().items()
            }
        constants = {name: values.numpy() for name, values in customer.constants.items()}
        own = of_layout[customer.layout].items()
        graphs = {name: _packed(bound(model, constants)) for name, model in own}
        yield {
            **case,
            "customer": json.dumps(_of_customer(customer, simulator, mean_demand)),
            "graphs": json.dumps({**shared, **graphs}),
        }


def _example(
    customer: Customer, simulator: Simulator, state: SimulatorState, agent: int
) -> dict[str, Tensor]:
    """What a customer knows beside everybody as a day begins.

    But for the step: before the first there is no load of the last, which the tracer would keep.
    """
    like = state.day.mean_demand
    voltage = simulator.wiring.meter_voltage(state.device_voltage)
    return {
        "action": like.new_zeros(1, simulator.action_size, dtype=torch.float32),
        **customer.readings(state, agent, voltage),
        "step": torch.tensor(1, dtype=torch.long, device=like.device),
        "new_episode": torch.tensor(False, dtype=torch.bool, device=like.device),
        **customer.sensors(),
        **customer.stands(customer.begin),
        **customer.constants,
    }


def _of_case(config: TrainConfig, simulator: Simulator) -> dict[str, object]:
    """What is the same in all files of a run."""
    case = simulator.case
    return {
        "name": case.title,
        "run": run_fingerprint(config, simulator),
        "tariff": case.tariff.record(),
        "steps": case.clock.steps,
        "step_minutes": case.clock.minutes,
        "time_zone": case.time_zone,
        "currency": case.currency,
        # ° north and ° east, by which it is known where the sun stands.
        "site": getattr(case.days, "site", None),
        "limits": case.limits.thresholds,
        "local_response": case.local_response,
    }


def run_fingerprint(config: TrainConfig, simulator: Simulator) -> str:
    """By which a file says what run it is from: SHA-256, hexadecimal."""
    known = json.dumps(identity(config, simulator), sort_keys=True)
    return hashlib.sha256(known.encode()).hexdigest()


def _of_customer(customer: Customer, simulator: Simulator, mean_demand: float) -> dict[str, object]:
    """What one has; devices in the order in which `operate` says what they do."""
    fleet = customer.fleet
    begin = customer.stands(customer.begin)
    devices = [
        {
            "name": group.kind.name if number == 0 else f"{group.kind.name}_{number + 1}",
            "kind": group.kind.name,
            "slot": slot,
            "full_power": float(group.kind.full_power(group.parameters)[number]),
            "inverter_rating": float(group.kind.inverter_rating(group.parameters)[number]),
            "rests": group.kind.rests_in_doubt,
            "parameters": {
                name: float(values[number])
                for name, values in vars(group.parameters).items()
                if isinstance(values, Tensor)
            },
            "readings": _readings(group, number),
        }
        for group in fleet.groups
        for number, slot in enumerate(group.slot.tolist())
    ]
    return {
        "name": fleet.names[0],
        "place": fleet.places[0],
        "nominal_voltage": nominal_voltage(simulator.feeder, fleet.places[0]),
        "mean_demand": mean_demand,
        "devices": devices,
        "begin": {name: values.tolist() for name, values in begin.items()},
    }


def _readings(group: DeviceGroup, number: int) -> list[dict[str, object]]:
    """What can be read of a device, and what is plausible in its unit."""
    full = float(group.kind.full_power(group.parameters)[number])
    return [
        {
            "name": reading.name,
            "unit": reading.unit,
            "lowest": reading.lowest * (full if reading.unit == "kW" else 1.0),
            "highest": reading.highest * (full if reading.unit == "kW" else 1.0),
        }
        for reading in group.kind.readings
    ]


def nominal_voltage(feeder: Feeder, place: str) -> float:
    """V that a home's meter reads at 1 pu.

    A home of a case may stand at a bus of medium voltage, and stands for one behind a transformer.
    """
    buses = {bus.name: bus for bus in feeder.buses}
    rated = rated_voltage(place_at(place, buses), buses)
    return rated if rated < 1e3 else HOUSEHOLD_VOLTAGE


def _packed_program(program: FleetProgram) -> str:
    file = io.BytesIO()
    arrays = asdict(program)
    arrays |= arrays.pop("network") | arrays.pop("demand")
    np.savez(file, **arrays)
    return packed(file.getvalue())


def _packed(model: onnx.ModelProto) -> str:
    return packed(model.SerializeToString())
