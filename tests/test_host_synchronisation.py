"""On a GPU the host only launches: no step, day or iteration waits for a number on the way.

A host that waits leaves the device idle until its next launch. Where there is no GPU, PyTorch's
meta device stands in: its tensors have a shape but no numbers, so that nobody can look at one; what
else would wait is refused here. Where there is one, CUDA itself refuses.

Written for unittest, which a bare GPU machine has: `python tests/test_host_synchronisation.py`.
"""

from __future__ import annotations

import sys
import unittest
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from gradmap_trainer import gradmap
from gradmap_trainer.config import TrainConfig
from gridedge_env.case import CaseSettings
from gridedge_env.parallel import GridEdgeParallelEnv
from gridedge_env.simulator import Simulator
from gridedge_env.state import Result, SimulatorState
from gridedge_env.transfer import to_host

DEVICE = "cuda" if torch.cuda.is_available() else "meta"
TORCH = Path(torch.__file__).parent
CASE = CaseSettings(num_agents=12)
CONFIG = TrainConfig(case=CASE, batch_days=2, minibatches=3, epochs=2, device=DEVICE)


class TestHostSynchronisation(unittest.TestCase):
    case = CASE
    config: TrainConfig
    simulator: Simulator
    state: SimulatorState

    @classmethod
    def setUpClass(cls) -> None:
        cls.config = replace(CONFIG, case=cls.case)
        with stand_ins():
            # `make_simulator` would refuse a device that has no numbers.
            cls.simulator = Simulator(cls.case.make(), torch.device(DEVICE), torch.float32)
            cls.state = cls.simulator.reset(CONFIG.batch_days)
        # Constants go to the device when they are first used.
        cls.simulator.observe(cls.state)

    def actions(self, *leading: int) -> Tensor:
        shape = (*leading, self.simulator.num_agents, self.simulator.action_size)
        return torch.full(shape, 0.1, device=DEVICE, requires_grad=True)

    def test_the_guard_refuses_whatever_waits(self) -> None:
        numbers, places = torch.ones(3, device=DEVICE), torch.tensor([0, 2])
        waiting = {
            "float": lambda: float(numbers[0]),
            "truth": lambda: bool((numbers > 0.0).any()),
            "list": lambda: numbers.tolist(),
            "fetch": lambda: numbers.cpu(),
            "send": lambda: torch.ones(3).to(DEVICE),
            "copy": lambda: numbers.copy_(torch.ones(3)),
            "make": lambda: torch.tensor([1.0, 2.0], device=DEVICE),
            "make alike": lambda: numbers.new_tensor([1.0, 2.0]),
            "nonzero": lambda: numbers.nonzero(),
            "mask": lambda: numbers[numbers > 0.0],
            "gather by the host's index": lambda: numbers[places],
        }
        for name, wait in waiting.items():
            # The meta device refuses some of itself. pytest.raises is not there without pytest.
            error = Waited if DEVICE == "meta" else RuntimeError
            refused = self.assertRaises(error)  # noqa: PT027
            with self.subTest(name), refused, no_waiting():
                wait()

    def test_reset(self) -> None:
        with stand_ins(), no_waiting():
            self.simulator.reset(CONFIG.batch_days, seed=1)
            self.simulator.reset(seed=1, days=[3, 5])

    def test_a_step_with_its_gradient(self) -> None:
        action = self.actions(CONFIG.batch_days)
        with no_waiting():
            following, result = self.simulator.step(self.state, action)
            self.simulator.observe(following)
            differentiate(result)
        assert action.grad is not None

    def test_a_glance(self) -> None:
        with torch.no_grad(), no_waiting():
            self.simulator.glance(self.state, self.actions(CONFIG.batch_days))

    def test_a_day_with_its_gradient(self) -> None:
        actions = self.actions(self.simulator.clock.steps, CONFIG.batch_days)
        with no_waiting():
            differentiate(self.simulator.simulate(self.state, actions))
        assert actions.grad is not None

    def test_a_differentiable_step_of_the_environment(self) -> None:
        env = GridEdgeParallelEnv(self.simulator)
        action = self.actions()
        with stand_ins(), no_waiting():
            env.simulator_state = self.simulator.reset(1)
            differentiate(env.differentiable_step(action))
        assert action.grad is not None

    def test_an_iteration_of_gradmap_fetches_its_log_at_once_and_nothing_else(self) -> None:
        with stand_ins():
            learner = gradmap.make_learner(self.config, self.simulator)
        with stand_ins(), waits_in("transfer.py") as waits:
            _, row = gradmap.iterate(self.config, self.simulator, learner)
        assert waits == ["transfer.py"]  # `to_host`, and it fetches all numbers with one wait
        measured = [
            row[name] for name in ("cost", "dual_norm", "beyond_trust_region", "gradient_norm")
        ]
        assert all(isinstance(value, float) for value in measured)
        assert len(set(measured)) == len(measured)

    def test_numbers_are_fetched_at_once(self) -> None:
        numbers = {name: torch.ones((), device=DEVICE) for name in "abc"}
        with waits_in("transfer.py") as waits:
            fetched = to_host(numbers)
        assert waits == ["transfer.py"]
        assert list(fetched) == ["a", "b", "c"]
        if DEVICE == "meta":
            assert list(fetched.values()) == [1.0, 2.0, 3.0]  # what the stand-in hands out


class TestOtherKinds(TestHostSynchronisation):
    """The same of devices that the default case has none of."""

    case = replace(CASE, mix={"ev_charger": 0.5, "pv_inverter": 0.5})


def differentiate(result: Result) -> None:
    """Look at everything that a result offers, and at the gradient of some of it."""
    seen = (result.reward, result.unbalance, result.voltage.abs(), result.converged)
    objective = result.cost.sum() + result.violation.sum()
    objective.backward()
    assert all(value.device.type == DEVICE for value in seen)


class Waited(AssertionError):
    """The host would wait for the device."""


@contextmanager
def no_waiting() -> Iterator[None]:
    """Raise where the host waits for the device."""
    if DEVICE == "meta":
        with NothingToSee(), NothingToSend():
            yield
        return
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@contextmanager
def waits_in(file: str) -> Iterator[list[str]]:
    """List the files in which the host waits, once for each time.

    The meta device has nothing to fetch. In the file that may wait it hands out 1, 2, 3, ...;
    elsewhere it refuses.
    """
    waits: list[str] = []
    if DEVICE == "meta":
        with NothingToSee(file, waits), NothingToSend():
            yield waits
        return
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield waits
        finally:
            torch.cuda.set_sync_debug_mode(before)
            waits += [Path(w.filename).name for w in caught if "synchronizing" in str(w.message)]


class NothingToSee(TorchDispatchMode):
    """Refuse what would wait for the meta device if it were a GPU: looks, and plain copies.

    Args:
        but_in: name of a file that may fetch.
        waits: gets that name for every fetch.
    """

    def __init__(self, but_in: str = "", waits: list[str] | None = None) -> None:
        super().__init__()
        self.but_in, self.waits = but_in, [] if waits is None else waits

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = operation.overloadpacket.__name__
        tensors = list(tensors_in(args))
        there = [tensor for tensor in tensors if tensor.device.type == "meta"]
        if name in ("_to_copy", "copy_"):
            source = tensors[-1].device.type
            target = (kwargs.get("device") or tensors[0].device).type
            at_leisure = target == "meta" and (kwargs.get("non_blocking") or True in args[2:])
            if source == "meta" and target == "cpu" and self.but_in == calling_file():
                self.waits.append(self.but_in)
                size = tensors[-1].shape
                return torch.arange(1, size.numel() + 1, dtype=torch.float64).view(size)
            if source != target and not at_leisure:
                raise Waited(f"a copy from {source} to {target}")
        elif there and name in ("_local_scalar_dense", "equal", "masked_select", "nonzero"):
            raise Waited(f"{name}: a number is looked at")
        elif any(tensor.device.type == "cpu" and tensor.dim() for tensor in tensors) and there:
            raise Waited(f"{name}: an operand comes from the host")
        elif name.startswith("index") and any(x.dtype == torch.bool for x in there[1:]):
            raise Waited(f"{name}: what a mask selects is counted")
        return operation(*args, **kwargs)


class NothingToSend(TorchFunctionMode):
    """Refuse tensors that are made there from numbers of the host, which no operation shows."""

    MAKERS = ("tensor", "as_tensor", "asarray", "new_tensor")

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        if getattr(function, "__name__", "") in self.MAKERS and made.device.type == "meta":
            raise Waited("numbers of the host are sent")
        return made


def calling_file() -> str:
    """Name of the file that called PyTorch."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (
        frame.f_code.co_filename == __file__ or TORCH in Path(frame.f_code.co_filename).parents
    ):
        frame = frame.f_back
    return "" if frame is None else Path(frame.f_code.co_filename).name


def tensors_in(arguments: Any) -> Iterator[Tensor]:
    """Tensors among an operation's arguments, lists of them included."""
    if isinstance(arguments, Tensor):
        yield arguments
    elif isinstance(arguments, (tuple, list)):
        for part in arguments:
            yield from tensors_in(part)


@contextmanager
def stand_ins() -> Iterator[None]:
    """What PyTorch has for a GPU but not for its meta device."""
    with ExitStack() as stack:
        if DEVICE == "meta":
            stack.enter_context(mock.patch("torch.Generator", AnyGenerator))
            stack.enter_context(mock.patch("torch.optim.Adam", unfused_adam))
        yield


GENERATOR, ADAM = torch.Generator, torch.optim.Adam


class AnyGenerator:
    """The meta device has no generators and draws without."""

    def __new__(cls, device: Any = "cpu") -> Any:
        return super().__new__(cls) if torch.device(device).type == "meta" else GENERATOR(device)

    def manual_seed(self, seed: int) -> None:
        return None


def unfused_adam(parameters: Any, fused: bool, **options: Any) -> torch.optim.Optimizer:
    return ADAM(parameters, **options)


if __name__ == "__main__":
    unittest.main()
