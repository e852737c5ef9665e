//! The `keysluice` binary: the webhook and its command line.

use std::process::ExitCode;

// musl's own is slow; glibc's is not.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keysluice::cli::main()
}
