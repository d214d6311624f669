"""Delegation tokens of further services (Hive, HBase, other filesystems), from packages that users install.

A package declares a provider as an entry point of the group `knit.token_providers`; its name is for messages:

    [project.entry-points."knit.token_providers"]
    hive = "our_tokens:hive"

    def hive(request):                        # TokenRequest, below
        uri = request.hadoop_property("hive.metastore.uris")
        return {"hive": fetch_token(uri, renewer=request.renewer)} if uri else {}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from knit_container.credentials import BadCredentials, Token
from knit_core.errors import ConfigError, KnitError
from knit_core.model.representation import shown

GROUP = "knit.token_providers"


@shown
@dataclass(frozen=True)
class TokenRequest:
    """What a provider is told.

    Attributes:
        user: short name of the user for whom the application runs.
        renewer: the principal that renews tokens while the application runs.
        resourcemanager: base URL of the ResourceManager.
        hadoop_property: returns a Hadoop property of the cluster; None when it is not set.
    """

    user: str
    renewer: str
    resourcemanager: str
    hadoop_property: Callable[[str], str | None] = field(repr=False)


def provided_tokens(request: TokenRequest, providers: Iterable[Any] | None = None) -> dict[str, Token]:
    """The tokens of all providers by alias.

    Args:
        request: for each provider. A provider returns texts of tokens (`Token.encodeToUrlString`) by alias.
        providers: entry points; None: those of the installed packages.

    Raises:
        KnitError: a provider raised it.
        ConfigError: a provider failed otherwise, or returned something else. Neither its message nor what it returned is
            quoted; its error is the cause.
    """
    found: dict[str, Token] = {}
    for provider in entry_points(group=GROUP) if providers is None else providers:
        try:
            texts: Mapping[str, str] = provider.load()(request)
            tokens = {str(alias): Token.decode(text) for alias, text in texts.items()}
        except KnitError:
            raise
        except BadCredentials:
            raise ConfigError(
                f"The token provider {provider.name!r} ({provider.value}) returned a text that is no token"
            ) from None
        except Exception as error:
            raise ConfigError(
                f"The token provider {provider.name!r} ({provider.value}) failed ({type(error).__name__}); remove its package "
                "if applications do not need its tokens"
            ) from error
        twice = sorted(set(tokens) & {*found, "hdfs", "resourcemanager"})
        if twice:
            raise ConfigError(
                f"The token provider {provider.name!r} returned a token under the alias {twice[0]!r}, which is taken"
            )
        found.update(tokens)
    return found


__all__ = ["TokenRequest", "provided_tokens"]
