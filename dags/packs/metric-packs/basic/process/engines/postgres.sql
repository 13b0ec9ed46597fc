-- Every table, view and foreign table with its columns: one row per column and constraint on it.
-- Partitions belong to their parent; tables of extensions are left out. Kinds of constraints are numbered so that the
-- greatest applies. Computing a size takes a lock, so tables that somebody has locked exclusively have no size here.
WITH RECURSIVE base AS (
    SELECT oid AS origin, typname, typtype, typbasetype, nullif(typtypmod, -1) AS typmod FROM pg_catalog.pg_type
    UNION ALL
    SELECT base.origin, t.typname, t.typtype, t.typbasetype, coalesce(base.typmod, nullif(t.typtypmod, -1))
    FROM base JOIN pg_catalog.pg_type t ON t.oid = base.typbasetype WHERE base.typtype = 'd'
), keys (relation, number, rank, is_foreign) AS (
    SELECT conrelid, conkey[1], CASE contype WHEN 'p' THEN 3 ELSE 2 END, false
    FROM pg_catalog.pg_constraint WHERE contype IN ('p', 'u') AND cardinality(conkey) = 1
    UNION ALL
    SELECT indrelid, indkey[0], 2, false FROM pg_catalog.pg_index
    WHERE indisunique AND indisvalid AND indnatts = 1 AND indpred IS NULL AND indkey[0] > 0
    UNION ALL
    SELECT confrelid, confkey[1], 1, false
    FROM pg_catalog.pg_constraint WHERE contype = 'f' AND cardinality(confkey) = 1
    UNION ALL
    SELECT conrelid, unnest(conkey), 0, true FROM pg_catalog.pg_constraint WHERE contype = 'f'
), keyed (relation) AS (
    SELECT i.indrelid FROM pg_catalog.pg_index i
    WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) AND NOT a.attnotnull
    )
), held (relation) AS (
    SELECT coalesce(toasted.oid, i.indrelid, l.relation)
    FROM pg_catalog.pg_locks l
    LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = l.relation
    LEFT JOIN pg_catalog.pg_class toasted ON toasted.reltoastrelid = coalesce(i.indrelid, l.relation)
    WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
      AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
), relations AS (
    SELECT c.oid, n.nspname, c.relname, c.relkind,
           pg_catalog.has_table_privilege(c.oid, 'SELECT') AS readable,
           CASE WHEN NOT %s THEN NULL
                WHEN c.relkind IN ('r', 'm') AND c.oid NOT IN (SELECT relation FROM held) THEN
                    pg_catalog.pg_total_relation_size(c.oid)
                WHEN c.relkind = 'p' AND NOT EXISTS (SELECT FROM held) THEN
                    (SELECT sum(pg_catalog.pg_total_relation_size(relid))::bigint
                     FROM pg_catalog.pg_partition_tree(c.oid)) END AS bytes
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
)
SELECT c.nspname, c.relname, c.relkind::text, c.bytes, c.oid IN (SELECT relation FROM keyed),
       coalesce(a.attnotnull, false), a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), b.typname, b.typtype = 'e',
       CASE WHEN b.typname = 'numeric' THEN coalesce(b.typmod, nullif(a.atttypmod, -1)) END,
       coalesce(k.rank, 0), coalesce(k.is_foreign, false),
       coalesce(d.description LIKE '%%hdm:identifying%%', false),
       c.readable OR pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')
FROM relations c
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN base b ON b.origin = a.atttypid AND b.typtype <> 'd'
LEFT JOIN keys k ON k.relation = c.oid AND k.number = a.attnum
LEFT JOIN pg_catalog.pg_description d
       ON d.classoid = 'pg_catalog.pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = a.attnum
ORDER BY c.nspname, c.relname, a.attnum
