"""A launch and a pruning of the entry that it needs: every order of their requests to HDFS, over a model of it.

The model carries out one request at a time; a scheduler decides whose is next. A request may be cut off: its sender gets
an error, and it is carried out at any later moment, or never. Senders may be killed between any two requests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knit_core.errors import ApplicationNotFound, ConnectionFailed
from knit_core.hdfs_cache.environments import push
from knit_core.hdfs_cache.leases import Leases
from knit_core.hdfs_cache.pruning import HdfsPruner, delete_temporaries
from knit_core.hdfs_cache.staging import Staging
from knit_core.model.cluster_facts import FileStatus
from knit_core.model.upload import Upload
from knit_core.spec import EnvironmentRef
from tests.simulated_clock import SimulatedClock

FOLDER = "/user/alice/.knit"
CLUSTER: Any = SimpleNamespace(config=SimpleNamespace(filesystem=SimpleNamespace(value="hdfs://nn:8020")))
APP = "application_1_0001"
UPLOAD = Upload.of("data.tgz", b"content")
ENTRY = UPLOAD.remote(FOLDER)
LATE = {"mkdir_once", "rename_once"}  # what is sent once: its reply may be lost, and it may come late


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Tree:
    """HDFS: paths with content (None: a folder) and modification time."""

    clock: SimulatedClock
    files: dict[str, tuple[bytes | None, int]] = field(default_factory=dict)

    def _now(self) -> int:
        return int(self.clock.time() * 1000)

    def _below(self, path: str) -> list[str]:
        return [name for name in self.files if name == path or name.startswith(path + "/")]

    def mkdirs(self, path: str, _permission: str = "700") -> bool:
        parts = path.split("/")
        for end in range(2, len(parts) + 1):
            self.files.setdefault("/".join(parts[:end]), (None, self._now()))
        return True

    mkdir_once = mkdirs

    def status(self, path: str) -> FileStatus | None:
        found = self.files.get(path)
        if found is None:
            return None
        content, at = found
        return FileStatus(path, len(content or b""), at, content is None, "alice", "700" if content is None else "600")

    def list(self, path: str) -> list[FileStatus]:
        names = [name for name in self.files if name.rpartition("/")[0] == path]
        return [status for status in map(self.status, sorted(names)) if status]

    def delete(self, path: str, recursive: bool = False) -> bool:
        found = self._below(path)
        assert recursive or len(found) <= 1
        for name in found:
            del self.files[name]
        return bool(found)

    def rename_once(self, source: str, target: str) -> bool:
        if source not in self.files or target.rpartition("/")[0] not in self.files:
            return False
        if target in self.files:
            if self.files[target][0] is not None:
                return False
            target = f"{target}/{source.rpartition('/')[2]}"  # into the folder, as HDFS does
        for name in self._below(source):
            self.files[target + name[len(source) :]] = self.files.pop(name)
        return True

    def publish(self, path: str, data: Callable[[], Any], **_options: Any) -> bool:
        content = data()
        self.mkdirs(path.rpartition("/")[0])
        if path in self.files:
            return False
        self.files[path] = (content if isinstance(content, bytes) else b"".join(content), self._now())
        return True


class Scheduler:
    """Runs actors, each in a thread, one request at a time, in the order that `choose` gives."""

    def __init__(self, tree: Tree, choose: Callable[[list[str]], str]) -> None:
        self.tree, self.choose = tree, choose
        self._wake = threading.Condition()
        self._waiting: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {}
        self._granted: dict[str, str] = {}
        self._running: set[str] = set()
        self.late: dict[str, Callable[[], Any]] = {}  # requests on their way whose senders have given up
        self.failures: list[BaseException] = []
        self._seen = 0

    def request(self, actor: str, name: str, *args: Any, **options: Any) -> Any:
        """Called by an actor: waits for its turn, and does it."""
        with self._wake:
            self._waiting[actor] = (name, args, options)
            self._wake.notify_all()
            self._wake.wait_for(lambda: actor in self._granted, 30)
            how = self._granted.pop(actor)
            if how == "kill":
                raise Killed
            call = lambda: getattr(self.tree, name)(*args, **options)  # noqa: E731
            if how == "cut":
                self._seen += 1
                self.late[f"late {self._seen}"] = call
                raise ConnectionFailed("cut")
            return call()

    def run(self, actors: dict[str, Callable[[], Any]]) -> None:
        """Until all have ended and nothing is on its way."""

        def body(actor: str, work: Callable[[], Any]) -> None:
            try:
                work()
            except Killed:
                pass
            except BaseException as error:
                self.failures.append(error)
            finally:
                with self._wake:
                    self._running.discard(actor)
                    self._wake.notify_all()

        self._running = set(actors)
        threads = [threading.Thread(target=body, args=each) for each in actors.items()]
        for thread in threads:
            thread.start()
        while True:
            with self._wake:
                settled = self._wake.wait_for(lambda: set(self._waiting) >= self._running, 30)
                assert settled, (self._waiting, self._running)
                if not self._waiting:
                    break
                chosen = self.choose(self._options())
                if chosen in self.late:
                    self.late.pop(chosen)()
                    continue
                how, _, actor = chosen.rpartition(" ")
                del self._waiting[actor]
                self._granted[actor] = how or "do"
                self._wake.notify_all()
                self._wake.wait_for(lambda actor=actor: actor in self._waiting or actor not in self._running, 30)  # type: ignore[misc]
        for thread in threads:
            thread.join(30)
        for call in self.late.values():  # the last moment at which they can arrive
            call()

    def _options(self) -> list[str]:
        """What may happen next."""
        found = sorted(self._waiting)
        for actor, (name, _, _) in sorted(self._waiting.items()):
            if actor.startswith("prune"):
                found += [f"kill {actor}", f"cut {actor}"] if name in LATE else [f"kill {actor}"]
        return [*found, *sorted(self.late)]


class Handle:
    """One actor's HDFS."""

    def __init__(self, scheduler: Scheduler, actor: str) -> None:
        self._scheduler, self._actor = scheduler, actor
        self.address = "model"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args, **options: self._scheduler.request(self._actor, name, *args, **options)


def _unknown(_app_id: str) -> Any:
    raise ApplicationNotFound("not submitted yet")


RM: Any = SimpleNamespace(apps=lambda states: [], app=_unknown)


def _launch(hdfs: Any, relies: list[FileStatus]) -> None:
    staging = Staging(hdfs, FOLDER)
    staging._ready = True
    staging.reserve(APP, [UPLOAD])
    there, missing = staging.find([UPLOAD], [])
    relies.append((there or staging.put(missing))[ENTRY])


def _prune(hdfs: Any, clock: SimulatedClock) -> None:
    leases = Leases(hdfs, f"{FOLDER}/leases")
    HdfsPruner(hdfs, RM, f"{FOLDER}/cache", leases, clock=clock.time).prune(older_than=0)


def _play(choose: Callable[[list[str]], str], prunings: int = 1) -> Tree:
    """One run; fails when what the launch relied on is not there as it was."""
    clock = SimulatedClock()
    tree = Tree(clock)
    tree.publish(ENTRY, lambda: b"content")
    for name in ("leases", "pruning"):
        tree.mkdirs(f"{FOLDER}/{name}")
    clock.now += 100 * 86400
    scheduler, relies = Scheduler(tree, choose), cast("list[FileStatus]", [])
    actors: dict[str, Callable[[], Any]] = {"launch": lambda: _launch(Handle(scheduler, "launch"), relies)}
    for number in range(prunings):
        actors[f"prune{number}"] = lambda n=number: _prune(Handle(scheduler, f"prune{n}"), clock)  # type: ignore[misc]
    scheduler.run(actors)
    assert not scheduler.failures, scheduler.failures
    assert relies, "the launch did not get through"
    found = tree.status(ENTRY)
    assert found == relies[0], (found, relies)
    return tree


def _orders(limit: int, interesting: Callable[[str], bool]) -> Iterator[list[str]]:
    """Plays every order of the choices that are of interest; each time the choices that were made."""
    path: list[tuple[list[str], int]] = []
    for _ in range(limit):
        made: list[str] = []

        def choose(options: list[str], made: list[str] = made) -> str:
            allowed, depth = [option for option in options if interesting(option)], len(made)
            if depth == len(path):
                path.append((allowed, 0))
            assert path[depth][0] == allowed, "the run is not determined by its choices"
            made.append(allowed[path[depth][1]])
            return made[-1]

        try:
            _play(choose)
        except AssertionError as error:
            raise AssertionError(f"{made}: {error}") from error
        yield made
        while path and path[-1][1] + 1 == len(path[-1][0]):
            path.pop()
        if not path:
            return
        path[-1] = (path[-1][0], path[-1][1] + 1)
    raise AssertionError(f"more than {limit} orders")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["whole", "cut", "kill"])
def test_in_no_order_a_launch_loses_what_it_relied_on(kind: str) -> None:
    """`whole`: every order of all requests. `cut`: one request is lost or late. `kill`: the pruning is killed."""
    count = 0
    for made in _orders(20_000, lambda option: not option.startswith(("cut", "kill")) or option.startswith(kind)):
        count += 1
        assert made
    assert count > 100


@pytest.mark.long
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_two_prunings_a_launch_and_everything_that_may_happen(data: st.DataObject) -> None:
    _play(lambda options: data.draw(st.sampled_from(options)), prunings=2)


def test_what_a_killed_pruning_left_is_removed_later() -> None:
    clock = SimulatedClock()
    tree = Tree(clock)
    tree.publish(ENTRY, lambda: b"content")
    tree.mkdirs(f"{FOLDER}/pruning/{UPLOAD.sha256}.0123")
    assert tree.rename_once(ENTRY.rpartition("/")[0], f"{FOLDER}/pruning/{UPLOAD.sha256}.0123/{UPLOAD.sha256}")
    leases = Leases(cast("Any", tree), f"{FOLDER}/leases")
    pruner = HdfsPruner(cast("Any", tree), RM, f"{FOLDER}/cache", leases, clock=clock.time)
    assert pruner.prune().swept == 0  # it may be under way
    clock.now += 2 * 3600
    assert pruner.prune(dry_run=True).swept == 1
    assert tree.list(f"{FOLDER}/pruning")
    assert pruner.prune().swept == 1
    assert tree.list(f"{FOLDER}/pruning") == []


def test_temporary_files_of_killed_callers_are_removed_a_day_later() -> None:
    clock = SimulatedClock()
    tree = Tree(clock)
    left = [
        f"{FOLDER}/launches/{UPLOAD.sha256}/.1.0123.tmp",
        f"{FOLDER}/.key.0123.tmp",
        f"{FOLDER}/apps/{APP}/.note.json.0123.tmp",
        f"{FOLDER}/apps/{APP}/results/.0.0123.tmp",
        f"{FOLDER}/apps/{APP}/.journal-1-7",
        f"{FOLDER}/apps/{APP}/.result.json.2",
    ]
    stay = [
        f"{FOLDER}/launches/{UPLOAD.sha256}/1",
        f"{FOLDER}/key",
        f"{FOLDER}/apps/{APP}/result.json",
        f"{FOLDER}/apps/{APP}/results/0",
        f"{FOLDER}/apps/{APP}/.a-note.json",
        f"{FOLDER}/apps/{APP}/journal-1-8",
    ]
    for path in [*left, *stay]:
        tree.publish(path, lambda: b"x")

    def sweep(**options: Any) -> int:
        return delete_temporaries(cast("Any", tree), FOLDER, clock=clock.time, **options)

    assert sweep() == 0  # they may be being written
    clock.now += 86401
    assert sweep(dry_run=True) == 6
    assert sweep() == 6
    assert [tree.status(path) is not None for path in left + stay] == [False] * 6 + [True] * 6


def _again(staging: Staging, how: str, folder: Path) -> None:
    if how == "push":
        push(CLUSTER, staging, _environment(folder))
    else:
        staging.reserve(APP, [UPLOAD])


@pytest.mark.parametrize("how", ["launch", "push"])
def test_what_is_repeated_weeks_later_counts_from_then(how: str, tmp_path: Path) -> None:
    """Its application was never submitted, so that only the time of its leases speaks for it."""
    clock = SimulatedClock()
    tree = Tree(clock)
    tree.publish(ENTRY, lambda: b"content")
    tree.mkdirs(f"{FOLDER}/pruning")
    staging = Staging(cast("Any", tree), FOLDER)
    staging._ready = True

    def prune(hook: Callable[[str], None] | None = None) -> int:
        pruner = HdfsPruner(cast("Any", tree), RM, f"{FOLDER}/cache", staging.leases, clock=clock.time, hook=hook)
        return len(pruner.prune(older_than=0, keep_size=0, youngest=0).gone)

    _again(staging, how, tmp_path)
    clock.now += 8 * 86400
    assert prune(lambda _step: _again(staging, how, tmp_path)) == 0  # whatever leases it had seen before
    assert prune() == 0
    assert tree.status(ENTRY) is not None
    clock.now += 6 * 86400
    assert prune() == 0
    clock.now += 2 * 86400
    assert prune() == 1


def test_what_was_pushed_is_kept_for_a_week_although_it_was_there_before(tmp_path: Path) -> None:
    clock = SimulatedClock()
    tree = Tree(clock)
    tree.publish(ENTRY, lambda: b"content")
    tree.mkdirs(f"{FOLDER}/pruning/{UPLOAD.sha256}.0123")  # another pruning is about to remove it
    clock.now += 100 * 86400
    staging = Staging(cast("Any", tree), FOLDER)
    staging._ready = True
    pushed = push(CLUSTER, staging, _environment(tmp_path))
    assert (pushed.uploaded, pushed.url) == (0, f"hdfs://nn:8020{ENTRY}")
    assert not tree.rename_once(ENTRY.rpartition("/")[0], f"{FOLDER}/pruning/{UPLOAD.sha256}.0123/{UPLOAD.sha256}")
    pruner = HdfsPruner(cast("Any", tree), RM, f"{FOLDER}/cache", staging.leases, clock=clock.time)
    for days, gone in ((0, 0), (6, 0), (2, 1)):
        clock.now += days * 86400
        assert len(pruner.prune(older_than=0, keep_size=0).gone) == gone


def _environment(folder: Path) -> Any:
    (folder / UPLOAD.name).write_bytes(b"content")
    return EnvironmentRef(archive=str(folder / UPLOAD.name))
