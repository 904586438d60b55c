"""Where a ledger may lie."""

from pathlib import Path

MOUNTS = Path("/proc/mounts")
# Locks and fsync of these are promises of another machine.
REMOTE = {"nfs", "nfs4", "cifs", "smb", "smb3", "smbfs", "afs", "ncpfs", "coda", "davfs"}
REMOTE |= {"ceph", "glusterfs", "lustre", "gpfs", "beegfs", "orangefs", "pvfs2"}
REMOTE |= {"sshfs", "s3fs", "rclone", "gcsfuse", "davfs2"}  # as fuse.sshfs


def require_local(path: Path) -> None:
    """Raise a ValueError if the absolute ``path`` lies on a network file system.

    Known from ``/proc/mounts``; elsewhere than on Linux nothing is refused.
    """
    if not MOUNTS.exists():
        return
    kind = _file_system(path, MOUNTS.read_text(encoding="utf-8", errors="surrogateescape"))
    if kind.removeprefix("fuse.") in REMOTE:
        raise ValueError(
            f"a ledger must lie on a local disk, where locks and fsync hold. Found {path} on "
            f"{kind}. Choose a local folder, and copy the file from there."
        )


def _file_system(path: Path, mounts: str) -> str:
    """Return the type of the file system nearest to ``path``, the last mounted of several."""
    depth, kind = -1, ""
    for line in mounts.splitlines():
        _, where, this, *_ = line.split(" ")
        folder = Path(_unescaped(where))
        if path.is_relative_to(folder) and len(folder.parts) >= depth:
            depth, kind = len(folder.parts), this
    return kind


def _unescaped(where: str) -> str:
    for octal, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        where = where.replace(octal, char)
    return where
