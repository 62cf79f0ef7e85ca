# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Work in a throwaway copy whose database may forbid it, for example to make an extension."""

from __future__ import annotations

import contextlib
from typing import Iterator

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session, quote

_AGAIN = {"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


@contextlib.contextmanager
def off(session: Session) -> Iterator[None]:
    """Disable the database's event triggers during the block. They do not fire for commands on event triggers."""
    enabled = session.rows("SELECT evtname::text, evtenabled::text FROM pg_event_trigger WHERE evtenabled <> 'D'")
    for name, _how in enabled:
        session.run(f"ALTER EVENT TRIGGER {quote(name)} DISABLE")
    try:
        yield
    finally:
        for name, how in enabled:
            session.run(f"ALTER EVENT TRIGGER {quote(name)} {_AGAIN[how]}")
