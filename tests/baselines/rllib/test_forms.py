"""What forms of policies use, and with what defaults: in Python, on the command line, on the page.

`usual` has the defaults, `USED_BY` what not all forms use; all else is held to them here.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest

pytest.importorskip("ray", reason="needs the rllib extra")

from baselines.rllib import train, tune
from baselines.rllib.config import RUN_KIND, SHARED, USED_BY, Form, RLConfig, usual
from baselines.rllib.flags import RLFlags, flag_of, given
from baselines.rllib.run import open_folder
from gradmap_trainer.config import load_config
from gridedge_env.case import CaseSettings

GUIDE = (Path(__file__).parents[3] / "docs" / "baselines.md").read_text(encoding="utf-8")
CASE = CaseSettings("ieee13", num_agents=3, step_minutes=60)
# Another value for each setting that not all forms use.
OTHERS = {
    "price_variation": 0.3,
    "entropy": 0.01,
    "initial_deviation": 0.7,
    "reward_scale": 2.0,
    "credit": "marginal",
    "multiplier_step": 3.0,
}
PAIRS = [(name, form) for name in OTHERS for form in get_args(Form)]
# What all forms have alike: what is done, on what, and for how long.
COMMON = {
    *("run", "algorithm", "policies", "case", "iterations", "seconds", "env_runners"),
    *("validation_days", "checkpoint_seconds", "evaluation_days", "foresight_iterations"),
}


def refusal(name: str, value: Any, form: str) -> str:
    users = " or ".join(map(repr, USED_BY[name]))
    return (
        f"{name}: got {value!r} with policies {form!r}, expected none: only {users} policies use it"
    )


def as_written(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def told_by(command: Any, *words: str, monkeypatch: Any, capsys: Any, code: str = "2") -> str:
    """All that a command says before it exits, as one line."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.argv", ["command", *words])
    with pytest.raises(SystemExit, match=f"^{code}$"):
        command.main()
    said = capsys.readouterr()
    return " ".join((said.out + said.err).replace("│", " ").split())


@pytest.mark.parametrize(("name", "form"), PAIRS)
def test_what_a_form_does_not_use_is_refused_in_python(name, form):
    assert set(OTHERS) == set(USED_BY)
    config = replace(usual(form), case=CASE, policies=form)
    if form in USED_BY[name]:
        assert getattr(replace(config, **{name: OTHERS[name]}), name) == OTHERS[name]
    else:
        with pytest.raises(ValueError, match=f"^{re.escape(refusal(name, OTHERS[name], form))}$"):
            replace(config, **{name: OTHERS[name]})


@pytest.mark.parametrize("name", ["algorithm", "policies", "credit"])
@pytest.mark.parametrize("wrong", ["none", None, ["joint"]])
def test_names_that_are_none_are_refused_in_python(name, wrong):
    with pytest.raises(ValueError, match=rf"^{name}: got .*, expected one of "):
        RLConfig(**{name: wrong})


@pytest.mark.parametrize("command", [train, tune])
@pytest.mark.parametrize(("name", "form"), [p for p in PAIRS if p[1] not in USED_BY[p[0]]])
def test_and_on_the_command_line_even_if_given_as_it_is(
    command, name, form, tmp_path, monkeypatch, capsys
):
    words = ["--policies", form, "--num-agents", "3", "--run", str(tmp_path / "run")]
    for value in (OTHERS[name], getattr(RLConfig, name)):
        option = [f"--{name.replace('_', '-')}", str(value)]
        told = told_by(command, *words, *option, monkeypatch=monkeypatch, capsys=capsys)
        assert told.endswith(f"error: {refusal(name, value, form)}")
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_has_its_own_form(tmp_path):
    """Its options may be said again, whatever is used by default."""
    run = tmp_path / "run"
    config = replace(SHARED, case=CASE, run=str(run), clip=0.3)
    open_folder(config, config.make_simulator())
    words = ["--run", str(run), "--resume"]
    again, *_ = train._parse([*words, "--credit", "marginal", "--policies", "shared"])
    assert again == config == load_config(run, RLConfig, RUN_KIND)
    with pytest.raises(ValueError, match="^policies: got 'joint', expected 'shared', as the run h"):
        train._parse([*words, "--policies", "joint"])


def test_what_is_searched_for_is_not_given(tmp_path, monkeypatch, capsys):
    for form in get_args(Form):
        config = replace(usual(form), case=CASE, policies=form)
        sample = {name: domain.sample() for name, domain in tune.search_space(form).items()}
        replace(config, **{**sample, "batch_days": 32})
        for name in (*sample, "final_learning_rate"):
            flag, value = flag_of(name), getattr(config, name)
            words = ["--policies", form, f"--{flag.replace('_', '-')}", str(value)]
            words += ["--run", str(tmp_path / "run")]
            told = told_by(tune, *words, monkeypatch=monkeypatch, capsys=capsys)
            assert told.endswith(f"{flag}: got {value!r}, expected none: it is searched for")


def test_what_is_given():
    assert given(["--penalty=3", "--hidden_sizes", "4", "--num-agents", "3", "clip"]) == {
        *("training_penalty", "hidden_sizes")
    }


@pytest.mark.parametrize("command", [train, tune])
@pytest.mark.parametrize("form", get_args(Form))
def test_the_help_has_the_defaults_of_all_forms(command, form, monkeypatch, capsys):
    """The same, whichever form it is asked for with."""
    words = ["--policies", form, "--help"]
    told = told_by(command, *words, monkeypatch=monkeypatch, capsys=capsys, code="0")
    options = re.split(r" (?=--[a-z])", told)
    found = {}
    for option in options:
        if default := re.search(r"^--([\w-]+) .*\(default: (.*?)\)", option):
            found[default[1].replace("-", "_")] = default[2]
    for name in {field.name for field in fields(RLConfig)} - COMMON:
        values = list(
            dict.fromkeys(as_written(getattr(usual(f), name)) for f in ("joint", "shared"))
        )
        assert found[flag_of(name)] == "; shared: ".join(values)
    assert found["policies"] == "joint"


def test_forms_but_the_shared_one_have_the_same_defaults():
    """So that the help names two, and the page need not say what is common to all."""
    assert {form for form in get_args(Form) if usual(form) != RLConfig()} == {"shared"}
    for name in COMMON - {"policies"}:
        assert getattr(SHARED, name) == getattr(RLConfig(), name)


def test_the_page_has_the_defaults_of_all_forms():
    block = re.search(
        r"^\| setting \| joint \| by-kind, separate \| shared \|\n\|[-|]+\|\n((?:\|.*\n)+)",
        GUIDE,
        flags=re.MULTILINE,
    )
    assert block is not None
    rows = [[c.strip().strip("`") for c in x.strip("|").split("|")] for x in block[1].splitlines()]
    expected = [
        [flag_of(field.name), *(default(field.name, f) for f in ("joint", "by-kind", "shared"))]
        for field in fields(RLConfig)
        if field.name not in COMMON
    ]
    assert rows == expected
    assert all(("by-kind" in forms) == ("separate" in forms) for forms in USED_BY.values())


def default(name: str, form: Form) -> str:
    """As the page has it."""
    used = form in USED_BY.get(name, (form,))
    return as_written(getattr(usual(form), name)) if used else "–"


def test_the_help_and_the_page_tell_the_same_critic():
    """Of joint MAPPO, as `JointActorCritic` has it: `test_joint.py` holds it to that."""
    seen = "what agents alone observe, as mean and spread over each kind of device"
    assert seen in " ".join((RLFlags.__doc__ or "").split())
    assert seen in " ".join(GUIDE.split())
