"""gradmap-export as a user meets it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradmap_trainer.run_folder import load_policies
from tests.gradmap_trainer.commands.calling import call


@pytest.mark.parametrize("folder", [None, "elsewhere/policies"])
def test_every_agent_gets_a_policy_file_that_does_what_it_did(copy, tmp_path, capsys, folder):
    """Single precision in another order of adding: a few units of 6e-8 at actions below 1."""
    runtime = pytest.importorskip("onnxruntime")
    target = copy / "policies" if folder is None else tmp_path / folder
    assert call("gradmap-export", copy, *(["--check"] if folder is None else ["--to", target])) == 0
    assert ("On 2024-07-02 they do as" in capsys.readouterr().out) == (folder is None)
    _, simulator, learner = load_policies(copy)
    names = [f"{name}.onnx" for name in simulator.fleet.names]
    beside = ["readings"] if folder is None else []  # of the day that was checked
    assert sorted(path.name for path in target.iterdir()) == sorted([*names, *beside])

    state = simulator.reset(batch_size=4, split="test", seed=1)
    with torch.no_grad():
        expected = learner.policies(*simulator.observe_parts(state)).numpy()
    assert (np.abs(expected) > 0.1).mean() > 0.5, "nothing to compare: most are at rest"
    observations = simulator.observe(state).numpy()
    for agent, name in enumerate(names):
        session = runtime.InferenceSession(target / name, providers=["CPUExecutionProvider"])
        (action,) = session.run(None, {"observation": observations[:, agent]})
        np.testing.assert_allclose(action, expected[:, agent], rtol=0.0, atol=1e-6)
