-- One schema for three engines; MariaDB has no `with time zone` and stores UTC. Most tables declare their keys;
-- allergies and prescriptions come "from another system", which declares none.

-- name: version
-- The database's own version, which HDM calls dbversion.
CREATE TABLE version (
    version varchar(20) NOT NULL
);

-- name: wards
CREATE TABLE wards (
    ward_id integer NOT NULL PRIMARY KEY,
    code varchar(8) NOT NULL UNIQUE,
    name varchar(80) NOT NULL,
    beds smallint NOT NULL,
    intensive_care boolean NOT NULL,
    opened_on date NOT NULL
);

-- name: patients
CREATE TABLE patients (
    patient_id integer NOT NULL PRIMARY KEY,
    hospital_number char(10) NOT NULL UNIQUE,
    last_name varchar(60) NOT NULL,
    first_name varchar(60) NOT NULL,
    sex char(1) NOT NULL,
    birth_date date NOT NULL,
    death_date date,
    postcode char(5),
    city varchar(60),
    blood_group varchar(3),
    height_m double precision,
    organ_donor boolean,
    registered_at timestamp with time zone NOT NULL
);

-- name: stays
CREATE TABLE stays (
    stay_id integer NOT NULL PRIMARY KEY,
    patient_id integer NOT NULL,
    ward_id integer NOT NULL,
    admitted_at timestamp with time zone NOT NULL,
    discharged_at timestamp with time zone NULL,
    admission_mode varchar(12) NOT NULL,
    emergency boolean NOT NULL,
    diagnosis varchar(8) NOT NULL,
    drg varchar(6),
    severity smallint NOT NULL,
    cost numeric(10, 2) NOT NULL,
    FOREIGN KEY (patient_id) REFERENCES patients (patient_id),
    FOREIGN KEY (ward_id) REFERENCES wards (ward_id)
);

-- name: lab_results
CREATE TABLE lab_results (
    result_id bigint NOT NULL PRIMARY KEY,
    stay_id integer NOT NULL,
    loinc varchar(8) NOT NULL,
    label varchar(40) NOT NULL,
    result double precision,
    unit varchar(10),
    upper_limit numeric(8, 2),
    abnormal boolean,
    comment text,
    taken_at timestamp with time zone NOT NULL,
    FOREIGN KEY (stay_id) REFERENCES stays (stay_id)
);

-- name: prescriptions
CREATE TABLE prescriptions (
    prescription_id integer NOT NULL,
    stay_id integer NOT NULL,
    atc varchar(8) NOT NULL,
    drug varchar(40) NOT NULL,
    dose_mg numeric(9, 3) NOT NULL,
    route varchar(12) NOT NULL,
    starts_on date NOT NULL,
    ends_on date,
    as_needed boolean NOT NULL,
    instructions text
);

-- name: allergies
CREATE TABLE allergies (
    patient_id integer NOT NULL,
    substance varchar(40) NOT NULL,
    confirmed boolean NOT NULL,
    noted_on date NOT NULL
);
