"""Short user names of Kerberos principals, by the rules of `hadoop.security.auth_to_local`. Pure.

The grammar and the order of the steps are those of org.apache.hadoop.security.authentication.util.KerberosName.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from knit_core.errors import ConfigError
from knit_core.model.representation import shown

_RULE = re.compile(
    r"\s*(?:(?P<default>DEFAULT)|RULE:\[(?P<parts>\d+):(?P<format>[^\]]*)\](?:\((?P<match>[^)]*)\))?"
    r"(?:s/(?P<old>[^/]*)/(?P<new>[^/]*)/(?P<all>g)?)?)/?(?P<lower>L)?"
)
_PRINCIPAL = re.compile(r"(?P<service>[^/@]+)(?:/(?P<host>[^/@]+))?(?:@(?P<realm>[^/@]+))?")
_NAMED = re.compile(r"\$(\d)")


@shown
@dataclass(frozen=True)
class Rule:
    """One rule; without a format it is DEFAULT, which takes the first part of the principal."""

    parts: int = 0
    format: str = ""
    match: str | None = None
    old: str | None = None
    new: str = ""
    everywhere: bool = False
    lower: bool = False

    def apply(self, parts: list[str]) -> str | None:
        """The short name; None when the rule is for other principals.

        Args:
            parts: realm, then the parts before it.
        """
        if not self.format:
            name = parts[1]
        else:
            if self.parts != len(parts) - 1:
                return None
            name = _NAMED.sub(lambda found: parts[int(found[1])] if int(found[1]) < len(parts) else "", self.format)
            if self.match is not None and not re.fullmatch(self.match, name):
                return None
            if self.old is not None:
                name = re.sub(self.old, _NAMED.sub(r"\\\1", self.new), name, count=0 if self.everywhere else 1)
        return name.lower() if self.lower else name


def parse_rules(text: str) -> list[Rule]:
    """The rules of `hadoop.security.auth_to_local`, in their order.

    Raises:
        ConfigError: the text is not a list of rules.
    """
    rules, at = [], 0
    text = text.strip()
    while at < len(text):
        found = _RULE.match(text, at)
        if found is None:
            raise ConfigError(f"hadoop.security.auth_to_local has no rule at {text[at : at + 60].strip()!r}")
        at = found.end()
        lower = bool(found["lower"])
        if found["default"]:
            rules.append(Rule(lower=lower))
            continue
        rules.append(
            Rule(int(found["parts"]), found["format"], found["match"], found["old"], found["new"] or "",
                 bool(found["all"]), lower)
        )  # fmt: skip
    return rules


def short_name(principal: str, rules: str = "") -> str:
    """The user name that Hadoop's services derive from a principal.

    Args:
        principal: `alice@EXAMPLE.ORG`, `etl/host@EXAMPLE.ORG`.
        rules: `hadoop.security.auth_to_local`; empty: DEFAULT. A rule that Python cannot evaluate counts as not there.

    Raises:
        ConfigError: the rules cannot be parsed.
    """
    found = _PRINCIPAL.fullmatch(principal)
    if found is None:
        return principal
    parts = [found["realm"] or "", found["service"], *([found["host"]] if found["host"] else [])]
    for rule in parse_rules(rules) if rules.strip() else [Rule()]:
        try:
            name = rule.apply(parts)
        except re.error:
            continue
        if name:
            return name
    return parts[1]


__all__ = ["Rule", "parse_rules", "short_name"]
