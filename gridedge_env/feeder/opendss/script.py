"""An OpenDSS script as commands that do nothing but describe a network and solve it.

A script can load programs and write files anywhere. It is therefore read here, by OpenDSS's own
rules (`parsing`); every command, option and property is looked up in `vocabulary` and written anew
with its full name: what the engine is given is no line of anybody's script.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from gridedge_env.feeder.opendss.parsing import Word, quoted, words_of
from gridedge_env.feeder.opendss.vocabulary import COMMANDS, OPTIONS, PROPERTIES, Use, Words
from gridedge_gateway.mistakes import regular_file

# Of scripts within scripts; and of all that is read, which counts as often as it is named.
DEEPEST, MOST_BYTES = 50, 2**28
# Properties that name a file of data. So can any array: `(file=loads.csv)`.
DATA_FILES = {"CSVFile", "SngFile", "DblFile", "PQCSVFile"}
ARRAY_FILES = ("file", "sngfile", "dblfile")
NAME = re.compile(r"[\w%]+")


@dataclass(frozen=True)
class Command:
    """A command for the engine.

    Attributes:
        text: of it.
        place: where it is from: "line 4", or "loads.dss, line 4" where the script is another.
    """

    text: str
    place: str


@dataclass(frozen=True)
class Script:
    """What a script says.

    Attributes:
        commands: in order.
        files: of data, which they name.
    """

    commands: tuple[Command, ...]
    files: tuple[Path, ...]


class Refused(ValueError):
    """What a script may not say; names the line, and the file if it is another."""


def read_script(path: Path) -> Script:
    """Read a script and all that it redirects to.

    Raises:
        Refused: it says what is not in the vocabulary, or names a file that is not there, or lies
            neither in the script's folder nor just above it.
    """
    reader = _Reader(path.resolve())
    reader.read(reader.master)
    return Script(tuple(reader.commands), tuple(reader.files))


class _Reader:
    """How far the reading is.

    Attributes:
        master: the script.
        commands: so far.
        files: of data, so far.
    """

    def __init__(self, master: Path) -> None:
        self.master = master
        self.commands: list[Command] = []
        self.files: dict[Path, None] = {}
        self._folder, self._depth, self._bytes = master.parent, 0, 0
        self._active: Word | None = None  # the object that properties without one belong to

    def read(self, path: Path) -> None:
        """Add what a script says; its own files lie beside it."""
        self._folder, self._depth = path.parent, self._depth + 1
        if self._depth > DEEPEST:
            raise ValueError(f"got scripts within scripts, expected them {DEEPEST} deep at most")
        for number, line in enumerate(self._lines(path), start=1):
            place = f"line {number}" if path == self.master else f"{path.name}, line {number}"
            try:
                text = self._command(list(words_of(line)))
            except Refused:
                raise
            except ValueError as error:
                raise Refused(f"{place}: {error}") from None
            if text:
                self.commands.append(Command(text, place))
        self._depth -= 1

    def _lines(self, path: Path) -> Iterator[str]:
        """Those of block comments are empty."""
        data = regular_file(path).read_bytes()
        self._bytes += len(data)
        if self._bytes > MOST_BYTES:
            raise ValueError(f"got more than {MOST_BYTES:,} bytes of scripts, expected less")
        if b"\0" in data:
            raise ValueError(f"got zeros in {path.name}, expected text")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
        comment = False
        for line in re.split(r"\r\n|\n|\r", text):
            comment = comment or line.startswith("/*")
            yield "" if comment else line
            comment = comment and "*/" not in line

    def _command(self, words: Sequence[Word]) -> str:
        """What a line is for the engine; "" if nothing."""
        if not words:
            return ""
        first, *rest = words
        if first.name:
            return self._assigned(first, rest)
        place = COMMANDS.place_of(first.text)
        use = Use.REFUSED if place is None else COMMANDS.uses[place]
        name = first.text if place is None else COMMANDS.names[place]
        if use is Use.REFUSED:
            raise ValueError(f"got the command {name!r:.80}, expected one that describes a network")
        return "" if use is Use.LEFT_OUT else HOW.get(name, _Reader._plain)(self, name, rest)

    def _assigned(self, first: Word, rest: Sequence[Word]) -> str:
        """Of "Line.x.Length=2 Units=m", or "Length=2"."""
        of, dot, name = first.name.rpartition(".")
        if dot:
            self._active = _object([Word("", of)])
        return self._more("Edit", [replace(first, name=name), *rest])

    def _new(self, command: str, words: Sequence[Word]) -> str:
        of = _object(words)
        if _kind(of) != "circuit":
            self._active = of
            return self._edited(command, of, words[1:])
        # OpenDSS says the bus of the circuit's source before what follows.
        self._active = Word("", "Vsource.source")
        return self._edited(command, of, words[1:], 0)

    def _edit(self, command: str, words: Sequence[Word]) -> str:
        self._active = _object(words)
        return self._edited(command, self._active, words[1:])

    def _edit_all(self, command: str, words: Sequence[Word]) -> str:
        return self._edited(command, _object(words), words[1:])

    def _more(self, command: str, words: Sequence[Word]) -> str:
        if self._active is None:
            raise ValueError("got properties, expected an object before them")
        return self._edited("Edit", self._active, words)

    def _edited(self, command: str, of: Word, words: Sequence[Word], before: int = -1) -> str:
        kind = _kind(of)
        known = PROPERTIES["vsource" if kind == "circuit" else kind]
        return " ".join((command, str(of), *self._named(words, known, kind, before)))

    def _select(self, command: str, words: Sequence[Word]) -> str:
        self._active = _object(words)
        return ""

    def _switch(self, command: str, words: Sequence[Word]) -> str:
        """An object, and perhaps which terminal and conductor."""
        self._active = _object(words)
        return self._plain(command, [self._active, *words[1:]])

    def _set(self, command: str, words: Sequence[Word]) -> str:
        options = list(self._named(words, OPTIONS, command.lower()))
        return " ".join((command, *options)) if options else ""

    def _solve(self, command: str, words: Sequence[Word]) -> str:
        return " ".join((command, *self._named(words, OPTIONS, command.lower())))

    def _plain(self, command: str, words: Sequence[Word]) -> str:
        """Numbers and names that are no more than that."""
        for word in words:
            if word.name and not NAME.fullmatch(word.name):
                raise ValueError(f"{command}: got {word.name!r:.80}, expected the name of a value")
        return " ".join((command, *(_as_given(word) for word in words)))

    def _coordinates(self, command: str, words: Sequence[Word]) -> str:
        return f"{command} {self._data(words[0].text if words else '')}"

    def _redirect(self, command: str, words: Sequence[Word]) -> str:
        folder = self._folder
        self.read(self._found(words[0].text if words else "", ".dss"))
        if command == "Redirect":  # after "Compile", OpenDSS stays where it went
            self._folder = folder
        return ""

    def _named(
        self, words: Sequence[Word], known: Words, of: str, before: int = -1
    ) -> Iterator[str]:
        """Words as "Name=value": one that has no name gets that which follows the last."""
        place: int | None = before
        for word in words:
            place = known.place_of(word.name) if word.name or place is None else place + 1
            if place is None or place >= len(known.names):
                got = word.name or word.text
                raise ValueError(f"{of}: got {got!r:.80}, expected a name that OpenDSS knows")
            name, use = known.names[place], known.uses[place]
            if use is Use.REFUSED:
                raise ValueError(f"{of}: got {name}, expected what only describes a network")
            if use is Use.GIVEN:
                yield f"{name}={self._value(name, word)}"

    def _value(self, name: str, word: Word) -> str:
        """As it was given; files are named in full."""
        if name in DATA_FILES:
            return self._data(word.text)
        inner = list(words_of(word.text)) if word.quote else []
        if not any(part.name for part in inner):
            return str(word)
        kind, names = inner[0].name.lower(), (part.name for part in inner)
        is_file = bool(kind) and any(known.startswith(kind) for known in ARRAY_FILES)
        if not is_file or not all(map(NAME.fullmatch, names)):
            raise ValueError(f"{name}: got {word.text!r:.80}, expected numbers, names or a file")
        return quoted(" ".join((f"{kind}={self._data(inner[0].text)}", *map(_as_given, inner[1:]))))

    def _data(self, given: str) -> str:
        """A file of data that a script names, as a word."""
        path = self._found(given)
        self.files[path] = None
        return quoted(str(path))

    def _found(self, given: str, suffix: str = "") -> Path:
        """A file that a script names; a name that has no suffix may lack this one."""
        home, path = self.master.parent, self._folder / given.replace("\\", "/")
        try:
            candidates = (path, path.with_name(path.name + suffix) if not path.suffix else path)
            there = next((p.resolve() for p in candidates if p.is_file()), None)
        except (OSError, ValueError, RuntimeError):  # no name of a file; links in a circle
            there = None
        if there is None:
            raise ValueError(f"got {given!r:.80}, expected a file that is there")
        if home not in there.parents and there.parent != home.parent:
            raise ValueError(f"got {given!r:.80}, expected a file in {home} or just above it")
        return there


How: TypeAlias = Callable[[_Reader, str, Sequence[Word]], str]
HOW: dict[str, How] = {
    "New": _Reader._new,
    "Edit": _Reader._edit,
    "BatchEdit": _Reader._edit_all,
    **dict.fromkeys(("More", "M", "~"), _Reader._more),
    "Select": _Reader._select,
    **dict.fromkeys(("Enable", "Disable", "Open", "Close"), _Reader._switch),
    "Set": _Reader._set,
    "Solve": _Reader._solve,
    **dict.fromkeys(("Buscoords", "LatLongCoords"), _Reader._coordinates),
    **dict.fromkeys(("Redirect", "Compile"), _Reader._redirect),
}
"""How the words after a command are read; after any other, they are plain."""


def _object(words: Sequence[Word]) -> Word:
    """The first word, which names an object."""
    of = words[0] if words else Word("", "")
    kind, _, name = of.text.partition(".")
    named = "object".startswith(of.name.lower())
    if not named or not name.strip() or kind.lower() not in {*PROPERTIES, "circuit"}:
        expected = "expected class and name of an object, as Line.x, of a class that can be read"
        raise ValueError(f"got {_as_given(of)!r:.80}, {expected}")
    return replace(of, name="")


def _kind(of: Word) -> str:
    """The class of an object."""
    return of.text.partition(".")[0].lower()


def _as_given(word: Word) -> str:
    return f"{word.name}={word}" if word.name else str(word)
