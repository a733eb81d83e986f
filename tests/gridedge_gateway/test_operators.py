"""Operators do what ONNX Runtime does, and what is no model of ours is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from gradmap_trainer.export.tracing import FORMAT_VERSION, OPSET_VERSION
from gridedge_gateway.graph import Graph
from gridedge_gateway.model import Model
from gridedge_gateway.operators import OPERATORS

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(2, 3, 4)), RANDOM.normal(size=(3, 4))
# Halves, of which the even one is near, both zeros, and what is no number.
ODD = np.array([[0.5, 1.5, -2.5, 0.0], [-0.0, np.nan, np.inf, -np.inf]])
POSITIVE = np.abs(X) + 0.1
SINGLE = X[0].astype(np.float32)
WHOLE = np.array([[7, -7, 8], [-8, 0, 3]])
TRUE = X > 0.0
KINDS = {kind: getattr(TensorProto, kind) for kind in ("FLOAT", "INT64", "INT32", "BOOL", "DOUBLE")}


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


CASES: list[tuple[str, tuple[np.ndarray | None, ...], dict[str, Any]]] = [
    *(
        (name, (x,), {})
        for name in (
            *("Abs", "Exp", "IsNaN", "Neg", "Reciprocal", "Relu", "Round"),
            *("Sign", "Sin", "Tanh", "Identity", "Shape"),
        )
        for x in (X, ODD)
    ),
    *((name, (POSITIVE,), {}) for name in ("Log", "Sqrt")),
    ("Cos", (SINGLE,), {}),  # in double precision older runtimes have none
    *(
        (name, pair, {})
        for name in ("Add", "Div", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Mul", "Sub")
        for pair in ((X, Y), (Y[:, :1], X), (WHOLE, whole(2, -3, 5)))
    ),
    *((name, (TRUE, Y > 0.0), {}) for name in ("And", "Or")),
    ("Not", (TRUE,), {}),
    *((name, parts, {}) for name in ("Max", "Min") for parts in ((X,), (X, Y), (X, Y, X[1]))),
    ("Equal", (X, X[:1]), {}),
    ("Pow", (POSITIVE, np.array(1.5)), {}),
    ("Pow", (X, whole(2)), {}),
    ("Mod", (WHOLE, whole(2, -3, 5)), {}),
    ("Where", (Y > 0.0, X, Y), {}),
    ("Clip", (X, np.array(-0.5), np.array(0.5)), {}),
    ("Clip", (X, np.array(-0.5)), {}),
    ("Clip", (X, None, np.array(0.5)), {}),
    *(("Cast", (X,), {"to": KINDS[kind]}) for kind in KINDS),
    ("Cast", (TRUE,), {"to": KINDS["DOUBLE"]}),
    ("Shrink", (SINGLE,), {"bias": 0.1, "lambd": 0.1}),
    ("Gemm", (SINGLE, SINGLE.T.copy(), SINGLE[:, 0].copy()), {}),
    ("MatMul", (X, Y.T.copy()), {}),
    ("MatMul", (X[0], Y[0]), {}),
    *(("CumSum", (X, np.array(axis)), {}) for axis in ([0], -1)),
    *(
        (name, (X,), options)
        for name in ("ReduceMax", "ReduceMean", "ReduceMin")
        for options in ({}, {"axes": [-1], "keepdims": 0}, {"axes": [0, 2]})
    ),
    ("ReduceSum", (X,), {}),
    ("ReduceSum", (X, whole(1, -1)), {"keepdims": 0}),
    *(
        ("ArgMin", (x,), {"axis": -1, "keepdims": keep, "select_last_index": 0})
        for x, keep in ((X, 0), (np.zeros((2, 3)), 1))
    ),
    ("Concat", (X, X[:, :1]), {"axis": 1}),
    ("Concat", (X,), {"axis": -1}),
    ("ConstantOfShape", (whole(2, 3),), {"value": numpy_helper.from_array(whole(7))}),
    ("Expand", (Y[:, :1].copy(), whole(2, 1, 4)), {}),
    ("Reshape", (X, whole(0, -1)), {}),
    ("Squeeze", (X[:1, :, :1].copy(), whole(-1)), {}),
    ("Unsqueeze", (Y, whole(0, -1)), {}),
    ("Unsqueeze", (np.array(2.0), whole(0)), {}),
    ("Transpose", (X,), {"perm": [1, 0, 2]}),
    ("Slice", (X, whole(1), whole(2**63 - 1)), {}),
    ("Slice", (X, whole(-1, 0), whole(-(2**63), -1), whole(2, 1), whole(-2, 1)), {}),
    ("Split", (X, whole(1, 3)), {"axis": -1}),
    ("Pad", (Y, whole(1, 0, 0, 2)), {}),
    ("Pad", (Y, whole(-1, 1, 2, -2), np.array(9.0)), {}),
    ("Gather", (X, whole(2, -1)), {"axis": 1}),
    ("GatherElements", (Y, WHOLE.T.copy() % 4), {"axis": 1}),
    ("ScatterElements", (Y, whole(3, 0, 2)[:, None], Y[:, 1:2].copy()), {"axis": 1}),
    ("ScatterND", (Y, whole(2, 0)[:, None], X[0, :2].copy()), {}),
    ("ScatterND", (Y, whole(2, 0)[None], Y[0, :1].copy()), {}),
]


def described(values: dict[str, np.ndarray]) -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in values.items()
    ]


def model_of(node: onnx.NodeProto, known: dict[str, np.ndarray], outputs: list[Any]) -> bytes:
    graph = helper.make_graph([node], "one", described(known), outputs)
    version = helper.make_opsetid("", OPSET_VERSION)
    model = helper.make_model(graph, opset_imports=[version], ir_version=FORMAT_VERSION)
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes"), CASES, ids=[operator for operator, _, _ in CASES]
)
def test_an_operator_does_as_onnx_says(operator, inputs, attributes):
    """By ONNX Runtime; functions such as exp may differ in the last digit."""
    names = ["" if value is None else f"x{number}" for number, value in enumerate(inputs)]
    known = {name: value for name, value in zip(names, inputs, strict=True) if name}
    parts = len(inputs[1]) if operator == "Split" else 1
    node = helper.make_node(operator, names, [f"y{k}" for k in range(parts)], **attributes)
    free = [onnx.ValueInfoProto(name=name) for name in node.output]
    expected = onnxruntime.InferenceSession(model_of(node, known, free)).run(None, known)
    told = described(dict(zip(node.output, expected, strict=True)))
    found = Graph(Model.of(model_of(node, known, told))).run(known)
    for name, value in zip(node.output, expected, strict=True):
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)
        digits = 1e-6 if value.dtype == np.float32 else 1e-14
        np.testing.assert_allclose(found[name], value, rtol=digits, atol=0.0)


def test_all_operators_are_tried():
    assert {operator for operator, _, _ in CASES} == OPERATORS.keys()


def test_what_a_graph_cannot_do_is_said():
    known = {"x0": X}
    erf = model_of(helper.make_node("Erf", ["x0"], ["y"]), known, described({"y": X}))
    with pytest.raises(ValueError, match=r"operator: got Erf, expected one of Abs, Add"):
        Graph(Model.of(erf))
    graph = Graph(
        Model.of(model_of(helper.make_node("Abs", ["x0"], ["y"]), known, described({"y": X})))
    )
    np.testing.assert_array_equal(graph.run({**known, "more": Y})["y"], np.abs(X))
    for odd in (X[:1], X.astype(np.float32), X[0]):
        with pytest.raises(
            ValueError, match=r"x0: got float\d\d \(.*\), expected float64 \(2, 3, 4"
        ):
            graph.run({"x0": odd})


def test_sizes_that_are_free_are_any():
    given = [helper.make_tensor_value_info("x0", TensorProto.DOUBLE, ["batch", 2])]
    node = helper.make_node("Neg", ["x0"], ["y"])
    graph = helper.make_graph([node], "one", given, described({"y": X}))
    negative = Graph(Model.of(helper.make_model(graph).SerializeToString()))
    assert negative.run({"x0": np.ones((5, 2))})["y"].shape == (5, 2)
