-- Runs at the HDM base. Replaces the date's rows in one transaction.
CREATE TEMP TABLE counted ("table" text, rows bigint);
\copy counted FROM 'counts.csv' CSV
DELETE FROM metric_row_count WHERE endpoint = :'slug' AND "date" = :'date';
INSERT INTO metric_row_count SELECT :'slug', "table", :'date', rows FROM counted;
