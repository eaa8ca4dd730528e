-- relcast inside Postgres: predictions and models of a relcast server, as functions.
--
-- Runs as an extension (CREATE EXTENSION relcast CASCADE) and by hand (psql -1 -f relcast--0.1.sql),
-- for databases where no files can be put beside the server's. It only needs dblink.
-- Where the server is and who asks it stand in a foreign server called relcast and its user
-- mappings, never in a function: docs/postgres.md shows how to set them up.

DO $do$
BEGIN
    -- Both are there already when this runs as an extension.
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'dblink') THEN
        CREATE EXTENSION dblink;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'relcast') THEN
        CREATE SCHEMA relcast;
    END IF;
END
$do$;

-- A name as relcast reads it, whatever stands in it.
CREATE OR REPLACE FUNCTION relcast.quoted_name(name text) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT '"' || replace(name, '"', '""') || '"' $$;

-- A text as relcast reads it. quote_literal would write E'…' for a backslash, which is Postgres' own.
CREATE OR REPLACE FUNCTION relcast.quoted_text(value text) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT '''' || replace(value, '''', '''''') || '''' $$;

-- The item of a FROM that sends `statement` to the server and reads its rows as `columns`.
CREATE OR REPLACE FUNCTION relcast.sent(statement text, columns text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    place text;
BEGIN
    IF statement IS NULL OR columns IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'a query and the name of a model cannot be NULL';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_foreign_server WHERE srvname = 'relcast') THEN
        RAISE undefined_object USING
            MESSAGE = 'there is no server "relcast"',
            HINT = 'CREATE SERVER relcast FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host …, port …, dbname ''relcast'')';
    END IF;
    SELECT n.nspname INTO place
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    WHERE e.extname = 'dblink';
    IF place IS NULL THEN
        RAISE undefined_object USING
            MESSAGE = 'the extension dblink is gone', HINT = 'CREATE EXTENSION dblink';
    END IF;
    RETURN format('%I.dblink(%L, %L) AS answer(%s)', place, 'relcast', statement, columns);
END
$$;

-- A query as a relation with nothing after it, such as a semicolon or the end of a comment.
CREATE OR REPLACE FUNCTION relcast.relation(query text) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT 'SELECT * FROM (' || rtrim(query, E'; \t\r\n') || E'\n) AS p' $$;

-- The type here of a column there.
CREATE OR REPLACE FUNCTION relcast.type_of(data_type text) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN data_type = 'Boolean' THEN 'boolean'
        WHEN data_type IN ('Int8', 'Int16', 'UInt8') THEN 'smallint'
        WHEN data_type IN ('Int32', 'UInt16') THEN 'integer'
        WHEN data_type IN ('Int64', 'UInt32') THEN 'bigint'
        WHEN data_type = 'UInt64' OR data_type LIKE 'Decimal%' THEN 'numeric'
        WHEN data_type IN ('Float16', 'Float32') THEN 'real'
        WHEN data_type = 'Float64' THEN 'double precision'
        WHEN data_type LIKE 'Timestamp(%,%' THEN 'timestamp with time zone'
        WHEN data_type LIKE 'Timestamp(%' THEN 'timestamp without time zone'
        WHEN data_type LIKE 'Date%' THEN 'date'
        ELSE 'text'
    END
$$;

CREATE OR REPLACE FUNCTION relcast.columns(query text)
RETURNS TABLE (name text, type text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT column_name, relcast.type_of(data_type) FROM %s',
        relcast.sent('DESCRIBE ' || relcast.relation(query),
                     'column_name text, data_type text, is_nullable text'));
END
$$;
COMMENT ON FUNCTION relcast.columns(text) IS
    'The columns of a query, with the types to write after relcast.predict(…) AS t';

CREATE OR REPLACE FUNCTION relcast.predict(query text) RETURNS SETOF record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found text;
    told text;
    detail text;
BEGIN
    SELECT string_agg(format('%I %s', c.name, c.type), ', ') INTO found
    FROM relcast.columns(query) AS c;
    RETURN QUERY EXECUTE format('SELECT * FROM %s', relcast.sent(relcast.relation(query), found));
EXCEPTION WHEN datatype_mismatch THEN
    GET STACKED DIAGNOSTICS told = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    RAISE datatype_mismatch USING
        MESSAGE = told, DETAIL = detail, HINT = format('Write AS t(%s).', found);
END
$$;
COMMENT ON FUNCTION relcast.predict(text) IS
    'The rows of a predictive query, or of any query, that the relcast server answers';

CREATE OR REPLACE FUNCTION relcast.predict_json(model text, key text) RETURNS jsonb
LANGUAGE plpgsql STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    predictions text := 'PREDICT USING MODEL ' || relcast.quoted_name(model);
    names text[];
    found text;
    answer jsonb;
BEGIN
    SELECT array_agg(c.name), string_agg(format('%I %s', c.name, c.type), ', ') INTO names, found
    FROM relcast.columns(predictions) AS c;
    -- The columns of the key stand before the cutoff.
    IF names[2] IS DISTINCT FROM 'cutoff' THEN
        RAISE feature_not_supported USING
            MESSAGE = format('model "%s" predicts for a key of several columns', model),
            HINT = 'Use relcast.predict with a condition on each of them.';
    END IF;
    EXECUTE format(
        'SELECT to_jsonb(answer) FROM %s',
        relcast.sent(relcast.relation(predictions) || ' WHERE ' || relcast.quoted_name(names[1])
                     || ' = ' || relcast.quoted_text(key), found)) INTO answer;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION relcast.predict_json(text, text) IS
    'What a model predicts now for the entity with this key; NULL where it predicts nothing for it';

CREATE OR REPLACE FUNCTION relcast.predict_json(model text, key bigint) RETURNS jsonb
LANGUAGE sql STRICT
SET search_path = pg_catalog, pg_temp
AS $$ SELECT relcast.predict_json(model, key::text) $$;
COMMENT ON FUNCTION relcast.predict_json(text, bigint) IS
    'What a model predicts now for the entity with this key; NULL where it predicts nothing for it';

CREATE OR REPLACE FUNCTION relcast.train(name text, query text)
RETURNS TABLE (model text, version bigint, split text, history text, "by" text, metric text, value double precision)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT * FROM %s', relcast.sent(
        'CREATE OR REPLACE MODEL ' || relcast.quoted_name(name) || ' AS ' || query,
        'model text, version bigint, split text, history text, "by" text, metric text, value double precision'));
END
$$;
COMMENT ON FUNCTION relcast.train(text, text) IS
    'Trains a new version of a model from a predictive query, and gives its metrics';

CREATE OR REPLACE FUNCTION relcast.models()
RETURNS TABLE (model text, version bigint, is_default boolean, created_at timestamp, trained_from text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT * FROM %s', relcast.sent(
        'SELECT model, version, is_default, created_at, trained_from FROM relcast.models ORDER BY model, version',
        'model text, version bigint, is_default boolean, created_at timestamp, trained_from text'));
END
$$;
COMMENT ON FUNCTION relcast.models() IS 'The versions of all models of the relcast server';
