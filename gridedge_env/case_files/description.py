"""`case.toml`: what a case is, apart from its tables and series."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gridedge_env.checks import (
    check_flag,
    check_known,
    check_not_negative,
    check_type,
    check_whole_number,
)
from gridedge_env.clock import MOST_DAYS, Clock
from gridedge_env.currency import EURO, check_currency
from gridedge_env.scenarios.series.faults import Findings, collected
from gridedge_env.scenarios.series.local_time import zone_of

CASE_FILE = "case.toml"
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
    "name": (lambda value, name: check_type(value, str, name, "text"), ""),
    "currency": (check_currency, EURO),
    "time_zone": (lambda value, name: zone_of(value), "Europe/Amsterdam"),
    "step_minutes": (lambda value, name: Clock.of_minutes(value), 30),
    "days_per_episode": (
        lambda value, name: check_whole_number(value, 1, name, MOST_DAYS),
        1,
    ),
    "penalty": (check_not_negative, 100.0),
    "reactive_power": (check_flag, False),
    "seed": (lambda value, name: check_whole_number(value, 0, name), 0),
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
    import tomlkit
    from tomlkit.exceptions import ParseError

    path = folder / CASE_FILE
    if not path.is_file():
        raise FileNotFoundError(f"case: {path} not found, expected the folder of a case")
    try:
        record = tomlkit.parse(path.read_text(encoding="utf-8")).unwrap()
    except ParseError as error:
        findings.stop(f"got no TOML ({error}), expected some", error.line)
    except UnicodeDecodeError as error:
        findings.stop(f"got text that is not UTF-8 ({error.reason}), expected TOML")
    description: dict[str, Any] = {}
    with collected(findings):
        check_known(record, [*_PLAIN, *SECTIONS], "case")
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
