//! Tables and columns as the catalog of the database tells them.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Error, Postgres, Row};

use crate::remote::{CellType, Compares, RemoteColumn, Shape, quoted};

/// Tables, views, materialised views, foreign and partitioned tables that may be read. A partition
/// is read as part of its table.
macro_rules! readable {
    () => {
        "c.relkind IN ('r', 'v', 'm', 'f', 'p') AND NOT c.relispartition \
         AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT')"
    };
}

const TABLES: &str = concat!(
    "SELECT c.relname::text FROM pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = $1 AND ",
    readable!(),
    " ORDER BY c.relname COLLATE \"C\""
);

const SCHEMAS: &str = "SELECT nspname::text FROM pg_catalog.pg_namespace \
     WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema' ORDER BY 1";

/// A domain is told as what it is made of. NOT NULL is relied on where the server sees to it: not
/// of a foreign table, nor of rows that were there before (`NOT VALID`).
const COLUMNS: &str = concat!(
    "SELECT c.relname::text AS of_table, a.attname::text AS name, \
       CASE WHEN b.typnamespace = 'pg_catalog'::regnamespace THEN b.typname::text ELSE '' END AS type, \
       CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE a.atttypmod END AS modifier, \
       a.attnotnull AND c.relkind IN ('r', 'p') AND NOT EXISTS ( \
         SELECT 1 FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'n' \
         AND a.attnum = ANY (k.conkey) AND NOT k.convalidated) AS not_null, \
       coalesce(l.collisdeterministic, true) \
         AND pg_catalog.current_setting('server_encoding') = 'UTF8' AS bytewise \
     FROM pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
     JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
     JOIN pg_catalog.pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END \
     LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation \
     WHERE n.nspname = $1 AND pg_catalog.lower(c.relname::text) = pg_catalog.lower($2) \
       AND pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT') AND ",
    readable!(),
    " ORDER BY c.relname COLLATE \"C\", a.attnum"
);

// None of these statements stays prepared: a pooler between us and the server may not keep it.

/// The names of the tables of `schema`, sorted.
pub(super) async fn table_names(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<Vec<String>, Error> {
    let query = sqlx::query::<Postgres>(TABLES).bind(schema).persistent(false);
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// The schemas that people made, sorted.
pub(super) async fn schemas(connection: &mut PgConnection) -> Result<Vec<String>, Error> {
    let query = sqlx::query::<Postgres>(SCHEMAS).persistent(false);
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// The table of `schema` that `name` means: exactly, or alone in another case.
pub(super) async fn shape(
    connection: &mut PgConnection,
    schema: &str,
    name: &str,
) -> Result<Option<Shape>, Error> {
    let query = sqlx::query::<Postgres>(COLUMNS).bind(schema).bind(name).persistent(false);
    let rows = query.fetch_all(connection).await?;
    let mut tables: Vec<Shape> = Vec::new();
    for row in &rows {
        let table: String = row.try_get("of_table")?;
        if tables.last().is_none_or(|last| last.name != table) {
            let sql = format!("{}.{}", quoted(schema), quoted(&table));
            tables.push(Shape { name: table, sql, columns: Vec::new() });
        }
        if let Some(table) = tables.last_mut() {
            table.columns.push(column(row)?);
        }
    }
    if let Some(exact) = tables.iter().position(|table| table.name == name) {
        return Ok(Some(tables.swap_remove(exact)));
    }
    Ok(tables.pop().filter(|_| tables.is_empty()))
}

fn column(row: &PgRow) -> Result<RemoteColumn, Error> {
    let name: String = row.try_get("name")?;
    let data_type: String = row.try_get("type")?;
    let not_null: bool = row.try_get("not_null")?;
    let (cells, cast, compares) = meaning(&data_type, row.try_get("modifier")?);
    let bytewise: bool = row.try_get("bytewise")?;
    let compares = match compares {
        Compares::Equality if !bytewise => Compares::Nothing,
        compares => compares,
    };
    let sql = format!("{}{cast}", quoted(&name));
    Ok(RemoteColumn { name, cells, nullable: !not_null, sql, compares })
}

/// What a type of Postgres is here, what it is cast to on the way, and what can be compared there.
fn meaning(data_type: &str, modifier: i32) -> (CellType, &'static str, Compares) {
    use CellType::{
        Boolean, Bytes, Float32, Float64, Floats, Int16, Int32, Int64, Ints, Text, Texts, Time,
    };
    use Compares::{Equality, Nothing, Order};
    match data_type {
        "bool" => (Boolean, "::bool", Order),
        "int2" => (Int16, "::int2", Order),
        "int4" => (Int32, "::int4", Order),
        "int8" => (Int64, "::int8", Order),
        "oid" => (Int64, "::int8", Nothing),
        "float4" => (Float32, "::float4", Nothing),
        "float8" => (Float64, "::float8", Nothing),
        "numeric" => match precision_and_scale(modifier) {
            Some((precision, scale)) => (CellType::Decimal(precision, scale), "::text", Nothing),
            None => (Float64, "::float8", Nothing),
        },
        "date" | "timestamp" => (Time, "::timestamp", Order),
        "timestamptz" => (Time, "::timestamptz", Order),
        "text" | "varchar" => (Text, "::text", Equality),
        "bytea" => (Bytes, "::bytea", Nothing),
        "_int2" | "_int4" | "_int8" => (Ints, "::int8[]", Nothing),
        "_float4" | "_float8" => (Floats, "::float8[]", Nothing),
        "_text" | "_varchar" | "_bpchar" | "_name" | "_uuid" => (Texts, "::text[]", Nothing),
        // char(n), uuid, json, enums and all else as the server writes it.
        _ => (Text, "::text", Nothing),
    }
}

/// What a modifier of `numeric` says, if a decimal of 38 digits can hold it.
fn precision_and_scale(modifier: i32) -> Option<(u8, i8)> {
    let bits = modifier.checked_sub(4).filter(|bits| *bits >= 0)?;
    let precision = u8::try_from((bits >> 16) & 0xffff).ok().filter(|p| (1..=38).contains(p))?;
    // Eleven bits with a sign; before Postgres 15 there were no negative ones.
    let scale = i8::try_from(((bits & 0x7ff) ^ 0x400) - 0x400).ok()?;
    (scale >= 0 && scale.unsigned_abs() <= precision).then_some((precision, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modifier_of_numeric_is_precision_and_scale() {
        let modifier = |precision: i32, scale: i32| ((precision << 16) | (scale & 0x7ff)) + 4;
        assert_eq!(precision_and_scale(modifier(10, 2)), Some((10, 2)));
        assert_eq!(precision_and_scale(modifier(38, 38)), Some((38, 38)));
        assert_eq!(precision_and_scale(modifier(5, 0)), Some((5, 0)));
        // None, or none that a decimal can have.
        assert_eq!(precision_and_scale(-1), None);
        for (precision, scale) in [(39, 2), (1000, 2), (3, 5), (3, -2)] {
            assert_eq!(precision_and_scale(modifier(precision, scale)), None);
        }
    }
}
