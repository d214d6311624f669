"""Command lines of DistributedShell and TonY, and tony.xml: what is converted, what is lost, what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from knit_core.convert import convert_files
from knit_core.convert.tony_runtime import FRAMEWORKS
from knit_core.errors import SpecError
from tests.unit.convert.harness import converted, lost, refused, set_fields

SHELL = """\
#!/bin/sh
# counts
yarn jar /opt/hadoop/share/hadoop-yarn-applications-distributedshell-3.3.6.jar \\
  org.apache.hadoop.yarn.applications.distributedshell.Client \\
  -jar /opt/hadoop/share/hadoop-yarn-applications-distributedshell-3.3.6.jar \\
  -appname counting --priority=3 -queue science -timeout 60000 \\
  -shell_script ./bin/count.sh -shell_args one 'two words' "thr\\"ee" \\
  -shell_env DAY=2026-11-30 -shell_env "WHERE=\\$HOME" -shell_env EMPTY \\
  -num_containers 2 -container_memory 256 -container_vcores 2 \\
  -container_resources yarn.io/gpu=1,fpga=2 \\
  -container_type OPPORTUNISTIC -promote_opportunistic_after_start \\
  -container_retry_policy 2 -container_retry_error_codes 3,7 -container_max_retries 4 -container_retry_interval 5000 \\
  -master_memory 100 -attempt_failures_validity_interval 120000 -node_label_expression fast \\
  -keep_containers_across_application_attempts -localize_files a.txt,b.txt -flow_name nightly -debug || exit 1
"""


def test_distributed_shell() -> None:
    conversion = converted(SHELL)
    spec = conversion.spec
    assert (conversion.kind, spec.name, spec.queue, spec.priority, spec.lifetime) == (
        "distributedshell",
        "counting",
        "science",
        3,
        60,
    )
    assert (spec.attempt_window, spec.master_label, spec.master_memory) == (120, "fast", None)
    assert set_fields(conversion, "shell") | {"fatal_codes": []} == {
        "node_label": "fast",
        "command": 'bash count.sh one two words thr"ee',
        "files": [
            {"source": "./bin/count.sh", "name": "count.sh", "type": "FILE"},
            {"source": "a.txt", "name": "a.txt", "type": "FILE"},
            {"source": "b.txt", "name": "b.txt", "type": "FILE"},
        ],
        "instances": 2,
        "memory": 256,
        "vcores": 2,
        "gpus": 1,
        "resources": {"fpga": 2},
        "opportunistic": True,
        "variables": {"DAY": "2026-11-30", "WHERE": "$HOME", "EMPTY": ""},
        "required": False,
        "restart": {"policy": "on-failure", "limit": 4, "first_delay": 5.0, "longest_delay": 60},
        "fatal_codes": [],
    }
    assert set(range(1, 256)) - set(spec.services["shell"].fatal_codes) == {3, 7}
    assert lost(conversion) == {
        "variable WHERE": 8,
        "-promote_opportunistic_after_start": 11,
        "master_memory": 13,
        "-flow_name": 14,
        "-debug": 14,
    }


def test_a_command_of_one_line() -> None:
    conversion = converted(
        "yarn jar x-distributedshell.jar -jar x-distributedshell.jar -shell_command 'ls -l | wc' --shell_args -a"
    )
    assert (conversion.spec.name, set_fields(conversion, "shell")) == (
        "DistributedShell",
        {"command": "ls -l | wc -a", "instances": 1, "required": False},
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("-shell_comand x", "-shell_comand: unknown option; did you mean -shell_command?"),
        ("-shell_command ls -Dx=y", "-Dx: unknown option"),
        ("-shell_command $(id)", "one command is read, not a script: '('"),
        ('-shell_command "echo $DAY"', "-shell_command: 'echo $DAY' has a variable of the calling shell"),
        ("-shell_command `id`", "has a command of the calling shell"),
        ("-shell_command ls; rm x", "one command is read, not a script: ';'"),
        ("-shell_command ls\nyarn x", "x:2: a second command begins here"),
        ("-shell_command 'ls", "x:1: the quote that begins here is not closed"),
        ("-shell_command ls extra", "'extra': it belongs to no option"),
        ("-shell_command ls -num_containers many", "num_containers: should be a whole number, not 'many'"),
        ("-shell_command ls -num_containers", "-num_containers: its value is missing"),
        ("-shell_command ls -container_memory 99999999999999999999", "container_memory: should be a whole number"),
        ("-shell_command ls -container_resources gpu=2G", "should be type=amount without unit, not 'gpu=2G'"),
        ("-shell_command ls -shell_script x", "there should be one of shell_command and shell_script"),
        ("-shell_command ls -container_resource_profile big", "what it stands for is only known to the cluster"),
        ("-shell_command ls -placement_spec zk=3,NOTIN,NODE,zk", "placement constraints have no equivalent"),
        ("-shell_command ls -container_type BEST", "should be GUARANTEED or OPPORTUNISTIC, not 'BEST'"),
        ("-shell_command ls -container_retry_policy 2", "should be exit codes, separated by commas"),
        ("-shell_command ls -help", "--help launches nothing"),
    ],
)
def test_refused_command_lines(options: str, words: str) -> None:
    problems = refused(f"yarn jar a-distributedshell.jar {options}", name="x", kind="distributedshell")
    assert any(words in problem for problem in problems), problems


TONY = """\
java -cp "`hadoop classpath --glob`:job/*" com.linkedin.tony.cli.ClusterSubmitter \\
  --executes=models/train.py \\ # relative path inside src
  --task_params="--steps 5 --out '/tmp/x y'" \\
  --python_venv=venvs/my.zip --python_binary_path=Python/bin/python \\
  -src_dir src.zip -shell_env A=1 -container_env B=2 \\
  -conf tony.worker.memory=256m -conf_file job.xml
"""
XML = """\
<?xml version="1.0"?>
<configuration>
  <!-- who works -->
  <property><name>tony.application.name</name><value>learn</value></property>
  <property>
    <name>tony.worker.instances</name>
    <value>2</value>
  </property>
  <property><name>tony.worker.memory</name><value>4g</value></property>
  <property><name>tony.worker.gpus</name><value>1</value></property>
  <property><name>tony.worker.resources</name><value>a.txt,b.zip::data#archive</value></property>
  <property><name>tony.ps.instances</name><value>1</value></property>
  <property><name>tony.ps.memory</name><value>512m</value></property>
  <property><name>tony.chief.instances</name><value>0</value></property>
  <property><name>tony.chief.memory</name><value>1g</value></property>
  <property><name>tony.yarn.queue</name><value>science</value></property>
  <property><name>tony.application.tags</name><value>x, y</value></property>
  <property><name>tony.application.timeout</name><value>60000</value></property>
  <property><name>tony.application.security.enabled</name><value>false</value></property>
  <property><name>tony.am.retry-count</name><value>1</value></property>
  <property><name>tony.docker.enabled</name><value>true</value></property>
  <property><name>tony.docker.containers.image</name><value>tf:2</value></property>
  <property><name>tony.history.location</name><value>/history</value></property>
  <property><name>tony.worker.max-instances</name><value>5</value></property>
</configuration>
"""


def test_tony() -> None:
    conversion = converted(TONY, ("job.xml", XML), name="run.sh")
    spec = conversion.spec
    assert (conversion.kind, spec.name, spec.queue, spec.tags, spec.lifetime) == (
        "tony",
        "learn",
        "science",
        ("x", "y"),
        60,
    )
    assert (spec.attempts, spec.completion) == (2, ("worker",))
    worker, ps = spec.services["worker"], spec.services["ps"]
    assert (worker.instances, worker.memory, worker.gpus, worker.gang, worker.required) == (2, 256, 1, 0, False)
    assert (ps.instances, ps.memory, ps.gang, ps.required) == (1, 512, 0, True)
    assert worker.command.splitlines()[-1] == "venv/Python/bin/python models/train.py --steps 5 --out '/tmp/x y'"
    assert worker.command.splitlines()[0] == "cp -R src/. . || exit 1"
    assert worker.variables == {"A": "1", "B": "2"}
    assert worker.docker is not None and worker.docker.image == "tf:2"
    assert [(each.source, each.link, each.type and each.type.value) for each in worker.files] == [
        ("venvs/my.zip", "venv", "ARCHIVE"),
        ("src.zip", "src", "ARCHIVE"),
        ("a.txt", "a.txt", "FILE"),
        ("b.zip", "data", "ARCHIVE"),
    ]
    assert {(loss.file, loss.line, loss.what) for loss in conversion.lost} == {
        ("job.xml", 5, "tony.worker.instances"),
        ("job.xml", 19, "tony.application.security.enabled"),
        ("job.xml", 20, "tony.am.retry-count"),
        ("job.xml", 23, "tony.history.location"),
        ("job.xml", 24, "tony.worker.max-instances"),
        ("job.xml", 15, "tony.chief.memory"),
    }


def test_the_file_that_a_command_line_names_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text(TONY)
    with pytest.raises(SpecError, match=r"run\.sh:6: -conf_file job\.xml: name it too"):
        convert_files([tmp_path / "run.sh"])
    (tmp_path / "job.xml").write_text(XML)
    assert convert_files([tmp_path / "run.sh"]).spec.name == "learn"


def xml(**values: Any) -> str:
    """tony.xml with one worker, and these values (`_` for `.`)."""
    given = {"tony.worker.instances": 1, "tony.worker.command": "true"} | {
        f"tony.{key.replace('_', '.')}": value for key, value in values.items()
    }
    rows = "".join(f"<property><name>{name}</name><value>{value}</value></property>\n" for name, value in given.items())
    return f"<configuration>\n{rows}</configuration>"


def test_stages_and_other_jobs() -> None:
    text = xml(**{"application_prepare-stage": "loader", "loader_instances": 1, "loader_command": "load",
                  "application_fail-on-worker-failure-enabled": "true", "application_framework": "standalone",
                  "tensorboard_instances": 1, "tensorboard_command": "tb", "application_distributed-mode": "FCFS"})  # fmt: skip
    spec = converted(text).spec
    assert {name: value.value for name, value in spec.services["worker"].depends_on.items()} == {"loader": "succeeded"}
    assert (spec.services["worker"].required, spec.services["tensorboard"].required) == (True, False)
    assert spec.completion == ("worker", "loader")


def test_a_time_for_allocation_makes_a_gang() -> None:
    """Not longer than YARN leaves containers unused."""
    text = xml(**{"container_allocation_timeout": 60000, "worker_instances": 3, "ps_instances": 1, "ps_command": "x"})
    spec = converted(text).spec
    assert (spec.services["worker"].gang, spec.services["ps"].gang) == (60, 0)
    assert converted(text.replace("60000", "3600000")).spec.services["worker"].gang == 540


def test_a_preparing_job_does_not_wait_for_the_addresses_of_those_that_wait_for_it() -> None:
    text = xml(**{"application_prepare-stage": "loader", "loader_instances": 1, "loader_command": "load"})
    conversion = converted(text)
    assert '"worker": 1' not in set_fields(conversion, "loader")["command"]
    assert '"worker": 1' in set_fields(conversion, "worker")["command"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (xml(application_framework="horovod"), "'horovod' is none of tensorflow, pytorch, mxnet, standalone"),
        (xml(application_framework="mxnet"), "mxnet needs a job 'scheduler'"),
        (xml(worker_instances=0), "there is nothing to run"),
        (xml(worker_instances="a lot"), "tony.worker.instances: should be a whole number, not 'a lot'"),
        (xml(worker_memory="lots"), "tony.worker.memory: memory is a number of MiB"),
        (xml(worker_command=""), "tony.worker.command: there is no command"),
        (xml(application_untracked_jobtypes="worker"), "no job is waited for: it would have no end"),
        (xml(**{"application_enable-preprocess": "true"}), "the ApplicationMaster runs no program"),
        (xml(worker_resources="a::b::c"), "should be path::name#archive, not 'a::b::c'"),
        (xml(worker_resources="/x::../../etc/passwd"), "must be a name without a path"),
        ("<configuration><property><value>tony.</value></property></configuration>", "a property without a name"),
        ("<configuration>tony.<property></configuration>", "not XML: mismatched tag"),
    ],
)  # fmt: skip
def test_refused_configurations(text: str, words: str) -> None:
    problems = refused(text, kind="tony")
    assert any(words in problem for problem in problems), problems


def test_a_folder_of_sources_is_to_be_an_archive() -> None:
    (problem,) = refused(TONY.replace("src.zip", "src"), ("job.xml", XML), name="run.sh")
    assert problem.startswith(
        "run.sh:5: -src_dir src: it is a folder: make an archive of what is in it (cd src && zip -r"
    )


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_variables_of_a_framework(framework: str, tmp_path: Path) -> None:
    """The setup lines run in bash, beside a `knit_container` that knows the other instance's address."""
    text = xml(application_framework=framework, worker_instances=2, scheduler_instances=1, scheduler_command="true")
    setup = set_fields(converted(text), "worker")["command"].rpartition("\n")[0]
    (tmp_path / "knit_container.py").write_text(
        "instance = 1\n"
        "class Store(dict):\n"
        "    def wait(self, key):\n"
        "        return self.get(key) or {'tony/worker/0': 'a:1', 'tony/scheduler/0': 'localhost:2'}[key]\n"
        "kv = Store()\n"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "KNIT_INSTANCE": "1", "KNIT_INSTANCES": "2",
                   "KNIT_APP_ID": "application_1_1"}  # fmt: skip
    show = f"{sys.executable} -c 'import os; print(sorted(os.environ.items()))'"
    done = subprocess.run(
        ["bash", "-c", f"{setup}\n{show}"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = dict(eval(done.stdout))
    assert (found["JOB_NAME"], found["TASK_INDEX"], found["TASK_NUM"]) == ("worker", "1", "2")
    if framework == "tensorflow":
        assert '"task": {"type": "worker", "index": 1}' in found["TF_CONFIG"]
    elif framework == "pytorch":
        assert (found["INIT_METHOD"], found["RANK"], found["WORLD"]) == ("tcp://a:1", "1", "2")
    elif framework == "mxnet":
        assert (found["DMLC_PS_ROOT_PORT"], found["DMLC_NUM_WORKER"], found["DMLC_ROLE"]) == ("2", "2", "worker")
    assert ("CLUSTER_SPEC" in found) == (framework != "standalone")
