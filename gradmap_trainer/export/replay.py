"""Whether exported files do what the simulator does: a day of the test year, played through both.

A file goes its own way: it has a gateway's readings, works out itself where its devices stand, and
is never put right by the simulator.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradmap_trainer.export.customer import NEXT, Customer
from gradmap_trainer.export.policy import policy_file
from gradmap_trainer.export.tracing import Named
from gradmap_trainer.policies import Policies
from gridedge_env.day import Window
from gridedge_env.reference import play
from gridedge_env.simulator import Simulator
from gridedge_env.state import SimulatorState

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Arrays: TypeAlias = dict[str, NDArray[Any]]

# What single precision leaves of a day when sums are taken in another order: of entries of an
# observation, which go to 10, and of full power.
SAME_OBSERVATION, SAME_POWER = 5e-5, 1e-5


@dataclass(frozen=True)
class Parting:
    """By how much a customer's file and the simulator differ at most, over a day.

    Attributes:
        agent: the customer.
        observation: of any entry.
        power: kW and kvar over full power, of any device.
    """

    agent: str
    observation: float
    power: float

    @property
    def is_small(self) -> bool:
        """Whether rounding can have done it; NaN cannot."""
        return self.observation <= SAME_OBSERVATION and self.power <= SAME_POWER


class CustomerFile:
    """An exported file, and what its customer's gateway knows.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        policy = _session(path.read_bytes())
        packed = json.loads(policy.get_modelmeta().custom_metadata_map["graphs"])
        self._graphs = {"act": policy} | {name: _unpacked(text) for name, text in packed.items()}
        self.known: Arrays = {}

    def run(self, graph: str) -> Arrays:
        """What a graph makes of what is known; "act" is the policy."""
        session = self._graphs[graph]
        found = session.run(None, {i.name: self.known[i.name] for i in session.get_inputs()})
        return dict(zip((o.name for o in session.get_outputs()), found, strict=True))

    def begin(self, known: Arrays) -> None:
        """An episode, of which prices and forecasts are known, and where the devices stand."""
        self.known = dict(known)
        self.known |= self.run("day")

    def step(self, readings: Arrays) -> Arrays:
        """One step; what all graphs have said of it."""
        self.known |= readings
        for graph in ("observe", "act", "operate"):
            said = self.run(graph)
            self.known |= {name.removeprefix(NEXT): values for name, values in said.items()}
        return self.known


def replay(simulator: Simulator, policies: Policies, folder: Path, day: int) -> list[Parting]:
    """Play an episode of the test year, and compare what each customer's file makes of it.

    Args:
        simulator: of the run.
        policies: of the run.
        folder: of the files.
        day: row of `simulator.days("test")` at which it begins.

    Raises:
        FileNotFoundError: a customer has no file.
    """
    fleet, state = simulator.fleet, simulator.reset(split="test", days=[day])
    public = _public(simulator, day)
    gateways = []
    for agent, name in enumerate(fleet.names):
        customer, file = Customer.of(simulator, agent), CustomerFile(folder / policy_file(name))
        file.begin(_arrays({**public, **customer.stands(fleet.of_home(state.devices, agent))}))
        gateways.append((customer, file))
    owner = torch.cat([group.agent for group in fleet.groups]).numpy()
    full = fleet.join([group.kind.full_power(group.parameters) for group in fleet.groups]).numpy()
    worst = np.zeros((len(gateways), 2))
    for before, action, _ in play(simulator, policies, state):
        voltage = simulator.wiring.meter_voltage(before.device_voltage)
        observed, flows = simulator.observe(before)[0].numpy(), _flows(simulator, before, action)
        for agent, (customer, file) in enumerate(gateways):
            said, own = (
                file.step(_arrays(customer.readings(before, agent, voltage))),
                owner == agent,
            )
            apart = (
                said["observation"][0] - observed[agent],
                [(said[name][0] - flow[own]) / full[own] for name, flow in flows.items()],
            )
            worst[agent] = np.maximum(worst[agent], [np.abs(values).max() for values in apart])
    return [Parting(name, *map(float, row)) for name, row in zip(fleet.names, worst, strict=True)]


def _public(simulator: Simulator, day: int) -> dict[str, Tensor]:
    """Prices and forecasts of an episode of the test year, as `Customer.day` takes them."""
    rows = torch.arange(day, day + simulator.clock.days, dtype=torch.long, device="cpu")
    days = simulator.days("test").select(rows)
    return {
        "day_ahead_price": days.day_ahead_price,
        "price_forecast": days.as_forecast.day_ahead_price,
        "temperature_forecast": days.as_forecast.outdoor_temperature,
        "weekend": days.weekend,
    }


def _flows(simulator: Simulator, before: SimulatorState, action: Tensor) -> Arrays:
    """(devices,) what an action makes all devices of the simulator draw, as `Customer.operate`."""
    fleet, bounded = simulator.fleet, action[None].clamp(-1.0, 1.0)
    _, power, _ = fleet.run(before.devices, bounded, Window(before.day, before.step, 1))
    flows = {"power": power[0, 0].numpy()}
    if simulator.case.reactive_power:
        share = fleet.join(fleet.split(bounded[..., fleet.slots :]))
        flows["reactive_power"] = (share * fleet.reactive_room(power))[0, 0].numpy()
    return flows


def _arrays(values: Named) -> Arrays:
    return {name: value.numpy() for name, value in values.items()}


@lru_cache(maxsize=64)  # what everybody can read is worked out by the same graph
def _unpacked(text: str) -> InferenceSession:
    return _session(zlib.decompress(base64.b64decode(text)))


def _session(model: bytes) -> InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
