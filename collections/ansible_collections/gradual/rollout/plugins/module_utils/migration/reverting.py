# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""One step back: the last expand revision that Gradual applied, named by its name, behind the same guards as a step
forward."""

from __future__ import annotations

from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.migration import steps
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Command, Revision
from ansible_collections.gradual.rollout.plugins.module_utils.migration.runner import Migrator
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError


class Reverter(Migrator):
    """`target` is the revision to go back from. Reverting what is not applied does nothing."""

    aim = "reverted"

    def plan(self) -> list[Revision]:
        name = self.request.target
        revision = self.adapter.revisions.get(name)
        if revision is None:
            raise DatabaseError(
                f"the target {name!r} is no revision of this release; to revert, name exactly the one to go back from, "
                f"one of {', '.join(sorted(self.adapter.revisions)[-5:])}"
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
            raise DatabaseError(f"{', '.join(later)} came after {name} and rests on it; revert that first")
        beside = sorted(
            other
            for other in applied - {name}
            if set(revision.parents) & set(getattr(self.adapter.revisions.get(other), "parents", ()))
        )
        if beside and self.adapter.name == "alembic":
            raise DatabaseError(
                f"{', '.join(beside)} branches off where {name} does, and Alembic's downgrade would take it back too; "
                "do it with the tool itself"
            )
        if revision.phase != "expand":
            raise DatabaseError(
                f"{name} ({revision.file}) is of the phase {revision.phase}: what it took away does not come back by"
                " reverting it. Restore a backup beside the live cluster instead"
            )
        if not steps.was_applied(self.session, self.adapter, name):
            raise DatabaseError(
                f"{name} was not applied by Gradual, so it is none of a rollout's and is not reverted; do it with the"
                " tool itself"
            )
        steps.refuse_edited(self.session, self.adapter, [name])
        return [revision]

    def _command(self, revision: Revision) -> Command:
        return self.adapter.revert(revision)

    def _done(self, recorded: list[str], revision: Revision) -> bool:
        return revision.revision not in self.adapter.current(recorded)

    def _begin(self, revision: Revision, told: dict[str, Any]) -> None:
        """The record stays until it is true no more."""

    def _finish(self, revision: Revision) -> None:
        steps.forget(self._alive(), self.adapter, revision)

    def _tidy(self, revision: Revision, told: dict[str, Any]) -> None:
        """An attempt to take something away leaves nothing that is in anybody's way."""

    def _remember(self) -> None:
        """What is recorded by others is no matter here."""
