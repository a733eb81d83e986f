"""A line of an OpenDSS script as the words that OpenDSS makes of it.

Words end at blanks, commas and comments (`!`, `//`); one that begins with a quotation mark or a
bracket goes on to the next of its kind. A line ends at its first empty word. That is OpenDSS's own
parser with its oddities, and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BLANKS, DELIMITERS = " \t", ",="
QUOTES = {"(": ")", '"': '"', "'": "'", "[": "]", "{": "}"}
COMMENT = "!"


@dataclass(frozen=True)
class Word:
    """A value, and the name before its equals sign.

    Attributes:
        name: "" where there is none.
        text: without its quotation marks.
        quote: with which it began: one of `QUOTES`, or "".
    """

    name: str
    text: str
    quote: str = ""

    def __str__(self) -> str:
        """The value as it may stand in a line."""
        return f"{self.quote}{self.text}{QUOTES.get(self.quote, '')}"


def words_of(line: str) -> Iterator[Word]:
    """The words of a line, up to the first empty one."""
    buffer = f"{line} "
    at = _past_blanks(buffer, 0)
    while at < len(buffer):
        name, (text, quote, stop, at) = "", _token(buffer, at, " ")
        if stop == "=":
            name, (text, quote, _, at) = text, _token(buffer, at, stop)
        if not text:
            return
        yield Word(name, text, quote)


def quoted(text: str) -> str:
    """A text as one word.

    Raises:
        ValueError: it has closing marks of all kinds.
    """
    for quote, closing in QUOTES.items():
        if closing not in text:
            return str(Word("", text, quote))
    raise ValueError(f"got {text!r:.80}, expected text without closing marks of all kinds")


def _token(buffer: str, at: int, stop: str) -> tuple[str, str, str, int]:
    """What begins at a place: its text, its quote, what ended it, and where the next one begins.

    Args:
        buffer: the line, with a blank behind it.
        at: before its end, or there.
        stop: what ended the token before; after one in quotes OpenDSS does not look anew.
    """
    last, quote = len(buffer) - 1, buffer[at : at + 1] if buffer[at : at + 1] in QUOTES else ""
    if quote:
        begin, closed = at + 1, buffer.find(QUOTES[quote], at + 1, last)
        end, at = (last, last) if closed < 0 else (closed, closed + 1)
    else:
        begin = at
        while at < last and not (ends := _stop(buffer, at)):
            at += 1
        end, stop = at, ends if at < last else stop
    text = buffer[begin:end]
    if stop == COMMENT:
        return text, quote, stop, len(buffer)
    if stop == " ":
        at = _past_blanks(buffer, at)
    if buffer[at : at + 1] in (",", "="):
        stop, at = buffer[at], at + 1
    return text, quote, stop, _past_blanks(buffer, at)


def _stop(buffer: str, at: int) -> str:
    """What ends a word at a place: a comment, a delimiter, a blank; or "", nothing."""
    if buffer[at] == COMMENT or buffer.startswith("//", at):
        return COMMENT
    if buffer[at] in DELIMITERS:
        return buffer[at]
    return " " if buffer[at] in BLANKS else ""


def _past_blanks(buffer: str, at: int) -> int:
    """The last place of the line at most."""
    while at < len(buffer) - 1 and buffer[at] in BLANKS:
        at += 1
    return at
