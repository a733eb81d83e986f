"""Whether exported files do what the simulator does: a day of the test year, played through both.

A file goes its own way: it has a gateway's readings, works out itself where its devices stand, and
is never put right by the simulator.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradmap_trainer.export.customer import NEXT, Customer
from gradmap_trainer.export.everybody import FLEET, Everybody, days_of
from gradmap_trainer.export.packing import unpacked
from gradmap_trainer.export.policy import policy_file
from gradmap_trainer.export.tracing import Named, named
from gradmap_trainer.policies import Policies
from gridedge_env.day import Window
from gridedge_env.reference import play
from gridedge_env.simulator import Simulator
from gridedge_env.state import SimulatorState
from gridedge_gateway.program import FleetProgram, Flexibility, Network

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Arrays: TypeAlias = dict[str, NDArray[Any]]

# All but the policy is in double precision. Entries of an observation, up to 10, are rounded for it
# to 5e-7; its layers multiply that, and what their own sums are rounded by, by about ten, and what
# a device did is observed again in the next step.
SAME_OBSERVATION = SAME_POWER = 1e-5


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

    def __str__(self) -> str:
        return (
            f"{self.agent}: parts from the simulator by {self.observation:.1e} in an observation, "
            f"{self.power:.1e} of full power"
        )


class CustomerFile:
    """An exported file, and what its customer's gateway knows.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        policy = _session(path.read_bytes())
        metadata = policy.get_modelmeta().custom_metadata_map
        graphs = json.loads(metadata["graphs"])
        self._graphs = {"act": policy} | {name: _graph(text) for name, text in graphs.items()}
        self._program = _program(metadata["program"]) if "program" in metadata else None
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
        if self._program is not None:
            flexibility = Flexibility(**self.run("flexibility"))
            month, weekend = self.known["month"], self.known["weekend"].astype(int)
            self.known |= named(self._program.plan(flexibility, month, weekend), FLEET)
            self.known |= self.run("told")

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
        simulator: as of `export_run`.
        policies: of the run.
        folder: of the files.
        day: row of `simulator.days("test")` at which it begins.

    Raises:
        ImportError: the `export` extra is not installed.
        FileNotFoundError: a customer has no file.
    """

    def policy(private: Tensor, shared: Tensor) -> Tensor:
        return policies(private.float(), shared.float())

    fleet, begin = simulator.fleet, simulator.reset(split="test", days=[day])
    news = Everybody.of(simulator).news(days_of(simulator, "test", day))
    played = [
        _Played.of(simulator, before, action)
        for before, action, _ in play(simulator, policy, begin)
    ]
    owner = torch.cat([group.agent for group in fleet.groups]).numpy()
    full = fleet.join([group.kind.full_power(group.parameters) for group in fleet.groups]).numpy()
    partings = []
    for agent, name in enumerate(fleet.names):
        customer, file = Customer.of(simulator, agent), CustomerFile(folder / policy_file(name))
        file.begin(_arrays({**news, **customer.stands(fleet.of_home(begin.devices, agent))}))
        own, worst = owner == agent, np.zeros(2)
        for then in played:
            said = file.step(_arrays(customer.readings(then.before, agent, then.voltage)))
            apart = (
                said["observation"][0] - then.observations[agent],
                [(said[flow][0] - values[own]) / full[own] for flow, values in then.flows.items()],
            )
            worst = np.maximum(worst, [np.abs(values).max() for values in apart])
        partings.append(Parting(name, *map(float, worst)))
    return partings


@dataclass(frozen=True)
class _Played:
    """A step of the simulator.

    Attributes:
        before: the state in which it begins, a batch of one.
        voltage: (1, agents) pu at the meters.
        observations: (agents, fields).
        flows: (devices,) each, what `Customer.operate` calls power and reactive_power.
    """

    before: SimulatorState
    voltage: Tensor
    observations: NDArray[np.float64]
    flows: Arrays

    @classmethod
    def of(cls, simulator: Simulator, before: SimulatorState, action: Tensor) -> _Played:
        """What it does."""
        fleet, bounded = simulator.fleet, action[None].to(simulator.dtype).clamp(-1.0, 1.0)
        window = Window(before.day, before.step, 1)
        _, power, _ = fleet.run(before.devices, bounded, window)
        flows = {"power": power[0, 0].numpy()}
        if simulator.case.reactive_power:
            share = fleet.join(fleet.split(bounded[..., fleet.slots :]))
            flows["reactive_power"] = (share * fleet.reactive_room(power))[0, 0].numpy()
        voltage = simulator.wiring.meter_voltage(before.device_voltage)
        return cls(before, voltage, simulator.observe(before)[0].numpy(), flows)


def _arrays(values: Named) -> Arrays:
    return {name: value.numpy() for name, value in values.items()}


def _program(text: str) -> FleetProgram:
    with np.load(io.BytesIO(unpacked(text)), allow_pickle=False) as arrays:
        found = dict(arrays)
    network = Network(*(found.pop(entry.name) for entry in fields(Network)))
    return FleetProgram(network, hours=float(found.pop("hours")), **found)


@lru_cache(maxsize=64)  # of all customers of a run, some are the same
def _graph(text: str) -> InferenceSession:
    return _session(unpacked(text))


def _session(model: bytes) -> InferenceSession:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            "checking exported files needs onnxruntime: pip install 'gridedge[export]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
