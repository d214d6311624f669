"""`push_tokens`: what it fetches, writes, says to the ApplicationMaster and tells, and where no secret may appear."""

from __future__ import annotations

import dataclasses
import json
import logging
import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from knit_container.credentials import Token, tokens_in
from knit_core.application import Application
from knit_core.cli import knit as command
from knit_core.cli.applications import tokens as cli
from knit_core.config import Config
from knit_core.config.hadoop_conf import from_reply
from knit_core.config.settings import Value
from knit_core.errors import (
    KnitError,
    MasterUnreachable,
    NotAuthorized,
    NotFound,
    RequestRefused,
    ServiceUnavailable,
    WaitTimeout,
)
from knit_core.hadoop import pushed_tokens
from knit_core.hadoop.cluster import Cluster
from knit_core.model.report import ApplicationReport
from knit_core.model.states import Outcome, State
from knit_core.model.token_status import TokenPush, TokenStatus
from tests.simulated_clock import SimulatedClock
from tests.unit.hdfs_harness import Reply, Server, file_status, namenode, serve
from tests.unit.test_credentials import NOW, WEEK, hdfs_token

__all__ = ["serve"]
ID = "application_1_0001"
FOLDER = f"/user/alice/.knit/apps/{ID}"
DAY = 86_400_000
SECRET = "never to be seen"
GIVEN = {"hdfs": hdfs_token(NOW), "hive": Token(b"x", SECRET.encode(), "HIVE_DELEGATION_TOKEN", "")}
KERBEROS = {"hadoop.security.authentication": "kerberos"}


class Master:
    """An ApplicationMaster that takes what is pushed, or answers as a test says."""

    app_id = ID

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.fault: Exception | None = None
        self.before = [self.row("HDFS_DELEGATION_TOKEN", "ha-hdfs:ns", NOW - WEEK + DAY // 2, pushed=False)]
        self.rows = [self.row("HDFS_DELEGATION_TOKEN", "ha-hdfs:ns", NOW), self.row("HIVE_DELEGATION_TOKEN", "", None)]

    @staticmethod
    def row(kind: str, service: str, issued: int | None, pushed: bool = True) -> dict[str, Any]:
        ends = None if issued is None else issued + WEEK
        return {"kind": kind, "service": service, "issued": issued, "ends": ends, "pushed": pushed}

    def put(self, path: str, body: Any) -> Any:
        self.calls.append((path, body))
        if self.fault:
            raise self.fault
        return {"newer": len(self.rows), "tokens": self.rows}

    def get(self, path: str) -> Any:
        self.calls.append((path, None))
        if isinstance(self.fault, (MasterUnreachable, NotFound)):
            raise self.fault
        return {"newer": 0, "tokens": self.before}


class World:
    """A cluster whose HDFS is a server on the loopback."""

    def __init__(self, server: Server, properties: dict[str, str], patch: pytest.MonkeyPatch) -> None:
        self.server, self.master, self.fetched, self.started = server, Master(), 0, NOW - WEEK + DAY // 2
        address = server.address
        settings = {"resourcemanager": address, "namenode": address, "user": "alice", "staging": "/user/alice/.knit"}
        config = Config(settings={name: Value(value, "test") for name, value in settings.items()})
        config.remote = from_reply({"properties": [{"key": k, "value": v} for k, v in properties.items()]}, address)
        self.cluster = Cluster(config)
        self.cluster._staging_checked = True
        patch.setattr(pushed_tokens, "tokens_for", self.tokens_for)
        self.given: dict[str, Token] = GIVEN
        self.written: list[set[str]] = []
        self.original = self.cluster.hdfs.replace
        patch.setattr(self.cluster.hdfs, "replace", self.replace)

    def tokens_for(self, *_args: object) -> dict[str, Token]:
        self.fetched += 1
        return self.given

    def replace(self, path: str, data: bytes, *, permission: str) -> None:
        self.written.append(set(tokens_in(data)))
        self.original(path, data, permission=permission)

    def push(self, user: str = "alice", outcome: Outcome | None = None, **options: bool) -> TokenPush:
        state = State.RUNNING if outcome is None else State.FINISHED
        report = ApplicationReport(ID, "train", user, "default", state, outcome, started_at=self.started)
        return pushed_tokens.push_tokens(self.cluster, self.master, report, **options)  # type: ignore[arg-type]


@pytest.fixture
def world(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> World:
    return _world(serve, monkeypatch)


def _world(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, **more: str) -> World:
    datanode = serve(lambda operation, path: (201, "", {}))
    of_namenode = namenode(datanode.address)

    def answer(operation: str, path: str) -> Reply:
        if operation == "GETHOMEDIRECTORY":
            return 200, json.dumps({"Path": "/user/alice"}), {"Content-Type": "application/json"}
        return file_status() if operation == "GETFILESTATUS" else of_namenode(operation, path)

    return World(serve(answer), {**KERBEROS, **more}, monkeypatch)


def test_the_file_is_replaced_at_once_and_is_only_the_users(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    original = world.cluster.hdfs.client.write

    def write(path: str, data: bytes, **options: Any) -> Any:
        written.append(data)
        return original(path, data=data, **options)

    monkeypatch.setattr(world.cluster.hdfs.client, "write", write)
    done = world.push()
    steps = [(operation, path) for operation, path in world.server.asked if operation != "GETFILESTATUS"]
    temporary = steps[1][1]
    assert steps == [("MKDIRS", FOLDER), ("CREATE", temporary), ("RENAME", temporary)]
    assert temporary.startswith(f"{FOLDER}/.tokens.")
    at = world.server.asked.index(("CREATE", temporary))
    assert world.server.queries[at]["permission"] == ["600"]
    at = world.server.asked.index(("RENAME", temporary))
    assert world.server.queries[at]["destination"] == [f"{FOLDER}/tokens"]
    assert world.server.queries[at]["renameoptions"] == ["OVERWRITE"]
    read = tokens_in(written[0])
    assert {alias: token.encode() for alias, token in read.items()} == {a: t.encode() for a, t in GIVEN.items()}
    assert world.master.calls == [("/tokens", None), ("/tokens", {})]
    assert (done.pushed, done.in_use) == (True, True)
    assert [(token.kind, token.ends) for token in done.tokens] == [
        ("HDFS_DELEGATION_TOKEN", NOW + WEEK),
        ("HIVE_DELEGATION_TOKEN", None),
    ]


def test_no_secret_is_shown_logged_or_part_of_an_error(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = [SECRET, *(token.encode() for token in GIVEN.values())]
    done = world.push()
    texts = [repr(done), json.dumps(dataclasses.asdict(done)), repr(pickle.dumps(done))]
    for fault in (RequestRefused("PUT /tokens: refused", status=409), MasterUnreachable(ID, ["TCP"]), NotFound("x")):
        world.master.fault = fault
        try:
            texts.append(repr(world.push()))
        except KnitError as error:
            texts += [str(error), repr(error), repr(error.__cause__), repr(vars(error))]
    queries = [value for query in world.server.queries for values in query.values() for value in values]
    for text in [*texts, *queries, *(path for _, path in world.server.asked), caplog.text, repr(world.master.calls)]:
        assert not any(secret in text for secret in secrets)


def test_another_users_application_gets_nothing(world: World) -> None:
    with pytest.raises(NotAuthorized, match=f"{ID} belongs to bob"):
        world.push(user="bob")
    assert (world.fetched, world.master.calls) == (0, [])
    assert not any(operation == "CREATE" for operation, _ in world.server.asked)


def test_an_ended_application_gets_nothing(world: World) -> None:
    with pytest.raises(RequestRefused, match=f"{ID} has ended .SUCCEEDED.: it needs no tokens"):
        world.push(outcome=Outcome.SUCCEEDED)
    assert (world.fetched, world.master.calls, world.server.asked) == (0, [], [])


def test_a_cluster_without_kerberos_has_none(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    world = _world(serve, monkeypatch, **{"hadoop.security.authentication": "simple"})
    with pytest.raises(KnitError, match="simple authentication"):
        world.push()
    with pytest.raises(KnitError, match="simple authentication"):
        pushed_tokens.read_tokens(world.cluster, world.master)  # type: ignore[arg-type]
    assert (world.fetched, world.master.calls, world.server.asked) == (0, [], [])


def test_an_applicationmaster_out_of_reach_finds_them_by_itself(world: World) -> None:
    world.master.fault = MasterUnreachable(ID, ["directly at node7: no connection", "it has no address yet"])
    done = world.push()
    assert not done.in_use
    assert done.problem == "directly at node7: no connection; it has no address yet"
    assert ("MKDIRS", FOLDER) in world.server.asked  # it may not have started yet
    assert done.valid_until == NOW + DAY


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (RequestRefused("refused (409): the file tokens: it is truncated", status=409), "it is truncated$"),
        (
            RequestRefused("refused (409): RemoteException token (owner=alice) is expired", status=409),
            "Its present tokens have ended, so it cannot read newer ones: end it and launch it again$",
        ),
        (NotFound("there is no /api/v1/tokens", status=404), "launched by an earlier version of Knit"),
    ],
)
def test_what_an_applicationmaster_refuses_is_told(world: World, fault: Exception, said: str) -> None:
    world.master.fault = fault
    with pytest.raises(RequestRefused, match=said):
        world.push()


def test_tokens_that_were_not_taken_are_told(world: World) -> None:
    world.master.rows = [Master.row("HDFS_DELEGATION_TOKEN", "ha-hdfs:ns", NOW - 1)]
    with pytest.raises(
        RequestRefused,
        match="did not take these tokens: HDFS_DELEGATION_TOKEN for ha-hdfs:ns, HIVE_DELEGATION_TOKEN for any server",
    ):
        world.push()


def test_until_when_tokens_are_valid(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    world = _world(serve, monkeypatch, **{"dfs.namenode.delegation.token.renew-interval": "3600000"})
    world.master.before = [
        Master.row("HDFS_DELEGATION_TOKEN", "ha-hdfs:ns", NOW),
        Master.row("RM_DELEGATION_TOKEN", "", NOW),
        Master.row("RM_DELEGATION_TOKEN", "x", NOW, pushed=False),
        Master.row("HIVE_DELEGATION_TOKEN", "", None),
        Master.row("OTHER", "", NOW),
    ]
    found = pushed_tokens.read_tokens(world.cluster, world.master)  # type: ignore[arg-type]
    assert world.master.calls == [("/tokens", None)]
    assert [token.valid_until for token in found] == [NOW + 3_600_000, NOW + DAY, NOW + WEEK, None, None]
    assert TokenPush(tuple(found), True, True).valid_until == NOW + 3_600_000
    assert TokenPush((), True, True).valid_until is None


def test_the_tokens_of_the_launch_are_kept_while_they_are_valid_for_longer(world: World) -> None:
    """YARN renews them until the end of their life. A pushed one would end a day later, and sooner than they do."""
    world.master.before = [Master.row("HDFS_DELEGATION_TOKEN", "ha-hdfs:ns", NOW - DAY, pushed=False)]
    done = world.push()
    assert (done.pushed, done.in_use) == (True, True)  # the token of the other service, whose life is not known
    assert world.written == [{"hive"}]
    world.given = {"hdfs": GIVEN["hdfs"]}
    done = world.push()
    assert (done.pushed, done.in_use, done.valid_until) == (False, True, NOW + WEEK - DAY)
    assert len(world.written) == 1
    world.master.before = [Master.row("HDFS_DELEGATION_TOKEN", "ha-hdfs:ns", NOW - DAY, pushed=True)]
    assert world.push().pushed  # the present one has come by a push, so nothing renews it
    world.master.before = [Master.row("HDFS_DELEGATION_TOKEN", "ha-hdfs:ns", NOW - DAY, pushed=False)]
    assert world.push(force=True).pushed
    assert world.written == [{"hive"}, {"hdfs"}, {"hdfs"}]


def test_out_of_reach_the_end_of_the_launchs_tokens_is_estimated(world: World) -> None:
    world.master.fault = MasterUnreachable(ID, ["it has no address yet"])
    world.given, world.started = {"hdfs": GIVEN["hdfs"]}, NOW
    done = world.push()
    assert (done.pushed, done.in_use, done.problem) == (False, False, "it has no address yet")
    assert world.written == []
    world.started = NOW - WEEK + DAY // 2
    assert world.push().pushed
    assert world.written == [{"hdfs"}]


class Handle:
    """An application that ends when `left` waits are over."""

    def __init__(self, left: int, *faults: Exception | None) -> None:
        self.left, self.faults, self.pushes = left, list(faults), 0
        self.waits: list[float] = []
        self.cluster = SimpleNamespace(clock=SimulatedClock(NOW / 1000))

    def push_tokens(self, force: bool = False) -> TokenPush:
        self.pushes += 1
        fault = self.faults.pop(0) if self.faults else None
        if fault:
            raise fault
        token = TokenStatus("HDFS_DELEGATION_TOKEN", "ha-hdfs:ns", True, NOW, NOW + WEEK, NOW + DAY)
        return TokenPush((token,), True, True)

    def tokens(self) -> list[TokenStatus]:
        return list(self.push_tokens().tokens)

    def report(self) -> Any:
        return SimpleNamespace(ended=self.left <= 0)

    def wait(self, timeout: float, *, poll: float, check: bool) -> None:
        assert not check
        assert poll <= 30
        self.waits.append(timeout)
        self.left -= 1
        if self.left > 0:
            raise WaitTimeout("later")


def test_they_are_pushed_again_until_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    handle = Handle(4, None, ServiceUnavailable("the NameNode is standby"), None)
    done: list[TokenPush] = []
    cli.push_until_the_end(handle, 43200.0, done.append)  # type: ignore[arg-type]
    assert handle.waits == [43200.0, 60.0, 43200.0, 43200.0]
    assert len(done) == 3
    late = Handle(1)
    late.cluster.clock.now += 86400 - 3600
    cli.push_until_the_end(late, 43200.0, done.append)  # type: ignore[arg-type]
    assert late.waits == [1800.0]  # half of the hour that is left
    assert "standby" in capsys.readouterr().err
    cli.push_until_the_end(Handle(0, RequestRefused("has ended")), 1.0, done.append)  # type: ignore[arg-type]
    with pytest.raises(RequestRefused):
        cli.push_until_the_end(Handle(1, RequestRefused("no")), 1.0, done.append)  # type: ignore[arg-type]
    with pytest.raises(NotAuthorized):
        cli.push_until_the_end(Handle(1, NotAuthorized("no")), 1.0, done.append)  # type: ignore[arg-type]
    with pytest.raises(KnitError):
        cli.push_until_the_end(Handle(1, KnitError("no")), 1.0, done.append)  # type: ignore[arg-type]


def test_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "client", lambda _ctx: __import__("contextlib").nullcontext())
    monkeypatch.setattr(cli, "application", lambda _knit, _app: Handle(1))
    row = {
        "kind": "HDFS_DELEGATION_TOKEN", "service": "ha-hdfs:ns", "pushed": True, "issued": NOW, "ends": NOW + WEEK,
        "valid_until": NOW + DAY,
    }  # fmt: skip
    shown = CliRunner().invoke(command, ["tokens", "show", "42", "--json"])
    assert json.loads(shown.stdout) == [row]
    pushed = CliRunner().invoke(command, ["tokens", "push", "42", "--json", "--every", "12 h"])
    assert json.loads(pushed.stdout) == {
        "tokens": [row],
        "pushed": True,
        "in_use": True,
        "problem": "",
        "valid_until": NOW + DAY,
    }
    for words in (["show", "42"], ["push", "42"]):
        text = CliRunner().invoke(command, ["tokens", *words]).stdout
        assert text.startswith("HDFS_DELEGATION_TOKEN   ha-hdfs:ns                  pushed  issued 2023-11-1")
        assert "valid until 2023-11-1" in text
        assert "(at most 2023-11-2" in text


def test_an_application_has_both_calls(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    report = ApplicationReport(ID, "train", "alice", "default", State.RUNNING, None)
    monkeypatch.setattr(Application, "report", lambda self: report)
    app = Application(world.cluster, ID)
    app.__dict__["master"] = world.master
    assert app.push_tokens().in_use
    assert [token.pushed for token in app.tokens()] == [False]
