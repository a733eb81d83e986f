"""Jobs on Ray: each on a machine that has processors for it, and there in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ray
import torch
from ray.exceptions import RayError

from baselines.compare import processes
from baselines.compare.config import Comparison, Job
from gradmap_trainer.team import WorkersFailed
from gradmap_trainer.workers.session import is_lost, ray_session


def run_jobs(
    address: str, comparison: Comparison, jobs: Sequence[Job], folder: Path, watch: processes.Watch
) -> dict[Job, str]:
    """As `processes.run_jobs`, on the machines of a cluster, all of which see the folder.

    Side by side are as many jobs as there are processors for. One whose machine, or whose worker of
    Ray, has died begins anew.

    Args:
        address: of the cluster; "local" for a Ray of this machine, for `running.processes` jobs.
        comparison: what is compared.
        jobs: to run.
        folder: of the results.
        watch: told of every change.

    Raises:
        WorkersFailed: Ray could not be reached or has died, or no machine is large enough.
    """
    running = comparison.running
    needs = {"CPU": running.threads, "GPU": int(torch.device(running.device).type == "cuda")}
    waiting, under_way = list(jobs), dict[ray.ObjectRef, Job]()
    failures: dict[Job, str] = {}
    with ray_session(running.processes * running.threads, address):
        submit = ray.remote(run_job).options(num_cpus=needs["CPU"], num_gpus=needs["GPU"])
        try:
            while waiting or under_way:
                while waiting and len(under_way) < _room(needs):
                    job = waiting.pop(0)
                    under_way[submit.remote(comparison, job, folder.absolute())] = job
                    watch(list(under_way.values()), None, "")
                if not under_way:
                    raise WorkersFailed(
                        f"running.threads: got {running.threads}, of which no machine has as many"
                    )
                ended, _ = ray.wait(list(under_way), timeout=processes.POLL_SECONDS)
                if is_lost():
                    raise WorkersFailed("Ray's own processes died")
                for task in ended:
                    job = under_way.pop(task)
                    if failure := _failure(task):
                        failures[job] = failure
                    watch(list(under_way.values()), job, failure)
        finally:
            _end(list(under_way))
    return failures


def run_job(comparison: Comparison, job: Job, folder: Path) -> str:
    """A job, on a machine that Ray has chosen; what went wrong, "" if nothing did."""
    return processes.run_jobs(comparison, [job], folder, lambda *_: None).get(job, "")


def _room(needs: dict[str, int]) -> int:
    """How many jobs the machines that there are can take together."""
    return sum(
        min(int(node["Resources"].get(name, 0) / need) for name, need in needs.items() if need)
        for node in ray.nodes()
        if node["Alive"]
    )


def _failure(task: ray.ObjectRef) -> str:
    try:
        told: str = ray.get(task)
    except RayError as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return told


def _end(tasks: Sequence[ray.ObjectRef]) -> None:
    """Have jobs ended, and wait for that."""
    if not tasks or is_lost():
        return
    for task in tasks:
        ray.cancel(task)
    ray.wait(tasks, num_returns=len(tasks), timeout=processes.GRACE_SECONDS)
