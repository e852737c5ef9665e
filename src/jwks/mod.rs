//! The JSON Web Key Set of a token issuer, from the PEM files of its keys: byte for byte what
//! `azwi jwks` prints. Pure.
//!
//! Only public parts leave this module: of a private key neither the output nor an error says
//! anything more.

mod der;
mod error;
mod key;
mod pem;

pub use error::JwksError;

use key::PublicKey;

/// The keys of one file, in order; what is not a key of a known kind is an error.
///
/// # Errors
/// [`JwksError`] names the file and the block.
pub fn keys_of(file: &str, text: &str) -> Result<Vec<JsonWebKey>, JwksError> {
    let (mut keys, mut others) = (Vec::new(), Vec::new());
    for (index, block) in pem::blocks(file, text)?.iter().enumerate() {
        // `openssl ecparam -genkey` writes it before the key.
        if block.label == "EC PARAMETERS" {
            continue;
        }
        match key::of_block(block) {
            Ok(Some(key)) => keys.push(JsonWebKey::of(&key)),
            Ok(None) => others.push(block.label.to_owned()),
            Err(problem) => {
                return Err(JwksError::Key {
                    file: file.to_owned(),
                    block: index + 1,
                    label: block.label.to_owned(),
                    problem,
                });
            }
        }
    }
    if keys.is_empty() {
        return Err(JwksError::NoKey { file: file.to_owned(), others });
    }
    Ok(keys)
}

/// A public key with its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonWebKey {
    /// Members in the order in which they are written.
    members: Vec<(&'static str, String)>,
}

impl JsonWebKey {
    fn of(key: &PublicKey) -> Self {
        let mut members = vec![("use", "sig".to_owned())];
        let kid = base64_url(&sha256(&key.to_spki()));
        match key {
            PublicKey::Rsa { modulus, exponent } => members.extend([
                ("kty", "RSA".to_owned()),
                ("kid", kid),
                ("alg", "RS256".to_owned()),
                ("n", base64_url(modulus)),
                ("e", base64_url(exponent)),
            ]),
            PublicKey::Ec { curve, point } => {
                let (x, y) = point.split_at(point.len() / 2);
                members.extend([
                    ("kty", "EC".to_owned()),
                    ("kid", kid),
                    ("crv", curve.name.to_owned()),
                    ("alg", curve.algorithm.to_owned()),
                    ("x", base64_url(x)),
                    ("y", base64_url(y)),
                ]);
            }
        }
        Self { members }
    }
}

/// The key set, without a line break at its end.
pub fn write(keys: &[JsonWebKey]) -> String {
    let keys: Vec<String> = keys.iter().map(write_key).collect();
    format!("{{\n  \"keys\": [\n{}\n  ]\n}}", keys.join(",\n"))
}

fn write_key(key: &JsonWebKey) -> String {
    // All values are of the alphabet of base64url: nothing to escape.
    let members = key.members.iter().map(|(name, value)| format!("      \"{name}\": \"{value}\""));
    format!("    {{\n{}\n    }}", members.collect::<Vec<_>>().join(",\n"))
}

fn base64_url(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, bytes)
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    sha2::Digest::finalize(sha2::Digest::chain_update(<sha2::Sha256 as sha2::Digest>::new(), bytes))
        .to_vec()
}

#[cfg(test)]
mod tests;
