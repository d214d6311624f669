"""load_config: reads the settings from every place that may set them."""

from __future__ import annotations

import difflib
import getpass
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from knit_core.config import addresses, identity
from knit_core.config.certificates import problem_with_certificates, problem_with_client_certificate
from knit_core.config.environment_variables import check_variables
from knit_core.config.gateways import WITH_CREDENTIALS
from knit_core.config.hadoop_conf import folders, read_folder
from knit_core.config.kerberos_settings import check_kerberos
from knit_core.config.names import SECRET, SETTINGS, is_secret
from knit_core.config.proxies import proxies_of
from knit_core.config.settings import HADOOP_USER, IMPLICIT_USERS, SYSTEM_USER, Config, split_addresses
from knit_core.config.tokens import check_token
from knit_core.config.values import Value
from knit_core.errors import ConfigError, NoClusterFound
from knit_core.model.queues import queue_name_problem

_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # as requests reads them
_ADDRESSES = ("resourcemanager", "namenode", "container_namenode")


def load_config(
    address: str | None = None,
    options: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    user: str | None = None,
    local: bool = True,
) -> Config:
    """Resolve the configuration; no network is used.

    Args:
        address: ResourceManager's address (`http://rm:8088`, or `rm:8088`); overrides all other places.
        options: settings by name (see `SETTINGS`); they override the environment.
        environ: environment variables; None: those of the process.
        user: user name.
        local: use a running embedded cluster when no other place names a ResourceManager.

    Raises:
        NoClusterFound: no place names a ResourceManager; the message lists the places.
        ConfigError: a setting is unknown, or settings contradict each other.
    """
    environ = os.environ if environ is None else environ
    check_variables(environ, SETTINGS)
    config = Config()
    given = {key: value for key, value in dict(options or {}).items() if value is not None}
    if address is not None:
        given["resourcemanager"] = address
    if user is not None:
        given["user"] = user
    _take(config, given, lambda name: f"argument {name}")
    config.places.append("the address given in the call (none)")
    _take(
        config,
        {name: environ[f"KNIT_{name.upper()}"] for name in SETTINGS if environ.get(f"KNIT_{name.upper()}")},
        lambda name: f"KNIT_{name.upper()}",
    )
    config.places.append("the environment variable KNIT_RESOURCEMANAGER")
    _take_file(config, environ)
    _take_credentials(config)
    for variable in _BUNDLES:
        if environ.get(variable):
            _take(config, {"ca": environ[variable]}, lambda _name, variable=variable: variable)  # type: ignore[misc]
    named = "resourcemanager" in config.settings
    _take_hadoop(config, environ, use_address=not named)
    if "resourcemanager" not in config.settings and local:
        _take_local(config, environ)
    if "resourcemanager" not in config.settings:
        raise NoClusterFound(config.places)
    if "user" not in config.settings:
        config.settings["user"] = _process_user(environ)
    _normalise(config)
    _check_certificates(config)
    config.proxies = proxies_of(config.get("proxy"), config.get("no_proxy"), environ)
    return config


def _take(config: Config, values: Mapping[str, Any], source: Callable[[str], str]) -> None:
    unknown = [name for name in values if name not in SETTINGS]
    if unknown:
        near = difflib.get_close_matches(unknown[0], SETTINGS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(SETTINGS)}"
        raise ConfigError(f"{unknown[0]!r} ({source(unknown[0])}) is no setting of Knit; {hint}")
    for name, value in values.items():
        text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        config.settings.setdefault(name, Value(text, source(name), is_secret(name, text)))


def config_file(environ: Mapping[str, str]) -> Path:
    """The user's config file: `$KNIT_CONFIG`, else `$XDG_CONFIG_HOME/knit/config.yaml`."""
    if environ.get("KNIT_CONFIG"):
        return Path(environ["KNIT_CONFIG"])
    base = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".config")
    return Path(base) / "knit" / "config.yaml"


def _take_file(config: Config, environ: Mapping[str, str]) -> None:
    path = config_file(environ)
    if not path.is_file():
        if environ.get("KNIT_CONFIG"):
            raise ConfigError(f"KNIT_CONFIG names {path}, which does not exist")
        config.places.append(f"{path} (does not exist)")
        return
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path} should hold settings as `name: value`, not {type(data).__name__}")
    _take(config, {str(key): value for key, value in data.items() if value is not None}, lambda name: str(path))
    config.places.append(f"{path} (names no resourcemanager)")


def _take_credentials(config: Config) -> None:
    """Take user and password out of an address such as `https://user:password@gateway`."""
    for name in _ADDRESSES:
        if name not in config.settings or "@" not in config.settings[name].value:
            continue
        given = config.settings[name]
        if name == "container_namenode":
            raise ConfigError(
                f"container_namenode ({given.source}) has a user before the @, but containers log in nowhere: give the "
                "NameNode's own address (http://nn.example.org:9870)"
            )
        urls, found = identity.without_credentials(split_addresses(given.value))
        config.settings[name] = Value(",".join(urls), given.source)
        if found is None:
            continue
        user, password = found
        if password:
            config.named_with_password += urls
        source = f"the {name}'s address, {given.source}"
        for part, value in (("user", user), ("password", password), ("auth", "basic" if password else "")):
            there = config.settings.get(part)
            if value and there is not None and there.value != value:
                raise ConfigError(f"{part} differs between {source} and {there.source}: remove one of them")
            if value:
                config.settings[part] = Value(value, source, part in SECRET)


def _take_hadoop(config: Config, environ: Mapping[str, str], *, use_address: bool) -> None:
    """Read the first Hadoop folder that exists. It is used when no ResourceManager is set, or when it names the same one."""
    for folder, why in folders(environ):
        conf = read_folder(folder, why, environ)
        if conf is None:
            config.places.append(f"{folder} ({why}: no Hadoop configuration there)" if why != str(folder) else f"{why}")
            continue
        found, property_name = addresses.resourcemanagers(conf)
        if use_address:
            if not found:
                config.places.append(f"{folder} ({why}: yarn-site.xml names no ResourceManager)")
                continue
            config.hadoop = conf
            source = f"{property_name} in {conf.source(property_name)}"
            _take(config, {"resourcemanager": ",".join(found)}, lambda _name, source=source: source)  # type: ignore[misc]
        elif _same(found, config.settings["resourcemanager"].value):
            config.hadoop = conf
        return


def _take_local(config: Config, environ: Mapping[str, str]) -> None:
    from knit_core.local import LocalCluster, running_cluster

    cluster = running_cluster()
    if cluster is None:
        dead = LocalCluster().dead
        state = f"daemons that ended or were killed: {', '.join(dead)}; knit local up starts them again" if dead else ""
        config.places.append(f"an embedded cluster ({state or 'none is running; knit local up starts one'})")
        return
    conf = read_folder(Path(cluster.conf_dir), "embedded cluster", environ)
    if conf is not None:
        config.hadoop = conf
        variables = cluster.environment
        found = {"resourcemanager": cluster.resourcemanager_url, "ca": variables.get("KNIT_CA")}
        _take(config, {k: v for k, v in found.items() if v}, lambda name: "the running embedded cluster")


def _process_user(environ: Mapping[str, str]) -> Value:
    if environ.get("HADOOP_USER_NAME"):
        return Value(environ["HADOOP_USER_NAME"], HADOOP_USER)
    try:
        return Value(getpass.getuser(), SYSTEM_USER)
    except (KeyError, OSError):
        raise ConfigError("The operating system has no name for the user of this process: set KNIT_USER") from None


def _normalise(config: Config) -> None:
    for name in _ADDRESSES:
        if name in config.settings:
            found = config.settings[name]
            ports = (8088, 8090) if name == "resourcemanager" else (9870, 9871)
            gateway = _gateway(config) and name != "container_namenode"
            urls = [_url(text, ports, name, found.source, gateway) for text in split_addresses(found.value)]
            config.settings[name] = Value(",".join(urls), found.source)
    check_kerberos(config.settings, config.hadoop, gateway=_gateway(config))
    auth = config.settings.get("auth", Value("", ""))
    if auth.value not in {"", "simple", "basic", "token", "kerberos"}:
        raise ConfigError(f"auth {auth.value!r} ({auth.source}) is not supported: set simple, basic, token or kerberos")
    sources = {name: given.source for name, given in config.settings.items()}
    token = sources.get("token") or sources.get("token_file", "")
    for problem in identity.contradictions(auth.value, auth.source, sources.get("password", ""), token):
        raise ConfigError(problem)
    check_token(config.settings, IMPLICIT_USERS)
    for name in ("user", "proxy_user"):
        _check_user(config, name)
    queue = config.settings.get("queue")
    if queue is not None and (problem := queue_name_problem(queue.value)):
        raise ConfigError(f"queue ({queue.source}): {problem}")
    span = config.get("api_ports")
    if span and not re.fullmatch(r"\d{1,5}(-\d{1,5})?", span):
        raise ConfigError(f"api_ports {span!r} ({config.settings['api_ports'].source}) is not like 40000-40100")
    sharing = config.get("class_sharing")
    if sharing and sharing.lower() not in {"true", "false"}:
        raise ConfigError(f"class_sharing {sharing!r} ({config.settings['class_sharing'].source}) is not true or false")


def _check_user(config: Config, name: str) -> None:
    """User names of directory services have letters of all languages, `DOMAIN\\\\alice`, `alice@REALM`. Characters with a
    meaning in shells and paths are refused."""
    user = config.settings.get(name)
    if user is not None and (not re.fullmatch(r"[\w.@/\\+-]{1,256}\$?", user.value) or ".." in user.value):
        raise ConfigError(f"{user.value!r} ({user.source}) is not a user name")


def _check_certificates(config: Config) -> None:
    names = ("ca", "client_certificate", "client_key")
    for name in names:
        if (given := config.settings.get(name)) and given.value.startswith("~"):
            config.settings[name] = Value(str(Path(given.value).expanduser()), given.source)
    ca, certificate, key = (config.settings.get(name) for name in names)
    only_http = not any("https:" in (config.get(name) or "") for name in _ADDRESSES)
    if ca is not None and ca.source in _BUNDLES and only_http and problem_with_certificates(ca.value):
        del config.settings["ca"]  # a variable for other programs is no reason to refuse a cluster of http
        ca = None
    if ca is not None and ca.value.lower() != "false" and (problem := problem_with_certificates(ca.value)):
        raise ConfigError(f"ca {ca.value!r} ({ca.source}) {problem}")
    if key is not None and certificate is None:
        raise ConfigError(f"client_key ({key.source}) needs client_certificate")
    if certificate is not None:
        problem = problem_with_client_certificate(certificate.value, key.value if key else "")
        if problem:
            raise ConfigError(f"client_certificate ({certificate.source}): {problem}")


def _gateway(config: Config) -> bool:
    """Whether the addresses are those of a gateway: only gateways take passwords or tokens, and have path prefixes."""
    return bool(config.gateway_path or config.get("password") or config.get("auth") in WITH_CREDENTIALS)


def _url(text: str, ports: tuple[int, int], name: str, source: str, gateway: bool) -> str:
    """A base URL. Hadoop's port is added where none is given, except for https gateways and addresses with a path."""
    url = text.strip().rstrip("/")
    if "://" not in url:
        url = f"http://{url}"
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname)
        explicit = parts.port
    except ValueError:
        good, explicit = False, None
    if not good:
        raise ConfigError(f"{text!r} ({source}) is not an address for {name}: it looks like http://host:{ports[0]}")
    if explicit is None and not ((gateway and parts.scheme == "https") or parts.path):
        url = f"{parts.scheme}://{parts.netloc}:{ports[parts.scheme == 'https']}"
    return url


def _same(found: list[str], given: str) -> bool:
    """Whether the XML names one of the given ResourceManagers: only then are its other properties used."""
    hosts = {_host_and_port(url if "://" in url else f"http://{url}") for url in split_addresses(given)}
    return bool(hosts & {_host_and_port(url) for url in found})


def _host_and_port(url: str) -> tuple[str | None, int] | None:
    """Host and port of an address (Hadoop's port where none is given); None when it is not an address."""
    try:
        parts = urlsplit(url)
        return parts.hostname, parts.port or (8090 if parts.scheme == "https" else 8088)
    except ValueError:
        return None


__all__ = ["config_file", "load_config"]
