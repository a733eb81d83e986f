"""A house with a device of every kind: its file, and steps of its gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
import torch

from benchmarks.gateway.readings import AMSTERDAM, STEP, STORES, VALUES, published
from gradmap_trainer.config import TrainConfig
from gradmap_trainer.export import export_run
from gradmap_trainer.gradmap import make_learner
from gridedge_env import default_case, make_simulator
from gridedge_env.devices import KINDS, Devices, make_fleet
from gridedge_gateway import Controller, Readings, SetPoint


def write_house(folder: Path) -> Path:
    """The file of a house of ordinary size with inverters that choose reactive power."""
    case = default_case("ieee13", 1, home_scale=1.0, reactive_power=True)
    tables = {
        kind: Devices(["house"], KINDS[kind].sample(1, 1.0, np.random.default_rng(0)))
        for kind in KINDS
    }
    case = replace(case, fleet=make_fleet({"house": "671.1"}, tables))
    policies = make_learner(TrainConfig(case=None), make_simulator(case=case)).policies
    with torch.no_grad():
        policies.weights[-1].mul_(100.0)
    simulator = make_simulator(case=case, dtype=torch.float64)
    (path,) = export_run(TrainConfig(case=None), simulator, policies, folder)
    return path


def play(
    controller: Controller,
    begin: datetime,
    steps: int,
    values: Mapping[str, float] = VALUES,
    news: bool = True,
    frozen: bool = False,
) -> list[SetPoint]:
    """Some steps in a row.

    Args:
        controller: of the house.
        begin: of the first.
        steps: how many.
        values: that are read in all of them.
        news: whether of each day, as its first step comes, all is published.
        frozen: whether that is all; else sensors of what is stored waver by a tenth.
    """
    found, days = [], set[date]()
    for time in (begin + STEP * number for number in range(steps)):
        day = time.astimezone(AMSTERDAM).date()
        waver = 0.0 if frozen else 0.1 * (time.minute > 0)
        read = {name: value + waver * (name in STORES) for name, value in values.items()}
        series = published(day) if news and day not in days else {}
        days.add(day)
        found.append(controller.step(Readings(time, read, series)))
    return found


def told(set_point: SetPoint) -> list[str]:
    """What reasons are about."""
    return [reason.split(":")[0] for reason in set_point.reasons]


def followed(set_point: SetPoint) -> str:
    """What all devices do."""
    (what,) = set(set_point.follows.values())
    return what


def without(*names: str) -> dict[str, float]:
    return {name: value for name, value in VALUES.items() if name not in names}


def always(controller: Controller, **actions: float):
    """Its policy, but for actions of devices."""
    act = controller.file.act

    def patched(observation):
        action = act(observation)
        for device in controller.file.devices:
            if device.name in actions:
                action[:, device.slot] = actions[device.name]
        return action

    return patched
