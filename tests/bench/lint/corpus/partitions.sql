-- Partitions: https://www.postgresql.org/docs/15/ddl-partitioning.html

CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')

-- rows of old code would go there
CREATE TABLE events_2026 (LIKE events);
ALTER TABLE events ATTACH PARTITION events_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')

-- a table with rows, which are all read
ALTER TABLE events ATTACH PARTITION events_2023 FOR VALUES FROM ('2023-01-01') TO ('2024-01-01')

-- a table with rows and a check with the same bounds
ALTER TABLE events ATTACH PARTITION events_2022 FOR VALUES FROM ('2022-01-01') TO ('2023-01-01')

-- earlier: ALTER TABLE events_2023 ADD CONSTRAINT in_2023 CHECK (at >= '2023-01-01' AND at < '2024-01-01')
-- a check that an earlier rollout made
ALTER TABLE events ATTACH PARTITION events_2023 FOR VALUES FROM ('2023-01-01') TO ('2024-01-01')

-- the check made in the same transaction reads every row
ALTER TABLE events_2023 ADD CONSTRAINT in_2023 CHECK (at >= '2023-01-01' AND at < '2024-01-01');
ALTER TABLE events ATTACH PARTITION events_2023 FOR VALUES FROM ('2023-01-01') TO ('2024-01-01')

-- bounds that overlap
CREATE TABLE events_more PARTITION OF events FOR VALUES FROM ('2025-06-01') TO ('2026-06-01')

-- the default partition is read
CREATE TABLE logs_east PARTITION OF logs FOR VALUES IN ('east2')

-- the default partition holds such rows
CREATE TABLE logs_east PARTITION OF logs FOR VALUES IN ('east')

-- the default partition is read for a new empty table too
CREATE TABLE logs_south (LIKE logs);
ALTER TABLE logs ATTACH PARTITION logs_south FOR VALUES IN ('south')

CREATE TABLE events_default PARTITION OF events DEFAULT

ALTER TABLE events DETACH PARTITION events_2024

-- outside
ALTER TABLE events DETACH PARTITION events_2024 CONCURRENTLY

ALTER TABLE events DETACH PARTITION events_2024 CONCURRENTLY

ALTER TABLE logs DETACH PARTITION logs_rest

DROP TABLE events_2024

TRUNCATE events_2025

ALTER TABLE events_2024 ADD COLUMN place text

ALTER TABLE events ALTER COLUMN kind SET DEFAULT 'k'

ALTER TABLE events ADD CONSTRAINT kind_known CHECK (kind IN ('k0', 'k1', 'k2', 'k3', 'k4', 'k')) NOT VALID

ALTER TABLE events ADD PRIMARY KEY (at)

ALTER TABLE events_2024 SET (fillfactor = 90)

ALTER TABLE ONLY events ALTER COLUMN kind SET STATISTICS 200

ALTER TABLE events_2024 RENAME TO events_old

-- a partitioned table of its own
CREATE TABLE visits (at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE visits_2025 PARTITION OF visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')

-- a partition of a new table, detached again
CREATE TABLE visits (at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE visits_2025 PARTITION OF visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
ALTER TABLE visits DETACH PARTITION visits_2025

CREATE TABLE logs_hash PARTITION OF logs FOR VALUES WITH (MODULUS 2, REMAINDER 0)
