-- Whole tables: ALTER TABLE … RENAME, SET, INHERIT, OWNER and so on, DROP TABLE, TRUNCATE, COMMENT, in
-- https://www.postgresql.org/docs/15/sql-commands.html

ALTER TABLE orders RENAME TO purchases

-- renamed, and a view of the old name in its place
ALTER TABLE orders RENAME TO purchases;
CREATE VIEW orders AS SELECT * FROM purchases

ALTER TABLE orders SET SCHEMA reports

DROP TABLE carts

DROP TABLE users CASCADE

DROP TABLE IF EXISTS never_there

DROP TABLE never_there

TRUNCATE carts

TRUNCATE TABLE ONLY invoices RESTART IDENTITY

ALTER TABLE orders SET UNLOGGED

ALTER TABLE carts SET LOGGED

ALTER TABLE carts SET UNLOGGED

ALTER TABLE orders SET LOGGED

ALTER TABLE orders SET (fillfactor = 70)

ALTER TABLE orders SET (autovacuum_vacuum_scale_factor = 0.01)

ALTER TABLE orders RESET (fillfactor)

ALTER TABLE orders SET (toast.autovacuum_enabled = false)

ALTER TABLE orders CLUSTER ON orders_placed_idx

ALTER TABLE orders SET WITHOUT CLUSTER

ALTER TABLE orders SET TABLESPACE pg_default

ALTER TABLE orders SET ACCESS METHOD heap

ALTER TABLE orders REPLICA IDENTITY FULL

ALTER TABLE child_notes NO INHERIT parent_notes

-- a new child, with rows of its own
CREATE TABLE more_notes (author text) INHERITS (parent_notes)

-- an old table becomes a child, and the parent has more rows
CREATE TABLE more_notes (LIKE parent_notes);
INSERT INTO more_notes VALUES (103, 'again', NULL);
ALTER TABLE more_notes INHERIT parent_notes

CREATE TABLE more_notes (LIKE parent_notes);
ALTER TABLE more_notes INHERIT parent_notes

ALTER TABLE orders ENABLE ROW LEVEL SECURITY

ALTER TABLE orders FORCE ROW LEVEL SECURITY

-- row security with a policy that lets everybody pass
CREATE POLICY all_tickets ON tickets USING (true);
ALTER TABLE tickets ENABLE ROW LEVEL SECURITY

ALTER TABLE carts DISABLE ROW LEVEL SECURITY

CREATE POLICY mine ON orders USING (user_id = 1)

DROP POLICY own_carts ON carts

ALTER POLICY own_carts ON carts USING (id < 10)

ALTER TABLE orders OWNER TO shop_next

ALTER TABLE carts OWNER TO shop_next

ALTER TABLE reports.daily OWNER TO shop_next

ALTER TABLE orders OWNER TO shop_owner

COMMENT ON TABLE orders IS 'What was bought'

COMMENT ON COLUMN orders.total IS 'with taxes'

CREATE STATISTICS orders_stat ON user_id, status FROM orders

-- earlier: CREATE STATISTICS orders_stat ON user_id, status FROM orders
DROP STATISTICS orders_stat

CREATE PUBLICATION all_orders FOR TABLE orders

-- a published table without a primary key: UPDATE and DELETE fail
CREATE PUBLICATION all_invoices FOR TABLE invoices

CREATE PUBLICATION new_invoices FOR TABLE invoices WITH (publish = 'insert')

-- earlier: CREATE PUBLICATION all_orders FOR TABLE orders
-- a published table loses what tells its rows apart
ALTER TABLE orders REPLICA IDENTITY NOTHING

-- earlier: CREATE PUBLICATION all_orders FOR TABLE orders
-- a table without a primary key is published too
ALTER PUBLICATION all_orders ADD TABLE reports.daily

ALTER TABLE orders REPLICA IDENTITY NOTHING

ALTER SCHEMA reports RENAME TO figures

DROP SCHEMA reports CASCADE

CREATE SCHEMA more

CREATE RULE no_delete AS ON DELETE TO orders DO INSTEAD NOTHING

CREATE RULE log_it AS ON INSERT TO carts DO ALSO NOTHING

-- triggers that are off for a moment, in one transaction
ALTER TABLE orders DISABLE TRIGGER ALL;
ALTER TABLE orders ENABLE TRIGGER ALL
