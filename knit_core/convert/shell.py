"""Commands for bash: what YARN expands on the way and Knit does not, files written at the start, words of command lines."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from knit_core.convert.draft import Draft, Mark
from knit_core.errors import SpecError

LOG_DIR = "${LOG_DIRS%%,*}"
_REDIRECT = re.compile(r"""\s*\b[12]?\s*>>?\s*["']?<LOG_DIR>/(stdout|stderr|prelaunch\.\w+)["']?(?=\s|$)""")
_ENVIRONMENT = re.compile(r"\{\{([A-Za-z_][A-Za-z0-9_]*)\}\}")
_EXPANDS = re.compile(r"\$|`|\{\{|<LOG_DIR>|<CPS>")
_PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_.-]*)\}")


def yarn_command(command: str) -> str:
    """A command without the texts that YARN replaces: `{{JAVA_HOME}}`, `<LOG_DIR>`; it need not redirect its output."""
    command = _REDIRECT.sub("", command)
    command = _ENVIRONMENT.sub(r"${\1}", command)
    return command.replace("<LOG_DIR>", LOG_DIR).replace("<CPS>", ":")


def variables(draft: Draft, service: str, given: Mapping[str, tuple[str, Mark]]) -> None:
    """Set a service's variables. YARN expands `$NAME` in values, Knit only a value's own name."""
    for name, (value, mark) in given.items():
        rest = re.sub(rf"\$\{{{re.escape(name)}\}}|\${re.escape(name)}\b", "", value)
        if _EXPANDS.search(rest):
            draft.lose(mark, f"variable {name}", "its value is literal here: nothing in it is expanded")
        draft.put(("services", service, "variables", name), value, mark)


def with_setup(setup: Sequence[str], command: str) -> str:
    """A command after lines that set it up; each of these must succeed."""
    if not setup:
        return command
    return "\n".join([*(f"{line} || exit 1" for line in setup), command])


def template(text: str, dynamic: Mapping[str, str]) -> str:
    """`text` as a word of bash, everything literal but `${NAME}` of `dynamic`.

    Args:
        text: the template.
        dynamic: what bash puts in the place of a name, without quotes: `httpd-$KNIT_INSTANCE`.
    """
    parts, at = [], 0
    for found in _PLACEHOLDER.finditer(text):
        if found[1] in dynamic:
            parts += [text[at : found.start()], f'"{dynamic[found[1]]}"']
            at = found.end()
    literal = [shlex.quote(part) if index % 2 == 0 and part else part for index, part in enumerate([*parts, text[at:]])]
    return "".join(literal) or "''"


def placeholders(text: str) -> list[str]:
    """The names in `${NAME}`."""
    return [found[1] for found in _PLACEHOLDER.finditer(text)]


def write_file(path: str, content: str, dynamic: Mapping[str, str]) -> str:
    """A line of bash that writes a file, with its folder."""
    folder = path.rpartition("/")[0]
    make = f"mkdir -p {shlex.quote(folder)} && " if folder else ""
    return f"{make}printf %s {template(content, dynamic)} > {shlex.quote(path)}"


def safe_path(path: str) -> bool:
    """Whether a path is relative, and stays in its folder."""
    return bool(path) and not path.startswith("/") and ".." not in path.split("/") and path.isprintable()


class Word(NamedTuple):
    """A word of a command line, its line, and the first sign in it that a shell would have expanded."""

    text: str
    line: int
    expands: str = ""


def words(file: str, text: str) -> list[Word]:
    """The words of a shell's command line; it may go on behind `\\`, and have comments.

    Raises:
        SpecError: a quote is not closed, or there is more than one command.
    """
    return _Splitter(file, text).split()


class _Splitter:
    """Splits as a POSIX shell does, without any expansion."""

    def __init__(self, file: str, text: str) -> None:
        self.file, self.text = file, text.replace("\r\n", "\n")
        self.at, self.line = 0, 1
        self.found: list[Word] = []
        self.ended = False
        self.piped = False

    def split(self) -> list[Word]:
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == "\n":
                self.ended = self.ended or bool(self.found)
                self._step()
            elif char in " \t":
                self._step()
            elif self.text.startswith("\\\n", self.at):
                self._step(2)
            elif self.text.startswith("\\ ", self.at) and (
                note := re.compile(r"\\ +(#[^\n]*)?\n").match(self.text, self.at)
            ):
                self._step(len(note[0]))  # the examples of TonY have comments behind the backslash
            elif char == "#":
                self._skip_line()
            elif char in ";|&<>()":
                self._operator(char)
            else:
                self._word()
        return self.found

    def _step(self, count: int = 1) -> None:
        self.line += self.text.count("\n", self.at, self.at + count)
        self.at += count

    def _skip_line(self) -> None:
        end = self.text.find("\n", self.at)
        self._step((end if end >= 0 else len(self.text)) - self.at)

    def _operator(self, char: str) -> None:
        if char == "|" and self.text.startswith("|| exit", self.at):
            self._skip_line()
            return
        raise SpecError(
            [f"{Mark(self.file, self.line)}: one command is read, not a script: {char!r} is not supported here"]
        )

    def _word(self) -> None:
        if self.ended:
            raise SpecError([f"{Mark(self.file, self.line)}: a second command begins here: a file must have one"])
        parts, line, expands = [], self.line, ""
        while self.at < len(self.text) and self.text[self.at] not in " \t\n;|&<>()":
            char = self.text[self.at]
            if char == "'":
                parts.append(self._quoted("'"))
            elif char == '"':
                part = self._quoted('"')
                unescaped = re.sub(r"\\.", "", part)
                expands = expands or next((sign for sign in "$`" if sign in unescaped), "")
                parts.append(re.sub(r'\\(["\\$`\n])', lambda found: found[1].strip("\n"), part))
            elif char == "\\":
                parts.append(self.text[self.at + 1 : self.at + 2].strip("\n"))
                self._step(2)
            else:
                expands = expands or (char if char in "$`" else "")
                parts.append(char)
                self._step()
        self.found.append(Word("".join(parts), line, expands))

    def _quoted(self, quote: str) -> str:
        start, line = self.at + 1, self.line
        end = start
        while end < len(self.text) and self.text[end] != quote:
            end += 2 if quote == '"' and self.text[end] == "\\" else 1
        if end >= len(self.text):
            raise SpecError([f"{Mark(self.file, line)}: the quote that begins here is not closed"])
        self._step(end + 1 - self.at)
        return self.text[start:end]


__all__ = ["LOG_DIR", "Word", "placeholders", "safe_path", "template", "variables", "with_setup", "words",
           "write_file", "yarn_command"]  # fmt: skip
