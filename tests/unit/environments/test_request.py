"""Equivalent requests have the same key, others have other keys; credentials are not written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knit_core.environments import BadPackageSpec, ChannelUnreachable, PlatformMismatch
from knit_core.environments.inputs.packages import make_request
from knit_core.environments.redaction import without_secrets

_SPECS = st.lists(st.sampled_from(["numpy", "python=3.11", "dask >=2024", "pandas<3"]), min_size=1, unique=True)


@given(_SPECS, st.randoms())
def test_order_and_spaces_do_not_matter(specs: list[str], random: object) -> None:
    shuffled = [f"  {spec.replace(' ', '   ')} " for spec in specs] + specs[:1]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert make_request(shuffled, solver="rattler").key == make_request(specs, solver="rattler").key


def test_each_part_counts() -> None:
    keys = {
        make_request(["numpy"], ["a", "b"], platform="linux-64", solver="rattler").key,
        make_request(["numpy=2"], ["a", "b"], platform="linux-64", solver="rattler").key,
        make_request(["numpy"], ["b", "a"], platform="linux-64", solver="rattler").key,
        make_request(["numpy"], ["a", "b"], platform="linux-aarch64", solver="rattler").key,
        make_request(["numpy"], ["a", "b"], platform="linux-64", solver="conda").key,
    }
    assert len(keys) == 5


@pytest.mark.parametrize(
    ("said", "specs", "solver"),
    [
        ({"packages": ["numpy"], "pip": ["six"], "python": "3.12"}, ("numpy", "python=3.12"), "rattler"),
        ({"packages": ["numpy"], "python": "3.12"}, ("numpy", "python=3.12"), "rattler"),
        ({"packages": ["python >=3.10"], "pip": ["six"]}, ("python >=3.10",), "rattler"),
        ({"packages": [], "pip": ["six"], "python": "3.12"}, (), "uv"),
    ],
)
def test_where_python_comes_from(said: dict[str, object], specs: tuple[str, ...], solver: str) -> None:
    request = make_request(solver="rattler", **said)  # type: ignore[arg-type]
    assert (request.specs, request.solver) == (specs, solver)


def test_pip_counts_and_its_credentials_do_not() -> None:
    def request(*pip: str) -> str:
        made = make_request([], pip=pip, solver="rattler")
        assert "s3cret" not in str(made.document())
        return made.key

    assert request("six", "dask >=2") == request(" dask   >=2", "six", "six") != request("six")
    assert request("a @ https://u:s3cret@h/a.whl") == request("a @ https://u:0ther@h/a.whl")


def test_default_channel() -> None:
    assert make_request(["numpy"], solver="rattler").channels == ("conda-forge",)
    assert make_request(["numpy"], [], solver="rattler").channels == ("conda-forge",)


def test_channel_folders_become_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    request = make_request(["numpy"], ["./here", str(tmp_path / "x" / ".." / "here")], solver="rattler")
    assert request.channels == ((tmp_path / "here").as_uri(),)


def test_credentials_stay_out_and_do_not_change_the_key() -> None:
    def request(token: str) -> str:
        channels = [f"https://joe:{token}@conda.example.org/private", f"https://conda.example.org/t/{token}/other"]
        made = make_request(["numpy"], channels, solver="rattler")
        assert token not in str(made.document())
        assert token in made.channels[0]
        return made.key

    assert request("s3cret") == request("0ther")
    assert without_secrets("GET https://u:p@h/t/abc/x failed") == "GET https://h/t/***/x failed"


@pytest.mark.parametrize("packages", [[], "numpy", [""], ["--prefix=/"], ["/etc"], ["; d"]])
def test_no_packages(packages: list[str]) -> None:
    with pytest.raises(BadPackageSpec):
        make_request(packages, solver="rattler")


@pytest.mark.parametrize(
    "spec",
    [
        "python=3.11",
        "numpy >=1.26,<3",
        "numpy==2.*",
        "conda-forge::numpy",
        "a[build=py*]",
        "x 1.0 py_0",
        "_libgcc_mutex",
    ],
)
def test_conda_specifications_pass(spec: str) -> None:
    assert make_request([spec], solver="rattler").specs == (spec,)


@pytest.mark.parametrize("channel", ["no such channel!", "--override", "ftp://x/y"])
def test_bad_channel(channel: str) -> None:
    with pytest.raises(ChannelUnreachable) as caught:
        make_request(["numpy"], [channel], solver="rattler")
    assert not caught.value.transient


@pytest.mark.parametrize("platform", ["win-64", "osx-arm64", "linux64", "noarch"])
def test_platforms_without_yarn(platform: str) -> None:
    with pytest.raises(PlatformMismatch, match=f"{platform}.*linux-64"):
        make_request(["numpy"], platform=platform, solver="rattler")
