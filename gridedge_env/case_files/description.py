"""`case.toml`: what a case is, apart from its tables and series."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gridedge_env.checks import check_flag, check_not_negative, check_seed, check_whole_number
from gridedge_env.clock import MOST_DAYS, check_step_minutes
from gridedge_env.currency import EURO, check_currency
from gridedge_env.scenarios.series import Fault
from gridedge_env.scenarios.series.faults import Findings, collected
from gridedge_env.scenarios.series.local_time import zone_of
from gridedge_gateway.mistakes import one_line, regular_file
from gridedge_gateway.names import check_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CASE_FILE = "case.toml"
ENCODING = "utf-8-sig"  # some editors begin a file with a byte order mark
HEADER = """\
What is simulated. Beside this file: feeder/, agents.csv and a table for each kind of device;
prices.csv, weather.csv and meters.csv where these are the customers' own; background.csv where
other loads stay.
"""
AS_MODELLED = "as modelled"
TAPS = (AS_MODELLED, "neutral", "controlled")
LOADS = (AS_MODELLED, "none")
SECTIONS = ("feeder", "limits", "tariff", "days", "demand")

# Keys outside of sections: their check, and the value where the file does not say.
_PLAIN: dict[str, tuple[Callable[[Any, str], Any], Any]] = {
    "name": (lambda value, name: check_line(value, name, "text in one line"), ""),
    "currency": (check_currency, EURO),
    "time_zone": (lambda value, name: zone_of(value), "Europe/Amsterdam"),
    "step_minutes": (check_step_minutes, 30),
    "days_per_episode": (
        lambda value, name: check_whole_number(value, 1, name, MOST_DAYS),
        1,
    ),
    "penalty": (check_not_negative, 100.0),
    "reactive_power": (check_flag, False),
    "local_response": (check_flag, False),
    "public_plan": (check_flag, False),
    "seed": (check_seed, 0),
}


def write_description(description: Mapping[str, Any], folder: Path) -> None:
    """Write the file; sections come last."""
    import tomlkit  # a case in Python needs no files

    document = tomlkit.document()
    for line in HEADER.splitlines():
        document.add(tomlkit.comment(line))
    for name in _PLAIN:
        if description[name] is not None:
            document.add(name, description[name])
    for name in SECTIONS:
        if description.get(name):
            document.add(tomlkit.nl())
            document.add(name, tomlkit.item(dict(description[name])))
    (folder / CASE_FILE).write_text(tomlkit.dumps(document), encoding="utf-8", newline="\n")


def read_description(folder: Path, findings: Findings) -> dict[str, Any]:
    """What the file says, with defaults where it says nothing or is wrong; sections as they are.

    Args:
        folder: of the case.
        findings: takes what is wrong.

    Raises:
        FileNotFoundError: no such file.
        Faults: no TOML.
    """
    path = folder / CASE_FILE
    if not path.exists():
        raise FileNotFoundError(f"case: {one_line(path)} not found, expected the folder of a case")
    try:
        record = tomllib.loads(regular_file(path).read_text(ENCODING))
    except UnicodeDecodeError as error:
        findings.stop(f"got text that is not UTF-8 ({error.reason}), expected TOML")
    except (ValueError, RecursionError) as error:
        line = re.search(r" \(at line (\d+), .*\)$", str(error))
        what = str(error)[: line.start()] if line else str(error)
        findings.stop(f"got no TOML ({what}), expected some", int(line[1]) if line else None)
    description: dict[str, Any] = {}
    check_keys(record, [*_PLAIN, *SECTIONS], findings)
    for name, (check, default) in _PLAIN.items():
        description[name] = default
        with collected(findings):
            check(record.get(name, default), name)
            description[name] = record.get(name, default)
    for name in SECTIONS:
        section = record.get(name, {})
        if not isinstance(section, dict):
            findings.fault(f"got {section!r:.80}, expected a table", None, name)
        description[name] = section if isinstance(section, dict) else {}
    return description


def check_keys(
    section: Mapping[str, Any], known: Collection[str], findings: Findings, place: str = ""
) -> None:
    """A fault for every key that does not exist; `place` stands before it: "days."."""
    for name in section:
        if name not in known:
            what = f"got this key, expected one of {', '.join(known)}"
            findings.fault(what, None, f"{place}{name}")


_SECTION = re.compile(r"\s*\[{1,2}([^\[\],]+)\]{1,2}\s*(#.*)?")
_KEY = re.compile(r"""\s*([\w.'" -]+?)\s*=""")


def with_rows(faults: Iterable[Fault], folder: Path) -> list[Fault]:
    """Faults, those of the description with the line of the key or section that they name."""
    rows: dict[str, int] = {}
    section = ""
    for row, line in enumerate((folder / CASE_FILE).read_text(ENCODING).split("\n"), start=1):
        if heading := _SECTION.fullmatch(line.rstrip("\r")):
            section = heading[1].strip()
            rows.setdefault(section, row)
        elif key := _KEY.match(line):
            rows.setdefault(f"{section}.{key[1]}".strip("."), row)

    def located(fault: Fault) -> Fault:
        if fault.file != CASE_FILE or fault.row is not None:
            return fault
        key = fault.column or ""
        while key and key not in rows:
            key = key.rpartition(".")[0]
        return replace(fault, row=rows.get(key))

    return [located(fault) for fault in faults]
