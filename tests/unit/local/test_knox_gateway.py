"""Knox of the embedded cluster: files, passwords, master secret, certificate, command, variables for a shell. No JVM."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import stat
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import pkcs12

from knit_core.cli.cluster.local import local
from knit_core.local import LocalCluster, LocalClusterError, NotRunning, bringup, daemons, jars, ports, rest
from knit_core.local.configuration_files import Setup, configuration
from knit_core.local.daemon_status import url_of
from knit_core.local.gateways import knox_files, knox_home
from knit_core.local.records import Record
from knit_core.local.secure import certificates
from tests.unit.local.test_configuration_files import properties
from tests.unit.local.test_gateways import JAVA, fetched, planned

__all__ = ["fetched"]


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    folder = tmp_path / "knox-jars"
    folder.mkdir()
    with zipfile.ZipFile(folder / f"gateway-service-definitions-{knox_files.VERSION}.jar", "w") as archive:
        archive.writestr("services/yarnui/2.7.0/service.xml", "<service/>")
        archive.writestr("META-INF/other", "")
    chosen = ports.choose(1, {}, gateways=["knox"], free=lambda _address, _port: True)
    return Setup(
        tmp_path, tmp_path / "jars", chosen, "me", knox=True, gateway_jars={"knox": folder}, users=("alice", "bob")
    )


def logins(setup: Setup) -> dict[str, str]:
    """Passwords by user, as the topology has them."""
    text = (setup.knox_dir / "conf" / "topologies" / "default.xml").read_text()
    rows = [(row.findtext("name", ""), row.findtext("value", "")) for row in ElementTree.fromstring(text).iter("param")]
    return {name.removeprefix("users."): value for name, value in rows if name.startswith("users.")}


def private_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.stat().st_mode & 0o077:
            yield path


def test_each_user_has_a_password_that_stays(setup: Setup) -> None:
    knox_home.prepare(setup, ["me", "alice", "bob"])
    first = logins(setup)
    assert set(first) == {"me", "alice", "bob"}
    assert len(set(first.values())) == 3
    assert min(map(len, first.values())) >= 24
    knox_home.prepare(setup, ["me", "carol"])
    assert logins(setup) == knox_home.passwords(setup) == {**first, "carol": knox_home.passwords(setup)["carol"]}
    other = replace(setup, state=setup.state / "other")
    knox_home.prepare(other, ["alice"])
    assert knox_home.passwords(other)["alice"] != first["alice"]


def test_what_is_secret_is_readable_by_this_user_only(setup: Setup) -> None:
    knox_home.prepare(setup, ["alice"])
    names = {path.relative_to(setup.knox_dir).as_posix() for path in private_files(setup.knox_dir)}
    assert {"passwords.json", "password", "server.p12", "conf/topologies/default.xml", "data/security/master"} <= names
    assert stat.S_IMODE(setup.knox_dir.stat().st_mode) == 0o700


def test_a_topology_that_did_not_change_is_not_deployed_again(setup: Setup) -> None:
    knox_home.prepare(setup, ["alice"])
    path = setup.knox_dir / "conf" / "topologies" / "default.xml"
    before = path.stat().st_ino, path.stat().st_mtime_ns
    knox_home.prepare(setup, ["alice"])
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == before


def test_the_master_file_is_what_knox_decrypts() -> None:
    tag, line = knox_home.master_file("the secret").splitlines()
    assert tag.startswith("#1.0#")
    salt, vector, encrypted = (base64.b64decode(part) for part in base64.b64decode(line).split(b"::"))
    key = hashlib.pbkdf2_hmac("sha1", b"masterpassphrase", salt, 65536, 16)
    decryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).decryptor()
    padded = decryptor.update(encrypted) + decryptor.finalize()
    assert padded[: -padded[-1]] == b"the secret"
    assert knox_home.master_file("the secret") != knox_home.master_file("the secret")


def test_the_master_secret_opens_its_certificate(setup: Setup) -> None:
    knox_home.prepare(setup, ["alice"])
    secret = (setup.knox_dir / certificates.PASSWORD).read_bytes()
    store = pkcs12.load_pkcs12((setup.knox_dir / certificates.KEYSTORE).read_bytes(), secret)
    assert store.cert is not None
    assert store.cert.friendly_name == b"gateway-identity"
    assert isinstance(store.key, RSAPrivateKey)  # Knox signs its tokens with RSA only
    site = properties((setup.knox_dir / "conf" / "gateway-site.xml").read_text())
    assert site["gateway.tls.keystore.path"] == str(setup.knox_dir / certificates.KEYSTORE)
    assert (site["gateway.host"], site["gateway.port"]) == ("127.0.0.1", "8443")
    assert not [key for key in site if "truststore" in key or "kerberos" in key]


def test_the_services_behind_it_and_their_definitions(setup: Setup) -> None:
    knox_home.prepare(setup, ["alice"])
    topology = ElementTree.fromstring((setup.knox_dir / "conf" / "topologies" / "default.xml").read_text())
    services = {row.findtext("role"): row.findtext("url") for row in topology.iter("service")}
    assert services["WEBHDFS"] == "http://127.0.0.1:9870/webhdfs"
    assert services["YARNUI"] == "http://127.0.0.1:8088"
    assert services["NAMENODE"] == "hdfs://127.0.0.1:9820"
    assert (setup.knox_dir / "data/services/yarnui/2.7.0/service.xml").is_file()
    assert not (setup.knox_dir / "data/META-INF").exists()
    provider = setup.knox_dir / "conf/META-INF/services/org.apache.knox.gateway.services.GatewayServices"
    assert provider.read_text() == "org.apache.knox.gateway.services.DefaultGatewayServices\n"


def test_with_tls_it_trusts_the_daemons_authority(setup: Setup) -> None:
    secure = replace(setup, tls=True)
    certificates.make(secure.tls_dir, ["127.0.0.1"])
    knox_home.prepare(secure, ["alice"])
    site = properties((secure.knox_dir / "conf" / "gateway-site.xml").read_text())
    store = Path(site["gateway.httpclient.truststore.path"])
    secret = (secure.knox_dir / certificates.PASSWORD).read_bytes()
    (trusted,) = pkcs12.load_pkcs12(store.read_bytes(), secret).additional_certs
    authority = (secure.tls_dir / certificates.CA).read_bytes()
    assert trusted.certificate.public_bytes(certificates_pem()) == authority
    assert "https://localhost:9870/webhdfs" in (secure.knox_dir / "conf/topologies/default.xml").read_text()


def certificates_pem() -> object:
    from cryptography.hazmat.primitives.serialization import Encoding

    return Encoding.PEM


def test_with_kerberos_it_logs_in_and_may_act_for_its_users(setup: Setup) -> None:
    secure = replace(setup, kerberos=True)
    files = knox_files.files(secure, Path("/store"), Path("/trust"))
    site = properties(files["gateway-site.xml"])
    assert site["gateway.hadoop.kerberos.secured"] == "true"
    assert site["java.security.krb5.conf"] == str(secure.kerberos_dir / "krb5.conf")
    assert site["java.security.auth.login.config"].endswith("/knox/conf/login.conf")
    lines = files["login.conf"].splitlines()
    assert {f'keyTab="{secure.kerberos_dir}/knox.keytab"', 'principal="knox@KNIT.LOCAL"'} <= set(lines)
    core = properties(configuration(secure)["core-site.xml"])
    assert core["hadoop.proxyuser.knox.users"] == "*"
    assert "hadoop.proxyuser.knox.users" not in properties(configuration(setup)["core-site.xml"])


def test_what_is_not_fetched_with_it() -> None:
    bundle = knox_files.bundle()
    text = jars.pom(bundle)
    for group in ("org.jetbrains.pty4j", "com.sun.xml.ws"):
        assert text.count(f"<exclusion><groupId>{group}</groupId>") == len(bundle.modules)


def test_its_command(setup: Setup, tmp_path: Path) -> None:
    command = daemons.command("knox", setup, JAVA, {})
    assert command.argv[-1] == "org.apache.knox.gateway.GatewayServer"
    assert f"-DGATEWAY_HOME={tmp_path}/knox" in command.argv
    assert {f"{daemons.MARK}{tmp_path}", f"{daemons.PROCESS_MARK}knox"} <= set(
        command.argv
    )  # for the sweep after a kill
    found = sorted(setup.gateway_jars["knox"].glob("*.jar"))
    assert command.env["CLASSPATH"] == f"{tmp_path}/knox/conf:{found[0]}"
    assert url_of(setup, "knox") == "https://127.0.0.1:8443/gateway/default"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (OSError("refused"), "does not answer HTTP requests"),
        ((404, None), "has not deployed its topology"),
        ((401, None), "has not deployed its topology"),  # an older one, without the newest user
        ((200, {}), None),
        ((502, None), None),  # the NameNode behind it is another daemon's fault
    ],
)
def test_it_serves_when_its_newest_user_can_log_in(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, answer: object, problem: str | None
) -> None:
    knox_home.prepare(setup, ["alice"])
    knox_home.add_users(setup, ["aaron"])

    def call(_setup: Setup, _method: str, port_name: str, path: str, *, login: tuple[str, str]) -> object:
        assert login == ("aaron", knox_home.passwords(setup)["aaron"])
        assert (port_name, path.startswith("/gateway/default/webhdfs/v1/")) == ("knox", True)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(rest, "call", call)
    assert daemons.unready("knox", setup) == problem


def test_a_new_user_of_a_running_cluster_gets_a_password(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    knox_home.prepare(setup, ["alice"])
    monkeypatch.setattr(rest, "webhdfs", lambda *_arguments, **_options: None)
    bringup.make_home(Record(setup, JAVA), "carol")
    assert set(logins(setup)) == {"alice", "carol"}


def test_a_gateway_that_does_not_take_a_new_user_is_told(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["has not deployed its topology", None])
    monkeypatch.setattr(daemons, "unready", lambda _name, _setup: next(answers))
    bringup.wait_for_gateway(setup)
    assert next(answers, "asked until it did") == "asked until it did"
    bringup.wait_for_gateway(replace(setup, knox=False))
    monkeypatch.setattr(daemons, "unready", lambda _name, _setup: "has not deployed its topology")
    with pytest.raises(LocalClusterError, match="8443/gateway/default does not take the new user: it has not deployed"):
        bringup.wait_for_gateway(setup, timeout=0.0)


def test_who_may_log_in_when_no_users_are_named(tmp_path: Path, fetched: list[str]) -> None:
    record = planned(tmp_path, knox=True)
    assert record.setup.users == ("alice", "bob")
    assert fetched == ["hadoop-3.4.2", "knox-2.0.0"]
    record.write()
    assert Record.read(tmp_path) == record
    assert planned(tmp_path / "other", knox=True, users=["carol"]).setup.users == ("carol",)
    assert planned(tmp_path / "none").setup.users == ()
    together = planned(
        tmp_path / "all", knox=True, httpfs=True, ha=True, tls=True, scheduler="fair", hadoop="3.3.6"
    ).setup
    assert {"knox", "httpfs", "zkfc-2"} <= set(together.ports)


def test_a_running_cluster_gets_knox(tmp_path: Path, fetched: list[str]) -> None:
    planned(tmp_path, httpfs=True).write()
    added = planned(tmp_path, ("namenode", "httpfs"), knox=True).setup
    assert (added.knox, added.httpfs, sorted(added.gateway_jars)) == (True, True, ["httpfs", "knox"])


def test_the_variables_name_the_gateway_alone(setup: Setup, tmp_path: Path) -> None:
    knox_home.prepare(setup, ["me", "alice"])
    Record(replace(setup, kerberos=True, httpfs=True), JAVA).write()
    passwords = knox_home.passwords(setup)

    def env(*arguments: str) -> dict[str, str]:
        done = CliRunner().invoke(local, ["env", "--json", "--state", str(tmp_path), *arguments])
        return dict(json.loads(done.output))

    address = "https://localhost:8443/gateway/default"
    assert env() == {
        "KNIT_RESOURCEMANAGER": f"{address}/yarn",
        "KNIT_NAMENODE": address,
        "KNIT_CA": str(tmp_path / "knox" / "ca.pem"),
        "KNIT_AUTH": "basic",
        "KNIT_USER": "me",
        "KNIT_PASSWORD": passwords["me"],
    }
    assert {**env(), "KNIT_USER": "alice", "KNIT_PASSWORD": passwords["alice"]} == env("--user", "alice")
    cluster = LocalCluster(tmp_path)
    assert (cluster.knox_url, cluster.password("alice")) == (address, passwords["alice"])
    done = CliRunner().invoke(local, ["env", "--user", "carol", "--state", str(tmp_path)])
    assert (done.exit_code, "knit local up --knox --users carol" in done.output) == (1, True)
    Record(replace(setup, knox=False), JAVA).write()
    with pytest.raises(NotRunning, match="knit local up --knox"):
        _ = cluster.knox_url


def test_programs_of_a_cluster_with_https_trust_the_gateway_and_the_cluster(setup: Setup) -> None:
    """Both authorities are in one file: containers get the client's."""
    setup = replace(setup, tls=True)
    certificates.make(setup.tls_dir, ["127.0.0.1"])
    knox_home.prepare(setup, ["me"])
    context = ssl.create_default_context(cafile=knox_home.variables(setup, "me")["KNIT_CA"])
    names = sorted(dict(part[0] for part in each["subject"])["commonName"] for each in context.get_ca_certs())
    assert names == ["knit local", "knit local Knox"]


def test_of_two_it_knows_both_and_fails_over(setup: Setup) -> None:
    chosen = ports.choose(1, {}, ha=True, gateways=["knox"], free=lambda _address, _port: True)
    topology = ElementTree.fromstring(knox_files.topology(replace(setup, ha=True, ports=chosen), {"alice": "x"}))
    services = {row.findtext("role"): [url.text for url in row.iter("url")] for row in topology.iter("service")}
    assert services["YARNUI"] == ["http://127.0.0.1:8088", "http://127.0.0.1:18088"]
    assert services["WEBHDFS"] == ["http://127.0.0.1:9870/webhdfs", "http://127.0.0.1:19870/webhdfs"]
    assert services["NAMENODE"] == ["hdfs://knit"]
    (of_two,) = [each for each in topology.iter("provider") if each.findtext("role") == "ha"]
    roles = {row.findtext("name"): row.findtext("value") for row in of_two.iter("param")}
    assert set(roles) == {"WEBHDFS", "RESOURCEMANAGER", "YARNUI", "YARNUIV2"}
    assert all("enabled=true" in str(value) for value in roles.values())
    alone = ElementTree.fromstring(knox_files.topology(setup, {"alice": "x"}))
    assert [each.findtext("role") for each in alone.iter("provider")] == [
        "authentication",
        "identity-assertion",
        "authorization",
    ]
