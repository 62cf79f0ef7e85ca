# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Where releases lie on a host: ROOT/releases/VERSION-DIGEST12, ROOT/current and ROOT/previous.

A release that users do not have on this host yet, or that was taken back from them, holds the file .unadmitted. It is
written when the release is staged and removed when a balancer sends users to it. ROOT/previous never leads to a release
that holds it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.common.files import sync_directory

NOTE = ".release.json"
UNADMITTED = ".unadmitted"
HALF_MADE = ".staging-"

Release = dict[str, Any]


def name_of(version: str, digest: str) -> str:
    """The directory of a release, below ROOT/releases."""
    return f"{version}-{digest[:12]}"


def path_of(root: str, version: str, digest: str) -> str:
    """The full path of a release's directory."""
    return os.path.join(root, "releases", name_of(version, digest))


def describe(directory: str) -> Release | None:
    """{version, digest, directory} of an unpacked release; None when it is none, or was not finished."""
    try:
        with open(os.path.join(directory, NOTE), encoding="utf-8") as stream:
            note = json.load(stream)
        version, digest = note["release"], note["digest"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(version, str) or not isinstance(digest, str):
        return None
    return {"version": version, "digest": digest, "directory": directory}


def linked(root: str, link: str) -> Release | None:
    """The release that ROOT/current or ROOT/previous leads to; None when there is none."""
    try:
        target = os.readlink(os.path.join(root, link))
    except OSError:
        return None
    return describe(os.path.normpath(os.path.join(root, target)))


def is_admitted(release: Release) -> bool:
    """Whether users have, or had, this release on this host, and it was not taken back from them."""
    return not os.path.lexists(os.path.join(release["directory"], UNADMITTED))


def admit(release: Release) -> None:
    """Note that users have the release."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(release["directory"], UNADMITTED))
        sync_directory(release["directory"])


def withdraw(release: Release) -> None:
    """Note that users do not have the release. A disk that is full or read-only does not stop a rollback."""
    with contextlib.suppress(OSError):
        with open(os.path.join(release["directory"], UNADMITTED), "w", encoding="utf-8"):
            pass
        sync_directory(release["directory"])


def link_kind(root: str, link: str) -> str:
    """What ROOT/current or ROOT/previous is: missing, release, broken (leads nowhere), foreign (leads to no release),
    directory or file."""
    path = os.path.join(root, link)
    if os.path.islink(path):
        if linked(root, link):
            return "release"
        return "foreign" if os.path.exists(path) else "broken"
    if os.path.isdir(path):
        return "directory"
    return "file" if os.path.exists(path) else "missing"


def kept(root: str) -> list[Release]:
    """All whole releases on the host, the one that was staged or switched to last first."""
    found: list[tuple[float, Release]] = []
    try:
        names = os.listdir(os.path.join(root, "releases"))
    except OSError:
        return []
    for name in names:
        directory = os.path.join(root, "releases", name)
        release = None if name.startswith(".") else describe(directory)
        if release is not None:
            found.append((os.stat(os.path.join(directory, NOTE)).st_mtime, release))
    return [release for _when, release in sorted(found, key=lambda entry: entry[0], reverse=True)]


def find(root: str, digest: str) -> Release | None:
    """The release of that digest on the host."""
    return next((release for release in kept(root) if release["digest"] == digest), None)


def surplus(root: str, keep: int) -> list[str]:
    """Directories that may go: all but the newest `keep`, and never what runs now or ran before."""
    held = {release["directory"] for release in (linked(root, "current"), linked(root, "previous")) if release}
    return [release["directory"] for release in kept(root)[max(keep, 0) :] if release["directory"] not in held]


def remove(directory: str) -> None:
    """Remove a release so that a crash in the middle leaves nothing that looks whole."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(directory, NOTE))
    shutil.rmtree(directory, ignore_errors=False)


def half_made(root: str) -> list[str]:
    """What runs that died left of releases that they had not finished."""
    base = os.path.join(root, "releases")
    try:
        return [os.path.join(base, name) for name in os.listdir(base) if name.startswith(HALF_MADE)]
    except OSError:
        return []


def switch(root: str, link: str, directory: str) -> None:
    """Make ROOT/link lead to the directory, in one step: there is no moment without it."""
    fresh = os.path.join(root, f".{link}.new")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)
    os.symlink(os.path.relpath(directory, root), fresh)
    os.replace(fresh, os.path.join(root, link))
    sync_directory(root)


def unlink(root: str, link: str) -> None:
    """Remove ROOT/link, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(root, link))
        sync_directory(root)
