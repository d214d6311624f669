"""Solving and installing: py-rattler, a conda program, uv, a Python of this machine."""
