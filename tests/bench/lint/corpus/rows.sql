-- INSERT, UPDATE, DELETE, MERGE and SELECT … FOR: https://www.postgresql.org/docs/15/dml.html and explicit-locking.html

UPDATE orders SET note = 'x'

UPDATE orders SET note = 'x' WHERE true

UPDATE orders SET note = 'x' WHERE id > 0

UPDATE orders SET note = 'x' WHERE id = 5

UPDATE orders SET note = 'x' WHERE id IN (5, 6, 7)

UPDATE orders SET note = 'x' WHERE id BETWEEN 1 AND 50

UPDATE orders SET note = 'x' WHERE code = 'C5'

UPDATE orders SET note = note || '!' WHERE filler IS NOT NULL

UPDATE users SET nick = lower(nick)

UPDATE orders o SET note = u.name FROM users u WHERE u.id = o.user_id

UPDATE orders o SET note = u.name FROM users u WHERE u.id = o.user_id AND o.id < 20

UPDATE orders SET note = (SELECT name FROM users WHERE users.id = orders.user_id)

UPDATE orders SET note = 'x' WHERE id IN (SELECT id FROM orders WHERE id < 50 ORDER BY id LIMIT 20)

UPDATE orders SET note = 'x' WHERE id IN (SELECT order_id FROM items)

-- filled in the transaction that added the column
ALTER TABLE orders ADD COLUMN colour text;
UPDATE orders SET colour = status WHERE colour IS NULL

-- one row, in the transaction that added the column
ALTER TABLE orders ADD COLUMN colour text;
UPDATE orders SET colour = status WHERE id = 5

-- another table, in the transaction that added the column
ALTER TABLE users ADD COLUMN age int;
UPDATE carts SET body = 'y' WHERE body LIKE 'b%'

-- few rows, but all are read while the table is locked
ALTER TABLE orders ADD COLUMN colour text;
UPDATE orders SET colour = 'red' WHERE note = 'note 7'

-- deleted by age while the table is locked
ALTER TABLE orders ADD COLUMN colour text;
DELETE FROM orders WHERE due < '2025-01-02'

-- outside
-- filled by a statement of its own
ALTER TABLE orders ADD COLUMN colour text;
UPDATE orders SET colour = status WHERE id BETWEEN 1 AND 50

DELETE FROM items

DELETE FROM invoices WHERE true

DELETE FROM invoices WHERE number > 0

DELETE FROM invoices WHERE number = 5

DELETE FROM invoices WHERE number < 20

DELETE FROM items USING orders o WHERE o.id = items.order_id

DELETE FROM items USING orders o WHERE o.id = items.order_id AND o.id = 7

DELETE FROM reports.daily WHERE day < '2030-01-01'

INSERT INTO carts (id, body) VALUES (-1, 'x')

INSERT INTO carts (id, body) VALUES (-1, 'x'), (-2, 'y') ON CONFLICT (id) DO NOTHING

INSERT INTO carts (id, body) SELECT -id, nick FROM users

INSERT INTO carts (id, body) SELECT id, body FROM carts ON CONFLICT (id) DO UPDATE SET body = 'again'

INSERT INTO carts (id, body) SELECT 90000000, 'x' WHERE NOT EXISTS (SELECT FROM carts WHERE id = 90000000)

-- copied into a new table
CREATE TABLE old_users AS SELECT * FROM users

-- copied into a new table while the old one is locked
ALTER TABLE users ADD COLUMN age int;
CREATE TABLE old_users AS SELECT * FROM users

-- copied into a new table that refers to the old one
CREATE TABLE prefs (user_id bigint REFERENCES users, filler text);
INSERT INTO prefs SELECT id, filler FROM users

MERGE INTO orders o USING users u ON u.id = o.user_id WHEN MATCHED THEN UPDATE SET note = u.name

MERGE INTO carts c USING (VALUES (5, 'x')) v (id, body) ON c.id = v.id
    WHEN MATCHED THEN UPDATE SET body = v.body WHEN NOT MATCHED THEN INSERT (id, body) VALUES (v.id, v.body)

SELECT id FROM orders FOR UPDATE

SELECT id FROM orders WHERE id = 5 FOR UPDATE

SELECT id FROM orders WHERE id < 50 FOR NO KEY UPDATE

SELECT id FROM users FOR SHARE

SELECT id FROM orders WHERE note IS NOT NULL FOR UPDATE

SELECT count(*) FROM orders

WITH gone AS (DELETE FROM invoices RETURNING number) SELECT count(*) FROM gone

WITH gone AS (DELETE FROM invoices WHERE number = 5 RETURNING number) SELECT count(*) FROM gone

-- a long read while a table is locked
ALTER TABLE orders ADD COLUMN colour text;
SELECT count(*) FROM orders WHERE note IS NOT NULL

-- rows of a table that the revision makes
CREATE TABLE kinds (id int, name text);
INSERT INTO kinds VALUES (1, 'a'), (2, 'b');
UPDATE kinds SET name = upper(name)
