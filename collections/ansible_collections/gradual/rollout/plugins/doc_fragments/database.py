# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the database modules reach the server."""

from __future__ import annotations


class ModuleDocFragment:
    """DOCUMENTATION is for every module that reaches the server, OWNER for those that work as the schema's owner."""

    DOCUMENTATION = r"""
options:
  run_as:
    description:
      - The system user that is a superuser of the cluster by peer authentication on its socket.
      - Run the module as this user, or as root; it then changes to this user.
    type: str
    default: postgres
  socket_directory:
    description: The folder of the server's Unix socket.
    type: path
    default: /var/run/postgresql
  port:
    description: The server's port, which is part of its socket's name.
    type: int
    default: 5432
requirements:
  - PostgreSQL of any supported version, its server package on this host.
  - psycopg or psycopg2 (Debian's python3-psycopg or python3-psycopg2).
"""

    OWNER = r"""
options:
  database:
    description: Name of the database. Taken from the C(DATABASE_URL) when it is not given.
    type: str
  environment_file:
    description: File on this host with lines C(KEY=value), among them the C(DATABASE_URL) of the role that owns the
      schema.
    type: path
  database_url:
    description: The C(DATABASE_URL) itself, instead of a file. Programs that the module starts get it in their
      environment, never as an argument.
    type: str
"""
