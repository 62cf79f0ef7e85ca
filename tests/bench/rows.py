"""A database as a shop has it, of any size, made by the server itself: text, JSON, numerics, timestamps, keys and
indexes."""

from __future__ import annotations

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

MIB = 1024 * 1024
# Rows for one MiB of database, indexes and all: measured, and checked again by `fill`.
PER_MIB = {"customers": 260, "orders": 1300, "lines": 3250, "events": 1300}
LINES_AN_ORDER = 2.5

SCHEMA = """
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('0001');
CREATE TABLE customers (
  id bigserial PRIMARY KEY, name text NOT NULL, email text NOT NULL, address text, since timestamptz NOT NULL, settings jsonb);
CREATE TABLE orders (
  id bigserial PRIMARY KEY, customer bigint NOT NULL, status varchar(10) NOT NULL CHECK (status IN ('new', 'paid', 'sent', 'back')),
  total numeric(10, 2) NOT NULL, at timestamptz NOT NULL, shipping jsonb, note text);
CREATE TABLE order_lines (
  order_id bigint, line int, product text NOT NULL, quantity int NOT NULL, price numeric(10, 2) NOT NULL, PRIMARY KEY (order_id, line));
CREATE TABLE events (id bigserial PRIMARY KEY, at timestamptz NOT NULL, kind text NOT NULL, visitor uuid NOT NULL, payload jsonb NOT NULL);

CREATE FUNCTION words(number int) RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT string_agg((ARRAY['delivered', 'parcel', 'the', 'customer', 'asked', 'for', 'a', 'blue', 'one', 'instead', 'of', 'green', 'when', 'it', 'arrived',
    'and', 'was', 'sent', 'back', 'on', 'Monday', 'with', 'note', 'that', 'says', 'please', 'call', 'before', 'noon', 'warehouse', 'north', 'gate', 'broken',
    'lid', 'replacement', 'promised', 'refund', 'half', 'price', 'voucher', 'thanks', 'regards', 'invoice', 'again', 'twice', 'charged', 'card', 'expired',
    'renewed', 'address', 'moved'])[1 + floor(random() * 51)::int] || CASE WHEN random() < 0.1 THEN floor(random() * 1000)::text ELSE '' END, ' ')
  FROM generate_series(1, number) $$;
"""
# One session, one worker: so the dice fall the same way each time.
ROWS = """
SET max_parallel_workers_per_gather = 0;
SELECT setseed(0.21);
INSERT INTO customers (name, email, address, since, settings)
SELECT initcap(words(2)), format('user%s@%s.example', i, substr(md5(i::text), 1, 8)), words(6), timestamptz '2019-01-01' + random() * interval '7 years',
       jsonb_build_object('language', (ARRAY['de', 'en', 'fr'])[1 + i % 3], 'newsletter', random() < 0.3, 'limit', round((random() * 1000)::numeric, 2))
  FROM generate_series(1, :customers) i;
INSERT INTO orders (customer, status, total, at, shipping, note)
SELECT 1 + floor(random() * :customers)::int, (ARRAY['new', 'paid', 'sent', 'back'])[1 + floor(random() * 4)::int], round((random() * 900)::numeric, 2),
       timestamptz '2021-01-01' + i * interval '40 seconds' + random() * interval '1 hour',
       jsonb_build_object('carrier', (ARRAY['post', 'bicycle', 'van'])[1 + i % 3], 'parcel', md5(random()::text), 'weight', round((random() * 30)::numeric, 3)),
       CASE WHEN i % 3 = 0 THEN words(12) END
  FROM generate_series(1, :orders) i;
INSERT INTO order_lines
SELECT 1 + floor(i / :an_order), i, format('product %s', i::bigint * 7919 % 5000), 1 + i % 5, round((random() * 200)::numeric, 2)
  FROM generate_series(0, :lines - 1) i;
INSERT INTO events (at, kind, visitor, payload)
SELECT timestamptz '2024-01-01' + i * interval '3 seconds', (ARRAY['view', 'search', 'cart', 'order', 'error'])[1 + floor(random() * random() * 5)::int],
       md5(floor(random() * 50000)::text)::uuid,
       jsonb_build_object('path', format('/products/%s', i::bigint * 31 % 5000), 'milliseconds', round((random() * 300)::numeric, 1), 'agent', words(5),
                          'flags', jsonb_build_array(i % 2 = 0, i % 7))
  FROM generate_series(1, :events) i;
"""
INDEXES = """
CREATE UNIQUE INDEX ON customers (email);
CREATE INDEX ON orders (customer);
CREATE INDEX ON orders (at);
CREATE INDEX ON events (at);
CREATE INDEX ON events (visitor);
ALTER TABLE orders ADD FOREIGN KEY (customer) REFERENCES customers;
ALTER TABLE order_lines ADD FOREIGN KEY (order_id) REFERENCES orders;
DROP FUNCTION words;
"""


def statements(megabytes: int) -> str:
    """SQL that makes about that much, the same rows each time."""
    text = ROWS.replace(":an_order", str(LINES_AN_ORDER))
    for name, each in PER_MIB.items():
        text = text.replace(f":{name}", str(each * megabytes))
    return SCHEMA + text + INDEXES


def fill(session: Session, megabytes: int) -> int:
    """Make the rows; bytes of the whole database, which are as many as asked for at least, or RuntimeError."""
    session.run(statements(megabytes))
    size = int(session.value("SELECT pg_database_size(current_database())"))
    if size < megabytes * MIB:
        raise RuntimeError(f"{megabytes} MiB of rows were asked for, but they take {size / MIB:.0f} MiB; raise PER_MIB")
    return size
