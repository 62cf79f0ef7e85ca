"""A cluster whose archive is a repository of pgBackRest."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

from tests.database.server import Server, run_as, throwaway
from tests.database.test_backup_pgbackrest import CONFIG

from .fault import NotHere

STANZA = "shop"


def command(server: Server, *words: str) -> list[str]:
    """pgBackRest's own command on that cluster's stanza."""
    return [
        "pgbackrest",
        f"--config={server.folder}/pgbackrest.conf",
        f"--stanza={STANZA}",
        "--log-level-file=off",
        *words,
    ]


def options(server: Server) -> dict[str, str]:
    """What Gradual wants to know of it."""
    return {"stanza": STANZA, "config": f"{server.folder}/pgbackrest.conf"}


@contextlib.contextmanager
def archiving() -> Iterator[Server]:
    """With data checksums, as pgBackRest needs them to see a damaged page."""
    if shutil.which("pgbackrest") is None:
        raise NotHere("there is no pgbackrest on this machine: apt-get install pgbackrest")
    with throwaway("--data-checksums") as server:
        (server.folder / "pgbackrest.conf").write_text(CONFIG.format(folder=server.folder, port=server.port))
        server.run(
            "ALTER SYSTEM SET archive_mode = on",
            f"ALTER SYSTEM SET archive_command = '{' '.join(command(server, 'archive-push', '%p'))}'",
        )
        server.pg_ctl("restart", "-m", "fast")
        run_as(command(server, "stanza-create"))
        yield server
