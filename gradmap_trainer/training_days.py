"""The days that an iteration of training plays, each departing from an observed one at random."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gradmap_trainer.config import TrainConfig
from gridedge_env.scenarios import Variation
from gridedge_env.simulator import ALL, Simulator
from gridedge_env.state import SimulatorState
from gridedge_env.transfer import to_device


def draw_state(
    config: TrainConfig, simulator: Simulator, random: np.random.Generator, kept: slice = ALL
) -> SimulatorState:
    """A batch of training days at midnight, each departing from the observed one at random.

    Args:
        config: how many, and how far.
        simulator: the case.
        random: chooses them.
        kept: which of them are wanted; all are drawn.
    """
    seed = int(random.integers(2**31))
    days = draw_days(simulator, config.batch_days, random)

    def drawn(deviation: float) -> Tensor:
        values = random.normal(0.0, deviation, len(days))
        return to_device(torch.from_numpy(values).to(simulator.dtype), simulator.device)

    varied = Variation(
        price_factor=drawn(config.price_variation).exp(),
        temperature_shift=drawn(config.temperature_variation),
        demand_factor=drawn(config.demand_variation).exp(),
    )
    return simulator.reset(split="train", seed=seed, days=days, variation=varied, kept=kept)


def draw_days(simulator: Simulator, count: int, random: np.random.Generator) -> list[int]:
    """Training days to begin at, one from each of `count` equal groups by the spread of prices.

    The few days on which everybody wants the same hour decide whether limits hold: every batch has
    some, and none has too many. Each day is drawn as often as any other.
    """
    clock = simulator.clock
    table = simulator.case.days.load("train", clock.day)  # on the host
    starts = torch.tensor(table.starts(clock.days), dtype=torch.long, device="cpu")
    prices = table.day_ahead_price.unfold(0, clock.days, 1)[starts]
    order = starts[prices.flatten(1).std(dim=1).argsort()].tolist()
    edges = np.linspace(0, len(order), count + 1) + random.uniform(0.0, len(order))
    places = random.uniform(edges[:-1], edges[1:]) % len(order)
    return [order[int(place)] for place in places]
