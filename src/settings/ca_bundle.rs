//! Private certificate authorities that the sidecar trusts beside the public ones.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{PemObject as _, SectionKind};

/// Room for a dozen certificates; each pod holds a copy in its Plan.
const MAX_BYTES: usize = 16 << 10;
/// Characters in a line of PEM (RFC 7468).
const LINE: usize = 64;

/// Why a bundle is refused. No text holds anything of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaBundleError {
    /// Each pod would hold a copy.
    #[error(
        "the certificates have {0} bytes, and {MAX_BYTES} are the most; hint: give only the \
         authorities that sign the certificates of the proxy or the endpoints"
    )]
    TooLong(usize),
    /// It would stand in every pod.
    #[error("block {0} is a private key; hint: give the certificates alone")]
    PrivateKey(usize),
    /// A block that cannot be read.
    #[error("block {0} is not valid PEM; hint: copy the file as it is, with its line breaks")]
    Pem(usize),
    /// Not X.509, or not an authority.
    #[error("block {0} is not the certificate of an authority; hint: give X.509 certificates")]
    Authority(usize),
    /// No certificate at all.
    #[error("there is no block CERTIFICATE in it; hint: give PEM")]
    Empty,
}

/// The certificates of a bundle as plain PEM: nothing between the blocks, and a line break at the
/// end. `None` for an empty text. Blocks are counted from 1.
///
/// # Errors
/// [`CaBundleError`] for what the sidecar would not accept.
pub fn ca_bundle(text: &str) -> Result<Option<String>, CaBundleError> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let (mut pem, mut roots) = (String::new(), RootCertStore::empty());
    for (index, section) in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()).enumerate() {
        let number = index + 1;
        match section.map_err(|_| CaBundleError::Pem(number))? {
            (SectionKind::Certificate, der) => {
                append(&mut pem, &der);
                roots
                    .add(CertificateDer::from(der))
                    .map_err(|_| CaBundleError::Authority(number))?;
            }
            (
                SectionKind::RsaPrivateKey | SectionKind::PrivateKey | SectionKind::EcPrivateKey,
                _,
            ) => {
                return Err(CaBundleError::PrivateKey(number));
            }
            _ => {}
        }
    }
    match pem.len() {
        0 => Err(CaBundleError::Empty),
        length if length > MAX_BYTES => Err(CaBundleError::TooLong(length)),
        _ => Ok(Some(pem)),
    }
}

fn append(pem: &mut String, der: &[u8]) {
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = &*STANDARD.encode(der);
    while !rest.is_empty() {
        let (line, after) = rest.split_at(LINE.min(rest.len()));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    fn authority() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["ca.test".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn certificates_come_out_plain_and_in_their_order() {
        let ((one, _), (two, _)) = (authority(), authority());
        let plain = ca_bundle(&one).unwrap().unwrap();
        assert_eq!(plain, one.replace("\r\n", "\n"));
        let noted = format!("# Root\r\n{}# Issuing\n\n{two}", one.replace('\n', "\r\n"));
        let both = ca_bundle(&noted).unwrap().unwrap();
        assert_eq!(both, format!("{plain}{}", ca_bundle(&two).unwrap().unwrap()));
        assert_eq!(ca_bundle(&both), Ok(Some(both.clone())), "nothing is left to change");
        assert_eq!(ca_bundle(" \n"), Ok(None));
    }

    #[test]
    fn what_the_sidecar_would_not_accept_is_refused_by_its_number() {
        let (certificate, key) = authority();
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (text, expected) in [
            ("authority.pem".to_owned(), CaBundleError::Empty),
            (format!("{certificate}{key}"), CaBundleError::PrivateKey(2)),
            (format!("{certificate}{garbage}"), CaBundleError::Authority(2)),
            (garbage.replace("AAAA", "*"), CaBundleError::Pem(1)),
            (certificate.repeat(64), CaBundleError::TooLong(64 * certificate.len())),
        ] {
            let error = ca_bundle(&text).unwrap_err();
            assert_eq!(error, expected);
            assert!(!error.to_string().contains(&key[40..60]), "{error}");
        }
    }
}
