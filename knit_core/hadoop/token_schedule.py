"""When newer delegation tokens are pushed to an application that runs for longer than those of its launch are valid."""

from __future__ import annotations

from dataclasses import dataclass

from knit_core.config import Config
from knit_core.model.token_status import TokenPush

EVERY = 12 * 3600.0  # seconds between two pushes
_AGAIN = 60.0  # seconds after a fault that passes, and the least time between two pushes
_LATER = 3600.0  # seconds after a refusal: someone may renew a ticket or correct a setting
_DAY = 86400.0
_PROPERTIES = ("dfs.namenode.delegation.token.", "yarn.resourcemanager.delegation.token.")


@dataclass(frozen=True)
class TokenLife:
    """How long a cluster's delegation tokens are valid, in seconds; of HDFS and the ResourceManager the shorter.

    Attributes:
        maximum: those of a launch, which YARN renews.
        unrenewed: pushed ones, which nothing renews.
    """

    maximum: float
    unrenewed: float

    @classmethod
    def of(cls, config: Config) -> TokenLife | None:
        """By the cluster's configuration; None when it uses simple authentication, and so no tokens.

        Raises:
            KnitError: the configuration cannot be fetched.
        """
        if config.cluster_property("hadoop.security.authentication", "simple") == "simple":
            return None
        maximum = min(_seconds(config, f"{prefix}max-lifetime", 7 * _DAY) for prefix in _PROPERTIES)
        return cls(maximum, min(maximum, *(_seconds(config, f"{each}renew-interval", _DAY) for each in _PROPERTIES)))


class TokenSchedule:
    """The times of the pushes to one application.

    Args:
        now: Unix time at which the first is due.
        every: seconds between two.

    Attributes:
        due: Unix time of the next push.
    """

    def __init__(self, now: float, every: float = EVERY) -> None:
        self.due, self._every = now, every

    def begin(self, launched: float, life: TokenLife) -> None:
        """Expect the first push late in the life of the launch's tokens: earlier ones would not be valid for longer.

        Args:
            launched: Unix time of the launch.
            life: of the cluster's tokens.
        """
        self.due = launched + life.maximum - life.unrenewed / 2

    def pushed(self, done: TokenPush, now: float) -> float:
        """The next push: earlier than after `every` where a token ends before; the seconds until then."""
        pause = self._every
        if done.valid_until is not None:
            pause = min(pause, max((done.valid_until / 1000 - now) / 2, _AGAIN))
        return self._in(pause, now)

    def failed(self, now: float, *, transient: bool) -> float:
        """Try again, soon after a fault that passes; the seconds until then."""
        return self._in(min(self._every, _AGAIN if transient else _LATER), now)

    def _in(self, pause: float, now: float) -> float:
        self.due = now + pause
        return pause


def _seconds(config: Config, name: str, default: float) -> float:
    text = config.cluster_property(name, "")
    return int(text) / 1000 if text.isdigit() else default


__all__ = ["EVERY", "TokenLife", "TokenSchedule"]
