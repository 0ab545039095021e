//! The `regreen` program: parse, dispatch, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The launcher must run before anything starts a thread: namespaces can only be left by a process with one.
    regreen::sandbox::launch_if_asked();
    ExitCode::from(regreen::cli::main())
}
