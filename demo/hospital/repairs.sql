-- How two faults are put right in SQLite. `backup` is the database as it was before the second night, attached.

-- name: null_jump
UPDATE patients SET postcode = (
    SELECT postcode FROM backup.patients AS former WHERE former.patient_id = patients.patient_id
) WHERE postcode IS NULL;

-- name: empty_column
UPDATE stays SET drg = (SELECT drg FROM backup.stays AS former WHERE former.stay_id = stays.stay_id);
