//! The `keysluice` binary: the webhook and its command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    keysluice::cli::main()
}
