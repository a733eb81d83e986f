"""A run's configuration as the flags of a command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from gradmap_trainer.config import TrainConfig
from gridedge_env.case import CaseSettings


@dataclass(frozen=True)
class TrainFlags(TrainConfig):
    """As `TrainConfig`; the fields of the case are flags like all others, `--num-agents`."""

    case: Annotated[CaseSettings, tyro.conf.arg(name="")] = CaseSettings()

    @staticmethod
    def of(config: TrainConfig) -> TrainFlags:
        """Flags whose defaults are a configuration."""
        return TrainFlags(**vars(config))

    @property
    def config(self) -> TrainConfig:
        """The configuration."""
        return TrainConfig(**vars(self))


TrainFlags.__doc__ = TrainConfig.__doc__
