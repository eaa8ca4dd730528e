//! The commands of the prompt that start with `\`.

/// What `\?` prints.
pub const HELP: &str = "\
\\d           tables          \\d NAME    columns of a table
\\dm          models          \\dm NAME   one model
\\dl          links           \\dg        the graph: every column and how it is read
\\i FILE      runs a file     \\timing    shows how long statements take, or no longer
\\x           shows rows whole, a column a line, or no longer
\\q           leaves          \\?         shows this
Statements end with ; and may run over several lines. Ctrl-C cancels, Tab completes.
";

/// A command of the prompt.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Quit,
    Help,
    Timing,
    /// Rows whole, a column a line.
    Expanded,
    /// Runs the statements of a file.
    File(String),
    /// Stands for a statement.
    Statement(String),
}

/// Reads a line that starts with `\`; none for any other.
pub fn read(line: &str) -> Option<Result<Command, String>> {
    let rest = line.trim().strip_prefix('\\')?;
    let (name, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let argument = argument.trim().trim_end_matches(';').trim();
    let statement = |text: String| Ok(Command::Statement(text));
    Some(match (name.trim_end_matches(';'), argument) {
        ("q", _) => Ok(Command::Quit),
        ("?" | "h" | "help", _) => Ok(Command::Help),
        ("timing", _) => Ok(Command::Timing),
        ("x", _) => Ok(Command::Expanded),
        ("i", "") => Err("\\i needs the name of a file".to_owned()),
        ("i", file) => Ok(Command::File(file.to_owned())),
        ("d" | "dt", "") => statement(
            "SELECT table_schema AS schema, table_name AS name, table_type AS type \
             FROM information_schema.tables WHERE table_schema <> 'information_schema' \
             ORDER BY table_schema <> 'public', 1, 2"
                .to_owned(),
        ),
        ("d" | "dt", _) => statement(format!("DESCRIBE {}", table(argument))),
        ("dm", "") => statement("SHOW MODELS".to_owned()),
        ("dm", _) => statement(format!("DESCRIBE MODEL {}", quoted(argument))),
        ("dl", _) => statement("SHOW LINKS".to_owned()),
        ("dg", _) => statement("DESCRIBE GRAPH".to_owned()),
        (other, _) => Err(format!("no command \\{other}; \\? shows them all")),
    })
}

/// A name as SQL quotes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.trim_matches('"').replace('"', "\"\""))
}

/// A table as SQL quotes it: `a.b` is table b of a, `"a.b"` is one name.
fn table(name: &str) -> String {
    let mut inside = false;
    let parts = name.split(|c: char| {
        inside ^= c == '"';
        c == '.' && !inside
    });
    parts.map(quoted).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_statements() {
        assert_eq!(read("SELECT 1;"), None);
        assert_eq!(read(" \\q"), Some(Ok(Command::Quit)));
        assert_eq!(read("\\timing;"), Some(Ok(Command::Timing)));
        let columns = Command::Statement("DESCRIBE \"my table\"".to_owned());
        assert_eq!(read("\\d \"my table\";"), Some(Ok(columns)));
        let columns = Command::Statement("DESCRIBE \"crm\".\"a.b\"".to_owned());
        assert_eq!(read("\\d crm.\"a.b\""), Some(Ok(columns)));
        let model = Command::Statement("DESCRIBE MODEL \"v1.2\"".to_owned());
        assert_eq!(read("\\dm v1.2 ;"), Some(Ok(model)));
        assert!(matches!(read("\\i"), Some(Err(_))));
        assert!(matches!(read("\\nonsense"), Some(Err(m)) if m.contains("\\nonsense")));
    }
}
