"""Tensors have the precision and the device that the code names, not those of PyTorch's defaults.

A caller may have changed these: `torch.set_default_dtype`, `torch.set_default_device`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ["gridedge_env", "gradmap_trainer", "baselines"]
# What takes both from the defaults unless told; `new_zeros`, `zeros_like` and so on do not.
FACTORIES = {
    *("Tensor", "arange", "as_tensor", "asarray", "empty", "empty_strided", "eye", "full"),
    *("linspace", "logspace", "normal", "ones", "rand", "randint", "randn", "randperm", "range"),
    *("scalar_tensor", "tensor", "tril_indices", "triu_indices", "zeros"),
}

PROGRAM = """
import hashlib
from dataclasses import fields
import torch
{default}
import gridedge_env
from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import iterate, make_learner

made = []
for dtype in (torch.float32, torch.float64):
    simulator = gridedge_env.make_simulator(
        "ieee13", num_agents=4, reactive_power=True, regulator_control=True, dtype=dtype
    )
    state = simulator.reset(batch_size=2, seed=1)
    action = torch.full((2, 4, 2), 0.3, dtype=dtype, device="cpu")
    following, result = simulator.step(state, action)
    made += [state.day.demand, state.day.import_price, result.cost, result.voltage_magnitude]
    made += [following.devices[0].energy, following.devices[1].temperature, following.tap_position]
    made += [simulator.observe(following), state.day.shared_observation]

from gridedge_env.case import CaseSettings
case = CaseSettings(feeder="ieee13", num_agents=4)
config = TrainConfig(case=case, batch_days=1, minibatches=2, epochs=1)
simulator = config.make_simulator()
learner, _ = iterate(config, simulator, make_learner(config, simulator))
made += [*learner.policies.state_dict().values(), *learner.duals.values()]
for tensor in made:
    print(tensor.dtype, hashlib.sha256(tensor.numpy().tobytes()).hexdigest())
"""


def unnamed(source: str) -> Iterator[str]:
    """Yield the calls of factories that leave precision or device to the defaults.

    What a call gets as `**keywords` is believed to hold both. `torch.where` makes a tensor of the
    default precision, too, where it chooses between two numbers.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "torch":
            names = sorted({alias.name for alias in node.names} & (FACTORIES - {"Tensor"}))
            yield from (f"line {node.lineno}: {name} without torch." for name in names)
        if not isinstance(node, ast.Call):
            continue
        given = {keyword.arg for keyword in node.keywords}
        function = ast.unparse(node.func)
        if function == "torch.where" and list(map(is_number, node.args[1:])) == [True, True]:
            yield f"line {node.lineno}: torch.where of two numbers"
        if function.removeprefix("torch.") in FACTORIES and function.startswith("torch."):
            missing = [name for name in ("dtype", "device") if not given & {name, None}]
            if missing:
                yield f"line {node.lineno}: {function} without {' and '.join(missing)}"


def is_number(node: ast.expr) -> bool:
    """Whether it is written as a number, infinity or NaN."""
    if isinstance(node, ast.UnaryOp):
        return is_number(node.operand)
    return isinstance(node, ast.Constant) or ast.unparse(node).endswith((".inf", ".nan"))


def test_every_factory_is_told_precision_and_device() -> None:
    found: dict[str, list[str]] = defaultdict(list)
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    calls = 0
    for path in files:
        source = path.read_text(encoding="utf-8")
        calls += source.count("torch.")
        for complaint in unnamed(source):
            found[path.relative_to(ROOT).as_posix()].append(complaint)
    assert calls > 300, "hardly any use of PyTorch: was everything read?"
    assert found == {}


def test_complaints_are_made() -> None:
    source = """
from torch import Tensor, zeros
where = {"dtype": torch.float32, "device": "cpu"}
torch.ones(3)
torch.rand(3, dtype=torch.float32, generator=None)
torch.randperm(3, device="cpu")
torch.ones(3, **where)
torch.eye(3, dtype=torch.float32, device="cpu")
torch.ones_like(x), x.new_zeros(3), numpy.zeros(3)
torch.where(x, 0.0, -torch.inf), torch.where(x, y, 0.0), torch.where(x, 0.0, y), torch.where(x)
"""
    assert list(unnamed(source)) == [
        "line 2: zeros without torch.",
        "line 4: torch.ones without dtype and device",
        "line 5: torch.rand without device",
        "line 6: torch.randperm without dtype",
        "line 10: torch.where of two numbers",
    ]


def printed(default: str) -> list[str]:
    """Types and digests of what a process of its own makes under a default."""
    program = PROGRAM.replace("{default}", default)
    process = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


@pytest.fixture(scope="module")
def plain() -> list[str]:
    return printed("")


@pytest.mark.parametrize(
    "default", ["torch.set_default_dtype(torch.float64)", "torch.set_default_device('meta')"]
)
def test_defaults_of_the_caller_change_no_bit(default: str, plain: list[str]) -> None:
    assert len(plain) > 25
    assert printed(default) == plain
