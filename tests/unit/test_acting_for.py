"""Acting for another user: whose name requests carry, whose things they are, and what a refusal says."""

from __future__ import annotations

import pytest

from knit_core import Knit
from knit_core.errors import ConfigError
from knit_core.hadoop.http import ActingFor, BasicAuth, SimpleAuth, impersonation_hint


def test_the_login_is_sent_with_the_user_for_whom_it_acts() -> None:
    assert ActingFor(SimpleAuth("etl"), "alice").parameters() == {"user.name": "etl", "doas": "alice"}
    assert ActingFor(BasicAuth("etl", "hush", frozenset()), "alice").parameters() == {"doas": "alice"}
    assert "hush" not in repr(ActingFor(BasicAuth("etl", "hush", frozenset()), "alice"))


def test_what_is_made_belongs_to_the_user_for_whom_it_is_made() -> None:
    with Knit("rm", user="etl", options={"proxy_user": "alice", "namenode": "nn"}) as knit:
        knit.config.fetch_home = None
        assert (knit.config.user, knit.config.login_user) == ("alice", "etl")
        assert knit.config.staging == "/user/alice/.knit"
        auth = knit.resourcemanager.http.endpoint.auth
        assert (auth.user, auth.parameters()) == ("alice", {"user.name": "etl", "doas": "alice"})
        assert "alice" in repr(knit)


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'a;b' \(argument proxy_user\) is not a user name"):
        Knit("rm", options={"proxy_user": "a;b"})


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "User: etl/host@EXAMPLE.ORG is not allowed to impersonate alice",
            "alice in hadoop.proxyuser.etl.users, or a group in hadoop.proxyuser.etl.groups, and this host in "
            "hadoop.proxyuser.etl.hosts",
        ),
        (
            "Unauthorized connection for super-user: etl from IP 10.0.0.7",
            "must add 10.0.0.7 to hadoop.proxyuser.etl.hosts",
        ),
        ("Permission denied: user=bob, access=WRITE", ""),
    ],
)
def test_a_refusal_says_what_is_missing(message: str, said: str) -> None:
    hint = impersonation_hint(message)
    assert (said in hint) if said else hint == ""
