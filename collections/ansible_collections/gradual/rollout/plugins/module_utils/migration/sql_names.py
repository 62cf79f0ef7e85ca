# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Names of SQL migration files, as their tools write them, and the order that they give. Pure functions.

golang-migrate and sqlx: 1_x.up.sql, 1_x.down.sql. Flyway: V1.2__x.sql, U1.2__x.sql (undo), R__x.sql (repeatable).
Others, with a number or a time in front: 1_x.sql, and 1_x.down.sql where the file itself has no part that undoes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterator, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

UP_DOWN, FLYWAY, NUMBERED = "up and down", "Flyway", "numbered"
# Names of files that apply something, by form. Every file of a folder has the same form.
_APPLY = {
    UP_DOWN: re.compile(r"(?P<version>\d+)[_-](?P<title>.+)\.up\.sql"),
    FLYWAY: re.compile(r"(?:V(?P<version>\d+(?:[._]\d+)*)|(?P<again>R))__(?P<title>.+)\.sql"),
    NUMBERED: re.compile(r"(?P<version>\d+)(?:[_-](?P<title>.+))?\.sql"),
}
_UNDO = re.compile(r"(?P<version>\d+)(?:[_-].+)?\.down\.sql|U(?P<dotted>\d+(?:[._]\d+)*)__.+\.sql")
_EXPECTED = "0001_orders.sql, 0001_orders.up.sql, or Flyway's V1__orders.sql, U1__orders.sql and R__orders.sql"
Version = tuple[int, ...]


@dataclass(frozen=True)
class Named:
    """name: of the revision. version: its parts as numbers; () for a repeatable one. down: the file that undoes it."""

    name: str
    version: Version
    file: str
    down: str | None

    @property
    def repeatable(self) -> bool:
        return not self.version


def read(names: Sequence[str], folder: str) -> tuple[str, list[Named]]:
    """(form, migrations in the order of their versions, repeatable ones last by name) of the .sql files of a folder."""
    undo = {_undone(match): match[0] for match in map(_UNDO.fullmatch, names) if match}
    given = {name: _form(name, folder) for name in sorted(names) if name not in undo.values()}
    forms = {form: name for name, form in given.items()}
    if len(forms) > 1:
        shown = " and ".join(f"{name} ({form})" for form, name in sorted(forms.items(), key=lambda one: one[1]))
        raise DatabaseError(
            f"{folder} has SQL files of different forms: {shown}; expected one form, such as {_EXPECTED}; move the"
            " others to another folder"
        )
    found = sorted(_named(given, undo), key=lambda one: (one.repeatable, one.version, one.name))
    for before, one in zip(found, found[1:]):
        if one.version and before.version == one.version:
            raise DatabaseError(
                f"{before.file} and {one.file} in {folder} have the same number; give one of them another number"
            )
    return next(iter(forms), NUMBERED), found


def version(text: str) -> Version:
    """1.2, 1_2 and 1.2.0 are the same version, and 2 comes before 10."""
    parts = [int(part) for part in re.split("[._]", text)]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def version_of(name: str) -> Version:
    """The version in the name of a revision; () for a repeatable one."""
    match = re.match(r"V(\d+(?:[._]\d+)*)__|(\d+)", name)
    return version(match[1] or match[2]) if match else ()


def _form(name: str, folder: str) -> str:
    for form, pattern in _APPLY.items():
        if pattern.fullmatch(name) and "'" not in name and name.isprintable():
            return form
    raise DatabaseError(
        f"{name} in {folder} is not named like a migration; expected a name like {_EXPECTED}; move it to another folder"
        " if it is none"
    )


def _undone(match: re.Match[str]) -> Version:
    return version(match["version"] or match["dotted"])


def _named(given: Mapping[str, str], undo: Mapping[Version, str]) -> Iterator[Named]:
    for file, form in given.items():
        match = _APPLY[form].fullmatch(file)
        found = version(match["version"]) if match and match["version"] else ()
        name = file[: -len(".up.sql" if form == UP_DOWN else ".sql")]
        yield Named(name, found, file, undo.get(found))
