-- Roles, grants and owners: https://www.postgresql.org/docs/15/sql-grant.html, sql-revoke.html and ddl-priv.html

GRANT SELECT ON orders TO shop_reader

GRANT ALL ON ALL TABLES IN SCHEMA public TO shop_reader

GRANT SELECT (id, total) ON orders TO shop_reader

GRANT EXECUTE ON FUNCTION order_sum(bigint) TO shop_reader

GRANT USAGE ON SCHEMA reports TO shop_reader

GRANT USAGE ON TYPE order_state TO shop_reader

REVOKE INSERT ON orders FROM shop_app

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM shop_app

REVOKE SELECT ON orders FROM shop_reader

REVOKE UPDATE ON orders FROM PUBLIC

REVOKE USAGE ON SCHEMA reports FROM shop_app

REVOKE EXECUTE ON FUNCTION order_sum(bigint) FROM PUBLIC

REVOKE ALL ON FUNCTION pay(bigint) FROM PUBLIC

REVOKE SELECT ON order_totals FROM shop_app

REVOKE USAGE ON ALL SEQUENCES IN SCHEMA public FROM shop_app

-- revoked and granted again in one transaction
REVOKE ALL ON orders FROM shop_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO shop_app

ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO shop_reader

ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC

CREATE ROLE more

ALTER ROLE shop_app NOLOGIN

DROP ROLE shop_reader

GRANT shop_next TO shop_app

REASSIGN OWNED BY shop_owner TO shop_next

DROP OWNED BY shop_app

ALTER SCHEMA reports OWNER TO shop_next

ALTER VIEW open_orders OWNER TO shop_next

ALTER TABLE items OWNER TO shop_next

ALTER TABLE events_2024 OWNER TO shop_next

ALTER MATERIALIZED VIEW sales OWNER TO shop_next

ALTER DOMAIN stars OWNER TO shop_next

-- a new table, and who may use it
CREATE TABLE fresh (id int);
GRANT SELECT ON fresh TO shop_app;
REVOKE ALL ON fresh FROM PUBLIC

-- the owner of a new table
CREATE TABLE fresh (id int);
ALTER TABLE fresh OWNER TO shop_next

SET ROLE shop_next

-- what another role makes
SET LOCAL ROLE shop_next;
CREATE TABLE fresh (id int)
