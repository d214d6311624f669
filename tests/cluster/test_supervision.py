"""Who watches the ApplicationMaster: what cannot go on in it ends its attempt, with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from knit_core import Knit
from knit_core.errors import ApplicationFailed
from knit_core.local import LocalCluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]
SMALL = {"memory": 128, "vcores": 1}


def empty_class(name: str) -> bytes:
    """The class file of an abstract class of this name (with slashes) that has no members."""
    pool = b"".join(
        [
            b"\x07\x00\x02",
            b"\x01" + len(name).to_bytes(2, "big") + name.encode(),
            b"\x07\x00\x04",
            b"\x01\x00\x10java/lang/Object",
        ]
    )
    return b"\xca\xfe\xba\xbe\0\0\0\x34\0\x05" + pool + b"\x04\x21\0\x01\0\x03" + b"\0\0" * 4


def test_an_error_in_the_heartbeat_fails_the_application(clean_cluster: LocalCluster, tmp_path: Path) -> None:
    """As on a version of Hadoop that lacks a method: each attempt ends, and the application does."""
    tmp_path.chmod(0o755)
    name = "org/apache/hadoop/yarn/api/protocolrecords/AllocateResponse"
    lacking = tmp_path / f"{name}.class"
    lacking.parent.mkdir(parents=True)
    lacking.write_bytes(empty_class(name))
    options = {"java": f"java -Xbootclasspath/a:{tmp_path}"}
    with Knit(clean_cluster.resourcemanager_url, user="alice", options=options) as knit:
        app = knit.submit("sleep 300", **SMALL)
        with pytest.raises(ApplicationFailed, match="the thread knit-resourcemanager died: NoSuchMethodError"):
            app.wait(timeout=120)
        why = app.why()
        assert why.text.startswith("Failed: its ApplicationMaster ended: the thread knit-resourcemanager died: NoSuch")
        assert app.report().attempt == 2
