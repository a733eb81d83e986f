"""From functions of tensors to ONNX graphs: PyTorch's tracer, and all that it needs to be told.

The tracer runs a function once and writes down what it did. What Python decides on the way, by a
number or a shape, stays in the graph as it was then.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from gridedge_gateway.graph import Graph
from gridedge_gateway.model import Model

if TYPE_CHECKING:
    import onnx

Named: TypeAlias = Mapping[str, Tensor]

# Old enough for the runtimes of embedded devices, new enough for every operator used.
OPSET_VERSION = 13
FORMAT_VERSION = 8
# Relative and absolute: of observations, in single precision; all else is in double precision.
ROUNDING = 1e-6, 1e-9


def traced(function: Callable[[Named], Named], example: Named) -> onnx.ModelProto:
    """The graph of a function from named tensors to named tensors.

    Args:
        function: acts on tensors of the shapes of `example`; inputs that it does not use are not in
            the graph.
        example: on the host.

    Raises:
        ValueError: a gateway does not know one of its operators, or makes something else of it.
    """
    import onnx

    class Traced(nn.Module):
        def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
            return tuple(function(dict(zip(example, inputs, strict=True))).values())

    file: Any = io.BytesIO()
    # Of two names of one tensor the tracer would know but one.
    values = {name: value.clone() for name, value in example.items()}
    with torch.no_grad(), warnings.catch_warnings():
        # The tracer warns of each number that Python reads, the exporter that there is a newer one,
        # which needs another package.
        warnings.simplefilter("ignore")
        with _translations():
            torch.onnx.export(
                Traced(),
                tuple(values.values()),
                file,
                dynamo=False,
                opset_version=OPSET_VERSION,
                input_names=list(values),
                output_names=list(function(values)),
            )
    model = onnx.load_from_string(file.getvalue())
    model.producer_name, model.producer_version = "gridedge", ""
    model.ir_version = FORMAT_VERSION
    _tidy(model.graph)
    onnx.checker.check_model(model)
    _check(model, function, example)
    return model


def bound(model: onnx.ModelProto, constants: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """A copy in which some inputs, as far as it has them, are constants."""
    from onnx import ModelProto, numpy_helper

    copy = ModelProto()
    copy.CopyFrom(model)
    graph, free = copy.graph, []
    for value in graph.input:
        if value.name in constants:
            constant = numpy_helper.from_array(constants[value.name], value.name)
            graph.initializer.append(constant)
        else:
            free.append(value)
    del graph.input[:]
    graph.input.extend(free)
    return copy


def named(record: Any, prefix: str) -> dict[str, Any]:
    """The fields of a dataclass of tensors, or of arrays, each name after a prefix."""
    return {f"{prefix}{entry.name}": getattr(record, entry.name) for entry in fields(record)}


def read(kind: Any, prefix: str, values: Named) -> Any:
    """A dataclass of a kind, from its fields as `named` gives them."""
    return kind(**{entry.name: values[f"{prefix}{entry.name}"] for entry in fields(kind)})


def _check(model: onnx.ModelProto, function: Callable[[Named], Named], example: Named) -> None:
    """Whether a gateway works out what the function does."""
    graph = Graph(Model.of(model.SerializeToString()))
    found = graph.run({name: example[name].numpy() for name in graph.inputs})
    for name, value in function(example).items():
        expected = value.numpy()
        if not np.allclose(found[name], expected, *ROUNDING, equal_nan=True):
            raise ValueError(f"{name}: got {found[name]} by its graph, expected {expected}")


@contextmanager
def _translations() -> Iterator[None]:
    """Operators that the exporter does not know, or not as the simulator uses them."""
    from torch.onnx import symbolic_opset9

    def transposed(graph: Any, values: Any) -> Any:
        rank = len(graph.original_node.output().type().sizes())
        axes = [*range(rank - 2), rank - 1, rank - 2]
        return graph.op("Transpose", values, perm_i=axes)

    def windows(graph: Any, values: Any, axis: Any, size: Any, step: Any) -> Any:
        """Of the last axis, one apart: a gather in place of a slice for each."""
        *others, count, width = graph.original_node.output().type().sizes()
        first, offset = (
            torch.arange(number, dtype=torch.long, device="cpu") for number in (count, width)
        )
        places = first[:, None] + offset
        return graph.op("Gather", values, graph.op("Constant", value_t=places), axis_i=len(others))

    def added(graph: Any, one: Any, other: Any, alpha: Any = None, out: Any = None) -> Any:
        """Where memory is to be used again, there is one argument more."""
        return symbolic_opset9.add(graph, one, other, alpha)

    own: dict[str, Callable[..., Any]] = {
        "aten::mT": transposed,
        "aten::unfold": windows,
        "aten::add": added,
    }
    for name, translation in own.items():
        torch.onnx.register_custom_op_symbolic(name, translation, OPSET_VERSION)
    try:
        yield
    finally:
        for name in own:
            torch.onnx.unregister_custom_op_symbolic(name, OPSET_VERSION)


def _tidy(graph: onnx.GraphProto) -> None:
    """Keep each constant once, and nothing of where in the source a node came from.

    But one that is an output, such as prices that are always the same, has its own name.
    """
    from onnx import numpy_helper

    kept: dict[tuple[str, tuple[int, ...], bytes], str] = {}
    outputs = {output.name for output in graph.output}
    constants, renamed, nodes = [], dict[str, str](), []

    def keep(constant: onnx.TensorProto, name: str) -> None:
        array = numpy_helper.to_array(constant)
        key = array.dtype.str, array.shape, array.tobytes()
        if key in kept and name not in outputs:
            renamed[name] = kept[key]
            return
        kept[key] = constant.name = name
        constants.append(constant)

    for constant in graph.initializer:
        keep(constant, constant.name)
    for node in graph.node:
        if node.op_type == "Constant":
            keep(node.attribute[0].t, node.output[0])
        else:
            nodes.append(node)
    for node in nodes:
        inputs = [renamed.get(name, name) for name in node.input]
        del node.input[:], node.metadata_props[:]
        node.input.extend(inputs)
        node.name = node.doc_string = ""
    constants, nodes = [_copy(c) for c in constants], [_copy(n) for n in nodes]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)


def _copy(message: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
