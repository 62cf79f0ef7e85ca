# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Settings of the live server that a throwaway copy takes over, because its database cannot be restored without them.

Some extensions must be preloaded. Their background workers must not run in the copy: pg_cron would start the jobs of
the copied database, and connects to the port of the live server. A copy with preloaded libraries has no background
workers at all, so its parallel queries run in one process.
"""

from __future__ import annotations

import os
from typing import Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import run, strictly
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

_LIBRARIES = "shared_preload_libraries"
# A dump contains money as text in the server's locale. Settings of extensions (with a dot) that need a restart say,
# for example, in which database pg_cron may be made.
_READ = """
SELECT name, setting FROM pg_settings WHERE name IN ('shared_preload_libraries', 'lc_monetary')
    OR name LIKE '%%.%%' AND context = 'postmaster' AND setting <> coalesce(boot_val, '')
"""
_NO_WORKERS = {"max_worker_processes": "0", "max_parallel_workers": "0"}
# A throwaway cluster's connections (SETTINGS of scratch.py), and a table with its TOAST table and two indexes.
_CONNECTIONS = 20
_LOCKS_PER_TABLE = 4


def read(session: Session) -> dict[str, str]:
    """For the receipt: {"shared_preload_libraries": "pg_cron", "cron.database_name": "shop"}."""
    return {str(name): str(value) for name, value in session.rows(_READ, ())}


def of(told: Mapping[str, str], programs: str) -> dict[str, str]:
    """The settings of the copy; libraries as far as they are installed on this host. told: {} of an old receipt."""
    wanted = [one.strip().strip('"') for one in told.get(_LIBRARIES, "").split(",")]
    here = [one for one in wanted if one and installed(one, programs)]
    if not here:
        return {name: value for name, value in told.items() if "." not in name and name != _LIBRARIES}
    return {**told, _LIBRARIES: ",".join(f'"{one}"' for one in here), **_NO_WORKERS}


def installed(library: str, programs: str) -> bool:
    """Whether the server in the folder `programs` finds that library."""
    finished = run([os.path.join(programs, "pg_config"), "--pkglibdir"])
    strictly(finished)
    path = library.replace("$libdir", "").lstrip("/") if library.startswith("$libdir") else library
    return any(os.path.exists(os.path.join(finished.output.strip(), path + end)) for end in ("", ".so"))


def locks(tables: int) -> dict[str, str]:
    """Room for the locks of one transaction that reads all tables of a restored dump, as pg_dump does."""
    return {"max_locks_per_transaction": str(max(64, tables * _LOCKS_PER_TABLE // _CONNECTIONS))}
