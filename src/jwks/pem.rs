//! PEM blocks of a text.

use super::JwksError;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

/// One block.
pub(super) struct Block<'t> {
    /// `PUBLIC KEY`.
    pub(super) label: &'t str,
    /// Whether a header says that a password protects it.
    pub(super) is_encrypted: bool,
    /// What it holds; it may be a private key.
    pub(super) der: Zeroizing<Vec<u8>>,
}

/// All blocks, in order; text around them is skipped.
pub(super) fn blocks<'t>(file: &str, text: &'t str) -> Result<Vec<Block<'t>>, JwksError> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let begin = line.trim().trim_start_matches('\u{FEFF}');
        let Some(label) =
            begin.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"))
        else {
            continue;
        };
        let end = format!("-----END {label}-----");
        let (mut base64, mut is_encrypted) = (Zeroizing::new(String::new()), false);
        loop {
            let (line, _) =
                lines.next().ok_or_else(|| fault(file, number, "a PEM block that never ends"))?;
            let line = line.trim();
            if line == end {
                break;
            }
            // `Proc-Type: 4,ENCRYPTED`, as older versions of OpenSSL write it.
            is_encrypted |= line.contains("ENCRYPTED");
            if !line.contains(':') && !is_encrypted {
                base64.push_str(line);
            }
        }
        let der = if is_encrypted {
            Vec::new()
        } else {
            BASE64_STANDARD
                .decode(base64.as_bytes())
                .map_err(|_| fault(file, number, "a PEM block that is not base64"))?
        };
        blocks.push(Block { label, is_encrypted, der: Zeroizing::new(der) });
    }
    Ok(blocks)
}

fn fault(file: &str, line: usize, problem: &'static str) -> JwksError {
    JwksError::Pem { file: file.to_owned(), line, problem }
}
