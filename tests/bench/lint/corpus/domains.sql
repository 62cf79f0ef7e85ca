-- Enums, domains and composite types: https://www.postgresql.org/docs/15/sql-altertype.html and sql-alterdomain.html

CREATE TYPE colour AS ENUM ('red', 'green')

CREATE TYPE money_pair AS (amount numeric, currency text)

CREATE DOMAIN short_text AS varchar(10) CHECK (length(VALUE) > 0)

CREATE TYPE span AS RANGE (subtype = float8)

CREATE TYPE shell

ALTER TYPE order_state ADD VALUE 'lost'

ALTER TYPE order_state ADD VALUE IF NOT EXISTS 'paid'

ALTER TYPE order_state ADD VALUE 'new' BEFORE 'open'

-- outside
ALTER TYPE order_state ADD VALUE 'lost' AFTER 'paid'

-- the new value used in the transaction that adds it
ALTER TYPE order_state ADD VALUE 'lost';
UPDATE orders SET state = 'lost' WHERE id = 1

-- the new value as a default in the transaction that adds it
ALTER TYPE order_state ADD VALUE 'lost';
ALTER TABLE orders ALTER COLUMN state SET DEFAULT 'lost'

-- the new value in a check in the transaction that adds it
ALTER TYPE order_state ADD VALUE 'lost';
ALTER TABLE products ADD COLUMN state order_state DEFAULT 'lost'

-- an old value used in the transaction that adds another
ALTER TYPE order_state ADD VALUE 'lost';
UPDATE orders SET state = 'paid' WHERE id = 1

-- outside
-- the new value used after it was added
ALTER TYPE order_state ADD VALUE 'lost';
UPDATE orders SET state = 'lost' WHERE id = 1

-- an enum that the revision makes, with a value more, used
CREATE TYPE colour AS ENUM ('red', 'green');
ALTER TYPE colour ADD VALUE 'blue';
ALTER TABLE orders ADD COLUMN colour colour DEFAULT 'blue'

-- a column of an enum that the revision makes
CREATE TYPE colour AS ENUM ('red', 'green');
ALTER TABLE orders ADD COLUMN colour colour NOT NULL DEFAULT 'red'

ALTER TYPE order_state RENAME VALUE 'paid' TO 'settled'

-- the name of the type itself
ALTER TYPE order_state RENAME TO state_of_order

ALTER TYPE address ADD ATTRIBUTE zip text

ALTER TYPE address DROP ATTRIBUTE city

ALTER TYPE address ALTER ATTRIBUTE city TYPE varchar(100)

ALTER TYPE address RENAME ATTRIBUTE city TO town

ALTER TYPE address RENAME ATTRIBUTE city TO town CASCADE

-- a type that the revision makes
CREATE TYPE money_pair AS (amount numeric, currency text);
ALTER TYPE money_pair ADD ATTRIBUTE at date

ALTER TYPE order_state OWNER TO shop_next

ALTER TYPE order_state SET SCHEMA reports

DROP TYPE order_state

DROP TYPE address CASCADE

ALTER DOMAIN stars ADD CONSTRAINT stars_most CHECK (VALUE <= 5)

ALTER DOMAIN stars ADD CONSTRAINT stars_most CHECK (VALUE <= 5) NOT VALID

-- nobody can break it
ALTER DOMAIN stars ADD CONSTRAINT stars_most CHECK (VALUE <= 1000000)

-- earlier: ALTER DOMAIN stars ADD CONSTRAINT stars_most CHECK (VALUE <= 1000000) NOT VALID
ALTER DOMAIN stars VALIDATE CONSTRAINT stars_most

ALTER DOMAIN stars DROP CONSTRAINT stars_check

ALTER DOMAIN stars DROP CONSTRAINT IF EXISTS never_there

ALTER DOMAIN stars SET NOT NULL

ALTER DOMAIN plain_text SET NOT NULL

ALTER DOMAIN stars DROP NOT NULL

ALTER DOMAIN plain_text SET DEFAULT 'x'

ALTER DOMAIN stars DROP DEFAULT

ALTER DOMAIN stars RENAME TO points

ALTER DOMAIN stars RENAME CONSTRAINT stars_check TO stars_least

DROP DOMAIN plain_text

DROP DOMAIN plain_text CASCADE

-- a domain that the revision makes and that no table has
CREATE DOMAIN fee AS numeric;
ALTER DOMAIN fee ADD CONSTRAINT fee_positive CHECK (VALUE >= 0)

COMMENT ON TYPE order_state IS 'x'

CREATE COLLATION german FROM "C"
