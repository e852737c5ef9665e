//! Trust anchors: compiled in, so that an image without a single file can speak TLS.

use super::HttpError;
use crate::file::read_regular;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::path::Path;

/// Twenty times the bundle of a distribution.
const MAX_BUNDLE_BYTES: u64 = 4 << 20;

/// `webpki-roots`, plus the Plan's certificates, plus those of `SSL_CERT_FILE`.
pub(super) fn store(
    trusted_ca: Option<&str>,
    ssl_cert_file: Option<&str>,
) -> Result<RootCertStore, HttpError> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(pem) = trusted_ca {
        add(&mut roots, "trustedCa", pem.as_bytes(), true)?;
    }
    if let Some(path) = ssl_cert_file {
        let origin = format!("SSL_CERT_FILE {path}");
        let pem = read_regular(Path::new(path), MAX_BUNDLE_BYTES).map_err(|error| {
            HttpError::Roots { origin: origin.clone(), problem: error.to_string() }
        })?;
        add(&mut roots, &origin, &pem, false)?;
    }
    Ok(roots)
}

/// These certificates alone.
pub(super) fn only(origin: &str, pem: &[u8]) -> Result<RootCertStore, HttpError> {
    let mut roots = RootCertStore::empty();
    add(&mut roots, origin, pem, false)?;
    Ok(roots)
}

/// A bundle of a distribution may hold a certificate or two that rustls does not take; the Plan's
/// are meant one by one.
fn add(roots: &mut RootCertStore, origin: &str, pem: &[u8], strict: bool) -> Result<(), HttpError> {
    try_add(roots, pem, strict)
        .map_err(|problem| HttpError::Roots { origin: origin.to_owned(), problem })
}

fn try_add(roots: &mut RootCertStore, pem: &[u8], strict: bool) -> Result<(), String> {
    let mut added = 0_usize;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("not PEM: {error}"))?;
        match roots.add(certificate) {
            Ok(()) => added += 1,
            Err(error) if strict => {
                return Err(format!("not a certificate authority: {error}"));
            }
            Err(_) => {}
        }
    }
    if added == 0 { Err("no certificate in it".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_in_roots_need_no_file() {
        assert!(store(None, None).unwrap().len() > 50);
    }

    #[test]
    fn what_holds_no_certificate_is_refused_by_name() {
        for (ca, file, expected) in [
            (Some("x"), None, "trustedCa: no certificate in it"),
            (
                Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
                None,
                "trustedCa: not a certificate",
            ),
            (None, Some("/does/not/exist"), "SSL_CERT_FILE /does/not/exist: No such file"),
            (None, Some("/dev/zero"), "SSL_CERT_FILE /dev/zero: it is not a regular file"),
        ] {
            let text = store(ca, file).unwrap_err().to_string();
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
