"""conda-lock.yml: conda packages and pip packages, for one or several platforms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from knit_core.environments.errors import BadLock
from knit_core.environments.inputs.locks.lock import CREATED, Lock, check_platform, checked_digest, conda_record
from knit_core.environments.redaction import without_secrets
from knit_core.environments.solution import Record
from knit_core.environments.solve.pypi_records import index_record


def read(text: str, path: Path, platform: str) -> Lock:
    """The packages of the category `main` for a platform."""
    try:
        document = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise BadLock(f"{path} is not YAML: {error}") from error
    if document.get("version") != 1:
        raise BadLock(f"{path} is a conda-lock file of version {document.get('version')}: only version 1 is supported")
    metadata = document["metadata"]
    check_platform(metadata["platforms"], platform, path)
    packages = [each for each in document["package"] if each.get("platform", platform) == platform]
    packages = [each for each in packages if each.get("category", "main") == "main"]
    records = tuple(_record(each, path, platform) for each in packages)
    variables = json.loads((metadata.get("custom_metadata") or {}).get("knit.variables", "{}"))
    key = (metadata.get("content_hash") or {}).get(platform, "")
    return Lock(platform, records, key, None, tuple(sorted(variables.items())), path)


def _record(package: Mapping[str, Any], path: Path, platform: str) -> Record:
    hashes, url = package.get("hash") or {}, package["url"]
    if package["manager"] == "pip":
        digest = checked_digest(hashes.get("sha256", ""), url, path)
        return index_record(package["name"], str(package["version"]), url, digest, platform)
    return conda_record(url, hashes.get("sha256") or hashes.get("md5") or "", path)


def write(lock: Lock) -> str:
    """The lock as YAML, without credentials."""
    channels = dict.fromkeys(_channel(record) for record in lock.records if record.kind == "conda")
    metadata: dict[str, Any] = {
        "content_hash": {lock.platform: lock.request_key},
        "channels": [{"url": channel, "used_env_vars": []} for channel in channels],
        "platforms": [lock.platform],
        "sources": ["knit"],
    }
    if lock.variables:
        metadata["custom_metadata"] = {"knit.variables": json.dumps(dict(lock.variables))}
    packages = [_package(record, lock.platform) for record in lock.records]
    document = {"version": 1, "metadata": metadata, "package": packages}
    return CREATED + yaml.safe_dump(document, sort_keys=False, width=200)


def _package(record: Record, platform: str) -> dict[str, Any]:
    kind = "sha256" if len(record.digest) == 64 else "md5"
    depends = (depend.partition(" ") for depend in record.depends if not depend.startswith("__"))
    return {
        "name": record.name,
        "version": record.version,
        "manager": "pip" if record.kind == "pypi" else "conda",
        "platform": platform,
        "dependencies": {name: rest for name, _, rest in depends},
        "url": without_secrets(record.source),
        "hash": {kind: record.digest},
        "category": "main",
        "optional": False,
    }


def _channel(record: Record) -> str:
    return without_secrets(record.source).rsplit("/", 2)[0]
