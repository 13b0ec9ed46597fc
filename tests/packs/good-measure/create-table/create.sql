CREATE TABLE IF NOT EXISTS metric_good_measure (n integer);
