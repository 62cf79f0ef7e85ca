"""Which damage is found by whom. Every cell is a check that was run."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.backup import store
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

from tests.database.server import Shop, programs, run_as

from . import tools
from .damages import DAMAGES, DUMP, OTHER, Damage, repository, reseal
from .pages import corrupt
from .repositories import command, options
from .stage import Stage

OURS = ("intact", "readable", "restored")
LIST, PGC, VERIFY, INFO, REPOSITORY = (
    "`pg_restore -l`",
    "community.postgresql restore",
    "pg_verifybackup",
    "`pgbackrest info`",
    "`pgbackrest verify`",
)
COLUMNS = (LIST, PGC, VERIFY, INFO, REPOSITORY, *(f"Gradual: {level}" for level in OURS))
Check = Callable[[Path], bool]


@dataclass(frozen=True)
class Row:
    """accepted: {column: whether that check was content with the damaged backup}; without a column that does not
    apply."""

    damage: str
    accepted: dict[str, bool]


def level_holds(shop: Shop, path: Path, level: str) -> bool:
    """Whether Gradual proves it to the level."""
    try:
        return bool(shop.prove(str(path), level)["level"] == level)
    except DatabaseError:
        return False


def ours(shop: Shop) -> dict[str, Check]:
    return {f"Gradual: {level}": lambda path, level=level: level_holds(shop, path, level) for level in OURS}  # type: ignore[misc]


def theirs(shop: Shop, method: str, other: tools.Community) -> dict[str, Check]:
    """What else looks at backups of that method."""
    if method == "dump":

        def dump(path: Path) -> Path:
            return path / DUMP if (path / DUMP).exists() else path / "database"

        return {
            LIST: lambda path: tools.lists(dump(path)),
            PGC: lambda path: other.restores(dump(path), ".dir" if dump(path).is_dir() else ".pgc"),
        }
    if method == "basebackup":
        return {VERIFY: lambda path: tools.verifies(path / store.CLUSTER)}
    return {
        INFO: lambda path: tools.passes(*command(shop.server, "info")),
        REPOSITORY: lambda path: tools.passes(*command(shop.server, "verify")),
    }


def taken(shop: Shop, method: str, form: str) -> Path:
    """A backup of that kind."""
    asked: dict[str, Any] = (
        {"format": "custom" if "custom" in form else form} if method == "dump" else {"method": method}
    )
    if method == "pgbackrest":
        asked.update(options=options(shop.server), deadline=30)
    path = Path(shop.back_up(**asked)["path"])
    address = ["--host", str(shop.server.folder), "--port", str(shop.server.port), "--no-tablespaces"]
    if form == "plain custom":
        run_as(
            [
                str(programs() / "pg_dump"),
                "--format",
                "custom",
                "--compress",
                "0",
                *address,
                "--file",
                str(path / DUMP),
                shop.name,
            ]
        )
        reseal(path)
    if form == "custom":
        run_as(
            [
                str(programs() / "pg_dump"),
                "--format",
                "custom",
                *address,
                "--file",
                str(path.parent / OTHER),
                "postgres",
            ]
        )
    return path


@contextlib.contextmanager
def put_back(*roots: Path) -> Iterator[None]:
    """Whatever happens to these folders, they are as before afterwards."""
    kept = {root: root.with_name(root.name + ".kept") for root in roots}
    for root, copy in kept.items():
        run_as(["cp", "--archive", str(root), str(copy)])
    try:
        yield
    finally:
        for root, copy in kept.items():
            shutil.rmtree(root)
            copy.rename(root)


def judged(whole: Path, damage: Damage | None, checks: dict[str, Check], name: str) -> Row:
    """Damage it anew for each of the checks, and let that look at it."""
    accepted = {}
    roots = [whole] + ([repository(whole)] if (whole / "repository.json").exists() else [])
    for column, check in checks.items():
        with put_back(*roots):
            if damage is not None:
                damage.do(whole)
                if damage.fits:
                    reseal(whole)
            accepted[column] = check(whole)
    return Row(name, accepted)


def rows(stage: Stage, other: tools.Community | None) -> Iterator[Row]:
    """A row for each damage, and one of no damage for each kind of backup. other None: Gradual's columns only."""
    for method, form in dict.fromkeys((one.method, one.format) for one in DAMAGES):
        with stage.shop(stage.archiving() if method == "pgbackrest" else None) as shop:
            whole = taken(shop, method, form)
            checks = {**(theirs(shop, method, other) if other else {}), **ours(shop)}
            yield judged(whole, None, checks, f"nothing ({method}, {form})")
            for damage in DAMAGES:
                if (damage.method, damage.format) == (method, form):
                    yield judged(whole, damage, checks, damage.name)
    with stage.shop(stage.archiving()) as shop:
        yield from sources(shop, other)


def sources(shop: Shop, other: tools.Community | None) -> Iterator[Row]:
    """A damaged page of the source: what each tool makes of it, and what is said of that by who looks at it."""
    corrupt(shop, "orders")
    server, left = shop.server, shop.server.folder / "left"
    run_as(["mkdir", str(left)])
    address = ["--host", str(server.folder), "--port", str(server.port)]

    def refuses(**asked: Any) -> dict[str, bool]:
        try:
            shop.back_up(**asked)
        except DatabaseError:
            return {f"Gradual: {level}": False for level in OURS}
        return {f"Gradual: {level}": True for level in OURS}

    found: dict[str, dict[str, bool]] = {"dump": {}, "basebackup": {}, "pgbackrest": {}}
    if other:
        tools.passes(str(programs() / "pg_dump"), *address, "--format", "custom", "--file", str(left / DUMP), shop.name)
        found["dump"] = {
            LIST: tools.lists(left / DUMP),
            PGC: tools.Community(other.folder, server).dump(shop.name, other.folder / "left.pgc"),
        }
        tools.passes(
            str(programs() / "pg_basebackup"), *address, "--pgdata", str(left / "base"), "--checkpoint", "fast"
        )
        found["basebackup"] = {VERIFY: tools.verifies(left / "base")}
        tools.passes(*command(server, "backup", "--type=full"))
        found["pgbackrest"] = {
            INFO: tools.passes(*command(server, "info")),
            REPOSITORY: tools.passes(*command(server, "verify")),
        }
    for method, cells in found.items():
        asked = {"options": options(server), "deadline": 30} if method == "pgbackrest" else {}
        yield Row(f"page of the source corrupt ({method})", {**cells, **refuses(method=method, **asked)})
