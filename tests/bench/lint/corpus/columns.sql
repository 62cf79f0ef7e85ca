-- Adding, changing and dropping columns: https://www.postgresql.org/docs/15/sql-altertable.html and
-- https://www.postgresql.org/docs/15/ddl-alter.html

ALTER TABLE orders ADD COLUMN colour text

ALTER TABLE orders ADD COLUMN colour text DEFAULT 'red'

ALTER TABLE orders ADD COLUMN colour text NOT NULL DEFAULT 'red'

ALTER TABLE orders ADD COLUMN colour text NOT NULL

ALTER TABLE orders ADD COLUMN IF NOT EXISTS colour text

ALTER TABLE orders ADD COLUMN IF NOT EXISTS code text

ALTER TABLE orders ADD COLUMN code text

ALTER TABLE orders ADD COLUMN added timestamptz DEFAULT now()

ALTER TABLE orders ADD COLUMN added timestamptz DEFAULT current_timestamp

ALTER TABLE orders ADD COLUMN added timestamptz DEFAULT clock_timestamp()

ALTER TABLE orders ADD COLUMN added date NOT NULL DEFAULT current_date

ALTER TABLE orders ADD COLUMN token uuid DEFAULT gen_random_uuid()

ALTER TABLE orders ADD COLUMN token uuid

ALTER TABLE orders ADD COLUMN luck double precision DEFAULT random()

ALTER TABLE orders ADD COLUMN serial_number bigint DEFAULT nextval('invoice_numbers')

ALTER TABLE orders ADD COLUMN position serial

ALTER TABLE orders ADD COLUMN position bigserial

ALTER TABLE orders ADD COLUMN position int GENERATED ALWAYS AS IDENTITY

ALTER TABLE orders ADD COLUMN total_cents numeric GENERATED ALWAYS AS (total * 100) STORED

ALTER TABLE orders ADD COLUMN shouted text DEFAULT upper('red')

ALTER TABLE orders ADD COLUMN flags jsonb NOT NULL DEFAULT '{}'::jsonb

ALTER TABLE orders ADD COLUMN flags jsonb NOT NULL DEFAULT jsonb_build_object('a', 1)

ALTER TABLE orders ADD COLUMN kinds text[] NOT NULL DEFAULT '{}'

ALTER TABLE orders ADD COLUMN due_in interval DEFAULT interval '3 days' * 2

ALTER TABLE orders ADD COLUMN next_state order_state DEFAULT 'open'

ALTER TABLE orders ADD COLUMN by_whom text DEFAULT current_user

-- a domain without any constraint
ALTER TABLE orders ADD COLUMN remark2 plain_text

-- a domain with a constraint
ALTER TABLE orders ADD COLUMN rating2 stars

-- a domain with a constraint, and a default
ALTER TABLE orders ADD COLUMN rating2 stars DEFAULT 3

-- a domain with a constraint that the same revision makes
CREATE DOMAIN money_amount AS numeric CHECK (VALUE >= 0);
ALTER TABLE orders ADD COLUMN fee money_amount

-- a domain without a constraint that the same revision makes
CREATE DOMAIN fee_amount AS numeric;
ALTER TABLE orders ADD COLUMN fee fee_amount

ALTER TABLE orders ADD COLUMN size int CHECK (size > 0)

ALTER TABLE orders ADD COLUMN size int, ADD CONSTRAINT size_positive CHECK (size > 0) NOT VALID

ALTER TABLE orders ADD COLUMN size int UNIQUE

ALTER TABLE orders ADD COLUMN buyer bigint REFERENCES users

ALTER TABLE orders ADD COLUMN buyer bigint DEFAULT 1 REFERENCES users

ALTER TABLE orders ADD COLUMN buyer bigint DEFAULT NULL

ALTER TABLE orders ADD COLUMN area text COLLATE "C"

ALTER TABLE orders ADD COLUMN a int, ADD COLUMN b int DEFAULT 0, ADD COLUMN c text

ALTER TABLE events ADD COLUMN place text

ALTER TABLE events ADD COLUMN place text DEFAULT md5(random()::text)

ALTER TABLE parent_notes ADD COLUMN place text

ALTER TABLE orders DROP COLUMN code

ALTER TABLE orders DROP COLUMN filler

ALTER TABLE orders DROP COLUMN total

ALTER TABLE orders DROP COLUMN total CASCADE

-- dropped again in the revision that adds it
ALTER TABLE orders ADD COLUMN colour text;
ALTER TABLE orders DROP COLUMN colour

ALTER TABLE orders RENAME COLUMN code TO voucher

ALTER TABLE orders RENAME status TO state2

-- renamed in the revision that adds it
ALTER TABLE orders ADD COLUMN colour text;
ALTER TABLE orders RENAME COLUMN colour TO tint

ALTER TABLE orders ALTER COLUMN note SET DEFAULT 'none'

ALTER TABLE orders ALTER COLUMN status SET DEFAULT 'new'

ALTER TABLE orders ALTER COLUMN status DROP DEFAULT

ALTER TABLE orders ALTER COLUMN note DROP DEFAULT

ALTER TABLE items ALTER COLUMN price DROP DEFAULT

ALTER TABLE orders ALTER COLUMN note SET NOT NULL

ALTER TABLE orders ALTER COLUMN status SET NOT NULL

ALTER TABLE orders ALTER COLUMN status DROP NOT NULL

ALTER TABLE users ALTER COLUMN name SET NOT NULL

-- added, filled by its default and required
ALTER TABLE orders ADD COLUMN colour text DEFAULT 'red';
ALTER TABLE orders ALTER COLUMN colour SET NOT NULL

-- earlier: ALTER TABLE orders ADD CONSTRAINT note_there CHECK (note IS NOT NULL) NOT VALID
-- earlier: ALTER TABLE orders VALIDATE CONSTRAINT note_there
-- SET NOT NULL after a validated check of an earlier rollout
ALTER TABLE orders ALTER COLUMN note SET NOT NULL

ALTER TABLE orders ALTER COLUMN note SET STATISTICS 500

ALTER TABLE orders ALTER COLUMN note SET STORAGE EXTERNAL

ALTER TABLE orders ALTER COLUMN note SET COMPRESSION pglz

ALTER TABLE orders ALTER COLUMN quantity SET (n_distinct = 7)

ALTER TABLE products ALTER COLUMN cents DROP EXPRESSION

ALTER TABLE products ALTER COLUMN id DROP IDENTITY

ALTER TABLE products ALTER COLUMN id SET GENERATED ALWAYS

ALTER TABLE products ALTER COLUMN id SET CACHE 10

ALTER TABLE invoices ALTER COLUMN number ADD GENERATED BY DEFAULT AS IDENTITY

-- a default that is away for a moment
ALTER TABLE orders ALTER COLUMN state DROP DEFAULT;
ALTER TABLE orders ALTER COLUMN state SET DEFAULT 'open'
