"""Scripts are read as OpenDSS reads them, and reach it as commands with full names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridedge_env.feeder import Feeder
from gridedge_env.feeder.opendss.parsing import words_of
from gridedge_env.feeder.opendss.script import MOST_BYTES, Refused, read_script
from gridedge_env.feeder.opendss.vocabulary import COMMANDS, OPTIONS, PROPERTIES

SIGNS = "ab1. \t,=!/()[]{}\"'|~%"


@pytest.fixture(scope="module")
def engine() -> Any:
    dss = pytest.importorskip("dss")
    own = dss.DSS.NewContext()
    own.AllowForms = own.AllowChangeDir = False
    return own


@settings(max_examples=300, deadline=None)
@given(line=st.text(SIGNS, max_size=20))
def test_words_are_those_of_opendss(line: str) -> None:
    dss = pytest.importorskip("dss")
    parser = dss.DSS.Parser
    parser.CmdString = line
    theirs = []
    while (word := (parser.NextParam, parser.StrValue))[1]:
        theirs.append(word)
    assert [(word.name, word.text) for word in words_of(line)] == theirs


def test_commands_and_options_stand_where_opendss_has_them(engine: Any) -> None:
    executive = engine.Executive
    commands = (executive.Command(number + 1) for number in range(executive.NumCommands))
    assert COMMANDS.names == tuple(commands)
    options = (executive.Option(number + 1) for number in range(executive.NumOptions))
    assert OPTIONS.names == tuple(options)


@pytest.mark.parametrize("kind", PROPERTIES)
def test_properties_stand_where_opendss_has_them(engine: Any, kind: str) -> None:
    """Controls of nothing are no elements, but even so they show what they have."""
    engine.Error.UseExceptions = False
    try:
        engine.Text.Command = "clear"
        engine.Text.Command = "new circuit.x"
        engine.Text.Command = f"new {kind}.y"
        names = tuple(engine.ActiveCircuit.ActiveDSSElement.AllPropertyNames)
    finally:
        engine.Error.UseExceptions = True
    assert names == PROPERTIES[kind].names


ODD = (
    "/* commented\nnonsense\nand out */ nonsense",
    'ne obj=line.l, "s" (b) r1 = (0.1 0.2 +)! nonsense',
    "~ x1=0.5//nonsense",
    "m r0=[0.3 2 *] x0={3 2 /}",
    "line.l.len=2",
    "New 'Load.x' ph=3 b, kv='12.47' k=12.47 kW=300",
    "\tkvar = 100 , model=1",
    "new load.y bus1=b kv=12.47 kw=30 kvar=10 kw=",
    "new monitor.m line.l 1 mode=0",
    "select load.y",
    "more conn=delta",
    "new capacitor.c b kvar=60 kv=12.47",
    "batchedit load.[xy] kw=45",
    "disable capacitor.c",
    "set maxcont=20 normv=0.94",
    "show voltages\nexport currents\nplot profile\nset casename=x demandinterval=yes",
)


def test_odd_scripts_mean_what_they_mean_to_opendss(
    same_as_opendss: Callable[..., Feeder],
) -> None:
    """Abbreviations, quotes, positions, continued lines, comments, arithmetic; not reports.

    OpenDSS itself would write the reports, but for them the fixture gives it the same script.
    """
    feeder = same_as_opendss(*ODD[:-1])
    assert {load.name: (load.kw, load.connection) for load in feeder.loads} == {
        "x": (45.0, "wye"),
        "y": (45.0, "delta"),
    }
    assert feeder.lines[0].length == 2.0
    assert feeder.capacitors == ()


def test_reports_do_not_reach_the_engine(write_script: Callable[..., Path]) -> None:
    with_reports, without = (
        [command.text for command in read_script(write_script(*lines)).commands]
        for lines in (ODD, ODD[:-1])
    )
    assert with_reports == without
    assert "Edit line.l Length=2" in without
    assert "New 'Load.x' Phases=3 Bus1=b kV='12.47' kV=12.47 kW=300" in without


def test_redirected_files_are_found_from_where_they_stand(
    write_script: Callable[..., Path], import_script: Callable[..., Feeder], tmp_path: Path
) -> None:
    """Beside the file that names them; after `compile`, beside the one that was compiled."""
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "more.dss").write_text("redirect loads.dss\nnew loadshape.d npts=2 csvfile=d.csv")
    (folder / "loads.dss").write_text("new load.x bus1=b kv=12.47 kw=300")
    (folder / "d.csv").write_text("0.5\n1\n")
    (tmp_path / "e.csv").write_text("1\n0.5\n")
    feeder = import_script(
        "new line.l bus1=s bus2=b",
        "new loadshape.e npts=2 interval=1 mult=(file=e.csv column=1)",
        "redirect parts\\more",
    )
    assert [load.name for load in feeder.loads] == ["x"]
    script = read_script(write_script("redirect parts/more", "buscoords e.csv"))
    assert script.files == (folder / "d.csv", tmp_path / "e.csv")
    assert read_script(write_script("compile parts/more", "buscoords d.csv")).files


def test_scripts_without_end(write_script: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"line 4: got scripts within scripts, expected them 50 deep"):
        read_script(write_script("redirect Master.dss"))
    (tmp_path / "part.dss").write_text("!" * 2**20)
    with pytest.raises(Refused, match=rf"line \d+: got more than {MOST_BYTES:,} bytes"):
        read_script(write_script(*["redirect part.dss"] * 300))
