# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The way that the migration tool will go: to this very database, with no pooler in between, and with our timeouts in
force at its end."""

from __future__ import annotations

import secrets
from typing import Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.migration.attempt import (
    APPLICATION_NAME,
    running_sessions,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import dsn
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import effective_user
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

# A setting that nobody else can have made, so that one that arrives by chance or from the role is not taken for ours.
_PROBE = "gradual.probe"


def check(ours: Session, variables: Mapping[str, str], user: str, settings: Mapping[str, int], database: str) -> None:
    """ours: a session with the server itself. user: system user that the tool runs as. Raises before anything was
    changed."""
    way = f"DATABASE_URL ({dsn.without_password(variables['DATABASE_URL'])})"
    token = secrets.token_hex(8)
    options = dsn.pgoptions({**settings, _PROBE: token})
    parameters = {"dsn": dsn.libpq_url(variables["DATABASE_URL"]), "options": options}
    if "PGPASSFILE" in variables:
        parameters["passfile"] = variables["PGPASSFILE"]
    try:
        with effective_user(user), Session(parameters, APPLICATION_NAME) as session:
            timeout, probe, pid = session.rows(
                "SELECT (SELECT setting FROM pg_settings WHERE name = 'lock_timeout'), current_setting(%s, true),"
                " pg_backend_pid()",
                (_PROBE,),
            )[0]
            known = pid in running_sessions(ours)
            told = session.told_pid
    except DatabaseError as error:
        raise DatabaseError(
            f"{way} leads nowhere: {error}. Nothing was changed. If a pooler is in the way, name the server itself"
        ) from None
    if told != pid:
        # https://www.pgbouncer.org/faq.html: a pooler gives a cancel key of its own, since the server's belongs to
        # whoever has it just now.
        raise DatabaseError(
            f"{way} goes through a pooler: it calls itself process {told}, but the server's is {pid}. Sessions there"
            " change between transactions, so neither a lock timeout nor CONCURRENTLY can be relied on; name the"
            " server itself. Nothing was changed."
        )
    if not known:
        raise DatabaseError(
            f"{way} leads to another server or database than {database} here, or hides its name. Nothing was changed."
        )
    if probe != token or timeout != str(settings["lock_timeout"]):
        raise DatabaseError(
            f"{way} goes through something that drops session settings (lock_timeout is {timeout}); name the server"
            " itself. Nothing was changed."
        )
