"""The alternating direction method of multipliers, in NumPy, for the program of `program.py`.

After Boyd et al., Foundations and Trends in Machine Learning 3, 2011, with copies of (x, y), of E
and of net that keep to their bounds. Each of its steps solves for a class with a matrix that is the
same for all days and groups, and couples the classes of a group through one of (steps, steps). A
fixed number of iterations, in double precision: the same numbers for everybody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

ITERATIONS, PRICE_ITERATIONS = 150, 3
RELAXATION = 1.6
# Penalties on the distance of the copies, where prices have a standard deviation of one, € a step.
BOUND_PENALTY, STORE_PENALTY, NET_PENALTY = 2.7, 1.2, 3.6


@dataclass(frozen=True)
class Bend:
    """What is saved by the first part of a flow; (classes, days, steps) each.

    A unit costs less by a saving at first, by nothing from `end` on, and by ever less in between. A
    copy that would settle at v without settles at v + min(relu(end - v) · pull, push).

    Attributes:
        end: the flow beyond which nothing is saved.
        pull: share of the way to there.
        push: the saving over the penalty on the copy.
    """

    end: Array
    pull: Array
    push: Array

    @classmethod
    def of(cls, saving: Array, begin: Array, end: Array, bound: Array) -> Bend:
        """With all of a saving before `begin`, and nothing of it from `end` on."""
        saving = np.where(end > 0.0, saving, 0.0)
        steep = bound[..., None] * (end - begin) + saving
        pull = np.divide(saving, steep, out=np.zeros_like(steep), where=saving > 0.0)
        return cls(end, pull, saving / bound[..., None])

    def settled(self, flow: Array) -> Array:
        """Where copies (classes, days, groups, steps) settle."""
        end, pull, push = (values[:, :, None] for values in vars(self).values())
        return flow + np.minimum((end - flow).clip(min=0.0) * pull, push)


@dataclass(frozen=True)
class Terms:
    """The program in numbers; € in units of the day's spread of prices.

    On days that are alike but for the size of prices, the method then takes the same steps.

    Attributes:
        euros: (days,) € of a unit.
        into: (classes, days, steps) cost of filling a store by a unit.
        out: likewise, of emptying it.
        most_into: likewise, most in a step.
        most_out: likewise.
        into_bend: by how much filling costs less at first.
        out_bend: likewise, emptying.
        lowest: likewise, of the store.
        highest: likewise.
        per_rise: likewise, one over rise.
        per_fall: likewise.
        kept: (classes,).
        stores: (classes,) bool.
        bound: (classes, days) penalty on the distance of copies that keep to their bounds.
        own: likewise, quadratic terms of a class's own step.
        penalty: (steps,) of the store.
        weight: (groups, classes) share of a class in its group.
        pull: (limits, groups) of a limit's room per share of the group's full power.
        slope: (limits, groups), likewise per kW.
        room: (days, limits, steps).
        dearest: (days, limits) greatest multiplier; what a limit lacks at that price is not kept.
        price_step: of the multipliers.
    """

    euros: Array
    into: Array
    out: Array
    most_into: Array
    most_out: Array
    into_bend: Bend
    out_bend: Bend
    lowest: Array
    highest: Array
    per_rise: Array
    per_fall: Array
    kept: Array
    stores: NDArray[np.bool_]
    bound: Array
    own: Array
    penalty: Array
    weight: Array
    pull: Array
    slope: Array
    room: Array
    dearest: Array
    price_step: float


# From the program, and how many iterations are done, to what `by_matrices` returns.
Solver: TypeAlias = Callable[[Terms, int], tuple[Array, ...]]


def _store_matrix(terms: Terms) -> Array:
    """(classes, days, steps, steps) with three diagonals, whose inverse couples a class's steps.

    With E = held (x - y), where held is the inverse of B = 1 - kept · (the step before), a class's
    own quadratic terms are own on x and y, and held' penalty held on x - y. Their inverse has
    held' (1 / penalty + 2 / own · held held')^-1 held = (B B' / penalty + 2 / own)^-1 in it.
    """
    steps = len(terms.penalty)
    back = np.eye(steps) - terms.kept[:, None, None] * np.eye(steps, k=-1)
    held = (back / terms.penalty) @ back.mT
    matrix: Array = held[:, None] + 2.0 / terms.own[..., None, None] * np.eye(steps)
    return matrix


def _store_inverse(terms: Terms) -> Array:
    """Its inverse; 0 of classes without a store."""
    return np.where(terms.stores[:, None, None, None], np.linalg.inv(_store_matrix(terms)), 0.0)


def _coupling(terms: Terms, inner: Array) -> Array:
    """(days, groups, steps, steps) inverse that ties the classes of a group together."""
    per_rise, per_fall = terms.per_rise, terms.per_fall
    own = terms.own[..., None, None]
    both = per_rise + per_fall
    steps = both.shape[-1]
    alone = (per_rise**2 + per_fall**2)[..., None] * np.eye(steps)
    inner = inner / own * both[..., None] * both[..., None, :]
    response = np.einsum("gc,cdtu->dgtu", terms.weight, (alone - inner) / own)
    return np.linalg.inv(np.eye(steps) + NET_PENALTY * response)


def by_matrices(terms: Terms, iterations: int) -> tuple[Array, ...]:
    """The method in NumPy.

    Returns:
        (classes, days, groups, steps) draw, feed and store, (days, groups, steps) net over full
        power, and (days, limits, steps) multipliers.
    """
    classes, days, steps = terms.into.shape
    groups = len(terms.weight)
    inner = _store_inverse(terms)
    coupling = _coupling(terms, inner)
    age = np.arange(steps)[:, None] - np.arange(steps)
    held = np.where(age >= 0, terms.kept[:, None, None] ** age.clip(min=0), 0.0)
    held = (held * terms.stores[:, None, None])[:, None]
    bound, own = terms.bound[..., None, None], terms.own[..., None, None]
    weight = terms.weight.T[:, None, :, None]
    into_cost, out_cost, most_into, most_out, lowest, highest, per_rise, per_fall = (
        values[:, :, None]
        for values in (
            terms.into, terms.out, terms.most_into, terms.most_out,
            terms.lowest, terms.highest, terms.per_rise, terms.per_fall,
        )
    )  # fmt: skip
    pull, slope, room, penalty = terms.pull, terms.slope, terms.room, terms.penalty
    gram = pull @ slope.T / NET_PENALTY
    into_bend, out_bend, dearest = terms.into_bend, terms.out_bend, terms.dearest[..., None]

    def own_step(into: Array, out: Array) -> tuple[Array, Array]:
        """The inverse of a class's own quadratic terms."""
        shared = (into - out) @ inner / own
        return (into - shared) / own, (out + shared) / own

    full = (classes, days, groups, steps)
    store, store_dual, start = (np.zeros(full) for _ in range(3))
    # From where copies and multipliers are all nothing together, as in the kernel.
    into, out = (
        bend.settled(start).clip(0.0, most)
        for bend, most in ((into_bend, most_into), (out_bend, most_out))
    )
    into_dual, out_dual = -bound * into, -bound * out
    net, net_dual = (np.zeros((days, groups, steps)) for _ in range(2))
    price = np.zeros(room.shape)
    for _ in range(iterations):
        back = (penalty * store - store_dual) @ held
        x, y = own_step(
            bound * into - into_dual - into_cost + back,
            bound * out - out_dual - out_cost - back,
        )
        drawn = (weight * (x * per_rise - y * per_fall)).sum(axis=0)
        push = NET_PENALTY * (net - drawn) - net_dual
        asked = (push[..., None, :] @ coupling)[..., 0, :]
        more = own_step(asked * per_rise, -asked * per_fall)
        x, y = x + more[0], y + more[1]
        drawn = (weight * (x * per_rise - y * per_fall)).sum(axis=0)

        ahead = into + RELAXATION * (x - into)
        into = into_bend.settled(ahead + into_dual / bound).clip(0.0, most_into)
        into_dual += bound * (ahead - into)
        ahead = out + RELAXATION * (y - out)
        out = out_bend.settled(ahead + out_dual / bound).clip(0.0, most_out)
        out_dual += bound * (ahead - out)
        ahead = store + RELAXATION * ((x - y) @ held.mT - store)
        store = (ahead + store_dual / penalty).clip(lowest, highest)
        store_dual += penalty * (ahead - store)
        ahead = net + RELAXATION * (drawn - net)
        wanted = ahead + net_dual / NET_PENALTY
        beyond = pull @ wanted - room
        for _ in range(PRICE_ITERATIONS):
            price = (price + terms.price_step * (beyond - gram @ price)).clip(0.0, dearest)
        net = wanted - slope.T @ price / NET_PENALTY
        net_dual += NET_PENALTY * (ahead - net)
    draw, feed = into * per_rise, out * per_fall
    return draw, feed, (into - out) @ held.mT, (weight * (draw - feed)).sum(axis=0), price
