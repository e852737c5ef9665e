//! `keysluice why CODE`.

use super::Failure;
use crate::reason;
use anyhow::anyhow;
use clap::Args;
use std::io::Write as _;
use std::process::ExitCode;

/// Explain a KS code.
#[derive(Debug, Args)]
pub(super) struct Why {
    /// The code, KS107; without one all codes are listed.
    code: Option<String>,
}

impl Why {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let Some(code) = self.code else {
            let mut out = std::io::stdout().lock();
            for reason in reason::all() {
                writeln!(out, "{reason}  {}", reason.cause)?;
            }
            return Ok(ExitCode::SUCCESS);
        };
        let reason = reason::find(&code).ok_or_else(|| {
            Failure::usage(anyhow!(
                "{code:?} is not a code of this version; `keysluice why` lists them all"
            ))
        })?;
        println!(
            "{reason}  {}\nfix    {}\ndocs   docs/reasons.md#{}",
            reason.cause,
            reason.fix,
            reason.code.to_ascii_lowercase()
        );
        Ok(ExitCode::SUCCESS)
    }
}
