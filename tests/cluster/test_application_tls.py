"""`yarn.resourcemanager.application-https.policy`: the ResourceManager's proxy speaks TLS with ApplicationMasters only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from knit_core import Knit
from knit_core.hadoop.http import DirectTransport
from knit_core.local import LocalCluster
from tests.cluster_harness import client_of, own_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
SMALL = {"memory": 128, "vcores": 1}


@pytest.fixture(scope="module")
def strict() -> Iterator[LocalCluster]:
    with own_cluster(
        "application-tls", {"yarn.resourcemanager.application-https.policy": "STRICT"}, nodes=1
    ) as cluster:
        yield cluster


@pytest.fixture
def alice(strict: LocalCluster) -> Iterator[Knit]:
    with client_of(strict) as knit:
        yield knit


def test_the_page_and_all_calls_come_through_the_proxy(alice: Knit, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_given: object, **_more: object) -> None:
        raise requests.ConnectTimeout

    monkeypatch.setattr(DirectTransport, "send", unreachable)
    app = alice.submit("sleep 600", **SMALL)
    try:
        app.wait_until_ready(timeout=120)
        page = requests.get(app.report().tracking_url, params={"user.name": "alice"}, timeout=30)
        assert page.status_code == 200
        assert "<title>" in page.text and "knit.js" in page.text
        app.progress(0.5)
        app.shutdown()
        app.wait(timeout=120)
    finally:
        app.kill()
    assert alice.map(lambda x: x * x, range(4), workers=1, timeout=120, **SMALL) == [0, 1, 4, 9]


def test_containers_get_neither_the_key_nor_its_password(alice: Knit) -> None:
    app = alice.submit("! env | grep STORE; ! ls -a | grep -i store", **SMALL)
    assert app.wait(timeout=120).exit_code == 0
