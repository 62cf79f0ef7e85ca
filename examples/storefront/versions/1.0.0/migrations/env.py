"""Alembic's environment: one connection from DATABASE_URL, each migration in a transaction of its own."""

from __future__ import annotations

import os
import sys
from logging.config import fileConfig

from alembic import context
from sqlalchemy import create_engine, make_url, pool

if context.config.config_file_name:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)


def address():
    told = os.environ.get("DATABASE_URL", "")
    if not told:
        sys.exit("DATABASE_URL is not set: give the address of the database, e.g. DATABASE_URL=postgresql:///storefront")
    return make_url(told).set(drivername="postgresql+psycopg")


def run() -> None:
    engine = create_engine(address(), poolclass=pool.NullPool, connect_args={"application_name": "storefront-migrate", "connect_timeout": 5})
    with engine.connect() as connection:
        if role := os.environ.get("MIGRATION_ROLE"):
            quoted = engine.dialect.identifier_preparer.quote(role)
            connection.exec_driver_sql(f"SET ROLE {quoted}")
            connection.commit()
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    context.configure(url=address() if os.environ.get("DATABASE_URL") else "postgresql+psycopg://", literal_binds=True, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    run()
