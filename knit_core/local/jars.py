"""Fetches Hadoop's jars by their Maven coordinates, once for each user.

With `mvn` where it is installed (it uses the user's mirrors and proxies), else in Python with jgo. A folder of jars gets
its final name when it is complete, with a list of names and sizes that every later use checks.
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

MODULES = (
    "hadoop-common",
    "hadoop-hdfs",
    "hadoop-hdfs-client",
    "hadoop-yarn-client",
    "hadoop-yarn-server-nodemanager",
    "hadoop-yarn-server-resourcemanager",
    # The ResourceManager's web server does not start without it, but its Maven coordinates do not depend on it.
    "hadoop-yarn-server-timelineservice",
)
# With a pinned version Maven does not look for the newest.
COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
REPOSITORY_VARIABLE = "KNIT_MAVEN_REPOSITORY"
LIST = "jars.json"

Report = Callable[[str], None]


@dataclass(frozen=True)
class Bundle:
    """Modules of one version that are fetched together with their dependencies.

    Attributes:
        product: what it is, for messages.
        excluded: groups of dependencies that are not fetched.
    """

    product: str
    group: str
    version: str
    modules: Sequence[str]
    excluded: Sequence[str] = ()


def hadoop(version: str, modules: Sequence[str] = MODULES) -> Bundle:
    """Hadoop's modules for the daemons of a cluster, or others."""
    return Bundle("Hadoop", "org.apache.hadoop", version, modules)


@dataclass(frozen=True)
class Jars:
    """A complete set of jars: folder, number, size in bytes, and whether this call has fetched it."""

    folder: Path
    count: int
    size: int
    fresh: bool = False


def pom(bundle: Bundle) -> str:
    """A Maven project that depends on the bundle's modules."""
    without = "".join(
        f"<exclusion><groupId>{group}</groupId><artifactId>*</artifactId></exclusion>" for group in bundle.excluded
    )
    rows = "".join(
        f"<dependency><groupId>{bundle.group}</groupId><artifactId>{name}</artifactId><version>{bundle.version}</version>"
        f"{without and f'<exclusions>{without}</exclusions>'}</dependency>"
        for name in bundle.modules
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>knit</groupId>'
        f"<artifactId>local-cluster</artifactId><version>1</version><packaging>pom</packaging><dependencies>{rows}"
        "</dependencies></project>\n"
    )


def installed(root: Path) -> Jars | None:
    """The jars in `root`; None when one of the list is missing or has another size."""
    try:
        sizes: dict[str, int] = json.loads((root / LIST).read_text())["jars"]
        actual = {entry.name: entry.stat().st_size for entry in os.scandir(root / "lib")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not sizes or any(actual.get(name) != size for name, size in sizes.items()):
        return None
    return Jars(root / "lib", len(sizes), sum(sizes.values()))


def obtain(root: Path, bundle: Bundle, report: Report = lambda text: None) -> Jars:
    """The jars in `root`, fetched when they are missing.

    Args:
        root: the folder that all clusters share (`paths.jars_root()`).
        bundle: what is fetched.
        report: called with a line about the present step.

    Raises:
        JarsUnavailable: they cannot be fetched, or are damaged.
    """
    found = installed(root)
    if found:
        return found
    root.parent.mkdir(parents=True, exist_ok=True)
    with locked(
        root.with_name(f".{root.name}.lock"),
        lambda owner: report(f"process {owner} is fetching {bundle.product}'s jars"),
    ):
        found = installed(root)
        if found:
            return found
        with tempfile.TemporaryDirectory(prefix=f".{root.name}.", dir=root.parent) as scratch:
            _fetch(Path(scratch), report, bundle)
            shutil.rmtree(root, ignore_errors=True)
            (Path(scratch) / "complete").rename(root)
    found = installed(root)
    if not found:
        raise JarsUnavailable(f"Another process changed {root} during the download: remove the folder and try again.")
    return Jars(found.folder, found.count, found.size, fresh=True)


def _fetch(scratch: Path, report: Report, bundle: Bundle) -> None:
    """Write the jars and their list to `scratch/complete`."""
    lib = scratch / "complete" / "lib"
    lib.mkdir(parents=True)
    maven = shutil.which("mvn")
    if maven:
        _with_maven(maven, scratch, lib, report, bundle)
    else:
        _with_jgo(scratch, lib, report, bundle)
    report("checking the jars")
    sizes = verify(lib, bundle)
    known = {"product": bundle.product, "version": bundle.version, "jars": sizes}
    (scratch / "complete" / LIST).write_text(json.dumps(known, indent=0) + "\n")
    (scratch / "complete").chmod(0o755)


def verify(lib: Path, bundle: Bundle) -> dict[str, int]:
    """Names and sizes of the jars in `lib`.

    Raises:
        JarsUnavailable: one is damaged, or a module is missing.
    """
    jars = sorted(lib.glob("*.jar"))
    with ThreadPoolExecutor(4) as pool:
        damaged = [jar.name for jar, intact in zip(jars, pool.map(_is_intact, jars), strict=True) if not intact]
    missing = [name for name in bundle.modules if not (lib / f"{name}-{bundle.version}.jar").is_file()]
    if damaged or missing:
        raise JarsUnavailable(
            f"The jars of {bundle.product} {bundle.version} are not complete "
            f"(damaged: {damaged or 'none'}; missing: {missing or 'none'}). "
            "Try again; if Maven has damaged ones in its repository (~/.m2), remove them there."
        )
    return {jar.name: jar.stat().st_size for jar in jars}


def _is_intact(jar: Path) -> bool:
    try:
        with zipfile.ZipFile(jar) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError, ValueError):
        return False


def _with_maven(maven: str, scratch: Path, lib: Path, report: Report, bundle: Bundle) -> None:
    (scratch / "pom.xml").write_text(pom(bundle))
    command = [maven, "-B", "-ntp", "--strict-checksums", "-f", str(scratch / "pom.xml"), COPY_GOAL,
               "-DincludeScope=runtime", f"-DoutputDirectory={lib}"]  # fmt: skip
    report("fetching the jars with Maven")
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=scratch
    ) as process:
        lines = []
        try:
            for line in process.stdout or ():
                lines.append(line.rstrip())
                if ".jar" in line and "Copying" in line:
                    report(f"{sum('Copying' in seen for seen in lines)} jars so far")
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        errors = [line for line in lines if "[ERROR]" in line] or lines
        raise JarsUnavailable(
            f"Maven could not fetch the jars of {bundle.product} {bundle.version}. Its messages:\n  "
            + "\n  ".join(errors[:6])
            + "\nCheck the network and ~/.m2/settings.xml, or remove mvn from the PATH to fetch without it."
        )


def _with_jgo(scratch: Path, lib: Path, report: Report, bundle: Bundle) -> None:
    try:
        from jgo.maven import MavenContext
    except ImportError as error:
        raise JarsUnavailable(
            "Hadoop's jars come from a Maven repository, and neither Maven (mvn) nor the jgo package is installed. "
            "Install one of them; pip install 'knit-yarn[local]' brings jgo."
        ) from error
    mirror = os.environ.get(REPOSITORY_VARIABLE)
    # With a separate repository cache: in a shared one, jgo takes an incomplete file for a complete one.
    context = MavenContext(
        repo_cache=scratch / "cache", remote_repos={"central": mirror.rstrip("/")} if mirror else None, timeout=60
    )
    report("resolving the coordinates")
    try:
        without = [context.project(group, "*") for group in bundle.excluded]
        wanted = [
            context.create_dependency(_coordinate(f"{bundle.group}:{name}:{bundle.version}!"), without)
            for name in bundle.modules
        ]
        inputs, others = context.resolver.resolve(wanted)
        chosen = [dep.artifact for dep in (*inputs, *others) if dep.scope in ("compile", "runtime", None)]
        with ThreadPoolExecutor(8) as pool:
            for number, path in enumerate(pool.map(lambda artifact: artifact.resolve(), chosen), 1):
                shutil.move(path, lib / path.name)
                report(f"{number} of {len(chosen)} jars")
    except Exception as error:
        # jgo raises errors of requests, RuntimeError for a missing artifact, and parse errors of its own.
        raise JarsUnavailable(
            f"The jars of {bundle.product} {bundle.version} could not be fetched from {mirror or 'Maven Central'}: {error!r}. "
            f"Check the network; {REPOSITORY_VARIABLE} sets another repository (the address of a mirror)."
        ) from error


def _coordinate(text: str) -> object:
    from jgo.parse import Coordinate

    return Coordinate.parse(text)
