"""The specification of an application: what to run. It is validated when it is created."""

from knit_core.spec.application import ApplicationSpec, application_spec
from knit_core.spec.files import EnvironmentRef, File, FileType
from knit_core.spec.policies import (
    Acls,
    Condition,
    Docker,
    HttpProbe,
    LogPatterns,
    Mount,
    Readiness,
    Restart,
    RestartPolicy,
)
from knit_core.spec.service import Service

__all__ = [
    "Acls",
    "ApplicationSpec",
    "Condition",
    "Docker",
    "EnvironmentRef",
    "File",
    "FileType",
    "HttpProbe",
    "LogPatterns",
    "Mount",
    "Readiness",
    "Restart",
    "RestartPolicy",
    "Service",
    "application_spec",
]
