//! Tables and columns as a SQLite file declares them.
//!
//! SQLite keeps any value in any column; a declared type says what is meant. One that says nothing
//! (an expression of a view, `ANY`, names that SQLite does not know) is what the values are.

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Error, Row, Sqlite};

use crate::remote::{CellType, Compares, RemoteColumn, Shape};

const TABLES: &str = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') \
     AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";

/// What SQLite says of an expression of a view is no type of its own where it says BLOB.
const COLUMNS: &str = "SELECT s.name AS of_table, c.name AS name, \
       CASE WHEN s.type = 'view' AND upper(c.type) = 'BLOB' THEN '' ELSE c.type END AS type, \
       c.\"notnull\" OR (s.type = 'table' AND c.pk = 1 AND lower(c.type) = 'integer' \
         AND (SELECT count(*) FROM pragma_table_xinfo(s.name) k WHERE k.pk > 0) = 1) AS not_null \
     FROM sqlite_schema s, pragma_table_xinfo(s.name) c \
     WHERE s.type IN ('table', 'view') AND lower(s.name) = lower(?) AND c.hidden <> 1 \
     ORDER BY c.cid";

/// The names of the tables and views, sorted.
pub(super) async fn table_names(connection: &mut SqliteConnection) -> Result<Vec<String>, Error> {
    let rows = sqlx::query::<Sqlite>(TABLES).fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// The table that `name` means, in any case: SQLite's names have none.
pub(super) async fn shape(
    connection: &mut SqliteConnection,
    name: &str,
) -> Result<Option<Shape>, Error> {
    let rows = sqlx::query::<Sqlite>(COLUMNS).bind(name).fetch_all(&mut *connection).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let table: String = first.try_get("of_table")?;
    let sql = identifier(&table);
    let mut columns = Vec::with_capacity(rows.len());
    let mut undeclared = Vec::new();
    for row in &rows {
        let (column, declared) = column(row)?;
        if !declared {
            undeclared.push(columns.len());
        }
        columns.push(column);
    }
    by_values(connection, &sql, &mut columns, &undeclared).await?;
    Ok(Some(Shape { name: table, sql, columns }))
}

/// A name in SQL. In double quotes SQLite would take that of a column which is gone for a text.
fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A column, and whether its declared type says what it is.
fn column(row: &SqliteRow) -> Result<(RemoteColumn, bool), Error> {
    let name: String = row.try_get("name")?;
    let declared: String = row.try_get("type")?;
    let not_null: bool = row.try_get("not_null")?;
    let cells = meaning(&declared);
    let compares = match cells {
        Some(CellType::Int64 | CellType::Boolean) => Compares::Order,
        // Texts have collations that the catalog does not tell, times are kept as texts.
        _ => Compares::Nothing,
    };
    let sql = identifier(&name);
    let column = RemoteColumn {
        name,
        cells: cells.unwrap_or(CellType::Text),
        nullable: !not_null,
        sql,
        compares,
    };
    Ok((column, cells.is_some()))
}

/// What a declared type means, by SQLite's rules and, before them, by the words for dates and booleans,
/// for which it has no rule.
fn meaning(declared: &str) -> Option<CellType> {
    let declared = declared.to_ascii_lowercase();
    let word = declared.split('(').next().unwrap_or_default().trim();
    match word {
        "bool" | "boolean" => return Some(CellType::Boolean),
        "date" | "datetime" | "timestamp" | "timestamptz" | "timestamp with time zone" => {
            return Some(CellType::Time);
        }
        "decimal" | "numeric" => return Some(CellType::Float64),
        "json" => return Some(CellType::Text),
        _ => {}
    }
    let has = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
    if has(&["int"]) {
        Some(CellType::Int64)
    } else if has(&["char", "clob", "text"]) {
        Some(CellType::Text)
    } else if has(&["blob"]) {
        Some(CellType::Bytes)
    } else if has(&["real", "floa", "doub"]) {
        Some(CellType::Float64)
    } else {
        None
    }
}

/// Makes of the columns of these numbers what their values are: whole numbers, numbers, blobs, else
/// texts. Looks at all of them.
async fn by_values(
    connection: &mut SqliteConnection,
    table: &str,
    columns: &mut [RemoteColumn],
    numbers: &[usize],
) -> Result<(), Error> {
    let kinds = ["integer", "real", "text", "blob"];
    for number in numbers {
        let Some(column) = columns.get_mut(*number) else { continue };
        let name = identifier(&column.name);
        let found = kinds.map(|kind| format!("coalesce(max(typeof({name}) = '{kind}'), 0)"));
        let sql = format!("SELECT {} FROM {table}", found.join(", "));
        let query = sqlx::query::<Sqlite>(AssertSqlSafe(sql));
        let row = query.fetch_one(&mut *connection).await?;
        let has = |index: usize| row.try_get::<bool, _>(index);
        column.cells = match (has(0)?, has(1)?, has(2)?, has(3)?) {
            (true, false, false, false) => CellType::Int64,
            (_, true, false, false) => CellType::Float64,
            (false, false, false, true) => CellType::Bytes,
            _ => CellType::Text,
        };
        if column.cells == CellType::Text {
            // Numbers among texts as SQLite writes them; blobs stay what they are.
            column.sql = format!(
                "CASE typeof({name}) WHEN 'blob' THEN {name} ELSE CAST({name} AS TEXT) END"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_type_means_what_it_does_to_sqlite() {
        for (declared, cells) in [
            ("INTEGER", CellType::Int64),
            ("unsigned big int", CellType::Int64),
            ("BOOLEAN", CellType::Boolean),
            ("VARCHAR(20)", CellType::Text),
            ("Timestamp", CellType::Time),
            ("datetime(6)", CellType::Time),
            ("DOUBLE PRECISION", CellType::Float64),
            ("DECIMAL(10, 2)", CellType::Float64),
            ("BLOB", CellType::Bytes),
            ("JSON", CellType::Text),
        ] {
            assert_eq!(meaning(declared), Some(cells), "{declared}");
        }
        for declared in ["", "ANY", "uuid", "MONEY"] {
            assert_eq!(meaning(declared), None, "{declared}");
        }
    }
}
