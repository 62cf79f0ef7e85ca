#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Set the share of users who get each feature on one host, and verify it as the application evaluates it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: feature_flags
short_description: Set shares of users in a flag file and verify them in every process
version_added: 0.1.0
description:
  - Writes the definitions of boolean flags into a file in flagd's format, and leaves other flags in it unchanged.
  - A share that is not certified yet is written with an expiry. When it expires, each host returns to the certified
    share by itself.
  - The file is replaced atomically, with a newer modification time, because providers reload only then.
  - Before it is written, the document is checked for errors that flagd's JSON Schema does not find.
  - With O(verify_url) the task succeeds only if every running process reports the new revision and the right share. A
    release that does not know a flag has the share 0 %.
  - A flag that was killed is marked in the file. Until it is allowed again, it can only be turned off.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes]
options:
  path:
    description: The flag file.
    type: path
    required: true
  flags:
    description:
      - The flags to set. A user keeps a feature when its share grows, because the order of the variants never changes.
      - Needed unless O(state=all_off).
    type: list
    elements: dict
    suboptions:
      flag:
        description: Key of the flag.
        type: str
        required: true
      certified:
        description: The certified percentage of users, 0 to 100.
        type: int
        default: 0
      baking:
        description: Percentage of users until O(flags[].expiry).
        type: int
      expiry:
        description: End of O(flags[].baking), in seconds since the epoch.
        type: float
      labels:
        description:
          - Shares of later stages, below 100 and rising, while the feature is off for all users.
          - Each user gets the variant C(aa25), C(aa50) and so on of the first stage in which the user will get the
            feature, else V(off). All of them have the value of V(off). So the users of each stage can be compared
            before any of them has the feature.
          - With O(verify_url) each of these variants must be a label of the application's C(feature_requests_total).
        type: list
        elements: int
  revision:
    description:
      - Number of this change. Each process reports it.
      - The module raises it if the file has this number or a higher one, so that old and new definitions differ.
    type: int
    required: true
  application:
    description: Name of the application, written into the metadata of the file.
    type: str
  state:
    description:
      - V(present) sets the flags, V(absent) takes their definitions out of the file.
      - V(all_off) turns off the flags that the last V(present) on this host set. A rollback without a ledger needs it.
        In a file that an earlier version wrote, it turns off all flags in the form that this module writes.
      - V(killed) turns the flags off and marks them with O(by) and O(reason). A killed flag keeps its first mark. A
        flag that a valid file does not have is not written, see RV(unknown).
      - V(allowed) removes the mark, and leaves the flags off.
    type: str
    choices: [present, absent, all_off, killed, allowed]
    default: present
  extends:
    description:
      - Only extend O(flags[].expiry). Fails without writing if the file does not show the share of O(flags[].baking)
        at this moment, because the stage has ended or another run has written another share.
    type: bool
    default: false
  by:
    description: Who kills the flags. Needed with O(state=killed).
    type: str
  reason:
    description: Why the flags are killed. Needed with O(state=killed).
    type: str
  at:
    description: When the flags were killed, in seconds since the epoch. The default is now, by the clock of the host.
      Give the same time to all hosts.
    type: float
  verify_url:
    description: Address of the application's metrics on this host. Without it, nothing is verified and RV(verified) is
      false.
    type: str
  timeout:
    description: Seconds within which every process must evaluate the new file.
    type: float
    default: 15
attributes:
  check_mode:
    support: full
    details: [Returns what would change. Writes nothing and verifies nothing.]
  diff_mode:
    support: full
    details: [Shows the file before and after.]
"""

EXAMPLES = r"""
- name: Show the feature to half of the users, and return to a quarter if the stage is not certified
  gradual.rollout.feature_flags:
    path: /etc/gradual/storefront/flags.json
    application: storefront
    revision: 18
    flags:
      - flag: search
        certified: 25
        baking: 50
        expiry: 1790000000
    verify_url: http://127.0.0.1:8080/metrics

- name: Turn the feature off and label the users of each stage
  gradual.rollout.feature_flags:
    path: /etc/gradual/storefront/flags.json
    revision: 17
    flags:
      - flag: search
        labels: [25, 50]
    verify_url: http://127.0.0.1:8080/metrics

- name: Turn the feature off
  gradual.rollout.feature_flags:
    path: /etc/gradual/storefront/flags.json
    revision: 19
    flags:
      - flag: search
        certified: 0

- name: Turn the feature off, and keep it off until somebody allows it again
  gradual.rollout.feature_flags:
    path: /etc/gradual/storefront/flags.json
    revision: 20
    state: killed
    by: mia
    reason: wrong prices
    flags:
      - flag: search
"""

RETURN = r"""
revision:
  description: The revision of the flags in the file.
  type: int
  returned: always
differing:
  description: The flags that differed before.
  type: list
  elements: str
  returned: always
processes:
  description: What each running process evaluates, one entry for each process and flag.
  type: list
  elements: dict
  returned: always
  sample: [{"pid": "4711", "flag": "search", "revision": 18, "share": 0.49}]
verified:
  description: Whether every process evaluates the file.
  type: bool
  returned: always
written:
  description:
    - Whether the file has the wanted flags. If the task fails and this is true, only the verification failed.
  type: bool
  returned: always
document:
  description: The whole flag file.
  type: dict
  returned: always
killed:
  description: "Those of the flags that are killed in the file: flag → C({at, by, reason, showed})."
  type: dict
  returned: always
unknown:
  description: With O(state=killed), the flags that the file does not have.
  type: list
  elements: str
  returned: always
"""

import contextlib
import dataclasses
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.common import host_lock
from ansible_collections.gradual.rollout.plugins.module_utils.flags import definition as flag_definition
from ansible_collections.gradual.rollout.plugins.module_utils.flags import file as flag_file
from ansible_collections.gradual.rollout.plugins.module_utils.flags import kill, kill_mark, process_state

KILLING = ("killed", "allowed")
ARGUMENTS = {
    "path": {"type": "path", "required": True},
    "flags": {
        "type": "list",
        "elements": "dict",
        "options": {
            "flag": {"type": "str", "required": True},
            "certified": {"type": "int", "default": 0},
            "baking": {"type": "int"},
            "expiry": {"type": "float"},
            "labels": {"type": "list", "elements": "int"},
        },
    },
    "revision": {"type": "int", "required": True},
    "application": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent", "all_off", *KILLING], "default": "present"},
    "by": {"type": "str"},
    "reason": {"type": "str"},
    "at": {"type": "float"},
    "extends": {"type": "bool", "default": False},
    "verify_url": {"type": "str"},
    "timeout": {"type": "float", "default": 15},
}


def plan(
    options: dict[str, Any], current: dict[str, Any] | None, wanted: list[flag_definition.Wanted]
) -> flag_definition.Plan:
    """What a file of this content must become."""
    revision, state = options["revision"], options["state"]
    if state == "killed":
        return kill.killed(
            current, wanted[0].flag, options["by"], options["reason"], revision, time.time(), options["at"]
        )
    if state == "allowed":
        return kill.allowed(current, wanted[0].flag, revision)
    change = flag_definition.plan(
        current, wanted, revision, options["application"], state == "absent", mark=state == "present"
    )
    if options["extends"] and (ended := flag_definition.not_shown(current, wanted, time.time())):
        raise flag_definition.FlagFileError(
            f"the stage is not shown any more: {', '.join(ended)}; it has ended, or another run has written another"
            " share"
        )
    return change


def claim(options: dict[str, Any], check_mode: bool) -> contextlib.AbstractContextManager[None]:
    """Around reading and writing the file. The newest call wins: one that a killed run has left must not show a feature
    again that was turned off after it began. A kill overtakes nobody and is overtaken by nobody: every call that comes
    after it finds its mark."""
    if check_mode:
        return contextlib.nullcontext()
    return host_lock.Claim("flags", options["path"], takes=options["state"] not in KILLING).step()


def wanted_from(options: dict[str, Any]) -> list[flag_definition.Wanted]:
    """The flags as they shall be."""
    wanted = [flag_definition.wanted_from(entry) for entry in options["flags"] or []]
    if options["state"] in KILLING and len(wanted) != 1:
        raise flag_definition.FlagFileError(
            f"flags: state {options['state']} takes one flag, got {len(wanted)}; run it once for each flag"
        )
    for each in wanted:
        if each.expiry is not None and each.expiry <= time.time():
            raise flag_definition.FlagFileError(
                f"flag {each.flag}: the expiry {each.expiry} is {time.time() - each.expiry:.0f} s in the past on this"
                " host; compare its clock with the others'"
            )
    return wanted


def set_flags(module: AnsibleModule) -> dict[str, object]:
    """Plan, write unless in check mode, verify; returns the result of the module."""
    options, state = module.params, module.params["state"]
    wanted = wanted_from(options)
    with claim(options, module.check_mode):
        current, before, broken = flag_file.read(options["path"])
        if state == "all_off":
            wanted = [flag_definition.Wanted(name, 0) for name in flag_definition.managed(current)]
        unknown = [each.flag for each in wanted if state == "killed" and not kill.has(current, each.flag)]
        wanted = [each for each in wanted if each.flag not in unknown]
        change = plan(options, current, wanted) if not unknown else flag_definition.unchanged(current)
        after = flag_definition.render(change.document) if change.changed else before
        if change.changed and not module.check_mode:
            flag_file.write(options["path"], after)
    for warning in ([f"{broken}; it is replaced"] if broken and change.changed else []) + change.warnings:
        module.warn(warning)
    marks = kill_mark.marks(change.document, [each.flag for each in wanted])
    told = {flag: dataclasses.asdict(mark) for flag, mark in marks.items()}
    processes: list[process_state.Process] = []
    verify = bool(options["verify_url"]) and not (module.check_mode or unknown or state in ("absent", "allowed"))
    if verify:
        try:
            processes = flag_file.wait(
                options["verify_url"], change.document, wanted, options["timeout"], options["path"]
            )
        except flag_definition.FlagFileError as error:
            error.changed, error.killed = change.changed, told
            raise
    return {
        "changed": change.changed,
        "diff": {"before": before, "after": after, "before_header": options["path"], "after_header": options["path"]},
        "revision": change.revision,
        "differing": change.differing,
        "document": change.document,
        "processes": processes,
        "verified": verify,
        "written": not module.check_mode,
        "killed": told,
        "unknown": unknown,
    }


def main() -> None:
    needed: list[tuple[str, str, tuple[str, ...]]] = [
        ("state", state, ("flags",)) for state in ("present", "absent", *KILLING)
    ]
    needed.append(("state", "killed", ("by", "reason")))
    module = AnsibleModule(argument_spec=ARGUMENTS, required_if=needed, supports_check_mode=True)
    try:
        result = set_flags(module)
    except flag_definition.FlagFileError as error:
        module.fail_json(
            msg=str(error), written=error.written, verified=False, changed=error.changed, killed=error.killed
        )
    except host_lock.Overtaken as error:
        module.fail_json(msg=str(error), written=False, verified=False)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
