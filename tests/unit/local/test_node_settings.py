"""The embedded cluster's configuration: properties for all, and for one NodeManager alone."""

from __future__ import annotations

from pathlib import Path

from knit_core.local import configuration_files, ports
from knit_core.local.configuration_files import Setup

COMPRESSION = "yarn.nodemanager.log-aggregation.compression-type"


def test_a_property_can_be_one_nodemanagers_alone(tmp_path: Path) -> None:
    chosen = ports.choose(3, {}, prefer_well_known=False)
    settings = {COMPRESSION: "gz", f"nodemanager-2:{COMPRESSION}": "none", f"nodemanager:{COMPRESSION}": "lzo"}
    setup = Setup(tmp_path, tmp_path, chosen, "me", nodes=3, settings=settings)
    files = configuration_files.configuration(setup)
    assert f"<name>{COMPRESSION}</name><value>gz</value>" in files["yarn-site.xml"]
    assert not [name for name, text in files.items() if "nodemanager-2:" in text or "nodemanager:" in text]
    own = [configuration_files.node_properties(setup, node).get(COMPRESSION) for node in (1, 2, 3)]
    assert own == ["lzo", "none", None]
