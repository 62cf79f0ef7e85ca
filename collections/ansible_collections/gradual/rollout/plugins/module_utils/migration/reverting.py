# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Revert one revision by name: an expand revision that Gradual applied, with the same checks as an upgrade."""

from __future__ import annotations

from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.migration import steps
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Command, Revision
from ansible_collections.gradual.rollout.plugins.module_utils.migration.runner import Migrator
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError


class Reverter(Migrator):
    """`target` is the revision to revert. Reverting a revision that is not applied does nothing."""

    aim = "reverted"

    def plan(self) -> list[Revision]:
        name = self.request.target
        revision = self.adapter.revisions.get(name)
        if revision is None:
            raise DatabaseError(
                f"target: got {name!r}, expected the exact name of the revision to revert, one of"
                f" {', '.join(sorted(self.adapter.revisions)[-5:])}"
            )
        applied = self.adapter.current(self._recorded())
        if name not in applied:
            return []
        later = sorted(
            other
            for other in applied
            if other in self.adapter.revisions and name in self.adapter.revisions[other].parents
        )
        if later:
            raise DatabaseError(f"{', '.join(later)} depends on {name}; revert that first")
        beside = sorted(
            other
            for other in applied - {name}
            if set(revision.parents) & set(getattr(self.adapter.revisions.get(other), "parents", ()))
        )
        if beside and self.adapter.name == "alembic":
            raise DatabaseError(
                f"{', '.join(beside)} has the same parent as {name}, and Alembic's downgrade would revert it too;"
                " revert with the tool itself"
            )
        if revision.phase != "expand":
            raise DatabaseError(
                f"{name} ({revision.file}) is of the phase {revision.phase}: reverting it does not bring back what it"
                " removed. Restore a backup beside the live cluster instead"
            )
        if not steps.was_applied(self.session, self.adapter, name):
            raise DatabaseError(
                f"{name} was not applied by Gradual, so it is not reverted; revert with the tool itself"
            )
        self._refuse_edited([name])
        return [revision]

    def _command(self, revision: Revision) -> Command:
        return self.adapter.revert(revision)

    def _done(self, recorded: list[str], revision: Revision) -> bool:
        return revision.revision not in self.adapter.current(recorded)

    def _begin(self, revision: Revision, told: dict[str, Any]) -> None:
        """Keeps the record: it is true until the revision is reverted."""

    def _finish(self, revision: Revision) -> None:
        steps.forget(self._alive(), self.adapter, revision)

    def _tidy(self, revision: Revision, told: dict[str, Any]) -> None:
        """Nothing to do: a failed revert leaves no invalid index."""

    def _remember(self) -> None:
        """Nothing to do: a revert records no other revisions."""
