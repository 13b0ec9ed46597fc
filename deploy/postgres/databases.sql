-- Runs once, while the server's volume is empty: creates two databases, each with an owner of its own.
-- The passwords come from environment variables, so they are not in any file or argument.
\getenv airflow_password AIRFLOW_DB_PASSWORD
\getenv hdm_password HDM_DB_PASSWORD

CREATE ROLE airflow LOGIN PASSWORD :'airflow_password';
CREATE ROLE hdm LOGIN PASSWORD :'hdm_password';

CREATE DATABASE airflow OWNER airflow;
CREATE DATABASE hdm OWNER hdm;

-- By default, every role may connect to every database.
REVOKE ALL ON DATABASE airflow, hdm, postgres, template1 FROM PUBLIC;
