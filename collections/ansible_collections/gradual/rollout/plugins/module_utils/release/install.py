# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Bring a release onto a host beside what is running: fetch, verify, unpack, prepare, and only then call it a release.

The note .release.json is written last. Whatever lies there without it was left by a run that died, and is made anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from typing import Any, Iterator

from ansible_collections.gradual.rollout.plugins.module_utils.common import files, host_lock
from ansible_collections.gradual.rollout.plugins.module_utils.common.remote import ANYBODY, Access
from ansible_collections.gradual.rollout.plugins.module_utils.release import store as release_store
from ansible_collections.gradual.rollout.plugins.module_utils.release.archive import UnpackError, unpack
from ansible_collections.gradual.rollout.plugins.module_utils.release.artifact import ArtifactError, fetch
from ansible_collections.gradual.rollout.plugins.module_utils.release.systemd import Run

OPEN = 0o755  # the application's user reads what root unpacks, whatever root's umask


class StagingError(Exception):
    """Why the release is not on the host; nothing half-made is left."""


@dataclass
class Artifact:
    """What to stage: of which application, which version, from where, with which SHA-256."""

    application: str
    version: str
    sha256: str
    url: str | None = None
    access: Access = ANYBODY
    timeout: float = 30.0
    prepare: bool = True


# How long a module waits for one that a killed run has left on the host: longer than a unit takes to stop and a release
# to become ready.
PATIENCE = 180.0
_held: set[str] = set()


@contextlib.contextmanager
def alone(root: str, what: str = "release", patience: float = PATIENCE, create: bool = True) -> Iterator[None]:
    """Nobody else stages, switches or removes releases of this application meanwhile; within one module it may be asked
    for again.

    Without `create`, as in check mode, it only waits for who is at work, and makes nothing."""
    base = os.path.join(root, "releases")
    if base in _held:
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            if create:
                os.makedirs(base, mode=0o755, exist_ok=True)
            stack.enter_context(host_lock.waited(os.path.join(base, ".lock"), what, patience, create))
        except host_lock.Busy as error:
            raise StagingError(f"{base}: {error}; when it has ended, run the same again") from error
        except OSError as error:
            raise StagingError(
                f"root: {base} cannot be written: {error.strerror}; run the task with become, or write another root"
            ) from error
        _held.add(base)
        stack.callback(_held.discard, base)
        yield


def stage(root: str, artifact: Artifact, run: Run) -> tuple[dict[str, Any], bool]:
    """The release on the host, {version, digest, directory}, and whether it had to be brought there."""
    directory = release_store.path_of(root, artifact.version, artifact.sha256)
    with alone(root):
        there = release_store.describe(directory)
        if there and there["digest"] == artifact.sha256:
            return there, False
        if artifact.url is None:
            raise StagingError(
                f"release {artifact.version} ({artifact.sha256[:12]}) is not on this host, and there is no url to fetch"
                " it from"
            )
        if os.path.realpath(os.path.join(root, "current")) == os.path.realpath(directory):
            raise StagingError(
                f"{directory} is what this host runs, but it has no {release_store.NOTE} of this release; switch to"
                " another release first"
            )
        for remains in [*release_store.half_made(root), directory]:
            shutil.rmtree(remains, ignore_errors=True)
        try:
            _fetch_and_unpack(root, directory, artifact)
            if artifact.prepare:
                _prepare(directory, run)
            _write_note(directory, artifact)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
    return {"version": artifact.version, "digest": artifact.sha256, "directory": directory}, True


def _fetch_and_unpack(root: str, directory: str, artifact: Artifact) -> None:
    base = os.path.join(root, "releases")
    work = tempfile.mkdtemp(prefix=release_store.HALF_MADE, dir=base)
    try:
        with tempfile.TemporaryFile(dir=work) as packed:
            try:
                fetch(str(artifact.url), artifact.sha256, packed, artifact.timeout, artifact.access)
            except ArtifactError as error:
                raise StagingError(str(error)) from error
            packed.seek(0)
            unpacked = os.path.join(work, "unpacked")
            os.mkdir(unpacked)
            os.chmod(unpacked, OPEN)
            try:
                unpack(packed, unpacked)
            except UnpackError as error:
                raise StagingError(
                    f"artifact.url: {artifact.url} is not a usable artifact: {error}; build it again"
                ) from error
        if not os.access(os.path.join(unpacked, "run"), os.X_OK):
            raise StagingError(
                f"artifact.url: {artifact.url} holds no executable file `run` at its top, which the unit starts; build"
                " it again"
            )
        # Moved before it is prepared, since what `prepare` makes may name its own path.
        os.rename(unpacked, directory)
    except OSError as error:
        raise StagingError(
            f"release {artifact.version} cannot be stored in {base}: {error.strerror}; free disk space; to see it:"
            f" df {base}"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _prepare(directory: str, run: Run) -> None:
    if not os.path.exists(os.path.join(directory, "prepare")):
        return
    try:
        code, output, errors = run(["./prepare"], cwd=directory)
    except OSError as error:
        raise StagingError(f"`prepare` of the artifact cannot be run: {error.strerror or error}") from error
    if code != 0:
        said = "\n".join((output + "\n" + errors).strip().splitlines()[-15:])
        raise StagingError(f"`prepare` of the artifact ended with exit status {code}; it said last:\n{said}")


def _write_note(directory: str, artifact: Artifact) -> None:
    """Everything onto the disk first, then the note that calls it a release."""
    release_store.withdraw({"directory": directory})
    os.sync()
    note = {"application": artifact.application, "release": artifact.version, "digest": artifact.sha256}
    files.replace(os.path.join(directory, release_store.NOTE), json.dumps(note) + "\n")
    files.sync_directory(directory)
    files.sync_directory(os.path.dirname(directory))


def prune(root: str, keep: int) -> list[str]:
    """Remove the releases beyond the newest `keep`; what runs and what ran before always stay."""
    with alone(root):
        gone = release_store.surplus(root, keep)
        for directory in gone:
            release_store.remove(directory)
    return gone
