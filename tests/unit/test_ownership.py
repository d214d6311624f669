"""Whose a staging folder has to be, before a key is put there or taken from there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from knit_core.errors import StagingError
from knit_core.hadoop.ownership import check_staging, is_mine
from knit_core.hadoop.user_key import UserKey
from knit_core.hdfs_cache.shared_cache import SharedCache
from knit_core.hdfs_cache.staging import Staging
from knit_core.model.cluster_facts import FileStatus

STAGING = "/user/alice/.knit"
Row = tuple[str, str, str]  # owner, permission, kind


@dataclass
class Hdfs:
    """What a folder looks like."""

    rows: dict[str, Row]
    user: str = "alice"
    home_folder: str = "/user/alice"
    address: str = "http://nn:9870"
    read_paths: list[str] = field(default_factory=list)
    asked: int = 0

    def status(self, path: str) -> FileStatus | None:
        found = self.rows.get(path)
        if found is None:
            return None
        owner, permission, kind = found
        return FileStatus(path, 32, 1, kind == "d", owner, permission, kind == "l")

    def list(self, path: str) -> list[FileStatus]:
        return [status for name in self.rows if name.rpartition("/")[0] == path and (status := self.status(name))]

    def read(self, path: str) -> bytes | None:
        self.read_paths.append(path)
        return b"k" * 32 if path in self.rows else None

    def mkdirs(self, path: str, permission: str = "700") -> None:
        self.rows.setdefault(path, (self.user, permission, "d"))

    def home(self) -> str:
        self.asked += 1
        return self.home_folder


GOOD: dict[str, Row] = {
    STAGING: ("alice", "700", "d"),
    f"{STAGING}/apps": ("alice", "700", "d"),
    f"{STAGING}/launches": ("alice", "755", "d"),
    f"{STAGING}/key": ("alice", "600", "-"),
}


def test_what_is_right_is_used_and_costs_two_requests() -> None:
    hdfs = Hdfs(dict(GOOD))
    assert check_staging(cast("Any", hdfs), STAGING)
    assert hdfs.asked == 0
    assert not check_staging(cast("Any", Hdfs({})), STAGING)


@pytest.mark.parametrize(
    ("path", "row", "said"),
    [
        (
            STAGING,
            ("mallory", "777", "d"),
            r"belongs to mallory, not to alice.*hdfs dfs -chown -R alice /user/alice/\.knit",
        ),
        (STAGING, ("alice", "777", "d"), r"mode 777.*hdfs dfs -chmod 700 /user/alice/\.knit"),
        (STAGING, ("alice", "750", "d"), r"mode 750.*hdfs dfs -chmod 700"),
        (STAGING, ("alice", "600", "-"), "is a file"),
        (f"{STAGING}/key", ("mallory", "600", "-"), r"/key on HDFS belongs to mallory.*hdfs dfs -rm -r .*/key"),
        (f"{STAGING}/key", ("alice", "644", "-"), r"/key on HDFS has mode 644.*hdfs dfs -chmod 600 .*/key"),
        (f"{STAGING}/key", ("alice", "700", "d"), "is a folder where a file belongs"),
        (f"{STAGING}/apps", ("alice", "770", "d"), r"/apps on HDFS has mode 770.*hdfs dfs -chmod 700 .*/apps"),
        (f"{STAGING}/apps", ("alice", "777", "l"), "symbolic link"),
        (f"{STAGING}/launches", ("mallory", "700", "d"), "/launches on HDFS belongs to mallory"),
    ],
)
def test_what_others_may_write_is_refused_with_the_command_that_mends_it(path: str, row: Row, said: str) -> None:
    hdfs = Hdfs({**GOOD, path: row})
    with pytest.raises(StagingError, match=said):
        Staging(cast("Any", hdfs), STAGING).prepare()
    with pytest.raises(StagingError, match=said):  # who only attaches takes the key from there as well
        UserKey(cast("Any", hdfs), STAGING).application_secret("application_1_0001")
    assert hdfs.read_paths == []


def test_a_folder_that_somebody_else_made_at_the_same_moment() -> None:
    class Quick(Hdfs):
        def mkdirs(self, path: str, permission: str = "700") -> None:
            self.rows.setdefault(path, ("mallory", "777", "d"))

    with pytest.raises(StagingError, match="belongs to mallory"):
        Staging(cast("Any", Quick({})), "/tmp/knit-alice").prepare()


@pytest.mark.parametrize(
    ("user", "home", "owner", "mine"),
    [
        ("alice", "/user/alice", "alice", True),
        ("alice", "/user/alice", "mallory", False),
        ("alice@EXAMPLE.ORG", "/user/alice", "alice", True),  # a principal; HDFS names owners by its short name
        ("CORP\\Alice", "/home/alice", "alice", True),
        ("alice@OTHER.ORG", "/user/alice-other", "alice", False),  # its rules make another name of this one
        ("alice", "/user/alice", "alice@EXAMPLE.ORG", True),  # filesystems that report the realm
        ("jürgen", "/user/jürgen", "jürgen", True),
    ],
)
def test_names_of_owners(user: str, home: str, owner: str, mine: bool) -> None:
    assert is_mine(cast("Any", Hdfs({}, user, home)), owner) is mine


def test_a_folder_in_the_shared_cache_that_somebody_else_made() -> None:
    rows: dict[str, Row] = {
        "/": ("hdfs", "755", "d"),
        "/shared": ("hdfs", "1777", "d"),
        "/shared/leases": ("bob", "1777", "d"),
        "/shared/alice": ("mallory", "755", "d"),
        "/shared/alice/cache": ("alice", "755", "d"),
    }
    with pytest.raises(StagingError, match=r"/shared/alice on HDFS belongs to mallory, not to alice"):
        SharedCache(cast("Any", Hdfs(rows)), "/shared", "alice").prepare()
    rows["/shared/alice"] = ("alice", "775", "d")
    with pytest.raises(StagingError, match=r"mode 775.*hdfs dfs -chmod 755 /shared/alice"):
        SharedCache(cast("Any", Hdfs(rows)), "/shared", "alice").prepare()
    rows["/shared/alice"] = ("alice", "755", "d")
    SharedCache(cast("Any", Hdfs(rows)), "/shared", "alice").prepare()
