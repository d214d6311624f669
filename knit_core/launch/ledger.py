"""The ledger: a launch with a key happens once, even with crashes and concurrent callers.

`<staging>/launches/<sha256(key)>/<n>` is claim number n: {id, nonce, owner, at}. It is written under a temporary name and
renamed without overwriting, so one of several callers wins. Markers in the same folder: `<n>.accepted` when YARN has
stored and accepted the application, `<n>.superseded` when the claim no longer counts. `decide` chooses the next step and
is pure; `Ledger` reads and writes.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
import time
from dataclasses import dataclass
from enum import Enum

from knit_core.errors import LedgerError
from knit_core.hadoop.webhdfs import WebHdfs
from knit_core.model.ids import ApplicationId
from knit_core.model.states import Outcome


@dataclass(frozen=True)
class Claim:
    """One claim of a key. It fixes the application id before the submission.

    Attributes:
        number: n, from 1.
        app_id: the id that this claim submits.
        nonce: identifies the writer of the claim.
        owner: host and process; informational.
        accepted: YARN has stored and accepted the application.
        superseded: the claim no longer counts; the next launch makes a new one.
    """

    number: int
    app_id: str
    nonce: str
    owner: str
    accepted: bool = False
    superseded: bool = False


class Step(str, Enum):
    """The next step of a launch with a key."""

    ATTACH = "attach"  # use the claim's application
    SUBMIT = "submit"  # the claim's application was not accepted: submit the same id
    CLAIM = "claim"  # make the next claim


def decide(claim: Claim | None, known: bool, outcome: Outcome | None, traces: bool) -> Step:
    """The next step for the newest claim. Pure.

    Args:
        claim: the newest one; None: there is none.
        known: the ResourceManager knows its application.
        outcome: how it ended, from the ResourceManager or its result.json; None: it runs, or the outcome is not known.
        traces: it left a file of its own (master, result.json), so it was accepted even without the marker.
    """
    if claim is None or claim.superseded:
        return Step.CLAIM
    if outcome is Outcome.SUCCEEDED or (known and outcome is None):
        return Step.ATTACH
    if outcome is not None:
        return Step.CLAIM  # failed, killed or lost
    # unknown to the ResourceManager and without a result
    return Step.CLAIM if claim.accepted or traces else Step.SUBMIT


class Ledger:
    """The launch records of one user."""

    def __init__(self, hdfs: WebHdfs, staging: str) -> None:
        self.hdfs, self.root = hdfs, f"{staging}/launches"

    def folder(self, key: str) -> str:
        """The folder of the claims of `key`."""
        return f"{self.root}/{key_digest(key)}"

    def newest(self, key: str) -> Claim | None:
        """The newest claim of `key`; None when there is none.

        Raises:
            LedgerError: the record exists but cannot be read.
        """
        folder = self.folder(key)
        names = {entry.name for entry in self.hdfs.list(folder)}
        numbers = [int(name) for name in names if name.isdigit()]
        if not numbers:
            return None
        number = max(numbers)
        raw = self.hdfs.read(f"{folder}/{number}")
        try:
            data = json.loads(raw or b"")
            return Claim(
                number,
                str(ApplicationId.parse(data["id"])),
                str(data["nonce"]),
                str(data.get("owner", "")),
                accepted=f"{number}.accepted" in names,
                superseded=f"{number}.superseded" in names,
            )
        except (ValueError, KeyError, TypeError):
            raise LedgerError(
                f"The launch record {folder}/{number} on HDFS cannot be read. If no application of this "
                "key is running, delete that file and launch again."
            ) from None

    def claim(self, key: str, number: int, app_id: str) -> Claim | None:
        """Claim `number`; None if another caller has it.

        The record is read back and its nonce compared, so that a lost reply does no harm.
        """
        mine = Claim(number, app_id, secrets.token_hex(16), f"{socket.gethostname()}:{os.getpid()}")
        record = {"id": app_id, "nonce": mine.nonce, "owner": mine.owner, "at": int(time.time() * 1000)}
        path = f"{self.folder(key)}/{number}"
        self.hdfs.publish(path, json.dumps(record).encode())
        found = self.hdfs.read(path)
        if found is not None and json.loads(found).get("nonce") == mine.nonce:
            return mine
        return None

    def mark_accepted(self, key: str, claim: Claim) -> None:
        """Mark that YARN has stored and accepted the claim's application."""
        self._mark(key, claim, "accepted")

    def supersede(self, key: str, claim: Claim) -> None:
        """Mark that the claim no longer counts: the next launch with this key makes a new one."""
        self._mark(key, claim, "superseded")

    def _mark(self, key: str, claim: Claim, name: str) -> None:
        self.hdfs.mark(f"{self.folder(key)}/{claim.number}.{name}")


def key_digest(key: str) -> str:
    """The folder name of a launch key: a digest, because keys may contain any character and may be confidential."""
    if not key:
        raise LedgerError("A launch key must be a text that is not empty")
    return hashlib.sha256(key.encode()).hexdigest()
