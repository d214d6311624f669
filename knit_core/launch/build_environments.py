"""Builds the environments that a specification describes (by packages, a file or a prefix) before the launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from knit_core.spec import ApplicationSpec, EnvironmentRef

if TYPE_CHECKING:
    from knit_core.model.environment import Environment


def build_environments(
    spec: ApplicationSpec, create: Callable[..., Environment], progress: Callable[[str], None] | None = None
) -> ApplicationSpec:
    """The specification with a built archive for each environment that it describes. Builds are cached.

    Args:
        spec: what to run.
        create: `Knit.create_env`.
        progress: called with one line per step of a build.

    Raises:
        EnvironmentFailed: see `EnvironmentBuilder.create`.
    """
    services = dict(spec.services)
    for name, service in spec.services.items():
        wanted = service.environment
        if wanted is not None and wanted.described:
            built = create(wanted.name or name, progress=_steps(progress), **_options(wanted))
            found = EnvironmentRef.model_validate(built)
            services[name] = service.model_copy(update={"environment": found})
    return spec if services == spec.services else spec.model_copy(update={"services": services})


def without_described(spec: ApplicationSpec) -> ApplicationSpec | None:
    """The specification without the environments that have to be built; None when there are none."""
    services = {
        name: service.model_copy(update={"environment": None})
        if service.environment is not None and service.environment.described
        else service
        for name, service in spec.services.items()
    }
    return None if services == spec.services else spec.model_copy(update={"services": services})


def _options(wanted: EnvironmentRef) -> dict[str, Any]:
    """The arguments of `create_env` that the specification sets."""
    names = ("packages", "channels", "pip", "file", "prefix", "platform", "python")
    return {name: value for name in names if (value := getattr(wanted, name))}


def _steps(progress: Callable[[str], None] | None) -> Callable[[Any], None] | None:
    """A callback that reports one line per stage. The counters within a stage are for terminals only."""
    if progress is None:
        return None
    last: list[Any] = [None]

    def event(found: Any) -> None:
        if found.stage != last[0]:
            last[0] = found.stage
            progress(f"environment: {found}")

    return event
