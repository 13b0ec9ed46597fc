-- name: find
-- Code that a statement of the base's owner could run, or that runs with the owner's rights. It is `trusted` if it
-- belongs to the owner of the tables or of the database, to a superuser, or to a role that can become one of these.
-- `tied_table` is a table outside the base that the code ties to a table of the base. Run this query only while the
-- search path is pg_catalog.
WITH tables AS (
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %(schema)s AND c.relname = ANY(%(tables)s)
), schemas AS (
    SELECT oid FROM pg_namespace WHERE nspname = ANY(%(schemas)s)
), owners AS (
    SELECT datdba AS oid FROM pg_database WHERE datname = current_database()
    UNION SELECT relowner FROM pg_class JOIN tables USING (oid)
), found AS (
    SELECT 'function ' || p.oid::regprocedure AS what, p.proowner AS owner, NULL::oid AS tied_table,
        'DROP ROUTINE ' || p.oid::regprocedure AS remedy, false AS suspicious
    FROM pg_proc p WHERE p.pronamespace IN (SELECT oid FROM schemas)
    UNION ALL
    SELECT 'operator ' || o.oid::regoperator, o.oprowner, NULL, 'DROP OPERATOR ' || o.oid::regoperator, false
    FROM pg_operator o WHERE o.oprnamespace IN (SELECT oid FROM schemas)
    UNION ALL
    SELECT 'type ' || t.oid::regtype, t.typowner, NULL, 'DROP TYPE ' || t.oid::regtype, false
    FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE t.typnamespace IN (SELECT oid FROM schemas) AND t.typcategory <> 'A' AND coalesce(c.relkind, 'c') = 'c'
    UNION ALL
    SELECT format('cast (%%s AS %%s)', c.castsource::regtype, c.casttarget::regtype), p.proowner, NULL,
        format('DROP CAST (%%s AS %%s)', c.castsource::regtype, c.casttarget::regtype), false
    FROM pg_cast c JOIN pg_proc p ON p.oid = c.castfunc
    UNION ALL  -- a trigger runs with the rights of the role that writes to the table
    SELECT format('trigger %%I on %%s', t.tgname, t.tgrelid::regclass), p.proowner, NULL,
        format('DROP TRIGGER %%I ON %%s', t.tgname, t.tgrelid::regclass),
        NOT EXISTS (  -- ours, known by name, owner, body and search path
            SELECT FROM unnest(%(own_functions)s::text[], %(own_bodies)s::text[]) AS own (name, body)
            WHERE own.name = p.proname AND own.body = p.prosrc AND p.proowner = c.relowner AND NOT p.prosecdef
                AND p.pronamespace = c.relnamespace
                AND p.proconfig = ARRAY[format('search_path=%%I, pg_temp', %(schema)s::text)]
        )
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_class c ON c.oid = t.tgrelid
    WHERE t.tgrelid IN (SELECT oid FROM tables) AND NOT t.tgisinternal
    UNION ALL
    SELECT format('rule %%I on %%s', r.rulename, r.ev_class::regclass), c.relowner, NULL,
        format('DROP RULE %%I ON %%s', r.rulename, r.ev_class::regclass), true
    FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
    WHERE r.ev_class IN (SELECT oid FROM tables) AND r.rulename <> '_RETURN'
    UNION ALL
    SELECT 'SECURITY DEFINER function ' || p.oid::regprocedure, p.proowner, NULL,
        'DROP ROUTINE ' || p.oid::regprocedure, true
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        )
        AND (
            EXISTS (SELECT FROM pg_trigger t WHERE t.tgfoid = p.oid)  -- a trigger fires without the right to execute it
            OR EXISTS (
                SELECT FROM pg_roles r
                WHERE pg_has_role(%(role)s, r.oid, 'MEMBER') AND has_function_privilege(r.oid, p.oid, 'EXECUTE')
            )
        )
    UNION ALL  -- ON DELETE CASCADE and the like fire triggers of one table for a role that writes to the other
    SELECT format('foreign key %%I from %%s to %%s', k.conname, k.conrelid::regclass, k.confrelid::regclass),
        c.relowner, c.oid, format('ALTER TABLE %%s DROP CONSTRAINT %%I', k.conrelid::regclass, k.conname), false
    FROM pg_constraint k
    JOIN pg_class c ON c.oid = CASE WHEN k.confrelid IN (SELECT oid FROM tables) THEN k.conrelid ELSE k.confrelid END
    WHERE k.contype = 'f' AND k.conparentid = 0
        AND (k.conrelid IN (SELECT oid FROM tables)) <> (k.confrelid IN (SELECT oid FROM tables))
    UNION ALL  -- rows of a child table are rows of its parent
    SELECT format('inheritance of %%s from %%s', i.inhrelid::regclass, i.inhparent::regclass), c.relowner, c.oid,
        format('ALTER TABLE %%s NO INHERIT %%s', i.inhrelid::regclass, i.inhparent::regclass), false
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = CASE WHEN i.inhparent IN (SELECT oid FROM tables) THEN i.inhrelid ELSE i.inhparent END
    WHERE (i.inhrelid IN (SELECT oid FROM tables)) <> (i.inhparent IN (SELECT oid FROM tables))
)
SELECT found.what, pg_get_userbyid(found.owner) AS owner, found.remedy, found.suspicious,
    n.nspname AS tied_schema, c.relname AS tied_table, EXISTS (
        SELECT FROM owners WHERE pg_has_role(found.owner, owners.oid, 'MEMBER')
    ) AS trusted
FROM found LEFT JOIN pg_class c ON c.oid = found.tied_table LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
ORDER BY 1;
