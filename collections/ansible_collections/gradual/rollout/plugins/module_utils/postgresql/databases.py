# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Drop a database that a failed or finished restore made, whatever it contains."""

from __future__ import annotations

from typing import Callable

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import event_triggers
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session, quote

_SUBSCRIPTIONS = (
    "SELECT subname::text FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid"
    " WHERE d.datname = pg_catalog.current_database()"
)
# DROP DATABASE … WITH (FORCE) ends the sessions of the programs that were killed.
_FORCE_SINCE = 130000


def drop(session_of: Callable[[str], Session], name: str) -> None:
    """Drop it if it exists: also a template, and one with subscriptions, whose publisher is not told.

    session_of: opens a superuser's session in the database of that name.
    """
    with session_of("postgres") as session:
        if not session.value("SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = %s)", (name,)):
            return
        session.run(f"ALTER DATABASE {quote(name)} WITH IS_TEMPLATE false ALLOW_CONNECTIONS true")
        with session_of(name) as inside:
            _drop_subscriptions(inside)
        forced = int(session.value("SHOW server_version_num")) >= _FORCE_SINCE
        session.run(f"DROP DATABASE {quote(name)}" + (" WITH (FORCE)" if forced else ""))


def _drop_subscriptions(session: Session) -> None:
    with event_triggers.off(session):
        for (name,) in session.rows(_SUBSCRIPTIONS):
            session.run(f"ALTER SUBSCRIPTION {quote(name)} DISABLE")
            # Without a slot, dropping it does not connect to the publisher.
            session.run(f"ALTER SUBSCRIPTION {quote(name)} SET (slot_name = NONE)")
            session.run(f"DROP SUBSCRIPTION {quote(name)}")
