"""Logs of homes with all kinds of device, in episodes of two days; policies correct a plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.export import export_run, gateway_starts
from gradmap_trainer.monitor import logged_tables, read_fleet, write_monitor
from gradmap_trainer.run_folder import save_learner
from gradmap_trainer.training import open_run
from gridedge_env import Case, Clock, default_case, make_simulator
from gridedge_env.devices import KINDS, Devices, make_fleet
from gridedge_gateway.days import work_out
from tests.gradmap_trainer.monitor.gateway_logs import log_episodes

SPRING = 100


def two_houses() -> Case:
    """One with all five devices, one with a battery and a car, in hours."""
    case = default_case("ieee13", 1, step_minutes=60, home_scale=1.0, public_plan=True)
    owners = {kind: ["all five"] for kind in KINDS}
    for kind in ("battery", "ev_charger"):
        owners[kind].append("two")
    tables = {
        kind: Devices(names, KINDS[kind].sample(len(names), 1.0, np.random.default_rng(0)))
        for kind, names in owners.items()
    }
    fleet = make_fleet({"all five": "671.1", "two": "671.2"}, tables)
    return replace(case, fleet=fleet, clock=Clock.of_minutes(60, 2))


def test_all_is_as_promised_and_each_plan_is_worked_out_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, config = two_houses(), TrainConfig(run=str(tmp_path), case=None)
    simulator = make_simulator(case=case)
    learner = open_run(config, simulator)
    with torch.no_grad():
        learner.policies.weights[-1].mul_(30.0)
    save_learner(learner, config, simulator, tmp_path)
    exact = make_simulator(case=case, dtype=torch.float64)
    files, logs = tmp_path / "policies", tmp_path / "logs"
    export_run(config, exact, learner.policies, files)
    starts = [day for day in gateway_starts(exact, "train") if day >= SPRING][:2]
    log_episodes(exact, learner.policies, files, logs, starts)
    worked_out = []

    def counted(*given):
        worked_out.append(given)
        return work_out(*given)

    monkeypatch.setattr("gradmap_trainer.monitor.fleet.work_out", counted)
    monkeypatch.setattr("gradmap_trainer.monitor.trained.MOST_DAYS", 4)
    tables = logged_tables(logs, files, tmp_path)
    fleet = read_fleet(tmp_path, config, simulator, learner.policies, tables, files)
    assert len(worked_out) == len(starts)
    assert not fleet.faults
    for found in fleet.findings:
        assert (found.compared, found.days, found.follows_policy) == (96, 4, 1.0)
        assert found.apart < 1e-6  # a log has six decimals
        assert not found.misfits
        assert found.meter_follows
    assert fleet.findings[0].moves.keys() == {"battery", "heat_pump", "ev_charger"}
    page = write_monitor(fleet, tmp_path).read_text(encoding="utf-8")
    assert "2 of 2 customers have logged, up to 4 days" in page
