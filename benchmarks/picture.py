"""Draw the README's picture: the feeder when homes follow the price, and under GradMAP.

python -m benchmarks.picture runs/default docs/images/worst_moment.png
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from matplotlib.figure import Figure

from gradmap_trainer.run_folder import case_of_run
from gridedge_env.evaluation import summarise, worst_moment
from gridedge_env.evaluation_files import load_evaluation
from gridedge_env.rendering import draw_feeder
from gridedge_env.simulator import make_simulator
from gridedge_gateway import process


def main(
    run: Annotated[Path, tyro.conf.Positional], picture: Annotated[Path, tyro.conf.Positional]
) -> None:
    """Write the picture.

    Args:
        run: folder of an evaluated run.
        picture: file to write.
    """
    simulator = make_simulator(case=case_of_run(run))
    limits, evaluation = simulator.case.limits, load_evaluation(run, simulator)
    (band,) = (kind for kind in limits if kind.name == "voltage")
    figure = Figure((12.0, 4.6), layout="constrained")
    methods = {"price_following": "Every home follows the price", "gradmap": "GradMAP"}
    for axes, (method, title) in zip(figure.subplots(1, 2), methods.items(), strict=True):
        episode = evaluation.episodes[method]
        day, step = worst_moment(episode, band)
        row = summarise(episode, limits)
        voltage, loading = (episode.quantities[kind][day, step] for kind in ("voltage", "loading"))
        draw_feeder(simulator.feeder, voltage, loading, limits, axes)
        axes.get_legend().remove()
        axes.set_title(
            f"{title}\n{row['cost']:,.0f} €/day; out of voltage band {row['voltage_steps']:.1%}, "
            f"overloaded {row['loading_steps']:.1%} of the time",
            fontsize=9.5,
        )
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    process.run(lambda: tyro.cli(main))
