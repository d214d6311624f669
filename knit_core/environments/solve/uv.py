"""Running uv, which resolves and installs packages of a Python index: options, indexes, errors.

No secret is on a command line. Requirements and locks are passed in files of the build's folder, indexes in the
configuration files of uv and pip, or in environment variables.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import tomli

from knit_core.environments.errors import (
    BadLock,
    BadPackageSpec,
    ChannelUnreachable,
    DiskFull,
    EnvironmentFailed,
    SolveError,
    SolverMissing,
)
from knit_core.environments.redaction import without_secrets
from knit_core.environments.solve.failures import DISK_FULL, NOT_THERE, shortened

_WRAPPER = Path(__file__).parents[1] / "programs" / "end_with_parent.py"
_NOT_SOLVED = re.compile(r"No solution found|not found in the package registry|no versions? of", re.IGNORECASE)
_NOT_REACHED = re.compile(
    r"error sending request|Failed to fetch|Request failed|dns error|HTTP status|timed? ?out", re.I
)
_NOISE = re.compile(
    r"^(warning: .*experimental.*|Using Python .*|Resolved .*|Prepared .*|Installed .*)\n?", re.MULTILINE
)

#: pip's settings, with uv's variables of the same meaning.
_PIP_SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}
OnLine = Callable[[str], None]


def find_uv() -> str:
    """The uv program: installed with Knit, else on the PATH. Raises `SolverMissing`."""
    with suppress(ImportError, FileNotFoundError):
        from uv import find_uv_bin

        return str(find_uv_bin())
    program = shutil.which("uv")
    if program is None:
        raise SolverMissing.extra("uv, which installs pip packages,", "put uv on the PATH")
    return program


class Uv:
    """uv for one build."""

    def __init__(self, cache: Path, work: Path, what: str) -> None:
        """Finds uv and the configured indexes.

        Args:
            cache: uv's cache folder.
            work: an existing folder for files that uv reads.
            what: the requested packages, for messages.
        """
        self._program, self._work, self._what = find_uv(), work, without_secrets(what)
        with suppress(FileNotFoundError):
            os.utime(cache)  # used now: pruning keeps it
        self._environment = {
            **os.environ,
            **indexes(os.environ),
            "UV_CACHE_DIR": str(cache),
            "UV_NO_PROGRESS": "1",
            "UV_HTTP_RETRIES": os.environ.get("UV_HTTP_RETRIES", "2"),
            "NO_COLOR": "1",
            # Else Debian's Python installs packages to a folder that its copy does not search.
            "DEB_PYTHON_INSTALL_LAYOUT": "deb",
        }
        for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "UV_PROJECT_ENVIRONMENT"):
            self._environment.pop(name, None)

    def find_python(self, version: str) -> Path:
        """A Python of this machine, or one that uv downloads. Raises `SolverMissing`."""
        try:
            found = self._run(["python", "find", "--no-project", "--system", version])
        except EnvironmentFailed as error:
            raise SolverMissing(
                f"No Python {version} on this machine, and uv could not download it: {error}\n"
                "Omit python= to use the running Python, or name channels to take it from there."
            ) from error
        return Path(found.strip())

    def resolve(
        self, requirements: Path | Sequence[str], python: Path, installed: Mapping[str, str], stubs: Path | None = None
    ) -> dict[str, Any]:
        """The packages that the requirements need, as a pylock.toml (PEP 751).

        Args:
            requirements: in pip's syntax, or a requirements.txt or pyproject.toml.
            python: the interpreter they are for.
            installed: names and versions of installed packages that must stay.
            stubs: a folder with a wheel for each of those; the index may not have them.
        """
        arguments: list[str | Path] = ["pip", "compile", "--quiet", "--no-header", "--format", "pylock.toml"]
        if installed:
            fixed = [f"{name}=={version}" for name, version in sorted(installed.items())]
            arguments += ["--constraints", self._file("constraints.txt", fixed)]
        file = requirements if isinstance(requirements, Path) else self._file("requirements.in", requirements)
        links = [link for link in (self._environment.get("UV_FIND_LINKS", ""), str(stubs or "")) if link]
        out = self._run(
            [*arguments, file, "--python", python, "--no-python-downloads"],
            cwd=file.parent,
            variables={"UV_FIND_LINKS": ",".join(links)} if links else {},
        )
        return tomli.loads(out)

    def export(self, project: Path) -> dict[str, Any]:
        """The packages in the `uv.lock` of a project folder, without the project and its development groups."""
        arguments = ["export", "--quiet", "--frozen", "--no-default-groups", "--no-emit-project", "--no-header"]
        out = self._run([*arguments, "--format", "pylock.toml", "--no-python-downloads"], cwd=project)
        return tomli.loads(out)

    def install(self, pylock: Mapping[str, Any], python: Path, on_line: OnLine) -> None:
        """Installs exactly the locked packages, with their digests checked. `on_line` gets uv's lines."""
        import tomli_w

        path = self._work / "pylock.toml"
        path.write_text(tomli_w.dumps(dict(pylock)))
        path.chmod(0o600)
        arguments: list[str | Path] = [
            "pip",
            "install",
            "--no-deps",
            "--break-system-packages",
            "--no-config",
            "--python",
            python,
        ]
        self._run([*arguments, "--requirement", path], on_line=on_line)

    def _file(self, name: str, lines: Sequence[str]) -> Path:
        path = self._work / name
        path.write_text("".join(f"{line}\n" for line in lines))
        path.chmod(0o600)
        return path

    def _run(
        self,
        arguments: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        on_line: OnLine | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        command = [sys.executable, "-S", "-E", str(_WRAPPER), str(os.getpid()), self._program, *map(str, arguments)]
        with subprocess.Popen(
            command,
            cwd=cwd or self._work,
            env={**self._environment, **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if on_line is None else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C interrupts this process only, which then kills the whole group
        ) as child:
            try:
                out, err = child.communicate() if on_line is None else ("", _read_lines(child, on_line))
            finally:
                if child.poll() is None:
                    with suppress(ProcessLookupError):
                        os.killpg(child.pid, signal.SIGKILL)
        if child.returncode != 0:
            raise self._explained(child.returncode, err or out)
        return out

    def _explained(self, code: int, text: str) -> EnvironmentFailed:
        reason = shortened(_NOISE.sub("", without_secrets(text)).strip().removeprefix("error: "))
        what = self._what
        if DISK_FULL.search(reason):
            return DiskFull(f"No space is left for {what}: {reason}")
        if "Hash mismatch" in reason or ("hash" in reason and "mismatch" in reason):
            return BadLock(f"A package of {what} is not the locked one, its digest differs: {reason}")
        if _NOT_REACHED.search(reason):
            not_there = bool(NOT_THERE.search(reason))
            hint = "Is it an index? Are the credentials right?" if not_there else "Is the network up?"
            message = f"An index could not be read for {what}: {reason}\n{hint}"
            return ChannelUnreachable(message, transient=not not_there)
        if _NOT_SOLVED.search(reason):
            return SolveError(
                f"No environment has {what}: {reason}\nCheck the spelling, or relax the versions. Packages that conda "
                "installed keep their version unless a pip requirement names them."
            )
        if re.search(r"Couldn't parse|Failed to parse|Expected .* found|invalid", reason, re.IGNORECASE):
            return BadPackageSpec(f"Invalid requirement among {what}: {reason}")
        return EnvironmentFailed(f"uv ended with exit code {code} for {what}: {reason}")


def _read_lines(child: subprocess.Popen[str], on_line: OnLine) -> str:
    assert child.stderr is not None
    lines = []
    for line in child.stderr:
        lines.append(line)
        on_line(line.strip())
    child.wait()
    return "".join(lines)


def indexes(environment: Mapping[str, str]) -> dict[str, str]:
    """uv's variables for the indexes of pip's configuration; empty if uv's own variables name an index."""
    if any(name in environment for name in ("UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_EXTRA_INDEX_URL")):
        return {}
    found = {}
    for setting, value in _pip_settings(environment).items():
        variable = _PIP_SETTINGS.get(setting)
        if variable and variable not in environment and value:
            separator = "," if variable == "UV_FIND_LINKS" else " "
            found[variable] = value if variable == "SSL_CERT_FILE" else separator.join(value.split())
    return found


def _pip_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """pip's settings: of `pip config list`, and of its environment variables."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"], capture_output=True, text=True
    )
    found = {}
    for line in done.stdout.splitlines() if done.returncode == 0 else ():
        name, _, value = line.partition("=")
        section, _, setting = name.rpartition(".")
        if section in {"global", "install", ":env:"}:
            with suppress(ValueError, SyntaxError):
                found[setting] = str(ast.literal_eval(value))
    for setting in _PIP_SETTINGS:  # without pip, its environment variables count too
        variable = f"PIP_{setting.upper().replace('-', '_')}"
        if environment.get(variable):
            found[setting] = environment[variable]
    return found
