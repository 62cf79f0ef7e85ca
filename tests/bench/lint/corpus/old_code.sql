-- What the previous release does with the database, as a role that owns nothing. Each statement runs in a transaction of
-- its own, which is rolled back. It uses everything by its name, but for constraints and indexes. It inserts what
-- nothing forbids today: NULL, duplicates, zero, negative and large numbers, references to nothing. It names no column and no object that a migration of the corpus adds.
SELECT id, user_id, status, code, total, quantity, weight, state, rating, note, remark, seen, due, extra, tags
    FROM orders WHERE id BETWEEN 101 AND 103 ORDER BY id;
SELECT o.id, o.status, count(i.line) FROM orders o LEFT JOIN items i ON i.order_id = o.id WHERE o.id = 105 GROUP BY o.id;
SELECT id, email, name, nick, phone, home, (home).city, active FROM users WHERE id = 104;
SELECT id, sku, title, price, cents, stock FROM products WHERE id BETWEEN 101 AND 103 ORDER BY id;
SELECT order_id, line, product_id, price FROM items WHERE order_id = 103;
SELECT number, subject FROM tickets WHERE number = 103;
SELECT number, amount, paid FROM invoices WHERE number = 103;
SELECT kind, count(*) FROM events WHERE at = '2024-05-05' GROUP BY kind ORDER BY kind;
SELECT at, kind FROM events WHERE at = '2025-03-03' ORDER BY kind;
SELECT kind, count(*) FROM events_2024 WHERE at = '2024-05-06' GROUP BY kind ORDER BY kind;
SELECT count(*) FROM events_2023 WHERE at = '2023-03-03';
SELECT count(*) FROM events_2022 WHERE at = '2022-03-03';
SELECT region, line FROM logs WHERE line IN ('l103', 'l104') ORDER BY line;
SELECT id, body FROM parent_notes WHERE id IN (103, -103) ORDER BY id;
SELECT id, body, author FROM child_notes WHERE id = -103;
SELECT id, body FROM carts WHERE id = 103;
SELECT sum(sold) FROM reports.daily WHERE day = '2025-03-03' AND sold < 1000;
SELECT id, email, total FROM order_totals WHERE id = 104;
SELECT id, status, total FROM open_orders WHERE id = 104;
UPDATE open_orders SET total = total + 1 WHERE id = 104 RETURNING total;
SELECT user_id, sold FROM sales WHERE user_id = 103;
SELECT id, state, total FROM sales_by_state WHERE id = 103;
SELECT order_sum(103), label('abc');
SELECT pay(104);
SELECT 'open'::order_state, 3::stars, 'x'::plain_text, ('a', 'b')::address;
SELECT nextval('ticket_numbers') > 0, nextval('orders_id_seq') > 0, nextval('users_id_seq') > 0;
SELECT nextval('invoice_numbers') > (SELECT max(number) FROM invoices);
INSERT INTO users (email, name) VALUES ('new@example.com', NULL) RETURNING active;
INSERT INTO users (email) VALUES ('other@example.com');
INSERT INTO users (email, name, nick, phone, home)
    VALUES (repeat('e', 80), 'User 1', 'nick1', repeat('1', 20), ROW('a', NULL)::address);
INSERT INTO users (email, name) VALUES ('user103@example.com', 'n') ON CONFLICT (email) DO UPDATE SET name = 'again'
    RETURNING name;
INSERT INTO orders (user_id) VALUES (103) RETURNING status, weight, state, seen, total;
INSERT INTO orders (user_id, status, code, total, quantity, weight, rating, note, remark, due, extra, tags)
    VALUES (103, 'something', 'C1', -99999999.99, -1, 0, 9, '', '', '1999-01-01', '[]', '{}') RETURNING state;
INSERT INTO orders (user_id, code, total, quantity, state) VALUES (104, repeat('c', 20), 0, 2147483647, 'sent');
INSERT INTO orders (user_id, weight) VALUES (104, 2147483647);
INSERT INTO orders (id, user_id) VALUES (103, 103) ON CONFLICT (id) DO UPDATE SET note = 'again' RETURNING note;
INSERT INTO items (order_id, line) VALUES (103, 7) RETURNING price;
INSERT INTO items (order_id, line, product_id, price) VALUES (104, 7, 99999999, -5);
INSERT INTO items (order_id, line) VALUES (103, 1) ON CONFLICT (order_id, line) DO NOTHING;
INSERT INTO products (sku, price) VALUES ('fresh', -1) RETURNING cents, stock;
INSERT INTO products (sku, title, price) VALUES ('S103', NULL, 1) ON CONFLICT (sku) DO UPDATE SET price = 7
    RETURNING cents;
INSERT INTO products (id, sku, price) VALUES (99999999, 'by hand', 1);
INSERT INTO tickets (subject) VALUES (NULL);
INSERT INTO tickets (number, subject) VALUES (103, 'again') ON CONFLICT (number) DO NOTHING;
INSERT INTO invoices (number) VALUES (1) RETURNING paid;
INSERT INTO events (at, kind) VALUES ('2024-02-02', NULL), ('2025-02-02', 'k');
INSERT INTO events_2023 (at) VALUES ('2023-02-02');
INSERT INTO events_2022 (at) VALUES ('2022-02-02');
INSERT INTO logs (region, line) VALUES ('north', 'x'), ('south', 'y'), ('west', 'z');
INSERT INTO parent_notes (id, body) VALUES (103, NULL);
INSERT INTO child_notes (id, body, author) VALUES (103, NULL, NULL);
INSERT INTO carts (id, body) VALUES (99999999, NULL);
INSERT INTO reports.daily (day, sold) VALUES ('2025-03-03', NULL);
UPDATE users SET active = false, email = 'changed@example.com', nick = 'nick7' WHERE id = 105 RETURNING id, active;
UPDATE orders SET status = 'paid', total = 5, state = 'paid' WHERE id = 105 RETURNING id, status, state;
UPDATE items SET price = 3 WHERE order_id = 105 RETURNING price;
UPDATE products SET price = 3.5, sku = 'changed' WHERE id = 105 RETURNING cents;
UPDATE carts SET body = 'x' WHERE id = 105 RETURNING id;
UPDATE logs SET region = 'west' WHERE line = 'l106' RETURNING region;
UPDATE events SET kind = 'z' WHERE at = '2024-05-07';
DELETE FROM items WHERE order_id = 107 RETURNING line;
DELETE FROM orders WHERE id = 108 RETURNING id;
DELETE FROM invoices WHERE number = 109 RETURNING number;
DELETE FROM events WHERE at = '2025-05-07';
SELECT id, customer_id, status, code, total, quantity, note, placed, slug FROM shop_purchase WHERE id = 103;
SELECT id, email, name FROM shop_customer WHERE id = 103;
INSERT INTO shop_customer (email, name) VALUES ('new@example.com', NULL);
INSERT INTO shop_customer (email, name) VALUES (repeat('e', 80), 'User 1');
INSERT INTO shop_customer (email) VALUES ('user103@example.com') ON CONFLICT (email) DO UPDATE SET name = 'again'
    RETURNING name;
INSERT INTO shop_purchase (customer_id, status, code, total, quantity, note, placed, slug)
    VALUES (103, 'new', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO shop_purchase (customer_id, status, code, total, quantity, note, placed, slug)
    VALUES (103, 'something', repeat('c', 20), -999.99, -1, '', '2025-01-01', 's1');
UPDATE shop_purchase SET status = 'paid', quantity = 3 WHERE id = 105 RETURNING total;
DELETE FROM shop_purchase WHERE id = 107;
