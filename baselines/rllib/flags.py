"""A run's configuration as the flags of a command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from baselines.rllib.config import RLConfig
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


CaseFlags.__doc__ = CaseSettings.__doc__
RLFlags.__doc__ = RLConfig.__doc__
