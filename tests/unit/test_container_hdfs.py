"""What a container takes for a refusal of HDFS, and what for a fault that passes."""

from __future__ import annotations

import json

import pytest

from knit_container import hdfs


def exception(name: str) -> bytes:
    return json.dumps({"RemoteException": {"exception": name, "message": "no\nat x"}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "passing"),
    [
        (403, exception("AccessControlException"), False),
        (500, exception("AccessControlException"), False),  # HttpFS
        (403, exception("StandbyException"), True),
        (503, b"", True),
        (404, b"", True),  # a reply that broke off within its head
        (404, exception("FileNotFoundException"), False),
        (401, b"", False),
        (400, b"<html>not WebHDFS</html>", False),
    ],
)
def test_refusals_and_passing_faults(status: int, body: bytes, passing: bool) -> None:
    assert isinstance(hdfs._fault(status, body), OSError if passing else hdfs.HdfsFault)
