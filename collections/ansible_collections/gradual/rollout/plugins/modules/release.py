#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stage a release on a host, switch to it, note that users have it, stop it, remove it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Stage a release on a host, switch to it, stop it
version_added: 0.1.0
description:
  - V(staged) downloads the artifact over http or https, verifies it, unpacks it below C(ROOT/releases), runs its
    C(prepare) and writes C(.release.json) last. The running release is not touched. If a step fails, no partial release
    stays.
  - V(current) switches the link C(ROOT/current), restarts the unit, and waits until the application is ready and
    reports this release at C(/version). Then it sends O(probes), its smoke tests, to the origin of O(ready_url), and
    asks for the items of O(application_contract). It fails if one is missing without which nothing can be rolled out.
    It fails at once if the unit fails. A failed switch is not reverted; the caller decides.
  - C(ROOT/previous) is the release that users had before, and never one that they did not have. V(admitted) records
    that users have the release now. A release that was never admitted, or that was replaced with O(back), does not
    count.
  - V(stopped) leaves the host without a release, as before its first one. It stops the unit and removes
    C(ROOT/current), and C(ROOT/previous) if users never had that release.
  - If a killed run left a module running on the host, it waits for that module, at most three minutes. Then the error
    names its process.
author: [The Gradual project (@gradual)]
extends_documentation_fragment:
  - gradual.rollout.attributes.check_and_diff
  - gradual.rollout.artifact
  - gradual.rollout.probes
  - gradual.rollout.application_contract
options:
  application:
    description: Name of the application.
    type: str
    required: true
  root:
    description: Directory of the releases. The default is C(/opt/) and the application's name.
    type: path
  version:
    description: Version of the release. Required if the artifact is fetched.
    type: str
  url:
    description: URL of the artifact. Required if the release is not on the host yet.
    type: str
  sha256:
    description: Digest of the artifact, as 64 hex digits.
    type: str
  directory:
    description: A release that is on the host already, by its directory instead of its digest.
    type: path
  state:
    description: What is wanted.
    type: str
    choices: [staged, current, admitted, stopped, absent]
    default: staged
  back:
    description:
      - V(current) is a rollback. C(ROOT/previous) does not change, and the replaced release counts as never admitted.
    type: bool
    default: false
  served:
    description:
      - For V(staged), the digest of the release that users have now, if the balancers or the ledger know it. It is
        recorded as V(admitted).
    type: str
  keep:
    description: Number of releases to keep on the host when one is staged. The current and the previous one are always
      kept.
    type: int
    default: 3
  prepare:
    description: Run the executable C(prepare) at the artifact's top.
    type: bool
    default: true
  unit:
    description: The systemd unit to restart for V(current) and to stop for V(stopped). Without it, nothing is restarted
      or stopped.
    type: str
  ready_url:
    description: URL that answers 200 when the application can take traffic.
    type: str
  version_url:
    description: "URL that answers C({application, release, digest}). The default is C(/version) of the origin of
      O(ready_url)."
    type: str
  timeout:
    description: Seconds to wait until the application is ready.
    type: float
    default: 40
seealso:
  - module: gradual.rollout.host_info
"""

EXAMPLES = r"""
- name: Deliver the files
  gradual.rollout.release:
    application: storefront
    version: 2.0.0
    url: https://artifacts.example.org/storefront-2.0.0.tar.gz
    sha256: 8826d3e7d2271de7b0745ab1eca458cf39fb4ae6de792a71cb174d87252701b4

- name: Switch
  gradual.rollout.release:
    application: storefront
    sha256: 8826d3e7d2271de7b0745ab1eca458cf39fb4ae6de792a71cb174d87252701b4
    state: current
    unit: storefront.service
    ready_url: http://127.0.0.1:8080/readyz
    probes:
      - {path: "/api/search?q=tea", json: {found_by: words}}
"""

RETURN = r"""
directory:
  description: Where the release lies.
  returned: success
  type: str
before:
  description: "What the host was switched to before, C({version, digest, directory}); else null."
  returned: always
  type: dict
after:
  description: What it is switched to now (in check mode, would be).
  returned: always
  type: dict
removed:
  description: Directories of older releases that were removed.
  returned: success
  type: list
  elements: str
journal:
  description: The unit's last lines.
  returned: when the release does not run
  type: list
  elements: str
seconds:
  description: How long it took.
  returned: always
  type: float
application_contract:
  description: The findings for the running release, as RV(gradual.rollout.contract_check#module:findings).
  returned: with O(application_contract)
  type: list
  elements: dict
"""

import functools
import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.application import asking, contract
from ansible_collections.gradual.rollout.plugins.module_utils.common.http import HttpError
from ansible_collections.gradual.rollout.plugins.module_utils.common.probe import ARGUMENT
from ansible_collections.gradual.rollout.plugins.module_utils.release import store as release_store
from ansible_collections.gradual.rollout.plugins.module_utils.release.activate import (
    Aim,
    SwitchError,
    is_stopped,
    origin_of,
    runs,
    smoke_test,
    stop,
    switch,
)
from ansible_collections.gradual.rollout.plugins.module_utils.release.artifact import FETCH_ARGUMENTS, access_of
from ansible_collections.gradual.rollout.plugins.module_utils.release.install import (
    Artifact,
    StagingError,
    alone,
    prune,
    stage,
)
from ansible_collections.gradual.rollout.plugins.module_utils.release.systemd import Run, secrets

ARGUMENTS: dict[str, Any] = {
    "application": {"type": "str", "required": True},
    "root": {"type": "path"},
    "version": {"type": "str"},
    "url": {"type": "str"},
    "sha256": {"type": "str"},
    "directory": {"type": "path"},
    "state": {"type": "str", "choices": ["staged", "current", "admitted", "stopped", "absent"], "default": "staged"},
    "back": {"type": "bool", "default": False},
    "served": {"type": "str"},
    "keep": {"type": "int", "default": 3},
    "prepare": {"type": "bool", "default": True},
    "unit": {"type": "str"},
    "ready_url": {"type": "str"},
    "version_url": {"type": "str"},
    "timeout": {"type": "float", "default": 40},
    "probes": ARGUMENT,
    "application_contract": {"type": "dict", "options": asking.OPTIONS},
    **FETCH_ARGUMENTS,
}


def found(given: dict[str, Any], root: str) -> dict[str, Any] | None:
    """The release that is meant, if it is on the host."""
    if given["directory"]:
        return release_store.describe(given["directory"].rstrip("/"))
    return release_store.find(root, given["sha256"].lower())


def staged(given: dict[str, Any], root: str, check_mode: bool, run: Run) -> dict[str, Any]:
    """Bring the release to the host."""
    if not given["version"] or not given["sha256"]:
        raise StagingError(
            "version and sha256 are needed to stage a release; write both, and url where it is not on the host yet"
        )
    digest = given["sha256"].lower()
    if check_mode:
        there = release_store.find(root, digest)
        directory = release_store.path_of(root, given["version"], digest)
        return {"changed": there is None, "directory": directory, "removed": []}
    had = release_store.find(root, given["served"].lower()) if given["served"] else None
    if had is not None:
        release_store.admit(had)
    artifact = Artifact(
        given["application"], given["version"], digest, given["url"], access_of(given), prepare=given["prepare"]
    )
    release, changed = stage(root, artifact, run)
    return {
        "changed": changed,
        "directory": release["directory"],
        "removed": prune(root, given["keep"]) if changed else [],
    }


def current(given: dict[str, Any], root: str, check_mode: bool, run: Run) -> dict[str, Any]:
    """Make the host run the release."""
    release, fetched = found(given, root), False
    if release is None and given["url"]:
        fetched = bool(staged(given, root, check_mode, run)["changed"])
        release = found(given, root)
        if release is None and check_mode:
            directory = release_store.path_of(root, given["version"], given["sha256"].lower())
            release = {"version": given["version"], "digest": given["sha256"].lower(), "directory": directory}
    if release is None:
        lying = (
            ", ".join(f"{there['version']} ({there['digest'][:12]})" for there in release_store.kept(root)) or "none"
        )
        wanted = given["directory"] or f"{given['version'] or ''} ({given['sha256'][:12]})".strip()
        raise StagingError(
            f"release {wanted} is not on this host, which has: {lying}; stage it first (state: staged), or write its"
            " url"
        )
    ready = given["ready_url"]
    version_url = given["version_url"] or (f"{origin_of(ready)}/version" if ready else None)
    aim = Aim(root, given["unit"], ready, version_url, given["timeout"])
    done = runs(release, aim, run)
    if not done and not check_mode:
        switch(release, aim, run, back=given["back"])
    if given["probes"] and not check_mode:
        smoke_test(release, ready, given["probes"])
    result = {"changed": fetched or not done, "directory": release["directory"], "removed": [], "after": release}
    if given["application_contract"] and not check_mode:
        result["application_contract"] = contract_test(
            release, ready, given["application"], given["application_contract"]
        )
    return result


def contract_test(
    release: dict[str, Any], ready_url: str, application: str, given: dict[str, Any]
) -> list[dict[str, Any]]:
    """The findings of the application contract for the running release. SwitchError if it lacks what a rollout
    needs."""
    known = {"application": application, "release": release["version"], "digest": release["digest"]}
    origin = origin_of(ready_url)
    try:
        findings = asking.check(origin, asking.expected_of(given, **known), given["user_key"])
    except HttpError as error:
        raise SwitchError(str(error), []) from error
    refusal = contract.refusal(findings, origin)
    if refusal:
        raise SwitchError(f"Release {release['version']} runs, but {refusal}", [])
    return findings


def admitted(given: dict[str, Any], root: str, check_mode: bool, _run: Run) -> dict[str, Any]:
    """Note that users have the release."""
    release = found(given, root)
    if release is None:
        if check_mode:
            return {"changed": False, "directory": given["directory"], "removed": []}
        raise StagingError(
            f"release {given['directory'] or given['sha256'][:12]} is not on this host, so no user can have it"
        )
    changed = not release_store.is_admitted(release)
    if changed and not check_mode:
        release_store.admit(release)
    return {"changed": changed, "directory": release["directory"], "removed": []}


def stopped(given: dict[str, Any], root: str, check_mode: bool, run: Run) -> dict[str, Any]:
    """Leave the host with no release that runs."""
    aim = Aim(root, given["unit"])
    done = is_stopped(aim, run)
    if not done and not check_mode:
        stop(aim, run)
    return {"changed": not done, "directory": None, "removed": [], "after": None}


def absent(given: dict[str, Any], root: str, check_mode: bool, _run: Run) -> dict[str, Any]:
    """Remove the release from the host."""
    release = found(given, root)
    if release is None:
        return {"changed": False, "directory": given["directory"], "removed": []}
    if release == release_store.linked(root, "current"):
        raise StagingError(
            f"release {release['version']} is what this host runs ({release['directory']}); switch to another one first"
        )
    if not check_mode:
        with alone(root):
            release_store.remove(release["directory"])
    return {"changed": True, "directory": release["directory"], "removed": [release["directory"]]}


STATES = {"staged": staged, "current": current, "admitted": admitted, "stopped": stopped, "absent": absent}


def difference(known: dict[str, Any], root: str) -> dict[str, str]:
    """What changes, as text: the directories of releases, and where `current` leads."""
    if not known["changed"]:
        return {"before": "", "after": ""}
    texts = {}
    for when, gone in (
        ("before", known["removed"]),
        ("after", [known["directory"]] if known["directory"] not in [None, *known["removed"]] else []),
    ):
        link = f"{root}/current -> {known[when]['directory']}\n" if known[when] else ""
        texts[when] = "".join(f"{directory}\n" for directory in gone) + link
    return texts


def main() -> None:
    """Run the module."""
    named = [("state", state, ("sha256", "directory"), True) for state in STATES if state != "stopped"]
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_if=named,
        required_by={"probes": "ready_url", "application_contract": "ready_url"},
        supports_check_mode=True,
    )
    given, began = module.params, time.monotonic()
    root = (given["root"] or f"/opt/{given['application']}").rstrip("/")
    before = release_store.linked(root, "current")
    known: dict[str, Any] = {"before": before, "after": before}
    run = functools.partial(module.run_command, handle_exceptions=False)
    try:
        # Looking, switching, restarting and waiting are one: what a killed run has left at work on this host is waited
        # for first.
        lasting = not module.check_mode and (
            given["state"] == "staged" or os.path.isdir(os.path.join(root, "releases"))
        )
        with alone(
            root,
            f"release to {given['state']}, {given['version'] or given['directory'] or (given['sha256'] or '')[:12]}",
            create=lasting,
        ):
            before = release_store.linked(root, "current")
            known.update(before=before, after=before)
            known.update(STATES[given["state"]](given, root, module.check_mode, run))
    except (StagingError, SwitchError) as error:
        module.no_log_values.update(secrets(run, given["unit"]) if given["unit"] else ())
        known.update(after=release_store.linked(root, "current"), seconds=round(time.monotonic() - began, 3))
        module.fail_json(msg=str(error), journal=getattr(error, "journal", []), **known)
    module.exit_json(diff=difference(known, root), seconds=round(time.monotonic() - began, 3), **known)


if __name__ == "__main__":
    main()
