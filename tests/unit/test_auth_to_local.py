"""Short names of principals, by examples from Hadoop's documentation and its TestKerberosName."""

from __future__ import annotations

import pytest

from knit_core.config.auth_to_local import short_name
from knit_core.errors import ConfigError

# of TestKerberosName
RULES = r"""
RULE:[1:$1@$0](.*@YAHOO\.COM)s/@.*//
RULE:[2:$1](johndoe)s/^.*$/guest/
RULE:[2:$1;$2](^.*;admin$)s/;admin$//
RULE:[2:$2](root)
DEFAULT
"""


@pytest.mark.parametrize(
    ("principal", "rules", "name"),
    [
        ("alice@EXAMPLE.ORG", "", "alice"),
        ("etl/host.example.org@EXAMPLE.ORG", "DEFAULT", "etl"),
        ("alice", "", "alice"),
        ("omalley@APACHE.ORG", RULES, "omalley"),
        ("hdfs/10.0.0.1@APACHE.ORG", RULES, "hdfs"),
        ("oom@YAHOO.COM", RULES, "oom"),
        ("johndoe/zoo@FOO.COM", RULES, "guest"),
        ("joe/admin@FOO.COM", RULES, "joe"),
        ("joe/root@FOO.COM", RULES, "root"),
        ("Joe@FOO.COM", "RULE:[1:$1@$0](.*@FOO.COM)s/@.*///L", "joe"),
        ("Joe@FOO.COM", "RULE:[1:$1]/L", "joe"),
        ("JOE@FOO.COM", "DEFAULT/L", "joe"),
        ("a.b.c@FOO.COM", r"RULE:[1:$1](.*)s/\./_/g", "a_b_c"),
        ("a.b.c@FOO.COM", r"RULE:[1:$1](.*)s/\./_/", "a_b.c"),
        ("svc-etl@CORP", r"RULE:[1:$1](svc-.*)s/^svc-(.*)$/app_$1/ DEFAULT", "app_etl"),
        ("alice@A", "RULE:[2:$1](.*)", "alice"),
    ],
)
def test_a_principal_has_the_name_that_the_services_use(principal: str, rules: str, name: str) -> None:
    assert short_name(principal, rules) == name


def test_what_is_no_list_of_rules() -> None:
    with pytest.raises(ConfigError, match=r"hadoop.security.auth_to_local has no rule at 'RULE:\[1\]'"):
        short_name("alice@A", "DEFAULT RULE:[1]")
