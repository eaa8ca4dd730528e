-- Tables of pg_catalog (pg) and information_schema (information) that know of keys, over those that
-- are there without (pg_base, information_base) and key_columns, which keys.rs makes. Only tables of
-- the schema public have keys. What is said of all keys alike: nothing enforces them or defers them.

CREATE VIEW relations AS
SELECT c.oid, c.relname, c.relnamespace
FROM pg_base.pg_class c JOIN pg_base.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public';

CREATE VIEW keys AS
SELECT oid, name, kind, table_name, index_oid, parent, parent_key,
    array_agg(attnum ORDER BY position) AS conkey,
    array_agg(parent_attnum ORDER BY position) FILTER (WHERE parent_attnum IS NOT NULL) AS confkey,
    CAST(count(*) AS SMALLINT) AS width
FROM key_columns
GROUP BY oid, name, kind, table_name, index_oid, parent, parent_key;

-- Whether a table has an index, and whether a link starts or ends at it.
CREATE VIEW keyed AS
SELECT table_name, bool_or(has_index) AS has_index, bool_or(has_link) AS has_link
FROM (
    SELECT table_name, kind = 'p' AS has_index, kind = 'f' AS has_link FROM key_columns
    UNION ALL
    SELECT parent, false, true FROM key_columns WHERE parent IS NOT NULL
) k
GROUP BY table_name;

CREATE VIEW classes AS
SELECT c.*, arrow_cast(NULL, 'List(Utf8)') AS relacl, arrow_cast(NULL, 'List(Utf8)') AS reloptions
FROM pg_base.pg_class c;

-- psql asks for foreign keys where there are triggers.
CREATE VIEW pg.pg_class AS
SELECT c.* REPLACE (
    CAST(10 AS INT) AS relowner,
    coalesce(k.has_index, false) AS relhasindex, coalesce(k.has_link, false) AS relhastriggers
)
FROM classes c
LEFT JOIN relations r ON r.oid = c.oid
LEFT JOIN keyed k ON k.table_name = r.relname
UNION ALL
SELECT c.* REPLACE (
    CAST(10 AS INT) AS relowner,
    k.index_oid AS oid, k.name AS relname, 'i' AS relkind, CAST(403 AS INT) AS relam, k.width AS relnatts
)
FROM classes c
JOIN relations r ON r.oid = c.oid
JOIN keys k ON k.table_name = r.relname AND k.kind = 'p';

CREATE VIEW pg.pg_index AS
SELECT k.index_oid AS indexrelid, r.oid AS indrelid, k.width AS indnatts, k.width AS indnkeyatts,
    true AS indisunique, false AS indnullsnotdistinct, true AS indisprimary, false AS indisexclusion,
    true AS indimmediate, false AS indisclustered, true AS indisvalid, false AS indcheckxmin,
    true AS indisready, true AS indislive, false AS indisreplident,
    array_to_string(k.conkey, ' ') AS indkey,
    array_to_string(array_repeat(0, k.width), ' ') AS indcollation,
    array_to_string(array_repeat(0, k.width), ' ') AS indclass,
    array_to_string(array_repeat(0, k.width), ' ') AS indoption,
    CAST(NULL AS VARCHAR) AS indexprs, CAST(NULL AS VARCHAR) AS indpred
FROM keys k JOIN relations r ON r.relname = k.table_name
WHERE k.kind = 'p';

CREATE VIEW pg.pg_constraint AS
SELECT k.oid, k.name AS conname, r.relnamespace AS connamespace, k.kind AS contype,
    false AS condeferrable, false AS condeferred, true AS convalidated,
    r.oid AS conrelid, CAST(0 AS INT) AS contypid, k.index_oid AS conindid, CAST(0 AS INT) AS conparentid,
    coalesce(p.oid, CAST(0 AS INT)) AS confrelid,
    CASE k.kind WHEN 'f' THEN 'a' ELSE ' ' END AS confupdtype,
    CASE k.kind WHEN 'f' THEN 'a' ELSE ' ' END AS confdeltype,
    CASE k.kind WHEN 'f' THEN 's' ELSE ' ' END AS confmatchtype,
    true AS conislocal, CAST(0 AS SMALLINT) AS coninhcount, true AS connoinherit,
    k.conkey, k.confkey,
    CAST(NULL AS VARCHAR) AS conpfeqop, CAST(NULL AS VARCHAR) AS conppeqop, CAST(NULL AS VARCHAR) AS conffeqop,
    CAST(NULL AS VARCHAR) AS confdelsetcols, CAST(NULL AS VARCHAR) AS conexclop, CAST(NULL AS VARCHAR) AS conbin
FROM keys k
JOIN relations r ON r.relname = k.table_name
LEFT JOIN relations p ON p.relname = k.parent;

CREATE VIEW pg.pg_namespace AS
SELECT n.* REPLACE (arrow_cast(NULL, 'List(Utf8)') AS nspacl)
FROM pg_base.pg_namespace n;

CREATE VIEW pg.pg_settings AS
SELECT s.*, s.setting AS boot_val FROM pg_base.pg_settings s
UNION ALL BY NAME
SELECT 'max_index_keys' AS name, '32' AS setting, '32' AS boot_val;

CREATE VIEW pg.pg_roles AS
SELECT * FROM pg_base.pg_roles
UNION ALL BY NAME
SELECT 'postgres' AS rolname, true AS rolsuper, true AS rolinherit, true AS rolcreaterole,
    true AS rolcreatedb, true AS rolcanlogin, false AS rolreplication, CAST(-1 AS INT) AS rolconnlimit,
    false AS rolbypassrls, CAST(10 AS INT) AS oid;

-- With the types and the numbers that Postgres tells.
CREATE VIEW information.columns AS
SELECT c.* REPLACE (
    CAST(a.attnum AS INT) AS ordinal_position, format_type(a.atttypid, a.atttypmod) AS data_type
), t.typname AS udt_name
FROM information_base.columns c
JOIN pg_base.pg_namespace n ON n.nspname = c.table_schema
JOIN pg_base.pg_class r ON r.relnamespace = n.oid AND r.relname = c.table_name
JOIN pg_base.pg_attribute a ON a.attrelid = r.oid AND a.attname = c.column_name
LEFT JOIN pg_base.pg_type t ON t.oid = a.atttypid;

CREATE VIEW information.table_constraints AS
SELECT current_database() AS constraint_catalog, 'public' AS constraint_schema, name AS constraint_name,
    current_database() AS table_catalog, 'public' AS table_schema, table_name,
    CASE kind WHEN 'p' THEN 'PRIMARY KEY' ELSE 'FOREIGN KEY' END AS constraint_type,
    'NO' AS is_deferrable, 'NO' AS initially_deferred, 'YES' AS enforced
FROM keys;

CREATE VIEW information.key_column_usage AS
SELECT current_database() AS constraint_catalog, 'public' AS constraint_schema, name AS constraint_name,
    current_database() AS table_catalog, 'public' AS table_schema, table_name, column_name,
    CAST(position AS INT) AS ordinal_position,
    CASE kind WHEN 'f' THEN CAST(position AS INT) END AS position_in_unique_constraint
FROM key_columns;

CREATE VIEW information.constraint_column_usage AS
SELECT current_database() AS table_catalog, 'public' AS table_schema,
    coalesce(parent, table_name) AS table_name, coalesce(parent_column, column_name) AS column_name,
    current_database() AS constraint_catalog, 'public' AS constraint_schema, name AS constraint_name
FROM key_columns;

CREATE VIEW information.referential_constraints AS
SELECT current_database() AS constraint_catalog, 'public' AS constraint_schema, name AS constraint_name,
    current_database() AS unique_constraint_catalog, 'public' AS unique_constraint_schema,
    parent_key AS unique_constraint_name,
    'NONE' AS match_option, 'NO ACTION' AS update_rule, 'NO ACTION' AS delete_rule
FROM keys
WHERE kind = 'f';
