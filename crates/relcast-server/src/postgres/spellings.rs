//! Expressions that Postgres spells in a way of its own.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    Query, SelectItem, SetExpr, Statement, Subscript, TableFactor, Value, ValueWithSpan, VisitMut,
    VisitorMut, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion_pg_catalog::sql::rules::SqlStatementRewriteRule;

use crate::settings::Settings;

/// Columns that hold numbers in a text, `1 2`, which Postgres takes for arrays counted from 0.
const VECTORS: [&str; 4] = ["indkey", "indclass", "indcollation", "indoption"];
const VECTOR: &str = "arrow_cast(string_to_array($1, ' '), 'List(Int16)')";
/// Functions of arrays, which take such columns too.
const OF_ARRAYS: [&str; 7] = [
    "array_contains",
    "array_length",
    "array_lower",
    "array_position",
    "array_upper",
    "cardinality",
    "unnest",
];
const SUBSCRIPTS: &str = "unnest(generate_series(1, CAST(array_length($1) AS BIGINT)))";
const ELEMENTS: &str = "named_struct('x', unnest($1), 'n', \
                        unnest(generate_series(1, CAST(array_length($1) AS BIGINT))))";
/// The same pattern with a backslash for the character `$2`.
const BACKSLASHED: &str = r"replace(replace($1, '\', '\\'), $2, '\')";
/// A text that is not known, whatever `$1` is.
const UNKNOWN: &str = "nullif(CAST($1 AS VARCHAR), CAST($1 AS VARCHAR))";

/// Rewrites them; the settings are those of the connection.
#[derive(Debug)]
pub(super) struct Spellings(pub(super) Arc<Settings>);

impl SqlStatementRewriteRule for Spellings {
    fn rewrite(&self, mut statement: Statement) -> Statement {
        let _ = statement.visit(&mut Speller(&self.0));
        statement
    }
}

struct Speller<'a>(&'a Settings);

impl VisitorMut for Speller<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        // Before the calls inside are looked at: `x IN (the schemas of the search path)`.
        if let Expr::InSubquery { expr: of, subquery, negated } = expr
            && splits_the_search_path(subquery)
        {
            let path = self.0.get("search_path").unwrap_or_default();
            let list = path.split(',').map(|name| text(name.trim())).collect();
            *expr = Expr::InList { expr: of.clone(), list, negated: *negated };
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let other = match expr {
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
                if let Some(escape) = escape_char.take_if(|escape| !is_text(escape, "\\")) {
                    **pattern = filled(BACKSLASHED, &[&**pattern, &Expr::Value(escape)]);
                }
                None
            }
            Expr::Cast { expr: inner, data_type, .. } => {
                if matches!(data_type, DataType::Array(_)) {
                    **inner = as_array(inner);
                }
                // The catalog tells functions by their names.
                let name = literal(inner).filter(|_| type_name(data_type) == "regproc");
                name.map(|name| text(name.strip_prefix("pg_catalog.").unwrap_or(name)))
            }
            Expr::CompoundFieldAccess { root, access_chain } => accessed(root, access_chain),
            Expr::Function(function) => self.called(function),
            _ => None,
        };
        if let Some(other) = other {
            *expr = other;
        }
        ControlFlow::Continue(())
    }
}

impl Speller<'_> {
    /// What stands for a call, if something else does.
    fn called(&self, function: &mut Function) -> Option<Expr> {
        let name = function.name.0.last()?.as_ident()?.value.to_ascii_lowercase();
        if let FunctionArguments::Subquery(query) = &function.args {
            return if name == "array" { collected(query) } else { None };
        }
        let FunctionArguments::List(list) = &mut function.args else { return None };
        if OF_ARRAYS.contains(&name.as_str()) {
            for argument in list.args.iter_mut().filter_map(plain) {
                *argument = as_array(argument);
            }
            return None;
        }
        let argument = list.args.iter_mut().find_map(plain)?;
        match name.as_str() {
            "generate_subscripts" => Some(filled(SUBSCRIPTS, &[&as_array(argument)])),
            "_pg_expandarray" => Some(filled(ELEMENTS, &[&as_array(argument)])),
            "current_setting" => {
                let value = literal(argument).and_then(|name| self.0.get(&name.to_lowercase()));
                Some(value.map_or_else(|| filled(UNKNOWN, &[&*argument]), |v| text(&v)))
            }
            "pg_size_pretty" => Some(filled("CAST($1 AS VARCHAR) || ' bytes'", &[&*argument])),
            _ => None,
        }
    }
}

/// The expression `sql` with `values` in the place of `$1`, `$2`.
pub(super) fn filled(sql: &str, values: &[&Expr]) -> Expr {
    let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(sql);
    let parsed = parsed.and_then(|mut parser| parser.parse_expr());
    // All that is given here parses, so this is never it.
    let mut expr = parsed.unwrap_or_else(|_| null());
    let _ = visit_expressions_mut(&mut expr, |part| {
        if let Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) = part {
            let number = name.trim_start_matches('$').parse::<usize>().unwrap_or_default();
            if let Some(value) = number.checked_sub(1).and_then(|n| values.get(n)) {
                *part = (*value).clone();
            }
        }
        ControlFlow::<()>::Continue(())
    });
    expr
}

pub(super) fn null() -> Expr {
    Expr::Value(Value::Null.with_empty_span())
}

fn text(value: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(value.to_owned()).with_empty_span())
}

/// The text that is written there.
fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => Some(text),
        _ => None,
    }
}

fn is_text(value: &ValueWithSpan, wanted: &str) -> bool {
    matches!(&value.value, Value::SingleQuotedString(text) if text == wanted)
}

/// The name of a type in small letters, without its schema.
pub(super) fn type_name(data_type: &DataType) -> String {
    let name = data_type.to_string().to_ascii_lowercase();
    name.strip_prefix("pg_catalog.").map(str::to_owned).unwrap_or(name)
}

/// The last part of the name of a column.
pub(super) fn column(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    }
}

fn is_vector(expr: &Expr) -> bool {
    column(expr).is_some_and(|name| VECTORS.iter().any(|vector| name.value.ends_with(vector)))
}

fn as_array(expr: &Expr) -> Expr {
    if is_vector(expr) { filled(VECTOR, &[expr]) } else { expr.clone() }
}

fn plain(argument: &mut FunctionArg) -> Option<&mut Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

/// `ARRAY(SELECT x FROM …)` as `(SELECT array_agg(x) FROM …)`.
fn collected(query: &Query) -> Option<Expr> {
    let mut query = query.clone();
    query.order_by = None;
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] =
        select.projection.as_mut_slice()
    else {
        return None;
    };
    *expr = filled("array_agg($1)", &[&*expr]);
    Some(Expr::Subquery(Box::new(query)))
}

/// What stands for `(row).field`, and for an element of a vector.
fn accessed(root: &Expr, chain: &[AccessExpr]) -> Option<Expr> {
    let name = |access: &AccessExpr| match access {
        AccessExpr::Dot(Expr::Identifier(name)) => Some(name.clone()),
        _ => None,
    };
    let (last, before) = chain.split_last()?;
    match (root, last) {
        (Expr::Nested(row), AccessExpr::Dot(Expr::Identifier(field))) if before.is_empty() => {
            Some(filled("get_field($1, $2)", &[&**row, &text(&field.value)]))
        }
        (Expr::Identifier(first), AccessExpr::Subscript(Subscript::Index { index })) => {
            let mut parts = vec![first.clone()];
            parts.extend(before.iter().map(name).collect::<Option<Vec<_>>>()?);
            let of = if before.is_empty() { root.clone() } else { Expr::CompoundIdentifier(parts) };
            let element = || filled("array_element($1, ($2) + 1)", &[&as_array(&of), index]);
            is_vector(&of).then(element)
        }
        _ => None,
    }
}

/// Whether the subquery takes the search path to pieces.
fn splits_the_search_path(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    select.from.iter().any(|from| match &from.relation {
        TableFactor::Table { name, args: Some(args), .. } => {
            let first = args.args.first().map(ToString::to_string).unwrap_or_default();
            name.to_string() == "string_to_array" && first == "current_setting('search_path')"
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sql` as it is read.
    fn spelled(sql: &str) -> String {
        let mut expr = filled(sql, &[]);
        let _ = expr.visit(&mut Speller(&Settings::new(None)));
        expr.to_string()
    }

    #[test]
    fn another_character_may_escape_in_a_pattern() {
        assert_eq!(
            spelled("a NOT LIKE 'pg/_' || '%' ESCAPE '/'"),
            r"a NOT LIKE replace(replace('pg/_' || '%', '\', '\\'), '/', '\')"
        );
        assert_eq!(spelled(r"a LIKE 'b' ESCAPE '\'"), r"a LIKE 'b' ESCAPE '\'");
    }

    #[test]
    fn vectors_are_arrays_where_an_array_is_asked_for() {
        let vector = "arrow_cast(string_to_array(i.indkey, ' '), 'List(Int16)')";
        assert_eq!(spelled("unnest(i.indkey)"), format!("unnest({vector})"));
        assert_eq!(spelled("i.indkey[0]"), format!("array_element({vector}, (0) + 1)"));
        assert_eq!(spelled("i.indkey"), "i.indkey");
        assert_eq!(
            spelled("generate_subscripts(i.indkey, 1)"),
            format!("unnest(generate_series(1, CAST(array_length({vector}) AS BIGINT)))")
        );
        assert_eq!(spelled("c.conkey[1]"), "c.conkey[1]");
    }

    #[test]
    fn rows_of_a_function_have_fields() {
        assert_eq!(
            spelled("(information_schema._pg_expandarray(k)).n"),
            "get_field(named_struct('x', unnest(k), 'n', \
             unnest(generate_series(1, CAST(array_length(k) AS BIGINT)))), 'n')"
        );
        assert_eq!(spelled("(i.keys).x"), "get_field(i.keys, 'x')");
    }

    #[test]
    fn settings_and_functions_are_told_by_name() {
        assert_eq!(spelled("current_setting('Search_Path')"), "'public'");
        assert_eq!(
            spelled("current_setting('unheard.of', true)"),
            "nullif(CAST('unheard.of' AS VARCHAR), CAST('unheard.of' AS VARCHAR))"
        );
        assert_eq!(spelled("typinput = 'pg_catalog.array_in'::regproc"), "typinput = 'array_in'");
    }

    #[test]
    fn an_array_of_a_subquery_is_an_aggregate() {
        assert_eq!(
            spelled("ARRAY(SELECT r.rolname FROM r WHERE r.x = a.x ORDER BY 1)"),
            "(SELECT array_agg(r.rolname) FROM r WHERE r.x = a.x)"
        );
    }

    #[test]
    fn the_search_path_is_a_list_of_names() {
        let split = "s IN (SELECT trim(s[i]) FROM generate_series(1, 2) AS i, \
                     string_to_array(current_setting('search_path'), ',') AS s)";
        assert_eq!(spelled(split), "s IN ('public')");
    }
}
