"""Search for settings with Ray Tune and ASHA: python -m baselines.rllib.tune.

Trials are scored on days of the validation year, by their policies without exploration, as the
environment's own reward counts: cost, and the case's penalty on violation. Of every few trials that
have trained for as long, ASHA (Li et al., 2020) lets only the better part go on. Without a budget
of seconds (`--seconds None`) it counts iterations: on a busy machine seconds tell little.
"""

from __future__ import annotations

import json
import math
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path
from typing import Annotated, Any

import tyro
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from baselines.rllib.config import RLConfig, usual
from baselines.rllib.flags import RLFlags
from baselines.rllib.run import open_folder, running
from baselines.rllib.session import exit_codes
from gradmap_trainer.flags import read_flags
from gradmap_trainer.lock import locked
from gradmap_trainer.workers.session import ray_session
from gridedge_env.case import CaseSettings
from gridedge_env.checks import check_whole_number
from gridedge_env.writing import write_whole
from gridedge_gateway import process

COMMAND = "python -m baselines.rllib.tune"
BEST_FILE, TABLE_FILE, TRIALS_FOLDER = "best.json", "tune.csv", "ray"
# Every trial gets this share of the time before it is compared; the survivors of each comparison
# get as many times more, of which one in as many survives the next.
FIRST_SHARE, REDUCTION = 1 / 9, 3


def search_space(policies: str) -> dict[str, Any]:
    """Fields of `RLConfig`, and where to look for them for policies of a form."""
    if policies == "shared":
        return {
            "learning_rate": tune.loguniform(2e-4, 1e-2),
            "epochs": tune.choice([1, 2, 4, 8]),
            "minibatches": tune.choice([4, 8, 16]),
            "clip": tune.choice([0.1, 0.2, 0.3]),
            "discount": tune.choice([0.97, 0.99, 1.0]),
            "trace": tune.choice([0.8, 0.9, 0.95]),
            "entropy": tune.choice([0.0, 1e-3, 1e-2]),
            "initial_deviation": tune.choice([0.25, 0.5, 1.0]),
            "reward_scale": tune.choice([0.1, 1.0, 10.0]),
            "credit": tune.choice(["equal", "marginal"]),
            "training_penalty": tune.loguniform(10.0, 300.0),
            "multiplier_step": tune.choice([0.0, 1.0, 10.0]),
        }
    return {
        "learning_rate": tune.loguniform(3e-3, 5e-2),
        "epochs": tune.choice([1, 2, 4]),
        "minibatches": tune.choice([4, 8, 16]),
        "batch_days": tune.choice([8, 16, 32]),
        "clip": tune.choice([0.1, 0.2, 0.3]),
        "discount": tune.choice([0.97, 0.99, 1.0]),
        "trace": tune.choice([0.8, 0.9, 0.95]),
        "initial_deviation": tune.choice([0.25, 0.5, 1.0]),
        "training_penalty": tune.loguniform(1.0, 100.0),
    }


def score(row: dict[str, float], penalty: float) -> float:
    """€ a day, of a row of a run's log and the case's penalty: the more, the better."""
    return -row["cost"] - penalty * row["violation"]


def search(config: RLConfig, trials: int, at_once: int) -> tune.ResultGrid:
    """Try settings, and write the table of all and the best one's configuration.

    Args:
        config: of every trial, but for what is searched.
        trials: settings to try.
        at_once: trials that run side by side.

    Raises:
        ValueError: the case is not one of settings.
        RuntimeError: trials failed; the others' results are written all the same.
    """
    if config.case is None:
        raise ValueError("case: got none, expected settings")
    folder = Path(config.run).absolute()
    budget = config.seconds or config.iterations
    # Tune would tell of a folder for TensorBoard that goes when Ray does.
    with ray_session(at_once), redirect_stdout(StringIO()):
        results = tune.Tuner(
            tune.with_resources(_trial, {"cpu": 1}),
            param_space={
                "config": replace(config, run=str(folder)),
                **search_space(config.policies),
            },
            tune_config=tune.TuneConfig(
                metric="score",
                mode="max",
                num_samples=trials,
                max_concurrent_trials=at_once,
                reuse_actors=True,
                scheduler=ASHAScheduler(
                    time_attr="iteration" if config.seconds is None else "seconds",
                    max_t=math.ceil(budget),
                    grace_period=math.ceil(FIRST_SHARE * budget),
                    reduction_factor=REDUCTION,
                ),
                search_alg=tune.search.BasicVariantGenerator(random_state=config.case.seed),
            ),
            run_config=tune.RunConfig(
                name=TRIALS_FOLDER,
                storage_path=str(folder),
                failure_config=tune.FailureConfig(max_failures=0),
                verbose=0,
            ),
        ).fit()
    write_whole(folder / TABLE_FILE, results.get_dataframe().to_csv(index=False))
    if len(results.errors) == len(results):
        raise RuntimeError(f"all trials failed, the first with: {results.errors[0]}")
    best = results.get_best_result(filter_nan_and_inf=True)
    record = asdict(replace(config, **_settings(best.config)))
    write_whole(folder / BEST_FILE, json.dumps(record, indent=2) + "\n")
    if results.errors:
        raise RuntimeError(f"{len(results.errors)} trials failed: {results.errors[0]}")
    return results


def _trial(sample: dict[str, Any]) -> None:
    """One trial, in a process that others had before."""
    name = tune.get_context().get_trial_id()
    base: RLConfig = sample["config"]
    config = replace(base, **_settings(sample), run=f"{base.run}/{name}")
    simulator = config.make_simulator()
    open_folder(config, simulator)
    with running(config, simulator) as run:
        for row in run.rows():
            tune.report({**row, "score": score(row, simulator.case.penalty)})


def _settings(sample: dict[str, Any]) -> dict[str, Any]:
    """Fields of `RLConfig` that a sample sets; the learning rate falls to a tenth."""
    chosen = {name: value for name, value in sample.items() if name != "config"}
    return {**chosen, "final_learning_rate": 0.1 * chosen["learning_rate"]}


def main() -> None:
    """Search and print the best; exit codes as of `baselines.rllib.train`."""
    with exit_codes(COMMAND):
        config, trials, at_once = _parse(RLConfig())
        config, trials, at_once = _parse(usual(config.policies))
        check_whole_number(trials, 1, "trials")
        check_whole_number(at_once, 1, "at_once")
        with locked(Path(config.run)):
            open_folder(config, config.make_simulator())
            print(f"Curves: tensorboard --logdir {Path(config.run) / TRIALS_FOLDER}", flush=True)
            best = search(config, trials, at_once).get_best_result()
        value = best.metrics["score"]
        print(f"Best of {trials} at {value:,.0f} €/day: {_settings(best.config)}")


def _parse(default: RLConfig) -> tuple[RLConfig, int, int]:
    """The configuration of trials, how many there are, and how many run side by side."""
    small = CaseSettings(num_agents=30)
    flags = RLFlags.of(replace(default, run="runs/tune", case=small, seconds=90.0))

    def command(
        config: Annotated[RLFlags, tyro.conf.arg(name="")] = flags,
        trials: int = 20,
        at_once: int = 2,
    ) -> tuple[RLConfig, int, int]:
        """Search for settings of IPPO or MAPPO with Ray Tune.

        Args:
            config: of every trial, but for what is searched. `run` is the folder of the search,
                `seconds`, or `iterations` without them, what a trial trains that goes all the way.
            trials: settings to try.
            at_once: trials that run side by side, on one processor each.
        """
        return config.config, trials, at_once

    return read_flags(command, COMMAND)


if __name__ == "__main__":
    process.run(main)
