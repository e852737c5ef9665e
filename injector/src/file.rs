//! Files that others write, read with a limit.

use rustix::fs::{CWD, Mode, OFlags, openat};
use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;
use zeroize::Zeroizing;

/// The content of a file, or what comes through a pipe.
///
/// # Errors
/// [`ErrorKind::InvalidData`] for more than `limit_bytes`.
pub(crate) fn read(path: &Path, limit_bytes: u64) -> Result<Zeroizing<Vec<u8>>> {
    read_all(File::open(path)?, limit_bytes)
}

/// The content of a regular file. A FIFO, which may never have a writer, and a device, which may
/// have no end, are refused before anything is read.
///
/// # Errors
/// [`ErrorKind::InvalidData`] for what is not a regular file, or has more than `limit_bytes`.
pub(crate) fn read_regular(path: &Path, limit_bytes: u64) -> Result<Zeroizing<Vec<u8>>> {
    // Without NONBLOCK the open waits for the writer of a FIFO.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(openat(CWD, path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(invalid("it is not a regular file".to_owned()));
    }
    read_all(file, limit_bytes)
}

fn read_all(file: File, limit_bytes: u64) -> Result<Zeroizing<Vec<u8>>> {
    // A vector that grows leaves copies behind.
    let length = file.metadata()?.len().min(limit_bytes);
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or_default()));
    file.take(limit_bytes + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > limit_bytes) {
        return Err(invalid(format!("it is longer than {} KiB", limit_bytes >> 10)));
    }
    Ok(bytes)
}

fn invalid(problem: String) -> Error {
    Error::new(ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{FileType, mknodat};
    use std::io::Write as _;

    #[test]
    fn only_a_regular_file_of_limited_size_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        File::create(path("full")).unwrap().set_len(1024).unwrap();
        File::create(path("long")).unwrap().set_len(1025).unwrap();
        mknodat(CWD, path("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("zero")).unwrap();
        std::os::unix::fs::symlink("full", path("link")).unwrap();
        for (name, expected) in [
            ("full", Ok(1024)),
            ("link", Ok(1024)),
            ("long", Err("it is longer than 1 KiB")),
            ("fifo", Err("it is not a regular file")),
            ("zero", Err("it is not a regular file")),
            (".", Err("it is not a regular file")),
        ] {
            let read = read_regular(&path(name), 1024).map(|bytes| bytes.len());
            let read = read.map_err(|error| (error.kind(), error.to_string()));
            let expected = expected.map_err(|text| (ErrorKind::InvalidData, text.to_owned()));
            assert_eq!(read, expected, "{name}");
        }
        let missing = read_regular(&path("missing"), 1024).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_pipe_is_read_to_its_end_and_a_device_to_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let writer = std::thread::spawn({
            let pipe = pipe.clone();
            move || File::create(pipe).unwrap().write_all(b"{}").unwrap()
        });
        assert_eq!(*read(&pipe, 1024).unwrap(), b"{}");
        writer.join().unwrap();
        let endless = read(Path::new("/dev/zero"), 1024).unwrap_err();
        assert_eq!(endless.to_string(), "it is longer than 1 KiB");
    }
}
