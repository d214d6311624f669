"""Builds a small conda channel from what this machine has, so that tests, the demo and benchmarks need no conda server.

The channel's `python` is the interpreter that runs this script (its base installation, relocated), everything else
comes from wheels that pip downloads. The result is an ordinary `file://` channel. It is cached in the user's cache
folder and serves this machine: shared libraries of the operating system are not copied into it.

    python tools/make_channel.py numpy cloudpickle          # prints file:///…
    python tools/make_channel.py --bench                    # about 200 MB of data packages
"""

from __future__ import annotations

import argparse
import configparser
import email
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import zstandard
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

DEFAULT_PACKAGES = ("numpy", "cloudpickle")
BENCH_PACKAGES = ("numpy", "cloudpickle", "dask", "distributed", "pandas", "pyarrow", "scipy")

# conda replaces this by the prefix of an installation; it is long so that any prefix fits into its place in a binary.
PLACEHOLDER = "/opt/conda_placeholder".ljust(255, "_")
EPOCH = 1577836800  # every file's time: the same input gives the same channel
SUBDIRS = {"x86_64": "linux-64", "aarch64": "linux-aarch64", "ppc64le": "linux-ppc64le"}

# Parts of the standard library that no program on a cluster needs: half of its files.
SKIPPED_FOLDERS = {"__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo"}
SKIPPED_NAMES = re.compile(r"(.*\.(pyc|a|o|whl|exe)|_tkinter\..*|EXTERNALLY-MANAGED)$")

Log = Callable[[str], None]


@dataclass
class Entry:
    """One file of a package: its bytes, or where a symbolic link points; `placeholder`: text, binary or None."""

    data: bytes = b""
    link: str | None = None
    executable: bool = False
    placeholder: str | None = None


@dataclass
class Package:
    """One conda package before it is written."""

    name: str
    version: str
    build: str
    subdir: str
    depends: list[str] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    entry_points: list[str] = field(default_factory=list)  # of a noarch Python package: the installer makes the scripts
    index_extra: dict[str, object] = field(default_factory=dict)

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}-{self.build}.conda"

    def index(self) -> dict[str, object]:
        """The package's index.json, which is also its entry in repodata.json (there with hashes and size)."""
        index: dict[str, object] = {
            "name": self.name,
            "version": self.version,
            "build": self.build,
            "build_number": 0,
            "depends": sorted(self.depends),
            "subdir": self.subdir,
            "timestamp": EPOCH * 1000,
            **self.index_extra,
        }
        if self.subdir == "noarch":
            index["noarch"] = "python"
        return index


# ------------------------------------------------------------------------------------------------------------- writing


def write_package(channel: Path, package: Package) -> None:
    """Writes one package into its subdirectory of the channel folder; `write_index` makes it known afterwards."""
    folder = channel / package.subdir
    folder.mkdir(parents=True, exist_ok=True)
    stem = package.file_name.removesuffix(".conda")
    with zipfile.ZipFile(folder / package.file_name, "w", zipfile.ZIP_STORED) as outer:
        outer.writestr(_zip_info("metadata.json"), b'{"conda_pkg_format_version": 2}')
        for kind, entries in (("pkg", package.entries), ("info", _info_entries(package))):
            packed = zstandard.ZstdCompressor(level=3, threads=-1).compress(_tar(entries))
            outer.writestr(_zip_info(f"{kind}-{stem}.tar.zst"), packed)


def write_index(channel: Path) -> None:
    """Writes repodata.json for each subdirectory from the packages in it. `noarch` must exist, be it empty."""
    (channel / "noarch").mkdir(parents=True, exist_ok=True)
    for folder in sorted(path for path in channel.iterdir() if path.is_dir()):
        records = {path.name: _index_entry(path) for path in sorted(folder.glob("*.conda"))}
        repodata = {"info": {"subdir": folder.name}, "packages": {}, "packages.conda": records, "repodata_version": 1}
        (folder / "repodata.json").write_text(json.dumps(repodata, indent=1, sort_keys=True))


def _index_entry(path: Path) -> dict[str, object]:
    data = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as outer:
        packed = outer.read(f"info-{path.stem}.tar.zst")
    with tarfile.open(fileobj=io.BytesIO(zstandard.ZstdDecompressor().stream_reader(packed).read())) as info:
        member = info.extractfile("info/index.json")
        assert member is not None
        index: dict[str, object] = json.load(member)
    hashes = {"sha256": hashlib.sha256(data).hexdigest(), "md5": hashlib.md5(data).hexdigest(), "size": len(data)}
    return {**index, **hashes}


def _info_entries(package: Package) -> dict[str, Entry]:
    paths = []
    for path, entry in sorted(package.entries.items()):
        described: dict[str, object] = {
            "_path": path,
            "path_type": "hardlink" if entry.link is None else "softlink",
            "sha256": hashlib.sha256(entry.data).hexdigest(),
            "size_in_bytes": len(entry.data),
        }
        if entry.placeholder:
            described |= {"file_mode": entry.placeholder, "prefix_placeholder": PLACEHOLDER}
        paths.append(described)
    documents: dict[str, object] = {
        "index.json": package.index(),
        "paths.json": {"paths": paths, "paths_version": 1},
        "about.json": {},
    }
    if package.subdir == "noarch":
        noarch = {"type": "python", "entry_points": package.entry_points}
        documents["link.json"] = {"noarch": noarch, "package_metadata_version": 1}
    info = {f"info/{name}": Entry(json.dumps(value, sort_keys=True).encode()) for name, value in documents.items()}
    info["info/files"] = Entry("".join(f"{path}\n" for path in sorted(package.entries)).encode())
    return info


def _tar(entries: dict[str, Entry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, entry in sorted(entries.items()):
            member = tarfile.TarInfo(path)
            member.mtime = EPOCH
            member.mode = 0o755 if entry.executable else 0o644
            if entry.link is None:
                member.size = len(entry.data)
                tar.addfile(member, io.BytesIO(entry.data))
            else:
                member.type, member.linkname = tarfile.SYMTYPE, entry.link
                tar.addfile(member)
    return buffer.getvalue()


def _zip_info(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0))


# -------------------------------------------------------------------------------------------------- the Python package

_DESCRIBE = """
import json, sys, sysconfig
v = sysconfig.get_config_var
print(json.dumps({
    "version": sys.version.split()[0].rstrip("+"),
    "minor": "%d.%d" % sys.version_info[:2],
    "prefix": sys.prefix,
    "stdlib": sysconfig.get_path("stdlib"),
    "libdir": v("LIBDIR"),
    "library": v("INSTSONAME") if v("Py_ENABLE_SHARED") else None,
}))
"""


def base_interpreter() -> Path:
    """The interpreter under the running one (a virtual environment is only a shell around it)."""
    return Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()


def python_package(interpreter: Path, subdir: str) -> Package:
    """A relocatable conda package made of an installed CPython: executable, shared library, standard library."""
    # -S: Debian's site module would put its dist-packages first; -I: nobody's PYTHONPATH.
    found = json.loads(subprocess.check_output([interpreter, "-I", "-S", "-c", _DESCRIBE]))
    minor, version = found["minor"], found["version"]
    package = Package("python", version, "0_cpython", subdir)
    package.index_extra["python_site_packages_path"] = f"lib/python{minor}/site-packages"
    package.entries[f"bin/python{minor}"] = Entry(interpreter.read_bytes(), executable=True)
    package.entries["bin/python3"] = package.entries["bin/python"] = Entry(link=f"python{minor}")
    if found["library"]:
        library = Path(found["libdir"]) / found["library"]
        package.entries[f"lib/{library.name}"] = Entry(library.read_bytes(), executable=True)
    stdlib = Path(found["stdlib"])
    for path in _stdlib_files(stdlib):
        target = f"lib/python{minor}/{path.relative_to(stdlib).as_posix()}"
        package.entries[target] = Entry(path.read_bytes(), executable=os.access(path, os.X_OK))
    for target, entry in package.entries.items():
        _relocate(entry, target, found["prefix"], found["libdir"])
    package.entries[f"lib/python{minor}/site-packages/README.txt"] = Entry(b"Packages go here.\n")
    # Debian's Python looks for dist-packages only; a .pth file there leads to where conda packages are.
    package.entries["lib/python3/dist-packages/conda.pth"] = Entry(f"../../python{minor}/site-packages\n".encode())
    return package


def _stdlib_files(stdlib: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(stdlib):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
        yield from (Path(folder, name) for name in sorted(names) if not SKIPPED_NAMES.match(name))


def _relocate(entry: Entry, target: str, prefix: str, libdir: str) -> None:
    """Takes the interpreter's own prefix out: run paths in binaries become relative, text gets conda's placeholder."""
    if entry.data.startswith(b"\x7fELF"):
        entry.data = _stripped(entry.data)
        up = os.path.relpath("lib", PurePosixPath(target).parent)
        old, new = libdir.encode() + b"\0", f"$ORIGIN/{up}".encode() + b"\0"
        if len(new) <= len(old):  # in place: nothing else in the file moves
            entry.data = entry.data.replace(old, new.ljust(len(old), b"\0"))
    elif prefix != "/usr" and prefix.encode() in entry.data and b"\0" not in entry.data:
        entry.data = entry.data.replace(prefix.encode(), PLACEHOLDER.encode())
        entry.placeholder = "text"


def _stripped(binary: bytes) -> bytes:
    """Without debug symbols where binutils are installed: a tenth of the size for a self-built Python."""
    if shutil.which("strip") is None:
        return binary
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "binary"
        path.write_bytes(binary)
        done = subprocess.run(["strip", "--strip-unneeded", path], capture_output=True)
        return path.read_bytes() if done.returncode == 0 else binary


# -------------------------------------------------------------------------------------------------- wheels to packages


def wheel_package(path: Path, minor: str, known: set[str], subdir: str) -> Package:
    """A conda package from a wheel; dependencies outside `known` (markers and extras included) are left out."""
    name, version, _, tags = parse_wheel_filename(path.name)
    pure = all(tag.abi == "none" and tag.platform == "any" for tag in tags)
    build, site = (
        ("pypi_0", "site-packages") if pure else (f"py{minor.replace('.', '')}_0", f"lib/python{minor}/site-packages")
    )
    package = Package(name, str(version).replace("-", "_"), build, "noarch" if pure else subdir)
    with zipfile.ZipFile(path) as wheel:
        dist_info = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")).rpartition("/")[0]
        metadata = email.message_from_bytes(wheel.read(f"{dist_info}/METADATA"))
        package.depends = ["python" if pure else f"python {minor}.*"]
        package.depends += _depends(metadata.get_all("Requires-Dist") or [], minor, known)
        for item in wheel.infolist():
            if not item.is_dir() and not item.filename.endswith(".dist-info/INSTALLER"):
                target, entry = _wheel_entry(wheel, item, site, pure)
                package.entries[target] = entry
        package.entries[f"{site}/{dist_info}/INSTALLER"] = Entry(b"conda\n")
        scripts = _console_scripts(wheel, dist_info)
    if pure:
        package.entry_points = [f"{script} = {target}" for script, target in scripts.items()]
    else:
        package.entries |= {f"bin/{script}": _script(target) for script, target in scripts.items()}
    return package


def _depends(requirements: Iterable[str], minor: str, known: set[str]) -> Iterator[str]:
    marker_values = {**default_environment(), "python_version": minor, "extra": ""}
    for requirement in map(Requirement, requirements):
        name = canonicalize_name(requirement.name)
        if name in known and (requirement.marker is None or requirement.marker.evaluate(marker_values)):
            yield f"{name} {','.join(sorted(map(str, requirement.specifier)))}".strip()


def _wheel_entry(wheel: zipfile.ZipFile, item: zipfile.ZipInfo, site: str, pure: bool) -> tuple[str, Entry]:
    """Where a wheel's file goes: the `.data` folders of a wheel each have a place of their own."""
    entry = Entry(wheel.read(item), executable=bool(item.external_attr >> 16 & 0o100))
    match = re.match(r"[^/]+\.data/(purelib|platlib|scripts|data|headers)/(.*)", item.filename)
    if match is None:
        return f"{site}/{item.filename}", entry
    scheme, rest = match.groups()
    if scheme == "scripts":
        entry.executable = True
        if entry.data.startswith(b"#!python"):
            entry.data = entry.data.replace(b"#!python", f"#!{PLACEHOLDER}/bin/python".encode(), 1)
            entry.placeholder = "text"
    folders = {"scripts": "python-scripts/" if pure else "bin/", "data": "", "headers": "include/"}
    return folders.get(scheme, f"{site}/") + rest, entry


def _console_scripts(wheel: zipfile.ZipFile, dist_info: str) -> dict[str, str]:
    if f"{dist_info}/entry_points.txt" not in wheel.namelist():
        return {}
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(wheel.read(f"{dist_info}/entry_points.txt").decode())
    if not parser.has_section("console_scripts"):
        return {}
    return {name: target.split("[")[0].strip() for name, target in parser.items("console_scripts")}


def _script(target: str) -> Entry:
    module, function = target.split(":")
    code = f"import sys\nfrom {module} import {function.split('.')[0]}\nsys.exit({function}())\n"
    return Entry(f"#!{PLACEHOLDER}/bin/python\n{code}".encode(), executable=True, placeholder="text")


# --------------------------------------------------------------------------------------------------------- the channel


def machine_subdir() -> str:
    """conda's name for this machine's platform, like `linux-64`."""
    return SUBDIRS[platform.machine()]


def build_channel(
    packages: Iterable[str] = DEFAULT_PACKAGES, dest: Path | None = None, log: Log = lambda _: None
) -> str:
    """Builds the channel unless it is there, and returns its `file:///…` URL.

    `packages` are requirements as pip takes them; `dest` is the folder to make (default: one in the user's cache whose
    name depends on the Python version, the packages and this script). Two callers at once are safe: each builds in a
    folder of its own and the first to rename wins. Raises `subprocess.CalledProcessError` when pip fails.
    """
    wanted = sorted(set(packages))
    identity = [platform.python_version(), str(base_interpreter()), wanted, Path(__file__).read_text()]
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    channel = dest or _cache_folder() / f"{platform.python_version()}-{key}"
    if (channel / "noarch" / "repodata.json").exists():
        return channel.resolve().as_uri()
    channel.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=channel.parent, prefix=f".{channel.name}.") as folder:
        fresh = Path(folder) / "channel"
        wheels = _download(wanted, Path(folder) / "wheels", log)
        _fill(fresh, wheels, log)
        try:
            fresh.rename(channel)
        except OSError:
            if not (channel / "noarch" / "repodata.json").exists():  # not another builder's: a real problem
                raise
    return channel.resolve().as_uri()


def _fill(channel: Path, wheels: list[Path], log: Log) -> None:
    subdir = machine_subdir()
    interpreter = base_interpreter()
    log(f"python {platform.python_version()} from {interpreter}")
    write_package(channel, python_package(interpreter, subdir))
    minor = ".".join(platform.python_version_tuple()[:2])
    known: set[str] = {parse_wheel_filename(wheel.name)[0] for wheel in wheels}
    for wheel in wheels:
        log(wheel.name)
        write_package(channel, wheel_package(wheel, minor, known, subdir))
    write_index(channel)


def _download(packages: list[str], folder: Path, log: Log) -> list[Path]:
    folder.mkdir()
    if packages:
        log(f"pip download {' '.join(packages)}")
        command = [_interpreter_with_pip(), "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, "--only-binary=:all:", "--dest", folder, *packages], check=True, stdout=sys.stderr)
    return sorted(folder.glob("*.whl"))


def _interpreter_with_pip() -> str:
    for candidate in (sys.executable, str(base_interpreter())):
        if subprocess.run([candidate, "-m", "pip", "--version"], capture_output=True).returncode == 0:
            return candidate
    raise RuntimeError(f"neither {sys.executable} nor {base_interpreter()} has pip: install it (python -m ensurepip)")


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "knit" / "channels"


def main() -> None:
    parser = argparse.ArgumentParser(description="Build a local conda channel from this Python and wheels.")
    parser.add_argument("packages", nargs="*", help=f"what pip downloads (default: {' '.join(DEFAULT_PACKAGES)})")
    parser.add_argument("--bench", action="store_true", help=f"instead: {' '.join(BENCH_PACKAGES)}")
    parser.add_argument("--dest", type=Path, help="the folder to make (default: one in the user's cache)")
    options = parser.parse_args()
    packages = BENCH_PACKAGES if options.bench else options.packages or DEFAULT_PACKAGES
    print(build_channel(packages, options.dest, log=lambda line: print(line, file=sys.stderr)))


if __name__ == "__main__":
    main()
