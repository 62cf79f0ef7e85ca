-- Type changes: the notes on ALTER COLUMN TYPE in https://www.postgresql.org/docs/15/sql-altertable.html, and the
-- transform functions of varchar, numeric, varbit, timestamp and interval, which decide whether rows are rewritten.

ALTER TABLE orders ALTER COLUMN code TYPE varchar(40)

ALTER TABLE orders ALTER COLUMN code TYPE varchar

ALTER TABLE orders ALTER COLUMN code TYPE text

ALTER TABLE orders ALTER COLUMN code TYPE varchar(20)

ALTER TABLE orders ALTER COLUMN code TYPE varchar(15)

ALTER TABLE orders ALTER COLUMN code TYPE char(20)

ALTER TABLE users ALTER COLUMN email TYPE varchar(254)

ALTER TABLE users ALTER COLUMN email TYPE text

ALTER TABLE users ALTER COLUMN phone SET DATA TYPE varchar(32)

ALTER TABLE users ALTER COLUMN phone TYPE varchar(32) USING phone::varchar(32)

ALTER TABLE users ALTER COLUMN phone TYPE varchar(32) USING trim(phone)

ALTER TABLE orders ALTER COLUMN note TYPE varchar(500)

ALTER TABLE orders ALTER COLUMN note TYPE varchar

ALTER TABLE orders ALTER COLUMN note TYPE text COLLATE "C"

ALTER TABLE orders ALTER COLUMN code TYPE varchar(20) COLLATE "C"

-- earlier: CREATE INDEX orders_note_idx ON orders (note)
-- another collation of an indexed column
ALTER TABLE orders ALTER COLUMN note TYPE text COLLATE "POSIX"

ALTER TABLE orders ALTER COLUMN note TYPE plain_text

ALTER TABLE orders ALTER COLUMN remark TYPE text

ALTER TABLE orders ALTER COLUMN rating TYPE int

ALTER TABLE orders ALTER COLUMN quantity TYPE stars

ALTER TABLE orders ALTER COLUMN quantity TYPE bigint

ALTER TABLE orders ALTER COLUMN quantity TYPE int

ALTER TABLE orders ALTER COLUMN quantity TYPE integer USING quantity

ALTER TABLE orders ALTER COLUMN quantity TYPE smallint

ALTER TABLE orders ALTER COLUMN quantity TYPE numeric

ALTER TABLE orders ALTER COLUMN quantity TYPE text

ALTER TABLE invoices ALTER COLUMN number TYPE numeric

ALTER TABLE products ALTER COLUMN stock TYPE bigint

ALTER TABLE invoices ALTER COLUMN amount TYPE numeric(12, 2)

ALTER TABLE items ALTER COLUMN price TYPE numeric(12, 2)

ALTER TABLE items ALTER COLUMN price TYPE numeric

ALTER TABLE items ALTER COLUMN price TYPE numeric(10, 4)

ALTER TABLE items ALTER COLUMN price TYPE numeric(14, 4)

ALTER TABLE items ALTER COLUMN price TYPE numeric(8, 2)

ALTER TABLE items ALTER COLUMN price TYPE double precision

ALTER TABLE items ALTER COLUMN price TYPE bigint USING (price * 100)::bigint

-- earlier: SET timezone = 'Europe/Berlin'
-- timestamp to timestamptz, as the session's time zone has it
ALTER TABLE orders ALTER COLUMN seen TYPE timestamptz

ALTER TABLE orders ALTER COLUMN seen TYPE timestamptz USING seen AT TIME ZONE 'UTC'

ALTER TABLE orders ALTER COLUMN placed TYPE timestamp

ALTER TABLE orders ALTER COLUMN placed TYPE timestamptz(6)

ALTER TABLE orders ALTER COLUMN placed TYPE timestamptz(3)

ALTER TABLE orders ALTER COLUMN due TYPE timestamptz

ALTER TABLE orders ALTER COLUMN extra TYPE json

ALTER TABLE orders ALTER COLUMN extra TYPE text

ALTER TABLE orders ALTER COLUMN tags TYPE varchar[]

ALTER TABLE orders ALTER COLUMN tags TYPE jsonb USING to_jsonb(tags)

ALTER TABLE users ALTER COLUMN active DROP DEFAULT, ALTER COLUMN active TYPE int USING active::int

ALTER TABLE orders ALTER COLUMN state TYPE text

-- earlier: CREATE TYPE other_state AS ENUM ('open', 'paid', 'sent', 'lost')
-- to another enum by its text
ALTER TABLE orders ALTER COLUMN state DROP DEFAULT,
    ALTER COLUMN state TYPE other_state USING state::text::other_state,
    ALTER COLUMN state SET DEFAULT 'open'

ALTER TABLE orders ALTER COLUMN id TYPE int

ALTER TABLE orders ALTER COLUMN total TYPE numeric(12, 2)

ALTER TABLE logs ALTER COLUMN line TYPE varchar(200)

ALTER TABLE logs ALTER COLUMN line TYPE varchar

ALTER TABLE parent_notes ALTER COLUMN id TYPE bigint

-- wider, of a column that the same revision adds
ALTER TABLE orders ADD COLUMN colour varchar(10);
ALTER TABLE orders ALTER COLUMN colour TYPE varchar(20)

-- a new column gets another type, and the old rows are rewritten
ALTER TABLE orders ADD COLUMN level int DEFAULT 0;
ALTER TABLE orders ALTER COLUMN level TYPE bigint

ALTER TABLE users ALTER COLUMN nick TYPE varchar(80), ALTER COLUMN phone TYPE varchar(30)

ALTER TABLE users ALTER COLUMN nick TYPE varchar(80), ALTER COLUMN active SET STATISTICS 200, ADD COLUMN age int

ALTER TABLE users ALTER COLUMN nick TYPE varchar(80), ALTER COLUMN nick SET DEFAULT 'x'
