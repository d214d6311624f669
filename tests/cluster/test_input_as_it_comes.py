"""Input as people have it, on real daemons: variables, progress bars, archives, addresses, queues."""

from __future__ import annotations

import io
import os
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from knit_core import Knit, Outcome
from knit_core.errors import QueueRefused
from knit_core.local import LocalCluster
from tests.cluster_harness import kill_application, living_applications

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]
SMALL = {"memory": 128, "vcores": 1}
PROGRAM = """\
import os, sys
import knit_container as me
import ours
print(ours.name, os.environ["PATH"].split(":")[0], os.environ["LD_LIBRARY_PATH"], flush=True)
for number in range(3):
    sys.stderr.write(f"\\r{number}|" + "#" * number)
    sys.stderr.flush()
    me.kv.wait(f"go-{number}", timeout=100)
sys.stderr.write("\\r3|### done\\n")
"""


def test_variables_that_refer_to_themselves_and_a_bar_that_is_being_drawn(knit: Knit, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "ours.py").write_text("name = 'found'\n")
    folder = f"{knit.hdfs.home()}/in place"
    remote = f"{folder}/ours.py"
    knit.hdfs.mkdirs(folder)
    knit.hdfs.delete(remote)
    knit.hdfs.write(remote, b"raise SystemExit('the wrong one')\n")
    app = knit.submit(
        "python3 program.py",
        files={
            "program.py": str(tmp_path / "program.py"),
            "ours.py": str(tmp_path / "ours.py"),
            "unused.py": knit.config.filesystem.value.upper().replace("HDFS", "hdfs") + remote,
        },
        variables={"PYTHONPATH": ".", "PATH": "/opt/x:$PATH", "LD_LIBRARY_PATH": "/y:${LD_LIBRARY_PATH}"},
        **SMALL,
    )
    seen: list[str] = []
    for line in app.logs(follow=True):
        if line.stream == "stderr":
            seen.append(line.text + "\n" * line.ended)
            if not line.ended:  # it comes while the program waits, so the next drawing is let go on by this one
                app.kv[f"go-{line.shown[0]}"] = "go"
        elif line.stream == "stdout":
            assert line.text.startswith("found /opt/x /y:")
    assert app.wait(timeout=60).outcome is Outcome.SUCCEEDED
    assert "".join(seen) == "\r0|\r1|#\r2|##\r3|### done\n"
    assert [line.shown for line in app.logs(streams=["stderr"])] == ["3|### done"]
    knit.hdfs.delete(folder, recursive=True)


def test_an_archive_whose_python_is_the_nodes(knit: Knit, tmp_path: Path) -> None:
    """As venv-pack makes it."""
    path = tmp_path / "venv.tar.gz"
    base = os.path.realpath(sys.executable)
    with tarfile.open(path, "w:gz") as archive:
        for name, target in (("bin/python3", base), ("bin/python", "python3")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
        config = f"home = {Path(base).parent}\ninclude-system-site-packages = false\n".encode()
        module = b"answer = 42\n"
        library = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages/packed.py"
        for name, data in (("pyvenv.cfg", config), (library, module)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    app = knit.submit('python -c "import packed; print(packed.answer)"', env=str(path), **SMALL)
    assert app.wait(timeout=90).outcome is Outcome.SUCCEEDED
    assert [line.text for line in app.logs(streams=["stdout"])] == ["42"]


ALLOCATIONS = """\
<allocations>
  <queue name="prod"><queue name="etl"/></queue>
  <queue name="users" type="parent"/>
  <queuePlacementPolicy>
    <rule name="specified" create="true"/>
    <rule name="default" queue="users.others"/>
  </queuePlacementPolicy>
</allocations>
"""


@pytest.fixture(scope="module")
def fair() -> Iterator[LocalCluster]:
    """A cluster with the Fair Scheduler, which makes queues when they are named, and without a queue `default`."""
    with tempfile.TemporaryDirectory(prefix="knit-fair-") as folder:
        allocations = Path(folder) / "fair-scheduler.xml"
        allocations.write_text(ALLOCATIONS)
        cluster = LocalCluster(Path(folder) / "state")
        package = "org.apache.hadoop.yarn.server.resourcemanager.scheduler.fair"
        try:
            cluster.up(
                nodes=1,
                settings={
                    "yarn.resourcemanager.scheduler.class": f"{package}.FairScheduler",
                    "yarn.scheduler.fair.allocation.file": str(allocations),
                },
            )
            cluster.add_user("alice")
            yield cluster
            left = living_applications(cluster)
            for app_id in left:
                kill_application(cluster, app_id)
            assert not left
        finally:
            cluster.down(delete=True)


@pytest.mark.slow
def test_queues_of_the_fair_scheduler(fair: LocalCluster) -> None:
    with Knit(fair.resourcemanager_url, user="alice") as knit:
        queues = {queue.path: queue.makes for queue in knit.resourcemanager.queues()}
        assert queues == {"root": True, "root.prod": True, "root.prod.etl": False, "root.users": True}
        told: list[str] = []
        for queue, place in (
            (None, "root.users.others"),
            ("users.bob", "root.users.bob"),
            ("prod.etl", "root.prod.etl"),
        ):
            app = knit.submit("true", queue=queue, progress=told.append, **SMALL)
            assert app.report().queue == place
            assert app.wait(timeout=90).outcome is Outcome.SUCCEEDED
        assert not any("no queue was named" in line for line in told)  # what the rules do is not known, and usual
        assert sum("there is no queue 'users.bob'" in line for line in told) == 1
        with pytest.raises(QueueRefused, match=r"only contains other queues; .*use root\.users\.<name>"):
            knit.submit("true", queue="root.users", **SMALL)
