"""Search for settings with Ray Tune and ASHA: python -m baselines.rllib.tune.

Trials are scored on days of the validation year, by their policies without exploration, as the
environment's own reward counts: cost, and the case's penalty on violation. Of every few trials that
have trained for as long, ASHA (Li et al., 2020) lets only the better part go on. Without a budget
of seconds (`--seconds None`) it counts iterations: on a busy machine seconds tell little.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import tyro
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from baselines.rllib.config import USED_BY, Form, RLConfig, usual
from baselines.rllib.flags import Begun, RLFlags, flag_of, given
from baselines.rllib.run import open_folder, running
from baselines.rllib.session import exit_codes
from gradmap_trainer.flags import check_own_case, read_flags
from gradmap_trainer.lock import locked
from gradmap_trainer.run_folder import case_of_run, case_to_train, holds_run
from gradmap_trainer.workers.session import LOCAL, check_address, ray_session
from gridedge_env.case import CaseSettings
from gridedge_env.checks import check_whole_number
from gridedge_env.simulator import Simulator, make_simulator
from gridedge_env.writing import write_whole
from gridedge_gateway import process

COMMAND = "python -m baselines.rllib.tune"
BEST_FILE, TABLE_FILE, TRIALS_FOLDER = "best.json", "tune.csv", "ray"
# Every trial gets this share of the time before it is compared; the survivors of each comparison
# get as many times more, of which one in as many survives the next.
FIRST_SHARE, REDUCTION = 1 / 9, 3
SMALL = CaseSettings(num_agents=30)  # unless another case is asked for


def search_space(policies: Form) -> dict[str, Any]:
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
    space = {
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
    return {
        name: values for name, values in space.items() if policies in USED_BY.get(name, (policies,))
    }


def score(row: dict[str, float], penalty: float) -> float:
    """€ a day, of a row of a run's log and the case's penalty: the more, the better."""
    return -row["cost"] - penalty * row["violation"]


def search(
    config: RLConfig, simulator: Simulator, trials: int, at_once: int, address: str = LOCAL
) -> tune.ResultGrid:
    """Try settings, and write the table of all and the best one's configuration.

    Args:
        config: of every trial, but for what is searched.
        simulator: its case.
        trials: settings to try.
        at_once: trials that run side by side.
        address: of the Ray cluster that they run on; see `ray_session`.

    Raises:
        ValueError: the folder holds a run, or no training is possible on the case.
        RuntimeError: trials failed; the others' results are written all the same.
    """
    folder = Path(config.run).absolute()
    if holds_run(folder):
        raise ValueError(
            f"run: {config.run} already holds a search or a run, expected another folder (a search "
            "that was stopped cannot be gone on with)"
        )
    open_folder(config, simulator)
    budget = config.seconds or config.iterations
    with (
        ray_session(at_once, address),
        redirect_stdout(StringIO()),  # Tune would tell of a folder that goes when Ray does
        mock.patch.dict(os.environ, TUNE_DISABLE_SIGINT_HANDLER="1"),  # which takes it for the end
    ):
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
                search_alg=tune.search.BasicVariantGenerator(random_state=simulator.case.seed),
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
    """One trial, on the case of the search, in a process that others had before."""
    # Ray kills the sweeper of a private folder with the trial; Ray's own folder goes in any case.
    tempfile.tempdir = os.getcwd()
    name = tune.get_context().get_trial_id()
    base: RLConfig = sample["config"]
    config = replace(base, **_settings(sample), run=f"{base.run}/{name}")
    simulator = make_simulator(case=case_of_run(Path(base.run)))
    open_folder(config, simulator)
    with running(config, simulator) as run:
        for row in run.rows():
            tune.report({**row, "score": score(row, simulator.case.penalty)})


def _settings(sample: dict[str, Any]) -> dict[str, Any]:
    """Fields of `RLConfig` that a sample sets; the learning rate falls to a tenth."""
    chosen = {name: value for name, value in sample.items() if name != "config"}
    return {**chosen, "final_learning_rate": 0.1 * chosen["learning_rate"]}


@dataclass(frozen=True)
class _Asked:
    """What the command line says.

    Attributes:
        config: of every trial, but for what is searched.
        case: folder of a case that was brought; None: there is none.
        trials: settings to try.
        at_once: trials that run side by side.
        address: of the Ray cluster that they run on.
    """

    config: RLConfig
    case: Path | None
    trials: int
    at_once: int
    address: str


def main() -> None:
    """Search and print the best; exit codes as of `baselines.rllib.train`."""
    with exit_codes(COMMAND):
        asked = _parse(sys.argv[1:])
        config, trials = asked.config, asked.trials
        check_whole_number(trials, 1, "trials")
        check_whole_number(asked.at_once, 1, "at_once")
        check_address(asked.address)
        if asked.case is not None:
            check_own_case(config.case, SMALL)
            config = replace(config, case=None)
        case = case_to_train(config.case, Path(config.run), asked.case, resume=False)
        simulator = make_simulator(case=case)
        with locked(Path(config.run)):
            print(f"Curves: tensorboard --logdir {Path(config.run) / TRIALS_FOLDER}", flush=True)
            found = search(config, simulator, trials, asked.at_once, asked.address)
            best = found.get_best_result()
        value = best.metrics["score"]
        print(f"Best of {trials} at {value:,.0f} {case.currency}/day: {_settings(best.config)}")


def _parse(arguments: list[str]) -> _Asked:
    """What is asked for, where settings are those of policies of a form."""
    default = usual(Begun.of(arguments, COMMAND).policies)
    flags = RLFlags.of(replace(default, run="runs/tune", case=SMALL, seconds=90.0))

    def command(
        config: Annotated[RLFlags, tyro.conf.arg(name="")] = flags,
        case: Path | None = None,
        trials: int = 20,
        at_once: int = 2,
        address: str = LOCAL,
    ) -> _Asked:
        """Search for settings of IPPO or MAPPO with Ray Tune.

        Args:
            config: of every trial, but for what is searched. `run` is the folder of the search,
                `seconds`, or `iterations` without them, what a trial trains that goes all the way.
            case: folder of a case of your own, in place of the default case and its options.
            trials: settings to try.
            at_once: trials that run side by side, on one processor each.
            address: of the Ray cluster that they run on: "auto", or "local" for this machine.
        """
        return _Asked(config.config, case, trials, at_once, address)

    asked = read_flags(command, COMMAND, arguments)
    names = given(arguments)
    asked.config.check_used(names)
    for name in (*search_space(asked.config.policies), "final_learning_rate"):
        if name in names:
            value = getattr(asked.config, name)
            raise ValueError(f"{flag_of(name)}: got {value!r}, expected none: it is searched for")
    return asked


if __name__ == "__main__":
    process.run(main)
