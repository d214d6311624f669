"""What a container takes for a refusal of HDFS, and what for a fault that passes."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from knit_container import hdfs
from knit_container.credentials import Token
from tests.unit.test_credentials import FILE, TWO


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


def test_a_container_with_a_token_sends_it_instead_of_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    location = tmp_path / "container_tokens"
    monkeypatch.setenv("HADOOP_TOKEN_FILE_LOCATION", str(location))
    monkeypatch.setenv("HADOOP_USER_NAME", "alice")
    location.write_bytes(FILE)
    sent = Token.decode(hdfs.identity()["delegation"])
    assert sent.kind == "WEBHDFS delegation"
    location.write_bytes(b"HDTS\0\0\0")  # simple authentication
    assert hdfs.identity() == {"user.name": "alice"}
    location.write_bytes(base64.b64decode("SERUUw=="))
    with pytest.raises(hdfs.HdfsFault, match=r"the tokens of this container cannot be read from .*container_tokens"):
        hdfs.identity()
    location.write_bytes(b"HDTS\0\1\3two" + base64.b64decode(TWO + "=" * (-len(TWO) % 4), altchars=b"-_") + b"\0")
    assert hdfs.identity() == {"delegation": TWO}
