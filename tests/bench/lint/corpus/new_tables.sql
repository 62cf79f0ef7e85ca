-- What is harmless on a table of the same revision, because nobody uses it: the forms of ALTER TABLE again, and what a
-- new table does to old ones.

CREATE TABLE fresh (id bigserial PRIMARY KEY, name text NOT NULL, at timestamptz DEFAULT now())

CREATE TABLE fresh (id bigint PRIMARY KEY, order_id bigint REFERENCES orders ON DELETE CASCADE)

CREATE TABLE orders (id bigint)

CREATE TABLE IF NOT EXISTS orders (id bigint)

CREATE TABLE fresh (LIKE orders INCLUDING ALL)

CREATE UNLOGGED TABLE fresh (id int)

CREATE TEMPORARY TABLE fresh (id int) ON COMMIT DROP

CREATE TABLE fresh (id int, CHECK (id > 0), UNIQUE (id), EXCLUDE (id WITH =))

CREATE TABLE fresh (id int, other int REFERENCES never_there)

CREATE TABLE fresh (id int, state order_state DEFAULT 'open', stars stars)

CREATE TABLE fresh AS SELECT id FROM orders WHERE id < 50

SELECT id INTO fresh FROM orders

-- type
CREATE TABLE fresh (LIKE orders);
ALTER TABLE fresh ALTER COLUMN quantity TYPE bigint

-- default for each row
CREATE TABLE fresh (LIKE orders);
ALTER TABLE fresh ADD COLUMN luck float DEFAULT random()

-- identity
CREATE TABLE fresh (LIKE orders);
ALTER TABLE fresh ADD COLUMN position int GENERATED ALWAYS AS IDENTITY

-- required
CREATE TABLE fresh (LIKE orders);
ALTER TABLE fresh ADD COLUMN colour text NOT NULL

-- not null
CREATE TABLE fresh (LIKE orders);
ALTER TABLE fresh ALTER COLUMN note SET NOT NULL

-- check
CREATE TABLE fresh (LIKE orders);
ALTER TABLE fresh ADD CHECK (total >= 0)

-- unique
CREATE TABLE fresh (LIKE orders);
ALTER TABLE fresh ADD UNIQUE (code)

-- primary key
CREATE TABLE fresh (LIKE orders);
ALTER TABLE fresh ADD PRIMARY KEY (id)

-- exclusion
CREATE TABLE fresh (LIKE orders);
ALTER TABLE fresh ADD EXCLUDE (code WITH =)

-- foreign key
CREATE TABLE fresh (LIKE orders);
ALTER TABLE fresh ADD FOREIGN KEY (user_id) REFERENCES users (id)

-- drop column
CREATE TABLE fresh (LIKE orders);
ALTER TABLE fresh DROP COLUMN note

-- drop default
CREATE TABLE fresh (LIKE orders INCLUDING DEFAULTS);
ALTER TABLE fresh ALTER COLUMN status DROP DEFAULT

-- rename column
CREATE TABLE fresh (LIKE orders);
ALTER TABLE fresh RENAME COLUMN note TO words

-- rename
CREATE TABLE fresh (LIKE orders);
ALTER TABLE fresh RENAME TO fresher

-- set unlogged
CREATE TABLE fresh (LIKE orders);
ALTER TABLE fresh SET UNLOGGED

-- row security
CREATE TABLE fresh (LIKE orders);
ALTER TABLE fresh ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON fresh USING (user_id = 1)

-- owner
CREATE TABLE fresh (LIKE orders);
ALTER TABLE fresh OWNER TO shop_next

-- drop
CREATE TABLE fresh (LIKE orders);
DROP TABLE fresh

-- truncate
CREATE TABLE fresh (LIKE orders);
TRUNCATE fresh

-- cluster
CREATE TABLE fresh (LIKE orders INCLUDING ALL);
CLUSTER fresh USING fresh_placed_idx

-- rule
CREATE TABLE fresh (LIKE orders);
CREATE RULE no_delete AS ON DELETE TO fresh DO INSTEAD NOTHING

-- lock
CREATE TABLE fresh (LIKE orders);
LOCK TABLE fresh

-- all rows
CREATE TABLE fresh (LIKE orders);
UPDATE fresh SET note = 'x';
DELETE FROM fresh

-- trigger off
CREATE TABLE fresh (LIKE orders);
ALTER TABLE fresh DISABLE TRIGGER ALL

-- grants
CREATE TABLE fresh (LIKE orders);
GRANT SELECT ON fresh TO shop_app;
REVOKE SELECT ON fresh FROM shop_app

-- the old table filled from the new one
CREATE TABLE fresh (id bigint, note text);
ALTER TABLE orders ADD COLUMN words text;
UPDATE orders SET words = f.note FROM fresh f WHERE f.id = orders.id

-- a new table with the old name, after the old one was renamed
ALTER TABLE carts RENAME TO old_carts;
CREATE TABLE carts (id int PRIMARY KEY, body text, filler text)
