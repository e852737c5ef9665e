//! The kubelet shows this file's text in `kubectl describe pod`.

use crate::fault::Fault;
use crate::redact::redact;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// The kubelet keeps 4096 bytes.
const LIMIT_BYTES: usize = 4096;

/// Writes code, cause and fix. The file exists in a container; elsewhere it is not created and
/// nothing happens.
pub(crate) fn write(path: &Path, fault: &Fault) {
    let message = redact(&fault.message);
    let text = format!(
        "{} {}\ncause: {}\nfix: {}\n",
        fault.reason, message, fault.reason.cause, fault.reason.fix
    );
    write_text(path, &text);
}

/// Writes as much of a text as the kubelet keeps.
pub(crate) fn write_text(path: &Path, text: &str) {
    if let Ok(mut file) = OpenOptions::new().write(true).truncate(true).open(path) {
        let end = (0..=LIMIT_BYTES.min(text.len()))
            .rev()
            .find(|&at| text.is_char_boundary(at))
            .unwrap_or(0);
        let _ = file.write_all(&text.as_bytes()[..end]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Class;
    use keysluice_plan::reason::KS404;

    #[test]
    fn an_existing_file_gets_code_cause_and_fix_and_no_more_than_the_kubelet_keeps() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::File::create(&path).unwrap();
        write(&path, &Fault::new(KS404, Class::Slow, "secret \"db\""));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("KS404 secret \"db\"\ncause: the object does not exist")
                && text.contains("\nfix: "),
            "{text}"
        );
        write(&path, &Fault::new(KS404, Class::Slow, "ä".repeat(5000)));
        assert_eq!(std::fs::read(&path).unwrap().len(), 4096);
    }

    #[test]
    fn a_missing_file_is_not_created() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        write(&path, &Fault::new(KS404, Class::Slow, "x"));
        assert!(!path.exists());
    }
}
