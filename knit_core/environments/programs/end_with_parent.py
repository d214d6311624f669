"""Becomes another program, which the kernel kills when the caller ends.

python end_with_parent.py <caller's pid> <program> <argument>…
"""

import contextlib
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    caller, command = int(sys.argv[1]), sys.argv[2:]
    with contextlib.suppress(ImportError, OSError, AttributeError):  # other systems than Linux
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != caller:  # the caller ended before the call of prctl
        sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
