"""The exported files compute what the trainer's weights compute, and say what they are."""

from __future__ import annotations

import builtins
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import gridedge_env
from gradmap_trainer.config import TrainConfig
from gradmap_trainer.export import action_names, export_policies
from gradmap_trainer.gradmap import make_learner
from gradmap_trainer.policies import to_action
from gridedge_env.devices import KINDS, Devices, make_fleet
from gridedge_env.observation import OBSERVATION_BOUND, ObservationField


def no_value(seen: object) -> torch.Tensor:
    raise AssertionError("an exported field is described, not evaluated")


AGENTS = ["battery_0", "heat_pump_0", "generator_0"]
FIELDS = [
    ObservationField("state_of_charge", "1", 0.5, 0.5, private=True, value=no_value),
    ObservationField("price", "€/kWh", 0.25, 0.1, value=no_value),
    ObservationField("outdoor_temperature", "°C", 10.0, 10.0, value=no_value),
    ObservationField("voltage", "pu", 1.0, 0.05, private=True, value=no_value),
]
SIZES = [len(FIELDS), 16, 16, 2]
Layers = tuple[list[torch.Tensor], list[torch.Tensor]]


@pytest.fixture
def layers() -> Layers:
    generator = torch.Generator().manual_seed(3)
    weights = [
        torch.randn(len(AGENTS), fan_in, fan_out, generator=generator)
        for fan_in, fan_out in itertools.pairwise(SIZES)
    ]
    biases = [torch.randn(len(AGENTS), fan_out, generator=generator) for fan_out in SIZES[1:]]
    return weights, biases


@pytest.mark.parametrize("batch_size", [1, 5])
def test_exported_actions_equal_the_trainers(
    tmp_path: Path, layers: Layers, batch_size: int
) -> None:
    weights, biases = layers
    observation = torch.randn(len(AGENTS), batch_size, len(FIELDS))
    values = observation
    for weight, bias in zip(weights, biases, strict=True):
        output = torch.baddbmm(bias[:, None], values, weight)
        values = torch.tanh(output)
    actions = to_action(output)

    paths = export_policies(weights, biases, FIELDS, AGENTS, tmp_path / "policies")

    assert [path.name for path in paths] == [f"{agent}.onnx" for agent in AGENTS]
    for index, path in enumerate(paths):
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (action,) = session.run(["action"], {"observation": observation[index].numpy()})
        # Sums of 16 products of size ~1 differ by some 16 roundings of 6e-8, and three layers with
        # gains of about 4 carry them on: 16 · 6e-8 · 4² ≈ 2e-5.
        np.testing.assert_allclose(action, actions[index].numpy(), rtol=0, atol=2e-5)


def test_a_name_that_no_file_can_have_is_escaped_in_that_of_its_file(
    tmp_path: Path, layers: Layers
) -> None:
    agents = ["a/b\\c:*?<>|", "../../100 %", 'Müller, Jörg "Jo"']
    paths = export_policies(*layers, FIELDS, agents, tmp_path / "policies")
    assert sorted((tmp_path / "policies").iterdir()) == sorted(paths)
    assert [path.name for path in paths] == [
        "a%2Fb%5Cc%3A%2A%3F%3C%3E%7C.onnx",
        "%2E.%2F..%2F100 %25.onnx",
        "Müller, Jörg %22Jo%22.onnx",
    ]
    for agent, path in zip(agents, paths, strict=True):
        metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        assert metadata["agent"] == agent


def test_parameters_on_which_gradients_are_asked_export_too(tmp_path: Path, layers: Layers) -> None:
    weights, biases = ([tensor.double().requires_grad_() for tensor in part] for part in layers)
    (path, *_) = export_policies(weights, biases, FIELDS, AGENTS, tmp_path)
    constants = {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}
    first = onnx.numpy_helper.to_array(constants["weight_0"])
    np.testing.assert_array_equal(first, layers[0][0][0].numpy())


def test_a_file_says_what_it_is(tmp_path: Path, layers: Layers) -> None:
    path = export_policies(*layers, FIELDS, AGENTS, tmp_path)[1]
    model = onnx.load(path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["agent"] == "heat_pump_0"
    fields = json.loads(metadata["observation_fields"])
    assert [ObservationField(**field, value=no_value) for field in fields] == FIELDS
    assert float(metadata["observation_bound"]) == OBSERVATION_BOUND
    assert metadata["gridedge_version"] == gridedge_env.__version__
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in [*model.graph.input, *model.graph.output]
    }
    assert shapes == {"observation": ["batch", 4], "action": ["batch", 2]}


def test_a_file_says_what_its_actions_are_for(tmp_path: Path, layers: Layers) -> None:
    names = [["battery", "battery_reactive_power"], ["heat_pump", ""], ["generator", ""]]
    for told, path in zip(
        names, export_policies(*layers, FIELDS, AGENTS, tmp_path, names), strict=True
    ):
        metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        assert json.loads(metadata["action_names"]) == told
    with pytest.raises(ValueError, match=r"actions\[1\]: got 1 names, expected 2"):
        export_policies(*layers, FIELDS, AGENTS, tmp_path, [names[0], ["heat_pump"], names[2]])
    with pytest.raises(ValueError, match="actions: got those of 2 agents, expected 3"):
        export_policies(*layers, FIELDS, AGENTS, tmp_path, names[:2])


@pytest.mark.parametrize("reactive", [False, True])
def test_actions_are_named_by_the_devices_that_an_agent_has(reactive):
    """A house with a battery and a heat pump, and a flat with a heat pump alone."""
    owners = {"battery": ["house"], "heat_pump": ["house", "flat"]}
    tables = {
        kind: Devices(names, KINDS[kind].sample(len(names), 1.0, np.random.default_rng(0)))
        for kind, names in owners.items()
    }
    case = gridedge_env.default_case("ieee13", num_agents=3, reactive_power=reactive)
    fleet = make_fleet({"house": "671.1", "flat": "675.2"}, tables)
    simulator = gridedge_env.make_simulator(case=replace(case, fleet=fleet))
    house, flat = ["battery", "heat_pump"], ["heat_pump", ""]
    if reactive:
        house, flat = [*house, "battery_reactive_power", ""], [*flat, "", ""]
    assert action_names(simulator) == [house, flat]
    assert len(house) == simulator.action_size


def test_shapes_that_do_not_fit_are_named(tmp_path: Path, layers: Layers) -> None:
    weights, biases = layers
    with pytest.raises(ValueError, match=r"weights\[0\].*\(3, 4, 16\).*2 agents"):
        export_policies(weights, biases, FIELDS, AGENTS[:2], tmp_path)
    with pytest.raises(ValueError, match=r"weights\[0\].*fan in 3"):
        export_policies(weights, biases, FIELDS[:3], AGENTS, tmp_path)
    with pytest.raises(ValueError, match=r"biases\[1\].*\(3, 2\).*fan out 16"):
        export_policies(weights, [biases[0], biases[2], biases[2]], FIELDS, AGENTS, tmp_path)
    with pytest.raises(ValueError, match="3 and 2 layers"):
        export_policies(weights, biases[:2], FIELDS, AGENTS, tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_onnx_the_extra_is_named(
    tmp_path: Path, layers: Layers, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_import = builtins.__import__

    def import_without_onnx(name, *arguments, **keywords):
        if name == "onnx":
            raise ImportError(name)
        return real_import(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", import_without_onnx)
    with pytest.raises(ImportError, match=r"pip install 'gridedge\[export\]'"):
        export_policies(*layers, FIELDS, AGENTS, tmp_path)


@pytest.mark.parametrize("reactive_power", [False, True])
def test_policies_that_correct_a_plan_carry_it_in_their_files(tmp_path, reactive_power):
    """The plan is among the observations; the file adds what follows it."""
    simulator = gridedge_env.make_simulator(
        "ieee13", 6, public_plan=True, reactive_power=reactive_power
    )
    policies = make_learner(TrainConfig(), simulator).policies
    private, shared = simulator.observe_parts(simulator.reset(days=[100, 200]))
    with torch.no_grad():
        actions = policies(private, shared)
    observation = torch.cat((private, shared[:, None].expand(-1, 6, -1)), dim=-1)
    names = simulator.fleet.names
    paths = export_policies(*policies.layers(), simulator.observation_fields, names, tmp_path)
    for agent, path in enumerate(paths):
        session = onnxruntime.InferenceSession(path)
        (found,) = session.run(None, {"observation": observation[:, agent].numpy()})
        np.testing.assert_allclose(found, actions[:, agent].numpy(), atol=1e-6)
