# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What the adapters share: the graph of revisions, and a database's position in it."""

from __future__ import annotations

import hashlib
from typing import Iterator, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Revision
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Graph:
    """Revisions and their parents. For tools that record every applied revision; an adapter whose tool records only the
    heads overrides."""

    directory: str
    revisions: Mapping[str, Revision]

    def named(self, names: Sequence[str]) -> list[str]:
        """What the tool's table holds, by the names of the revisions here."""
        return list(names)

    def known_as(self, name: str) -> str:
        return name

    def complete(self, session: Session) -> None:
        """Nothing, for most tools."""

    def position(self, recorded: Sequence[str]) -> str | None:
        return recorded[-1] if recorded else None

    def current(self, recorded: Sequence[str]) -> frozenset[str]:
        self._known(recorded)
        return frozenset(recorded)

    def ancestors(self, recorded: Sequence[str]) -> frozenset[str | None]:
        return frozenset(recorded) | {None}

    def pending(self, recorded: Sequence[str], target: str) -> list[Revision]:
        done = self.current(recorded)
        wanted = self._behind(self.resolve(target))
        return [one for one in ordered(self.revisions) if one.revision in wanted - done]

    def verify(self, recorded: Sequence[str], revision: Revision) -> bool:
        return revision.revision in recorded

    def heads(self) -> list[str]:
        return sorted(set(self.revisions) - {parent for one in self.revisions.values() for parent in one.parents})

    def resolve(self, target: str) -> list[str]:
        """The revisions of a target: `head`, a revision, or the beginning of one."""
        if target in ("head", "heads"):
            return self.heads()
        if target in self.revisions:
            return [target]
        close = [one for one in self.revisions if len(target) >= 4 and one.startswith(target)]
        if len(close) == 1:
            return close
        raise DatabaseError(
            f"target: got {target!r}, which is no revision in {self.directory}; expected head or one of"
            f" {', '.join(sorted(self.revisions)[-5:])}"
        )

    def _known(self, recorded: Sequence[str]) -> None:
        unknown = [one for one in recorded if one not in self.revisions]
        if unknown:
            raise DatabaseError(
                f"the database is at revision {', '.join(unknown)}, which is none of the {len(self.revisions)} in"
                f" {self.directory}; an older release cannot migrate a newer database: release a version that has this"
                " revision"
            )

    def _behind(self, names: Sequence[str]) -> frozenset[str]:
        """These revisions and all their ancestors."""
        seen: set[str] = set()
        waiting = list(names)
        while waiting:
            one = waiting.pop()
            if one not in seen:
                seen.add(one)
                waiting.extend(self.revisions[one].parents)
        return frozenset(seen)


def ordered(revisions: Mapping[str, Revision]) -> Iterator[Revision]:
    """Parents before children, siblings by name, so that the order is always the same."""
    done: set[str] = set()
    while len(done) < len(revisions):
        ready = sorted(
            name
            for name, one in revisions.items()
            if name not in done and all(parent in done for parent in one.parents)
        )
        if not ready:
            raise DatabaseError(
                f"the revisions {', '.join(sorted(set(revisions) - done))} depend on each other in a cycle"
            )
        for name in ready:
            done.add(name)
            yield revisions[name]


def missing_parents(revisions: Mapping[str, Revision]) -> None:
    """Refuse a revision whose parent is missing."""
    for one in revisions.values():
        for parent in one.parents:
            if parent not in revisions:
                raise DatabaseError(f"{one.file} depends on revision {parent!r}, which no file beside it has")
