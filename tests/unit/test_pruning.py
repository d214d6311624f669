"""What pruning chooses, and which leases hold. Pure."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knit_core.environments import prune as housekeeping
from knit_core.environments.prune import prune_local
from knit_core.errors import ApplicationNotFound
from knit_core.hdfs_cache.leases import GRACE, Lease, is_valid
from knit_core.hdfs_cache.pruning import Item, choose
from knit_core.model.states import State

DAY = 86400
NOW = 1_000 * DAY * 1000.0  # ms


def _item(name: str, days: float, size: int = 10, *holders: str) -> Item:
    return Item(name, size, int(NOW - days * DAY * 1000), holders)


def test_by_age_size_and_use() -> None:
    items = [_item("old", 40), _item("used", 40, 10, "application_1_1"), _item("young", 2), _item("now", 0)]
    assert [item.path for item in choose(items, NOW)] == ["old"]
    assert [item.path for item in choose(items, NOW, older_than=DAY)] == ["old", "young"]
    assert [item.path for item in choose(items, NOW, keep_size=30)] == ["old"]
    assert [item.path for item in choose(items, NOW, keep_size=0)] == ["old", "young"]
    assert choose(items, NOW, keep_size=40) == []


_items = st.lists(
    st.builds(
        Item,
        path=st.uuids().map(str),
        size=st.integers(0, 100),
        used=st.integers(0, int(NOW)),
        holders=st.sampled_from([(), ("application_1_1",)]),
    ),
    max_size=12,
)


@given(items=_items, keep=st.integers(0, 500))
def test_nothing_in_use_goes_and_no_more_than_needed(items: list[Item], keep: int) -> None:
    gone = choose(items, NOW, keep_size=keep)
    assert not [item for item in gone if item.holders]
    left = sum(item.size for item in items) - sum(item.size for item in gone)
    if gone:
        assert left + gone[-1].size > keep  # without the last one it would still have been too much
    stay = [item for item in items if item not in gone and not item.holders and NOW - item.used >= 3600_000]
    assert left <= keep or not stay


def test_which_leases_hold() -> None:
    def state_of(app_id: str) -> State:
        if app_id == "application_1_404":
            raise ApplicationNotFound("gone")
        return {"application_1_2": State.FINISHED, "application_1_3": State.ACCEPTED}[app_id]

    fresh, old = int(NOW - 1000), int(NOW - (GRACE + 1) * 1000)
    held = {
        (app_id, at): is_valid(Lease("d", app_id, at), {"application_1_1"}, state_of, NOW)
        for app_id in ("application_1_1", "application_1_2", "application_1_3", "application_1_404")
        for at in (fresh, old)
    }
    assert held == {
        ("application_1_1", fresh): True,
        ("application_1_1", old): True,  # it runs for weeks
        ("application_1_2", fresh): False,
        ("application_1_2", old): False,
        ("application_1_3", fresh): True,
        ("application_1_3", old): False,
        ("application_1_404", fresh): True,  # a launch under way, or forgotten
        ("application_1_404", old): False,
    }


def test_the_cache_of_this_machine(tmp_path: Path) -> None:
    kinds = (
        ("environments", "old"),
        ("environments", "new"),
        ("packages", "old-1.0"),
        ("pythons", "old"),
        ("uv", "old"),
    )
    for kind, name in kinds:
        (tmp_path / kind / name).mkdir(parents=True)
        (tmp_path / kind / name / "content").write_bytes(b"x" * 1000)
    (tmp_path / "members").mkdir()
    for name in ("old", "new"):
        (tmp_path / "members" / f"{name}.gz").write_bytes(b"x" * 500)
        (tmp_path / "members" / f"{name}.json").write_text("{}")
    past = time.time() - 40 * DAY
    for path in [*tmp_path.glob("*/old*"), tmp_path / "uv"]:
        os.utime(path, (past, past))
    before = sorted(tmp_path.rglob("*"))
    dry = prune_local(tmp_path, dry_run=True)
    assert dry.freed == 4500
    assert sorted(tmp_path.rglob("*")) == before
    assert prune_local(tmp_path).gone == dry.gone
    (tmp_path / "names").mkdir(exist_ok=True)
    for name, at in (
        (".dead.tmp", past),
        (".writing.tmp", time.time()),
    ):  # of a process that was killed; of one that lives
        (tmp_path / "names" / name).write_text("{")
        os.utime(tmp_path / "names" / name, (at, at))
    prune_local(tmp_path)
    assert [path.name for path in (tmp_path / "names").iterdir()] == [".writing.tmp"]
    (tmp_path / "names" / ".writing.tmp").unlink()
    left = {
        str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*") if path.parent.name not in ("work", "locks")
    }
    assert left == {"environments/new", "members/new.gz", "members/new.json"}


@pytest.mark.parametrize("moment", ["after the choice", "before the renaming"])
def test_what_a_build_uses_meanwhile_stays_in_the_cache_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    for name in ("idle", "wanted"):
        (tmp_path / "environments" / name).mkdir(parents=True)
        (tmp_path / "environments" / name / "environment.tar.gz").write_bytes(b"x")
        os.utime(tmp_path / "environments" / name, (1e9, 1e9))
    wanted = tmp_path / "environments" / "wanted"
    if moment == "after the choice":
        picked = housekeeping.choose

        def choose(*some: Any, **options: Any) -> Any:
            found = picked(*some, **options)
            os.utime(wanted)
            return found

        monkeypatch.setattr(housekeeping, "choose", choose)
    else:
        rename = Path.rename

        def late(path: Path, target: Path) -> Path:
            if path == wanted:
                os.utime(path)
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", late)
    done = prune_local(tmp_path)
    assert [Path(item.path).name for item in done.gone] == ["idle"]
    assert [Path(item.path).name for item in done.kept] == ["wanted"]
    assert (wanted / "environment.tar.gz").read_bytes() == b"x"
    assert not (tmp_path / "environments" / "idle").exists()
