//! Files that `fetch` writes: whole or not at all, and for this user alone.

use super::error::FetchError;
use super::private::random;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Writes a file that only this user can read, whole or not at all: others see the old one or the
/// new one. A link stays, and what it leads to is replaced. What is not a file, such as a pipe or
/// `/dev/stdout`, is written to as it is.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), FetchError> {
    let found = std::fs::metadata(path);
    let written = match &found {
        // What a shell's redirection leads to may be a file that others go on to write to.
        _ if path == Path::new("/dev/stdout") => write_whole(io::stdout(), content),
        _ if path == Path::new("/dev/stderr") => write_whole(io::stderr(), content),
        Ok(there) if !there.is_file() || path.starts_with("/dev/fd") => write_to(path, content),
        Ok(_) => std::fs::canonicalize(path).and_then(|file| replace_file(&file, content)),
        Err(_) => replace_file(&target(path), content),
    };
    written.map_err(|error| FetchError::output(path, error))
}

/// What a link leads to that leads to nothing yet; else the path itself.
fn target(path: &Path) -> PathBuf {
    let link = std::fs::read_link(path);
    link.map_or_else(|_| path.to_owned(), |link| path.with_file_name(link))
}

fn write_to(path: &Path, content: &[u8]) -> io::Result<()> {
    write_whole(std::fs::OpenOptions::new().append(true).open(path)?, content)
}

fn write_whole(mut to: impl io::Write, content: &[u8]) -> io::Result<()> {
    to.write_all(content).and_then(|()| to.flush())
}

fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.{}", random()));
    let written = write(&new, content).and_then(|()| std::fs::rename(&new, path));
    written.inspect_err(|_| {
        let _ = std::fs::remove_file(&new);
    })
}

/// Fails if a file cannot be made at `path`, before anything is fetched for it.
pub(super) fn check(path: &Path) -> Result<(), FetchError> {
    let checked = match std::fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => Ok(()),
        Err(_) => {
            let parent = target(path).parent().map(Path::to_owned).unwrap_or_default();
            let parent = if parent.as_os_str().is_empty() { ".".into() } else { parent };
            std::fs::metadata(parent).and_then(|parent| {
                if parent.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
            })
        }
    };
    checked.map_err(|error| FetchError::output(path, error))
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)
}

#[cfg(test)]
mod tests {
    use super::super::private::PrivateDirectory;
    use super::*;

    #[test]
    fn a_link_stays_and_what_is_no_file_is_written_to() {
        let private = PrivateDirectory::new(|_| None).unwrap();
        for (link, to) in [("link", "there"), ("dangling", "new")] {
            std::os::unix::fs::symlink(to, private.join(link)).unwrap();
        }
        replace(&private.join("there"), b"old").unwrap();
        for (link, file) in [("link", "there"), ("dangling", "new")] {
            replace(&private.join(link), b"A=1").unwrap();
            assert!(std::fs::symlink_metadata(private.join(link)).unwrap().is_symlink());
            assert_eq!(std::fs::read(private.join(file)).unwrap(), b"A=1");
        }
        let pipe = private.join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read(pipe).unwrap()
        });
        replace(&pipe, b"A=1").unwrap();
        assert_eq!(reader.join().unwrap(), b"A=1");
        std::os::unix::fs::symlink("/dev/full", private.join("full")).unwrap();
        let error = replace(&private.join("full"), b"A=1").unwrap_err().to_string();
        assert!(error.contains("No space left"), "{error}");
        assert!(!std::fs::metadata("/dev/full").unwrap().is_file());
    }

    #[test]
    fn what_cannot_be_written_is_known_before() {
        let private = PrivateDirectory::new(|_| None).unwrap();
        assert!(check(&private.join("new")).is_ok() && check(Path::new("new")).is_ok());
        assert!(check(&private.join("missing/file")).is_err(), "no directory");
        assert!(check(&private.join("")).is_err(), "a directory");
    }

    #[test]
    fn an_output_that_cannot_be_written_is_ks796_and_leaves_nothing() {
        let private = PrivateDirectory::new(|_| None).unwrap();
        let error = replace(&private.join("missing/file"), b"x").unwrap_err().to_string();
        assert!(error.starts_with("KS796 "), "{error}");
        std::fs::create_dir(private.join("taken")).unwrap();
        assert!(replace(&private.join("taken"), b"x").is_err());
        assert_eq!(std::fs::read_dir(private.join("")).unwrap().count(), 1);
    }
}
