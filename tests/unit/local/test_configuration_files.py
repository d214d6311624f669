"""The generated Hadoop configuration."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from knit_core.local import ports
from knit_core.local.configuration_files import (
    Setup,
    configuration,
    file_of,
    hosts_file,
    node_properties,
    scripts,
    to_xml,
)


def setup(**changes: object) -> Setup:
    chosen = ports.choose(2, {}, free=lambda address, port: True)
    values: dict = {"state": Path("/s"), "jars": Path("/j/lib"), "ports": chosen, "user": "me", "nodes": 2, **changes}
    return Setup(**values)


def properties(text: str) -> dict[str, str]:
    root = ElementTree.fromstring(text)
    return {item.findtext("name", ""): item.findtext("value", "") for item in root.iter("property")}


def test_every_address_is_loopback_and_has_a_port_of_its_own():
    conf = setup()
    values = [value for name, text in configuration(conf).items() if name.endswith("-site.xml")
              for key, value in properties(text).items() if key.endswith("address")]  # fmt: skip
    assert len(values) >= 10
    assert all(value.startswith("127.0.0.1:") for value in values)
    own = [value for node in (1, 2) for key, value in node_properties(conf, node).items() if key.endswith("address")]
    assert [value.split(":")[0] for value in own] == ["127.0.0.1"] * 3 + ["127.0.0.2"] * 3
    used = [value.split(":")[1] for value in {*values, *own}]
    assert len(set(used)) == len(used)


def test_settings_beat_what_is_generated_and_land_in_the_file_they_belong_to():
    conf = setup(
        settings={
            "dfs.replication": "3",
            "yarn.nm.liveness-monitor.expiry-interval-ms": "5000",
            "yarn.scheduler.capacity.root.default.maximum-capacity": "40",
            "hadoop.x": "<&>",
        }
    )
    files = configuration(conf)
    assert properties(files["hdfs-site.xml"])["dfs.replication"] == "3"
    assert properties(files["yarn-site.xml"])["yarn.nm.liveness-monitor.expiry-interval-ms"] == "5000"
    assert properties(files["capacity-scheduler.xml"])["yarn.scheduler.capacity.root.default.maximum-capacity"] == "40"
    assert properties(files["core-site.xml"])["hadoop.x"] == "<&>"


@pytest.mark.parametrize("queues", [("default",), ("default", "science"), ("a", "b", "c"), tuple("abcdefg")])
def test_queues_share_the_whole(queues: tuple[str, ...]):
    site = properties(configuration(setup(queues=queues))["capacity-scheduler.xml"])
    shares = [float(site[f"yarn.scheduler.capacity.root.{queue}.capacity"]) for queue in queues]
    assert sum(shares) == pytest.approx(100, abs=0.001)
    assert max(shares) - min(shares) < 0.01
    assert site["yarn.scheduler.capacity.root.queues"] == ",".join(queues)


def test_the_fair_scheduler_with_its_queues():
    files = configuration(setup(scheduler="fair", queues=("default", "reports")))
    site = properties(files["yarn-site.xml"])
    scheduler = "org.apache.hadoop.yarn.server.resourcemanager.scheduler.fair.FairScheduler"
    assert site["yarn.resourcemanager.scheduler.class"] == scheduler
    assert site["yarn.scheduler.fair.allocation.file"] == "/s/conf/fair-scheduler.xml"
    assert site["yarn.scheduler.increment-allocation-mb"] == site["yarn.scheduler.minimum-allocation-mb"]
    allocations = ElementTree.fromstring(files["fair-scheduler.xml"])
    assert [queue.get("name") for queue in allocations.findall("queue")] == ["reports", "teams"]
    (teams,) = allocations.findall("queue[@name='teams']")
    assert (teams.get("type"), [queue.get("name") for queue in teams]) == ("parent", ["science"])
    rules = [(rule.get("name"), rule.get("create")) for rule in allocations.iter("rule")]
    assert rules == [("specified", "true"), ("default", "true")]  # queues that are not declared are created
    assert properties(files["capacity-scheduler.xml"]) == {}


def test_the_capacity_scheduler_is_the_default():
    files = configuration(setup())
    site = properties(files["yarn-site.xml"])
    assert site["yarn.resourcemanager.scheduler.class"].endswith(".capacity.CapacityScheduler")
    assert "yarn.scheduler.fair.allocation.file" not in site
    assert "yarn.scheduler.increment-allocation-mb" not in site
    assert "fair-scheduler.xml" not in files


def test_recovery_is_off_unless_asked_for():
    key = "yarn.resourcemanager.recovery.enabled"
    assert key not in properties(configuration(setup())["yarn-site.xml"])
    site = properties(configuration(setup(recovery=True))["yarn-site.xml"])
    assert site[key] == "true"
    assert site["yarn.resourcemanager.fs.state-store.uri"] == "file:///s/resourcemanager"


def test_containers_get_the_configuration_and_the_jars():
    site = properties(configuration(setup())["yarn-site.xml"])
    assert site["yarn.application.classpath"] == "/s/conf,/j/lib/*"


def test_file_of():
    assert file_of("fs.defaultFS") == "core-site.xml"
    assert file_of("dfs.blocksize") == "hdfs-site.xml"
    assert file_of("yarn.scheduler.minimum-allocation-mb") == "yarn-site.xml"
    assert file_of("yarn.scheduler.capacity.root.queues") == "capacity-scheduler.xml"


def test_xml_is_escaped():
    assert properties(to_xml({"a<b": 'x & "y" <z>'})) == {"a<b": 'x & "y" <z>'}


def test_hosts_give_the_second_node_its_own_name():
    assert hosts_file(setup(), "box").splitlines() == ["127.0.0.1 localhost", "127.0.0.1 box", "127.0.0.2 127.0.0.2"]


def test_scripts_answer_classpath(tmp_path: Path):
    import subprocess

    for name, text in scripts(setup(), Path("/java")).items():
        path = tmp_path / name
        path.write_text(text)
        done = subprocess.run(["/bin/sh", str(path), "classpath"], capture_output=True, text=True, check=True)
        assert done.stdout == "/s/conf:/j/lib/*\n"
        wrong = subprocess.run(["/bin/sh", str(path), "nonsense"], capture_output=True, text=True, check=False)
        assert (wrong.returncode, "usage:" in wrong.stderr) == (2, True)


def _all(conf: Setup) -> dict[str, str]:
    files = configuration(conf, "geheim").items()
    return {key: value for name, text in files if name.endswith("-site.xml") for key, value in properties(text).items()}


def test_two_of_each_have_addresses_of_their_own_and_none_of_one() -> None:
    found = _all(setup(ha=True, ports=ports.choose(2, {}, ha=True, free=lambda address, port: True)))
    assert found["fs.defaultFS"] == "hdfs://knit"
    addresses = [value for key, value in found.items() if key.endswith(("nn1", "nn2", "rm1", "rm2")) and ":" in value]
    of_files = [value for value in addresses if value.startswith("file:")]
    assert len(set(of_files)) == 2
    servers = [value for value in addresses if not value.startswith("file:")]
    assert len(servers) == len(set(servers)) == 2 * 2 + 2 * 5
    assert not {"dfs.namenode.rpc-address", "yarn.resourcemanager.webapp.address"} & set(found)


def test_with_tls_no_web_server_has_an_http_address() -> None:
    for ha in (False, True):
        conf = setup(ha=ha, tls=True, ports=ports.choose(2, {}, ha=ha, free=lambda address, port: True))
        found = {**_all(conf), **node_properties(conf, 1)}
        assert not [key for key in found if "http-address" in key or "http.address" in key]
        assert not [key for key in found if "webapp.address" in key]
        ends = (".rm1", ".rm2") if ha else ("",)
        assert all(f"yarn.resourcemanager.webapp.https.address{end}" in found for end in ends)
        assert found["yarn.nodemanager.webapp.https.address"].startswith("localhost:")
        assert "geheim" not in "".join(found.values())
        assert "geheim" in configuration(conf, "geheim")["ssl-server.xml"]


def test_with_kerberos_every_daemon_has_a_principal_and_administrators_are_named() -> None:
    found = _all(setup(kerberos=True))
    daemons = ("dfs.namenode.kerberos", "dfs.datanode.kerberos", "yarn.resourcemanager", "yarn.nodemanager")
    assert all(f"{name}.principal" in found for name in daemons)
    assert found["hadoop.security.authentication"] == "kerberos"
    assert found["yarn.admin.acl"] == "yarn" and found["yarn.acl.enable"] == "true"
    assert found["ignore.secure.ports.for.testing"] == "true"
    assert "ignore.secure.ports.for.testing" not in _all(setup(kerberos=True, tls=True))


def test_the_commands_tell_the_version_of_hadoop():
    assert "echo 'Hadoop 3.3.6'" in scripts(setup(hadoop="3.3.6"), Path("/jdk/bin/java"))["hadoop"]
