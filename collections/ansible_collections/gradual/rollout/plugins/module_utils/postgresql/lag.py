# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""How far replicas are behind, and how busy the server is, so that heavy work on the primary can wait."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Iterable, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

# Bytes are current. replay_lag is null when all is replayed, and else as old as the replica's last message
# (https://www.postgresql.org/docs/current/monitoring-stats.html, pg_stat_replication). pg_receivewal replays nothing,
# so
# its flushed position counts.
_BEHIND = """
SELECT coalesce(nullif(application_name, ''), host(client_addr), 'pid ' || pid)::text, state::text,
       greatest(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
                                     ELSE pg_current_wal_lsn() END,
                                coalesce(replay_lsn, flush_lsn, write_lsn, sent_lsn)), 0)::bigint,
       extract(epoch FROM coalesce(replay_lag, flush_lag, write_lag))::float
  FROM pg_stat_replication WHERE state IN ('streaming', 'catchup') ORDER BY 1, pid
"""
_ACTIVE = """
SELECT count(*) FROM pg_stat_activity
 WHERE backend_type = 'client backend' AND state = 'active' AND pid <> pg_backend_pid()
   AND application_name NOT LIKE 'gradual%'
"""
_PAUSE = 0.2


@dataclass(frozen=True)
class Limits:
    """How far a replica may be behind; None: no limit. ignored: names of replicas that are late on purpose."""

    bytes: int | None = 64 * 1024 * 1024
    seconds: float | None = 10.0
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Waited:
    """Seconds waited, and the replicas that were still late at the deadline."""

    seconds: float
    late: tuple[str, ...] = ()


def behind(session: Session) -> list[dict[str, Any]]:
    """The connected replicas: [{"application_name", "state", "bytes": int, "seconds": float or None}].

    The session needs a superuser or a member of pg_monitor; others do not see the positions.
    """
    return [dict(zip(("application_name", "state", "bytes", "seconds"), row)) for row in session.rows(_BEHIND)]


def late(found: Iterable[Mapping[str, Any]], limits: Limits) -> tuple[str, ...]:
    """The late replicas: "standby1 is 120 MiB and 14.2 s behind". One that has replayed all is never late."""
    return tuple(_words(one) for one in found if one["application_name"] not in limits.ignored and _over(one, limits))


def wait(
    session: Session,
    limits: Limits,
    deadline: float,
    pause: float = _PAUSE,
    clock: Callable[[], float] = time.monotonic,
) -> Waited:
    """Return when no replica is late, or after `deadline` seconds. DatabaseError when the server does not answer."""
    begun = clock()
    while True:
        found = late(behind(session), limits)
        if not found or clock() - begun >= deadline:
            return Waited(round(clock() - begun, 3), found)
        time.sleep(pause)


def load(session: Session) -> int:
    """Number of other sessions, in any database of the server, that run a statement now."""
    return int(session.value(_ACTIVE))


def _over(one: Mapping[str, Any], limits: Limits) -> bool:
    if not one["bytes"]:
        return False
    too_far = limits.bytes is not None and one["bytes"] > limits.bytes
    return too_far or (limits.seconds is not None and (one["seconds"] or 0.0) > limits.seconds)


def _words(one: Mapping[str, Any]) -> str:
    size = f"{one['bytes'] / 1048576:.0f} MiB" if one["bytes"] >= 10485760 else f"{one['bytes'] / 1024:.0f} KiB"
    return (
        f"{one['application_name']} is {size}"
        + (f" and {one['seconds']:.1f} s" if one["seconds"] is not None else "")
        + " behind"
    )
