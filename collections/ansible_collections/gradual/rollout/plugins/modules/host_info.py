#!/usr/bin/python
# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Look at a host as a rollout needs to know it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: Look at a host as a rollout needs to know it
version_added: 0.1.0
description:
  - Tells in one call what time the host has, what room, which releases lie there, which is switched to, and which
    really runs.
  - What is not there is null; only mistakes in the parameters fail.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes.info_module]
options:
  application:
    description: Name of the application.
    type: str
    required: true
  root:
    description: Where its releases lie. Default is C(/opt/) and the application's name.
    type: path
  url:
    description:
      - Base of the application's own address on this host, such as V(http://127.0.0.1:8080), to ask for C(/version) and
        C(/readyz).
      - Nothing is asked without it.
    type: str
  flags:
    description: The flag file. Default is C(/etc/gradual/APPLICATION/flags.json).
    type: path
  unit:
    description: The systemd unit. Default is the application's name.
    type: str
  paths:
    description: Where to look for free bytes. Default are O(root) and C(/tmp). A path that is not there yet stands for
      the directory that it would be in.
    type: list
    elements: path
  timeout:
    description: Seconds to wait for each answer of the application.
    type: int
    default: 3
"""

EXAMPLES = r"""
- name: See what runs
  gradual.rollout.host_info:
    application: storefront
    url: http://127.0.0.1:8080
  register: host
"""

RETURN = r"""
clock:
  description: The host's clock, in seconds since 1970.
  returned: success
  type: float
clock_off:
  description:
    - By how many seconds it is ahead of the controller's clock at the least (behind it when negative), given that
      asking takes time.
    - Set by the action plugin.
  returned: success
  type: float
python:
  description: Version of the Python that runs modules.
  returned: success
  type: str
free_bytes:
  description: Path → bytes that are free there.
  returned: success
  type: dict
free_inodes:
  description: Path → how many files can still be made there; null where the file system knows no such limit.
  returned: success
  type: dict
unwritable:
  description: Path → why nothing can be written there, of the release root and the flag file's directory; empty when
    all is well.
  returned: success
  type: dict
links:
  description:
    - What C(ROOT/current) and C(ROOT/previous) are, C({current, previous}). Each is V(release), V(missing), V(broken)
      (leads nowhere),
      V(foreign) (leads to something that is no release), V(directory) or V(file).
  returned: success
  type: dict
root:
  description: Where its releases lie.
  returned: success
  type: str
current:
  description:
    - "The release that is switched to, C({version, digest, directory, admitted}); else null."
    - C(admitted) says whether users have or had it on this host and it was not taken back from them.
  returned: success
  type: dict
previous:
  description: The release that users had before, as C(current); else null.
  returned: success
  type: dict
releases:
  description: All releases that lie there, newest first.
  returned: success
  type: list
  elements: dict
running:
  description: "What the application says of itself at C(/version): C({application, release, digest}); else null."
  returned: success
  type: dict
ready:
  description: Whether C(/readyz) answers 200.
  returned: success
  type: bool
flags:
  description: The flag file's content; null when there is none, or none that can be read.
  returned: success
  type: dict
flags_error:
  description: What is wrong with a flag file that is there and cannot be used; else null.
  returned: success
  type: str
unit:
  description: The unit's active state, such as V(active) or V(failed); null where there is no systemd.
  returned: success
  type: str
unit_load:
  description: Whether systemd has the unit, such as V(loaded), V(not-found) or V(masked); null where there is no
    systemd.
  returned: success
  type: str
job:
  description: Number of the job that systemd still has to do for the unit, such as a restart; null when there is none.
  returned: success
  type: str
"""

import functools
import os
import platform
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.common.http import HttpError, Session, fetch_json
from ansible_collections.gradual.rollout.plugins.module_utils.flags import file as flag_file
from ansible_collections.gradual.rollout.plugins.module_utils.flags.definition import FlagFileError
from ansible_collections.gradual.rollout.plugins.module_utils.release import store as release_store
from ansible_collections.gradual.rollout.plugins.module_utils.release.systemd import properties

ARGUMENTS: dict[str, Any] = {
    "application": {"type": "str", "required": True},
    "root": {"type": "path"},
    "url": {"type": "str"},
    "flags": {"type": "path"},
    "unit": {"type": "str"},
    "paths": {"type": "list", "elements": "path"},
    "timeout": {"type": "int", "default": 3},
}


def nearest(path: str) -> str:
    """The path, or the directory that it would be made in."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def free_bytes(path: str) -> int:
    """Bytes that are free to anybody at a path, or where it would be made."""
    found = os.statvfs(nearest(path))
    return found.f_bavail * found.f_frsize


def free_inodes(path: str) -> int | None:
    """How many files can still be made at a path; None where the file system has no such limit."""
    found = os.statvfs(nearest(path))
    return found.f_favail if found.f_files else None


def unwritable(path: str, made: bool) -> str | None:
    """Why nothing can be written into a directory; None when it can. made: it is made when it is not there."""
    there = nearest(path) if made else path
    if not os.path.exists(there):
        return "there is no such directory"
    if not os.path.isdir(there):
        return f"{there} is no directory"
    if os.statvfs(there).f_flag & os.ST_RDONLY:
        return "its file system is read-only"
    return None if os.access(there, os.W_OK | os.X_OK) else "this user may not write there"


def release_at(root: str, link: str) -> dict[str, Any] | None:
    """The release that a link leads to, with `admitted`."""
    release = release_store.linked(root, link)
    return {**release, "admitted": release_store.is_admitted(release)} if release else None


def read_flags(path: str) -> tuple[dict[str, Any] | None, str | None]:
    """The flag file's content, and what is wrong with a file that is there and cannot be used. A blank file is none."""
    try:
        document, text, wrong = flag_file.read(path)
    except FlagFileError as error:
        return None, str(error)
    return document, wrong if text.strip() else None


def is_ready(url: str, timeout: float) -> bool:
    """Whether the application may take traffic."""
    try:
        with Session(url, timeout) as session:
            return session.get("/readyz").status == 200
    except HttpError:
        return False


def look(given: dict[str, Any], run: Any) -> dict[str, Any]:
    """Everything the module returns."""
    application, url, timeout = given["application"], given["url"], given["timeout"]
    root = os.path.abspath(given["root"] or f"/opt/{application}")
    flags_file = given["flags"] or f"/etc/gradual/{application}/flags.json"
    flags, flags_error = read_flags(flags_file)
    paths = {path: os.path.abspath(path) for path in given["paths"] or [root, "/tmp"]}
    written = {
        root: unwritable(root, made=True),
        os.path.dirname(flags_file): unwritable(os.path.dirname(flags_file), made=False),
    }
    running = fetch_json(url.rstrip("/") + "/version", timeout) if url else None
    # Asked after the process, so that a restart which began meanwhile is seen.
    unit = properties(run, given["unit"] or f"{application}.service")
    return {
        "python": platform.python_version(),
        "free_bytes": {path: free_bytes(full) for path, full in paths.items()},
        "free_inodes": {path: free_inodes(full) for path, full in paths.items()},
        "unwritable": {path: why for path, why in written.items() if why},
        "root": root,
        "links": {link: release_store.link_kind(root, link) for link in ("current", "previous")},
        "current": release_at(root, "current"),
        "previous": release_at(root, "previous"),
        "releases": release_store.kept(root),
        "running": running if isinstance(running, dict) else None,
        "ready": is_ready(url, timeout) if url else False,
        "flags": flags,
        "flags_error": flags_error,
        "unit": unit.get("ActiveState"),
        "unit_load": unit.get("LoadState"),
        "job": unit.get("Job") or None,
        "clock": time.time(),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    run = functools.partial(module.run_command, handle_exceptions=False)
    module.exit_json(changed=False, **look(module.params, run))


if __name__ == "__main__":
    main()
