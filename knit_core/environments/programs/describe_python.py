"""Describes a Python and its installed packages as JSON; run by that Python, version 3.7 or later."""

import json
import os
import sys
import sysconfig


def installed() -> list:  # type: ignore[type-arg]
    from importlib import metadata

    found = {}
    folders = list(dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]))
    for distribution in metadata.distributions(path=folders):
        name = distribution.metadata["Name"]
        files = distribution.files
        if not name:
            continue
        direct = distribution.read_text("direct_url.json")
        key = name.lower().replace("_", "-").replace(".", "-")
        if key in found:  # the first on the path is imported
            continue
        found[key] = {
            "name": name,
            "version": distribution.version,
            "files": None if files is None else [os.path.normpath(str(distribution.locate_file(f))) for f in files],
            "direct": json.loads(direct) if direct else None,
        }
    return list(found.values())


def main() -> None:
    variable = sysconfig.get_config_var
    out = {
        "version": sys.version.split()[0].rstrip("+"),
        "minor": ".".join(map(str, sys.version_info[:2])),
        "implementation": sys.implementation.name,
        "executable": sys.executable,
        "base": os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable),
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "stdlib": sysconfig.get_path("stdlib"),
        "site": sysconfig.get_path("purelib"),
        "platsite": sysconfig.get_path("platlib"),
        "libdir": variable("LIBDIR"),
        "library": variable("INSTSONAME") if variable("Py_ENABLE_SHARED") else None,
    }
    if "--installed" in sys.argv:
        out["installed"] = installed()
    json.dump(out, sys.stdout)


if __name__ == "__main__":
    main()
