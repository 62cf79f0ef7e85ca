-- What a report of the previous release reads, as a role of its own.
SELECT id, user_id, total FROM orders WHERE id = 111;
