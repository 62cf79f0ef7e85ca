"""Extensions that want preloading: their database is proven, and their workers do nothing in the copy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.backup import registry
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import taken_over
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import as_user
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

from .server import RUN_AS, Shop, programs, throwaway, until
from .test_healthy import database

# Both have workers; pg_cron is of another package, and can be made in one database only.
HERE = [one for one in ("pg_prewarm", "pg_cron") if taken_over.installed(one, str(programs()))]
SETTINGS = "cron.database_name = jobs\npg_stat_statements.max = 1234\n"


def workers(folder: str) -> list[str]:
    """The titles of these extensions' processes, which pg_stat_activity does not show all."""
    postmaster = Path(folder, "data", "postmaster.pid").read_text().split()[0]
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    titles = [Path(f"/proc/{child}/cmdline").read_text().strip("\0 ") for child in children]
    return sorted(title for title in titles if re.search("prewarm|cron", title))


@pytest.fixture(scope="module")
def jobs() -> Iterator[Shop]:
    """A database of a server that preloads them, with one job that is due at any minute."""
    with throwaway() as server:
        with (server.folder / "data" / "postgresql.conf").open("a") as file:
            file.write(f"shared_preload_libraries = '{', '.join([*HERE, 'pg_stat_statements'])}'\n{SETTINGS}")
        server.pg_ctl("restart")
        with database(server, "jobs", "CREATE TABLE t (a int)") as shop:
            shop.run(*(f"CREATE EXTENSION {one}" for one in HERE))
            if "pg_cron" in HERE:
                shop.run("SELECT cron.schedule('* * * * *', 'INSERT INTO t VALUES (1)')")
            yield shop


@pytest.mark.parametrize("method", ["dump", "basebackup"])
def test_preloaded_libraries_are_in_the_copy_and_their_workers_are_not(jobs: Shop, method: str) -> None:
    until(lambda: len(workers(str(jobs.server.folder))) == len(HERE))
    taken = jobs.back_up(method)
    receipt = jobs.digested(taken)

    def work() -> list[Any]:
        with (
            registry.of(method).restored_copy(taken["path"], receipt, str(jobs.server.folder), 60) as scratch,
            Session(scratch.parameters("jobs")) as session,
        ):
            shown = [session.value(f"SHOW {name}") for name in ("shared_preload_libraries", "pg_stat_statements.max")]
            return [*shown, workers(scratch.folder), session.value("SELECT count(*) FROM pg_extension")]

    libraries, entries, running, extensions = as_user(RUN_AS, work)
    assert re.findall(r"\w+", libraries) == [*HERE, "pg_stat_statements"]
    assert (entries, running, extensions) == ("1234", [], 1 + len(HERE))
    assert jobs.prove(taken["path"], "sound")["level"] == "sound"


def test_a_library_that_this_host_lacks_is_not_taken_over() -> None:
    told = {"shared_preload_libraries": '"$libdir/pg_prewarm", gone', "lc_monetary": "C", "gone.setting": "1"}
    seen = taken_over.of(told, str(programs()))
    assert (seen["shared_preload_libraries"], seen["max_worker_processes"]) == ('"$libdir/pg_prewarm"', "0")
    assert taken_over.of({**told, "shared_preload_libraries": "gone"}, str(programs())) == {"lc_monetary": "C"}
    assert taken_over.of({}, str(programs())) == {}
