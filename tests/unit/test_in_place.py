"""Files that lie on HDFS already: which addresses mean the cluster's own filesystem."""

from __future__ import annotations

import pytest

from knit_core.hdfs_cache.staging import gather
from knit_core.spec import application_spec


@pytest.mark.parametrize(
    ("filesystem", "good", "bad"),
    [
        (
            "hdfs://nn:8020",
            ["hdfs://nn/x", "hdfs://NN:8020/x", "hdfs:///x", "HDFS://nn/x"],
            ["hdfs://nn:9000/x", "hdfs://other/x", "s3a://nn/x", "hdfs://nn:port/x", "hdfs://nn.example.org/x"],
        ),
        ("hdfs://NN", ["hdfs://nn:8020/x", "hdfs://nn/x"], ["hdfs://nn:8021/x"]),
        ("hdfs://nameservice1", ["hdfs://nameservice1/x", "hdfs:///x"], ["hdfs://nameservice2/x"]),
        ("hdfs://[::1]:8020", ["hdfs://[::1]/x"], ["hdfs://[::2]/x"]),
    ],
)
def test_what_is_one_filesystem(filesystem: str, good: list[str], bad: list[str]) -> None:
    for url in good:
        assert gather(application_spec("x", files=[url]), filesystem) == ({}, []), url
        assert gather(application_spec("x", env=f"{url}.zip"), filesystem) == ({}, []), url
    for url in bad:
        _, problems = gather(application_spec("x", files=[url]), filesystem)
        assert problems == [f"{url} is not on the cluster's filesystem {filesystem}"]
