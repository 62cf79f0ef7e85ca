"""Rights of the application's role, given where the role is there (a restored copy may lack it)."""

from __future__ import annotations

import os
import re


def grant(*rights: str) -> list[str]:
    """Statements for rights such as "SELECT ON products"."""
    role = os.environ.get("APPLICATION_ROLE") or "storefront_app"
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", role):
        raise ValueError(f"APPLICATION_ROLE is {role!r}; a role's name is of a-z, 0-9 and _, e.g. storefront_app")
    return [
        f"DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN GRANT {right} TO {role}; END IF; END $$" for right in rights
    ]
