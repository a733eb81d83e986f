"""Graphs compute what the functions compute that they are traced from."""

from __future__ import annotations

import warnings

import numpy as np
import onnxruntime
import pytest
import torch

from gradmap_trainer.export.tracing import Named, bound, traced


def scheduled(values: Named) -> Named:
    """What the simulator does that the exporter does not know, or knows otherwise."""
    table, step = values["table"], values["step"]
    windows = table.unfold(-1, 2, 1)
    kept = torch.empty_like(windows)
    more = torch.add(windows, values["factor"], out=kept)
    return {"least": more.amin(dim=-1), "row": table.mT[step], "same": values["factor"]}


def table_of(rows: int = 3, columns: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("step", [0, 2])
def test_a_graph_does_what_the_function_does(step):
    """Not only for the numbers that it was traced with: the step is another."""
    values = {"table": table_of(), "factor": torch.tensor([3.0], dtype=torch.float64)}
    example = {**values, "step": torch.tensor(1), "unused": torch.zeros(2)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = traced(scheduled, example)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    assert [entry.name for entry in session.get_inputs()] == ["table", "factor", "step"]
    now = {**values, "step": torch.tensor(step)}
    found = session.run(None, {name: value.numpy() for name, value in now.items()})
    for value, expected in zip(found, scheduled(now).values(), strict=True):
        np.testing.assert_array_equal(value, expected.numpy())


def test_inputs_can_be_bound_and_are_known_by_name_even_if_they_are_one_tensor():
    one = torch.ones(2)
    model = traced(lambda values: {"sum": values["a"] + 2.0 * values["b"]}, {"a": one, "b": one})
    fixed = bound(model, {"b": np.array([10.0, 20.0], np.float32), "elsewhere": np.zeros(1)})
    assert [entry.name for entry in model.graph.input] == ["a", "b"]
    session = onnxruntime.InferenceSession(fixed.SerializeToString())
    (found,) = session.run(None, {"a": np.ones(2, np.float32)})
    assert found.tolist() == [21.0, 41.0]


def test_each_constant_is_kept_once():
    numbers = torch.arange(100.0)
    model = traced(
        lambda values: {"sum": (values["a"] + numbers) * numbers.clone()}, {"a": numbers}
    )
    assert len(model.graph.initializer) == 1
    assert not [node for node in model.graph.node if node.op_type == "Constant"]


def test_outputs_that_are_always_the_same_have_their_names():
    """As the prices of a flat tariff, both of which may be one number."""

    def flat(values: Named) -> Named:
        price = torch.full((2,), 0.3)
        return {"import": price, "export": price.clone(), "bill": values["power"] * price}

    values = {"power": torch.tensor([1.0, 2.0])}
    session = onnxruntime.InferenceSession(traced(flat, values).SerializeToString())
    found = session.run(["import", "export"], {"power": values["power"].numpy()})
    np.testing.assert_array_equal(found, np.full((2, 2), 0.3, np.float32))


def test_what_a_gateway_would_do_otherwise_is_refused():
    """The tracer keeps what Python read of a number; the gateway lacks an operator."""
    values = {"x": torch.tensor([1.0, -2.0])}
    calls = iter(range(9))
    with pytest.raises(ValueError, match=r"y: got .* by its graph, expected "):
        traced(lambda known: {"y": known["x"] + float(next(calls))}, values)
    with pytest.raises(ValueError, match="operator: got Erf, expected one of Abs"):
        traced(lambda known: {"y": torch.erf(known["x"])}, values)
