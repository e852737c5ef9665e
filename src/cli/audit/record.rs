//! `keysluice audit record`: which pods there are, for logs that are read later. A file grows by
//! lines; a pod is written once.

use super::cluster::ClusterOptions;
use super::error::AuditError;
use super::files::read_record;
use crate::audit::PodRecord;
use crate::cli::Failure;
use crate::cluster::api::Client;
use anyhow::anyhow;
use clap::Args;
use keysluice_plan::Guid;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Write a line of JSON for each pod with a sidecar, so that its calls are known as its own after
/// it has ended.
#[derive(Debug, Args)]
pub(super) struct Record {
    #[command(flatten)]
    cluster: ClusterOptions,
    /// File to append to, readable by its owner alone; a pod that it has is not written again.
    /// Without it, standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Looks again after so many seconds, until it is stopped. A pod that lives shorter may be
    /// missed.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    every: Option<u64>,
}

/// Pods that are written, and where.
struct Sink {
    known: HashSet<Guid>,
    file: Option<(PathBuf, File)>,
}

impl Record {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if !self.cluster.is_given() {
            return Err(Failure::usage(anyhow!(
                "no pods to record; hint: name a namespace of a live cluster with -n, or all with \
                 -A"
            )));
        }
        let mut sink = Sink::open(self.out.as_deref())?;
        let (runtime, client) = self.cluster.connect()?;
        runtime.block_on(async {
            loop {
                let looked = self.look(&client, &mut sink).await;
                let Some(seconds) = self.every else { return looked };
                // The next look may succeed; what cannot be written stays so.
                match looked {
                    Err(failure) if failure.error.is::<crate::cluster::api::ApiError>() => {
                        eprintln!("keysluice: warning: {}", crate::cli::chain(&failure.error));
                    }
                    looked => looked?,
                }
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }

    async fn look(&self, client: &Client, sink: &mut Sink) -> Result<(), Failure> {
        let mut pods = Vec::new();
        let listed = self.cluster.list(client, |pod, _| sink.take(&pod, &mut pods)).await;
        // What was read of a list that broke off is written.
        sink.write(&pods)?;
        Ok(listed?)
    }
}

impl Sink {
    fn open(path: Option<&Path>) -> Result<Self, AuditError> {
        let mut known = HashSet::new();
        let Some(path) = path else { return Ok(Self { known, file: None }) };
        if path.is_file() {
            let skipped = read_record(path, |pod| {
                known.extend(pod.uid.parse::<Guid>().ok());
            })?;
            if skipped > 0 {
                let path = path.display();
                eprintln!("keysluice: warning: {path}: {skipped} line(s) are not of a record");
            }
        }
        let file = append_to(path).map_err(|error| AuditError::file(path, error))?;
        Ok(Self { known, file: Some((path.to_owned(), file)) })
    }

    /// Keeps the line of a pod that was not written yet.
    fn take(&mut self, pod: &PodRecord, lines: &mut Vec<u8>) {
        let is_new = pod.uid.parse::<Guid>().is_ok_and(|uid| self.known.insert(uid));
        // Names and lists of names: nothing of it cannot be written.
        if is_new && serde_json::to_writer(&mut *lines, pod).is_ok() {
            lines.push(b'\n');
        }
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), Failure> {
        let Some((path, file)) = &mut self.file else {
            let mut out = io::stdout().lock();
            out.write_all(lines)?;
            return Ok(out.flush()?);
        };
        file.write_all(lines).map_err(|error| AuditError::file(path, error))?;
        Ok(())
    }
}

/// Opens a file to append lines. The end of a line that was cut off is written first.
fn append_to(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    let mut file = options.read(true).append(true).create(true).mode(0o600).open(path)?;
    if file.metadata()?.is_file() && file.seek(SeekFrom::End(0))? > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "6f1d1c2e-8a4b-4f0e-9b7a-3c2d1e0f9a8b";

    fn pod(uid: &str) -> PodRecord {
        PodRecord { uid: uid.to_owned(), ..PodRecord::default() }
    }

    /// Adds pods to a record; what is in it afterwards.
    fn add(path: &Path, uids: &[&str]) -> String {
        let (mut sink, mut lines) = (Sink::open(Some(path)).unwrap(), Vec::new());
        for uid in uids {
            sink.take(&pod(uid), &mut lines);
        }
        assert!(sink.write(&lines).is_ok());
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_pod_is_written_once_also_after_a_line_that_was_cut_off() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("pods.jsonl");
        let first = add(&path, &[UID, UID, "aaaa"]);
        assert_eq!(first.lines().count(), 1, "a uid that is not a GUID has no calls: {first}");
        assert_eq!(add(&path, &[UID]), first);
        File::options().append(true).open(&path).unwrap().write_all(b"{\"uid\":\"cut").unwrap();
        let text = add(&path, &[UID, "00000000-0000-4000-8000-000000000001"]);
        assert_eq!(text.lines().count(), 3, "{text}");
        let mut pods = 0;
        assert_eq!(read_record(&path, |_| pods += 1).unwrap(), 1);
        assert_eq!(pods, 2);
    }

    #[test]
    fn a_file_of_something_else_is_not_appended_to() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("notes.txt");
        File::create(&path).unwrap().write_all(b"notes\n").unwrap();
        let error = Sink::open(Some(&path)).err().unwrap().to_string();
        assert!(error.starts_with("KS773 "), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "notes\n");
    }
}
