INSERT INTO shop_customer (email, name, filler)
    SELECT 'user' || i || '@example.com', 'User ' || i, repeat('x', 300) FROM generate_series(1, {rows}) i;
INSERT INTO shop_purchase (customer_id, status, code, total, quantity, note, placed, slug, filler)
    SELECT i, 'new', 'C' || i, i, i % 7, 'note ' || i, timestamptz '2025-01-01 00:00+00' + i * interval '1 minute',
        's' || i, repeat('x', 300) FROM generate_series(1, {rows}) i;
GRANT SELECT, INSERT, UPDATE, DELETE ON shop_customer, shop_purchase TO shop_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO shop_app;
