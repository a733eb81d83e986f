"""`PowerFlow`: batched three-phase power flows of one feeder, differentiable in the power drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence, Set
from dataclasses import fields
from types import NoneType

import torch
from torch import Tensor
from torch.nn import functional

from gridedge_env.checks import check_type, shown
from gridedge_env.feeder import Feeder, build_network
from gridedge_env.feeder.places import FIRST_NEUTRAL, neutral_of
from gridedge_env.powerflow.backend import Backend, ImplicitPowerFlow, Solved
from gridedge_env.powerflow.device_space import VoltageOperator
from gridedge_env.powerflow.fixed_point import DeviceVoltage, FixedPoint
from gridedge_env.powerflow.injections import device_branches, load_branches
from gridedge_env.powerflow.load_models import RESPONSE_LAW
from gridedge_env.powerflow.reduction import reduce_network
from gridedge_env.powerflow.solution import PowerFlowSolution
from gridedge_env.powerflow.torch_backend import TorchBackend
from gridedge_env.transfer import check_device

# Sweeps that add about a digit where inverters respond and each goes half the way.
RESPONDING_SWEEPS = 3


class PowerFlow:
    """Power flows of one feeder, over any batch of loads and injections.

    Args:
        feeder: the network; its own loads come first among the injections.
        injections: more injections, at constant power: "bus.phase" between a phase and ground,
            "bus.phase.phase" between two phases or a phase and its neutral, "bus" spread over all
            three phases. Where there are neither loads nor these, one at the source.
        responses: places, likewise, whose inverters answer the voltage on the spot by volt-watt and
            volt-var: more columns of power, whose real part is the kW that these inverters feed in
            and whose imaginary part is the kVA that their reactive power is a share of.
        device: where to compute, such as "cpu" or "cuda".
        dtype: torch.float64 (differences from OpenDSS below 1e-8 pu) or torch.float32.
        settings: when to stop iterating; by default a few units of rounding.
        backend: how to solve, with the same results: "dense" matrices, the only way on a GPU; a
            sparse "factored" matrix; or "compiled" sweeps, on a CPU with Numba. By default the
            fastest that can be had.

    Attributes:
        injection_names: names of the columns of `power`.
        branch_injection: per branch of `device_voltage`, the column of `power` whose phase it is.
        nominal_power: (injections,) complex kVA drawn; 0 for the extra injections.
        node_names: names of the columns of `voltage`, "bus.phase".
        phase_names: names of the columns of `phase_voltage`: of all nodes that are no neutral.
        branch_names: names of the columns of `branch_current`.
        branch_rating: (branch phases,) A, infinite where unrated.
        three_phase_buses: names of the columns of `unbalance`.
        energised: per node, whether a path leads to the source; the voltage is 0 where none does.
        regulator_names: names of the columns of tap positions: the regulators' transformers.
        tap_position: (regulators,) positions in the feeder, where its taps are frozen.

    Raises:
        ValueError: a precision, device or backend that there is not, a place that the feeder has
            not, or an argument of another type.
    """

    def __init__(
        self,
        feeder: Feeder,
        injections: Sequence[str] | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float64,
        settings: FixedPoint | None = None,
        backend: str | None = None,
        responses: Sequence[str] = (),
    ) -> None:
        check_type(feeder, Feeder, "feeder", "a Feeder, as of load_feeder")
        check_dtype(dtype)
        check_type(settings, (FixedPoint, NoneType), "settings", "a FixedPoint or None")
        extra = _places(() if injections is None else injections, "injections")
        responses = _places(responses, "responses")
        if not (feeder.loads or extra or responses):  # somewhere to look at the feeder from
            extra = [f"{feeder.source.bus}.{feeder.source.phases[0]}"]
        network = build_network(feeder)
        branches = load_branches(feeder) + device_branches(feeder, extra, len(feeder.loads))
        extra += [f"{place} response" for place in responses]
        first = len(feeder.loads) + len(extra) - len(responses)
        branches += device_branches(feeder, responses, first, RESPONSE_LAW)
        self.feeder = feeder
        self.device = check_device(device, computes=False)
        self.dtype = dtype
        self.settings = settings or FixedPoint.default(dtype, self.device, bool(responses))
        self.injection_names = [load.name for load in feeder.loads] + extra
        self.backend = reduce_network(
            feeder, network, branches, self.injection_names, self.device, dtype, backend
        )
        self.space = self.backend.space
        nominal = [complex(load.kw, load.kvar) for load in feeder.loads] + [0j] * len(extra)
        self.nominal_power = torch.tensor(nominal, dtype=dtype.to_complex(), device=self.device)
        self.node_names = list(network.node_names)
        phases, neutrals = self._phases_and_neutrals()
        self.phase_names = [self.node_names[node] for node in phases]
        self._phase, self._neutral = torch.tensor(
            (phases, neutrals), dtype=torch.long, device=self.device
        )
        self.branch_names = list(network.branch_names)
        self.branch_rating = torch.tensor(network.branch_rating, dtype=dtype, device=self.device)
        self.three_phase_buses = list(network.three_phase_buses)
        self.energised = list(self.space.energised)
        self.regulator_names = [regulator.transformer for regulator in feeder.regulators]
        positions = [float(regulator.tap_position) for regulator in feeder.regulators]
        self.tap_position = torch.tensor(positions, dtype=dtype, device=self.device)
        self.branch_injection = tuple(branch.injection for branch in branches)
        self._one_branch_each = len(branches) == len(self.injection_names)
        injection = self.space.injection
        self._drawn_by = torch.cat((2 * injection, 2 * injection + 1))  # in pairs of kW and kvar
        self._drawn_share = self.space.share.to(self.dtype).repeat(2)

    def solve(
        self,
        power: Tensor | None = None,
        start: Tensor | None = None,
        tap_position: Tensor | None = None,
    ) -> PowerFlowSolution:
        """Solve a batch of power flows.

        Args:
            power: (batch, injections) complex kVA drawn (negative: fed in); the nominal power of
                the feeder's loads, in a batch of one, by default. Real numbers are kW without
                kvar.
            start: (batch, 2 branches) `device_voltage` of a similar solution; no load by default,
                and again (on the CPU) for scenarios that end nowhere from there.
            tap_position: (batch, regulators) in place of the feeder's own; need not be whole
                numbers, and may require gradients.

        Returns:
            The solution, with `converged` per scenario; a scenario without an operating point
            is flagged there and disturbs no other.

        Raises:
            ValueError: what is no tensor, a shape that is not (batch, injections), a start of
                another shape than `device_voltage`, tap positions of another shape than (batch,
                regulators), or (on the CPU) a power that is not finite or a tap position beyond its
                limits.
        """
        if power is None:
            power = self.nominal_power[None]
        self._check_tensor(power, "power", "a tensor of complex kVA")
        expected = len(self.injection_names)
        if power.dim() != 2 or power.shape[-1] != expected:
            raise ValueError(
                f"power: got shape {tuple(power.shape)}, expected (batch, {expected}): "
                "one column per name in injection_names"
            )
        if not power.is_complex():
            power = power.to(self.dtype).to(self.dtype.to_complex())
        power = power.resolve_conj()  # what is conjugated in name only has other numbers in memory
        # Reading a flag back would make the host wait for a GPU: there `converged` tells.
        # A sum is finite if all its terms are, and takes a tenth of the time to look at.
        parts = torch.view_as_real(power.detach())
        if self.device.type == "cpu" and not math.isfinite(parts.sum()):
            raise ValueError("power: contains NaN or infinity, expected finite kVA")
        branches = self._to_branches(power)
        if start is not None:
            self._check_tensor(start, "start", "a real tensor", real=True)
            if start.shape != branches.shape:
                raise ValueError(
                    f"start: got shape {tuple(start.shape)}, expected {tuple(branches.shape)}: the "
                    "device_voltage of a solution of the same batch"
                )
        if tap_position is not None:
            self._check_tensor(tap_position, "tap_position", "a real tensor", real=True)
            self._check_tap_position(tap_position, len(power))
        return self.solve_branches(branches, start, tap_position)

    def solve_branches(
        self,
        power: Tensor,
        start: Tensor | None = None,
        tap_position: Tensor | None = None,
    ) -> PowerFlowSolution:
        """As `solve`, with the power of every device branch as a real tensor.

        Args:
            power: (batch, 2 branches) kW, then kvar, drawn by each phase of each injection.
            start: as in `solve`.
            tap_position: as in `solve`.

        Raises:
            ValueError: torch is set to do products in single precision by less (TF32), or a tensor
                is complex, or of another device.
        """
        if self.dtype == torch.float32:
            check_matmul_precision(torch.get_float32_matmul_precision())
        self._check_tensor(power, "power", "a real tensor", real=True)
        if start is not None:
            self._check_tensor(start, "start", "a real tensor", real=True)
        started, start = start is not None, self.no_load(len(power)) if start is None else start
        change = None if tap_position is None else self._tap_change(tap_position)
        backend = self._backend_at(change)
        drawn, begin = power.to(backend.dtype), start.detach().to(backend.dtype)
        solved = backend.solve(drawn.detach(), begin, self.settings)
        if started and self.settings.check_convergence:
            self._start_again(solved, drawn.detach(), begin, change)
        current, nodes, found = solved.current, solved.node_voltage, solved.found
        operator, shift = VoltageOperator(self.space, change), None
        if change is not None and change.requires_grad:
            # Zero, but its gradient is what the taps do to the voltages at fixed currents.
            shift = operator(current) - VoltageOperator(self.space, change.detach())(current)
        if torch.is_grad_enabled() and (drawn.requires_grad or shift is not None):
            current, nodes = ImplicitPowerFlow.apply(drawn, shift, backend, solved, self.settings)
        return PowerFlowSolution(
            operator,
            current,
            nodes,
            found.voltage.to(self.dtype),
            found.residual,
            found.iterations,
            found.status,
        )

    def _start_again(
        self, solved: Solved, power: Tensor, start: Tensor, tap_change: Tensor | None
    ) -> None:
        """Solve without load first what a start of other voltages has led astray, in place."""
        converged = solved.found.converged
        if bool(converged.all()):
            return
        lost = (~converged).nonzero()[:, 0]
        lost = lost[(start[lost] != self.no_load(len(lost)).to(start)).any(dim=-1)]
        if not len(lost):
            return
        backend = self._backend_at(None if tap_change is None else tap_change[lost])
        again = backend.solve(power[lost], self.no_load(len(lost)).to(power), self.settings)
        won = again.found.converged
        for field in fields(DeviceVoltage):
            getattr(solved.found, field.name)[lost[won]] = getattr(again.found, field.name)[won]
        solved.current[lost[won]] = again.current[won]
        if solved.node_voltage is not None and again.node_voltage is not None:
            solved.node_voltage[lost[won]] = again.node_voltage[won]

    def spread(self, power: Tensor) -> Tensor:
        """From injections to their phases, as `solve_branches` takes them.

        (batch, 2 branches) from (batch, 2 injections), kW, then kvar.
        """
        if self._one_branch_each:
            return power
        parts = power.unflatten(-1, (2, len(self.injection_names)))
        drawn = parts.index_select(-1, self.space.injection) * self.space.share.to(self.dtype)
        return drawn.flatten(-2)

    def sweep_branches(self, power: Tensor, start: Tensor, sweeps: int) -> Tensor:
        """Device voltages after a fixed number of iterations: a quick look, without certificate.

        Args:
            power: (batch, 2 branches) kW, then kvar.
            start: (batch, 2 branches) device voltages to start from.
            sweeps: number of iterations; from a similar solution each adds about a digit. Where
                inverters respond, each of them is as many as that takes.

        Returns:
            (batch, 2 branches) device voltages, pu; differentiable.
        """
        for name, given in (("power", power), ("start", start)):
            self._check_tensor(given, name, "a real tensor", real=True)
        precision = self.backend.dtype
        if self.space.load_model.ever_responds:
            sweeps *= RESPONDING_SWEEPS
        return self.backend.sweep(power.to(precision), start.to(precision), sweeps).to(self.dtype)

    def phase_voltage(self, solution: PowerFlowSolution) -> Tensor:
        """What supply is judged by: voltage between each phase and its bus's neutral, or ground.

        (batch, phases) pu, magnitudes.
        """
        if len(self._phase) == len(self.node_names):
            return solution.voltage_magnitude
        grounded = functional.pad(solution.voltage, (0, 1))
        phase, neutral = (grounded.index_select(-1, at) for at in (self._phase, self._neutral))
        return (phase - neutral).abs()

    def no_load(self, batch: int) -> Tensor:
        """Device voltages when nothing is drawn: (batch, 2 branches) pu."""
        return self.space.no_load.to(self.dtype).expand(batch, -1)

    def _backend_at(self, tap_change: Tensor | None) -> Backend:
        """Kernels know the feeder's own taps alone, and stop when they may."""
        if tap_change is None and self.settings.check_convergence:
            return self.backend
        change = None if tap_change is None else tap_change.detach()
        return TorchBackend(VoltageOperator(self.space, change))

    def _tap_change(self, tap_position: Tensor) -> Tensor:
        complex_type = self.space.no_load.dtype.to_complex()
        return self.space.taps.change(tap_position).to(complex_type)

    def _phases_and_neutrals(self) -> tuple[list[int], list[int]]:
        """Nodes that are no neutral, and the neutral of each; the number of nodes is the ground."""
        node = {name: k for k, name in enumerate(self.node_names)}
        pairs = [
            (
                node[f"{bus.name}.{phase}"],
                node.get(f"{bus.name}.{neutral_of(bus.phases)}", len(node)),
            )
            for bus in self.feeder.buses
            for phase in bus.phases
            if phase < FIRST_NEUTRAL
        ]
        phases, neutrals = zip(*pairs, strict=True)
        return list(phases), list(neutrals)

    def _check_tap_position(self, tap_position: Tensor, batch: int) -> None:
        expected = (batch, len(self.regulator_names))
        if tap_position.shape != expected:
            raise ValueError(
                f"tap_position: got shape {tuple(tap_position.shape)}, expected {expected}: one "
                "column per name in regulator_names"
            )
        limits = tap_position.new_tensor(
            [float(regulator.tap_limit) for regulator in self.feeder.regulators]
        )
        if self.device.type == "cpu" and not bool((tap_position.abs() <= limits).all()):
            raise ValueError(
                f"tap_position: got {tap_position.tolist()}, expected positions within "
                f"±{limits.tolist()}"
            )

    def _check_tensor(self, value: Tensor, name: str, expected: str, real: bool = False) -> None:
        """Compiled kernels are given addresses: of another device's memory they would be wrong."""
        if not isinstance(value, Tensor):
            raise ValueError(f"{name}: got {type(value).__name__}, expected {expected}")
        if real and value.is_complex():
            raise ValueError(f"{name}: got {value.dtype}, expected {expected}")
        if value.device.type != self.device.type or value.layout != torch.strided:
            came = f"{value.layout} on {value.device}"
            raise ValueError(f"{name}: got {came}, expected {expected} on {self.device}")

    def _to_branches(self, power: Tensor) -> Tensor:
        """(batch, injections) complex -> (batch, 2 branches), as `spread`."""
        power = power.to(self.dtype.to_complex())
        if not len(power):  # whose gradient PyTorch lays out otherwise than `view_as_real` takes it
            return self.spread(torch.cat((power.real, power.imag), dim=-1))
        pairs = torch.view_as_real(power).flatten(1)
        return pairs.index_select(1, self._drawn_by) * self._drawn_share


def _places(given: Iterable[str], name: str) -> list[str]:
    """Several places by name in an order, as also of NumPy and pandas, and not the letters of one.

    Raises:
        ValueError: anything else.
    """
    in_order = isinstance(given, Iterable) and not isinstance(given, str | Set)
    places = list(given) if in_order else []
    if not in_order or not all(isinstance(place, str) for place in places):
        raise ValueError(f"{name}: got {shown(given)}, expected names of places")
    return places


def check_dtype(dtype: torch.dtype) -> torch.dtype:
    """Single or double precision.

    Raises:
        ValueError: anything else.
    """
    if not isinstance(dtype, torch.dtype) or dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype: got {shown(dtype)}, expected torch.float32 or torch.float64")
    return dtype


def check_matmul_precision(precision: str) -> None:
    """Refuse TensorFloat-32 and bfloat16 products, which end 1e-3 pu away and still look converged.

    Raises:
        ValueError: `precision`, of `torch.get_float32_matmul_precision`, is not "highest".
    """
    if precision != "highest":
        raise ValueError(
            f"float32_matmul_precision: got {precision!r}, expected 'highest' in a power flow in "
            "single precision: torch.set_float32_matmul_precision('highest')"
        )
