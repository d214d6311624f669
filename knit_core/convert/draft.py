"""The specification that a converter writes: the document, what was lost, what is refused, and the lines of the source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from knit_core.errors import SpecError
from knit_core.model.representation import shown
from knit_core.spec import ApplicationSpec
from knit_core.spec.documents import dump_document
from knit_core.spec.problems import Location, inspect, shorten

NO_EQUIVALENT = "has no equivalent"
LEAST_MASTER = 256  # MiB; what Knit's ApplicationMaster needs for up to 1,024 instances
MOST_LOST = 500
MOST_PROBLEMS = 50
MOST_SERVICES = 1000


class Mark(NamedTuple):
    """A place in a source: its file and line; line 0 for the whole file."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Source:
    """One file: its name for messages, and its text."""

    name: str
    text: str


@shown
@dataclass(frozen=True)
class Loss:
    """One thing of the source that the specification does not have.

    Attributes:
        file: the source.
        line: in the source; 0 for the whole file.
        what: the field.
        why: and what is different or what to do.
    """

    file: str
    line: int
    what: str
    why: str = NO_EQUIVALENT

    def __str__(self) -> str:
        return f"{Mark(self.file, self.line)}: {self.what}: {self.why}"


@shown
@dataclass(frozen=True)
class Conversion:
    """A specification made from the description of another launcher.

    Attributes:
        kind: the launcher: "skein", "yarn-service", "slider", "kitten", "distributedshell" or "tony".
        document: the specification as plain data, with the fields that are set.
        spec: the same, validated.
        lost: what the specification does not have, in the order of the source.
    """

    kind: str
    document: Mapping[str, Any] = field(repr=False)
    spec: ApplicationSpec
    lost: tuple[Loss, ...] = ()

    def text(self, form: Literal["yaml", "json"] = "yaml") -> str:
        """The specification as a text; in YAML with the losses as comments at its beginning."""
        written = dump_document(self.document, form)
        if form == "json":
            return written
        lines = [f"# Converted from {self.kind} by `knit convert`.", *(f"# Lost: {loss}" for loss in self.lost)]
        return "".join(f"{_one_line(line)}\n" for line in lines) + written


class Draft:
    """Collects a document and the problems of its source. `finish` validates it."""

    def __init__(self, kind: str, file: str) -> None:
        self.kind = kind
        self.file = file
        self.document: dict[str, Any] = {}
        self.lost: list[Loss] = []
        self.problems: list[tuple[Mark, str]] = []
        self.marks: dict[Location, Mark] = {}

    def put(self, location: Location, value: Any, mark: Mark) -> None:
        """Set a value of the document, and remember where it comes from. No effect for None."""
        if value is None:
            return
        holder = self.document
        for part in location[:-1]:
            holder = holder.setdefault(str(part), {})
        holder[str(location[-1])] = value
        self.marks[location] = mark

    def lose(self, mark: Mark, what: str, why: str = NO_EQUIVALENT) -> None:
        """Note what the document does not have."""
        loss = Loss(mark.file, mark.line, shorten(what, 200, quote=False), why)
        if loss not in self.lost and len(self.lost) < MOST_LOST:
            self.lost.append(loss)

    def refuse(self, mark: Mark, text: str) -> None:
        """Note a reason for which there is no specification."""
        if len(self.problems) < MOST_PROBLEMS and (mark, text) not in self.problems:
            self.problems.append((mark, text))

    def check_number(self, services: int) -> None:
        """Refuse more services than a program has.

        Raises:
            SpecError: at once, as each service would be converted and checked.
        """
        if services > MOST_SERVICES:
            raise self._error([(Mark(self.file), f"more than {MOST_SERVICES} services")])

    def service_name(self, name: str, taken: Iterable[str], mark: Mark) -> str:
        """The name of a service here: lower-case letters, digits and '-'."""
        plain = "".join(char if char.isascii() and char.isalnum() else "-" for char in name.lower()).strip("-")
        plain = (plain if plain[:1].isalpha() else f"s-{plain}")[:63].rstrip("-")
        if plain in taken:
            self.refuse(mark, f"{shorten(name)}: two services would have the name {plain!r}: rename one of them")
        elif plain != name:
            self.lose(mark, name, f"the service has the name {plain!r} here")
        return plain

    def master_memory(self, mebibytes: int | None, mark: Mark, what: str) -> None:
        """Set the memory of the ApplicationMaster, unless Knit's needs more."""
        if mebibytes is None:
            return
        if mebibytes < LEAST_MASTER:
            self.lose(mark, what, f"Knit's ApplicationMaster needs {LEAST_MASTER} MiB or more, and takes what it needs")
        else:
            self.put(("master_memory",), mebibytes, mark)

    def finish(self) -> Conversion:
        """Validate the document.

        Raises:
            SpecError: it is refused; the error has all reasons with file and line.
        """
        if self.problems:
            raise self._error(self.problems)
        spec, found = inspect(ApplicationSpec, self.document)
        if spec is None:
            raise self._error([(self._mark(location), sentence) for location, sentence in found if sentence])
        lost = sorted(self.lost, key=lambda loss: (loss.file != self.file, loss.file, loss.line))
        return Conversion(self.kind, self.document, spec, tuple(lost))

    def _error(self, problems: Iterable[tuple[Mark, str]]) -> SpecError:
        rows = sorted(problems, key=lambda row: (row[0].file != self.file, row[0]))
        texts = [f"{mark}: {text}" for mark, text in rows[:MOST_PROBLEMS]]
        more = [f"{self.file}: there may be more"] if len(rows) >= MOST_PROBLEMS else []
        return SpecError([*texts, *more], f"This {self.kind} file cannot be converted")

    def _mark(self, location: Location) -> Mark:
        for size in range(len(location), 0, -1):
            if location[:size] in self.marks:
                return self.marks[location[:size]]
        return Mark(self.file)


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


__all__ = ["NO_EQUIVALENT", "Conversion", "Draft", "Loss", "Mark", "Source"]
