"""The command gridedge-gateway: replay, serve and inspect customers' files.

Exit codes: 0 done, or `serve` ended by SIGTERM or Ctrl-C; 1 a full disk; 2 a mistake in what
the user gave; either is said in one line; 130 ended by Ctrl-C.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from gridedge_gateway.connection import check_connection
from gridedge_gateway.controller import Controller
from gridedge_gateway.customer import Customer, log
from gridedge_gateway.file import CustomerFile
from gridedge_gateway.inspection import described
from gridedge_gateway.mistakes import in_words, named_path
from gridedge_gateway.names import printable
from gridedge_gateway.picture import ENDINGS, check_picture, draw
from gridedge_gateway.process import is_full, run
from gridedge_gateway.replay import doubts, replay

EXIT_FAILED, EXIT_MISTAKE = 1, 2
# Seconds after a boundary of the clock.
USUAL_WAIT = 5.0
# Signs in its file.
LONGEST_PASSWORD = 4096


def main(arguments: Sequence[str] | None = None) -> None:
    """gridedge-gateway: what runs at a customer's."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, ImportError) as error:
        print(printable(f"gridedge-gateway: error: {in_words(error)}"), file=sys.stderr)
        sys.exit(EXIT_FAILED if is_full(error) else EXIT_MISTAKE)


def command() -> None:
    """`main` in a process of its own."""
    run(main)


class _Lines(logging.Formatter):
    """Records as lines that do nothing to a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        return printable(super().format(record))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gridedge-gateway", description=main.__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    inspect = commands.add_parser("inspect", help="say what is in a customer's file")
    inspect.add_argument("file", type=named_path, help="of gradmap-export")
    inspect.set_defaults(run=_inspect)

    replay = commands.add_parser("replay", help="set-points for recorded readings")
    replay.add_argument("file", type=named_path, help="of gradmap-export")
    replay.add_argument(
        "--readings", type=named_path, required=True, help="CSV, a row for each step"
    )
    replay.add_argument("--out", type=named_path, required=True, help="CSV to write")
    replay.add_argument(
        "--picture", type=named_path, help=f"to draw, {' '.join(ENDINGS)}; needs matplotlib"
    )
    replay.set_defaults(run=_replay)

    serve = commands.add_parser("serve", help="set-points for readings that come by MQTT")
    serve.add_argument(
        "files", type=named_path, nargs="+", metavar="FILE", help="of gradmap-export"
    )
    serve.add_argument(
        "--mqtt",
        required=True,
        metavar="URL",
        help="mqtt://HOST or, by TLS, mqtts://HOST; with :PORT if it is not 1883, 8883",
    )
    serve.add_argument("--user", help="at the broker")
    serve.add_argument("--password-file", type=named_path, help="that holds the user's password")
    serve.add_argument(
        "--authority", help="certificates that a broker of one's own is trusted by, PEM"
    )
    serve.add_argument("--certificate", help="of this gateway, PEM")
    serve.add_argument("--private-key", help="of the certificate, PEM")
    serve.add_argument(
        "--wait",
        type=float,
        default=USUAL_WAIT,
        metavar="SECONDS",
        help="after a boundary of the clock: what has come by then counts (default: %(default)s)",
    )
    serve.add_argument(
        "--log", type=named_path, metavar="FOLDER", help="for a CSV of each customer"
    )
    serve.set_defaults(run=_serve)

    for command in (replay, serve):
        command.add_argument(
            "--connection-kw",
            type=float,
            metavar="KW",
            help="most that a home, and its devices together, may draw or feed in",
        )
    return parser


def _inspect(options: argparse.Namespace) -> None:
    print("\n".join(described(CustomerFile(options.file))))


def _replay(options: argparse.Namespace) -> None:
    check_connection(options.connection_kw)
    read = [options.file, options.readings]
    _check_written("out", options.out, read)
    if options.picture is not None:
        check_picture(options.picture)
        _check_written("picture", options.picture, [*read, options.out])
    controller = Controller.load(options.file, options.connection_kw)
    steps = replay(controller, options.readings, options.out)
    once = {set_point.time: set_point for _, set_point in steps}.values()
    counts = Counter(name for set_point in once for name in set_point.fallbacks)
    told = ", ".join(f"{device.name} {counts[device.name]}" for device in controller.file.devices)
    print(printable(f"{len(once)} steps to {options.out}, of them by the fallback: {told}"))
    for doubt in doubts(controller, steps):
        print(printable(doubt))
    if options.picture is not None:
        draw(controller, steps, options.picture)
        print(printable(f"Picture: {options.picture}"))


def _check_written(name: str, path: Path, others: Iterable[Path]) -> None:
    """Raises ValueError unless a file can be written that is none of the others."""
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"{name}: got {path}, expected a file in a folder that is there")
    for other in others:
        is_one = path.resolve() == other.resolve()
        if is_one or (path.exists() and other.exists() and path.samefile(other)):
            raise ValueError(f"{name}: got {path}, expected another file than {other}")


def _password(path: Path) -> str:
    """A file's, or a pipe's, as secrets are handed over: what is no file may have no end."""
    with path.open(encoding="utf-8") as file:
        read = file.read(LONGEST_PASSWORD + 1)
    if len(read) > LONGEST_PASSWORD:
        raise ValueError(
            f"password_file: got more than {LONGEST_PASSWORD} signs, expected a password"
        )
    return read.strip()


def _serve(options: argparse.Namespace) -> None:
    try:
        from gridedge_gateway.mqtt import Broker, Gateway, read_address
    except ImportError as error:
        raise ImportError("serve needs paho-mqtt: pip install paho-mqtt") from error
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines("%(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    check_connection(options.connection_kw)
    if options.log is not None:
        options.log.mkdir(parents=True, exist_ok=True)
    password = options.password_file and _password(options.password_file)
    broker = Broker(
        *read_address(options.mqtt),
        options.user,
        password,
        options.authority,
        options.certificate,
        options.private_key,
    )
    customers = []
    for path in options.files:
        try:
            controller = Controller.load(path, options.connection_kw)
        except (ValueError, OSError) as error:
            log.error("%s", in_words(error))
        else:
            customers.append(Customer(controller, options.log))
    if not customers:
        raise ValueError("files: got none that can be served")
    gateway = Gateway(customers, broker, options.wait)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: gateway.stop())
    gateway.serve()
