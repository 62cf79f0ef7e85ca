"""Small disks, which can be filled to the last byte."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import account

from tests.database.server import RUN_AS

from .fault import NotHere

MIB = 1024 * 1024


@contextlib.contextmanager
def disk(kind: str, mib: int) -> Iterator[Path]:
    """A file system of that size for the cluster's user: `tmpfs`, or `ext4` in a file on a loop device."""
    if os.geteuid() != 0:
        raise NotHere("only root can mount a small disk")
    folder = Path(tempfile.mkdtemp(prefix="gradual-disk-", dir="/tmp"))
    folder.chmod(0o755)
    mounted = folder / "disk"
    mounted.mkdir()
    try:
        _mount(kind, mib, folder / "image", mounted)
        who = account(RUN_AS)
        os.chown(mounted, who.pw_uid, who.pw_gid)
        try:
            yield mounted
        finally:
            _umount(mounted)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _mount(kind: str, mib: int, image: Path, mounted: Path) -> None:
    if kind == "tmpfs":
        words = ["-t", "tmpfs", "-o", f"size={mib}m,mode=0755", "none"]
    else:
        with image.open("wb") as file:
            file.truncate(mib * MIB)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], check=True, capture_output=True)
        words = ["-o", "loop", str(image)]
    done = subprocess.run(["mount", *words, str(mounted)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotHere(f"a {kind} cannot be mounted here: {done.stderr.strip()}")


def _umount(mounted: Path) -> None:
    """Programs that were killed with their parent may be a moment behind."""
    for _attempt in range(50):
        if not subprocess.run(["umount", str(mounted)], capture_output=True, check=False).returncode:
            return
        time.sleep(0.1)
    subprocess.run(["umount", "--lazy", str(mounted)], check=True)


def fill_up(folder: Path) -> Path:
    """Take every byte that an ordinary user may still write there; the file that holds them."""
    path = folder / "somebody-elses"
    with path.open("wb") as file:
        offset = 0
        for size in (MIB, 4096):
            with contextlib.suppress(OSError):
                while True:
                    os.posix_fallocate(file.fileno(), offset, size)
                    offset += size
        # What fallocate leaves over in the middle of a block map, an ordinary write still gets.
        with contextlib.suppress(OSError):
            file.seek(offset)
            while True:
                file.write(b"\0" * 4096)
                file.flush()
        with contextlib.suppress(OSError):
            file.close()
    return path
