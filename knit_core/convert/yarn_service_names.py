"""The constants of YARN's service framework: `${SERVICE_NAME}`, `${COMPONENT_INSTANCE_NAME}` and others."""

from __future__ import annotations

import re
from collections.abc import Mapping

from knit_core.convert.fields import Fields
from knit_core.convert.shell import placeholders

_UNKNOWN = {
    "DOMAIN": "containers have no names in DNS: let each put its address into the key-value store (knit_container.kv)",
    "CLUSTER_FS_URI": "write the address of the file system",
    "CLUSTER_FS_HOST": "write the address of the file system",
    "CLUSTER_ZK_QUORUM": "write the addresses of ZooKeeper",
    "SERVICE_ZK_PATH": "write the path in ZooKeeper",
    "SERVICE_HDFS_DIR": "write a folder on HDFS",
}
_OF_AN_INSTANCE = re.compile(r"[A-Z0-9-]+-[0-9]+_(HOST|IP)")


class Names:
    """What the constants stand for in one component.

    Args:
        application: the service's name.
        component: the component's name.
        services: the names of all components, and their names here.
    """

    def __init__(self, application: str, component: str, services: Mapping[str, str]) -> None:
        self.component = component
        self.service = services[component]
        self.all = services
        self.static = {"SERVICE_NAME": application, "COMPONENT_NAME": component}
        self.dynamic = {
            "COMPONENT_INSTANCE_NAME": f"{self.service}-$KNIT_INSTANCE",
            "COMPONENT_ID": "$KNIT_INSTANCE",
            "CONTAINER_ID": "$CONTAINER_ID",
            "USER": "$USER",
            "THIS_HOST": "$(uname -n)",
        }

    def fixed(self, text: str, fields: Fields, key: str) -> str:
        """`text` with the constants that are known now. Constants without an equivalent are a reason to refuse."""
        for name in placeholders(text):
            if name in _UNKNOWN:
                fields.wrong(key, f"${{{name}}} has no equivalent: {_UNKNOWN[name]}")
            elif _OF_AN_INSTANCE.fullmatch(name.upper()):
                fields.wrong(key, f"${{{name}}} is only known when it runs: {_UNKNOWN['DOMAIN']}")
        for name, value in self.static.items():
            text = text.replace(f"${{{name}}}", value)
        return text

    def in_command(self, command: str, fields: Fields, key: str) -> tuple[str, list[str]]:
        """The command, and the constants that are to be variables for bash."""
        command = self.fixed(command, fields, key)
        used = [name for name in dict.fromkeys(placeholders(command)) if name in self.dynamic]
        if _in_single_quotes(command, used):
            fields.lose(key, "a constant in single quotes is literal here: use double quotes")
        return command, [name for name in used if name not in {"USER", "CONTAINER_ID"}]


def _in_single_quotes(command: str, names: list[str]) -> bool:
    quoted = re.findall(r"\"(?:\\.|[^\"\\])*\"|'([^']*)'", command)
    return any(f"${{{name}}}" in part for part in quoted for name in names)


__all__ = ["Names"]
