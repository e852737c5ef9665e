//! Hands on what was fetched: masks first, then files of variables, then the command.

use super::error::{Cause, FetchError};
use super::names::Names;
use super::output_file::{self, replace};
use super::private::random;
use super::values::{self, MaskStyle, Target, Variable};
use secrecy::{ExposeSecret as _, SecretSlice};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Link to the generation in the injector's layout.
const DATA: &str = "..data";

/// A file of the generation.
pub(super) struct Fetched {
    pub(super) path: String,
    pub(super) value: SecretSlice<u8>,
}

/// All files of a directory that the injector wrote.
pub(super) fn read(directory: &Path) -> Result<Vec<Fetched>, FetchError> {
    let link = directory.join(DATA);
    let generation =
        std::fs::canonicalize(&link).map_err(|error| FetchError::output(&link, error))?;
    let (mut found, mut open) = (Vec::new(), vec![generation.clone()]);
    while let Some(directory) = open.pop() {
        let entries =
            std::fs::read_dir(&directory).map_err(|error| FetchError::output(&directory, error))?;
        for entry in entries {
            let path = entry.map_err(|error| FetchError::output(&directory, error))?.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let value = std::fs::read(&path).map_err(|error| FetchError::output(&path, error))?;
            let name = path.strip_prefix(&generation).unwrap_or(&path);
            let path = name.to_string_lossy().into_owned();
            found.push(Fetched { path, value: value.into() });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Tells the log of the job what to hide.
pub(super) fn mask(files: &[Fetched], style: MaskStyle) -> Result<(), FetchError> {
    let text = values::masks(files.iter().map(|file| file.value.expose_secret()), style);
    let mut out = io::stdout().lock();
    let written = out.write_all(text.expose_secret()).and_then(|()| out.flush());
    written.map_err(|error| FetchError::output("standard output", error))
}

/// The files as variables.
pub(super) fn variables(
    files: Vec<Fetched>,
    names: &Names,
    targets: &[Target],
) -> Result<Vec<Variable>, FetchError> {
    let paths = files.iter().map(|file| file.path.as_str());
    let names = names.of(paths, targets.contains(&Target::Runner))?;
    let variables = names.into_iter().zip(files);
    let variables: Vec<_> =
        variables.map(|(name, file)| Variable { name, value: file.value }).collect();
    for variable in &variables {
        for target in targets {
            values::check(variable, *target)?;
        }
    }
    Ok(variables)
}

/// Replaces a dotenv file.
pub(super) fn dotenv(path: &Path, variables: &[Variable]) -> Result<(), FetchError> {
    replace(path, values::dotenv(variables).expose_secret())
}

/// Fails if a file of variables cannot be written, before anything is fetched for it.
pub(super) fn check(dotenv: Option<&Path>, runner_files: &[PathBuf]) -> Result<(), FetchError> {
    if let Some(path) = dotenv {
        output_file::check(path)?;
    }
    for path in runner_files {
        open_to_append(path).map_err(|error| FetchError::output(path, error))?;
    }
    Ok(())
}

/// Adds to a file of GitHub's runner, in one write.
pub(super) fn runner_file(path: &Path, variables: &[Variable]) -> Result<(), FetchError> {
    let text = values::runner_file(variables, random);
    append(path, text.expose_secret()).map_err(|error| FetchError::output(path, error))
}

fn open_to_append(path: &Path) -> io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600).open(path)
}

fn append(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = open_to_append(path)?;
    // Another step may have left a line without its end.
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let end: &[u8] = if last == *b"\n" { b"" } else { b"\n" };
    file.write_all(&[end, text].concat())
}

/// The command with the variables in its environment.
pub(super) fn command(command: &[OsString], variables: &[Variable]) -> Command {
    let (program, arguments) = command.split_first().expect("--exec has a command");
    let mut prepared = Command::new(program);
    prepared.args(arguments);
    for variable in variables {
        let value = OsStr::from_bytes(variable.value.expose_secret());
        prepared.env(variable.name.as_str(), value);
    }
    prepared
}

/// Becomes the command; gives exit code and error if that cannot be. Signals and the exit code are
/// the command's own then.
pub(super) fn become_command(mut command: Command) -> (u8, FetchError) {
    let error = command.exec();
    // As a shell has them.
    let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
    let command = command.get_program().to_string_lossy().into_owned();
    (code, Cause::Command { command, error }.into())
}

/// The file that a variable of the runner names.
pub(super) fn named_by_runner(
    option: &'static str,
    variable: &'static str,
) -> Result<PathBuf, FetchError> {
    let path = std::env::var_os(variable).filter(|path| !path.is_empty());
    path.map(PathBuf::from).ok_or_else(|| Cause::NoRunnerFile { option, variable }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_added_behind_whole_lines() {
        let directory = super::super::private::PrivateDirectory::new(|_| None).unwrap();
        let path = directory.join("env");
        append(&path, b"A=1\n").unwrap();
        append(&path, b"B=2").unwrap();
        append(&path, b"C=3\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "A=1\nB=2\nC=3\n");
    }
}
