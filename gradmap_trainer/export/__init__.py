"""Deployable policies: one ONNX file per agent, which runs without this package and PyTorch."""

from gradmap_trainer.export.files import export_run, run_fingerprint
from gradmap_trainer.export.policy import (
    action_names,
    export_policies,
    policy_file,
)
from gradmap_trainer.export.replay import Parting, gateway_starts, replay

__all__ = [
    "Parting",
    "action_names",
    "export_policies",
    "export_run",
    "gateway_starts",
    "policy_file",
    "replay",
    "run_fingerprint",
]
