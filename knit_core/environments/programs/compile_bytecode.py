"""Compiles Python files, all into one file; run by the environment's own Python.

    python compile_bytecode.py <parent pid> <prefix> <output file> < lines > lines

The bytecode is of the kind that is never compared with its source (unchecked hash), as files get new times when they
are unpacked and containers cannot write. Lines are JSON: [file to read, its path in the environment] in, [path of the
bytecode in the environment, bytes] out, in the order in which the output has them, end to end (a file for each would
cost more than making it). `<prefix>` is what stands for the environment in the bytecode. Works with any Python from
3.7 on.

Bytecode that is there already and belongs to the source, as pip and conda leave it, is not made again: only the name of
the source in it is changed. It is looked for below the working folder.
"""

import importlib.util
import json
import marshal
import os
import struct
import sys
import types
import warnings
from pathlib import Path

# marshal's kinds of text with one byte of length: ASCII, and interned ASCII; each with or without a number for references.
SHORT_TEXTS = (b"z", b"Z", b"\xfa", b"\xda")


def main() -> None:
    parent, prefix = int(sys.argv[1]), sys.argv[2]
    warnings.simplefilter("ignore")
    here = Path.cwd()
    with Path(sys.argv[3]).open("wb") as output:
        for line in sys.stdin:
            source, path = json.loads(line)
            if os.getppid() != parent:  # killed: nobody waits for this any more
                sys.exit(1)
            name = f"{prefix}/{path}"
            data = take_over(here / path, name) if Path(source) == here / path else b""
            data = data or compiled(Path(source), name)
            if data:
                output.write(data)
                print(json.dumps([importlib.util.cache_from_source(path), len(data)]))


def compiled(source: Path, name: str) -> bytes:
    """The bytecode of a source; none of what is meant to be broken, of templates, of another Python's syntax."""
    data = source.read_bytes()
    try:
        code = marshal.dumps(compile(data, name, "exec", dont_inherit=True))
    except Exception:  # as py_compile does: the compiler has many ways to refuse
        return b""
    return importlib.util.MAGIC_NUMBER + struct.pack("<I", 1) + importlib.util.source_hash(data) + code


def take_over(source: Path, name: str) -> bytes:
    """The bytecode that is there for the source, with another name; empty when there is none that fits."""
    try:
        data = Path(importlib.util.cache_from_source(str(source))).read_bytes()
        if data[:4] != importlib.util.MAGIC_NUMBER:
            return b""
        digest, stat = importlib.util.source_hash(source.read_bytes()), source.stat()
        state = struct.pack("<II", int(stat.st_mtime) & 0xFFFFFFFF, stat.st_size & 0xFFFFFFFF)
        if data[8:16] != (digest if data[4] & 1 else state):
            return b""
        code = with_name(data[16:], str(source), name, str(Path.cwd()).encode())
    except (OSError, ValueError, EOFError, TypeError, AttributeError):  # none, broken, or Python 3.7
        return b""
    return data[:4] + struct.pack("<I", 1) + digest + code


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
