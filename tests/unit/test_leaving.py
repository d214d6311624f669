"""`knit_container.leaving()`: what SIGTERM means to a program that asks."""

from __future__ import annotations

import signal
import subprocess
import sys

PROGRAM = """
import sys, threading, time
import knit_container
assert knit_container.leaving() is False
other = []
thread = threading.Thread(target=lambda: other.append(knit_container.leaving()))
thread.start(); thread.join()
print("looping", other, flush=True)
deadline = time.monotonic() + 30
while not knit_container.leaving() and time.monotonic() < deadline:
    time.sleep(0.01)
print("left", flush=True)
sys.exit(143)
"""


def test_a_program_that_asks_leaves_in_order() -> None:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "looping [False]\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "left\n"
        assert process.wait(30) == 143
    finally:
        process.kill()
        process.communicate()


def test_the_first_call_is_in_the_main_thread() -> None:
    program = (
        "import threading, knit_container\n"
        "def call():\n"
        "    try:\n"
        "        knit_container.leaving()\n"
        "    except RuntimeError as error:\n"
        "        print(error)\n"
        "thread = threading.Thread(target=call); thread.start(); thread.join()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert "main thread" in done.stdout
