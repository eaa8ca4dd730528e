//! The prompt of `relcast sql`: history, several lines, completion, commands that start with `\`.

mod commands;
mod completion;
mod table;

use std::io::IsTerminal;
use std::path::Path;
use std::time::Instant;

use relcast_engine::Session;
use relcast_query::statements;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Config, Editor};

use crate::failure::Failure;
use commands::Command;
use completion::Words;

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
        .build();
    let mut editor: Editor<Words, DefaultHistory> = Editor::with_config(config).map_err(failed)?;
    editor.set_helper(Some(Words::of(session)));
    let history = home.join("history.txt");
    // There is none yet at the first prompt.
    let _ = editor.load_history(&history);
    println!("relcast {}: statements end with ;  \\? helps, \\q leaves", env!("CARGO_PKG_VERSION"));
    let mut timing = false;
    loop {
        let line = tokio::task::block_in_place(|| editor.readline("relcast> "));
        if let Ok(line) = &line {
            // A history that cannot take a line is no reason to stop.
            let _ = editor.add_history_entry(relcast_connect::redacted(line));
        }
        match line {
            Ok(line) => match commands::read(&line) {
                Some(Ok(Command::Quit)) => break,
                Some(Ok(Command::Timing)) => {
                    timing = !timing;
                    println!("Timing is {}.", if timing { "on" } else { "off" });
                }
                Some(Ok(Command::Help)) => print!("{}", commands::HELP),
                Some(Ok(Command::File(path))) => match std::fs::read_to_string(&path) {
                    Ok(text) => run_all(session, &text, timing).await,
                    Err(error) => eprintln!("error: cannot read {path}: {error}"),
                },
                Some(Ok(Command::Statement(text))) => run_all(session, &text, timing).await,
                Some(Err(message)) => eprintln!("error: {message}"),
                None => run_all(session, &line, timing).await,
            },
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(failed(error)),
        }
        if let Err(error) = editor.save_history(&history) {
            tracing::debug!(%error, "the history cannot be saved");
        }
    }
    Ok(())
}

/// Whether a person is at both ends.
pub fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Runs the statements of `text`, and prints what each gives, up to the first that fails. Ctrl-C
/// stops the statement, not the program.
async fn run_all(session: &Session, text: &str, timing: bool) {
    let read = match statements(text) {
        Ok(read) => read,
        Err(error) => return eprintln!("{}", Failure::of_query(&error, text)),
    };
    for statement in read {
        let started = Instant::now();
        let work = async {
            let statement = statement.map_err(|error| Failure::of_query(&error, text))?;
            let failed = |error| Failure::of_statement(error, text);
            let answer = session.run(&statement).await.map_err(failed)?;
            let Some(rows) = answer.rows else {
                println!("{}", answer.tag);
                return Ok(());
            };
            let schema = rows.schema().inner().clone();
            let batches = rows.collect().await.map_err(|error| failed(error.into()))?;
            table::print(&schema, &batches)
        };
        let ended = tokio::select! {
            ended = work => ended,
            _ = tokio::signal::ctrl_c() => Err(Failure::new("cancelled")),
        };
        if let Err(failure) = ended {
            return eprintln!("{failure}");
        }
        if timing {
            println!("Time: {:.3} ms", started.elapsed().as_secs_f64() * 1e3);
        }
    }
}
