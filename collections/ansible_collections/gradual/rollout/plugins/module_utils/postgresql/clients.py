# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Whose sessions a database has: which role, from which host, since when."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

# A role that is a member of one of the given roles belongs to the same application.
_SESSIONS = """
SELECT a.pid, a.usename::text, coalesce(a.application_name, '')::text, host(a.client_addr)::text,
       extract(epoch FROM a.backend_start)::float, coalesce(a.state, '')::text
  FROM pg_stat_activity a JOIN pg_roles u ON u.oid = a.usesysid
 WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
   AND (u.rolname = ANY(%s) OR (NOT u.rolsuper AND EXISTS (
         SELECT FROM pg_roles r WHERE r.rolname = ANY(%s) AND pg_has_role(u.oid, r.oid, 'MEMBER'))))
 ORDER BY a.backend_start, a.pid
"""
_KEYS = ("pid", "role", "application_name", "address", "begun", "state")


def sessions(session: Session, roles: Sequence[str], hosts: Mapping[str, str]) -> list[dict[str, Any]]:
    """Sessions of the roles: [{pid, role, application_name, address: str or None for a local socket, begun: epoch s,
    state, host: str or None}].

    hosts: name -> address, as numbers or as a name that this host can resolve. An error for a role that does not exist:
    an answer about nobody
    would look like a good one. The session has to be of a superuser or a member of pg_monitor.
    """
    known = {row[0] for row in session.rows("SELECT rolname::text FROM pg_roles")}
    missing = [role for role in roles if role not in known]
    if missing or not roles:
        raise DatabaseError(
            f"there is no role {', '.join(missing) or 'given'} in this cluster, so nobody knows whose sessions to look"
            " at; write the roles that the application connects as"
        )
    of = {address: name for name, where in hosts.items() for address in addresses(where)}
    found = [dict(zip(_KEYS, row)) for row in session.rows(_SESSIONS, (list(roles), list(roles)))]
    return [{**one, "host": of.get(plain(one["address"])) if one["address"] else None} for one in found]


def addresses(where: str) -> set[str]:
    """All addresses of a host; none when its name is unknown here."""
    try:
        return {plain(where)}
    except ValueError:
        pass
    try:
        return {plain(str(found[4][0])) for found in socket.getaddrinfo(where, None)}
    except OSError:
        return set()


def plain(address: str) -> str:
    """An address in one spelling: ::ffff:192.0.2.1 is 192.0.2.1. ValueError when it is none."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped or parsed)
