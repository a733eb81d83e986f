"""A run's configuration as the flags of a command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, get_type_hints

import tyro

from baselines.rllib.config import SHARED, Form, RLConfig
from gridedge_env.case import CaseSettings
from gridedge_env.checks import renamed


@dataclass(frozen=True)
class CaseFlags(CaseSettings):
    """As `CaseSettings`; its penalty is `--reward-penalty`, for `--penalty` is training's."""

    penalty: Annotated[float, tyro.conf.arg(name="reward-penalty")] = CaseSettings.penalty

    def __post_init__(self) -> None:
        with renamed(penalty="reward_penalty"):
            super().__post_init__()


@dataclass(frozen=True)
class RLFlags(RLConfig):
    """As `RLConfig`; the fields of the case are flags like all others, `--num-agents`."""

    case: Annotated[CaseFlags, tyro.conf.arg(name="")] = CaseFlags()
    training_penalty: Annotated[float, tyro.conf.arg(name="penalty")] = RLConfig.training_penalty

    def __post_init__(self) -> None:
        with renamed(training_penalty="penalty"):
            super().__post_init__()

    @staticmethod
    def of(config: RLConfig) -> RLFlags:
        """Flags whose defaults are a configuration."""
        return RLFlags(**{**vars(config), "case": CaseFlags(**vars(config.case or CaseSettings()))})

    @property
    def config(self) -> RLConfig:
        """The configuration."""
        return RLConfig(**{**vars(self), "case": CaseSettings(**vars(self.case))})


@dataclass(frozen=True)
class Begun:
    """What settles the defaults of all other flags.

    Attributes:
        policies: as of `RLConfig`.
        run: folder of the run.
        resume: whether to go on with it.
    """

    policies: Form = RLConfig.policies
    run: str = RLConfig.run
    resume: bool = False

    @staticmethod
    def of(arguments: Sequence[str], name: str) -> Begun:
        """What a command of a name is given of it."""
        begun, _ = tyro.cli(
            Begun, prog=name, args=arguments, return_unknown_args=True, add_help=False
        )
        return begun


def given(arguments: Sequence[str]) -> set[str]:
    """Fields of `RLConfig` that a command's arguments set, if only to their defaults."""
    flags = {word.partition("=")[0].replace("-", "_") for word in arguments}
    return {field.name for field in fields(RLConfig) if f"__{flag_of(field.name)}" in flags}


def flag_of(name: str) -> str:
    """What a field of `RLConfig` is called on the command line, with underscores."""
    return "penalty" if name == "training_penalty" else name


def _in_words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _tell_defaults() -> None:
    """Have the help show the defaults of shared policies beside the others', where they differ."""
    hints = get_type_hints(RLFlags, include_extras=True)
    for name, usual in vars(RLConfig()).items():
        shared = getattr(SHARED, name)
        if shared != usual:
            told = f"default: {_in_words(usual)}"
            if name != "policies":
                told += f"; shared: {_in_words(shared)}"
            hint = tyro.conf.arg(help_behavior_hint=f"({told})")
            RLFlags.__annotations__[name] = Annotated[hints[name], hint]


CaseFlags.__doc__ = CaseSettings.__doc__
RLFlags.__doc__ = RLConfig.__doc__
_tell_defaults()
