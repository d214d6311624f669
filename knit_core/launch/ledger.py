"""The ledger: a launch with a key happens once, whatever dies or races.

`<staging>/launches/<sha256(key)>/<n>` holds claim number n: {id, nonce, owner, at}. It is written under a temporary
name and renamed without overwriting, so of several callers one wins. Beside it lie markers: `<n>.accepted` after the
ResourceManager's 202, `<n>.superseded` when the caller no longer wants it. The decision what to do is pure
(`decide`); reading and writing are apart.
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
    """One claim of a key: the application id stands before anything is submitted.

    Attributes:
        number: n, from 1.
        app_id: the id that this claim submits.
        nonce: tells this claim's writer its own.
        owner: host and process, for people.
        accepted: the ResourceManager has answered 202.
        superseded: the caller wants a new launch instead.
    """

    number: int
    app_id: str
    nonce: str
    owner: str
    accepted: bool = False
    superseded: bool = False


class Step(str, Enum):
    """What a launch with a key does next."""

    ATTACH = "attach"  # the claim's application counts: use it
    SUBMIT = "submit"  # the claim was made, its application never accepted: submit the same id
    CLAIM = "claim"  # make the next claim


def decide(claim: Claim | None, known: bool, outcome: Outcome | None, traces: bool) -> Step:
    """What to do about the newest claim. Pure.

    Args:
        claim: the newest one; None: there is none.
        known: the ResourceManager knows its application.
        outcome: how it ended, from the ResourceManager or its result.json; None: it runs, or nobody knows.
        traces: it left a file of its own (master, result.json), so it was accepted whatever the marker says.
    """
    if claim is None or claim.superseded:
        return Step.CLAIM
    if outcome is Outcome.SUCCEEDED or (known and outcome is None):
        return Step.ATTACH
    if outcome is not None:
        return Step.CLAIM  # it failed, was killed, or is lost
    # unknown to the ResourceManager and without a result
    return Step.CLAIM if claim.accepted or traces else Step.SUBMIT


class Ledger:
    """The launch records of one user."""

    def __init__(self, hdfs: WebHdfs, staging: str) -> None:
        self.hdfs, self.root = hdfs, f"{staging}/launches"

    def folder(self, key: str) -> str:
        """Where the claims of `key` lie."""
        return f"{self.root}/{key_digest(key)}"

    def newest(self, key: str) -> Claim | None:
        """The newest claim of `key`; None when there is none.

        Raises:
            LedgerError: the record is there but cannot be read.
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
                f"The launch record {folder}/{number} on HDFS cannot be read. If no application runs under it, delete "
                "that file and launch again."
            ) from None

    def claim(self, key: str, number: int, app_id: str) -> Claim | None:
        """Claim `number`; None when somebody else has it.

        What lies there in the end is read back and its nonce compared, whatever the replies were.
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
        """Remember that YARN has stored and accepted its application."""
        self._mark(key, claim, "accepted")

    def supersede(self, key: str, claim: Claim) -> None:
        """The claim no longer counts: the next launch with this key makes a new one."""
        self._mark(key, claim, "superseded")

    def _mark(self, key: str, claim: Claim, name: str) -> None:
        self.hdfs.mark(f"{self.folder(key)}/{claim.number}.{name}")


def key_digest(key: str) -> str:
    """The folder name of a launch key: keys may hold anything, and need not be readable by who may list the folder."""
    if not key:
        raise LedgerError("A launch key is a text that is not empty")
    return hashlib.sha256(key.encode()).hexdigest()
