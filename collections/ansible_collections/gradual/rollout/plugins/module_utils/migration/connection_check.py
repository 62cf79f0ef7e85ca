# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Check DATABASE_URL before a migration: it leads to this database, without a pooler, and our timeouts take effect."""

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

# A setting with a random value, so that a value of the role is never taken for ours.
_PROBE = "gradual.probe"


def check(ours: Session, variables: Mapping[str, str], user: str, settings: Mapping[str, int], database: str) -> None:
    """ours: a direct session with the server. user: system user of the tool. DatabaseError before any change."""
    where = f"DATABASE_URL ({dsn.without_password(variables['DATABASE_URL'])})"
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
            f"{where} does not connect: {error}. Nothing was changed. If it is a pooler's address, write the server's"
            " own"
        ) from None
    if told != pid:
        # https://www.pgbouncer.org/faq.html: a pooler sends its own cancel key, because the server's belongs to another
        # client a moment later.
        raise DatabaseError(
            f"{where} goes through a pooler: got process {told} from it, expected the server's process {pid}. A pooler"
            " changes sessions between transactions, so lock timeouts and CONCURRENTLY do not work; write the server's"
            " own address. Nothing was changed."
        )
    if not known:
        raise DatabaseError(
            f"{where} leads to another server or database than {database} here, or changes application_name. Nothing"
            " was changed."
        )
    if probe != token or timeout != str(settings["lock_timeout"]):
        raise DatabaseError(
            f"{where} goes through something that drops session settings: got lock_timeout {timeout}, expected"
            f" {settings['lock_timeout']}; write the server's own address. Nothing was changed."
        )
