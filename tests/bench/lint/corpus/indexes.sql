-- Indexes: https://www.postgresql.org/docs/15/sql-createindex.html, sql-dropindex.html, sql-alterindex.html and
-- sql-reindex.html

CREATE INDEX orders_total_idx ON orders (total)

-- outside
CREATE INDEX CONCURRENTLY orders_total_idx ON orders (total)

CREATE INDEX CONCURRENTLY orders_total_idx ON orders (total)

-- outside
CREATE INDEX orders_total_idx ON orders (total)

-- outside
CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_total_idx ON orders (total)

CREATE INDEX IF NOT EXISTS orders_total_idx ON orders (total)

CREATE INDEX IF NOT EXISTS orders_code_idx ON orders (code)

CREATE INDEX orders_open_idx ON orders (placed) WHERE state = 'open'

-- outside
CREATE INDEX CONCURRENTLY orders_open_idx ON orders (placed) WHERE state = 'open'

CREATE INDEX orders_extra_idx ON orders USING gin (extra)

-- outside
CREATE INDEX CONCURRENTLY orders_extra_idx ON orders USING gin (extra)

CREATE INDEX orders_lower_idx ON orders (lower(code))

-- outside
CREATE INDEX CONCURRENTLY orders_lower_idx ON orders (lower(code))

CREATE INDEX orders_brin_idx ON orders USING brin (placed)

CREATE INDEX orders_hash_idx ON orders USING hash (code)

-- outside
CREATE INDEX CONCURRENTLY orders_both_idx ON orders (user_id, placed DESC) INCLUDE (total)

CREATE UNIQUE INDEX users_nick_idx ON users (nick)

-- outside
CREATE UNIQUE INDEX CONCURRENTLY users_nick_idx ON users (nick)

-- outside
CREATE UNIQUE INDEX CONCURRENTLY ON users (nick)

-- outside
-- two rows are equal, so it fails and leaves an invalid index
CREATE UNIQUE INDEX CONCURRENTLY orders_status_idx ON orders (status)

-- outside
-- a unique index of a column that old code does not write
ALTER TABLE users ADD COLUMN IF NOT EXISTS badge int;
CREATE UNIQUE INDEX CONCURRENTLY users_badge_idx ON users (badge)

-- earlier: ALTER TABLE users ADD COLUMN badge int
-- outside
-- a unique index of a column of an earlier rollout
CREATE UNIQUE INDEX CONCURRENTLY users_badge_idx ON users (badge)

CREATE INDEX events_kind_idx ON events (kind)

CREATE INDEX events_kind_idx ON ONLY events (kind)

-- outside
CREATE INDEX CONCURRENTLY events_kind_idx ON events (kind)

-- outside
CREATE INDEX CONCURRENTLY events_2024_kind_idx ON events_2024 (kind)

-- earlier: CREATE INDEX events_kind_idx ON ONLY events (kind)
-- earlier: CREATE INDEX events_2024_kind_idx ON events_2024 (kind)
ALTER INDEX events_kind_idx ATTACH PARTITION events_2024_kind_idx

CREATE INDEX sales_state_idx ON sales_by_state (state)

-- outside
CREATE INDEX CONCURRENTLY sales_state_idx ON sales_by_state (state)

DROP INDEX orders_code_idx

-- outside
DROP INDEX CONCURRENTLY orders_code_idx

DROP INDEX CONCURRENTLY orders_code_idx

-- outside
DROP INDEX CONCURRENTLY IF EXISTS never_there

-- old code says ON CONFLICT (sku)
DROP INDEX products_sku_idx

-- outside
DROP INDEX CONCURRENTLY products_sku_idx

-- it belongs to a constraint
DROP INDEX users_email_key

ALTER INDEX orders_code_idx RENAME TO orders_by_code

ALTER INDEX orders_code_idx SET (fillfactor = 80)

-- earlier: CREATE INDEX orders_lower_idx ON orders (lower(code))
ALTER INDEX orders_lower_idx ALTER COLUMN 1 SET STATISTICS 300

REINDEX INDEX orders_code_idx

-- outside
REINDEX INDEX CONCURRENTLY orders_code_idx

REINDEX TABLE orders

-- outside
REINDEX TABLE CONCURRENTLY orders

REINDEX INDEX CONCURRENTLY orders_code_idx

-- outside
REINDEX SCHEMA reports

-- outside
REINDEX (CONCURRENTLY) TABLE users

-- outside
-- a new index instead of an old one
CREATE INDEX CONCURRENTLY orders_code2_idx ON orders (code, placed);
DROP INDEX CONCURRENTLY orders_code_idx

-- an index on a table that the revision makes
CREATE TABLE fresh (id int, name text);
CREATE INDEX fresh_name_idx ON fresh (name)

-- a unique index on a table that the revision makes
CREATE TABLE fresh (id int, name text);
CREATE UNIQUE INDEX fresh_name_idx ON fresh (name)

-- the index of a table that the revision makes, dropped again
CREATE TABLE fresh (id int, name text);
CREATE INDEX fresh_name_idx ON fresh (name);
DROP INDEX fresh_name_idx

-- IF NOT EXISTS may mean an old table
CREATE TABLE IF NOT EXISTS orders (id bigint);
CREATE INDEX orders_total_idx ON orders (total)

-- outside
-- a unique index with a new column, which is NULL in each row
ALTER TABLE orders ADD COLUMN slug text;
CREATE UNIQUE INDEX CONCURRENTLY orders_slug_idx ON orders (status, slug)

-- outside
-- a unique index of rows that old code does not write
ALTER TABLE orders ADD COLUMN slug text;
CREATE UNIQUE INDEX CONCURRENTLY orders_slug_idx ON orders (status) WHERE slug IS NOT NULL

-- outside
-- a unique index in place of another one
CREATE UNIQUE INDEX CONCURRENTLY products_sku_2 ON products (sku);
DROP INDEX CONCURRENTLY products_sku_idx

-- a unique index of a new column, which later gets a default
ALTER TABLE orders ADD COLUMN slug text;
CREATE UNIQUE INDEX orders_slug_idx ON orders (slug);
ALTER TABLE orders ALTER COLUMN slug SET DEFAULT 'x'

-- nobody writes to a materialized view
CREATE UNIQUE INDEX sales_by_state_idx ON sales_by_state (id)
