"""Where faults are caused: a cluster, shops on it, and a session of its own that says what became of them."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.backup import store
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import server as live
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import PREFIX

from tests.database.conftest import fill
from tests.database.server import OWNER, Server, Shop, environment, throwaway

from .fault import Seen, shortened
from .repositories import archiving

_NUMBERS = itertools.count(1)
_UNREST = """
SELECT format('session of %%s, pid %%s', application_name, pid) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'gradual%%' AND backend_type = 'client backend'
UNION ALL SELECT format('lock %%s %%s held by pid %%s', classid, objid, l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
 WHERE locktype = 'advisory' AND datname = current_database() AND classid = %s::oid AND objid = %s::oid
UNION ALL SELECT format('prepared transaction %%s', gid) FROM pg_prepared_xacts WHERE database = current_database()
UNION ALL SELECT format('invalid index %%s', indexrelid::regclass) FROM pg_index WHERE NOT indisvalid
"""


@dataclass
class Watch:
    """Times one shop's way from the fault to rest; believes nobody but its own session and the file system."""

    shop: Shop
    at: float = 0.0

    def struck(self) -> None:
        """The fault is there from now on."""
        self.at = time.monotonic()

    def unrest(self) -> list[str]:
        """Whatever of Gradual's is still at work or half made: sessions, locks, invalid indexes, folders."""
        with self.shop.session() as session:
            found = [str(row[0]) for row in session.rows(_UNREST, live.LOCK)]
        found += store.leftovers(self.shop.backups)
        return found + [str(path) for path in self.shop.server.folder.glob(PREFIX + "*")]

    def safe(self, did: object, revision: str | None, more: str = "", seconds: float = 15) -> Seen:
        """Wait until nothing of ours is at work and the database is at that revision; what was seen."""
        assert self.at, "the fault was never marked"
        end = time.monotonic() + seconds
        while (left := self.unrest()) and time.monotonic() < end:
            time.sleep(0.02)
        took = time.monotonic() - self.at
        assert left == [], f"still there {took:.1f} s after the fault: {left}"
        found = self.shop.revision()
        assert found == revision, f"the database is at {found}, not {revision}"
        state = f"at {found or 'no revision'}, at rest; no session, lock, invalid index or unfinished folder"
        return Seen(shortened(did), state + (f"; {more}" if more else ""), round(took, 2))


@contextmanager
def stage() -> Iterator[Stage]:
    """A running PostgreSQL, and what a release carries as its .venv."""
    with ExitStack() as stack:
        running = stack.enter_context(throwaway())
        yield Stage(running, environment(running.folder / "venv"), stack)


@dataclass
class Stage:
    """One cluster for all faults that leave it whole."""

    server: Server
    environment: Path
    stack: ExitStack
    _archiving: Server | None = None

    def archiving(self) -> Server:
        """Another cluster, made when it is first asked for: with data checksums, and a repository of pgBackRest as its
        archive."""
        if self._archiving is None:
            self._archiving = self.stack.enter_context(archiving())
        return self._archiving

    @contextmanager
    def shop(self, server: Server | None = None) -> Iterator[Shop]:
        """A small shop at revision 0001."""
        running = server or self.server
        shop = Shop(running, f"fault_{next(_NUMBERS)}", self.environment)
        running.run(f"CREATE DATABASE {shop.name} OWNER {OWNER}")
        try:
            yield fill(shop)
        finally:
            # A server that is gone for good took it along.
            with suppress(DatabaseError):
                running.run(f"DROP DATABASE IF EXISTS {shop.name} WITH (FORCE)")


def migrator(shop: Shop, release: Path, given: dict[str, Any], **changes: Any) -> subprocess.Popen[str]:
    """The same migration in a process of its own, which can be killed; it prints {"applied": …} or {"error": "…"}."""
    code = (
        f"import json, sys\nsys.path[:0] = {[*sys.path, str(Path(__file__).parents[2])]!r}\n"
        "from pathlib import Path\nfrom tests.database.server import Server, Shop\n"
        "from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError\n"
        f"server = Server(Path({str(shop.server.folder)!r}), {shop.server.port})\n"
        "try:\n"
        f"    told = Shop(server, {shop.name!r}, Path('/')).migrate(Path({str(release)!r}), {given!r}, **{changes!r})\n"
        "except DatabaseError as error:\n    told = {'error': str(error)}\n"
        "print(json.dumps(told))\n"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def told(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What that process said at its end."""
    output, _errors = process.communicate(timeout=60)
    found: dict[str, Any] = json.loads(output)
    return found
