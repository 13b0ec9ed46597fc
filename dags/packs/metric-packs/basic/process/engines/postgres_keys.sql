-- Every foreign key, validated or not: its columns in order, the operator with which PostgreSQL itself compares each
-- pair, and the parent's collation where the child's differs. The copies that partitions have, and keys with a period,
-- which compare ranges, are left out.
SELECT cn.nspname::text, c.relname::text, pn.nspname::text, p.relname::text,
       array_agg(a.attname::text ORDER BY k.place), array_agg(b.attname::text ORDER BY k.place),
       array_agg(format('OPERATOR(%I.%s)', opn.nspname, o.oprname) ORDER BY k.place),
       array_agg(CASE WHEN a.attcollation <> b.attcollation AND b.attcollation <> 0
                      THEN format(' COLLATE %I.%I', ln.nspname, l.collname) ELSE '' END ORDER BY k.place),
       array_agg(a.attcollation = b.attcollation AND (
           a.atttypid = b.atttypid OR (a.atttypid IN (20, 21, 23) AND b.atttypid IN (20, 21, 23))
       ) ORDER BY k.place)
FROM pg_catalog.pg_constraint r
JOIN pg_catalog.pg_class c ON c.oid = r.conrelid
JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
JOIN pg_catalog.pg_class p ON p.oid = r.confrelid
JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
CROSS JOIN LATERAL unnest(r.conkey, r.confkey, r.conpfeqop) WITH ORDINALITY AS k (child, parent, operator, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = r.conrelid AND a.attnum = k.child
JOIN pg_catalog.pg_attribute b ON b.attrelid = r.confrelid AND b.attnum = k.parent
JOIN pg_catalog.pg_operator o ON o.oid = k.operator
JOIN pg_catalog.pg_namespace opn ON opn.oid = o.oprnamespace
LEFT JOIN pg_catalog.pg_collation l ON l.oid = b.attcollation
LEFT JOIN pg_catalog.pg_namespace ln ON ln.oid = l.collnamespace
WHERE r.contype = 'f' AND r.conparentid = 0
  AND NOT coalesce((pg_catalog.to_jsonb(r) ->> 'conperiod')::boolean, false)
GROUP BY r.oid, cn.nspname, c.relname, pn.nspname, p.relname
ORDER BY cn.nspname, c.relname, r.conname
