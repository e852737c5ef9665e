//! The sidecar's binary; see the library for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    keysluice_injector::main()
}
