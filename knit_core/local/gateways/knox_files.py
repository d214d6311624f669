"""The files of the Knox gateway, as text: gateway-site.xml, the topology `default`, logging, the login by Kerberos. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from knit_core.local import high_availability
from knit_core.local.configuration_files import Setup, to_xml
from knit_core.local.jars import Bundle
from knit_core.local.secure.kerberos_files import KRB5_CONF, REALM, keytab_of

KNOX = "knox"
MAIN = "org.apache.knox.gateway.GatewayServer"
VERSION = "2.0.0"
PATH = "/gateway/default"
KEY_ALIAS = "gateway-identity"
MODULES = (
    "gateway-server",
    "gateway-provider-ha",
    "gateway-provider-identity-assertion-common",
    "gateway-provider-identity-assertion-pseudo",
    "gateway-provider-jersey",
    "gateway-provider-rewrite",
    "gateway-provider-rewrite-func-hostmap-static",
    "gateway-provider-rewrite-func-inbound-query-param",
    "gateway-provider-rewrite-func-service-registry",
    "gateway-provider-rewrite-step-encrypt-uri",
    "gateway-provider-rewrite-step-secure-query",
    "gateway-provider-security-authc-anon",
    "gateway-provider-security-authz-acls",
    "gateway-provider-security-hadoopauth",
    "gateway-provider-security-preauth",
    "gateway-provider-security-shiro",
    "gateway-provider-security-webappsec",
    "gateway-service-definitions",
    "gateway-service-rm",
    "gateway-service-webhdfs",
    "gateway-topology-simple",
)
#: pty4j, for a terminal in the browser, was in a repository that is gone. JAX-WS, which nothing here uses, has a project file
#: that is no XML to jgo.
_ABSENT = ("org.jetbrains.pty4j", "com.sun.xml.ws")
_SERVICES = "org.apache.knox.gateway.services"
#: Where there are two of a service: it goes to the other one when the first is a standby or does not answer.
_FAILOVER = "maxFailoverAttempts=3;failoverSleep=1000;enabled=true"
#: Knox reads private parts of the JVM.
_OPENED = ("java.lang", "java.util", "java.security", "javax.crypto.spec")
_EXPORTED = ("sun.security.x509", "sun.security.pkcs", "sun.security.util")
_LOG4J2 = """\
<?xml version="1.0" encoding="UTF-8"?>
<Configuration>
  <Appenders>
    <RollingFile name="file" fileName="${sys:knit.log}" filePattern="${sys:knit.log}.%i">
      <PatternLayout pattern="%d{ISO8601} %-5p %c{2}: %m%n"/>
      <SizeBasedTriggeringPolicy size="32 MB"/>
      <DefaultRolloverStrategy max="2"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Logger name="audit" level="OFF"/>
    <Root level="INFO"><AppenderRef ref="file"/></Root>
  </Loggers>
</Configuration>
"""


def bundle() -> Bundle:
    """Knox with what the topology uses."""
    return Bundle("Knox", "org.apache.knox", VERSION, MODULES, _ABSENT)


def address(setup: Setup) -> str:
    """The base URL of its topology: that of WebHDFS. The ResourceManager's is below it, at `/yarn`."""
    return f"https://{setup.at(KNOX)}{PATH}"


def folders(setup: Setup) -> list[Path]:
    """Folders that must be there when it starts."""
    conf = [
        setup.knox_dir / "conf" / name
        for name in ("topologies", "shared-providers", "descriptors", "META-INF/services")
    ]
    data = [setup.knox_dir / "data" / name for name in ("security/keystores", "deployments", "applications")]
    return [*conf, *data, setup.knox_dir / "logs"]


def files(setup: Setup, keystore: Path, truststore: Path) -> dict[str, str]:
    """The files of its configuration folder but for the topology, from relative name to text.

    Args:
        setup: the cluster.
        keystore: PKCS12, with its certificate and key.
        truststore: PKCS12, with the authority of the daemons' certificates on a cluster with TLS.
    """
    site = {
        "gateway.host": setup.host,
        "gateway.port": str(setup.ports[KNOX]),
        "gateway.path": PATH.split("/")[1],
        "gateway.webshell.feature.enabled": "false",
        "gateway.dispatch.whitelist": r"^/.*$;^https?://(localhost|127\.0\.0\.[0-9]+):[0-9]+/?.*$",
        # The passwords of the stores are the master secret.
        "gateway.tls.keystore.path": str(keystore),
        "gateway.tls.keystore.type": "pkcs12",
        "gateway.tls.key.alias": KEY_ALIAS,
    }
    if setup.tls:
        site["gateway.httpclient.truststore.path"] = str(truststore)
        site["gateway.httpclient.truststore.type"] = "pkcs12"
    found = {
        "gateway-log4j2.xml": _LOG4J2,
        # Knox's distribution has this file outside of its jars.
        f"META-INF/services/{_SERVICES}.GatewayServices": f"{_SERVICES}.DefaultGatewayServices\n",
    }
    if setup.kerberos:
        login = setup.knox_dir / "conf" / "login.conf"
        site["gateway.hadoop.kerberos.secured"] = "true"
        site["java.security.krb5.conf"] = str(setup.kerberos_dir / KRB5_CONF)
        site["java.security.auth.login.config"] = str(login)
        found[login.name] = _login(keytab_of(setup.kerberos_dir, KNOX))
    found["gateway-site.xml"] = to_xml(site)
    return found


def _login(keytab: Path) -> str:
    """The configuration of its login. Each option has a line of its own: Knox also reads the file as properties."""
    return f"""\
com.sun.security.jgss.initiate {{
com.sun.security.auth.module.Krb5LoginModule required
renewTGT=false
doNotPrompt=true
useKeyTab=true
keyTab="{keytab}"
principal="{KNOX}@{REALM}"
isInitiator=true
storeKey=true
useTicketCache=false
client=true;
}};
"""


def topology(setup: Setup, passwords: Mapping[str, str]) -> str:
    """The topology `default`: who may log in, and which services there are.

    Args:
        setup: the cluster.
        passwords: by user.
    """
    suffixes = tuple(high_availability.NAMENODES) if setup.ha else ("",)
    managers = [setup.url(f"resourcemanager-http{suffix}") for suffix in suffixes]
    services = {
        "NAMENODE": [setup.filesystem],
        "WEBHDFS": [f"{setup.url(f'namenode-http{suffix}')}/webhdfs" for suffix in suffixes],
        "RESOURCEMANAGER": [f"{manager}/ws" for manager in managers],
        "YARNUI": managers,
        "YARNUIV2": managers,
    }
    logins = {f"users.{name}": password for name, password in sorted(passwords.items())} | {"urls./**": "authcBasic"}
    of_two = {role: _FAILOVER for role, urls in services.items() if len(urls) > 1}
    rows = "".join(
        f"  <service><role>{role}</role>{''.join(f'<url>{escape(url)}</url>' for url in urls)}</service>\n"
        for role, urls in services.items()
    )
    return f"""\
<?xml version="1.0" encoding="UTF-8"?>
<topology>
  <gateway>
{_provider("authentication", "ShiroProvider", logins)}
{_provider("identity-assertion", "Default", {})}
{_provider("authorization", "AclsAuthz", {})}
{_provider("ha", "HaProvider", of_two) if of_two else ""}
  </gateway>
{rows}</topology>
"""


def _provider(role: str, name: str, parameters: Mapping[str, str]) -> str:
    rows = "".join(
        f"\n      <param><name>{escape(key)}</name><value>{escape(value)}</value></param>"
        for key, value in parameters.items()
    )
    return f"    <provider><role>{role}</role><name>{name}</name><enabled>true</enabled>{rows}</provider>"


def jvm_options(setup: Setup) -> list[str]:
    """JVM options of its own."""
    return [
        f"-DGATEWAY_HOME={setup.knox_dir}",
        f"-Dlog4j.configurationFile={setup.knox_dir / 'conf' / 'gateway-log4j2.xml'}",
        *(["-Djavax.security.auth.useSubjectCredsOnly=false"] if setup.kerberos else []),
        *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENED),
        *(f"--add-exports=java.base/{name}=ALL-UNNAMED" for name in _EXPORTED),
    ]
