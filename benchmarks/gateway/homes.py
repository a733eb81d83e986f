"""Homes with every kind of device, and their files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.export import export_run
from gradmap_trainer.gradmap import make_learner
from gradmap_trainer.policies import Policies
from gridedge_env import Simulator, default_case, make_simulator
from gridedge_env.devices import KINDS, Devices, make_fleet

# Homes that each of ours stands for: so many that limits of the feeder bind the public plan.
SCALE = 30.0
# How far random policies are from rest, on their own or of a plan, of which they correct a tenth.
ALONE, PLANNED = 0.5, 3.0
CONFIG = TrainConfig(case=None)
ALL_FIVE = "all five"
# Of a quick pass.
FEW = ("battery",)


@dataclass(frozen=True)
class Variant:
    """Of a case.

    Attributes:
        public_plan: whether policies correct it.
        reactive_power: whether they choose it, too.
    """

    public_plan: bool
    reactive_power: bool

    def __str__(self) -> str:
        plan = "with the public plan" if self.public_plan else "without a plan"
        return f"{plan}, reactive power" if self.reactive_power else plan


def homes(variant: Variant, kinds: Iterable[str] = KINDS) -> Simulator:
    """On ieee13: one with all five devices, and one with a device of each of some kinds."""
    case = default_case(
        "ieee13",
        1,
        home_scale=SCALE,
        public_plan=variant.public_plan,
        reactive_power=variant.reactive_power,
    )
    random = np.random.default_rng(0)
    owners = {kind: [ALL_FIVE] for kind in KINDS}
    for kind in kinds:
        owners[kind].append(kind.replace("_", " "))
    tables = {
        kind: Devices(names, KINDS[kind].sample(len(names), SCALE, random))
        for kind, names in owners.items()
    }
    names = dict.fromkeys(name for of_kind in owners.values() for name in of_kind)
    fleet = make_fleet(dict.fromkeys(names, "671.1"), tables)
    return make_simulator(case=replace(case, fleet=fleet), dtype=torch.float64)


def lively_policies(simulator: Simulator) -> Policies:
    """That each do something else, hour by hour."""
    policies = make_learner(CONFIG, make_simulator(case=simulator.case)).policies
    generator = torch.Generator("cpu").manual_seed(0)
    spread = PLANNED if policies.planned else ALONE
    with torch.no_grad():
        policies.weights[-1].mul_(100.0)
        bias = policies.biases[-1]
        drawn = torch.randn(bias.shape, generator=generator, dtype=bias.dtype, device="cpu")
        bias.add_(spread * drawn)
    return policies


def write_files(variant: Variant, folder: Path, kinds: Iterable[str] = KINDS) -> dict[str, Path]:
    """By name of the home, as of `homes`."""
    simulator = homes(variant, kinds)
    files = export_run(CONFIG, simulator, lively_policies(simulator), folder)
    return dict(zip(simulator.fleet.names, files, strict=True))
