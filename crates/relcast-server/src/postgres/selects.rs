//! SELECTs about the catalog that DataFusion cannot plan as they are written.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident,
    ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr, Statement, TableFactor, Value,
    Visit, VisitMut, Visitor, VisitorMut, visit_expressions_mut,
};
use datafusion_pg_catalog::sql::rules::SqlStatementRewriteRule;

use super::spellings::{column, filled, null, type_name};

/// Tables of the catalog that hold nothing here; what clients ask of them is more than is planned.
const EMPTY: [&str; 6] = [
    "pg_policy",
    "pg_publication",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_statistic_ext",
    "pg_trigger",
];
const AGGREGATES: [&str; 11] = [
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "count",
    "every",
    "first_value",
    "max",
    "min",
    "string_agg",
    "sum",
];
/// The name of the relation with the oid `$1`; no name inside may be one of a column around it.
const RELATION: &str = "(SELECT max(named.named_as) FROM \
                        (SELECT oid AS named_oid, relname AS named_as FROM pg_catalog.pg_class) \
                        AS named WHERE named.named_oid = $1)";

/// Rewrites them.
#[derive(Debug)]
pub(super) struct CatalogSelects;

impl SqlStatementRewriteRule for CatalogSelects {
    fn rewrite(&self, mut statement: Statement) -> Statement {
        let _ = VisitMut::visit(&mut statement, &mut Selects);
        statement
    }
}

struct Selects;

impl VisitorMut for Selects {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if is_empty(select) {
            tell_nothing(select);
        }
        for item in &mut select.projection {
            if let Some(expr) = expression(item) {
                forget_lone_values(expr);
            }
            name_relations(item);
        }
        if let Some(condition) = &mut select.selection {
            take_first_values(condition);
        }
        tell_apart(select);
        ControlFlow::Continue(())
    }
}

fn expression(item: &mut SelectItem) -> Option<&mut Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

/// Whether no row comes of it, by what it reads or since it unnests a subquery, as pgcli does to
/// complete JOINs, which DataFusion does not do.
fn is_empty(select: &Select) -> bool {
    let of_empty_table = select.from.first().is_some_and(|from| match &from.relation {
        TableFactor::Table { name, .. } => is_one(name, &EMPTY),
        _ => false,
    });
    let all_named = select
        .projection
        .iter()
        .all(|item| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }));
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let any = |asked: fn(&Function) -> bool| select.projection.iter().any(|i| calls(i, asked));
    all_named && (any(unnests_a_subquery) || (of_empty_table && !grouped && !any(aggregates)))
}

fn is_one(name: &ObjectName, names: &[&str]) -> bool {
    let last = name.0.last().and_then(ObjectNamePart::as_ident);
    last.is_some_and(|name| names.contains(&name.value.as_str()))
}

/// Leaves the names of the columns.
fn tell_nothing(select: &mut Select) {
    for (number, item) in select.projection.iter_mut().enumerate() {
        let alias = match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(alias.clone()),
            SelectItem::UnnamedExpr(expr) => column(expr).cloned(),
            _ => None,
        };
        let alias = alias.unwrap_or_else(|| Ident::new(format!("column{number}")));
        *item = SelectItem::ExprWithAlias { expr: null(), alias };
    }
    select.from.clear();
    select.selection = Some(Expr::Value(Value::Boolean(false).with_empty_span()));
}

/// NULL for subqueries that look one value up for each row, or take an array of each to pieces,
/// which DataFusion does not plan: they ask for defaults, collations and options, and there are none.
fn forget_lone_values(expr: &mut Expr) {
    let _ = visit_expressions_mut(expr, |part| {
        if let Expr::Subquery(query) = part
            && refers_outwards(query)
            && (!is_aggregated(query) || reads_a_function(query))
        {
            *part = null();
        }
        ControlFlow::<()>::Continue(())
    });
}

/// Tells a relation by its name where its oid is shown as one.
fn name_relations(item: &mut SelectItem) {
    let Some(expr) = expression(item) else { return };
    let Some(inner) = cast_to("regclass", cast_to("text", expr).unwrap_or(expr)) else { return };
    // The name of the column itself would be taken for the column where rows are ordered by it.
    let name = column(inner).map(|column| format!("{}_name", column.value));
    let name = Ident::new(name.unwrap_or_else(|| "regclass".to_owned()));
    if !matches!(inner, Expr::Value(_)) {
        *expr = filled(RELATION, &[inner]);
    }
    if let SelectItem::UnnamedExpr(expr) = item {
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: name };
    }
}

/// What is cast to the type.
fn cast_to<'a>(name: &str, expr: &'a Expr) -> Option<&'a Expr> {
    match expr {
        Expr::Cast { expr, data_type, .. } if type_name(data_type) == name => Some(expr),
        _ => None,
    }
}

/// `(SELECT x …)` as `(SELECT first_value(x) …)`: with one row at most they say the same, and
/// DataFusion plans the second for each row around it.
fn take_first_values(condition: &mut Expr) {
    let _ = visit_expressions_mut(condition, |part| {
        if let Expr::Subquery(query) = part
            && refers_outwards(query)
            && !is_aggregated(query)
            && query.limit_clause.is_none()
            && let SetExpr::Select(select) = query.body.as_mut()
            && let [item] = select.projection.as_mut_slice()
            && let Some(expr) = expression(item)
        {
            *expr = filled("first_value($1)", &[&*expr]);
        }
        ControlFlow::<()>::Continue(())
    });
}

fn is_aggregated(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else { return true };
    select.projection.iter().any(|item| calls(item, aggregates))
}

fn reads_a_function(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    select.from.iter().any(|from| {
        matches!(
            from.relation,
            TableFactor::Table { args: Some(_), .. }
                | TableFactor::Function { .. }
                | TableFactor::UNNEST { .. }
        )
    })
}

fn aggregates(function: &Function) -> bool {
    is_one(&function.name, &AGGREGATES)
}

fn unnests_a_subquery(function: &Function) -> bool {
    let is_subquery = |argument: &FunctionArg| {
        matches!(argument, FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Subquery(_))))
    };
    match &function.args {
        FunctionArguments::List(list) => {
            is_one(&function.name, &["unnest"]) && list.args.iter().any(is_subquery)
        }
        _ => false,
    }
}

/// Whether a function that is asked for is called, outside of subqueries.
fn calls(item: &SelectItem, asked: fn(&Function) -> bool) -> bool {
    Visit::visit(item, &mut Calls { asked, depth: 0 }).is_break()
}

struct Calls {
    asked: fn(&Function) -> bool,
    depth: usize,
}

impl Visitor for Calls {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) if self.depth == 0 && (self.asked)(function) => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Whether a table is named in it that it does not read.
fn refers_outwards(query: &Query) -> bool {
    let mut names = Names::default();
    let _ = Visit::visit(query, &mut names);
    names.meant.iter().any(|name| !names.read.contains(name))
}

/// The tables that are read, and those whose columns are meant.
#[derive(Default)]
struct Names {
    read: HashSet<String>,
    meant: HashSet<String>,
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let name = match factor {
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. } => Some(&alias.name),
            TableFactor::Table { name, .. } => name.0.last().and_then(ObjectNamePart::as_ident),
            _ => None,
        };
        self.read.extend(name.map(|name| name.value.clone()));
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(parts) = expr
            && let [.., table, _] = parts.as_slice()
        {
            self.meant.insert(table.value.clone());
        }
        ControlFlow::Continue(())
    }
}

/// Gives names to columns that are written alike: DataFusion wants each once.
fn tell_apart(select: &mut Select) {
    let mut seen = HashSet::new();
    for (number, item) in select.projection.iter_mut().enumerate() {
        if let SelectItem::UnnamedExpr(expr) = item
            && !seen.insert(expr.to_string())
        {
            let alias = Ident::new(format!("column{number}"));
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    /// `sql` as it is planned.
    fn planned(sql: &str) -> String {
        let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
        CatalogSelects.rewrite(statements.remove(0)).to_string()
    }

    #[test]
    fn what_reads_an_empty_table_keeps_its_columns() {
        assert_eq!(
            planned(
                "SELECT t.tgname, pg_get_triggerdef(t.oid, true), (SELECT max(a) FROM b) AS c \
                 FROM pg_catalog.pg_trigger t WHERE t.tgrelid = '1' ORDER BY 1"
            ),
            "SELECT NULL AS tgname, NULL AS column1, NULL AS c WHERE false ORDER BY 1"
        );
        let counted = "SELECT count(*) FROM pg_catalog.pg_trigger";
        assert_eq!(planned(counted), counted);
    }

    #[test]
    fn what_unnests_a_subquery_has_no_rows() {
        assert_eq!(
            planned("SELECT unnest((SELECT array_agg(a) FROM b)) AS c FROM d"),
            "SELECT NULL AS c WHERE false"
        );
    }

    #[test]
    fn values_looked_up_for_each_row_are_null_but_aggregates_are_not() {
        assert_eq!(
            planned("SELECT CASE WHEN a.b THEN (SELECT d.c FROM d WHERE d.a = a.a) END FROM a"),
            "SELECT CASE WHEN a.b THEN NULL END FROM a"
        );
        assert_eq!(
            planned("SELECT a.b || (SELECT array_agg(x) FROM pg_catalog.unnest(a.c) AS x) FROM a"),
            "SELECT a.b || NULL FROM a"
        );
        for same in [
            "SELECT (SELECT count(*) FROM d WHERE d.a = a.a) FROM a",
            "SELECT (SELECT d.c FROM d WHERE d.a = 1) FROM a",
        ] {
            assert_eq!(planned(same), same);
        }
    }

    #[test]
    fn a_condition_takes_the_first_value() {
        let condition = "SELECT t.a FROM t WHERE t.b = 0 OR";
        assert_eq!(
            planned(&format!("{condition} (SELECT c.k = 'c' FROM c WHERE c.o = t.r)")),
            format!("{condition} (SELECT first_value(c.k = 'c') FROM c WHERE c.o = t.r)")
        );
    }

    #[test]
    fn relations_are_shown_by_name() {
        let shown = planned("SELECT conrelid::pg_catalog.regclass FROM pg_constraint");
        assert!(shown.contains("named.named_oid = conrelid) AS conrelid_name FROM"), "{shown}");
        assert_eq!(
            planned("SELECT 'a'::regclass FROM pg_constraint"),
            "SELECT 'a'::REGCLASS AS regclass FROM pg_constraint"
        );
    }

    #[test]
    fn columns_written_alike_have_names_of_their_own() {
        assert_eq!(
            planned("SELECT NULL, NULL, a, NULL AS b FROM t"),
            "SELECT NULL, NULL AS column1, a, NULL AS b FROM t"
        );
    }
}
