"""A graph to be run: the operators of an ONNX model, one after the other, in NumPy.

The graphs of a home are hundreds of operators on arrays of a few numbers each. A runtime that is
made for large networks takes more memory than all else that a gateway does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gridedge_gateway.model import Model
from gridedge_gateway.operators import OPERATORS

Arrays: TypeAlias = dict[str, NDArray[Any]]


class Graph:
    """Of a model.

    Attributes:
        inputs: names of what it acts on.
        outputs: what it makes, by name.

    Raises:
        ValueError: an operator that is not known here.
    """

    def __init__(self, model: Model) -> None:
        strange = {node.operator for node in model.nodes} - OPERATORS.keys()
        if strange:
            known = ", ".join(OPERATORS)
            raise ValueError(f"operator: got {min(strange)}, expected one of {known}")
        self.inputs, self.outputs = model.inputs, model.outputs
        self._nodes, self._constants = model.nodes, model.constants

    def run(self, known: Mapping[str, NDArray[Any]]) -> Arrays:
        """What it makes of its inputs; more may be given.

        Raises:
            ValueError: an input has another shape, or numbers of another type.
        """
        found: dict[str, Any] = {**self._constants, "": None}
        for name, described in self.inputs.items():
            found[name] = known[name]
            if not described.fits(found[name]):
                got = f"{found[name].dtype} {found[name].shape}"
                raise ValueError(f"{name}: got {got}, expected {described.type} {described.shape}")
        with np.errstate(all="ignore"):  # what is no number is seen where it arrives
            for node in self._nodes:
                acts_on = [found[name] for name in node.inputs]
                made = OPERATORS[node.operator](*acts_on, **node.attributes)
                if isinstance(made, list):
                    found.update(zip(node.outputs, made, strict=True))
                else:
                    found[node.outputs[0]] = made
                for name in node.last:
                    del found[name]
        return {name: np.asarray(found[name]) for name in self.outputs}
