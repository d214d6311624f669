"""A container that outlives its delegation tokens: newer ones come from HDFS into its own file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import knit_container
from knit_container import __main__ as program
from knit_container import hdfs, tokens
from knit_container.application_master import ApplicationMaster
from knit_container.credentials import Token, credentials_file, secrets_in, tokens_in
from tests.simulated_clock import SimulatedClock
from tests.unit.hdfs_harness import Reply, Server, refusal, serve
from tests.unit.test_credentials import NOW, WEEK, hdfs_token

__all__ = ["serve"]
FOLDER = "/user/alice/.knit/apps/application_1_0001"
OLD = hdfs_token(NOW)
NEW = hdfs_token(NOW + 86_400_000)
HIVE = Token(b"", b"never to be seen", "HIVE_DELEGATION_TOKEN", "")
OTHER_HIVE = Token(b"x", b"never to be seen", "HIVE_DELEGATION_TOKEN", "")
OWN = {"hdfs": OLD, "hive": HIVE}


class World:
    """A container, and an HDFS with `pushed` as the application's file of tokens."""

    def __init__(self, serve: Callable[..., Server], folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.pushed: Reply = refusal("FileNotFoundException", status=404)
        self.datanode = serve(lambda operation, path: self.pushed)
        self.namenode = serve(self.answer)
        self.file = folder / "container_tokens"
        self.file.write_bytes(credentials_file(OWN, {"knit.token": b"own"}))
        self.file.chmod(0o600)
        patch.setenv("HADOOP_TOKEN_FILE_LOCATION", str(self.file))
        patch.setenv("KNIT_MASTER_FILE", f"{self.namenode.address}/webhdfs/v1{FOLDER}/master")

    def answer(self, operation: str, path: str) -> Reply:
        if self.pushed[0] != 200:
            return self.pushed
        return 307, "", {"Location": f"{self.datanode.address}/webhdfs/v1{path}?op=OPEN&delegation=of-the-datanode"}

    def push(self, **given: Token) -> None:
        self.pushed = 200, credentials_file(given), {}

    @property
    def present(self) -> dict[str, Token]:
        return tokens_in(self.file.read_bytes())


@pytest.fixture
def world(serve: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(serve, tmp_path, monkeypatch)


def texts(found: dict[str, Token]) -> dict[str, str]:
    return {alias: token.encode() for alias, token in found.items()}


def test_newer_tokens_come_into_the_containers_own_file(world: World) -> None:
    world.push(hdfs=NEW, hive=OTHER_HIVE)
    assert knit_container.refresh_tokens() is True
    assert world.namenode.asked == [("OPEN", f"{FOLDER}/tokens")]
    assert world.namenode.queries[0]["delegation"] == [OLD.encode()]  # the present one reads the newer one
    assert texts(world.present) == texts({"hdfs": NEW, "hive": OTHER_HIVE})
    assert secrets_in(world.file.read_bytes()) == {"knit.token": b"own"}
    assert world.file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in world.file.parent.iterdir()] == ["container_tokens"]
    assert hdfs.identity() == {"delegation": NEW.encode()}
    assert knit_container.refresh_tokens() is False


def test_of_several_tokens_for_hdfs_the_newest_is_sent(world: World) -> None:
    world.file.write_bytes(credentials_file({"a": OLD, "b": NEW, "c": OLD}))
    assert hdfs.identity() == {"delegation": NEW.encode()}


def test_what_changes_nothing(world: World) -> None:
    before = world.file.read_bytes()
    assert knit_container.refresh_tokens() is False  # there is none
    world.push(hdfs=hdfs_token(NOW - 1), hive=HIVE)  # older
    assert knit_container.refresh_tokens() is False
    assert world.file.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"HDTS\1", "not a credentials file of version 0"),
        (b"HDTS\0\x8c\x7f\xff\xff\xff", "truncated"),
        (b"x" * (tokens._LIMIT + 1), "more than"),
        (credentials_file({"hdfs": NEW})[:-30], "truncated"),
    ],
)
def test_a_broken_file_is_told_and_changes_nothing(world: World, content: bytes, said: str) -> None:
    before = world.file.read_bytes()
    world.pushed = 200, content, {}
    with pytest.raises(hdfs.HdfsFault, match=said) as caught:
        knit_container.refresh_tokens()
    assert "never" not in str(caught.value)
    assert world.file.read_bytes() == before


def test_a_token_that_has_ended_is_told_as_that(world: World) -> None:
    world.pushed = refusal(
        "SecurityException", "Failed to obtain user group information: InvalidToken: token is expired"
    )
    with pytest.raises(hdfs.HdfsFault, match=r"the delegation token of this container has ended: docs/kerberos.md"):
        knit_container.refresh_tokens()


def test_nothing_is_asked_under_simple_authentication_or_outside(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.file.write_bytes(credentials_file({}, {"knit.token": b"own"}))
    assert knit_container.refresh_tokens() is False
    knit_container.keep_tokens()
    assert tokens._keeper is None
    monkeypatch.delenv("KNIT_MASTER_FILE")
    world.file.write_bytes(credentials_file(OWN))
    assert knit_container.refresh_tokens() is False
    monkeypatch.delenv("HADOOP_TOKEN_FILE_LOCATION")
    assert knit_container.refresh_tokens() is False
    knit_container.keep_tokens()
    assert tokens._keeper is None
    assert world.namenode.asked == []


def test_a_file_that_cannot_be_replaced_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.push(hdfs=NEW)

    def deny(*_args: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("knit_container.tokens.os.open", deny)
    with pytest.raises(hdfs.HdfsFault, match=r"cannot be written to .*container_tokens: Permission denied"):
        knit_container.refresh_tokens()


HOUR = 3600.0


@pytest.mark.parametrize(
    ("age", "expected"), [(0, 6 * HOUR), (4 * HOUR, 2 * HOUR), (5.5 * HOUR, HOUR), (6 * HOUR, HOUR), (30 * HOUR, HOUR)]
)
def test_when_a_token_of_a_week_is_looked_after(age: float, expected: float) -> None:
    assert tokens.pause({"hdfs": OLD}, NOW / 1000 + age) == pytest.approx(expected)


def test_a_short_life_is_looked_after_more_often() -> None:
    assert tokens.pause({"hdfs": hdfs_token(NOW, NOW + 600_000)}, NOW / 1000 + 300) == 10.0
    assert tokens.pause({"hdfs": HIVE.renamed("HDFS_DELEGATION_TOKEN", "")}, NOW / 1000) == HOUR  # of another form


def test_they_are_kept_fresh_for_weeks(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """Somebody pushes each day, and for one day nobody reaches HDFS."""
    clock = SimulatedClock(NOW / 1000)
    ages = []

    def turn(now: float) -> None:
        day = int((now - NOW / 1000) // 86400)
        world.push(hdfs=hdfs_token(NOW + day * 86_400_000))
        if day == 10:
            world.pushed = refusal("StandbyException")
        ages.append(now - (world.present["hdfs"].issued or 0) / 1000)
        if day == 21:
            raise KeyboardInterrupt

    clock.on_sleep = turn
    with pytest.raises(KeyboardInterrupt):
        tokens.keep(clock)
    said = capfd.readouterr().err
    assert said.count("cannot be read") == 1  # once
    assert said.count("newer delegation tokens are in use") == 19  # days 1 to 20 without the 10th
    assert max(ages) < 2 * 86400 + 2 * HOUR
    assert len(world.namenode.asked) < 22 * 25
    assert "never" not in said


def test_the_command_lists_them_without_secrets(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.push(hdfs=NEW)
    assert program.main(["tokens"]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].startswith("HIVE_DELEGATION_TOKEN  -")
    assert printed.splitlines()[1].startswith("HDFS_DELEGATION_TOKEN  ha-hdfs:ns  issued 20")
    assert NEW.encode() not in printed
    world.pushed = refusal("AccessControlException")
    assert program.main(["tokens"]) == 1
    world.file.write_bytes(credentials_file({}))
    assert program.main(["tokens"]) == 0
    assert "no delegation tokens" in capsys.readouterr().out


def test_a_restarted_applicationmaster_is_found_by_the_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.pushed = 200, json.dumps({"address": "node7:1234", "attempt": 2}), {}
    master = ApplicationMaster(
        {
            "KNIT_MASTER": "gone:1", "KNIT_MASTER_ATTEMPT": "1", "CONTAINER_ID": "container_1",
            "HADOOP_TOKEN_FILE_LOCATION": str(world.file),
            "KNIT_MASTER_FILE": f"{world.namenode.address}/webhdfs/v1{FOLDER}/master",
        }
    )  # fmt: skip
    master._read_address()
    assert (master._address, master._attempt) == ("node7:1234", 2)
    assert world.namenode.queries[0]["delegation"] == [OLD.encode()]


def test_a_week_is_the_life_of_the_tokens_here() -> None:
    assert (OLD.ends or 0) - NOW == WEEK
