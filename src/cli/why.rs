//! `keysluice why CODE`.

use super::Failure;
use super::terminal::{Color, Terminal};
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
        let terminal = Terminal::stdout(Color::Auto);
        let Some(code) = self.code else {
            let mut out = std::io::stdout().lock();
            for reason in reason::all() {
                write!(out, "{}", terminal.wrap(&format!("{reason}  {}\n", reason.cause), 7))?;
            }
            return Ok(ExitCode::SUCCESS);
        };
        let reason = reason::find(&code).ok_or_else(|| {
            Failure::usage(anyhow!(
                "{code:?} is not a code of this version; `keysluice why` lists them all"
            ))
        })?;
        let text = format!(
            "{reason}  {}\nfix    {}\ndocs   docs/reasons.md#{}\n",
            reason.cause,
            reason.fix,
            reason.code.to_ascii_lowercase()
        );
        write!(std::io::stdout().lock(), "{}", terminal.wrap(&text, 7))?;
        Ok(ExitCode::SUCCESS)
    }
}
