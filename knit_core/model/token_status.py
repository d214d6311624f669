"""The delegation tokens of a running application, without their secrets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from knit_core.model.representation import shown


@shown
@dataclass(frozen=True)
class TokenStatus:
    """One delegation token that an ApplicationMaster uses and gives to its containers.

    Attributes:
        kind: HDFS_DELEGATION_TOKEN, RM_DELEGATION_TOKEN, or that of another service.
        service: the server that it is for; may be empty.
        pushed: whether `push_tokens` has brought it; False: the launch.
        issued: ms since the epoch; None when it is not known.
        ends: the end of its maximum life, ms since the epoch; None when it is not known.
        valid_until: until when it is valid, ms since the epoch; None when it is not known. YARN renews the tokens of a launch
            until `ends`. Nothing renews a pushed token, so it ends earlier.
    """

    kind: str
    service: str
    pushed: bool
    issued: int | None = None
    ends: int | None = None
    valid_until: int | None = None

    @classmethod
    def parse(cls, row: Mapping[str, Any], renew_interval: int | None) -> TokenStatus:
        """From the ApplicationMaster's JSON.

        Args:
            row: one token.
            renew_interval: milliseconds for which a token of this kind is valid without being renewed; None: not known.
        """
        issued, ends, pushed = row["issued"], row["ends"], bool(row["pushed"])
        until = ends
        if pushed:
            until = (
                None if renew_interval is None or issued is None or ends is None else min(ends, issued + renew_interval)
            )
        return cls(str(row["kind"]), str(row["service"]), pushed, issued, ends, until)


@shown
@dataclass(frozen=True)
class TokenPush:
    """What a push of delegation tokens has done.

    Attributes:
        tokens: the tokens that the application has now; without `in_use` those that were fetched.
        pushed: whether new tokens were written. False: the present ones are valid for longer, as YARN renews the tokens of the
            launch.
        in_use: whether its ApplicationMaster uses `tokens`. False: it could not be reached, and finds them by itself within
            five minutes, or when it starts.
        problem: why it could not be reached.
    """

    tokens: tuple[TokenStatus, ...]
    pushed: bool
    in_use: bool
    problem: str = ""

    @property
    def valid_until(self) -> int | None:
        """When the first of the tokens ends, ms since the epoch; None when none is known to."""
        return min((token.valid_until for token in self.tokens if token.valid_until is not None), default=None)
