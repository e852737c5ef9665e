//! `keysluice jwks`: the key set of a token issuer, as `azwi jwks` prints it.

use super::Failure;
use super::output::write_whole;
use crate::jwks::{self, JwksError};
use anyhow::anyhow;
use clap::Args;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the JSON Web Key Set of the keys with which an API server signs ServiceAccount tokens.
#[derive(Debug, Args)]
pub(super) struct Jwks {
    /// PEM file with public keys, private keys or certificates (repeatable, or separated by
    /// commas).
    #[arg(long = "public-keys", required = true, value_delimiter = ',', value_name = "FILE")]
    public_keys: Vec<PathBuf>,
    /// File to write the set to, readable by its owner alone; without it, standard output.
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
}

impl Jwks {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let mut keys = Vec::new();
        for path in &self.public_keys {
            keys.extend(read(path)?);
        }
        let set = jwks::write(&keys);
        if let Some(path) = &self.output_file {
            write_whole(path, set.as_bytes(), 0o600)?;
        } else {
            let mut out = std::io::stdout().lock();
            out.write_all(set.as_bytes())?;
            out.flush()?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn read(path: &std::path::Path) -> Result<Vec<jwks::JsonWebKey>, Failure> {
    let file = path.display().to_string();
    let bytes = std::fs::read(path).map(zeroize::Zeroizing::new).map_err(|error| {
        anyhow!(
            "{} cannot read {file}: {error}; hint: {}",
            crate::reason::KS755,
            crate::reason::KS755.fix
        )
    })?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| JwksError::NoKey { file: file.clone(), others: Vec::new() });
    text.and_then(|text| jwks::keys_of(&file, text)).map_err(Failure::never)
}
