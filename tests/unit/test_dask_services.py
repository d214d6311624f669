"""A Dask cluster as a specification: sizes, refusals, and that no secret is in it."""

from __future__ import annotations

import json
import shlex
import stat
import warnings
from pathlib import Path
from typing import Any

import pytest
from distributed import Security

from knit_core.dask_yarn import DaskYARNCluster, launching, tls
from knit_core.dask_yarn.services import Layout, WorkerGroup, layout_of, memory_limit_of, specification
from knit_core.dask_yarn.versions import VersionMismatch, mismatch_message, mismatches
from knit_core.environments import Environment
from knit_core.errors import ConfigError, SpecError, StagingError
from knit_core.model.environment import PackageVersion
from knit_core.spec import application_spec

GIB = 2**30


@pytest.mark.parametrize(
    ("group", "limit"),
    [
        (WorkerGroup(memory="10 GiB"), 9 * GIB),
        (WorkerGroup(memory="10 GiB", processes=3), 3 * GIB),
        (WorkerGroup(memory=512), 384 * 2**20),
        (WorkerGroup(memory=512, nanny=False), 448 * 2**20),
        (WorkerGroup(memory=100), 50 * 2**20),
        (WorkerGroup(memory=100, memory_limit=7), 7),
    ],
)
def test_the_memory_limit_leaves_room(group: WorkerGroup, limit: int) -> None:
    assert memory_limit_of(group) == limit


def options(spec: dict[str, Any], service: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(spec["services"][service]["command"][3])
    return found


def test_the_specification_is_one_that_knit_takes() -> None:
    groups = {
        "cpu": WorkerGroup(3, "4 GiB", 4, processes=2, worker_resources={"BIG": 1}, variables={"A": "cpu"}),
        "gpu": WorkerGroup(1, gpus=1, node_label="gpu", threads=1, preload=["rmm"], ports="40000:40010"),
    }
    layout = Layout(
        groups, env="/opt/env.tar.gz", idle_timeout="1 h", variables={"A": "all", "B": "1"}, scheduler_restarts=1
    )
    mapping = specification(layout, "/tmp/x/dask-tls.json", name="science", tags=("t",))
    spec = application_spec(mapping)
    assert spec.completion == ()
    assert set(spec.tags) == {"t", "dask"}
    cpu, gpu, scheduler = (spec.services[name] for name in ("cpu", "gpu", "scheduler"))
    assert (cpu.instances, cpu.memory, cpu.vcores, cpu.variables) == (3, 4096, 4, {"A": "cpu", "B": "1"})
    assert (options(mapping, "cpu")["threads"], options(mapping, "cpu")["processes"]) == (2, 2)
    assert (gpu.gpus, gpu.node_label, options(mapping, "gpu")["threads"]) == (1, "gpu", 1)
    assert options(mapping, "scheduler")["groups"] == {
        "cpu": {"processes": 2, "resources": {"BIG": 1}},
        "gpu": {"processes": 1, "resources": {}},
    }
    assert scheduler.manages
    assert not cpu.manages
    assert not cpu.required
    assert [file.link for file in gpu.files] == ["dask_node.py", "dask-tls.json"]
    assert scheduler.restart.limit == 1


def test_a_script_ends_the_application() -> None:
    layout = Layout({"worker": WorkerGroup(2)}, script=["work.py", "it's", "$HOME"])
    spec = application_spec(specification(layout))
    assert spec.must_succeed == ("script",)
    assert shlex.split(spec.services["script"].command)[4:] == ["work.py", "it's", "$HOME"]


def test_wrong_options_are_named_together() -> None:
    with pytest.raises(SpecError) as caught:
        layout_of(1, None, {"memroy": 3, "nothing_like_it_at_all": 1})
    assert "did you mean 'memory'?" in str(caught.value)
    assert len(caught.value.problems) == 2
    with pytest.raises(SpecError, match=r"with `groups`.*memory, n_workers"):
        layout_of(1, {"a": WorkerGroup()}, {"memory": 1})
    with pytest.raises(SpecError, match="'start_timout' is no option of a Dask cluster; did you mean 'start_timeout'"):
        DaskYARNCluster(start_timout=5)
    with pytest.raises(SpecError, match="did you mean 'n_workers'"):
        DaskYARNCluster(workers=5)


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        (Layout({}), "at least one group"),
        (Layout({"scheduler": WorkerGroup()}), "cannot be the name of a group"),
        (Layout({"a": WorkerGroup(processes=0)}), "processes must be at least 1"),
        (Layout({"a": WorkerGroup(processes=2, nanny=False)}), "require nannies"),
        (Layout({"a": WorkerGroup(memory=100, memory_limit=200 * 2**20)}), "exceeds the container's memory"),
        (Layout({"a": WorkerGroup()}, local=True, script=["x.py"]), "requires a scheduler in the application"),
    ],
)
def test_what_does_not_fit_together(layout: Layout, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        specification(layout)


def test_another_size() -> None:
    layout = Layout({"a": WorkerGroup(1, 100, 3), "b": WorkerGroup(5)}).sized(10, None, 4096)
    assert (layout.groups["a"].n_workers, layout.groups["a"].vcores, layout.groups["a"].memory) == (10, 3, 4096)
    assert layout.groups["b"] == WorkerGroup(5)


def test_keys_lie_in_a_file_that_only_its_owner_reads_and_nowhere_else() -> None:
    security = tls.security_of(True)
    with tls.key_file(security) as name:
        path = Path(name)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        written = json.loads(path.read_text())
        assert "PRIVATE KEY" in written["tls_scheduler_key"]
        assert "PRIVATE KEY" not in str(specification(Layout({"worker": WorkerGroup()}), name))
    assert not path.parent.exists()
    again = Security(require_encryption=True, **written)
    assert again.get_connection_args("client")["ssl_context"] is not None


def test_each_cluster_has_keys_of_its_own() -> None:
    assert tls.contents(tls.security_of(None)) != tls.contents(tls.security_of(None))


def test_keys_of_ones_own(tmp_path: Path) -> None:
    keys = tls.contents(tls.security_of(True))
    names = {}
    for field, text in keys.items():
        (tmp_path / field).write_text(text)
        names[field] = str(tmp_path / field)
    given = Security(require_encryption=True, **names)
    assert tls.security_of(given) is given
    assert tls.contents(given) == keys
    (tmp_path / "tls_worker_cert").unlink()
    with pytest.raises(ConfigError, match=r"tls_worker_cert .* cannot be read"):
        tls.contents(given)
    with pytest.raises(ConfigError, match="no tls_client_cert"):
        tls.contents(Security(require_encryption=True, tls_ca_file=names["tls_ca_file"]))


def test_no_encryption() -> None:
    security = tls.security_of(False)
    with tls.key_file(security) as name:
        assert name == ""
    with pytest.raises(ConfigError, match="security must be True, False or"):
        tls.security_of("yes")


class _Hdfs:
    def read(self, path: str) -> bytes | None:
        return None


def test_keys_that_are_not_there() -> None:
    assert not tls.read_back(_Hdfs(), "/user/alice/.knit", "").require_encryption
    with pytest.raises(StagingError, match=r"/user/alice/.knit/cache/abc/dask-tls.json"):
        tls.read_back(_Hdfs(), "/user/alice/.knit", "abc")


def test_versions_that_differ_are_named() -> None:
    here = {"python": "3.11.7", "dask": "2026.8.0", "distributed": "2026.8.0", "numpy": "2.4.6", "pandas": "3.0.1"}
    assert mismatches(here, {**here, "python": "3.11.9", "numpy": "2.4.1"}) == []
    assert mismatches(here, {**here, "python": "3.12.1", "dask": "2025.9.1"}) == [
        "python: 3.11.7 here, 3.12.1 in the cluster",
        "dask: 2026.8.0 here, 2025.9.1 in the cluster",
    ]
    without = {name: version for name, version in here.items() if name not in {"distributed", "pandas"}}
    assert mismatches(here, without) == ["distributed: 2026.8.0 here, none in the cluster"]
    assert mismatch_message([]) == ""


def test_an_environment_whose_packages_are_known_is_compared_before_the_launch() -> None:
    def environment(distributed: str) -> Environment:
        found = launching.versions()
        packages = [PackageVersion(name, version) for name, version in found.items() if name != "distributed"]
        return Environment("x", "/x.tar.gz", "k", packages=(*packages, PackageVersion("distributed", distributed)))

    with pytest.warns(VersionMismatch, match="distributed: .* here, 2020.1.0 in the cluster"):
        launching.warn_before(Layout({"worker": WorkerGroup()}, env=environment("2020.1.0")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        launching.warn_before(Layout({"worker": WorkerGroup()}, env=environment(launching.versions()["distributed"])))
        launching.warn_before(Layout({"worker": WorkerGroup()}, env="/opt/env.tar.gz"))
