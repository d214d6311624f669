"""Options of a command line as Apache Commons CLI reads them: `-name value`, `--name value`, `--name=value`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from knit_core.convert.draft import NO_EQUIVALENT, Draft, Mark
from knit_core.convert.shell import Word
from knit_core.spec.problems import shorten


class Options:
    """The options that are given, with their lines."""

    def __init__(self, draft: Draft, line: int) -> None:
        self.draft = draft
        self.line = line
        self.given: dict[str, list[tuple[str, Mark]]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.given

    def mark(self, name: str) -> Mark:
        """The line of an option, or of the first one."""
        rows = self.given.get(name)
        return rows[0][1] if rows else Mark(self.draft.file, self.line)

    def marked(self, name: str) -> list[tuple[str, Mark]]:
        """All values of an option, with their lines."""
        return self.given.get(name, [])

    def several(self, name: str) -> list[str]:
        """All values of an option."""
        return [text for text, _mark in self.marked(name)]

    def text(self, name: str, default: str = "") -> str:
        """The first value of an option, which counts for Commons CLI."""
        return self.several(name)[0] if name in self else default

    def whole(self, name: str, default: int | None = None) -> int | None:
        """A whole number."""
        if name not in self:
            return default
        if not re.fullmatch(r"[-+]?[0-9]{1,18}", self.text(name)):
            self.draft.refuse(self.mark(name), f"{name}: should be a whole number, not {shorten(self.text(name), 40)}")
            return default
        return int(self.text(name))

    def amounts(self, name: str) -> dict[str, int]:
        """`memory-mb=512,vcores=2` as a mapping."""
        found = {}
        for part in filter(None, self.text(name).split(",")):
            key, _, value = part.partition("=")
            if not re.fullmatch(r"[0-9]{1,18}", value.strip()):
                self.draft.refuse(
                    self.mark(name),
                    f"{name}: should be type=amount without unit, not {shorten(part, 60)}",
                )
            else:
                found[key.strip()] = int(value)
        return found

    def lose(self, name: str, why: str = NO_EQUIVALENT) -> None:
        """Note that an option is lost. No effect if it is absent."""
        if name in self:
            self.draft.lose(self.mark(name), f"-{name}", why)


def parse(
    draft: Draft, line: Sequence[Word], *, values: Sequence[str], flags: Sequence[str], lists: Sequence[str] = ()
) -> Options:
    """Parse the words behind the program's name.

    Args:
        draft: for problems.
        line: the words.
        values, flags, lists: names of options with one value, without a value, and with all values up to the next option.
    """
    options = Options(draft, line[0].line if line else 0)
    known = [*values, *flags, *lists]
    at = 0
    while at < len(line):
        word = line[at]
        mark = Mark(draft.file, word.line)
        name, equals, value = word.text.lstrip("-").partition("=")
        at += 1
        if not word.text.startswith("-"):
            draft.refuse(
                mark, f"{shorten(word.text, 60)}: it belongs to no option; several words of a value need quotes"
            )
        elif name not in known:
            hint = "".join(f"; did you mean -{near}?" for near in difflib.get_close_matches(name[:100], known, n=1))
            draft.refuse(mark, f"-{shorten(name, 60, quote=False)}: unknown option{hint}")
        elif name in flags:
            options.given.setdefault(name, []).append(("", mark))
        else:
            chosen = [Word(value, word.line, word.expands)] if equals else []
            while at < len(line) and (not chosen or name in lists) and not _is_option(line[at].text, known):
                chosen.append(line[at])
                at += 1
            if not chosen:
                draft.refuse(mark, f"-{name}: its value is missing")
            for each in chosen:
                if each.expands:
                    what = "a variable" if each.expands == "$" else "a command"
                    draft.refuse(
                        mark, f"-{name}: {shorten(each.text, 60)} has {what} of the calling shell: write the value"
                    )
                options.given.setdefault(name, []).append((each.text, mark))
    return options


def _is_option(text: str, known: Sequence[str]) -> bool:
    return text.startswith("-") and text.lstrip("-").partition("=")[0] in known


__all__ = ["Options", "parse"]
