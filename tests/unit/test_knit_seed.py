"""The seed's exceptions stand for knit_core's, message and cause included."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from knit import CondaException, HDFSConfigException, Knit, KnitException, YARNException, zip_path
from knit.configuration import address, merged, settings
from knit.exceptions import translated
from knit_core import errors


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.NoClusterFound(["here"]), HDFSConfigException),
        (errors.ConfigError("x"), HDFSConfigException),
        (errors.SolveError("x"), CondaException),
        (errors.ConnectionFailed("x"), YARNException),
        (errors.ServiceUnavailable("x"), YARNException),
        (errors.UnexpectedReply("x"), YARNException),
        (errors.SpecError(["x"]), KnitException),
        (errors.QueueRefused("x"), KnitException),
    ],
)
def test_errors(error: errors.KnitError, kind: type[KnitException]) -> None:
    with pytest.raises(KnitException) as caught, translated():
        raise error
    assert type(caught.value) is kind
    assert str(caught.value).startswith(str(error))
    assert caught.value.__cause__ is error


def test_other_errors_stay() -> None:
    with pytest.raises(ZeroDivisionError), translated():
        _ = 1 / 0


def test_addresses() -> None:
    assert address("rm", 8088) == "http://rm:8088"
    assert address("https://rm:1", 8088) == "https://rm:1"


def test_what_the_keys_mean() -> None:
    conf = merged({"rm": "a", "rm_port": 1, "nn": "n", "lang": "C"}, {"rm": "b"})
    assert (conf["rm"], conf["rm_port"], conf["lang"], conf["nn_port"]) == ("b", 1, "C", 8020)
    assert settings(conf, None) == {
        "resourcemanager": "http://b:1",
        "namenode": "http://n:9870",
        "filesystem": "hdfs://n:8020",
    }
    raw = {
        "fs.defaultFS": "hdfs://x:1",
        "yarn.resourcemanager.webapp.https.address": "rm:8090",
        "replication_factor": 1,
    }
    assert settings(merged(raw, {"gateway_path": "/g", "password": "p"}), "/home/a/") == {
        "filesystem": "hdfs://x:1",
        "resourcemanager": "https://rm:8090",
        "gateway_path": "/g",
        "auth": "basic",
        "password": "p",
        "replication": 1,
        "staging": "/home/a/.knit",
    }
    assert settings(merged(None, {}), None) == {}


def test_a_password_where_one_is_needed() -> None:
    key = "hadoop.http.authentication.simple.anonymous.allowed"
    with pytest.raises(KnitException, match="no anonymous callers"):
        merged({key: "false"}, {})
    merged({key: "false"}, {"password": "x"})
    merged({key: "true"}, {})


def test_all_names_of_the_seed() -> None:
    import inspect

    import knit
    from knit.dask_yarn import DaskYARNCluster

    for name in ("Knit", "CondaCreator", "YARNAPI", "zip_path"):
        assert hasattr(knit, name)
    wanted = {
        knit.Knit.__init__: ["autodetect", "upload_always", "hdfs_home", "knit_home", "hdfs", "pars"],
        knit.Knit.start: [
            "cmd",
            "num_containers",
            "virtual_cores",
            "memory",
            "files",
            "envvars",
            "app_name",
            "queue",
            "checks",
            "env",
        ],
        knit.Knit.create_env: ["env_name", "packages", "remove", "channels", "conda_pars"],
        knit.YARNAPI.__init__: ["rm", "rm_port", "scheme", "gateway_path", "kerberos", "username", "password"],
        knit.YARNAPI.logs: ["app_id", "shell", "retries", "delay"],
        knit.CondaCreator.__init__: ["conda_root", "conda_envs", "miniconda_url", "channels", "conda_pkgs"],
        knit.zip_path: ["path", "out_file"],
        DaskYARNCluster.__init__: ["autodetect", "packages", "ip", "env", "channels", "conda_pars"],
        DaskYARNCluster.start: ["n_workers", "cpus", "memory", "checks"],
    }
    for function, names in wanted.items():
        found = [name for name in inspect.signature(function).parameters if name != "self"]
        assert found[: len(names)] == names, function
    methods = {
        knit.Knit: "add_containers get_containers get_container_statuses remove_containers logs print_logs kill status",
        knit.YARNAPI: "apps_info app_attempts app_containers container_status state status kill kill_all cluster_info",
    }
    for kind, names_of_it in methods.items():
        assert [name for name in names_of_it.split() if not callable(getattr(kind, name))] == []


def test_a_folder_as_a_zip(tmp_path: Path) -> None:
    folder = tmp_path / "env"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "tool").write_text("x")
    (folder / "bin" / "tool").chmod(0o755)
    (folder / "bin" / "link").symlink_to("tool")
    made = zip_path(str(folder))
    assert made == str(tmp_path / "env.zip")
    with zipfile.ZipFile(made) as packed:
        modes = {entry.filename: entry.external_attr >> 16 for entry in packed.infolist()}
        assert packed.read("env/bin/link") == b"tool"
    assert modes["env/bin/tool"] & 0o777 == 0o755
    assert stat.S_ISLNK(modes["env/bin/link"])
    assert zip_path(str(folder), str(tmp_path / "other.zip")) == str(tmp_path / "other.zip")
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        zip_path("nowhere")


@pytest.mark.long
def test_no_resourcemanager_there() -> None:
    with pytest.raises(YARNException, match=r"127\.0\.0\.1:1\b.*gateway_path"):
        Knit(rm="127.0.0.1", rm_port=1, nn="127.0.0.1", user="alice").start("true")


def test_bad_arguments_before_anything_is_asked() -> None:
    k = Knit(rm="127.0.0.1", rm_port=1, user="alice")
    assert repr(k) == "Knit<RM=127.0.0.1:1>"
    assert k.runtime_status() == "NONE"
    for call in (k.logs, k.status, k.get_containers, k.kill, k.wait_for_completion):
        with pytest.raises(KnitException, match="No application was started"):
            call()
    with pytest.raises(KnitException, match="files is a list"):
        k.start("true", files="x.zip")  # type: ignore[arg-type]
    with pytest.raises(KnitException, match="number of MiB"):
        k.start("true", memory="lots")  # type: ignore[arg-type]
