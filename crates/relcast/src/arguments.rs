//! What can be typed: commands and their arguments.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use relcast_connect::Target;
use relcast_query::{History, Split};
use relcast_train::evaluate::SplitName;

/// Predictions from a relational database: its tables, keys and times read as a graph.
#[derive(Debug, Parser)]
#[command(name = "relcast", version, max_term_width = 100)]
pub struct Arguments {
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub struct Common {
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Seed of all randomness; by default the one that the query's WITH names, else 0
    #[arg(long, global = true)]
    pub seed: Option<u64>,
    /// Threads to use; by default one per processor
    #[arg(long, global = true)]
    pub threads: Option<NonZeroUsize>,
    /// The home folder: registry, models, graphs
    #[arg(long, global = true, default_value = ".relcast")]
    pub home: PathBuf,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned text
    Table,
    /// JSON
    Json,
    /// CSV with a header (for rows)
    Csv,
    /// Graphviz (for inspect)
    Dot,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything once on a generated shop, step by step, with nothing to set up
    Demo,
    /// Show the schema graph, types and problems of a database
    Inspect(Inspect),
    /// Run SQL statements, EXPLAIN LABELS among them
    Sql(Sql),
    /// Write the label rows of a task or query
    Labels(Labels),
    /// Train a model, evaluate it and register it
    Train(Train),
    /// Evaluate a registered model beside the baselines
    Evaluate(Evaluate),
    /// Predict with a registered model
    Predict(Predict),
    /// Show or drop registered models
    #[command(subcommand)]
    Models(Models),
    /// Serve statements to clients of Postgres (psql, drivers, BI tools) and of HTTP
    Serve(Serve),
}

/// Which database, and what declares its keys.
#[derive(Debug, Args)]
pub struct Source {
    /// A folder of tables: RelBench layout, or bare Parquet or CSV files
    #[arg(long, value_name = "DIR")]
    pub db: String,
    /// Declares keys, links and times; by default relcast.yaml beside the tables
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,
}

/// The arguments of `inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// The database.
    #[command(flatten)]
    pub source: Source,
    /// Write what was found as relcast.yaml beside the tables, unless there is one
    #[arg(long)]
    pub write: bool,
}

/// The arguments of `sql`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("statements"))]
pub struct Sql {
    /// The database.
    #[command(flatten)]
    pub source: Source,
    /// The statements, with semicolons between
    #[arg(short, long, value_name = "SQL", group = "statements", allow_hyphen_values = true)]
    pub command: Option<String>,
    /// A file with the statements
    #[arg(short, long, value_name = "FILE", group = "statements")]
    pub file: Option<PathBuf>,
}

/// The arguments of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// The database.
    #[command(flatten)]
    pub source: Source,
    /// Where clients of Postgres connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5433")]
    pub pg: SocketAddr,
    /// Who may connect: a YAML file with a password and a role (reader or writer) for each name
    #[arg(long, value_name = "FILE")]
    pub users: Option<PathBuf>,
    /// Where clients of HTTP ask, if any may; /openapi.json tells what
    #[arg(long, value_name = "ADDR")]
    pub http: Option<SocketAddr>,
    /// Who may ask by HTTP: a YAML file with a token and a role (reader or writer) for each name
    #[arg(long, value_name = "FILE", requires = "http")]
    pub tokens: Option<PathBuf>,
    /// The certificate for TLS, as a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate, as a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Connections at a time; by HTTP, statements at a time
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub max_connections: usize,
    /// How long a statement may take, such as 30s, unless its session sets statement_timeout
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub statement_timeout: Option<Duration>,
    /// How old an answer's data may be, such as 5s or 10min; by default as old as the server. The
    /// source is looked at twice in that time, and before an answer that would be older
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub freshness: Option<Duration>,
    /// MiB that the SQL of one statement may take for sorting, joining and grouping
    #[arg(long, value_name = "MIB")]
    pub statement_memory: Option<usize>,
    /// A folder that writers may COPY files into and CREATE SOURCE from; may be given again. Without
    /// one, statements name no files of this machine
    #[arg(long, value_name = "DIR")]
    pub files: Vec<PathBuf>,
}

/// What to predict.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("question").required(true))]
pub struct Question {
    /// A task that the database declares
    #[arg(long, group = "question")]
    pub task: Option<String>,
    /// A predictive query: PREDICT … FOR EACH …
    #[arg(long, value_name = "PQL", group = "question")]
    pub query: Option<String>,
    /// An option of the query, as name=value; may be given again
    #[arg(long, value_name = "NAME=VALUE", value_parser = option)]
    pub set: Vec<(String, String)>,
}

/// The arguments of `labels`.
#[derive(Debug, Args)]
pub struct Labels {
    /// The database.
    #[command(flatten)]
    pub source: Source,
    /// What to predict.
    #[command(flatten)]
    pub question: Question,
    /// train, val or test
    #[arg(long, value_parser = split)]
    pub split: Split,
    /// Where the rows go: file.parquet, file.csv or sqlite://file#table
    #[arg(short, long, value_name = "TARGET")]
    pub output: Target,
}

/// The arguments of `train`.
#[derive(Debug, Args)]
pub struct Train {
    /// The database.
    #[command(flatten)]
    pub source: Source,
    /// What to predict.
    #[command(flatten)]
    pub question: Question,
    /// The name under which the model is registered
    #[arg(long)]
    pub model: String,
}

/// The arguments of `evaluate`.
#[derive(Debug, Args)]
pub struct Evaluate {
    /// The database.
    #[command(flatten)]
    pub source: Source,
    /// The model's name
    #[arg(long)]
    pub model: String,
    /// The version; by default the model's default version
    #[arg(long)]
    pub version: Option<i64>,
    /// val or test; by default both
    #[arg(long, value_parser = judged_split)]
    pub split: Option<SplitName>,
    /// frozen or rolling; by default both
    #[arg(long, value_parser = history)]
    pub history: Option<History>,
    /// Also write the model's test predictions under frozen history into this folder, as RelBench's
    /// leaderboard takes them: DATASET__TASK.csv with the columns of the task's test table, the
    /// label replaced by the prediction (a probability for two classes)
    #[arg(long, value_name = "DIR")]
    pub submit: Option<PathBuf>,
}

/// The arguments of `predict`.
#[derive(Debug, Args)]
pub struct Predict {
    /// The database.
    #[command(flatten)]
    pub source: Source,
    /// The model's name
    #[arg(long)]
    pub model: String,
    /// The version; by default the model's default version
    #[arg(long)]
    pub version: Option<i64>,
    /// The cutoff to predict at, such as 2020-01-31; by default the newest time of the data
    #[arg(long, value_parser = moment, conflicts_with = "split")]
    pub as_of: Option<i64>,
    /// Score the label rows of val or test instead
    #[arg(long, value_parser = judged_split)]
    pub split: Option<SplitName>,
    /// What of the past is visible for the test split: rolling or frozen
    #[arg(long, value_parser = history, default_value = "rolling")]
    pub history: History,
    /// Where predictions go: file.parquet, file.csv or sqlite://file#table; by default they are printed
    #[arg(long, value_name = "TARGET")]
    pub into: Option<Target>,
    /// An option of the prediction, as name=value, such as interval=0.9; may be given again
    #[arg(long, value_name = "NAME=VALUE", value_parser = option)]
    pub set: Vec<(String, String)>,
}

/// The commands about registered models.
#[derive(Debug, Subcommand)]
pub enum Models {
    /// List all models and versions
    List,
    /// Show a version: what it was trained from, options, metrics
    Show(ModelArguments),
    /// Drop a version, or a model with all its versions
    Drop(ModelArguments),
}

/// Which model, and which version of it.
#[derive(Debug, Args)]
pub struct ModelArguments {
    /// The model's name
    pub model: String,
    /// The version; by default the model's default version, for drop all versions
    #[arg(long)]
    pub version: Option<i64>,
}

impl Common {
    /// The options to set on a question: the seed if one is named, then those of `--set`.
    pub fn options(&self, set: &[(String, String)]) -> Vec<(String, String)> {
        let seed = self.seed.map(|seed| ("seed".to_owned(), seed.to_string()));
        seed.into_iter().chain(set.iter().cloned()).collect()
    }
}

impl Arguments {
    /// Reads the arguments; on wrong usage says so and exits with 2.
    pub fn parse_checked() -> Self {
        let arguments = Self::parse();
        let inspects = matches!(arguments.command, Command::Inspect(_));
        if arguments.common.format == Format::Dot && !inspects {
            let message = "--format dot is for inspect; other commands have table and json";
            Self::command().error(ErrorKind::ArgumentConflict, message).exit();
        }
        let gives_rows = matches!(arguments.command, Command::Sql(_) | Command::Predict(_));
        if arguments.common.format == Format::Csv && !gives_rows {
            let message = "--format csv is for sql and predict; other commands have table and json";
            Self::command().error(ErrorKind::ArgumentConflict, message).exit();
        }
        if let Command::Predict(predict) = &arguments.command
            && predict.split.is_none()
            && predict.history == History::Frozen
        {
            let message = "--history frozen is for --split test; a prediction at a moment sees all \
                           that is known by then";
            Self::command().error(ErrorKind::ArgumentConflict, message).exit();
        }
        arguments
    }
}

fn option(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("expected NAME=VALUE, such as epochs=20".to_owned()),
    }
}

fn judged_split(text: &str) -> Result<SplitName, String> {
    match text {
        "val" => Ok(SplitName::Val),
        "test" => Ok(SplitName::Test),
        _ => Err("expected val or test".to_owned()),
    }
}

fn history(text: &str) -> Result<History, String> {
    match text {
        "rolling" => Ok(History::Rolling),
        "frozen" => Ok(History::Frozen),
        _ => Err("expected rolling or frozen".to_owned()),
    }
}

fn moment(text: &str) -> Result<i64, String> {
    relcast_catalog::parse_time(text)
        .ok_or_else(|| "expected a date or time, such as 2020-01-31 or 2020-01-31T12:00".to_owned())
}

fn split(text: &str) -> Result<Split, String> {
    let found = Split::ALL.into_iter().find(|split| split.name() == text);
    found.ok_or_else(|| {
        let nearest = relcast_catalog::nearest(text, Split::ALL.map(Split::name));
        let hint = nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        format!("expected train, val or test{hint}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
