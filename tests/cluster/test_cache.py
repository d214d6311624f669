"""The cache on HDFS: pushed once, pruned but never under a running application, never half, shared by who trusts whom.

More than 400 lines: all tests use the same cache of one user and the helpers below.
"""

from __future__ import annotations

import getpass
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from knit_core import Knit
from knit_core.cli.environments.env import env as env_command
from knit_core.environments import Environment
from knit_core.errors import ApplicationFailed, KnitError, PreflightError, StagingError
from knit_core.hdfs_cache.leases import PUSHED, Leases, announcements, withdraw
from knit_core.hdfs_cache.pruning import HdfsPruner, Pruned
from knit_core.hdfs_cache.staging import Staging, inspect
from knit_core.local import LocalCluster
from knit_core.model.upload import Upload
from tests.cluster_harness import eventually

pytestmark = pytest.mark.cluster

APP = "application_1_0001"  # an id of no ResourceManager


@pytest.fixture
def staging(knit: Knit, tmp_path: Path) -> Iterator[Staging]:
    """A staging folder of the test's own."""
    folder = f"/user/alice/staging-{tmp_path.name}-{time.time_ns()}"
    yield Staging(knit.hdfs, folder)
    knit.hdfs.delete(folder, recursive=True)


def _archive(folder: Path, name: str = "tiny.tar.gz", bulk: int = 0) -> Path:
    """An environment whose Python is the node's: small, and a real archive all the same."""
    source = folder / f"source-{name}"
    (source / "bin").mkdir(parents=True)
    (source / "bin" / "python").write_text('#!/bin/sh\nexec python3 "$@"\n')
    (source / "bin" / "python").chmod(0o755)
    (source / "made").write_text(f"{time.time_ns()}")  # another content for each test
    if bulk:
        (source / "bulk").write_bytes(os.urandom(bulk))
    with tarfile.open(folder / name, "w:gz", compresslevel=1) as tar:
        for path in sorted(source.iterdir()):
            tar.add(path, path.name)
    return folder / name


def _pruner(knit: Knit, staging: Staging, **more: Any) -> HdfsPruner:
    return HdfsPruner(knit.hdfs, knit.resourcemanager, f"{staging.folder}/cache", staging.leases, **more)


def _all(knit: Knit, staging: Staging, **more: Any) -> Pruned:
    return _pruner(knit, staging, **more).prune(older_than=0, youngest=0)


def test_pushed_once_and_found_by_launches(knit: Knit, tmp_path: Path) -> None:
    environment = Environment.from_archive(_archive(tmp_path, bulk=3 << 20))
    sent: list[tuple[str, int, int]] = []
    first = knit.push_env(environment, lambda *event: sent.append(event))
    assert first.uploaded == first.size == environment.size
    assert sent[-1] == ("tiny.tar.gz", environment.size, environment.size)
    again = knit.push_env(environment)
    assert (again.url, again.uploaded) == (first.url, 0)
    lines: list[str] = []
    for given in (environment, first.url):  # the local archive, and its place
        app = knit.submit("python -c 'print(6 * 7)'", memory=128, env=given, progress=lines.append)
        app.wait(timeout=60)
        assert [line.text for line in app.logs()] == ["42"]
        digests = {lease.digest for lease in knit.staging.leases.all() if lease.app_id == app.id}
        assert environment.sha256 in digests
    assert not any("MB" in line for line in lines)


def test_the_command(clean_cluster: LocalCluster, tmp_path: Path) -> None:
    archive = _archive(tmp_path)
    options = {"address": clean_cluster.resourcemanager_url, "user": "alice"}

    def run(*words: str) -> Any:
        done = CliRunner().invoke(env_command, [*words, "--json"], obj=options, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    pushed = run("push", str(archive))
    assert pushed["uploaded"] == pushed["size"] == archive.stat().st_size
    assert run("push", str(archive)) == {**pushed, "uploaded": 0}
    cache = ("--cache-dir", str(tmp_path / "cache"))
    found = run("prune", "--dry-run", "--keep-size", "0", *cache)
    assert set(found) == {"this machine", "HDFS"}
    kept = {item["path"].rpartition("/")[2] for item in found["HDFS"]["kept"]}
    assert pushed["sha256"] in kept  # of a moment ago


def test_what_a_running_application_uses_stays_as_it_is(knit: Knit, tmp_path: Path) -> None:
    archive = _archive(tmp_path)
    app = knit.submit("sleep 120", memory=128, env=str(archive))
    path = inspect(str(archive)).remote(knit.staging.folder)
    before = knit.hdfs.status(path)
    try:
        eventually(lambda: app.report().state.value == "RUNNING", 30, "the application to run")
        pruned = _all(knit, knit.staging)
        held = {item.path: item.holders for item in pruned.kept}
        assert app.id in held[path.rpartition("/")[0]]
        assert knit.hdfs.status(path) == before  # its modification time is what YARN reuses it by
        assert len(held) >= 4  # the jar, the script and the document, too
    finally:
        app.kill("seen enough")
    eventually(lambda: app.report().ended, 30, "the application to end")
    assert path.rpartition("/")[0] in {item.path for item in _all(knit, knit.staging).gone}
    assert knit.hdfs.status(path) is None
    assert not [lease for lease in knit.staging.leases.all() if lease.digest == inspect(str(archive)).sha256]


def test_prune_says_what_would_go_and_touches_nothing(knit: Knit, staging: Staging, tmp_path: Path) -> None:
    upload = inspect(str(_archive(tmp_path)))
    staging.prepare()
    staging.put([upload])
    pruned = _pruner(knit, staging).prune(older_than=0, youngest=0, dry_run=True)
    assert [item.size for item in pruned.gone] == [upload.size]
    assert knit.hdfs.status(upload.remote(staging.folder)) is not None
    assert _pruner(knit, staging).prune(older_than=0).gone == ()  # used within the last hour
    assert knit.prune_envs(dry_run=True).gone == ()


def test_a_launch_that_comes_while_an_entry_is_pruned_keeps_it(knit: Knit, staging: Staging, tmp_path: Path) -> None:
    upload = inspect(str(_archive(tmp_path)))
    staging.prepare()
    staging.put([upload])
    before = knit.hdfs.status(upload.remote(staging.folder))
    found: list[Any] = []

    def when_announced(_step: str) -> None:
        staging.reserve(APP, [upload])
        found.append(staging.find([upload], []))

    assert _all(knit, staging, hook=when_announced).gone == ()
    there, missing = found[0]
    assert (there[upload.remote(staging.folder)], missing) == (before, [])
    assert knit.hdfs.status(upload.remote(staging.folder)) == before


def test_a_removal_that_was_called_off_is_not_carried_out(knit: Knit, staging: Staging, tmp_path: Path) -> None:
    """Whatever the pruning saw: it moves the entry into a folder that is gone."""
    upload = inspect(str(_archive(tmp_path)))
    staging.prepare()
    staging.put([upload])

    def when_announced(_step: str) -> None:
        withdraw(knit.hdfs, staging.folder, [upload.sha256])  # and no lease, as if the pruning had looked before

    assert _all(knit, staging, hook=when_announced).gone == ()
    assert staging.find([upload], [])[1] == []
    assert len(_all(knit, staging).gone) == 1
    assert staging.find([upload], []) == ({}, [upload])
    assert knit.hdfs.list(announcements(staging.folder)) == []


def test_a_pruning_that_died_holds_nobody_up(knit: Knit, staging: Staging, tmp_path: Path) -> None:
    upload = inspect(str(_archive(tmp_path)))
    staging.prepare()
    staging.put([upload])
    before = knit.hdfs.status(upload.remote(staging.folder))

    def dies(_step: str) -> None:
        raise RuntimeError("killed here")

    with pytest.raises(RuntimeError):
        _all(knit, staging, hook=dies)
    assert len(knit.hdfs.list(announcements(staging.folder))) == 1
    staging.reserve(APP, [upload])
    assert staging.find([upload], []) == ({upload.remote(staging.folder): before}, [])
    assert knit.hdfs.list(announcements(staging.folder)) == []
    assert _all(knit, staging).gone == ()  # it is in use


@pytest.mark.race
def test_launches_and_prunings_at_once(knit: Knit, staging: Staging, tmp_path: Path) -> None:
    """Whatever their order: once a launch has looked and uploaded, its entry is there and stays."""
    upload = inspect(str(_archive(tmp_path)))
    staging.prepare()
    path = upload.remote(staging.folder)
    stop = threading.Event()
    gone: list[int] = []

    def prunes() -> None:
        while not stop.is_set():
            gone.append(len(_all(knit, staging).gone))

    threads = [threading.Thread(target=prunes) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(12):
            app_id = f"application_1_{number:04d}"
            staging.reserve(app_id, [upload])
            there, missing = staging.find([upload], [])
            mine = there.get(path) or staging.put(missing)[path]
            time.sleep(0.1)
            found = knit.hdfs.status(path)
            assert found is not None and found.modified == mine.modified, number
            for lease in staging.leases.all():
                staging.leases.drop(lease)  # the application has ended
            time.sleep(0.02 * number)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert sum(gone) > 0  # there was something to race with


UPLOADER = """
import sys, time
from knit_core import Knit
from knit_core.hdfs_cache.staging import Staging, inspect
def progress(name, sent, total):
    if sent > total // 2:
        print("half", flush=True)
        time.sleep(3)
knit = Knit(sys.argv[1], user="alice")
staging = Staging(knit.hdfs, sys.argv[2])
staging.prepare()
staging.put([inspect(sys.argv[3])], progress)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_upload_that_is_ended_shows_nothing_and_the_next_one_goes_on(
    how: signal.Signals, knit: Knit, staging: Staging, clean_cluster: LocalCluster, tmp_path: Path
) -> None:
    upload = inspect(str(_archive(tmp_path, bulk=8 << 20)))
    command = [sys.executable, "-c", UPLOADER, clean_cluster.resourcemanager_url, staging.folder, upload.path]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    process.send_signal(how)
    assert process.wait(20) != 0
    process.stdout.close()
    left = knit.hdfs.list(f"{staging.folder}/cache/{upload.sha256}")
    assert [status.name for status in left if not status.name.endswith(".tmp")] == []
    assert staging.find([upload], []) == ({}, [upload])
    assert staging.put([upload])[upload.remote(staging.folder)].size == upload.size
    now = _pruner(knit, staging).prune(older_than=1e9)
    assert now.swept == 0  # it may be an upload under way
    later = _pruner(knit, staging, clock=lambda: time.time() + 2 * 86400).prune(older_than=1e9)
    assert later.swept == len(left)
    names = [status.name for status in knit.hdfs.list(f"{staging.folder}/cache/{upload.sha256}")]
    assert names == ["tiny.tar.gz"]


def test_an_upload_outlives_a_datanode(
    knit: Knit, staging: Staging, clean_cluster: LocalCluster, tmp_path: Path
) -> None:
    upload = inspect(str(_archive(tmp_path, bulk=16 << 20)))
    staging.prepare()
    restarted: list[bool] = []

    def progress(_name: str, sent: int, total: int) -> None:
        if sent > total // 3 and not restarted:
            restarted.append(True)
            clean_cluster.restart(only=["datanode"])

    status = staging.put([upload], progress)[upload.remote(staging.folder)]
    assert restarted
    assert status.size == upload.size
    content = b"".join(knit.hdfs.stream(status.path))
    assert Upload.of("x", content).sha256 == upload.sha256


def test_a_full_quota_is_said_and_leaves_nothing(
    knit: Knit, staging: Staging, clean_cluster: LocalCluster, tmp_path: Path
) -> None:
    staging.prepare()
    upload = inspect(str(_archive(tmp_path, bulk=2 << 20)))
    hdfs = str(clean_cluster.state_dir / "bin" / "hdfs")
    java = clean_cluster.status().java_home
    environ = {**os.environ, "HADOOP_CONF_DIR": str(clean_cluster.conf_dir), "JAVA_HOME": java}
    done = subprocess.run([hdfs, "classpath"], env=environ, capture_output=True, text=True)
    command = [f"{java}/bin/java", "-cp", f"{clean_cluster.conf_dir}:{done.stdout.strip()}"]
    command += ["org.apache.hadoop.hdfs.tools.DFSAdmin", "-setSpaceQuota", "1m", staging.folder]
    ran = subprocess.run(
        command, env={**environ, "HADOOP_USER_NAME": getpass.getuser()}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    with pytest.raises(KnitError, match="quota") as caught:
        staging.put([upload])
    assert not caught.value.transient
    assert staging.folder in str(caught.value)
    assert "larger quota, or delete files" in str(caught.value)
    assert knit.hdfs.list(f"{staging.folder}/cache/{upload.sha256}") == []


def test_a_folder_of_somebody_else_is_said(knit: Knit, clean_cluster: LocalCluster, tmp_path: Path) -> None:
    upload = inspect(str(_archive(tmp_path)))
    with Knit(clean_cluster.resourcemanager_url, user="bob", options={"staging": "/user/alice/of-bob"}) as bob:
        with pytest.raises(StagingError, match=r"/user/alice/of-bob cannot be made on HDFS.*KNIT_STAGING"):
            bob.staging.find([upload], [])


def test_a_staging_folder_that_others_may_write_gets_no_key(knit: Knit, clean_cluster: LocalCluster) -> None:
    folder = f"/tmp/of-mallory-{time.time_ns()}"
    with Knit(clean_cluster.resourcemanager_url, user="mallory") as mallory:
        mallory.hdfs.mkdirs(folder, "777")
        mallory.hdfs.set_permission(folder, "777")
        with Knit(clean_cluster.resourcemanager_url, user="alice", options={"staging": folder}) as alice:
            with pytest.raises(
                StagingError, match=rf"belongs to mallory, not to alice.*hdfs dfs -chown -R alice {folder}"
            ):
                alice.submit("true", memory=128)
        assert mallory.hdfs.list(folder) == []
        mallory.hdfs.delete(folder, recursive=True)
    knit.hdfs.mkdirs(folder, "777")
    knit.hdfs.set_permission(folder, "777")
    with pytest.raises(StagingError, match=rf"has mode 777.*hdfs dfs -chmod 700 {folder}"):
        Staging(knit.hdfs, folder).prepare()
    knit.hdfs.set_permission(folder, "700")
    Staging(knit.hdfs, folder).prepare()
    knit.hdfs.delete(folder, recursive=True)


def test_a_broken_archive_is_said_by_the_container(knit: Knit, tmp_path: Path) -> None:
    archive = _archive(tmp_path, bulk=1 << 20)
    archive.write_bytes(archive.read_bytes()[: 1 << 19])
    with pytest.raises(PreflightError, match="is damaged"):
        knit.submit("python -V", memory=128, env=str(archive))
    knit.hdfs.write("/user/alice/broken.tar.gz", archive.read_bytes())  # what lies there already is not read
    app = knit.submit("python -V", memory=128, env="hdfs:///user/alice/broken.tar.gz")
    with pytest.raises(ApplicationFailed, match="could not be unpacked"):
        app.wait(timeout=60)


@pytest.mark.slow
def test_an_environment_of_another_platform_is_said_by_the_container(knit: Knit, tmp_path: Path) -> None:
    wrong = Environment.from_archive(_archive(tmp_path), platform="linux-ppc64le")
    app = knit.submit("python -V", memory=128, env=wrong)
    with pytest.raises(ApplicationFailed, match="is for ppc64le processors and the node"):
        app.wait(timeout=60)


@pytest.fixture
def shared(clean_cluster: LocalCluster) -> Iterator[str]:
    """A shared folder as an administrator makes it."""
    with Knit(clean_cluster.resourcemanager_url, user=getpass.getuser()) as admin:
        root = f"/shared-{time.time_ns()}/knit"
        admin.hdfs.mkdirs(root, "755")
        admin.hdfs.set_permission(root.rpartition("/")[0], "755")
        admin.hdfs.set_permission(root, "1777")
        yield root
        admin.hdfs.delete(root.rpartition("/")[0], recursive=True)


def test_one_user_uploads_and_who_trusts_him_uses_it(clean_cluster: LocalCluster, shared: str, tmp_path: Path) -> None:
    environment = Environment.from_archive(_archive(tmp_path))

    def client(user: str, **options: str) -> Knit:
        return Knit(clean_cluster.resourcemanager_url, user=user, options={"shared_cache": shared, **options})

    with client("alice") as alice, client("bob", shared_trust="carol, alice") as bob, client("bob") as wary:
        first = alice.push_env(environment)
        assert first.url.endswith(f"{shared}/alice/cache/{environment.sha256}/tiny.tar.gz")
        second = bob.push_env(environment)
        assert (second.url, second.uploaded) == (first.url, 0)
        app = bob.submit("python -c 'print(6 * 7)'; readlink -f environment; sleep 60", memory=128, env=environment)
        lines = app.logs(follow=True)
        assert next(iter(lines)).text == "42"
        place = next(iter(lines)).text
        assert "/filecache/" in place and "/usercache/" not in place  # localised for all users
        leases = Leases(alice.hdfs, f"{shared}/leases")

        def forget_pushes() -> None:
            for user in (alice, bob):
                for lease in leases.all():
                    if lease.app_id == PUSHED and lease.owner == user.config.user:
                        Leases(user.hdfs, f"{shared}/leases").drop(lease)

        forget_pushes()
        pruner = HdfsPruner(alice.hdfs, alice.resourcemanager, f"{shared}/alice/cache", leases)
        assert pruner.prune(older_than=0, youngest=0).gone == ()  # bob's application uses it
        app.kill("seen")
        with pytest.raises(KnitError, match="Permission denied"):
            bob.hdfs.delete(f"{shared}/alice/cache/{environment.sha256}", recursive=True)
        own = wary.push_env(environment)  # trusts nobody
        assert (own.url, own.uploaded) == (first.url.replace("/alice/", "/bob/"), environment.size)
        eventually(lambda: app.report().ended, 30, "the application to end")
        assert pruner.prune(older_than=0, youngest=0).gone == ()  # bob has pushed it just now
        forget_pushes()

        def bob_comes(_step: str) -> None:
            withdraw(bob.hdfs, f"{shared}/alice", [environment.sha256])  # what alice has announced

        called_off = HdfsPruner(alice.hdfs, alice.resourcemanager, f"{shared}/alice/cache", leases, hook=bob_comes)
        assert called_off.prune(older_than=0, youngest=0).gone == ()
        moved = f"{shared}/alice/pruning/{environment.sha256}.0123"  # an entry that is gone already holds nobody up
        alice.hdfs.mkdirs(f"{moved}/{environment.sha256}", "755")
        alice.hdfs.set_permission(moved, "755")
        withdraw(bob.hdfs, f"{shared}/alice", [environment.sha256])
        alice.hdfs.delete(moved, recursive=True)
        # named by its URL it is held as well, whatever the settings of who launches
        path = first.url.partition("hdfs://")[2]
        with client("bob", shared_cache="") as elsewhere:
            for number, other in enumerate((bob, elsewhere)):
                other.staging.reserve(f"application_1_{number:04d}", [], [path[path.index("/") :]])
                held = [lease for lease in leases.all() if lease.app_id == f"application_1_{number:04d}"]
                assert [lease.digest for lease in held] == [environment.sha256]
                assert pruner.prune(older_than=0, youngest=0).gone == ()
                Leases(bob.hdfs, f"{shared}/leases").drop(held[0])
        assert len(pruner.prune(older_than=0, youngest=0).gone) == 1


def test_a_shared_folder_that_does_not_serve_is_said(clean_cluster: LocalCluster, shared: str, tmp_path: Path) -> None:
    environment = Environment.from_archive(_archive(tmp_path))
    with Knit(clean_cluster.resourcemanager_url, user=getpass.getuser()) as admin:
        admin.hdfs.set_permission(shared.rpartition("/")[0], "750")
        with Knit(clean_cluster.resourcemanager_url, user="alice", options={"shared_cache": shared}) as alice:
            with pytest.raises(KnitError, match=r"shared-\d+"):
                alice.push_env(environment)
        with Knit(admin.resourcemanager.address, user=admin.config.user, options={"shared_cache": shared}) as mine:
            with pytest.raises(StagingError, match=r"has mode 750.*chmod o\+x /shared-\d+"):
                mine.push_env(environment)
        with Knit(clean_cluster.resourcemanager_url, user="alice", options={"shared_cache": "/nowhere"}) as alice:
            with pytest.raises(StagingError, match=r"/nowhere does not exist on HDFS.*chmod 1777"):
                alice.push_env(environment)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("size", [(2 << 30) + 12345, (4 << 30) + 12345])
def test_archives_over_two_and_four_gigabytes(size: int, knit: Knit, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "bin").mkdir(parents=True)
    (source / "bin" / "python").write_text('#!/bin/sh\nexec python3 "$@"\n')
    (source / "bin" / "python").chmod(0o755)
    block, left = os.urandom(64 << 20), size
    with (source / "huge").open("wb") as file:
        while left:
            left -= file.write(block[:left])
    subprocess.run(["tar", "-cf", str(tmp_path / "huge.tar"), "-C", str(source), "bin", "huge"], check=True)
    (source / "huge").unlink()
    code = "import os; print(os.path.getsize('environment/huge'))"
    app = knit.submit(["python", "-c", code], memory=256, env=str(tmp_path / "huge.tar"))
    app.wait(timeout=600)
    assert [line.text for line in app.logs()] == [str(size)]
    knit.hdfs.delete(inspect(str(tmp_path / "huge.tar")).remote(knit.staging.folder))
