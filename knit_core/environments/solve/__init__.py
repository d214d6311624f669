"""Sessions: they find the packages of an environment and install them into a prefix. One file for each way to do so.

    rattler.py          conda packages by py-rattler
    conda.py            conda packages by a program: conda, mamba, micromamba
    python_session.py   a copy of a Python of this machine; packages of an index on top of another session, by uv
    venv_session.py     the packages of a virtual environment

To add a way: a subclass of `session.Session`. `knit_core.environments.inputs` opens it.
"""
