#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_lint
short_description: Check the migrations of a release before anything changes
version_added: 0.1.0
description:
  - Reads the SQL that the revisions of a release will run, and reports what each statement locks, why that is a
    problem, and what to write instead.
  - Two checkers read it, squawk and Gradual's own rules on the tree of PostgreSQL's parser. What cannot be read is a
    finding too.
  - Fails when a finding of level C(error) has no waiver, or when a waiver is expired or unused. The message lists all
    of them.
  - Runs on the controller and connects only to the host of the artifact. The artifact is unpacked into a temporary
    folder.
  - Revisions of Alembic are Python code of the release. They run in a separate process in Alembic's offline mode,
    without the release's C(env.py), without its environment and without a database; as C(nobody) if Ansible runs as
    root, else as the user of Ansible.
author: [The Gradual project (@gradual)]
extends_documentation_fragment:
  - gradual.rollout.attributes.info_module
  - gradual.rollout.artifact
  - gradual.rollout.phases
requirements:
  - pglast and squawk-cli for the Python that runs Ansible on the controller.
  - Alembic there too for O(adapter=alembic); without it, only SQL that is text in the files is read, and the rest is a
    finding.
options:
  url:
    description: URL of the release's artifact, http or https. The controller downloads it.
    type: str
  sha256:
    description: SHA-256 of the artifact, as 64 hex digits.
    type: str
  directory:
    description: A folder on the controller with the unpacked release, instead of O(url).
    type: path
  adapter:
    description: The migration tool that the release uses.
    type: str
    choices: [alembic, django, sql, sqitch]
    default: alembic
  path:
    description: Folder of the migrations in the release.
    type: str
    default: migrations
  target:
    description: Revision to migrate to.
    type: str
    default: head
  recorded:
    description:
      - The applied revisions, as M(gradual.rollout.revision_info) returns them. Only pending revisions are checked.
      - Without it, all revisions are checked.
    type: list
    elements: str
  phase:
    description:
      - V(expand) checks what a rollout would apply, that is revisions of phase expand, and those without a phase.
      - V(contract) checks all revisions, without the rules about code of the previous release.
    type: str
    choices: [expand, contract]
    default: expand
  waivers:
    description: Findings that somebody has reviewed.
    type: list
    elements: dict
    default: []
    suboptions:
      revision:
        description: The revision.
        type: str
        required: true
      rule:
        description: The rule of the finding.
        type: str
        required: true
      reason:
        description: Why it does no harm here.
        type: str
        required: true
      until:
        description: The last day of the waiver, C(YYYY-MM-DD).
        type: str
        required: true
  by_lint:
    description:
      - Whether a revision without a phase counts as expand when it has no finding of level V(error) without a waiver,
        and as contract when it has one. Without it, a revision without a phase is a finding itself.
    type: bool
    default: false
  applied:
    description:
      - Gradual's records of the applied revisions, as M(gradual.rollout.revision_info) returns them. It fails when the
        statements of one were edited after it was applied.
    type: dict
  empty:
    description:
      - Whether the database has no tables of anybody, as M(gradual.rollout.revision_info) returns it. Rules about code
        of the previous release do not apply then.
      - An empty list in O(recorded) does not say so, since another tool may have made the tables.
    type: bool
    default: false
  timeout:
    description: Seconds that the server of the artifact may be silent.
    type: float
    default: 30.0
seealso:
  - module: gradual.rollout.migration
  - module: gradual.rollout.revision_info
"""

EXAMPLES = r"""
- name: Judge the migrations that this database has not had
  gradual.rollout.migration_lint:
    url: https://artifacts.example.com/storefront-2.0.0.tar.gz
    sha256: 1f3a5c7e9b2d1f3a5c7e9b2d1f3a5c7e9b2d1f3a5c7e9b2d1f3a5c7e9b2d1f3a
    target: "0003"
    recorded: ["0001"]

- name: Judge all migrations of a working copy
  gradual.rollout.migration_lint:
    directory: .
    phase: contract
"""

RETURN = r"""
revisions:
  description: The revisions that were judged.
  returned: always
  type: list
  elements: str
findings:
  description: What was found, waived findings and warnings included.
  returned: always
  type: list
  elements: dict
  contains:
    revision:
      description: The revision.
      type: str
    file:
      description: Its file in the release.
      type: str
    line:
      description: The line of the file in which the statement begins, or in which it is executed.
      type: int
    rule:
      description: The rule, by which it can be waived.
      type: str
    statement:
      description: The first 80 characters of the statement.
      type: str
    lock:
      description: Which lock on which table it takes.
      type: str
    why:
      description: Why that hurts.
      type: str
    instead:
      description: What to write instead.
      type: str
    level:
      description: V(error) stops a rollout, V(warning) does not.
      type: str
    waived:
      description: RV(findings[].waived.reason) and RV(findings[].waived.until) of the waiver, or null.
      type: dict
      contains:
        reason:
          description: Why it does no harm here.
          type: str
        until:
          description: The last day on which this holds.
          type: str
lines:
  description: The findings, for people.
  returned: success
  type: list
  elements: str
phases:
  description: The phase of each revision that is not in its file, with the reason.
  returned: always
  type: list
  elements: dict
  contains:
    revision:
      description: The revision.
      type: str
    phase:
      description: Its phase. One of phase V(contract) stays pending, and its findings are in the reason.
      type: str
    reason:
      description: Why, as O(phases) says; from the findings, it begins with C(by_lint:).
      type: str
mistakes:
  description: Waivers that are expired or waive nothing.
  returned: always
  type: list
  elements: str
"""
