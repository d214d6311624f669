"""Gets Hadoop's jars from their Maven coordinates, once per user.

With `mvn` where it is there (it honours the user's mirrors and proxies), else in pure Python with jgo. A folder of jars
appears under its final name only when it is whole, with a list of names and sizes that every later use checks.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from knit_core.local.errors import JarsUnavailable
from knit_core.local.locks import locked
from knit_core.local.paths import HADOOP_VERSION

GROUP = "org.apache.hadoop"
MODULES = (
    "hadoop-common",
    "hadoop-hdfs",
    "hadoop-hdfs-client",
    "hadoop-yarn-client",
    "hadoop-yarn-server-nodemanager",
    "hadoop-yarn-server-resourcemanager",
    # The ResourceManager's pages do not start without it, although its own coordinates leave it out.
    "hadoop-yarn-server-timelineservice",
)
# The plugin's own version is pinned, so that Maven need not look for the newest.
COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
REPOSITORY_VARIABLE = "KNIT_MAVEN_REPOSITORY"
LIST = "jars.json"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Jars:
    """A whole set of jars: its folder, their number and their bytes, and whether it was fetched just now."""

    folder: Path
    count: int
    size: int
    fresh: bool = False


def pom(modules: Sequence[str] = MODULES) -> str:
    """A Maven project that depends on what the daemons need."""
    rows = "".join(
        f"<dependency><groupId>{GROUP}</groupId><artifactId>{name}</artifactId><version>{HADOOP_VERSION}</version></dependency>"
        for name in modules
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>knit</groupId>'
        f"<artifactId>local-cluster</artifactId><version>1</version><packaging>pom</packaging><dependencies>{rows}"
        "</dependencies></project>\n"
    )


def installed(root: Path) -> Jars | None:
    """The jars in `root`, or None unless every listed one is there in full size."""
    try:
        sizes: dict[str, int] = json.loads((root / LIST).read_text())["jars"]
        actual = {entry.name: entry.stat().st_size for entry in os.scandir(root / "lib")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not sizes or any(actual.get(name) != size for name, size in sizes.items()):
        return None
    return Jars(root / "lib", len(sizes), sum(sizes.values()))


def obtain(root: Path, say: Say = lambda text: None, modules: Sequence[str] = MODULES) -> Jars:
    """The jars in `root`, fetched first when they are not there.

    Args:
        root: the folder all clusters share (`paths.jars_root()`).
        say: is told in one line what is being done.
        modules: Hadoop's modules whose jars, with all that they depend on, are wanted.

    Raises:
        JarsUnavailable: they can't be fetched, or what came is damaged.
    """
    found = installed(root)
    if found:
        return found
    root.parent.mkdir(parents=True, exist_ok=True)
    with locked(root.with_name(f".{root.name}.lock"), lambda owner: say(f"process {owner} is fetching Hadoop's jars")):
        found = installed(root)
        if found:
            return found
        with tempfile.TemporaryDirectory(prefix=f".{root.name}.", dir=root.parent) as scratch:
            _fetch(Path(scratch), say, modules)
            shutil.rmtree(root, ignore_errors=True)
            (Path(scratch) / "whole").rename(root)
    found = installed(root)
    if not found:
        raise JarsUnavailable(f"{root} was changed while it was being filled: remove it and try again.")
    return Jars(found.folder, found.count, found.size, fresh=True)


def _fetch(scratch: Path, say: Say, modules: Sequence[str]) -> None:
    """Fill `scratch/whole` with the jars and their list."""
    lib = scratch / "whole" / "lib"
    lib.mkdir(parents=True)
    maven = shutil.which("mvn")
    if maven:
        _with_maven(maven, scratch, lib, say, modules)
    else:
        _with_jgo(scratch, lib, say, modules)
    say("checking the jars")
    sizes = verify(lib, modules)
    (scratch / "whole" / LIST).write_text(json.dumps({"hadoop": HADOOP_VERSION, "jars": sizes}, indent=0) + "\n")
    (scratch / "whole").chmod(0o755)


def verify(lib: Path, modules: Sequence[str] = MODULES) -> dict[str, int]:
    """Names and sizes of the jars in `lib`.

    Raises:
        JarsUnavailable: one is damaged, or a module is missing.
    """
    jars = sorted(lib.glob("*.jar"))
    with ThreadPoolExecutor(4) as pool:
        damaged = [jar.name for jar, whole in zip(jars, pool.map(_whole, jars), strict=True) if not whole]
    missing = [name for name in modules if not (lib / f"{name}-{HADOOP_VERSION}.jar").is_file()]
    if damaged or missing:
        raise JarsUnavailable(
            f"Hadoop's jars did not arrive whole (damaged: {damaged or 'none'}; missing: {missing or 'none'}). "
            "Try again; if Maven keeps them in its own repository (~/.m2), remove the damaged ones there."
        )
    return {jar.name: jar.stat().st_size for jar in jars}


def _whole(jar: Path) -> bool:
    try:
        with zipfile.ZipFile(jar) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError, ValueError):
        return False


def _with_maven(maven: str, scratch: Path, lib: Path, say: Say, modules: Sequence[str]) -> None:
    (scratch / "pom.xml").write_text(pom(modules))
    command = [maven, "-B", "-ntp", "--strict-checksums", "-f", str(scratch / "pom.xml"), COPY_GOAL,
               "-DincludeScope=runtime", f"-DoutputDirectory={lib}"]  # fmt: skip
    say("asking Maven for the jars")
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=scratch
    ) as process:
        lines = []
        try:
            for line in process.stdout or ():
                lines.append(line.rstrip())
                if ".jar" in line and "Copying" in line:
                    say(f"{sum('Copying' in seen for seen in lines)} jars so far")
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        errors = [line for line in lines if "[ERROR]" in line] or lines
        raise JarsUnavailable(
            "Maven could not fetch Hadoop's jars. Its words:\n  " + "\n  ".join(errors[:6]) + "\n"
            "Look at the network and ~/.m2/settings.xml, or take mvn off the PATH to fetch without it."
        )


def _with_jgo(scratch: Path, lib: Path, say: Say, modules: Sequence[str]) -> None:
    try:
        from jgo.maven import MavenContext
    except ImportError as error:
        raise JarsUnavailable(
            "Hadoop's jars come from a Maven repository, and neither Maven (mvn) nor the jgo package is here. "
            "Install one of them; pip install 'knit-yarn[local]' brings jgo."
        ) from error
    mirror = os.environ.get(REPOSITORY_VARIABLE)
    # A repository cache of its own: jgo would take a half-written file in a shared one for whole.
    context = MavenContext(
        repo_cache=scratch / "cache", remote_repos={"central": mirror.rstrip("/")} if mirror else None, timeout=60
    )
    say("resolving the coordinates")
    try:
        wanted = [context.create_dependency(_coordinate(f"{GROUP}:{name}:{HADOOP_VERSION}!")) for name in modules]
        inputs, others = context.resolver.resolve(wanted)
        chosen = [dep.artifact for dep in (*inputs, *others) if dep.scope in ("compile", "runtime", None)]
        with ThreadPoolExecutor(8) as pool:
            for number, path in enumerate(pool.map(lambda artifact: artifact.resolve(), chosen), 1):
                shutil.move(path, lib / path.name)
                say(f"{number} of {len(chosen)} jars")
    except Exception as error:
        # jgo lets everything through: requests' errors, RuntimeError for a missing artifact, its own parse errors.
        raise JarsUnavailable(
            f"Hadoop's jars could not be fetched from {mirror or 'Maven Central'}: {error!r}. Look at the network; "
            f"{REPOSITORY_VARIABLE} names another repository (a mirror's address)."
        ) from error


def _coordinate(text: str) -> object:
    from jgo.parse import Coordinate

    return Coordinate.parse(text)
