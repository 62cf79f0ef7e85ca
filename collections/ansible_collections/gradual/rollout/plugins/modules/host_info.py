#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Return what a rollout needs to know of an application host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: Return what a rollout needs to know of an application host
version_added: 0.1.0
description:
  - Returns in one call the host's clock, its free disk space, its releases, which one is linked, and which one runs.
  - What does not exist is null. Only wrong parameters fail.
author: [The Gradual project (@gradual)]
extends_documentation_fragment:
  - gradual.rollout.attributes.info_module
  - gradual.rollout.application_contract
options:
  application:
    description: Name of the application.
    type: str
    required: true
  root:
    description: Directory of its releases. The default is C(/opt/APPLICATION).
    type: path
  url:
    description:
      - The application's own address on this host, such as V(http://127.0.0.1:8080), for O(version_path) and
        O(ready_path).
      - Without it, nothing is requested.
    type: str
  version_path:
    description: Path of the running release.
    type: str
    default: /version
  ready_path:
    description: Path that answers 200 when the application may take traffic.
    type: str
    default: /readyz
  flags:
    description: The flag file. The default is C(/etc/gradual/APPLICATION/flags.json).
    type: path
  unit:
    description: The systemd unit. The default is the application's name.
    type: str
  paths:
    description: Paths whose free disk space is returned. The default is O(root) and C(/tmp). For a path that does not
      exist yet, its nearest existing parent counts.
    type: list
    elements: path
  timeout:
    description: Seconds to wait for each answer of the application.
    type: int
    default: 3
"""

EXAMPLES = r"""
- name: Show what runs
  gradual.rollout.host_info:
    application: storefront
    url: http://127.0.0.1:8080
  register: host
"""

RETURN = r"""
clock:
  description: The host's clock, in seconds since the epoch.
  returned: success
  type: float
clock_off:
  description:
    - By how many seconds at least the host's clock is ahead of the controller's (behind it if negative). The time of
      the call is taken into account.
    - Set by the action plugin.
  returned: success
  type: float
python:
  description: Version of the Python that runs modules.
  returned: success
  type: str
free_bytes:
  description: Path → free bytes.
  returned: success
  type: dict
free_inodes:
  description: Path → free inodes; null if the file system has no such limit.
  returned: success
  type: dict
unwritable:
  description: Path → why it is not writable, for the release root and the directory of the flag file. Empty if both
    are.
  returned: success
  type: dict
links:
  description:
    - What C(ROOT/current) and C(ROOT/previous) are, C({current, previous}). Each is V(release), V(missing), V(broken)
      (its target does not exist), V(foreign) (its target is not a release), V(directory) or V(file).
  returned: success
  type: dict
root:
  description: Directory of its releases.
  returned: success
  type: str
current:
  description:
    - "The linked release, C({version, digest, directory, admitted}); else null."
    - C(admitted) says whether users have or had it on this host, without a rollback since then.
  returned: success
  type: dict
previous:
  description: The release that users had before, as RV(current); else null.
  returned: success
  type: dict
releases:
  description: All releases on the host, newest first.
  returned: success
  type: list
  elements: dict
running:
  description: "The answer of O(version_path): C({application, release, digest}); else null."
  returned: success
  type: dict
ready:
  description: Whether O(ready_path) answers 200.
  returned: success
  type: bool
application_contract:
  description: The findings, as RV(gradual.rollout.contract_check#module:findings); null if no application answers at
    O(version_path).
  returned: with O(application_contract)
  type: list
  elements: dict
flags:
  description: The content of the flag file; null if there is none or it cannot be read.
  returned: success
  type: dict
flags_error:
  description: What is wrong with an existing flag file; else null.
  returned: success
  type: str
unit:
  description: The unit's active state, such as V(active) or V(failed); null without systemd.
  returned: success
  type: str
unit_load:
  description: The unit's load state, such as V(loaded), V(not-found) or V(masked); null without systemd.
  returned: success
  type: str
job:
  description: Number of systemd's pending job for the unit, such as a restart; null if there is none.
  returned: success
  type: str
"""

import functools
import os
import platform
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.application import asking
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
    "version_path": {"type": "str", "default": "/version"},
    "ready_path": {"type": "str", "default": "/readyz"},
    "application_contract": {"type": "dict", "options": asking.OPTIONS},
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


def is_ready(url: str, path: str, timeout: float) -> bool:
    """Whether the application may take traffic."""
    try:
        with Session(url, timeout) as session:
            return session.get(path).status == 200
    except HttpError:
        return False


def contract_findings(url: str, given: dict[str, Any]) -> list[dict[str, Any]]:
    """What the running application lacks of the application contract. What it lacks now can come with the release, so
    it is asked once."""
    try:
        return asking.check(url, asking.expected_of(given), given["user_key"], patience=0)
    except HttpError:
        return []


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
    running = fetch_json(url.rstrip("/") + given["version_path"], timeout) if url else None
    asked = given["application_contract"] if running else None
    findings = contract_findings(url, asked) if asked else None
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
        "ready": is_ready(url, given["ready_path"], timeout) if url else False,
        **({"application_contract": findings} if given["application_contract"] else {}),
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
