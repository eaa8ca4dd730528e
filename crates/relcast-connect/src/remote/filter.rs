//! Conditions that the remote database checks itself.
//!
//! Only those that are true of the same rows there as here: comparisons of a column with values of
//! its own type, and what AND, OR and NOT make of them. Order and patterns of texts depend on
//! collations, floats on what is made of NaN and -0, so they are checked here.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::{InList, Placeholder};
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use datafusion::sql::unparser::Unparser;
use datafusion::sql::unparser::dialect::Dialect;

use super::shape::{CellType, Compares, RemoteColumn};

/// Texts that one condition compares with at most.
const MOST_TEXTS: usize = 1000;
/// The moments that every database writes alike: the years 1 to 9999.
const YEARS: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// `filter` in the SQL of the database, if it is checked there. The texts in it become parameters,
/// numbered after those in `parameters` and added to them: as the unparser writes them, their quotes
/// are not safe.
pub(super) fn pushed(
    filter: &Expr,
    columns: &[RemoteColumn],
    dialect: &dyn Dialect,
    parameters: &mut Vec<String>,
) -> Option<String> {
    if !means_the_same(filter, columns) {
        return None;
    }
    let mut texts = Vec::new();
    let bound = filter.clone().transform_down(|expr| {
        Ok(match expr {
            Expr::Column(column) => {
                Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))
            }
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) => {
                texts.push(text);
                let id = format!("${}", parameters.len() + texts.len());
                Transformed::yes(Expr::Placeholder(Placeholder::new_with_field(id, None)))
            }
            other => Transformed::no(other),
        })
    });
    let sql = Unparser::new(dialect).expr_to_sql(&bound.ok()?.data).ok()?.to_string();
    if texts.len() > MOST_TEXTS {
        return None;
    }
    parameters.extend(texts);
    Some(sql)
}

fn means_the_same(expr: &Expr, columns: &[RemoteColumn]) -> bool {
    let of = |expr: &Expr| find(expr, columns);
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
            means_the_same(left, columns) && means_the_same(right, columns)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (of(left), of(right)) {
            (Some(column), None) => compares(column, *op, right),
            (None, Some(column)) => compares(column, *op, left),
            _ => false,
        },
        Expr::Not(inner) => means_the_same(inner, columns),
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => of(inner).is_some(),
        Expr::InList(InList { expr, list, .. }) => {
            !list.is_empty()
                && of(expr).is_some_and(|c| list.iter().all(|v| compares(c, Operator::Eq, v)))
        }
        Expr::Between(Between { expr, low, high, .. }) => of(expr).is_some_and(|column| {
            compares(column, Operator::GtEq, low) && compares(column, Operator::LtEq, high)
        }),
        // A condition by itself.
        Expr::Column(_) => {
            of(expr).is_some_and(|c| c.cells == CellType::Boolean && c.compares == Compares::Order)
        }
        _ => false,
    }
}

/// The column that the expression is, if its name is written safely.
fn find<'a>(expr: &Expr, columns: &'a [RemoteColumn]) -> Option<&'a RemoteColumn> {
    let Expr::Column(column) = expr else { return None };
    let found = columns.iter().find(|c| c.name == column.name)?;
    (!found.name.contains(['"', '`', '\\', '\0'])).then_some(found)
}

/// Whether the column compares so with a value of its own type.
fn compares(column: &RemoteColumn, op: Operator, value: &Expr) -> bool {
    let Expr::Literal(value, _) = value else { return false };
    let equality = matches!(op, Operator::Eq | Operator::NotEq);
    let order = matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq);
    let allowed = match column.compares {
        Compares::Nothing => false,
        Compares::Equality => equality,
        Compares::Order => equality || order,
    };
    let writable = match value {
        ScalarValue::Boolean(Some(_))
        | ScalarValue::Int16(Some(_))
        | ScalarValue::Int32(Some(_))
        | ScalarValue::Int64(Some(_)) => true,
        ScalarValue::TimestampMicrosecond(Some(time), None) => YEARS.contains(time),
        // Postgres holds no text with this sign.
        ScalarValue::Utf8(Some(text)) => !text.contains('\0'),
        _ => false,
    };
    allowed && writable && value.data_type() == column.cells.data_type()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::prelude::{col, lit};
    use datafusion::sql::unparser::dialect::{PostgreSqlDialect, SqliteDialect};

    use super::*;

    fn column(name: &str, cells: CellType, compares: Compares) -> RemoteColumn {
        RemoteColumn { name: name.to_owned(), cells, nullable: true, sql: String::new(), compares }
    }

    fn columns() -> Vec<RemoteColumn> {
        vec![
            column("id", CellType::Int64, Compares::Order),
            column("small", CellType::Int16, Compares::Order),
            column("paid", CellType::Boolean, Compares::Order),
            column("at", CellType::Time, Compares::Order),
            column("name", CellType::Text, Compares::Equality),
            column("label", CellType::Text, Compares::Nothing),
            column("share", CellType::Float64, Compares::Nothing),
            column("odd\"name", CellType::Int64, Compares::Order),
        ]
    }

    fn sql(filter: &Expr) -> Option<(String, Vec<String>)> {
        let mut texts = vec!["before".to_owned()];
        let sql = pushed(filter, &columns(), &PostgreSqlDialect {}, &mut texts)?;
        Some((sql, texts.split_off(1)))
    }

    fn time(micros: i64) -> Expr {
        lit(ScalarValue::TimestampMicrosecond(Some(micros), None))
    }

    #[test]
    fn what_means_the_same_is_written_and_texts_are_bound() {
        let filter = col("id").gt(lit(5i64)).and(col("name").eq(lit("it's")).or(col("paid")));
        let (text, texts) = sql(&filter).unwrap();
        assert_eq!(text, r#"(("id" > 5) AND (("name" = $2) OR "paid"))"#);
        assert_eq!(texts, ["it's"]);
        let filter = col("name").in_list(vec![lit("a"), lit(r"\' OR 1=1 --")], true);
        let (text, texts) = sql(&filter).unwrap();
        assert_eq!(text, r#""name" NOT IN ($2, $3)"#);
        assert_eq!(texts, ["a", r"\' OR 1=1 --"]);
        let filter = col("at").between(time(0), time(1_500_000));
        let (text, _) = sql(&filter).unwrap();
        assert!(text.contains("1970-01-01 00:00:01.5"), "{text}");
        for filter in [
            col("share").is_null(),
            col("label").is_not_null(),
            !col("paid"),
            lit(5i64).lt(col("id")),
            col("small").eq(lit(-5i16)),
        ] {
            assert!(sql(&filter).is_some(), "{filter}");
        }
        let filter = col("t.id").eq(lit(1i64));
        let (text, _) = sql(&filter).unwrap();
        assert_eq!(text, r#"("id" = 1)"#);
        let sqlite = pushed(&filter, &columns(), &SqliteDialect {}, &mut Vec::new()).unwrap();
        assert_eq!(sqlite, "(`id` = 1)");
    }

    #[test]
    fn what_may_mean_something_else_is_not_written() {
        for filter in [
            col("name").gt(lit("a")),
            col("name").like(lit("a%")),
            col("name").eq(lit("a\0")),
            col("label").eq(lit("a")),
            col("share").gt(lit(0.5)),
            col("small").eq(lit(5i64)),
            col("id").eq(col("small")),
            (col("id") + lit(1i64)).eq(lit(2i64)),
            col("odd\"name").eq(lit(1i64)),
            col("id").eq(lit(ScalarValue::Int64(None))),
            col("at").lt(time(i64::MAX)),
            col("id").eq(lit(1i64)).or(col("share").gt(lit(0.5))),
            col("unknown").is_null(),
        ] {
            assert!(sql(&filter).is_none(), "{filter}");
        }
    }
}
