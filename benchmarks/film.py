"""Film the README's day: the feeder when homes follow the price, and under GradMAP.

python -m benchmarks.film runs/default docs/images/day.gif
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from PIL import Image

from gradmap_trainer.run_folder import load_policies
from gridedge_env import Simulator, parallel_env
from gridedge_env.animation import Picture, save_film
from gridedge_env.reference import Policy, PriceFollowing


def main(
    run: Annotated[Path, tyro.conf.Positional],
    film: Annotated[Path, tyro.conf.Positional],
    day: int = 97,
) -> None:
    """Write the film.

    Args:
        run: folder of a run.
        film: file to write.
        day: row of the test year.
    """
    _, simulator, learner = load_policies(run)
    sides = PriceFollowing(simulator), learner.policies
    pictures = zip(*(pictures_of(simulator, policy, day) for policy in sides), strict=True)
    save_film(film, map(side_by_side, pictures))


def side_by_side(pair: tuple[Picture, Picture]) -> Picture:
    """Both at half their size, (height, width, 3)."""
    return np.asarray(Image.fromarray(np.hstack(pair)).reduce(2))


def pictures_of(simulator: Simulator, policy: Policy, day: int) -> Iterator[Picture]:
    """Pictures of a day, after each step."""
    environment = parallel_env(case=simulator.case, split="test", render_mode="rgb_array")
    agents, private = environment.possible_agents, simulator.private_size
    observations, _ = environment.reset(seed=0, options={"day": day})
    while environment.agents:
        rows = torch.from_numpy(np.stack([observations[agent] for agent in agents]))
        with torch.no_grad():
            action = policy(rows[None, :, :private], rows[None, 0, private:])[0]
        observations, *_ = environment.step(dict(zip(agents, action.numpy(), strict=True)))
        picture = environment.render()
        assert picture is not None
        yield picture


if __name__ == "__main__":
    tyro.cli(main)
