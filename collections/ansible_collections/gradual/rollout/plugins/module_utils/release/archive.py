# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Unpack a tar.gz that may be hostile: nothing is written outside the directory, and nothing but files,
directories and links within it is made. Python's own filter for this came with 3.12 (3.9.17 at the earliest)."""

from __future__ import annotations

import os
import posixpath
import shutil
import tarfile
import zlib
from typing import IO

OPEN = 0o755  # the application's user reads what root unpacks, whatever root's umask
MOST_BYTES = 8 << 30
MOST_MEMBERS = 500_000


class UnpackError(Exception):
    """What in the archive is not wanted."""


def target_of(name: str) -> str:
    """The member's path below the directory, normalised; UnpackError when it leads out of it. Empty for the directory
    itself."""
    if "\0" in name or "\\" in name or name.startswith("/"):
        raise UnpackError(f"{name!r} is not a path below the archive's top")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise UnpackError(f"{name!r} leads out of the archive")
    return "/".join(parts)


def link_target(name: str, link: str) -> str:
    """Where a symbolic link leads to, below the directory; UnpackError when out of it."""
    if link.startswith("/") or "\0" in link:
        raise UnpackError(f"link {name!r} leads to {link!r}, out of the archive")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(name), link))
    if target == ".." or target.startswith("../"):
        raise UnpackError(f"link {name!r} leads to {link!r}, out of the archive")
    return target


def _parent(root: str, name: str) -> None:
    """Make the directories that a member is in; none of them may be a link."""
    path = root
    for part in name.split("/")[:-1]:
        path = os.path.join(path, part)
        if os.path.islink(path) or (os.path.exists(path) and not os.path.isdir(path)):
            raise UnpackError(f"{name!r} goes through {os.path.relpath(path, root)!r}, which is no directory")
        if not os.path.isdir(path):
            os.mkdir(path)
            os.chmod(path, OPEN)


def _file(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
    source = archive.extractfile(member)
    if source is None:
        raise UnpackError(f"{member.name!r} has no content")
    mode = OPEN if member.mode & 0o100 else 0o644
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with open(descriptor, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
        os.fchmod(target.fileno(), mode)


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo, root: str) -> None:
    name = target_of(member.name)
    if not name:
        return
    path = os.path.join(root, name)
    _parent(root, name)
    if member.isdir():
        if not os.path.isdir(path) or os.path.islink(path):
            os.mkdir(path)
        os.chmod(path, OPEN)
    elif member.issym():
        link_target(name, member.linkname)
        os.symlink(member.linkname, path)
    elif member.islnk():
        source = os.path.join(root, target_of(member.linkname))
        if (
            os.path.islink(source)
            or not os.path.isfile(source)
            or os.path.realpath(source) != os.path.join(os.path.realpath(root), target_of(member.linkname))
        ):
            raise UnpackError(f"link {member.name!r} leads to {member.linkname!r}, which is no file of the archive")
        os.link(source, path)
    elif member.isreg():
        _file(archive, member, path)
    else:
        raise UnpackError(f"{member.name!r} is a device or another special file")


def unpack(stream: IO[bytes], root: str) -> int:
    """Unpack a gzipped tar into the existing, empty directory `root`; returns the bytes of its files.

    Owners are not restored, set-id bits are dropped, modes become 0755 or 0644. UnpackError on anything unwanted,
    with what was made so far left for the caller to remove.
    """
    total = 0
    try:
        with tarfile.open(fileobj=stream, mode="r:gz") as archive:
            for count, member in enumerate(archive, start=1):
                total += max(0, member.size) if member.isreg() else 0
                if count > MOST_MEMBERS or total > MOST_BYTES:
                    raise UnpackError(f"it unpacks to more than {MOST_MEMBERS} files or {MOST_BYTES >> 30} GiB")
                _member(archive, member, root)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UnpackError(f"it is not a whole tar.gz: {error}") from error
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise UnpackError(f"it holds {os.path.relpath(str(error.filename), root)!r} twice") from error
    except OSError as error:
        raise UnpackError(f"it cannot be unpacked here: {error.strerror or error}") from error
    return total
