"""A cache of environments that several users share: uploaded by one, localised once per node for all.

`<root>/<user>/cache/<sha256>/<name>`: each user writes only below a folder of their own and reads those of the others.
So the owner on HDFS is the writer, and no user can change an entry of another. An entry of another user is used if the
settings trust that user and the entry's size is right; otherwise the user's own is uploaded. The administrator makes
`<root>` with mode 1777. YARN localises PUBLIC files as the NodeManager's own user, which needs the `x` permission on every
folder above.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace

from knit_core.errors import NotAuthorized, StagingError
from knit_core.hadoop.ownership import is_mine
from knit_core.hadoop.webhdfs import WebHdfs
from knit_core.model.cluster_facts import FileStatus
from knit_core.model.upload import Upload


@dataclass
class SharedCache:
    """The shared cache, as used by one user.

    Attributes:
        hdfs: HDFS.
        root: the shared folder.
        user: the user of the connection.
        trusted: users whose entries may be used.
    """

    hdfs: WebHdfs
    root: str
    user: str
    trusted: tuple[str, ...] = ()
    _checked: bool = False
    _prepared: bool = False

    @property
    def own(self) -> str:
        """The folder of this user's entries."""
        return f"{self.root}/{self.user}"

    @property
    def leases(self) -> str:
        """The leases of all users: a pruning must read those of other users."""
        return f"{self.root}/leases"

    def place(self, upload: Upload) -> Upload:
        """The upload with the folder of its entry as `root`: this user's, or that of a trusted user with a complete entry."""
        self.check()
        for owner in (self.user, *self.trusted):
            found = replace(upload, root=f"{self.root}/{owner}")
            status = self.hdfs.status(found.remote(""))
            if status is not None and self._is_usable(status, upload, owner):
                return found
        return replace(upload, root=self.own)

    def check(self) -> None:
        """Check that the shared folder can be used.

        Raises:
            StagingError: it does not exist, or the nodes may not read below it.
        """
        if self._checked:
            return
        path = self.root
        while True:
            status = self.hdfs.status(path)
            if status is None or not status.folder:
                raise StagingError(
                    f"The shared cache {self.root} does not exist on HDFS (no folder {path}). An administrator can make it: "
                    f"hdfs dfs -mkdir -p {self.root} && hdfs dfs -chmod 1777 {self.root}"
                )
            if not int(status.permission, 8) & 0o001:
                raise StagingError(
                    f"The shared cache {self.root} cannot be used: {path} has mode {status.permission}, and YARN reads "
                    f"shared files only below folders with x permission for all users. Set it: hdfs dfs -chmod o+x {path}"
                )
            if path == "/":
                break
            path = posixpath.dirname(path)
        self._checked = True

    def prepare(self) -> None:
        """Make the missing folders below the shared folder.

        Raises:
            StagingError: this user may not write there, or this user's folder belongs to another user.
        """
        if self._prepared:
            return
        self.check()
        for folder, permission in ((self.leases, "1777"), (self.own, "755"), (f"{self.own}/cache", "755")):
            found = self.hdfs.status(folder)
            if found is None:
                self._make(folder, permission)
                found = self.hdfs.status(folder)
            if found is not None and folder != self.leases:
                self._check_own(found)
        self._prepared = True

    def make_entry(self, upload: Upload) -> None:
        """Make the entry's folder with mode 755.

        Raises:
            StagingError: the entry belonged to another user, who has just deleted it.
        """
        path = upload.remote("")
        if upload.root != self.own:
            raise StagingError(f"{path} was deleted by its owner during the launch: launch again")
        self.prepare()
        self._make(posixpath.dirname(path), "755")

    def _make(self, folder: str, permission: str) -> None:
        try:
            self.hdfs.mkdirs(folder, permission)
            self.hdfs.set_permission(folder, permission)  # the umask of the filesystem does not apply
        except NotAuthorized as error:
            raise StagingError(
                f"The shared cache {self.root} cannot be written to (it needs mode 1777): {error}"
            ) from None

    def _check_own(self, status: FileStatus) -> None:
        """Check that only this user can write to a folder: containers run the code in archives."""
        if not is_mine(self.hdfs, status.owner):
            raise StagingError(
                f"{status.path} on HDFS belongs to {status.owner}, not to {self.user}. Remove it, or as HDFS's "
                f"superuser: hdfs dfs -chown -R {self.user} {status.path}"
            )
        if int(status.permission, 8) & 0o022:
            raise StagingError(
                f"{status.path} on HDFS has mode {status.permission}: other users could put files there. "
                f"Correct it: hdfs dfs -chmod 755 {status.path}"
            )

    def _is_usable(self, status: FileStatus, upload: Upload, owner: str) -> bool:
        """Whether an entry belongs to `owner`, only the owner can change it, the nodes can read it, and it is complete."""
        mode = int(status.permission, 8)
        return status.owner == owner and not mode & 0o022 and bool(mode & 0o004) and status.size == upload.size


__all__ = ["SharedCache"]
