//! The relcast command line: reads the arguments, runs one command, says how it ended.
//!
//! Results go to stdout, logs and errors to stderr. Exits with 0 when done, 1 when failed and 2
//! when used wrongly.

mod arguments;
mod commands;
mod failure;
mod output;
mod prompt;

use std::io::IsTerminal;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use crate::arguments::Arguments;
use crate::failure::Failure;

/// What plans SQL does so by recursion, and statements nest as deep as the parser lets them.
const STACK: usize = 16 << 20;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse_checked();
    start_logs();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::tell(&failure);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.thread_stack_size(STACK);
    let refused = |source: &dyn std::fmt::Display| {
        Failure::new(format!("cannot start threads: {source}"))
            .with_hint("ask for fewer with --threads N")
    };
    if let Some(threads) = arguments.common.threads {
        builder.worker_threads(threads.get());
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.get())
            .build_global()
            .map_err(|source| refused(&source))?;
    }
    let runtime = builder.enable_all().build().map_err(|source| refused(&source))?;
    runtime.block_on(commands::run(arguments))
}

/// Logs of relcast from `info`, of libraries from `warn`; `RELCAST_LOG` says otherwise.
fn start_logs() {
    let filter = EnvFilter::try_from_env("RELCAST_LOG")
        .unwrap_or_else(|_| EnvFilter::new("warn,relcast=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}
