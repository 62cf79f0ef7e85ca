-- Views and materialized views: https://www.postgresql.org/docs/15/sql-createview.html, sql-alterview.html,
-- sql-creatematerializedview.html and sql-refreshmaterializedview.html

CREATE VIEW paid_orders AS SELECT id, total FROM orders WHERE status = 'paid'

CREATE OR REPLACE VIEW paid_orders AS SELECT id, total FROM orders WHERE status = 'paid'

-- the same columns and one more
CREATE OR REPLACE VIEW order_totals AS
    SELECT o.id, u.email, o.total, o.status FROM orders o JOIN users u ON u.id = o.user_id

-- the same columns with other values
CREATE OR REPLACE VIEW order_totals AS
    SELECT o.id, u.email, (o.total * 100)::numeric(10, 2) AS total FROM orders o JOIN users u ON u.id = o.user_id

-- fewer columns: PostgreSQL refuses it
CREATE OR REPLACE VIEW order_totals AS SELECT o.id FROM orders o

-- no longer a view that can be written to
CREATE OR REPLACE VIEW open_orders AS SELECT DISTINCT id, user_id, status, total FROM orders WHERE status = 'new'

DROP VIEW order_totals

-- dropped and made again with the same columns, without its grants
DROP VIEW order_totals;
CREATE VIEW order_totals AS SELECT o.id, u.email, o.total FROM orders o JOIN users u ON u.id = o.user_id

-- dropped and made again, grants too
DROP VIEW order_totals;
CREATE VIEW order_totals AS SELECT o.id, u.email, o.total FROM orders o JOIN users u ON u.id = o.user_id;
GRANT SELECT ON order_totals TO shop_app

ALTER VIEW order_totals RENAME TO totals

ALTER VIEW order_totals RENAME COLUMN total TO amount

ALTER VIEW order_totals SET SCHEMA reports

ALTER VIEW order_totals OWNER TO shop_next

ALTER VIEW order_totals ALTER COLUMN total SET DEFAULT 0

ALTER VIEW order_totals SET (security_barrier = true)

COMMENT ON VIEW order_totals IS 'x'

-- a view that the revision makes, replaced and dropped again
CREATE VIEW paid_orders AS SELECT id FROM orders;
CREATE OR REPLACE VIEW paid_orders AS SELECT id, total FROM orders;
DROP VIEW paid_orders

CREATE MATERIALIZED VIEW sold AS SELECT user_id, count(*) FROM orders GROUP BY user_id

CREATE MATERIALIZED VIEW sold AS SELECT user_id, count(*) FROM orders GROUP BY user_id WITH NO DATA

REFRESH MATERIALIZED VIEW sales

REFRESH MATERIALIZED VIEW CONCURRENTLY sales

-- there is no unique index on it
REFRESH MATERIALIZED VIEW CONCURRENTLY sales_by_state

REFRESH MATERIALIZED VIEW sales WITH NO DATA

DROP MATERIALIZED VIEW sales_by_state

ALTER MATERIALIZED VIEW sales RENAME TO revenue

ALTER MATERIALIZED VIEW sales RENAME COLUMN sold TO amount

ALTER MATERIALIZED VIEW sales SET (fillfactor = 90)

ALTER MATERIALIZED VIEW sales ALTER COLUMN sold SET STATISTICS 200

ALTER MATERIALIZED VIEW sales SET ACCESS METHOD heap

-- a new materialized view with an index
CREATE MATERIALIZED VIEW sold AS SELECT user_id, count(*) FROM orders GROUP BY user_id;
CREATE UNIQUE INDEX sold_user_idx ON sold (user_id);
REFRESH MATERIALIZED VIEW sold

-- a materialized view is filled while the table is locked
ALTER TABLE orders ADD COLUMN colour text;
CREATE MATERIALIZED VIEW colours AS SELECT colour, count(*) FROM orders GROUP BY colour

CREATE RECURSIVE VIEW numbers (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < 5
