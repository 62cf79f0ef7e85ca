"""Which damage is found by whom. Every cell is a check that was run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.gradual.rollout.plugins.module_utils.backup import store
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

from tests.database.server import Shop, programs, run_as

from . import tools
from .damages import DAMAGES, DUMP, Damage, reseal
from .stage import Stage

OURS = ("intact", "readable", "restored")
LIST, PGC, VERIFY, INFO, REPOSITORY = ("`pg_restore -l`", "community.postgresql restore", "pg_verifybackup", "`pgbackrest info`", "`pgbackrest verify`")
COLUMNS = (LIST, PGC, VERIFY, INFO, REPOSITORY, *(f"Gradual: {level}" for level in OURS))
Check = Callable[[Path], bool]


@dataclass(frozen=True)
class Row:
    """accepted: {column: whether that check was content with the damaged backup}; without a column that does not apply."""

    damage: str
    accepted: dict[str, bool]


def level_holds(shop: Shop, path: Path, level: str) -> bool:
    """Whether Gradual proves it to the level."""
    try:
        return bool(shop.prove(str(path), level)["level"] == level)
    except DatabaseError:
        return False


def ours(shop: Shop) -> dict[str, Check]:
    return {f"Gradual: {level}": (lambda path, level=level: level_holds(shop, path, level)) for level in OURS}  # type: ignore[misc]


def theirs(method: str, other: tools.Community) -> dict[str, Check]:
    """What else looks at backups of that method."""
    if method == "dump":
        def dump(path: Path) -> Path:
            return path / DUMP if not (path / "database").exists() else path / "database"

        return {LIST: lambda path: tools.lists(dump(path)),
                PGC: lambda path: other.restores(dump(path), ".dir" if dump(path).is_dir() else ".pgc")}
    return {VERIFY: lambda path: tools.verifies(path / store.CLUSTER)}


def taken(shop: Shop, method: str, form: str) -> Path:
    """A backup of that kind."""
    asked = {"format": "custom" if "custom" in form else form} if method == "dump" else {"method": method}
    path = Path(shop.back_up(**asked)["path"])
    if form == "plain custom":
        run_as([str(programs() / "pg_dump"), "--format", "custom", "--compress", "0", "--host", str(shop.server.folder), "--port", str(shop.server.port),
                "--no-tablespaces", "--file", str(path / DUMP), shop.name])
        reseal(path)
    return path


def judged(whole: Path, damage: Damage | None, checks: dict[str, Check], name: str) -> Row:
    """Damage a copy, and let each of the checks look at it."""
    accepted = {}
    for column, check in checks.items():
        copy = whole.parent / "damaged"
        run_as(["cp", "--archive", str(whole), str(copy)])
        try:
            if damage is not None:
                damage.do(copy)
                if damage.fits:
                    reseal(copy)
            accepted[column] = check(copy)
        finally:
            shutil.rmtree(copy)
    return Row(name, accepted)


def rows(stage: Stage, other: tools.Community | None) -> Iterator[Row]:
    """A row for each damage, and one of no damage for each kind of backup. other None: Gradual's columns only."""
    kinds = list(dict.fromkeys((one.method, one.format) for one in DAMAGES))
    for method, form in kinds:
        with stage.shop() as shop:
            whole = taken(shop, method, form)
            checks = {**(theirs(method, other) if other else {}), **ours(shop)}
            yield judged(whole, None, checks, f"nothing ({method}, {form})")
            for damage in DAMAGES:
                if (damage.method, damage.format) == (method, form):
                    yield judged(whole, damage, checks, damage.name)


def false_accepts(found: list[Row]) -> dict[str, int]:
    """How many damaged backups each check was content with, of those that it looked at."""
    return {column: sum(row.accepted.get(column, False) for row in found if not row.damage.startswith("nothing")) for column in COLUMNS}


def markdown(found: list[Row]) -> str:
    lines = ["| damage | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for row in found:
        whole = row.damage.startswith("nothing")
        words = {None: "–", True: "accepted" if whole else "**accepted**", False: "**refused**" if whole else "found"}
        lines.append(f"| {row.damage} | " + " | ".join(words[row.accepted.get(column)] for column in COLUMNS) + " |")
    damaged = [row for row in found if not row.damage.startswith("nothing")]
    looked = {column: sum(column in row.accepted for row in damaged) for column in COLUMNS}
    cells = [f"{count} of {looked[column]}" if looked[column] else "–" for column, count in false_accepts(found).items()]
    lines.append(f"| **accepted though damaged** | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
