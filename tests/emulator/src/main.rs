//! `keysluice-emulator`: the stand-in as a process.

mod command;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let command = command::Command::parse();
    match command::run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("keysluice-emulator: {error:#}");
            ExitCode::FAILURE
        }
    }
}
