//! Why there is no key set.

use crate::coded::coded;
use crate::reason;

coded! {
    /// Why there is no key set. `Display` gives code, message and hint, as the user reads it.
    #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
    pub enum JwksError {
        /// No block of the file is a key.
        #[error(
            "{} {file}: no key in it{}; hint: {}",
            reason::KS755,
            found(others),
            reason::KS755.fix
        )]
        [KS755] NoKey {
            /// The file.
            file: String,
            /// Labels of what is there instead.
            others: Vec<String>,
        },
        /// A block that begins and does not end, or is not base64.
        #[error("{} {file}, line {line}: {problem}; hint: {}", reason::KS755, reason::KS755.fix)]
        [KS755] Pem {
            /// The file.
            file: String,
            /// Line in which the block begins.
            line: usize,
            /// What is wrong with it.
            problem: &'static str,
        },
        /// A key that no API server signs with, or that cannot be read.
        #[error(
            "{} {file}: block {block} ({label}): {problem}; hint: {}",
            reason::KS756,
            reason::KS756.fix
        )]
        [KS756] Key {
            /// The file.
            file: String,
            /// Which block, from 1.
            block: usize,
            /// Its label.
            label: String,
            /// What is wrong with it.
            problem: &'static str,
        },
    }
}

fn found(labels: &[String]) -> String {
    if labels.is_empty() {
        return ", and no PEM block".to_owned();
    }
    format!(" (it holds {})", labels.join(", "))
}
