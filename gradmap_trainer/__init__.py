"""GradMAP: training of unshared decentralised policies by gradients through the power flow."""

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.training import open_run, train
from gridedge_env.evaluation import evaluate, evaluation_days, summarise

__all__ = ["TrainConfig", "evaluate", "evaluation_days", "open_run", "summarise", "train"]
