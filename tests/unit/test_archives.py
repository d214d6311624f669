"""Archives that would write outside of their folder, or cannot be unpacked, are refused by the name of the entry."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from knit_core.launch import archive_checks as archives

ENDINGS = ("zip", "tar", "tar.gz", "tgz")


def _tar(path: Path, *members: tuple[str, bytes, str, bytes]) -> Path:
    """Members: name, type, link target, content."""
    mode = "w" if path.suffix == ".tar" else "w:gz"
    with tarfile.open(path, mode) as archive:
        for name, kind, target, content in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size = kind, target, len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def _zip(path: Path, *members: tuple[str, int, bytes]) -> Path:
    """Members: name, kind (of stat), content."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, kind, content in members:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (kind | 0o644) << 16
            archive.writestr(entry, content)
    return path


def _good(path: Path) -> Path:
    if path.suffix == ".zip":
        return _zip(
            path, ("a/b.txt", stat.S_IFREG, b"x" * 5000), ("a/link", stat.S_IFLNK, b"../c.txt"), ("c.txt", 0, b"y")
        )
    return _tar(
        path,
        ("a/b.txt", tarfile.REGTYPE, "", b"x" * 5000),
        ("a/link", tarfile.SYMTYPE, "../c..txt", b""),
        ("a/hard", tarfile.LNKTYPE, "a/b.txt", b""),
        ("empty", tarfile.REGTYPE, "", b""),
        ("a/" + "deep/" * 60 + "x", tarfile.REGTYPE, "", b"z"),
        ("..odd", tarfile.REGTYPE, "", b"y"),
    )


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_good_one(ending: str, tmp_path: Path) -> None:
    assert archives.archive_problems(str(_good(tmp_path / f"a.{ending}"))) == []


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("/etc/passwd", "is an absolute path"),
        ("../evil.sh", "is outside of the archive"),
        ("a/../../evil.sh", "is outside of the archive"),
        ("a/..", "is outside of the archive"),
    ],
)
def test_names_that_lead_out(ending: str, name: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    if ending == "zip":
        _zip(path, ("fine", stat.S_IFREG, b"x"), (name, stat.S_IFREG, b"x"))
    else:
        _tar(path, ("fine", tarfile.REGTYPE, "", b"x"), (name, tarfile.REGTYPE, "", b"x"))
    (problem,) = archives.archive_problems(str(path))
    assert problem.startswith(f"{path}: {name!r} {says}")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "../a/../../x", ".."])
def test_links_that_lead_out(ending: str, target: str, tmp_path: Path) -> None:
    path, name = tmp_path / f"a.{ending}", "link" if target == ".." else "a/link"
    if ending == "zip":
        _zip(path, (name, stat.S_IFLNK, target.encode()))
    else:
        _tar(path, (name, tarfile.SYMTYPE, target, b""))
    (problem,) = archives.archive_problems(str(path))
    assert f"{name!r} is a link to {target!r}, outside" in problem


def test_a_hard_link_is_seen_from_the_archives_root(tmp_path: Path) -> None:
    assert archives.archive_problems(str(_tar(tmp_path / "a.tar", ("a/b/hard", tarfile.LNKTYPE, "../x", b""))))
    assert not archives.archive_problems(str(_tar(tmp_path / "b.tar", ("a/b/soft", tarfile.SYMTYPE, "../x", b""))))


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices(kind: bytes, tmp_path: Path) -> None:
    (problem,) = archives.archive_problems(str(_tar(tmp_path / "a.tgz", ("dev/thing", kind, "", b""))))
    assert "'dev/thing' is a device or a pipe" in problem
    (problem,) = archives.archive_problems(str(_zip(tmp_path / "a.zip", ("pipe", stat.S_IFIFO, b""))))
    assert "'pipe' is a device or a pipe" in problem


def test_many_are_not_all_listed(tmp_path: Path) -> None:
    problems = archives.archive_problems(str(_zip(tmp_path / "a.zip", *((f"../{n}", 0, b"") for n in range(50)))))
    assert len(problems) == 6
    assert "more entries have such problems" in problems[-1]


def _cut(data: bytes) -> bytes:
    return data[: min(3000, len(data) // 2)]


def _inside(data: bytes) -> bytes:
    """One of the later headers spoilt, check sums of the compression right."""
    raw = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    spoilt = bytearray(raw)
    spoilt[512 + 5120 + 148 : 512 + 5120 + 156] = b"zzzzzzzz"
    return gzip.compress(bytes(spoilt)) if raw is not data else bytes(spoilt)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("spoil", [_cut, lambda data: b"", lambda data: b"plain text, " * 100, lambda data: data[:60]])
def test_damaged_ones(ending: str, spoil: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = _good(tmp_path / f"a.{ending}")
    path.write_bytes(spoil(path.read_bytes()))
    (problem,) = archives.archive_problems(str(path))
    assert problem.startswith(f"{path} is damaged, or has another format than its suffix: ")


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_a_spoilt_header_is_not_the_end(ending: str, tmp_path: Path) -> None:
    path = _good(tmp_path / f"a.{ending}")
    path.write_bytes(_inside(path.read_bytes()))
    (problem,) = archives.archive_problems(str(path))
    assert "damaged" in problem


def test_a_wrong_check_sum_behind_the_last_entry(tmp_path: Path) -> None:
    path = _good(tmp_path / "a.tar.gz")
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)
    assert "damaged" in archives.archive_problems(str(path))[0]


def test_one_kind_under_anothers_name(tmp_path: Path) -> None:
    packed = _good(tmp_path / "a.tar.gz").rename(tmp_path / "a.tar")
    assert "damaged" in archives.archive_problems(str(packed))[0]
    plain = _good(tmp_path / "b.tar").rename(tmp_path / "b.tgz")
    assert "damaged" in archives.archive_problems(str(plain))[0]


def test_a_zip_whose_headers_say_otherwise_than_its_directory(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", ("good.sh", stat.S_IFREG, b"x"))
    path.write_bytes(path.read_bytes().replace(b"good.sh", b"../evil", 1))
    assert "damaged" in archives.archive_problems(str(path))[0]


def test_a_zip_that_java_cannot_unpack(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", b"x" * 100)
    assert "is compressed by a method that YARN cannot unpack" in archives.archive_problems(str(path))[0]
    path = _zip(tmp_path / "b.zip", ("a", stat.S_IFREG, b"x"))
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag for encryption, in the header and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert "is encrypted" in archives.archive_problems(str(path))[0]


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies behind the most that is read is left to YARN."""
    monkeypatch.setattr(archives, "MOST_READ", 1 << 20)
    path = _tar(
        tmp_path / "a.tgz",
        ("zeros", tarfile.REGTYPE, "", bytes(8 << 20)),
        ("../behind", tarfile.REGTYPE, "", b""),
    )
    assert archives.archive_problems(str(path)) == []


def test_others_are_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a.jar").write_bytes(b"x")
    assert archives.archive_problems(str(tmp_path / "a.jar")) == []


def test_an_environment_may_have_the_nodes_own_python(tmp_path: Path) -> None:
    """venv-pack leaves the interpreter of a virtual environment as the link that it is."""
    links = [(f"bin/python{version}", tarfile.SYMTYPE, "/usr/bin/python3", b"") for version in ("", "3", "3.11")]
    path = _tar(tmp_path / "env.tar.gz", *links, ("./bin/python", tarfile.SYMTYPE, "/usr/bin/python3", b""))
    assert archives.archive_problems(str(path), environment=True) == []
    assert len(archives.archive_problems(str(path))) == 4
    for name, kind, target in (
        ("bin/other", tarfile.SYMTYPE, "/usr/bin/python3"),
        ("bin/python", tarfile.SYMTYPE, "../../python3"),
        ("bin/python/../../x", tarfile.REGTYPE, ""),
        ("/bin/python", tarfile.SYMTYPE, "/usr/bin/python3"),
    ):
        path = _tar(tmp_path / "env.tar", (name, kind, target, b""))
        assert len(archives.archive_problems(str(path), environment=True)) == 1, name
