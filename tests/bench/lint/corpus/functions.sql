-- Functions, procedures and triggers: https://www.postgresql.org/docs/15/sql-createfunction.html and
-- sql-createtrigger.html

CREATE FUNCTION order_count(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM orders WHERE user_id = $1'

CREATE OR REPLACE FUNCTION order_count(bigint) RETURNS bigint LANGUAGE sql
    AS 'SELECT count(*) FROM orders WHERE user_id = $1'

-- the same answers
CREATE OR REPLACE FUNCTION order_sum(bigint) RETURNS numeric LANGUAGE sql STABLE
    AS 'SELECT coalesce(sum(i.price), 0) FROM items i WHERE i.order_id = $1'

-- other answers
CREATE OR REPLACE FUNCTION order_sum(bigint) RETURNS numeric LANGUAGE sql STABLE AS 'SELECT 1::numeric'

-- another type of the answer: PostgreSQL refuses it
CREATE OR REPLACE FUNCTION order_sum(bigint) RETURNS text LANGUAGE sql STABLE AS 'SELECT 1::text'

-- another argument makes another function
CREATE OR REPLACE FUNCTION order_sum(bigint, boolean) RETURNS numeric LANGUAGE sql STABLE AS 'SELECT 1::numeric'

-- an argument with a default makes the old call ambiguous
CREATE FUNCTION order_sum(bigint, boolean DEFAULT true) RETURNS numeric LANGUAGE sql STABLE AS 'SELECT 1::numeric'

DROP FUNCTION order_sum(bigint)

DROP FUNCTION label(text)

-- dropped and made again by the revision
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT 2 * $1';
DROP FUNCTION twice(int)

ALTER FUNCTION order_sum(bigint) RENAME TO sum_of_order

ALTER FUNCTION order_sum(bigint) SET SCHEMA reports

ALTER FUNCTION pay(bigint) OWNER TO shop_next

ALTER FUNCTION label(text) OWNER TO shop_next

ALTER FUNCTION order_sum(bigint) COST 200

ALTER FUNCTION order_sum(bigint) PARALLEL SAFE

ALTER FUNCTION pay(bigint) SECURITY INVOKER

ALTER FUNCTION order_sum(bigint) SET search_path = reports

ALTER FUNCTION label(text) STRICT

CREATE PROCEDURE tidy() LANGUAGE sql AS 'DELETE FROM carts WHERE id < 0'

CREATE AGGREGATE longest(text) (SFUNC = textcat, STYPE = text)

CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)

COMMENT ON FUNCTION order_sum(bigint) IS 'x'

CREATE TRIGGER seen_too BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION nothing()

-- old code gets other values
CREATE TRIGGER seen_too BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION refuse()

CREATE TRIGGER refused BEFORE INSERT ON carts FOR EACH ROW EXECUTE FUNCTION refuse()

CREATE CONSTRAINT TRIGGER checked AFTER INSERT ON carts DEFERRABLE FOR EACH ROW EXECUTE FUNCTION nothing()

DROP TRIGGER touched ON orders

ALTER TRIGGER touched ON orders RENAME TO touching

ALTER TABLE orders DISABLE TRIGGER touched

ALTER TABLE orders DISABLE TRIGGER USER

ALTER TABLE orders ENABLE TRIGGER touched

ALTER TABLE orders ENABLE ALWAYS TRIGGER touched

ALTER TABLE orders ENABLE REPLICA TRIGGER touched

-- the trigger's function does something else
CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN NEW.seen := ''2021-01-01''; RETURN NEW; END'

-- the trigger's function names a column that is not there
CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.never := 1; RETURN NEW; END'

-- a trigger that fills a new column, with a function of its own
ALTER TABLE orders ADD COLUMN colour text;
CREATE FUNCTION fill_colour() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN NEW.colour := coalesce(NEW.colour, NEW.status); RETURN NEW; END';
CREATE TRIGGER fill BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION fill_colour()

-- a trigger on a table that the revision makes
CREATE TABLE fresh (id int);
CREATE TRIGGER refused BEFORE INSERT ON fresh FOR EACH ROW EXECUTE FUNCTION refuse()

-- a trigger dropped and made again
DROP TRIGGER touched ON orders;
CREATE TRIGGER touched BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION touch()

CREATE EXTENSION IF NOT EXISTS pg_trgm

CREATE FUNCTION broken() RETURNS int LANGUAGE sql AS 'SELECT never FROM orders'

DO $$ BEGIN UPDATE orders SET note = 'x' WHERE id = 1; END $$

DO $$ BEGIN UPDATE orders SET note = 'x'; END $$

DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_class WHERE relname = 'fresh') THEN CREATE TABLE fresh (id int); END IF; END $$

DO $$ BEGIN ALTER TABLE orders ALTER COLUMN quantity TYPE bigint; END $$

DO $$ BEGIN ALTER TABLE orders ADD COLUMN colour text; EXCEPTION WHEN duplicate_column THEN NULL; END $$

DO $$ BEGIN EXECUTE 'CREATE INDEX orders_total_idx ON orders (total)'; END $$

-- the statement is built at run time
DO $$ DECLARE t text; BEGIN FOR t IN SELECT unnest(ARRAY['orders', 'users']) LOOP
    EXECUTE format('ALTER TABLE %I ADD COLUMN added2 int', t); END LOOP; END $$

-- the statement is built at run time, and rewrites
DO $$ DECLARE t text; BEGIN FOR t IN SELECT unnest(ARRAY['orders', 'users']) LOOP
    EXECUTE format('ALTER TABLE %I ADD COLUMN added2 float DEFAULT random()', t); END LOOP; END $$

SELECT order_sum(1)

SELECT label('x')
