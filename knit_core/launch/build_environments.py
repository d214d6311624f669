"""Environments that a specification describes (packages, a file, a prefix) are built before the launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from knit_core.spec import ApplicationSpec, EnvironmentRef

if TYPE_CHECKING:
    from knit_core.model.environment import Environment


def build_environments(
    spec: ApplicationSpec, create: Callable[..., Environment], say: Callable[[str], None] | None = None
) -> ApplicationSpec:
    """The specification with every environment where it is; what was built before is not built again.

    Args:
        spec: what should run.
        create: `Knit.create_env`.
        say: gets a line per step of a build.

    Raises:
        EnvironmentFailed: see `EnvironmentBuilder.create`.
    """
    services = dict(spec.services)
    for name, service in spec.services.items():
        wanted = service.environment
        if wanted is not None and wanted.described:
            built = create(wanted.name or name, progress=_steps(say), **_options(wanted))
            found = EnvironmentRef.model_validate(built)
            services[name] = service.model_copy(update={"environment": found})
    return spec if services == spec.services else spec.model_copy(update={"services": services})


def without_described(spec: ApplicationSpec) -> ApplicationSpec | None:
    """The specification without the environments that it describes; None when it describes none."""
    services = {
        name: service.model_copy(update={"environment": None})
        if service.environment is not None and service.environment.described
        else service
        for name, service in spec.services.items()
    }
    return None if services == spec.services else spec.model_copy(update={"services": services})


def _options(wanted: EnvironmentRef) -> dict[str, Any]:
    """Of `create_env`, those that were given."""
    names = ("packages", "channels", "pip", "file", "prefix", "platform", "python")
    return {name: value for name in names if (value := getattr(wanted, name))}


def _steps(say: Callable[[str], None] | None) -> Callable[[Any], None] | None:
    """One line per stage; the counters in between are for terminals."""
    if say is None:
        return None
    last: list[Any] = [None]

    def event(found: Any) -> None:
        if found.stage != last[0]:
            last[0] = found.stage
            say(f"environment: {found}")

    return event
