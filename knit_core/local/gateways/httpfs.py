"""HttpFS in front of the cluster's HDFS: its jars, files and command. Pure.

It answers WebHDFS calls itself, by way of the NameNode's and the DataNodes' own protocols; it may act for all users there (the
`hadoop.proxyuser` properties of the user that runs it).
"""

from __future__ import annotations

from pathlib import Path

from knit_core.local.configuration_files import DAEMON_LOG4J, Setup, to_xml
from knit_core.local.jars import Bundle

HTTPFS = "httpfs"
MAIN = "org.apache.hadoop.fs.http.server.HttpFSServerWebServer"
MODULES = ("hadoop-hdfs-httpfs", "hadoop-common", "hadoop-hdfs", "hadoop-hdfs-client")
#: Versions of Hadoop whose HttpFS is not on Maven Central.
ABSENT = ("3.5.0",)
_SECRET = "httpfs-signature.secret"  # signs the cookies of clients


def bundle(version: str) -> Bundle:
    """HttpFS of a version of Hadoop, in a folder of its own: the other daemons' jars stay as they are."""
    return Bundle("HttpFS", "org.apache.hadoop", version, MODULES)


def home(setup: Setup) -> Path:
    """The folder of its files."""
    return setup.state / HTTPFS


def folders(setup: Setup) -> list[Path]:
    """Folders that must be there when it starts."""
    return [home(setup) / name for name in ("conf", "log", "temp")]


def secret_file(setup: Setup) -> Path:
    """The file with the secret that signs its cookies; it may not exist."""
    return home(setup) / "conf" / _SECRET


def files(setup: Setup) -> dict[str, str]:
    """The files of its configuration folder, from name to text, without the secret."""
    site = {
        "httpfs.http.hostname": setup.host,
        "httpfs.http.port": str(setup.ports[HTTPFS]),
        "httpfs.ssl.enabled": str(setup.tls).lower(),  # with the certificates of ssl-server.xml
        "httpfs.hadoop.config.dir": str(setup.conf_dir),
    }
    return {"httpfs-site.xml": to_xml(site), "httpfs-log4j.properties": DAEMON_LOG4J}


def system_properties(setup: Setup) -> list[str]:
    """JVM options that name its folders."""
    base = home(setup)
    places = {"home": base, "config": base / "conf", "log": base / "log", "temp": base / "temp"}
    return [f"-Dhttpfs.{name}.dir={folder}" for name, folder in places.items()]
