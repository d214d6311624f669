"""Compiles Python files to one output file; run by the environment's own Python.

    python compile_bytecode.py <parent pid> <prefix> <output file> < lines > lines

The bytecode has an unchecked hash: Python never compares it with its source. Unpacking changes the times of files, and
containers cannot write new bytecode. Lines are JSON: [file to read, its path in the environment] in, [path of the bytecode
in the environment, bytes] out. The output file has the bytecode in the order of the lines, concatenated, because one file
for each source would take longer than the compilation. `<prefix>` is the environment's path in the bytecode. Runs with
Python 3.7 and later.

Existing bytecode of the source, as pip and conda leave it below the working folder, is taken over; only the source's path
in it is changed.
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

# marshal's types of text with a length of one byte: ASCII and interned ASCII, each with and without the reference flag.
SHORT_TEXTS = (b"z", b"Z", b"\xfa", b"\xda")


def main() -> None:
    parent, prefix = int(sys.argv[1]), sys.argv[2]
    warnings.simplefilter("ignore")
    here = Path.cwd()
    with Path(sys.argv[3]).open("wb") as output:
        for line in sys.stdin:
            source, path = json.loads(line)
            if os.getppid() != parent:  # the parent was killed
                sys.exit(1)
            name = f"{prefix}/{path}"
            data = take_over(here / path, name) if Path(source) == here / path else b""
            data = data or compiled(Path(source), name)
            if data:
                output.write(data)
                print(json.dumps([importlib.util.cache_from_source(path), len(data)]))


def compiled(source: Path, name: str) -> bytes:
    """The bytecode of a source; empty if it does not compile: broken on purpose, a template, another Python's syntax."""
    data = source.read_bytes()
    try:
        code = marshal.dumps(compile(data, name, "exec", dont_inherit=True))
    except Exception:  # as py_compile does: the compiler raises many types
        return b""
    return importlib.util.MAGIC_NUMBER + struct.pack("<I", 1) + importlib.util.source_hash(data) + code


def take_over(source: Path, name: str) -> bytes:
    """Existing bytecode of the source with another name; empty if there is none, or if it is outdated."""
    try:
        data = Path(importlib.util.cache_from_source(str(source))).read_bytes()
        if data[:4] != importlib.util.MAGIC_NUMBER:
            return b""
        digest, stat = importlib.util.source_hash(source.read_bytes()), source.stat()
        state = struct.pack("<II", int(stat.st_mtime) & 0xFFFFFFFF, stat.st_size & 0xFFFFFFFF)
        if data[8:16] != (digest if data[4] & 1 else state):
            return b""
        code = with_name(data[16:], str(source), name, str(Path.cwd()).encode())
    except (OSError, ValueError, EOFError, TypeError, AttributeError):  # missing, invalid, or Python 3.7
        return b""
    return data[:4] + struct.pack("<I", 1) + digest + code


def with_name(data: bytes, old: str, new: str, prefix: bytes) -> bytes:
    """Marshalled code with the name `new` instead of `old`: patched as bytes if possible, else by loading it.

    Python sets the name of a module's source at import, so another name in the bytecode has no effect.
    """
    if prefix not in data:
        return data
    if old.isascii() and len(old) < 256 and new.isascii() and len(new) < 256:
        # a short ASCII text: its type, its length in one byte, its bytes; references are numbers, not positions
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
    """The code and all code objects in it with this source name."""
    inner = tuple(renamed(part, name) if isinstance(part, types.CodeType) else part for part in code.co_consts)
    return code.replace(co_filename=name, co_consts=inner)


if __name__ == "__main__":
    main()
