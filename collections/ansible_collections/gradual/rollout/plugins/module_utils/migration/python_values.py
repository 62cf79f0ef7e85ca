# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Values in Python files that cannot be told without running them, or only under a condition."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError


@dataclass(frozen=True)
class Computed:
    """What stands for the value of a name that only running the file tells. where: `file, line n`."""

    name: str
    where: str


class Perhaps(str):
    """An entry of a list that is there only under a condition. where: of the condition, as `file, line n`."""

    where: str = ""

    @staticmethod
    def of(entry: str, where: str) -> Perhaps:
        found = Perhaps(entry)
        found.where = getattr(entry, "where", where)
        return found


class Unreadable(ValueError):
    """An expression whose value cannot be told from the files."""


class Unset(Unreadable):
    """A setting that the project does not make; what uses it sets a default when it runs."""

    def __init__(self, setting: str) -> None:
        super().__init__(f"the settings have no {setting}")
        self.setting = setting


class Unknown(Unreadable):
    """An expression with a name whose value is computed."""

    def __init__(self, computed: Computed) -> None:
        super().__init__(f"{computed.name} is computed in {computed.where}")
        self.computed = computed


# What reading an expression raises that is not text.
UNTOLD = (Unreadable, DatabaseError, TypeError, ValueError, LookupError, AttributeError)
