"""One point: seconds and bytes of an iteration of training, in fresh processes.

    python -m benchmarks.scale.point '{"agents": 1000, "nodes": 278, "days": 8, "workers": 2}'

prints a line of JSON. Seconds are of processor time, of one thread, which a busy machine hardly
changes; those of the busiest worker, in its quickest iteration after the first.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.distributed
import torch.multiprocessing

from benchmarks.synthetic import synthetic_feeder
from gradmap_trainer.config import USUAL_CASE, TrainConfig
from gradmap_trainer.gradmap import iterate, make_learner
from gradmap_trainer.team import ALONE, share_out
from gradmap_trainer.workers.member import stay_local
from gridedge_env.memory import keep_freed_memory

# By the number of their nodes; of any other number one is made.
FEEDERS = {41: "ieee13", 117: "ieee37", 278: "ieee123", 2_721: "european_lv"}
ITERATIONS = 3


@dataclass(frozen=True)
class Size:
    """How large a training is: agents, nodes of the feeder, days of a batch, workers."""

    agents: int
    nodes: int
    days: int
    workers: int = 1

    @property
    def nodes_of_matrices(self) -> int:
        """Nodes of a feeder that is small enough for matrices, which are quicker; of others 0."""
        return self.nodes if self.nodes in FEEDERS else 0


@dataclass(frozen=True)
class Point:
    """What was measured.

    Attributes:
        size: of the training.
        seconds: of an iteration.
        mebibytes: the most that a worker ever held.
    """

    size: Size
    seconds: float
    mebibytes: float


def measured(size: Size) -> Point:
    """Measure in fresh processes.

    Raises:
        RuntimeError: they ended with an error.
    """
    asked = json.dumps(asdict(size))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale.point", asked],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{asked}: {(done.stderr.strip().splitlines() or ['no output'])[-1]}")
    return Point(size, *json.loads(done.stdout.splitlines()[-1]))


def _work(rank: int, size: Size, folder: str) -> None:
    """Train as one of the workers; leave seconds and MiB in the folder."""
    torch.set_num_threads(1)
    keep_freed_memory()  # as `training.train` does
    feeder = FEEDERS.get(size.nodes, str(Path(folder) / "feeder"))
    case = replace(USUAL_CASE, feeder=feeder, num_agents=size.agents)
    config = TrainConfig(case=case, batch_days=size.days)
    team = ALONE
    if size.workers > 1:
        stay_local()
        store = torch.distributed.FileStore(f"{folder}/store", size.workers)
        torch.distributed.init_process_group(
            "gloo", store=store, rank=rank, world_size=size.workers
        )
        team = share_out(rank, size.workers, size.agents, size.days)
    simulator = config.make_simulator()
    learner, seconds = make_learner(config, simulator, team), []
    for _ in range(1 + ITERATIONS):
        began = time.process_time()
        learner, _ = iterate(config, simulator, learner)
        seconds.append(time.process_time() - began)
    if size.workers > 1:
        torch.distributed.destroy_process_group()
    found = [min(seconds[1:]), _most_memory()]
    (Path(folder) / f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")


def _most_memory() -> float:
    """MiB. What `resource` tells on Linux counts what the parent held, too; not so this file."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 2**10
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main() -> None:
    """See above."""
    size = Size(**json.loads(sys.argv[1]))
    with tempfile.TemporaryDirectory() as folder:
        if size.nodes not in FEEDERS:
            synthetic_feeder(size.nodes).save(Path(folder) / "feeder")
        torch.multiprocessing.spawn(_work, (size, folder), size.workers)
        found = [json.loads((Path(folder) / f"{k}.json").read_text()) for k in range(size.workers)]
    print(json.dumps([max(column) for column in zip(*found, strict=True)]))


if __name__ == "__main__":
    main()
