"""A program with the part of conda's command line that Knit uses. It installs into the prefix with py-rattler.

Conda cannot be installed from PyPI; this program has its arguments, its JSON and its way to leave the prefix's own path
in files. `create --yes --json --prefix P --override-channels --channel C… spec…`
"""

import argparse
import asyncio
import json
import os
import sys
import time

import rattler


async def create(options: argparse.Namespace) -> None:
    if "hang" in options.specs:
        print(os.getpid(), file=open(os.environ["STAND_IN_PID"], "w"), flush=True)  # noqa: SIM115, PTH123
        time.sleep(600)
    platform = os.environ["CONDA_SUBDIR"]
    records = await rattler.solve(options.channel, options.specs, platforms=[platform, "noarch"])
    await rattler.install(records, options.prefix, show_progress=False)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["create"])
    for flag in ("--yes", "--json", "--override-channels"):
        parser.add_argument(flag, action="store_true", required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--channel", action="append", required=True)
    parser.add_argument("specs", nargs="+")
    code = 0
    try:
        asyncio.run(create(parser.parse_args()))
        print(json.dumps({"success": True}))
    except Exception as error:
        print(json.dumps({"success": False, "exception_name": "PackagesNotFoundError", "message": str(error)}))
        code = 1
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
