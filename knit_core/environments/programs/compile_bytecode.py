"""Compiles Python files into a folder of their own; run by the environment's own Python.

    python compile_bytecode.py <parent pid> <prefix> <output folder> < lines

The bytecode is of the kind that is never compared with its source (unchecked hash), as files get new times when they
are unpacked and containers cannot write. Lines are JSON: [file to read, its path in the environment];
`<prefix>` is what stands for the environment in the bytecode. Works with any Python from 3.7 on.

Bytecode that is there already and belongs to the source, as pip and conda leave it, is not made again: only the name of
the source in it is changed. It is looked for below the working folder.
"""

import contextlib
import importlib.util
import json
import marshal
import os
import py_compile
import struct
import sys
import types
import warnings
from pathlib import Path

# marshal's kinds of text with one byte of length: ASCII, and interned ASCII; each with or without a number for references.
SHORT_TEXTS = (b"z", b"Z", b"\xfa", b"\xda")


def main() -> None:
    parent, prefix, output = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    warnings.simplefilter("ignore")
    here = Path.cwd()
    for line in sys.stdin:
        source, path = json.loads(line)
        if os.getppid() != parent:  # killed: nobody waits for this any more
            sys.exit(1)
        target, name = Path(output, importlib.util.cache_from_source(path)), f"{prefix}/{path}"
        if Path(source) == here / path and take_over(here / path, target, name):
            continue
        # Files that are meant to be broken, templates, another Python's syntax: they stay source.
        with contextlib.suppress(py_compile.PyCompileError, UnicodeDecodeError, ValueError, RecursionError):
            py_compile.compile(
                source,
                cfile=str(target),
                dfile=name,
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )


def take_over(source: Path, target: Path, name: str) -> bool:
    """Writes the bytecode that is there for the source, with another name; False when there is none that fits."""
    try:
        data = Path(importlib.util.cache_from_source(str(source))).read_bytes()
        if data[:4] != importlib.util.MAGIC_NUMBER:
            return False
        digest, stat = importlib.util.source_hash(source.read_bytes()), source.stat()
        state = struct.pack("<II", int(stat.st_mtime) & 0xFFFFFFFF, stat.st_size & 0xFFFFFFFF)
        if data[8:16] != (digest if data[4] & 1 else state):
            return False
        code = with_name(data[16:], str(source), name, str(Path.cwd()).encode())
    except (OSError, ValueError, EOFError, TypeError, AttributeError):  # none, broken, or Python 3.7
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data[:4] + struct.pack("<I", 1) + digest + code)
    return True


def with_name(data: bytes, old: str, new: str, prefix: bytes) -> bytes:
    """Marshalled code without the path of this place: patched where its name stands once and short, as it does nearly always.

    Python itself puts the name in under which a source is found, so another name than this place's does no harm.
    """
    if prefix not in data:
        return data
    if old.isascii() and len(old) < 256 and new.isascii() and len(new) < 256:
        # a short ASCII text: its kind, one byte for its length, its bytes; references to it go by number, not by place
        was, becomes = bytes([len(old)]) + old.encode(), bytes([len(new)]) + new.encode()
        patched = b"".join(
            part[: -len(was)] + becomes
            if part.endswith(was) and part[-len(was) - 1 : -len(was)] in SHORT_TEXTS
            else part
            for part in split_after(data, was)
        )
        if prefix not in patched:
            return patched
    return marshal.dumps(renamed(marshal.loads(data), new))


def split_after(data: bytes, mark: bytes) -> "list[bytes]":
    parts = data.split(mark)
    return [part + mark for part in parts[:-1]] + parts[-1:]


def renamed(code: types.CodeType, name: str) -> types.CodeType:
    """The code and all within it as of a source of this name."""
    inner = tuple(renamed(part, name) if isinstance(part, types.CodeType) else part for part in code.co_consts)
    return code.replace(co_filename=name, co_consts=inner)


if __name__ == "__main__":
    main()
