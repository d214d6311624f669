"""A cache of environments that several users share: uploaded by one, localised once per node for all.

`<root>/<user>/cache/<sha256>/<name>`: everybody writes below a folder of his own and reads those of the others, so who
wrote an entry is what HDFS says, and nobody can change another's. An entry of another user is used when that user is
among those whom the settings trust, and its size is right; else one's own is uploaded. The administrator makes `<root>`
with mode 1777. YARN localises PUBLIC files as the NodeManager's own user, which must get through every folder above.
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
    """The shared cache as one user sees it.

    Attributes:
        hdfs: HDFS.
        root: the shared folder.
        user: who acts.
        trusted: users whose entries are used as they are.
    """

    hdfs: WebHdfs
    root: str
    user: str
    trusted: tuple[str, ...] = ()
    _checked: bool = False
    _prepared: bool = False

    @property
    def own(self) -> str:
        """Where this user's entries lie."""
        return f"{self.root}/{self.user}"

    @property
    def leases(self) -> str:
        """Everybody's leases: who prunes must see those of others."""
        return f"{self.root}/leases"

    def place(self, upload: Upload) -> Upload:
        """The upload with the root that it is at: one's own, or a trusted user's who was first."""
        self.check()
        for owner in (self.user, *self.trusted):
            found = replace(upload, root=f"{self.root}/{owner}")
            status = self.hdfs.status(found.remote(""))
            if status is not None and self._sound(status, upload, owner):
                return found
        return replace(upload, root=self.own)

    def check(self) -> None:
        """Looks whether the folder serves.

        Raises:
            StagingError: it is not there, or the nodes would not get to it.
        """
        if self._checked:
            return
        path = self.root
        while True:
            status = self.hdfs.status(path)
            if status is None or not status.folder:
                raise StagingError(
                    f"The shared cache {self.root} is no folder on HDFS ({path}). An administrator makes it: "
                    f"hdfs dfs -mkdir -p {self.root} && hdfs dfs -chmod 1777 {self.root}"
                )
            if not int(status.permission, 8) & 0o001:
                raise StagingError(
                    f"The shared cache {self.root} cannot be used: {path} has mode {status.permission}, and YARN reads "
                    f"shared files only below folders that everybody may pass. Make it so: hdfs dfs -chmod o+x {path}"
                )
            if path == "/":
                break
            path = posixpath.dirname(path)
        self._checked = True

    def prepare(self) -> None:
        """Makes what is missing below the folder.

        Raises:
            StagingError: this user may not write there, or his folder is somebody else's.
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

    def open(self, upload: Upload) -> None:
        """Makes the entry's folder, for everybody to pass and only its owner to change.

        Raises:
            StagingError: the entry was another user's, who has just deleted it.
        """
        path = upload.remote("")
        if upload.root != self.own:
            raise StagingError(f"{path} was deleted by its owner at this moment: launch again")
        self.prepare()
        self._make(posixpath.dirname(path), "755")

    def _make(self, folder: str, permission: str) -> None:
        try:
            self.hdfs.mkdirs(folder, permission)
            self.hdfs.set_permission(folder, permission)  # whatever the filesystem's umask is
        except NotAuthorized as error:
            raise StagingError(
                f"The shared cache {self.root} cannot be written to (it needs mode 1777): {error}"
            ) from None

    def _check_own(self, status: FileStatus) -> None:
        """Who owns a folder can put other files into it: archives become code in containers."""
        if not is_mine(self.hdfs, status.owner):
            raise StagingError(
                f"{status.path} on HDFS belongs to {status.owner}, not to {self.user}. Have it removed, or as HDFS's "
                f"superuser: hdfs dfs -chown -R {self.user} {status.path}"
            )
        if int(status.permission, 8) & 0o022:
            raise StagingError(
                f"{status.path} on HDFS has mode {status.permission}: other users could put files there. "
                f"Mend it: hdfs dfs -chmod 755 {status.path}"
            )

    def _sound(self, status: FileStatus, upload: Upload, owner: str) -> bool:
        """Written by whom it should be, changeable by nobody else, whole."""
        mode = int(status.permission, 8)
        return status.owner == owner and not mode & 0o022 and bool(mode & 0o004) and status.size == upload.size


__all__ = ["SharedCache"]
