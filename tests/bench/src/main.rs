//! `make bench`: reviews per CPU-second of the webhook beside those of a TLS echo server of the
//! same stack.

mod compare;
mod echo;
mod limited;
mod load;
mod server;

use clap::{Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Measures the webhook against a TLS echo server.
#[derive(Debug, Parser)]
#[command(name = "keysluice-bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start both servers, load them in turn, print the table.
    Compare {
        /// Directory with the `keysluice` binary.
        #[arg(long, default_value = "target/release")]
        bin_dir: PathBuf,
        /// Seconds of load for each server, size and round.
        #[arg(long, default_value_t = 3)]
        seconds: u64,
        /// Rounds; the table shows the median.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Further arguments of `keysluice serve`.
        #[arg(last = true)]
        serve: Vec<String>,
    },
    /// The webhook alone with a CPU limit of 100m, at 200 and 500 reviews a second (needs root).
    Limited {
        /// Directory with the `keysluice` binary.
        #[arg(long, default_value = "target/release")]
        bin_dir: PathBuf,
        /// Seconds of load for each rate.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// The echo server alone; prints its address.
    Echo {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
    /// Print the review of a pod, for other tools.
    Review {
        /// Size of the pod.
        #[arg(long, default_value_t = 4096)]
        bytes: usize,
        /// With a Secrets Store CSI volume.
        #[arg(long)]
        class: bool,
    },
    /// Print the manifests of the ServiceAccount and the class that the reviews refer to.
    Manifests,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Compare { bin_dir, seconds, rounds, serve } => compare::run(
            &bin_dir,
            Duration::from_secs(seconds.clamp(1, 60)),
            rounds.clamp(1, 20),
            &serve,
        ),
        Command::Limited { bin_dir, seconds } => {
            limited::run(&bin_dir, Duration::from_secs(seconds.clamp(1, 60)))
        }
        Command::Echo { listen } => echo::run(listen),
        Command::Review { bytes, class } => {
            let pod = if class {
                keysluice_bench::pod_with_class(bytes)
            } else {
                keysluice_bench::pod(bytes)
            };
            println!("{}", String::from_utf8_lossy(&keysluice_bench::review(&pod)));
            Ok(())
        }
        Command::Manifests => {
            print!("{}", keysluice_bench::manifests());
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("keysluice-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
