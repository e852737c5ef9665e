//! From arguments and environment variables to a request.

use super::help::{self, CommandHelp};
use super::{Command, Output, Request, UsageError, VERSION, log};
use crate::options::Options;
use keysluice_plan::LONGEST_WAIT_SECONDS;
use lexopt::{Arg, Parser};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// More is a mistake.
const MOST_URLS: usize = 8;

/// What was typed, each option at most once unless it is repeatable.
#[derive(Default)]
struct Typed {
    command: Option<&'static CommandHelp>,
    plan: Option<OsString>,
    root: Option<OsString>,
    termination_log: Option<OsString>,
    log_format: Option<OsString>,
    timeout: Option<OsString>,
    output: Option<OsString>,
    from: Vec<PathBuf>,
    keep: Vec<String>,
    urls: Vec<String>,
    rest: Vec<OsString>,
}

pub(super) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Request, UsageError> {
    let mut typed = Typed::default();
    let mut parser = Parser::from_args(arguments);
    let read = typed.read(&mut parser).and_then(|text| match text {
        Some(text) => Ok(Request::Print(text)),
        None => typed.meaning(variable),
    });
    read.map_err(|problem| UsageError { problem, usage: help::usage(typed.command) })
}

impl Typed {
    /// Reads all arguments, unless there is but something to print.
    fn read(&mut self, parser: &mut Parser) -> Result<Option<String>, String> {
        loop {
            let name = self.command.map(|command| command.name);
            if name == Some("exec") && self.takes_rest(parser) {
                return Ok(None);
            }
            let Some(argument) = parser.next().map_err(|error| error.to_string())? else {
                return Ok(None);
            };
            let (slot, option) = match (argument, name) {
                (Arg::Short('h') | Arg::Long("help"), _) => {
                    return Ok(Some(help::text(self.command)));
                }
                (Arg::Short('V') | Arg::Long("version"), None) => {
                    return Ok(Some(format!("keysluice-injector {}\n", *VERSION)));
                }
                (Arg::Long("plan"), _) => (&mut self.plan, "--plan"),
                (Arg::Long("root"), _) => (&mut self.root, "--root"),
                (Arg::Long("termination-log"), _) => {
                    (&mut self.termination_log, "--termination-log")
                }
                (Arg::Long("log-format"), _) => (&mut self.log_format, "--log-format"),
                (Arg::Long("timeout"), Some("ready")) => (&mut self.timeout, "--timeout"),
                (Arg::Short('o') | Arg::Long("output"), Some("status" | "refresh")) => {
                    (&mut self.output, "--output")
                }
                (Arg::Long("from"), Some("exec")) => {
                    self.from.push(value(parser, "--from")?.into());
                    continue;
                }
                (Arg::Long("keep"), Some("exec")) => {
                    self.keep.push(utf8(value(parser, "--keep")?)?);
                    continue;
                }
                (Arg::Value(url), Some("probe")) => {
                    self.urls.push(utf8(url)?);
                    continue;
                }
                (Arg::Value(name), None) if name == "help" => return Self::help(parser).map(Some),
                (Arg::Value(name), None) => {
                    self.command = Some(command(&name)?);
                    continue;
                }
                (Arg::Value(value), Some("exec")) => {
                    let value = quoted(&value);
                    return Err(format!("unexpected {value}; hint: write -- before the command"));
                }
                (argument, _) => return Err(argument.unexpected().to_string()),
            };
            if slot.replace(value(parser, option)?).is_some() {
                return Err(format!("{option} is there twice"));
            }
        }
    }

    /// Takes everything behind `--`, if that is next.
    fn takes_rest(&mut self, parser: &mut Parser) -> bool {
        let Some(mut raw) = parser.try_raw_args() else { return false };
        let is_next = raw.next_if(|next| next == "--").is_some();
        if is_next {
            self.rest = raw.collect();
        }
        is_next
    }

    fn help(parser: &mut Parser) -> Result<String, String> {
        match parser.next().map_err(|error| error.to_string())? {
            Some(Arg::Value(name)) => Ok(help::text(Some(command(&name)?))),
            Some(argument) => Err(argument.unexpected().to_string()),
            None => Ok(help::text(None)),
        }
    }

    /// An empty environment variable counts as not set.
    fn meaning(&mut self, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Request, String> {
        let Some(CommandHelp { name, .. }) = self.command else {
            return Err("a command is missing".to_owned());
        };
        let log_format = given(&mut self.log_format, "KEYSLUICE_LOG_FORMAT", variable);
        let formats = [("json", log::Format::Json), ("text", log::Format::Text)];
        let options = Options {
            plan: given(&mut self.plan, "KEYSLUICE_PLAN_FILE", variable).map(PathBuf::from),
            root: given(&mut self.root, "KEYSLUICE_ROOT", variable)
                .unwrap_or_else(|| "/".into())
                .into(),
            termination_log: given(
                &mut self.termination_log,
                "KEYSLUICE_TERMINATION_LOG",
                variable,
            )
            .unwrap_or_else(|| "/dev/termination-log".into())
            .into(),
            log_format: log_format
                .map(|word| choice("--log-format", &word, &formats))
                .transpose()?,
        };
        let command = match *name {
            "run" => Command::Run,
            "once" => Command::Once,
            "ready" => {
                let typed = given(&mut self.timeout, "KEYSLUICE_TIMEOUT", variable);
                Command::Ready { timeout: typed.map_or(Ok(30), |typed| seconds(&typed))? }
            }
            "status" | "refresh" => {
                let word = given(&mut self.output, "KEYSLUICE_OUTPUT", variable);
                let outputs = [
                    ("table", Output::Table),
                    ("json", Output::Json),
                    ("metrics", Output::Metrics),
                ];
                let output =
                    word.map_or(Ok(Output::Table), |word| choice("--output", &word, &outputs))?;
                if *name == "status" { Command::Status(output) } else { Command::Refresh(output) }
            }
            "idle" => Command::Idle,
            "intercept" => Command::Intercept,
            "probe" => match self.urls.len() {
                0 => return Err("a URL is missing".to_owned()),
                1..=MOST_URLS => Command::Probe { urls: std::mem::take(&mut self.urls) },
                count => return Err(format!("{count} URLs are more than {MOST_URLS}")),
            },
            _ if self.from.is_empty() => return Err("--from <DIR> is missing".to_owned()),
            _ if self.rest.is_empty() => {
                return Err("the command is missing; hint: write it after --".to_owned());
            }
            _ => Command::Exec {
                from: std::mem::take(&mut self.from),
                keep: std::mem::take(&mut self.keep),
                command: std::mem::take(&mut self.rest),
            },
        };
        Ok(Request::Run(options, command))
    }
}

/// The option, else the environment variable of this name.
fn given(
    typed: &mut Option<OsString>,
    name: &str,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Option<OsString> {
    typed.take().or_else(|| variable(name).filter(|value| !value.is_empty()))
}

fn value(parser: &mut Parser, option: &str) -> Result<OsString, String> {
    let value = parser.value().map_err(|error| error.to_string())?;
    if value.is_empty() { Err(format!("the value of {option} is empty")) } else { Ok(value) }
}

fn utf8(value: OsString) -> Result<String, String> {
    value.into_string().map_err(|value| format!("{} is not UTF-8", quoted(&value)))
}

fn command(name: &OsStr) -> Result<&'static CommandHelp, String> {
    name.to_str().and_then(help::find).ok_or_else(|| {
        let names: Vec<_> = help::COMMANDS.iter().map(|one| one.name).collect();
        format!("unknown command {}; hint: one of {}", quoted(name), names.join(", "))
    })
}

fn choice<T: Copy>(option: &str, word: &OsStr, choices: &[(&str, T)]) -> Result<T, String> {
    let chosen = choices.iter().find(|(name, _)| word == *name).map(|(_, value)| *value);
    chosen.ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        format!("{option} {} is not valid; hint: one of {}", quoted(word), names.join(", "))
    })
}

fn seconds(text: &OsStr) -> Result<u64, String> {
    let seconds = text.to_str().and_then(|text| text.parse().ok());
    seconds.filter(|seconds| *seconds <= LONGEST_WAIT_SECONDS).ok_or_else(|| {
        let text = quoted(text);
        format!("--timeout {text} is not valid; hint: seconds, at most {LONGEST_WAIT_SECONDS}")
    })
}

/// In quotes, without control characters.
fn quoted(text: &OsStr) -> String {
    format!("{:?}", text.to_string_lossy())
}
