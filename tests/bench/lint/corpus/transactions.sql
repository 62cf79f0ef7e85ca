-- What PostgreSQL refuses in a transaction, and what a transaction holds together

-- outside
CREATE DATABASE more

CREATE DATABASE more

DROP DATABASE never_there

-- outside
BEGIN;
ALTER TABLE orders ADD COLUMN colour text;
COMMIT;
UPDATE orders SET colour = status WHERE id BETWEEN 1 AND 50

-- outside
-- a transaction of its own, with a fill in it
BEGIN;
ALTER TABLE orders ADD COLUMN colour text;
UPDATE orders SET colour = status;
COMMIT

SAVEPOINT here;
ALTER TABLE orders ADD COLUMN colour text;
RELEASE SAVEPOINT here

-- rolled back to a savepoint
SAVEPOINT here;
DROP TABLE carts;
ROLLBACK TO SAVEPOINT here

-- outside
-- rolled back
BEGIN;
DROP TABLE carts;
ROLLBACK

-- outside
-- two short changes, each by itself
ALTER TABLE orders ADD COLUMN colour text;
ALTER TABLE users ADD COLUMN age int

-- two short changes of two tables
ALTER TABLE orders ADD COLUMN colour text;
ALTER TABLE users ADD COLUMN age int

-- a short change, and an index of another table
ALTER TABLE orders ADD COLUMN colour text;
CREATE INDEX users_nick_idx ON users (nick)

-- outside
-- a short change and an index, each by itself
ALTER TABLE orders ADD COLUMN colour text;
CREATE INDEX CONCURRENTLY orders_colour_idx ON orders (colour)

-- a short change and an index in a transaction
ALTER TABLE orders ADD COLUMN colour text;
CREATE INDEX CONCURRENTLY orders_colour_idx ON orders (colour)

-- outside
BEGIN;
CREATE INDEX CONCURRENTLY orders_total_idx ON orders (total);
COMMIT

-- outside
-- half of it is done when it fails
ALTER TABLE orders ADD COLUMN colour text;
ALTER TABLE orders ADD COLUMN colour text

-- syntax
ALTER TABEL orders ADD COLUMN colour text

-- no such table
ALTER TABLE never_there ADD COLUMN colour text

-- no such table, said so
ALTER TABLE IF EXISTS never_there ADD COLUMN colour text

SET CONSTRAINTS ALL DEFERRED

SET LOCAL lock_timeout = '1s';
ALTER TABLE orders ADD COLUMN colour text

SET LOCAL statement_timeout = 0

-- VACUUM in a block of its own
-- outside
BEGIN;
VACUUM orders;
COMMIT

-- outside
DISCARD ALL

DISCARD ALL

REINDEX SCHEMA reports

-- outside
-- a block that commits
DO $$ BEGIN UPDATE orders SET note = 'x' WHERE id = 1; COMMIT; END $$

-- a block that commits, in a transaction
DO $$ BEGIN UPDATE orders SET note = 'x' WHERE id = 1; COMMIT; END $$

-- a prepared transaction is not enabled
PREPARE TRANSACTION 'x'

EXPLAIN UPDATE orders SET note = 'x'

EXPLAIN ANALYZE UPDATE orders SET note = 'x'

-- outside
-- a procedure in a file without a transaction, which commits
DO $$ BEGIN ALTER TABLE orders ADD COLUMN colour text; COMMIT; UPDATE orders SET colour = 'x' WHERE id < 50; END $$
