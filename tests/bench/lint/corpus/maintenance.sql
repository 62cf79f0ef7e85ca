-- VACUUM, CLUSTER, ANALYZE, LOCK: https://www.postgresql.org/docs/15/routine-vacuuming.html and sql-lock.html

-- outside
VACUUM orders

-- outside
VACUUM (ANALYZE) orders, users

-- outside
VACUUM (FULL) orders

-- outside
VACUUM FULL ANALYZE users

-- outside
VACUUM (FULL false) orders

-- outside
VACUUM (FREEZE) orders

VACUUM orders

VACUUM FULL orders

ANALYZE

ANALYZE orders

ANALYZE orders (total, status)

CLUSTER orders USING orders_placed_idx

-- outside
CLUSTER orders USING orders_placed_idx

-- earlier: ALTER TABLE orders CLUSTER ON orders_placed_idx
-- outside
CLUSTER

LOCK TABLE orders

LOCK TABLE orders IN SHARE MODE

LOCK TABLE orders IN ACCESS SHARE MODE

LOCK TABLE orders IN ROW EXCLUSIVE MODE

-- outside
-- PostgreSQL refuses it
LOCK TABLE orders IN EXCLUSIVE MODE

-- a lock, and then a long statement
LOCK TABLE orders IN EXCLUSIVE MODE;
SELECT count(*) FROM orders WHERE note LIKE '%x%'

-- a lock, and then a short statement
LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE;
UPDATE orders SET note = 'x' WHERE id = 3

-- a weak lock, and then a long statement
LOCK TABLE orders IN SHARE UPDATE EXCLUSIVE MODE;
SELECT count(*) FROM orders WHERE note LIKE '%x%'

-- outside
CHECKPOINT

DISCARD TEMP

NOTIFY changed

SET LOCAL work_mem = '64MB'

SET session_replication_role = replica

ALTER SYSTEM SET work_mem = '64MB'

-- outside
ALTER SYSTEM SET work_mem = '64MB'

ALTER DATABASE CURRENT_DATABASE SET work_mem = '64MB'

SELECT pg_advisory_xact_lock(7)

SELECT pg_sleep(0.01)
