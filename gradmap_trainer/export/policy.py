"""Policies as ONNX graphs, in a file for each agent.

A file maps `observation` (batch, observation size) to `action` (batch, action size), both float32.
Its metadata names the agent and lists what each entry of the observation is: a value in its unit,
less an offset, over a scale, clipped to ± a bound. It also says which device each entry of the
action is for.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import gridedge_env
from gradmap_trainer.export.tracing import FORMAT_VERSION, OPSET_VERSION
from gradmap_trainer.policies import CORRECTION, REST_BAND
from gridedge_env.observation import (
    OBSERVATION_BOUND,
    ObservationField,
    least_planned_action,
    planned_columns,
)
from gridedge_env.simulator import Simulator
from gridedge_env.writing import whole_file
from gridedge_gateway.names import fit
from gridedge_gateway.packing import sealed

if TYPE_CHECKING:
    import onnx


def export_policies(
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor],
    observation_fields: Sequence[ObservationField],
    agents: Sequence[str],
    folder: Path,
    actions: Sequence[Sequence[str]] | None = None,
    told: Iterable[Mapping[str, str]] | None = None,
) -> list[Path]:
    """Write the file of every agent's policy, `folder/<agent>.onnx`.

    Args:
        weights: Of each layer, the first one first: (agents, fan in, fan out).
        biases: Of each layer: (agents, fan out).
        observation_fields: What each entry of an observation is, in order.
        agents: The agents' names, in the order of the weights' first axis.
        folder: Made if it does not exist; files of the same names are replaced.
        actions: Of each agent, what each entry of its action is for; None: the files do not say.
        told: Of each agent, what else its file's metadata says; None: nothing.

    Returns:
        The files, in the order of `agents`.

    Raises:
        ImportError: The `export` extra is not installed.
        ValueError: The shapes do not fit together.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "exporting policies needs onnx: pip install 'gridedge[export]'"
        ) from error
    _check_shapes(weights, biases, observation_fields, agents)
    _check_actions(actions, len(agents), weights[-1].shape[2])
    weight_arrays = [_to_float32(weight) for weight in weights]
    bias_arrays = [_to_float32(bias) for bias in biases]
    metadata = {
        "observation_fields": json.dumps([described(field) for field in observation_fields]),
        "observation_bound": str(OBSERVATION_BOUND),
        "gridedge_version": gridedge_env.__version__,
    }
    planned, least = planned_columns(observation_fields), least_planned_action(observation_fields)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    own = repeat(dict[str, str]()) if told is None else told
    for index, (agent, more) in enumerate(zip(agents, own, strict=told is not None)):
        layers = [(w[index], b[index]) for w, b in zip(weight_arrays, bias_arrays, strict=True)]
        names = {} if actions is None else {"action_names": json.dumps(list(actions[index]))}
        model = _policy_model(layers, planned, least, {"agent": agent, **names, **metadata, **more})
        paths.append(folder / policy_file(agent))
        file = io.BytesIO()
        onnx.save(model, file)
        with whole_file(paths[-1]) as written:
            written.write(sealed(file.getvalue()))
    return paths


def policy_file(agent: str) -> str:
    """The name of an agent's file: "a/b" is in "a%2Fb.onnx"."""
    return f"{fit(agent)}.onnx"


def _policy_model(
    layers: Sequence[tuple[np.ndarray, np.ndarray]],
    planned: Sequence[int],
    least: float,
    metadata: dict[str, str],
) -> onnx.ModelProto:
    """Return one agent's network: the layers of `Policies`, its base and the head `to_action`."""
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes: list[onnx.NodeProto] = []
    bounds = {"least": -1.0, "most": 1.0, "none": 0.0}
    constants = {name: np.array(value, np.float32) for name, value in bounds.items()}
    values = "observation"
    for number, (weight, bias) in enumerate(layers):
        names = [f"weight_{number}", f"bias_{number}"]
        constants |= dict(zip(names, (weight, bias), strict=True))
        nodes.append(helper.make_node("Gemm", [values, *names], [f"sum_{number}"]))
        values = f"sum_{number}"
        if number < len(layers) - 1:
            nodes.append(helper.make_node("Tanh", [values], [f"hidden_{number}"]))
            values = f"hidden_{number}"
    if planned:
        rest = len(layers[-1][1]) - len(planned)
        constants |= {
            "columns": np.array(planned, np.int64),
            "least_planned": np.array(least, np.float32),
            "within_scale": np.array(REST_BAND / least, np.float32),
            "rest_band": np.array(REST_BAND, np.float32),
            "reactive": np.array([0, 0, 0, rest], np.int64),
            "reach": np.array([CORRECTION] * len(planned) + [1.0] * rest, np.float32),
        }
        steps = {
            "planned": ("Gather", "observation", "columns"),
            "size": ("Abs", "planned"),
            "is_small": ("Less", "size", "least_planned"),
            "within": ("Mul", "planned", "within_scale"),
            "side": ("Sign", "planned"),
            "to_edge": ("Mul", "side", "rest_band"),
            "beyond": ("Add", "planned", "to_edge"),
            "following": ("Where", "is_small", "within", "beyond"),
            "base": ("Pad", "following", "reactive"),
            "correction": ("Mul", values, "reach"),
            "corrected": ("Add", "correction", "base"),
        }
        for name, (operator, *inputs) in steps.items():
            axis: dict[str, Any] = {"axis": 1} if operator == "Gather" else {}
            nodes.append(helper.make_node(operator, inputs, [name], **axis))
        values = "corrected"
    nodes += [
        helper.make_node("Shrink", [values], ["rested"], bias=REST_BAND, lambd=REST_BAND),
        helper.make_node("Clip", ["rested", "least", "most"], ["clipped"]),
        # Of what is no number, these two make 0, which a gateway would take for an action.
        helper.make_node("Mul", [values, "none"], ["nothing"]),
        helper.make_node("Add", ["clipped", "nothing"], ["action"]),
    ]
    initialisers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    sizes = {"observation": layers[0][0].shape[0], "action": layers[-1][0].shape[1]}
    observation, action = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in sizes.items()
    )
    graph = helper.make_graph(nodes, "policy", [observation], [action], initialisers)
    model = helper.make_model(
        graph,
        producer_name="gridedge",
        ir_version=FORMAT_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET_VERSION)],
    )
    helper.set_model_props(model, metadata)
    checker.check_model(model)
    return model


def described(field: ObservationField) -> dict[str, str | float | bool]:
    """What an entry of an observation is, as plain values."""
    return {
        "name": field.name,
        "unit": field.unit,
        "offset": field.offset,
        "scale": field.scale,
        "private": field.private,
    }


def action_names(simulator: Simulator) -> list[list[str]]:
    """What each entry of each agent's action is for: (agents, action size).

    "battery", or "battery_reactive_power" for its reactive power; "" for entries that count for
    nothing.
    """
    fleet, reactive = simulator.fleet, simulator.case.reactive_power
    names = [[""] * simulator.action_size for _ in fleet.names]
    for group in fleet.groups:
        kind, inverters = group.kind.name, group.kind.inverter_rating(group.parameters) > 0.0
        owned = zip(group.agent.tolist(), group.slot.tolist(), inverters.tolist(), strict=True)
        for agent, slot, inverter in owned:
            names[agent][slot] = kind
            if reactive and inverter:
                names[agent][fleet.slots + slot] = f"{kind}_reactive_power"
    return names


def _check_actions(actions: Sequence[Sequence[str]] | None, agents: int, action_size: int) -> None:
    for number, names in enumerate(actions or ()):
        if len(names) != action_size:
            raise ValueError(
                f"actions[{number}]: got {len(names)} names, expected {action_size} as the weights "
                "of the last layer have"
            )
    if actions is not None and len(actions) != agents:
        raise ValueError(f"actions: got those of {len(actions)} agents, expected {agents}")


def _check_shapes(
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor],
    observation_fields: Sequence[ObservationField],
    agents: Sequence[str],
) -> None:
    if not weights or len(weights) != len(biases):
        raise ValueError(
            f"weights, biases: {len(weights)} and {len(biases)} layers, "
            "expected at least one and as many of each"
        )
    fan_in = len(observation_fields)
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        if weight.ndim != 3 or tuple(weight.shape[:2]) != (len(agents), fan_in):
            raise ValueError(
                f"weights[{number}]: shape {tuple(weight.shape)}, "
                f"expected ({len(agents)} agents, fan in {fan_in}, fan out)"
            )
        fan_in = weight.shape[2]
        if tuple(bias.shape) != (len(agents), fan_in):
            raise ValueError(
                f"biases[{number}]: shape {tuple(bias.shape)}, "
                f"expected ({len(agents)} agents, fan out {fan_in})"
            )


def _to_float32(tensor: torch.Tensor) -> np.ndarray:
    array: np.ndarray = tensor.detach().to("cpu", torch.float32).numpy()
    return array
