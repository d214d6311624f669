"""A real HttpFS in front of the cluster's HDFS, in a folder of its own.

Use: `pytest_plugins` names it in tests/conftest.py; the fixture `httpfs` is its address. It starts in about five seconds.
"""

from __future__ import annotations

import getpass
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from knit_core.local import LocalCluster, daemons
from knit_core.local.configuration_files import DAEMON_LOG4J, to_xml
from knit_core.local.jars import hadoop, obtain
from knit_core.local.paths import HADOOP_VERSION, jars_root
from knit_core.local.processes import end, spawn
from tests.cluster_harness import eventually

MODULES = ("hadoop-hdfs-httpfs", "hadoop-common", "hadoop-hdfs", "hadoop-hdfs-client")
_SERVER = "org.apache.hadoop.fs.http.server.HttpFSServerWebServer"
_direct = build_opener(ProxyHandler({}))


@pytest.fixture(scope="session")
def httpfs(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an HttpFS server that passes calls on to the cluster's NameNode."""
    home = tmp_path_factory.mktemp("httpfs")
    jars = obtain(jars_root().with_name(f"hadoop-httpfs-{HADOOP_VERSION}"), hadoop(HADOOP_VERSION, MODULES))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    conf = home / "conf"
    for name in ("conf", "log", "temp"):
        (home / name).mkdir()
    for name in ("core-site.xml", "hdfs-site.xml"):
        shutil.copy(cluster.conf_dir / name, conf)
    settings = {
        "httpfs.http.hostname": "127.0.0.1",
        "httpfs.http.port": str(port),
        "httpfs.hadoop.config.dir": str(conf),
    }
    (conf / "httpfs-site.xml").write_text(to_xml(settings))
    (conf / "httpfs-signature.secret").write_text("for this test only\n")
    log = DAEMON_LOG4J.replace("${knit.log}", str(home / "log" / "httpfs.log"))
    for name in ("httpfs-log4j.properties", "log4j.properties"):
        (conf / name).write_text(log)
    folders = {"home": home, "config": conf, "log": home / "log", "temp": home / "temp"}
    java = Path(cluster.status().java_home)
    command = [str(java / "bin" / "java"), "-Xmx192m", *daemons.JVM_OPTIONS, "-cp", f"{conf}:{jars.folder}/*"]
    command += [f"-Dhttpfs.{name}.dir={folder}" for name, folder in folders.items()]
    environment = {"PATH": "/usr/bin:/bin", "JAVA_HOME": str(java), "HADOOP_CONF_DIR": str(conf)}
    environment["HADOOP_USER_NAME"] = getpass.getuser()  # who may act for others: see core-site.xml
    server = spawn([*command, _SERVER], home / "log" / "httpfs.out", environment, home)
    address = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: not server.alive or _serves(address), 60, "HttpFS to serve")
        if not server.alive:
            pytest.fail(f"HttpFS did not start:\n{(home / 'log' / 'httpfs.out').read_text()[-3000:]}")
        yield address
    finally:
        end([server], grace=3.0)


def _serves(address: str) -> bool:
    try:
        _direct.open(f"{address}/webhdfs/v1/?op=GETHOMEDIRECTORY&user.name=alice", timeout=5).close()
    except OSError:
        return False
    return True
