-- Constraints: ADD table_constraint, NOT VALID, VALIDATE, USING INDEX and DROP CONSTRAINT in
-- https://www.postgresql.org/docs/15/sql-altertable.html

ALTER TABLE orders ADD CONSTRAINT total_positive CHECK (total >= 0)

ALTER TABLE orders ADD CONSTRAINT total_positive CHECK (total >= 0) NOT VALID

ALTER TABLE orders ADD CHECK (quantity < 1000)

ALTER TABLE orders ADD CONSTRAINT note_there CHECK (note IS NOT NULL) NOT VALID

ALTER TABLE users ADD CONSTRAINT name_there CHECK (name IS NOT NULL)

ALTER TABLE users ADD CONSTRAINT name_or_nick CHECK (name IS NOT NULL OR nick IS NOT NULL) NOT VALID

-- a check on a column that the revision adds, and that nobody fills
ALTER TABLE orders ADD COLUMN size int;
ALTER TABLE orders ADD CONSTRAINT size_positive CHECK (size > 0) NOT VALID

-- the same, and it reads every row
ALTER TABLE orders ADD COLUMN size int;
ALTER TABLE orders ADD CONSTRAINT size_positive CHECK (size > 0)

-- a required new column, by a check that old code breaks
ALTER TABLE orders ADD COLUMN size int;
ALTER TABLE orders ADD CONSTRAINT size_there CHECK (size IS NOT NULL) NOT VALID

-- a required new column with a default
ALTER TABLE orders ADD COLUMN size int DEFAULT 1;
ALTER TABLE orders ADD CONSTRAINT size_there CHECK (size IS NOT NULL) NOT VALID

-- earlier: ALTER TABLE orders ADD COLUMN size int
-- earlier: ALTER TABLE orders ADD CONSTRAINT size_positive CHECK (size > 0) NOT VALID
-- VALIDATE of a check of an earlier rollout
ALTER TABLE orders VALIDATE CONSTRAINT size_positive

-- added and validated in one transaction
ALTER TABLE orders ADD COLUMN size int;
ALTER TABLE orders ADD CONSTRAINT size_positive CHECK (size > 0) NOT VALID;
ALTER TABLE orders VALIDATE CONSTRAINT size_positive

-- outside
-- added and validated, each by itself
ALTER TABLE orders ADD COLUMN size int;
ALTER TABLE orders ADD CONSTRAINT size_positive CHECK (size > 0) NOT VALID;
ALTER TABLE orders VALIDATE CONSTRAINT size_positive

-- earlier: ALTER TABLE orders ADD CONSTRAINT quantity_small CHECK (quantity < 7) NOT VALID
-- VALIDATE under a lock that another statement took
ALTER TABLE orders ADD COLUMN size int;
ALTER TABLE orders VALIDATE CONSTRAINT quantity_small

ALTER TABLE items ADD CONSTRAINT items_product FOREIGN KEY (product_id) REFERENCES products

ALTER TABLE items ADD CONSTRAINT items_product FOREIGN KEY (product_id) REFERENCES products NOT VALID

ALTER TABLE items ADD FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE SET NULL

-- a foreign key of a column that the revision adds
ALTER TABLE items ADD COLUMN ticket bigint;
ALTER TABLE items ADD CONSTRAINT items_ticket FOREIGN KEY (ticket) REFERENCES tickets NOT VALID

-- the same, and it looks up every row
ALTER TABLE items ADD COLUMN ticket bigint;
ALTER TABLE items ADD CONSTRAINT items_ticket FOREIGN KEY (ticket) REFERENCES tickets

-- earlier: ALTER TABLE items ADD COLUMN ticket bigint
-- earlier: ALTER TABLE items ADD CONSTRAINT items_ticket FOREIGN KEY (ticket) REFERENCES tickets NOT VALID
-- VALIDATE of a foreign key of an earlier rollout
ALTER TABLE items VALIDATE CONSTRAINT items_ticket

-- earlier: ALTER TABLE items ADD COLUMN ticket bigint
-- a foreign key on a column that old code leaves empty
ALTER TABLE items ADD CONSTRAINT items_ticket FOREIGN KEY (ticket) REFERENCES tickets NOT VALID

ALTER TABLE users ADD CONSTRAINT users_nick UNIQUE (nick)

ALTER TABLE users ADD CONSTRAINT users_phone UNIQUE (phone) DEFERRABLE INITIALLY DEFERRED

-- earlier: CREATE UNIQUE INDEX users_nick_idx ON users (nick) WHERE nick <> 'nick1'
-- a partial index cannot be a constraint
ALTER TABLE users ADD CONSTRAINT users_nick UNIQUE USING INDEX users_nick_idx

-- earlier: ALTER TABLE users ADD COLUMN badge int
-- earlier: CREATE UNIQUE INDEX users_badge_idx ON users (badge)
-- a constraint from a unique index of an earlier rollout
ALTER TABLE users ADD CONSTRAINT users_badge UNIQUE USING INDEX users_badge_idx

-- earlier: CREATE UNIQUE INDEX invoices_number_idx ON invoices (number)
-- a primary key from an index, of a column that is NOT NULL
ALTER TABLE invoices ADD CONSTRAINT invoices_pkey PRIMARY KEY USING INDEX invoices_number_idx

ALTER TABLE invoices ADD PRIMARY KEY (number)

-- earlier: CREATE UNIQUE INDEX invoices_amount_idx ON invoices (amount)
-- a primary key from an index, of a column that may be NULL: every row is read
ALTER TABLE invoices ADD CONSTRAINT invoices_pkey PRIMARY KEY USING INDEX invoices_amount_idx

ALTER TABLE tickets ADD CONSTRAINT one_ticket EXCLUDE USING btree (number WITH =)

ALTER TABLE orders ADD CONSTRAINT no_twin EXCLUDE (code WITH =) WHERE (code IS NOT NULL)

ALTER TABLE orders DROP CONSTRAINT orders_weight_check

ALTER TABLE orders DROP CONSTRAINT IF EXISTS never_there

ALTER TABLE users DROP CONSTRAINT users_email_key

ALTER TABLE items DROP CONSTRAINT items_pkey

ALTER TABLE orders DROP CONSTRAINT orders_pkey CASCADE

ALTER TABLE users DROP CONSTRAINT users_pkey

ALTER TABLE items DROP CONSTRAINT items_order_id_fkey

ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey

ALTER TABLE tickets DROP CONSTRAINT tickets_pkey

ALTER TABLE orders RENAME CONSTRAINT orders_weight_check TO weight_check

ALTER TABLE items ALTER CONSTRAINT items_order_id_fkey DEFERRABLE INITIALLY DEFERRED

ALTER TABLE items ALTER CONSTRAINT items_order_id_fkey NOT DEFERRABLE

-- a check replaced by a wider one
ALTER TABLE orders DROP CONSTRAINT orders_weight_check;
ALTER TABLE orders ADD CONSTRAINT orders_weight_check CHECK (weight >= -10) NOT VALID

-- a check replaced by a narrower one
ALTER TABLE orders DROP CONSTRAINT orders_weight_check;
ALTER TABLE orders ADD CONSTRAINT orders_weight_check CHECK (weight > 0) NOT VALID

-- a foreign key replaced by one that cascades, and it looks up every row
ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey;
ALTER TABLE orders ADD CONSTRAINT orders_user_id_fkey FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE

-- a check on a new table
CREATE TABLE fresh (id int, size int);
ALTER TABLE fresh ADD CONSTRAINT fresh_size CHECK (size > 0)

-- a foreign key from a new table
CREATE TABLE fresh (id int, product_id int);
ALTER TABLE fresh ADD CONSTRAINT fresh_product FOREIGN KEY (product_id) REFERENCES products

-- a foreign key from an old table to a new one
CREATE TABLE fresh (id bigint PRIMARY KEY);
ALTER TABLE items ADD COLUMN fresh_id bigint REFERENCES fresh

-- a foreign key of an old column to a new table: no row can satisfy it
CREATE TABLE fresh (id int PRIMARY KEY);
ALTER TABLE items ADD CONSTRAINT items_fresh FOREIGN KEY (product_id) REFERENCES fresh

ALTER TABLE logs ADD CONSTRAINT line_there CHECK (line IS NOT NULL)

ALTER TABLE products ADD CONSTRAINT price_positive CHECK (price >= 0) NOT VALID

-- a foreign key that is made again
ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey;
ALTER TABLE orders ADD CONSTRAINT orders_user_fk FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID

-- a foreign key that is made again, and reads the table
ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey;
ALTER TABLE orders ADD CONSTRAINT orders_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE

-- a foreign key that no longer deletes with the row that it references
ALTER TABLE items DROP CONSTRAINT items_order_id_fkey;
ALTER TABLE items ADD CONSTRAINT items_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders (id) NOT VALID

-- a CHECK that is made again
ALTER TABLE orders DROP CONSTRAINT orders_weight_check, ADD CHECK (weight >= 0) NOT VALID

-- a unique constraint that is made again, which builds its index
ALTER TABLE users DROP CONSTRAINT users_email_key, ADD CONSTRAINT users_email_key UNIQUE (email)

-- earlier: CREATE UNIQUE INDEX CONCURRENTLY users_email_2 ON users (email)
-- a unique constraint that gets another index
ALTER TABLE users DROP CONSTRAINT users_email_key, ADD CONSTRAINT users_email_key UNIQUE USING INDEX users_email_2

-- a unique constraint of a new column alone
ALTER TABLE orders ADD COLUMN slug text;
ALTER TABLE orders ADD CONSTRAINT one_slug UNIQUE (user_id, slug)

-- NULLS NOT DISTINCT makes two rows of old code equal
ALTER TABLE orders ADD COLUMN slug text UNIQUE NULLS NOT DISTINCT
