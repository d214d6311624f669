"""`knit doctor` on a real cluster: whom the servers take us for."""

from __future__ import annotations

import pytest

from knit_core import Knit
from knit_core.errors import ConfigError
from knit_core.local import LocalCluster

pytestmark = pytest.mark.cluster


def test_a_password_at_what_is_no_gateway_is_found(cluster: LocalCluster) -> None:
    """Hadoop without a gateway takes no notice of it, and everybody for `dr.who`: nothing is sent to the NameNode."""
    options = {"auth": "basic", "password": "hush"}
    with Knit(cluster.resourcemanager_url, user="alice", options=options) as knit:
        with pytest.raises(ConfigError, match=r"auth is basic .* for a gateway such as Knox, and .* is none") as caught:
            knit.check()
    assert "hush" not in str(caught.value)


def test_who_is_believed_is_told(cluster: LocalCluster) -> None:
    with Knit(cluster.resourcemanager_url, user="alice") as knit:
        assert knit.check()[-1].partition(", home ")[2].startswith("/user/alice ")
