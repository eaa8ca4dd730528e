//! `relcast sql`: statements against the tables of a database.

use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;
use relcast_catalog::Catalog;
use relcast_query::ast::Purpose;
use relcast_query::{LabelPlan, bind, parse};

use super::open;
use crate::arguments::{Common, Format, Sql};
use crate::failure::Failure;
use crate::output::{print, print_json, rows_as_json};

/// Runs the statements one after the other and prints the result of each; stops at an error.
pub async fn run(common: &Common, arguments: &Sql) -> Result<(), Failure> {
    let text = statements_text(arguments)?;
    let (database, catalog) = open(common, &arguments.source).await?;
    for statement in statements(&text) {
        if is_predictive(&statement) {
            explain_labels(common.format, &database.context, &catalog, &statement).await?;
        } else {
            run_plain(common.format, &database.context, &statement).await?;
        }
    }
    Ok(())
}

fn statements_text(arguments: &Sql) -> Result<String, Failure> {
    match (&arguments.command, &arguments.file) {
        (None, Some(file)) => std::fs::read_to_string(file)
            .map_err(|error| Failure::new(format!("cannot read {}: {error}", file.display()))),
        (command, _) => Ok(command.clone().unwrap_or_default()),
    }
}

async fn explain_labels(
    format: Format,
    context: &SessionContext,
    catalog: &Catalog,
    statement: &str,
) -> Result<(), Failure> {
    let failed = |error| Failure::of_query(&error, statement);
    let query = parse(statement).map_err(failed)?;
    if query.purpose != Purpose::ExplainLabels {
        return Err(Failure::new(
            "`relcast sql` answers EXPLAIN LABELS PREDICT …, not PREDICT itself",
        )
        .with_hint("put EXPLAIN LABELS before it to see what would be learnt"));
    }
    let bound = bind(&query, &catalog.schema).map_err(failed)?;
    let plan = LabelPlan::from_query(&bound, &catalog.schema)?;
    let explanation = plan.explain_labels(context, &catalog.schema).await?;
    match format {
        Format::Json => print_json(&explanation),
        _ => print(&explanation.to_text()),
    }
}

async fn run_plain(
    format: Format,
    context: &SessionContext,
    statement: &str,
) -> Result<(), Failure> {
    let batches = context.sql(statement).await?.collect().await?;
    let failed = |error| Failure::new(format!("cannot print the result: {error}"));
    match format {
        Format::Json => print_json(&rows_as_json(&batches).map_err(failed)?),
        _ if batches.is_empty() => Ok(()),
        _ => print(&pretty_format_batches(&batches).map_err(failed)?.to_string()),
    }
}

/// Whether the statement is one of relcast's own, not of DataFusion.
fn is_predictive(statement: &str) -> bool {
    let lines = statement.lines().filter(|line| !is_comment(line));
    let mut words = lines.flat_map(str::split_whitespace).map(str::to_ascii_uppercase);
    match (words.next().as_deref(), words.next().as_deref()) {
        (Some("PREDICT"), _) => true,
        (Some("EXPLAIN"), Some(second)) => matches!(second, "LABELS" | "PREDICT"),
        _ => false,
    }
}

/// The statements between semicolons; each keeps its place: what stands before it is blank.
fn statements(text: &str) -> Vec<String> {
    let (mut statements, mut start, mut blank) = (Vec::new(), 0, String::new());
    for end in ends(text) {
        let statement = text.get(start..end).unwrap_or_default();
        if has_content(statement) {
            statements.push(format!("{blank}{statement}"));
        }
        let passed = text.get(start..=end).unwrap_or(statement);
        blank.extend(passed.chars().map(|c| if c == '\n' { c } else { ' ' }));
        start = end + 1;
    }
    statements
}

/// Where statements end: at semicolons outside of quotes and comments, and at the text's end.
fn ends(text: &str) -> Vec<usize> {
    let (mut ends, mut within) = (Vec::new(), Within::Statement);
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        within = match (within, c, next) {
            (Within::Statement, ';', _) => {
                ends.push(at);
                Within::Statement
            }
            (Within::Statement, '\'' | '"' | '`', _) => Within::Quotes(c),
            (Within::Statement, '-', Some('-')) => Within::Line,
            (Within::Statement, '/', Some('*')) => {
                characters.next();
                Within::Comment
            }
            (Within::Quotes(quote), _, _) if c == quote => Within::Statement,
            (Within::Line, '\n', _) => Within::Statement,
            (Within::Comment, '*', Some('/')) => {
                characters.next();
                Within::Statement
            }
            (within, _, _) => within,
        };
    }
    ends.push(text.len());
    ends
}

#[derive(Clone, Copy)]
enum Within {
    Statement,
    Quotes(char),
    Line,
    Comment,
}

/// Whether there is more than blanks and line comments.
fn has_content(statement: &str) -> bool {
    statement.lines().any(|line| !line.trim().is_empty() && !is_comment(line))
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_quotes_and_comments_end_nothing() {
        let text = "SELECT ';' -- a;b\n, \"x;\" /* ; */; SELECT 2;\n-- end;\n";
        let found: Vec<String> = statements(text).iter().map(|s| s.trim().to_owned()).collect();
        assert_eq!(found, ["SELECT ';' -- a;b\n, \"x;\" /* ; */", "SELECT 2"]);
    }

    #[test]
    fn a_statement_keeps_its_place() {
        let blank = " ".repeat("SELECT 1;".len());
        let expected =
            ["SELECT 1".to_owned(), format!("{blank}\nß"), format!("{blank}\n   PREDICT x")];
        assert_eq!(statements("SELECT 1;\nß; PREDICT x"), expected);
    }

    #[test]
    fn relcasts_own_statements_are_told_from_sql() {
        for own in [
            "predict COUNT(a.*, 0, 1)",
            "EXPLAIN labels PREDICT",
            "\n EXPLAIN PREDICT x",
            "-- who\nPREDICT x",
        ] {
            assert!(is_predictive(own), "{own}");
        }
        for plain in ["SELECT predict FROM t", "EXPLAIN SELECT 1", "EXPLAIN", ""] {
            assert!(!is_predictive(plain), "{plain}");
        }
    }
}
