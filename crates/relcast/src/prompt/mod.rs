//! The prompt of `relcast sql`: history, several lines, completion, commands that start with `\`.

mod commands;
mod completion;
mod table;
mod unmarked;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use relcast_engine::{Answer, Session};
use relcast_query::statements;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor};

use crate::commands::train::Terminal;
use crate::failure::Failure;
use crate::output::{print, tell};
use commands::Command;
use completion::Words;
use table::Layout;
use unmarked::Unmarked;

/// Lines of history that are kept.
const HISTORY: usize = 1_000;

/// Asks for statements until there are no more; an error ends its statement alone.
pub async fn ask(session: &Session, home: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::new(format!("cannot read from the terminal: {error}"));
    let config = Config::builder()
        .max_history_size(HISTORY)
        .map_err(failed)?
        .history_ignore_space(true)
        .auto_add_history(false)
        .completion_type(CompletionType::List)
        .build();
    let mut editor: Editor<Words, DefaultHistory> = Editor::with_config(config).map_err(failed)?;
    let history = home.join("history.txt");
    // There is none yet at the first prompt.
    let _ = editor.load_history(&history);
    let version = env!("CARGO_PKG_VERSION");
    print(&format!("relcast {version}: statements end with ;  \\? helps, \\q leaves"))?;
    let mut shown = Shown::default();
    loop {
        editor.set_helper(Some(Words::of(session).await));
        let line = tokio::task::block_in_place(|| editor.readline("relcast> "));
        // The window may have another size by now.
        shown.layout.width = editor.dimensions().map_or(80, |(columns, _)| columns.into());
        if let Ok(line) = &line {
            // A history that cannot take a line is no reason to stop.
            let _ = editor.add_history_entry(relcast_connect::redacted(line));
            if let Err(error) = editor.append_history(&history) {
                tracing::debug!(%error, "the history cannot be saved");
            }
        }
        let ended = match line {
            Ok(line) => match commands::read(&line) {
                Some(Ok(Command::Quit)) => return Ok(()),
                Some(Ok(command)) => shown.obey(session, command).await,
                Some(Err(message)) => Err(Failure::new(message)),
                None => shown.run_all(session, &line).await,
            },
            Err(ReadlineError::Interrupted) => Ok(()),
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        if let Err(failure) = ended {
            tell(&failure);
        }
    }
}

/// Whether a person is at both ends.
pub fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// How a person wants to see answers.
#[derive(Default)]
struct Shown {
    timing: bool,
    layout: Layout,
}

impl Shown {
    async fn obey(&mut self, session: &Session, command: Command) -> Result<(), Failure> {
        let on = |on: bool| if on { "on" } else { "off" };
        match command {
            Command::Quit => Ok(()),
            Command::Help => print(commands::HELP),
            Command::Timing => {
                self.timing = !self.timing;
                print(&format!("Timing is {}.", on(self.timing)))
            }
            Command::Expanded => {
                self.layout.expanded = !self.layout.expanded;
                print(&format!("Whole rows, a column a line: {}.", on(self.layout.expanded)))
            }
            Command::File(path) => match std::fs::read_to_string(&path) {
                Ok(text) => self.run_all(session, &text).await,
                Err(error) => Err(Failure::new(format!("cannot read {path}: {error}"))),
            },
            Command::Statement(text) => self.run_all(session, &text).await,
        }
    }

    /// Runs the statements of `text`, and prints what each gives, up to the first that fails. Ctrl-C
    /// stops the statement, not the program.
    async fn run_all(&self, session: &Session, text: &str) -> Result<(), Failure> {
        let unread = |error| Failure::of_query(&error, text);
        for (number, statement) in (1..).zip(statements(text).map_err(unread)?) {
            let statement = statement.map_err(unread)?;
            let failed = |error| Failure::of_statement(error, text, number);
            let started = Instant::now();
            let terminal = Arc::new(Terminal::default());
            let session = session.telling(terminal.clone());
            let work = async {
                let Answer { tag, rows } = session.run(&statement).await.map_err(failed)?;
                let Some(rows) = rows else { return Ok((tag, None)) };
                let schema = rows.schema().inner().clone();
                let batches = rows.collect().await.map_err(|error| failed(error.into()))?;
                Ok::<_, Failure>((tag, Some((schema, batches))))
            };
            let unmarked = Unmarked::new();
            let ended = tokio::select! {
                ended = work => ended,
                _ = tokio::signal::ctrl_c() => Err(Failure::new("cancelled")),
            };
            terminal.end();
            drop(unmarked);
            match ended? {
                (tag, None) => print(&tag)?,
                (tag, Some((schema, batches))) => self.layout.print(&tag, &schema, &batches)?,
            }
            if self.timing {
                print(&format!("Time: {:.3} ms", started.elapsed().as_secs_f64() * 1e3))?;
            }
        }
        Ok(())
    }
}
