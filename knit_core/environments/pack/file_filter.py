"""Which files of an environment are packed: no files that running programs do not read, no files that look like secrets.

Fewer files are unpacked faster on every node. Pure but for `tests_in_use`, which reads sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

#: Packages that compile code at run time, and compilers: with one of them all files are packed.
_COMPILES = re.compile(
    r"(gcc|gxx|clang|clangxx|gfortran)(_.*|-\d.*)?|c-compiler|cxx-compiler|compilers|cython|triton|pytorch|torch"
    r"|cupy.*|pytensor|theano|pythran|pystan|cmdstan.*|cppyy|cmake|pybind11.*"
)
_FOLDERS = (
    *("include/", "man/", "doc/", "docs/", "share/man/", "share/doc/", "share/info/", "share/gtk-doc/"),
    *("lib/pkgconfig/", "share/pkgconfig/", "lib/cmake/", "share/cmake/", "share/aclocal/"),
)
_STDLIB = re.compile(
    r"lib/python\d[^/]*/(test|tests|idlelib|turtledemo|(?!site-packages/)[^/]+/tests?|ensurepip/_bundled)/"
)
_SUFFIXES = (".a", ".la", ".pyi", ".pxd", ".pyx", ".pxi", ".h", ".hh", ".hpp", ".hxx", ".cuh", ".pdb")
_SITE = re.compile(r"lib/python\d[^/]*/site-packages/(?P<top>[^/]+)/(?P<rest>.*)")
_STAY = {"pyconfig.h"}  # sysconfig reads it

_SECRET_NAME = re.compile(
    r"[._]netrc|\.pypirc|\.?condarc|pip\.conf|\.npmrc|\.env(\..*)?|\.envrc|\.git-credentials|\.htpasswd|\.pgpass"
    r"|\.my\.cnf|\.s3cfg|\.boto|\.databrickscfg|kubeconfig|(.*[-_.])?credentials(\.(json|ya?ml|toml|ini|cfg))?"
    r"|id_(rsa|dsa|ecdsa|ed25519)|.*\.(keytab|p12|pfx|jks|ppk)|(.*[-_.])?token|secrets?\.(json|ya?ml|toml|ini|env)"
    r"|service[-_]?account.*\.json",
    re.IGNORECASE,
)
_SECRET_FOLDERS = {".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker"}
_SECRET_VARIABLE = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|AUTH", re.IGNORECASE)
_KEY_SUFFIXES = (".pem", ".key", ".crt", ".cer", ".asc")
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY")
_IMPORTS_TESTS = re.compile(
    rb"^[ \t]*(?:from|import)[ \t][^\n#]*\btests\b|import_module\([^\n)]*\btests\b", re.MULTILINE
)


def keeps_everything(packages: Iterable[str]) -> bool:
    """Whether one of these packages needs headers and the like at run time."""
    return any(_COMPILES.fullmatch(name.lower()) for name in packages)


def needed(files: Iterable[str], prefix: Path) -> list[str]:
    """The files, sorted, without those for building, type checking, tests and documentation.

    Tests of a package are kept if another module of it imports them, as in astropy.
    """
    kept = sorted(path for path in files if not _unneeded(path))
    in_tests = [path for path in kept if _tested(path)]
    if not in_tests:
        return kept
    candidates = {path.split("/tests/")[0].split("/site-packages/")[1].split("/")[0] for path in in_tests}
    used = tests_in_use(kept, prefix, candidates)
    return [path for path in kept if (top := _tested(path)) is None or top in used]


def tests_in_use(files: Iterable[str], prefix: Path, tops: set[str]) -> set[str]:
    """The top-level packages among `tops` whose tests are imported by a module that is not a test."""
    used: set[str] = set()
    for path in files:
        match = _SITE.fullmatch(path)
        if match is None or match["top"] not in tops - used or not path.endswith(".py") or _tested(path):
            continue
        if Path(path).name in {"conftest.py", "setup.py"}:
            continue
        source = prefix / path
        if source.is_file() and b"tests" in (text := source.read_bytes()) and _IMPORTS_TESTS.search(text):
            used.add(match["top"])
    return used


def looks_secret(path: str, prefix: Path) -> bool:
    """Whether a file that belongs to no package looks like a secret: by its name, or by a private key in it."""
    place = prefix / path
    for name in (path, str(place.resolve())) if place.is_symlink() else (path,):
        parts = name.split("/")
        if _SECRET_NAME.fullmatch(parts[-1]) or not _SECRET_FOLDERS.isdisjoint(parts):
            return True
    if not path.lower().endswith(_KEY_SUFFIXES) or not place.is_file():
        return False
    with place.open("rb") as file:
        return bool(_PRIVATE_KEY.search(file.read(1 << 16)))


def secret_variable(name: str) -> bool:
    """Whether an environment variable looks like a secret by its name."""
    return bool(_SECRET_VARIABLE.search(name))


def _unneeded(path: str) -> bool:
    if path.rpartition("/")[2] in _STAY:
        return False
    return path.startswith(_FOLDERS) or path.endswith(_SUFFIXES) or bool(_STDLIB.match(path))


def _tested(path: str) -> str | None:
    """The top-level package of a file in one of its folders `tests`; None for other files."""
    match = _SITE.fullmatch(path)
    return match["top"] if match and "tests" in match["rest"].split("/")[:-1] else None
