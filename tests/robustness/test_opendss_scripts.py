"""An OpenDSS script describes a network: it loads no program, writes nothing, reads no other file.

What it may say is looked up before the engine sees it (the first tests); should that let anything
through, the engine's process can do no harm with it (the last ones).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gridedge_env import load_feeder
from gridedge_env.feeder import opendss
from gridedge_env.feeder.opendss import process
from gridedge_env.feeder.opendss.script import Command, Refused, Script, read_script
from gridedge_env.feeder.opendss.vocabulary import PROPERTIES, Use

pytest.importorskip("dss")

BEGIN = "clear\nnew circuit.c basekv=12.47 bus1=s\nnew line.l bus1=s bus2=b\n"
BEGIN += "new load.x bus1=b kv=12.47 kw=30\n"
END = "\nset voltagebases=[12.47]\ncalcvoltagebases\nsolve\n"
LINE = BEGIN.count("\n") + 1

# Properties that name a program, give it its data, or write.
ACTING = [
    (kind, name)
    for kind, words in PROPERTIES.items()
    for name, use in zip(words.names, words.uses, strict=True)
    if use is Use.REFUSED
]


def place_of(kind: str, name: str) -> int:
    """Of a property among those of its kind."""
    place = PROPERTIES[kind].place_of(name)
    assert place is not None
    return place


# One and the same property, as somebody would hide it.
HIDDEN = {
    "abbreviated": "new generator.g bus1=b user=evil.so",
    "in capitals": "NEW GENERATOR.G BUS1=b USERMODEL=evil.so",
    "in quotes": "'new' \"generator.g\" 'UserModel' = (evil.so)",
    "by position": f"new generator.g{' 1' * place_of('generator', 'usermodel')} evil.so",
    "after its neighbour": "new generator.g D=1 evil.so",
    "in a continued line": "new generator.g bus1=b\n~ usermodel=evil.so",
    "after a comment": "new generator.g bus1=b\n! no\n/* no\n*/\nmore user=evil.so",
    "behind a comment's end": "/* usermodel=no\n*/ nonsense\nnew generator.g usermodel=evil.so",
    "later": "new generator.g bus1=b\nedit generator.g usermodel=evil.so",
    "by its full name": "new generator.g bus1=b\ngenerator.g.usermodel=evil.so",
    "alone": "new generator.g bus1=b\nusermodel=evil.so",
    "of all": "new generator.g bus1=b\nbatchedit generator..* usermodel=evil.so",
    "of one that was selected": "new generator.g bus1=b\nselect generator.g\n~ usermodel=evil.so",
    "as object": "new object=generator.g usermodel=evil.so",
}

COMMANDS = (
    "save circuit dir=out",
    "sav voltages",
    "dump",
    "dump line.l debug",
    "set datapath=out",
    "set datap=/",
    "cd out",
    "doscmd touch out",
    "fileedit Master.dss",
    "formedit line.l",
    "set editor=/bin/sh",
    "solve editor=/bin/sh",
    "set recorder=yes",
    "set mode=snap recorder=yes",
    "set registryupdate=yes",
    "set keeplist=[file=names.txt]",
    "set allowduplicates=yes",
    "set circuit=other",
    "set numactors=2",
    "var @x=evil.so",
    "uuids names.txt",
    "cvrtloadshapes",
    "alignfile Master.dss",
    "distribute kw=1000",
    "rephase startline=line.l editstring=[usermodel=evil.so]",
    "reconductor line1=line.l line2=line.l editstring=[usermodel=evil.so]",
    "remove line.l editstring=[usermodel=evil.so]",
    "reduce all",
    "connect",
    "newactor",
    "clone 2",
    "wait",
    "obfuscate",
    "_showcontrolqueue",
    "_initsnap",
    "nonsense",
)

OTHER_FILES = (
    "redirect /etc/hostname",
    "compile /etc/hostname",
    "redirect ../../elsewhere.dss",
    "redirect ..\\..\\elsewhere.dss",
    "redirect linked.dss",
    "redirect linked/elsewhere.dss",
    "redirect .",
    "redirect pipe",
    "redirect",
    "redirect {long}",
    "redirect nowhere.dss",
    "buscoords /etc/hostname",
    "latlongcoords ../../elsewhere.dss",
    "new loadshape.s npts=1 csvfile=/etc/hostname",
    "new loadshape.s npts=1 mult=(file=/etc/hostname)",
    "new loadshape.s npts=1 mult=[ dbl = /etc/hostname ]",
    "new loadshape.s npts=1 pqcsvfile=../../elsewhere.dss",
    "new spectrum.s csvfile=linked.dss",
    "new transformer.t buses=(file=/etc/hostname)",
    "set voltagebases=(sngfile=/etc/hostname)",
    "new loadshape.s npts=1 mult=(1 2 file=/etc/hostname)",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a script, with much beside it that it may not touch."""
    home = tmp_path / "home" / "model"
    home.mkdir(parents=True)
    (tmp_path / "elsewhere.dss").write_text("new load.elsewhere bus1=b")
    (home / "linked.dss").symlink_to(tmp_path / "elsewhere.dss")
    (home / "linked").symlink_to(tmp_path)
    (home / "names.txt").write_text("s\n")
    (home / "evil.so").write_bytes(b"\x7fELF")
    if hasattr(os, "mkfifo"):
        os.mkfifo(home / "pipe")
    return home


def script_of(folder: Path, lines: str) -> Path:
    path = folder / "Master.dss"
    path.write_text(BEGIN + lines.format(long="x" * 5000) + END)
    return path


def everything(folder: Path) -> dict[str, float]:
    """Whatever lies in the home around a folder, and when it was changed."""
    return {str(p): p.lstat().st_mtime for p in folder.parents[1].rglob("*")}


def refused(path: Path) -> str:
    """What is said of a script, of which nothing else may come."""
    before, here = everything(path.parent), Path.cwd()
    with pytest.raises(ValueError, match=r"Master\.dss: line ") as error:
        load_feeder(path)
    assert everything(path.parent) == before
    assert Path.cwd() == here
    return str(error.value)


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is not even started."""

    def start(*arguments: object, **options: object) -> None:
        raise AssertionError("the engine was started")

    monkeypatch.setattr(process.subprocess, "run", start)


@pytest.mark.parametrize(("kind", "name"), ACTING)
@pytest.mark.usefixtures("no_engine")
def test_properties_that_act_are_refused(folder: Path, kind: str, name: str) -> None:
    told = refused(script_of(folder, f"new {kind}.y {name}=evil.so"))
    assert f"line {LINE}: {kind}: got {name}, expected what only describes a network" in told


def test_those_that_load_programs_are_among_them() -> None:
    programs = {"usermodel", "userdata", "shaftmodel", "shaftdata", "dynadll", "dynadata"}
    assert programs <= {name.lower() for _, name in ACTING}


@pytest.mark.parametrize("how", HIDDEN)
@pytest.mark.usefixtures("no_engine")
def test_however_they_are_hidden(folder: Path, how: str) -> None:
    line = LINE + HIDDEN[how].count("\n")
    assert f"line {line}: generator: got UserModel" in refused(script_of(folder, HIDDEN[how]))


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.usefixtures("no_engine")
def test_commands_that_act_are_refused(folder: Path, line: str) -> None:
    assert f"line {LINE}: " in refused(script_of(folder, line))


@pytest.mark.parametrize("line", OTHER_FILES)
@pytest.mark.usefixtures("no_engine")
def test_files_of_others_are_refused(folder: Path, line: str) -> None:
    """And what is no file."""
    told = refused(script_of(folder, line))
    assert f"line {LINE}: " in told
    assert "expected a file" in told or "expected numbers, names or a file" in told


@pytest.mark.usefixtures("no_engine")
def test_a_script_within_it_is_named(folder: Path) -> None:
    (folder / "parts").mkdir()
    (folder / "parts" / "machines.txt").write_text("! of wind\nnew generator.g usermodel=evil.so")
    path = script_of(folder, "redirect parts/machines.txt")
    with pytest.raises(Refused, match=r"^machines\.txt, line 2: generator: got UserModel"):
        read_script(path)


def test_reports_are_left_out(folder: Path) -> None:
    """They would write into the script's folder, or where they say."""
    reports = "show voltages\nexport currents out.csv\nplot profile\nvisualize powers line.l"
    settings = "set casename=out demandinterval=yes tracecontrol=yes querylog=yes"
    devices = "new energymeter.m line.l 1\nnew monitor.m line.l 1 mode=0 action=save"
    path = script_of(folder, "\n".join((devices, settings, "solve", reports, "closedi")))
    before = everything(folder)
    assert [load.name for load in load_feeder(path).loads] == ["x"]
    assert everything(folder) == before


# From here on: what the engine's process can do with whatever reaches it.


def asked(folder: Path, *commands: str) -> dict[str, object]:
    """What the engine answers to commands that nobody has looked at."""
    lines = [*BEGIN.splitlines(), *commands]
    return process.asked_of_engine(Script(tuple(Command(line, "") for line in lines), ()))


RAW = (
    "export voltages {folder}/out.csv",
    "export voltages",
    "show voltages",
    "save circuit dir={folder}/out",
    "set datapath={folder}\nexport voltages",
    "set recorder=yes",
    "dump",
    "redirect {folder}/names.txt",
    "new generator.g bus1=b usermodel={library}",
)


def landlock() -> bool:
    """Whether this system can restrict a process."""
    program = "from gridedge_env.feeder.opendss.engine import restrict_access as r; print(r([]))"
    return sys.platform == "linux" and "True" in in_a_process(program)


def in_a_process(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(opendss.__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_the_process_can_do_no_harm(folder: Path) -> None:
    """Each at its last command: no file can be made, read or loaded as a program."""
    if not landlock():
        pytest.skip("this system has no Landlock")
    library = next(Path(sys.modules["_ctypes"].__file__ or "").parent.glob("*.so"))
    before = everything(folder)
    for line in RAW:
        commands = line.format(folder=folder, library=library).splitlines()
        answer = asked(folder, *commands)
        assert answer["command"] == BEGIN.count("\n") + len(commands) - 1, line
        assert everything(folder) == before


def test_where_there_are_limits_alone_no_file_grows(folder: Path) -> None:
    """As on macOS, and on a Linux without Landlock."""
    pytest.importorskip("resource")
    program = f"""
from gridedge_env.feeder.opendss.engine import limit_resources
limit_resources(2**32)
with open({str(folder / "out")!r}, "w") as file:
    file.write("x")
"""
    assert "File too large" in in_a_process(program)
    assert (folder / "out").read_bytes() == b""


def test_the_process_is_told_nothing_of_the_user(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder is its own, and gone afterwards; its environment is empty."""
    engine = folder / "engine.py"
    engine.write_text(
        "import json, os, sys\n"
        "mode = os.stat('.').st_mode & 0o777\n"
        "print(json.dumps({'environment': dict(os.environ), 'in': os.getcwd(), 'mode': mode}))"
    )
    monkeypatch.setenv("PASSWORD", "secret")
    monkeypatch.setattr(process, "ENGINE", engine)
    answer = process.asked_of_engine(Script((), ()))
    assert json.dumps(answer).find("secret") < 0
    assert set(answer["environment"]) <= {*process.SET, *process.KEPT, "LC_CTYPE"}
    assert answer["mode"] == 0o700
    assert not Path(answer["in"]).exists()


BREAKING = {
    "a crash": ("new line.k bus1=b bus2=c phases=1000000000", "OpenDSS crashed on it \\("),
    "no end": ("set mode=yearly number=100000000\nsolve", "OpenDSS was not done after 2 s"),
    "memory": ("new line.k bus1=b bus2=c phases=6000", "had no room in 0.5 GiB of memory"),
}


@pytest.mark.parametrize("what", BREAKING)
def test_what_breaks_the_engine_breaks_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    line, told = BREAKING[what]
    if what == "no end":
        monkeypatch.setattr(process, "LONGEST", 2.0)
    if what == "memory":
        monkeypatch.setattr(process, "MOST_MEMORY", 2**29)
    with pytest.raises(ValueError, match=rf"Master\.dss: .*{told}"):
        load_feeder(script_of(folder, line))
