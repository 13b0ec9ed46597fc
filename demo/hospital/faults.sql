-- The faults of the second night. `name: kind` runs on every engine, `name: kind.engine` only on that engine.

-- name: duplicate_key
-- A load that ran twice for one row in twenty; no constraint prevents it.
INSERT INTO prescriptions SELECT * FROM prescriptions WHERE prescription_id % 20 = 3;

-- name: empty_column
-- The grouper's file did not arrive, and the column was overwritten with nothing.
UPDATE stays SET drg = NULL;

-- name: vanished_table
DROP TABLE allergies;

-- name: changed_type.postgres
-- A vendor's update writes severities as S1 to S4 instead of 1 to 4.
ALTER TABLE stays ALTER COLUMN severity TYPE varchar(4) USING 'S' || severity;

-- name: changed_type.mariadb
ALTER TABLE stays MODIFY severity varchar(4) NOT NULL;
UPDATE stays SET severity = concat('S', severity);

-- name: changed_type.sqlite
ALTER TABLE stays RENAME COLUMN severity TO old_severity;
ALTER TABLE stays ADD COLUMN severity varchar(4) NOT NULL DEFAULT '';
UPDATE stays SET severity = 'S' || old_severity;
ALTER TABLE stays DROP COLUMN old_severity;

-- name: null_jump
-- 3 % of the postcodes are unknown; after a faulty import, two in five.
UPDATE patients SET postcode = NULL WHERE patient_id % 5 < 2;

-- name: date_in_future
-- One ward's software writes "for ever" as this date.
UPDATE prescriptions SET ends_on = '2999-12-31' WHERE prescription_id % 25 = 4;

-- name: date_in_past
-- Two-digit years, completed with the wrong century.
UPDATE patients SET birth_date = '1799-07-14' WHERE patient_id % 50 = 7;
