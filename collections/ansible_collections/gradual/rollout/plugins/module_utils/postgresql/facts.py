# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What a database has beside its rows and the schema that pg_dump writes, in the backup's snapshot and in the copy.

FACTS and NOT_COMPARED are the one place that says what is compared; docs/backups.md has the same lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Collection, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import digests
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

SCOPES = ("database", "cluster")


@dataclass(frozen=True)
class Fact:
    """`words` are of the documentation. The query returns (of what, its state as text or NULL).

    scope: a restore as one more database of another cluster does not bring what is of the cluster. moving: applications
    change it all the time, so a change beside a backup is no reason to begin again. since: the version of the digests
    (digests.py) whose receipts have it.
    """

    words: str
    query: str
    scope: str = "database"
    moving: bool = False
    since: int = 2


@dataclass(frozen=True)
class NotCompared:
    """methods: those whose copy does not show it, or may show another."""

    words: str
    methods: tuple[str, ...] = ("dump", "basebackup", "pgbackrest")


# Members of an access list in one order, since GRANT and REVOKE append. NULL is the default of that kind of object.
_GRANTS = (
    "(SELECT string_agg(one::text, ', ' ORDER BY one::text COLLATE \"C\")"
    " FROM unnest(coalesce({acl}, acldefault('{kind}', {owner}))) one)"
)
_HERE = "(SELECT oid FROM pg_database WHERE datname = current_database())"
# Settings that are lists of names. SET … FROM CURRENT keeps them as they were written, and a dump writes them again
# (and puts a name with upper case in quotes, although it had none).
_LISTS = "'search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries'"
_AS_LIST = (
    "coalesce((SELECT string_agg(quote_ident(CASE WHEN name[1] LIKE '\"%%'"
    " THEN replace(substr(name[1], 2, length(name[1]) - 2), '\"\"', '\"') ELSE name[1] END), ', ' ORDER BY number)"
    ' FROM regexp_matches({value}, \'"(?:[^"]|"")*"|[^\\s,"]+\', \'g\') WITH ORDINALITY one (name, number)'
    " WHERE name[1] <> '\"\"'), '\"\"')"
)
# Values of settings may be secrets (app.jwt_secret), so only their hash goes into the receipt.
_SETTINGS = (
    "SELECT concat('setting ', name, {whose}),"
    f" md5(CASE WHEN name IN ({_LISTS}) THEN {_AS_LIST.format(value='value')} ELSE value END)"
    " FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) entry,"
    " LATERAL (SELECT split_part(entry, '=', 1), substr(entry, strpos(entry, '=') + 1)) setting (name, value)"
    " WHERE {where}"
)

FACTS = (
    Fact("owner of the database", "SELECT 'owner of the database', pg_get_userbyid(datdba)::text FROM this"),
    Fact(
        "grants on the database",
        f"SELECT 'grants on the database', {_GRANTS.format(acl='datacl', kind='d', owner='datdba')} FROM this",
    ),
    Fact(
        "comment, encoding, locale and connection limit of the database",
        "SELECT 'comment on the database', shobj_description(oid, 'pg_database') FROM this UNION ALL"
        " SELECT 'encoding of the database', pg_encoding_to_char(encoding)::text FROM this UNION ALL"
        " SELECT 'locale of the database', concat_ws(', ', datcollate, datctype) FROM this UNION ALL"
        " SELECT 'connection limit of the database', datconnlimit::text FROM this UNION ALL"
        " SELECT 'template flag of the database', datistemplate::text FROM this",
    ),
    Fact(
        "locale provider of the database, and its locale and rules for ICU",
        # Columns that older servers lack are NULL in JSON. PostgreSQL 17 has another name for the locale.
        "SELECT 'locale provider of the database', nullif(concat_ws(', ',"
        " CASE told->>'datlocprovider' WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' END,"
        " coalesce(told->>'datlocale', told->>'daticulocale'), 'rules ' || nullif(told->>'daticurules', '')), '')"
        " FROM (SELECT to_jsonb(this) FROM this) one (told)",
        since=3,
    ),
    Fact(
        "settings of the database (ALTER DATABASE … SET)",
        _SETTINGS.format(whose="' of the database'", where=f"s.setdatabase = {_HERE} AND s.setrole = 0"),
    ),
    Fact(
        "settings of roles in the database (ALTER ROLE … IN DATABASE … SET)",
        _SETTINGS.format(
            whose="' of role ', rolname, ' in the database'", where=f"s.setdatabase = {_HERE} AND s.setrole <> 0"
        ),
    ),
    Fact(
        "owner, grants and comment of each large object",
        "SELECT 'owners, grants and comments of large objects',"
        " md5(string_agg(concat_ws(' ', m.oid, pg_get_userbyid(m.lomowner),"
        f" {_GRANTS.format(acl='m.lomacl', kind='L', owner='m.lomowner')},"
        " obj_description(m.oid, 'pg_largeobject')), ',' ORDER BY m.oid)) FROM pg_largeobject_metadata m",
        moving=True,
    ),
    Fact(
        "whether a materialized view is populated",
        "SELECT format('materialized view %%I.%%I', n.nspname, c.relname),"
        " CASE WHEN c.relispopulated THEN 'populated' ELSE 'not populated' END"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'm'",
    ),
    Fact(
        "roles and their attributes",
        "SELECT format('role %%s', rolname), concat_ws(', ', CASE WHEN rolsuper THEN 'superuser' END,"
        " CASE WHEN rolinherit THEN 'inherit' END, CASE WHEN rolcreaterole THEN 'createrole' END,"
        " CASE WHEN rolcreatedb THEN 'createdb' END, CASE WHEN rolcanlogin THEN 'login' END,"
        " CASE WHEN rolreplication THEN 'replication' END, CASE WHEN rolbypassrls THEN 'bypassrls' END,"
        " 'connection limit ' || rolconnlimit, 'valid until ' || (rolvaliduntil AT TIME ZONE 'UTC'))"
        " FROM pg_roles WHERE rolname !~ '^pg_'",
        scope="cluster",
    ),
    Fact(
        "comments on roles",
        "SELECT format('comment on role %%s', rolname), shobj_description(oid, 'pg_authid') FROM pg_roles"
        " WHERE rolname !~ '^pg_'",
        scope="cluster",
    ),
    Fact(
        "memberships of roles",
        "SELECT format('role %%s as a member of %%s', pg_get_userbyid(member), pg_get_userbyid(roleid)),"
        " CASE WHEN bool_or(admin_option) THEN 'with admin option' ELSE 'without admin option' END"
        " FROM pg_auth_members WHERE member >= 16384 GROUP BY member, roleid",
        scope="cluster",
    ),
    Fact(
        "settings of roles (ALTER ROLE … SET)",
        _SETTINGS.format(whose="' of role ', rolname", where="s.setdatabase = 0 AND s.setrole <> 0"),
        scope="cluster",
    ),
)
_FILES = ("basebackup", "pgbackrest")
NOT_COMPARED = (
    NotCompared("the contents of materialized views (the restore of a dump computes them)"),
    NotCompared("the rows of foreign tables"),
    NotCompared("the rows of tables and the values of sequences that belong to an extension"),
    NotCompared("unlogged tables and sequences, which no recovery restores", _FILES),
    NotCompared("settings of all roles at once (ALTER ROLE ALL SET), which a dump does not contain"),
    NotCompared("passwords of roles, which a dump of roles does not contain"),
    NotCompared("security labels on databases and roles"),
    NotCompared("grants on server parameters (GRANT … ON PARAMETER) and on tablespaces"),
    NotCompared("tablespaces, and which object is in which one"),
    NotCompared("versions of extensions: a restored dump has the version that is installed on the host", ("dump",)),
    NotCompared("versions of extensions and of collations", _FILES),
    NotCompared("invalid indexes, which a dump does not contain", ("dump",)),
    NotCompared("whether a subscription is enabled, and replication slots and origins"),
    NotCompared("planner statistics"),
    NotCompared("the order of a table's columns and rows, and how values are compressed"),
    NotCompared("the server's own settings (postgresql.conf, ALTER SYSTEM, pg_hba.conf)"),
    NotCompared("the other databases of the cluster"),
)


def read(session: Session, scope: str, moving: bool = True, version: int = digests.VERSION) -> dict[str, str]:
    """{"owner of the database": "shop_owner"}: every fact of that scope that is not NULL; call `fix_text` first.

    version: of the receipt's digests.
    """
    found: dict[str, str] = {}
    for fact in FACTS:
        if fact.scope == scope and fact.since <= version and (moving or not fact.moving):
            # The empty values make %% a % for both drivers.
            rows = session.rows(f"WITH this AS (SELECT * FROM pg_database WHERE oid = {_HERE}) {fact.query}", ())
            found.update({str(what): str(state) for what, state in rows if state is not None})
    return found


def read_all(session: Session, moving: bool = True) -> dict[str, dict[str, str]]:
    """{"database": {…}, "cluster": {…}}, as receipts have it."""
    return {scope: read(session, scope, moving) for scope in SCOPES}


def of_view(name: str) -> str:
    """What the fact about a materialized view is called. name: quoted."""
    return f"materialized view {name}"


def differences(wanted: Mapping[str, str], seen: Mapping[str, str], unknown: Collection[str] = ()) -> list[str]:
    """One sentence for each fact that differs, but for those that the copy cannot show."""
    return [
        f"{what}: the restored copy has {_shown(what, seen)}, expected {_shown(what, wanted)}"
        for what in sorted((set(wanted) | set(seen)) - set(unknown))
        if wanted.get(what) != seen.get(what)
    ]


def _shown(what: str, facts: Mapping[str, str]) -> str:
    """The state; of a hash only that it is there, since its digits tell nothing."""
    if what not in facts:
        return "none"
    return "another value" if what.startswith(("setting ", "owners, ")) else repr(facts[what])
