"""Value: a setting with its source."""

from __future__ import annotations

from knit_container.secret import Hidden
from knit_core.model.representation import one_line


class Value:
    """A setting and its source.

    Attributes:
        value: the setting.
        source: the place that sets it.
        secret: `repr` and `str` hide the setting; `value` gives it.
    """

    __slots__ = ("_held", "secret", "source")

    def __init__(self, value: str, source: str, secret: bool = False) -> None:
        self._held: str | Hidden[str] = Hidden(value) if secret else value
        self.source, self.secret = source, secret

    @property
    def value(self) -> str:
        """The setting itself."""
        return self._held if isinstance(self._held, str) else self._held.reveal()

    def __str__(self) -> str:
        return str(self._held)

    def __repr__(self) -> str:
        return one_line("Value", [("", self._held), ("source", self.source)])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value) and (self.value, self.source) == (other.value, other.source)

    def __hash__(self) -> int:
        return hash((self.value, self.source))


__all__ = ["Value"]
