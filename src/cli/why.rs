//! `keysluice why CODE`.

use super::Failure;
use super::terminal::{Color, Terminal};
use crate::reason::{self, check, docs, sample};
use anyhow::anyhow;
use clap::{Args, ValueEnum};
use keysluice_plan::reason::Reason;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::ExitCode;

/// Explain a KS code: cause, a message with it, fix, and the command that looks into it.
#[derive(Debug, Args)]
pub(super) struct Why {
    /// The code, KS107 or 107; without one all codes are listed.
    code: Option<String>,
    /// Lists all codes with their causes.
    #[arg(long, conflicts_with = "code")]
    list: bool,
    /// text for people, json for programs.
    #[arg(short = 'o', long, default_value = "text", value_name = "FORMAT")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

impl Why {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let terminal = Terminal::stdout(Color::Auto);
        let mut out = std::io::stdout().lock();
        match (self.code.as_deref(), self.output) {
            (Some(code), output) => {
                let reason = reason::find(code).ok_or_else(|| unknown(code))?;
                match output {
                    Output::Text => write!(out, "{}", terminal.wrap(&text(reason), 7))?,
                    Output::Json => {
                        writeln!(out, "{}", serde_json::to_string_pretty(&object(reason))?)?;
                    }
                }
            }
            (None, Output::Text) => {
                for reason in reason::all() {
                    write!(out, "{}", terminal.wrap(&format!("{reason}  {}\n", reason.cause), 7))?;
                }
            }
            (None, Output::Json) => {
                let all: Vec<Value> = reason::all().map(object).collect();
                writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn unknown(code: &str) -> Failure {
    Failure::usage(anyhow!(
        "{code:?} is not a code of this version; `keysluice why --list` lists them all"
    ))
}

fn text(reason: &Reason) -> String {
    format!(
        "{reason}  {}\nas in  {}\nfix    {}\ncheck  {}\ndocs   {}\n",
        reason.cause,
        sample(reason).unwrap_or(reason.code),
        reason.fix,
        check(reason),
        docs(reason)
    )
}

fn object(reason: &Reason) -> Value {
    json!({"code": reason.code, "cause": reason.cause, "sample": sample(reason),
        "fix": reason.fix, "check": check(reason), "docs": docs(reason)})
}
