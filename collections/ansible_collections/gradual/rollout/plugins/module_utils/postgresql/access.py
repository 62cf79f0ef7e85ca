# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Roles and privileges of one database: the present state, the wanted state, and the statements between the two.

plan() is pure. Passwords are sent as SCRAM verifiers only, so that not even the server's log contains them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session, quote

ROUNDS = 4096
VERIFIER = re.compile(r"SCRAM-SHA-256\$(?P<rounds>\d+):(?P<salt>[A-Za-z0-9+/=]+)\$")
LEAST = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
STREAMS = LEAST.replace("NOREPLICATION", "REPLICATION")
KINDS = {"tables": "r", "sequences": "S"}


@dataclass(frozen=True)
class Login:
    """A role that logs in with a password, without special attributes except REPLICATION for standbys."""

    name: str
    password: str
    member_of: tuple[str, ...] = ()
    replication: bool = False


@dataclass(frozen=True)
class Wanted:
    """privileges: default privileges of `user` on objects of the owner, e.g. {"tables": ("SELECT",)}.

    slots: physical replication slots, one per standby, which keep the WAL that it has not received.
    """

    database: str
    owner: str
    logins: tuple[Login, ...]
    connect: tuple[str, ...]
    user: str
    privileges: Mapping[str, Sequence[str]] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """logins: name -> {"least": bool, "replication": bool, "verifier": str or None, "member_of": [names]}; owner None:
    no such database.

    granted: (grantee, privilege) on the database, "" for PUBLIC. privileges: kind -> what `user` has by default.
    """

    logins: Mapping[str, Mapping[str, Any]]
    owner: str | None
    granted: frozenset[tuple[str, str]] = frozenset()
    privileges: Mapping[str, frozenset[str]] = field(default_factory=dict)
    extensions: frozenset[str] = frozenset()
    waiting: tuple[str, ...] = ()
    slots: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Statement:
    """sql may contain a verifier; `told` never does. inside: run it in the database, not in the cluster's postgres."""

    sql: str
    told: str
    inside: bool = False


def verifier(password: str, salt: bytes, rounds: int = ROUNDS) -> str:
    """PostgreSQL's stored form of a password (RFC 5803, SCRAM-SHA-256). ASCII only: other text would need SASLprep."""
    if not password or not password.isascii() or not password.isprintable():
        raise DatabaseError(
            "a database password is empty or has characters other than printable ASCII; write another one"
        )
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${rounds}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def matches(kept: str | None, password: str) -> bool:
    """Whether the stored verifier is of this password."""
    parts = VERIFIER.match(kept or "")
    if parts is None:
        return False
    return hmac.compare_digest(kept or "", verifier(password, base64.b64decode(parts["salt"]), int(parts["rounds"])))


def plan(found: Found, wanted: Wanted, salt: Callable[[], bytes] = lambda: os.urandom(16)) -> list[Statement]:
    """The statements from found to wanted, in order."""
    steps: list[Statement] = []

    def step(sql: str, inside: bool = False, told: str = "") -> None:
        steps.append(Statement(sql, told or sql, inside))

    for login in wanted.logins:
        have = found.logins.get(login.name)
        role = quote(login.name)
        if have is None or not have["least"] or have.get("replication", False) != login.replication:
            step(f"{'CREATE' if have is None else 'ALTER'} ROLE {role} {STREAMS if login.replication else LEAST}")
        if have is None or not matches(have["verifier"], login.password):
            step(
                f"ALTER ROLE {role} PASSWORD '{verifier(login.password, salt())}'", told=f"ALTER ROLE {role} PASSWORD …"
            )
        for group in login.member_of:
            if have is None or group not in have["member_of"]:
                step(f"GRANT {quote(group)} TO {role}")

    database, owner, user = quote(wanted.database), quote(wanted.owner), quote(wanted.user)
    if found.owner is None:
        step(f"CREATE DATABASE {database} OWNER {owner} ENCODING 'UTF8' TEMPLATE template0")
    elif found.owner != wanted.owner:
        step(f"ALTER DATABASE {database} OWNER TO {owner}")
    if found.owner is None or any(grantee == "" for grantee, _privilege in found.granted):
        step(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
    for name in wanted.connect:
        if (name, "CONNECT") not in found.granted:
            step(f"GRANT CONNECT ON DATABASE {database} TO {quote(name)}")

    ahead = f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public"
    for kind in KINDS:
        have_now = found.privileges.get(kind, frozenset())
        want_now = frozenset(wanted.privileges.get(kind, ()))
        if want_now - have_now:
            step(f"{ahead} GRANT {', '.join(sorted(want_now - have_now))} ON {kind.upper()} TO {user}", inside=True)
        if have_now - want_now:
            step(f"{ahead} REVOKE {', '.join(sorted(have_now - want_now))} ON {kind.upper()} FROM {user}", inside=True)
    for extension in wanted.extensions:
        if extension not in found.extensions:
            step(f"CREATE EXTENSION {quote(extension)}", inside=True)
    for slot in wanted.slots:
        if slot not in found.slots:
            step(f"SELECT pg_create_physical_replication_slot('{slot}', true)")
    return steps


def observe(cluster: Session, inside: Callable[[], Session], wanted: Wanted) -> Found:
    """The present state. cluster: a superuser's session in any database; inside: opens one in the wanted database."""
    logins = {
        name: {"least": least, "replication": replication, "verifier": kept, "member_of": groups}
        for name, least, replication, kept, groups in cluster.rows(
            "SELECT a.rolname, a.rolcanlogin AND NOT (a.rolsuper OR a.rolcreatedb OR a.rolcreaterole OR"
            " a.rolbypassrls), a.rolreplication, a.rolpassword, ARRAY(SELECT g.rolname::text FROM pg_auth_members m"
            " JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = a.oid) FROM pg_authid a WHERE a.rolname = ANY(%s)",
            ([login.name for login in wanted.logins],),
        )
    }
    waiting = tuple(row[0] for row in cluster.rows("SELECT name FROM pg_settings WHERE pending_restart ORDER BY name"))
    slots = frozenset(
        row[0] for row in cluster.rows("SELECT slot_name::text FROM pg_replication_slots WHERE slot_type = 'physical'")
    )
    owner = cluster.value(
        "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = %s", (wanted.database,)
    )
    if owner is None:
        return Found(logins, None, waiting=waiting, slots=slots)
    granted = frozenset(
        cluster.rows(
            "SELECT coalesce(r.rolname::text, ''), a.privilege_type FROM pg_database d, aclexplode(coalesce(d.datacl,"
            " acldefault('d', d.datdba))) a LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE d.datname = %s",
            (wanted.database,),
        )
    )
    with inside() as session:
        privileges = {
            kind: frozenset(
                row[0]
                for row in session.rows(
                    "SELECT a.privilege_type FROM pg_default_acl d, aclexplode(d.defaclacl) a WHERE d.defaclobjtype ="
                    " %s AND d.defaclnamespace = 'public'::regnamespace AND pg_get_userbyid(d.defaclrole) = %s AND"
                    " pg_get_userbyid(a.grantee) = %s",
                    (letter, wanted.owner, wanted.user),
                )
            )
            for kind, letter in KINDS.items()
        }
        extensions = frozenset(row[0] for row in session.rows("SELECT extname::text FROM pg_extension"))
    return Found(logins, owner, granted, privileges, extensions, waiting, slots)


def bring(parameters: Mapping[str, str], wanted: Wanted, check: bool) -> dict[str, Any]:
    """Observe, plan and, unless check, apply. {"statements": [told], "existed": bool, "waiting": [settings]}."""

    def inside() -> Session:
        return Session({**parameters, "dbname": wanted.database})

    with Session({**parameters, "dbname": "postgres"}) as cluster:
        if cluster.value("SELECT pg_is_in_recovery()"):
            raise DatabaseError(
                "this server is a standby, where nothing can be changed; write the primary into the inventory's group"
                " database_primary, or promote this server with SELECT pg_promote()"
            )
        found = observe(cluster, inside, wanted)
        steps = plan(found, wanted)
        if not check:
            for step in steps:
                if not step.inside:
                    cluster.run(step.sql)
            if any(step.inside for step in steps):
                with inside() as session:
                    for step in steps:
                        if step.inside:
                            session.run(step.sql)
    return {
        "statements": [step.told for step in steps],
        "existed": found.owner is not None,
        "waiting": list(found.waiting),
    }
