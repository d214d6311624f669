"""The kinds of input that an environment is made from. Each kind has one file:

    packages.py           packages, channels, pip
    environment_file.py   file=environment.yml
    requirements.py       file=requirements.txt, pyproject.toml, uv.lock
    locks/                file=conda-lock.yml, an @EXPLICIT list, pylock.toml, pixi.lock
    venv.py               venv: a virtual environment of this machine
    prefix.py             prefix: an installed conda environment

`archive` and `path` need no build: `knit_core.model.environment` makes their `Environment`.

To add a kind: write its file here, with a function that returns a `Source`, and call it in `EnvironmentInput.source`. Add an
argument to `EnvironmentInput` if the input is not a file. If no session in `knit_core.environments.solve` installs its
packages, add one there. The builder needs no change.
"""
