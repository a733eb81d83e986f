"""The command that trains, validates, evaluates: python -m baselines.rllib.train.

Exit codes: 0 done; 1 RLlib or one of its workers failed, or a disk is full; 2 a mistake in what the
user gave; 130 stopped by Ctrl-C or SIGTERM (--resume goes on from the last checkpoint).
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import tyro

from baselines.rllib.config import RUN_KIND, RLConfig, usual
from baselines.rllib.evaluate import evaluate_policy
from baselines.rllib.flags import Begun, RLFlags, given
from baselines.rllib.run import open_folder, running
from baselines.rllib.session import exit_codes
from gradmap_trainer.config import load_config
from gradmap_trainer.console import interruptible, say, stopped, trained
from gradmap_trainer.event_log import event_log
from gradmap_trainer.flags import check_own_case, read_flags
from gradmap_trainer.lock import locked
from gradmap_trainer.run_folder import case_to_train, holds_run
from gradmap_trainer.workers.session import ray_session
from gridedge_env.case import Case, CaseSettings
from gridedge_env.checks import renamed
from gridedge_env.evaluation import evaluation_days
from gridedge_env.simulator import make_simulator
from gridedge_env.terminal import Terminal
from gridedge_gateway import process
from gridedge_gateway.process import EXIT_INTERRUPTED

COMMAND = "python -m baselines.rllib.train"


def main() -> None:
    """Train, evaluate, save; see the module."""
    console = Terminal()
    with exit_codes(COMMAND):
        config, brought, resume, tensorboard = _parse(sys.argv[1:])
        write = event_log(config.run, tensorboard)
        case = case_to_train(config.case, Path(config.run), brought, resume)
        simulator = make_simulator(case=case)
        with renamed(days="evaluation_days"):
            count = config.evaluation_days
            days = count and evaluation_days(simulator, "test", count)
        with locked(Path(config.run)):
            open_folder(config, simulator, resume)
            with (
                interruptible() as interrupted,  # while Ray starts and kernels are compiled, too
                ray_session(config.env_runners),
                running(config, simulator) as run,
            ):
                begun_at = run.training.iteration
                for row in run.rows(interrupted):
                    write(row)
                    console.print(_line(row, simulator.case), soft_wrap=True)
                done, policy = run.training, run.training.policy
            if interrupted():
                say(console, stopped(done.iteration))
                sys.exit(EXIT_INTERRUPTED)
            say(console, trained(done.iteration, done.seconds, begun_at))
            if days:
                evaluate_policy(console, config, simulator, policy, days)


def _parse(arguments: list[str]) -> tuple[RLConfig, Path | None, bool, bool]:
    """The configuration, the folder of a brought case, whether to resume, and to write events.

    A resumed run's own values are the defaults.
    """
    begun, names = Begun.of(arguments, COMMAND), given(arguments)
    default = usual(begun.policies)
    goes_on = begun.resume and holds_run(Path(begun.run))
    if goes_on:
        default = replace(load_config(Path(begun.run), RLConfig, RUN_KIND), run=begun.run)
        if "policies" in names and begun.policies != default.policies:
            raise ValueError(
                f"policies: got {begun.policies!r}, expected {default.policies!r}, as the run has"
            )
    flags = RLFlags.of(default)

    def command(
        config: Annotated[RLFlags, tyro.conf.arg(name="")] = flags,
        case: Path | None = None,
        resume: bool = False,
        tensorboard: bool = False,
    ) -> tuple[RLConfig, Path | None, bool, bool]:
        """Train IPPO or MAPPO with RLlib.

        Args:
            case: folder of a case of your own, in place of the default case and its options.
            resume: go on with the run in the folder if there is one; its configuration holds,
                and only its budget and evaluation can be changed.
            tensorboard: write the log for TensorBoard, too.
        """
        return config.config, case, resume, tensorboard

    config, brought, resume, tensorboard = read_flags(command, COMMAND, arguments)
    config.check_used(names)
    own_case = default.case is None if goes_on else brought is not None
    if own_case:
        check_own_case(config.case, CaseSettings())
        config = replace(config, case=None)
    return config, brought, resume, tensorboard


def _line(row: dict[str, float], case: Case) -> str:
    outside = ", ".join(f"{kind.name} {row[f'{kind.name}_steps']:.1%}" for kind in case.limits)
    return (
        f"iteration {row['iteration']:.0f}, {row['seconds']:.0f} s: return "
        f"{row['fleet_return']:,.0f} {case.currency}; validation {row['cost']:,.0f} "
        f"{case.currency}/day, steps outside limits: {outside}"
    )


if __name__ == "__main__":
    process.run(main)
