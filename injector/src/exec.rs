//! `exec`: becomes a command whose environment has variables from files.
//!
//! The files are on a tmpfs that the sidecar writes, in the kubelet's layout. All variables are of
//! one generation: the link `..data` is followed once.

use crate::fault::{Class, Fault};
use crate::file::read_regular;
use crate::plan_source::below;
use keysluice_plan::VariableName;
use keysluice_plan::reason::{KS675, KS676};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Link to the generation.
const DATA: &str = "..data";
/// The sidecar writes no longer file.
const MAX_VALUE_BYTES: u64 = 1 << 20;
/// What a shell ends with if a command is there and cannot be started.
const CANNOT_START: u8 = 126;
/// What a shell ends with if there is no such command.
const NO_COMMAND: u8 = 127;

/// Starts the command in place of this process; answers only with why it could not.
pub(crate) fn exec(root: &Path, from: &[PathBuf], keep: &[String], command: &[OsString]) -> Fault {
    let keep: BTreeSet<&str> = keep.iter().map(String::as_str).collect();
    let mut variables = BTreeMap::new();
    for directory in from {
        let directory = below(root, &directory.to_string_lossy());
        match read(&directory) {
            Ok(read) => {
                for (name, value) in read {
                    variables.entry(name).or_insert(value);
                }
            }
            Err(fault) => return fault,
        }
    }
    variables.retain(|name, _| !keep.contains(name.as_str()));
    let Some((program, arguments)) = command.split_first() else {
        return Fault::new(KS676, Class::Permanent, "there is no command");
    };
    let variables = variables.iter().map(|(name, value)| (name.as_str(), value.as_os_str()));
    let error = Command::new(program).args(arguments).envs(variables).exec();
    let class = match error.kind() {
        io::ErrorKind::NotFound => Class::Permanent,
        _ => Class::Slow,
    };
    Fault::new(KS676, class, format_args!("command {:?}: {error}", program.to_string_lossy()))
}

/// The exit code of a failure.
pub(crate) fn exit_code(fault: &Fault) -> u8 {
    match fault.class {
        Class::Permanent => NO_COMMAND,
        Class::Transient | Class::Slow => CANNOT_START,
    }
}

/// The variables of a directory: its files that are named like one.
fn read(directory: &Path) -> Result<Vec<(VariableName, OsString)>, Fault> {
    let link = directory.join(DATA);
    let generation = std::fs::canonicalize(&link).map_err(|error| unreadable(&link, &error))?;
    let entries =
        std::fs::read_dir(&generation).map_err(|error| unreadable(&generation, &error))?;
    let mut variables = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(&generation, &error))?;
        let Some(name) = name_of(&entry.file_name()) else { continue };
        let path = entry.path();
        let value =
            read_regular(&path, MAX_VALUE_BYTES).map_err(|error| unreadable(&path, &error))?;
        if value.contains(&0) {
            let message = format!("variable {name}: the value holds a NUL byte");
            return Err(Fault::new(KS675, Class::Slow, message));
        }
        variables.push((name, OsString::from_vec(value.to_vec())));
    }
    Ok(variables)
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    Fault::new(KS675, Class::Transient, format_args!("{}: {error}", path.display()))
}

fn name_of(file: &OsStr) -> Option<VariableName> {
    std::str::from_utf8(file.as_bytes()).ok()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the files of tests have no other reader")]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A volume with these files.
    fn volume(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("..1")).unwrap();
        symlink("..1", directory.path().join(DATA)).unwrap();
        for (name, value) in files {
            std::fs::write(directory.path().join("..1").join(name), value).unwrap();
        }
        directory
    }

    #[test]
    fn each_file_that_is_named_like_a_variable_is_one() {
        let volume = volume(&[("A", b"1\n"), ("B", b""), ("b.crt", b"x"), ("C", b"\xff'\"=$(A)")]);
        let mut read = read(volume.path()).unwrap();
        read.sort();
        let read: Vec<_> =
            read.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(read, [("A", &b"1\n"[..]), ("B", b""), ("C", b"\xff'\"=$(A)")]);
    }

    #[test]
    fn what_cannot_be_read_or_started_is_named() {
        let (good, nul) = (volume(&[("A", b"1")]), volume(&[("A", b"a\0b")]));
        let missing = good.path().join("none");
        for (from, command, expected, code) in [
            (&missing, "true", "KS675 ", 126),
            (&nul.path().to_owned(), "true", "KS675 variable A: the value holds a NUL", 126),
            (&good.path().to_owned(), "/no/such", "KS676 command \"/no/such\": No such", 127),
            (&good.path().to_owned(), "/", "KS676 command \"/\": Permission denied", 126),
        ] {
            let command = [OsString::from(command)];
            let fault = exec(Path::new("/"), std::slice::from_ref(from), &[], &command);
            assert!(fault.to_string().starts_with(expected), "{fault}");
            assert_eq!(exit_code(&fault), code, "{fault}");
        }
    }
}
