"""Pruning the cache of this machine: environments, packed packages, copied Pythons and downloads not used for long."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

from knit_core.environments.cache import Cache, default_cache_dir
from knit_core.hdfs_cache.pruning import HALF_WRITTEN, Item, Pruned, choose
from knit_core.model.clock import Clock

_FOLDERS = ("environments", "members", "packages", "pythons")
#: uv's own cache is deleted as a whole. `Uv` sets its time at each use.
_WHOLE = ("uv",)


def prune_local(
    cache_dir: Path | None = None,
    *,
    older_than: float | None = None,
    keep_size: int | None = None,
    dry_run: bool = False,
    clock: Clock = time,
) -> Pruned:
    """Deletes what was not used for long. What a running build uses is recent and stays.

    Args:
        cache_dir: default: `~/.cache/knit/environments`.
        older_than: seconds without use; 30 days when neither this nor a size is given.
        keep_size: bytes that may stay.
        dry_run: delete nothing.
        clock: the current time.
    """
    cache = Cache(cache_dir or default_cache_dir())
    items = [_item(path) for name in _FOLDERS for path in sorted((cache.root / name).glob("*"))]
    items += [_item(cache.root / name) for name in _WHOLE if (cache.root / name).is_dir()]
    items = [item for item in items if not item.path.endswith((".json", ".lock", ".tmp"))]
    chosen = choose(items, clock.time() * 1000, older_than=older_than, keep_size=keep_size)
    if not dry_run:
        with cache.work_folder() as work:
            chosen = [item for item in chosen if _delete(item, work)]
            _remove_stale_records(cache)
            _sweep(cache, clock.time())
    gone = {item.path for item in chosen}
    return Pruned(tuple(chosen), tuple(item for item in items if item.path not in gone))


def _item(path: Path) -> Item:
    stat = path.stat()
    size = sum(each.lstat().st_size for each in path.rglob("*") if not each.is_dir()) if path.is_dir() else stat.st_size
    return Item(str(path), size, _used(path), (), f"{path.parent.name}/{path.name[:20]}")


def _used(path: Path) -> int:
    return int(path.stat().st_mtime * 1000)


def _delete(item: Item, work: Path) -> bool:
    """Deletes an item, unless it was used since it was chosen; then False.

    It is renamed first, so that no build finds half of it. Listing a large cache takes long, so a build may use an item
    after it was chosen. If it does so between the check and the renaming, the item is renamed back.
    """
    path = Path(item.path)
    target = work / path.name
    try:
        if _used(path) != item.used:
            return False
        path.rename(target)
    except FileNotFoundError:  # another pruning
        return True
    if _used(target) != item.used:
        if not path.exists():
            target.rename(path)
        return False
    if path.suffix == ".gz":
        path.with_suffix(".json").unlink(missing_ok=True)
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink()
    return True


def _sweep(cache: Cache, now: float) -> None:
    """Removes temporary files of processes that were killed while writing."""
    for path in cache.root.glob("*/.*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            if now - path.stat().st_mtime > HALF_WRITTEN:
                path.unlink()


def _remove_stale_records(cache: Cache) -> None:
    """Removes the files of requests and names whose environment does not exist any more."""
    for kind in ("requests", "names"):
        for file in (cache.root / kind).glob("*.json"):
            if cache.read(file) is None:
                file.unlink(missing_ok=True)


__all__ = ["prune_local"]
