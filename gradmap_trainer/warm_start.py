"""A run that begins with what an older one has learned: customers come and go, the others go on.

A customer of the same name with the same kinds of devices keeps its policy. One that is new begins
with the policy of the typical customer who has the same kinds: the one whose actions are nearest to
the mean of theirs. A mean of weights would be no such policy: networks that began at different
weights do the same with different units, which cancel out, and the mean of any hundred rests.

Multipliers belong to places of the network: they carry over where the feeder and the clock are the
same. The optimiser's moments, the clock and the annealing begin anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import Learner, make_learner, roll_out
from gradmap_trainer.policies import Policies, to_action
from gradmap_trainer.run_folder import load_policies
from gridedge_env.checks import renamed
from gridedge_env.evaluation import evaluation_days
from gridedge_env.observation import ObservationField
from gridedge_env.simulator import Simulator

# Days of training, spread over the year, on which it shows who is typical.
DAYS_COMPARED = 4
# Names in a sentence.
MOST_NAMES = 5

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Succession:
    """Whose policy each customer begins with.

    Attributes:
        kept: who keeps its own.
        new: who was not there before, and has the same kinds of devices as somebody who was.
        changed: who has other kinds of devices than before, likewise.
        strange: who has kinds of devices, new or changed, that nobody had: they begin untrained.
        removed: who is there no more.
        source: of each other customer's row, the row of the older fleet that it begins with.
    """

    kept: tuple[str, ...]
    new: tuple[str, ...]
    changed: tuple[str, ...]
    strange: tuple[str, ...]
    removed: tuple[str, ...]
    source: Mapping[int, int]


def warm_learner(config: TrainConfig, simulator: Simulator, tell: Tell) -> Learner:
    """The learner of a run that begins with another run's policies.

    Args:
        config: its `warm_start` is the folder of the other run.
        simulator: the case of the new run.
        tell: what is carried over and what is not, in sentences.

    Raises:
        FileNotFoundError: no run in that folder.
        ValueError: what is there is no run, or its policies cannot act in the new case.
    """
    assert config.warm_start is not None
    with renamed(run="warm_start"):
        older, before, known = load_policies(Path(config.warm_start), config.device)
    _check_fits(config, simulator, older, before)
    succession = _succession(before, simulator, known.policies)
    fresh = make_learner(config, simulator)
    tensors = _in_slots(known.policies, before, simulator)
    rows, sources = (
        torch.tensor(list(part), dtype=torch.long, device=simulator.device)
        for part in (succession.source, succession.source.values())
    )
    with torch.no_grad():
        for name, own in fresh.policies.state_dict().items():
            own[rows] = tensors[name][sources]
    same_network = before.feeder.fingerprint == simulator.feeder.fingerprint
    carried = same_network and before.clock == simulator.clock
    for sentence in _told(config.warm_start, known.iteration, succession, same_network, carried):
        tell(sentence)
    if not carried:
        return fresh
    duals = {
        kind: known.duals[kind].clone() if kind in known.duals else dual
        for kind, dual in fresh.duals.items()
    }
    return replace(fresh, duals=duals)


def _check_fits(
    config: TrainConfig, simulator: Simulator, older: TrainConfig, before: Simulator
) -> None:
    """Refuse policies of another form, or who observe or decide on something else."""
    expected = f"as in {config.warm_start}, whose policies are taken over"
    if tuple(config.hidden_sizes) != tuple(older.hidden_sizes):
        raise ValueError(
            f"hidden_sizes: got {' '.join(map(str, config.hidden_sizes))}, expected "
            f"{' '.join(map(str, older.hidden_sizes))} {expected}"
        )
    if simulator.case.reactive_power != before.case.reactive_power:
        raise ValueError(
            f"reactive_power: got {simulator.case.reactive_power}, expected "
            f"{before.case.reactive_power} {expected}"
        )
    ours, theirs = _observed(simulator), _observed(before)
    if ours != theirs:
        differ = [e.name for e in (*ours, *theirs) if (e in ours) != (e in theirs)]
        names = ", ".join(dict.fromkeys(differ)) or "another order"
        raise ValueError(f"observations: got other ones ({names}), expected those {expected}")


def _observed(simulator: Simulator) -> tuple[ObservationField, ...]:
    """What agents observe, whatever the number of their devices."""
    fields = simulator.observation_fields
    return tuple(replace(e, name=e.of_device) for e in fields if e.slot in (None, 0))


def _succession(before: Simulator, after: Simulator, policies: Policies) -> Succession:
    old, kinds = before.fleet, dict(zip(after.fleet.names, after.fleet.agent_kinds, strict=True))
    rows = {name: row for row, name in enumerate(old.names)}
    kept = [n for n in kinds if n in rows and old.agent_kinds[rows[n]] == kinds[n]]
    new = [n for n in kinds if n not in rows]
    changed = [n for n in kinds if n in rows and n not in set(kept)]
    typical = _typical(before, policies) if new or changed else {}
    source = {
        row: rows[name] if name in set(kept) else typical[kind]
        for row, (name, kind) in enumerate(kinds.items())
        if name in set(kept) or kind in typical
    }
    return Succession(
        tuple(kept),
        tuple(n for n in new if kinds[n] in typical),
        tuple(n for n in changed if kinds[n] in typical),
        tuple(n for n in (*new, *changed) if kinds[n] not in typical),
        tuple(n for n in old.names if n not in kinds),
        source,
    )


@torch.no_grad()
def _typical(simulator: Simulator, policies: Policies) -> dict[str, int]:
    """Of each combination of kinds, the row of the agent that acts most like the mean of them."""
    count = min(DAYS_COMPARED, len(simulator.days("train").dates))
    state = simulator.reset(split="train", days=evaluation_days(simulator, "train", count))
    outputs = roll_out(simulator, policies, state, sweeps=2).outputs
    actions = to_action(outputs).movedim(2, 0).flatten(1)  # (agents, samples)
    alike: dict[str, list[int]] = {}
    for row, kinds in enumerate(simulator.fleet.agent_kinds):
        alike.setdefault(kinds, []).append(row)
    return {
        kinds: rows[int((actions[rows] - actions[rows].mean(dim=0)).norm(dim=1).argmin())]
        for kinds, rows in alike.items()
    }


def _in_slots(policies: Policies, before: Simulator, after: Simulator) -> dict[str, Tensor]:
    """The networks' parameters with more or fewer entries for devices.

    They act as before for whom no entry is lost that it has a device for: entries that come have
    weights of 0, and what an empty one that goes has always said, it says in the bias.

    Args:
        policies: the networks.
        before: the simulator that they acted in.
        after: the one that they shall act in.
    """
    tensors = dict(policies.state_dict())
    theirs, ours = (
        {(e.of_device, e.slot): e for e in simulator.observation_fields if e.private}
        for simulator in (before, after)
    )
    weights = dict(zip(theirs, tensors["private_weight"].unbind(-1), strict=True))
    none = torch.zeros_like(tensors["private_weight"][..., 0])
    tensors["private_weight"] = torch.stack([weights.get(key, none) for key in ours], dim=-1)
    for key in (key for key in theirs if key not in ours):  # of an empty slot the value is 0
        always = -theirs[key].offset / theirs[key].scale
        tensors["biases.0"] = tensors["biases.0"] + always * weights[key][..., None]
    # Outputs are one for each slot; with reactive power, as many again.
    slots, last = before.fleet.slots, len(policies.weights) - 1
    more = (0, 0, 0, after.fleet.slots - slots)
    for name in (f"weights.{last}", f"biases.{last + 1}"):
        tensors[name] = pad(tensors[name].unflatten(1, (-1, slots)), more).flatten(1, 2)
    return tensors


def _told(
    run: str, iterations: int, succession: Succession, same_network: bool, carried: bool
) -> list[str]:
    """What became of whom, in sentences."""
    told = [
        f"Begun with the policies of {run}, trained for {iterations} iterations: "
        f"{len(succession.kept)} customers keep theirs."
    ]
    typical = f"each begins with the policy of a typical customer of {run} with the same devices"
    for what, names in (
        (f"New customers, {typical}", succession.new),
        (f"Customers whose devices are others now, {typical}", succession.changed),
        (f"Customers with devices as none of {run} had, each begins untrained", succession.strange),
        (f"Customers of {run} who are not in this case", succession.removed),
    ):
        if names:
            told.append(f"{what}: {_listed(names)}.")
    if not same_network:
        told.append("The feeder is another; multipliers begin anew.")
    else:
        multipliers = "carry over" if carried else "begin anew, as the clock is another"
        told.append(f"The feeder is the same; multipliers {multipliers}.")
    return told


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} others" if len(names) > MOST_NAMES else ""
    return f"{', '.join(names[:MOST_NAMES])}{more}"
