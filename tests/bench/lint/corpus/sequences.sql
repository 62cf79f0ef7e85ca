-- Sequences and identity columns: https://www.postgresql.org/docs/15/sql-altersequence.html

CREATE SEQUENCE receipt_numbers

CREATE SEQUENCE IF NOT EXISTS invoice_numbers

ALTER SEQUENCE invoice_numbers RESTART

ALTER SEQUENCE invoice_numbers RESTART WITH 1

ALTER SEQUENCE invoice_numbers RESTART WITH 10000000

ALTER SEQUENCE ticket_numbers RESTART

ALTER SEQUENCE orders_id_seq RESTART WITH 1

ALTER SEQUENCE users_id_seq RESTART

ALTER TABLE products ALTER COLUMN id RESTART WITH 1

ALTER TABLE products ALTER COLUMN id RESTART

ALTER TABLE products ALTER COLUMN id RESTART WITH 5000000

ALTER SEQUENCE invoice_numbers CACHE 20

ALTER SEQUENCE invoice_numbers INCREMENT BY 10

ALTER SEQUENCE invoice_numbers INCREMENT BY -1 MINVALUE -1000000

ALTER SEQUENCE invoice_numbers MAXVALUE 9000000

-- the sequence is beyond it
ALTER SEQUENCE invoice_numbers MAXVALUE 100

ALTER SEQUENCE invoice_numbers NO CYCLE

ALTER SEQUENCE invoice_numbers START WITH 100

ALTER SEQUENCE invoice_numbers AS bigint

ALTER SEQUENCE orders_id_seq AS smallint

ALTER SEQUENCE invoice_numbers OWNED BY invoices.number

ALTER SEQUENCE orders_id_seq OWNED BY NONE

ALTER SEQUENCE invoice_numbers OWNER TO shop_next

ALTER SEQUENCE invoice_numbers RENAME TO invoice_seq

ALTER SEQUENCE invoice_numbers SET SCHEMA reports

ALTER SEQUENCE ticket_numbers RENAME TO ticket_seq

DROP SEQUENCE invoice_numbers

DROP SEQUENCE ticket_numbers CASCADE

DROP SEQUENCE ticket_numbers

SELECT setval('invoice_numbers', 1)

SELECT setval('invoice_numbers', 10000000)

SELECT setval('orders_id_seq', (SELECT max(id) FROM orders))

SELECT nextval('invoice_numbers')

REVOKE USAGE ON SEQUENCE ticket_numbers FROM shop_app

GRANT USAGE ON SEQUENCE ticket_numbers TO shop_reader

-- a sequence that the revision makes
CREATE SEQUENCE receipt_numbers;
ALTER SEQUENCE receipt_numbers RESTART WITH 500

-- a column with a sequence that the revision makes, and old rows stay NULL
CREATE SEQUENCE receipt_numbers;
ALTER TABLE invoices ADD COLUMN receipt bigint;
ALTER TABLE invoices ALTER COLUMN receipt SET DEFAULT nextval('receipt_numbers')

-- a column filled from a sequence
CREATE SEQUENCE receipt_numbers;
ALTER TABLE invoices ADD COLUMN receipt bigint DEFAULT nextval('receipt_numbers')

COMMENT ON SEQUENCE invoice_numbers IS 'x'
