//! The keys of a Kubernetes Secret of type `kubernetes.io/tls`, as the Secrets Store CSI driver
//! makes them from a file: certificates in the order of the file, and the private key in the form
//! that OpenSSL calls traditional.

use super::budget::{Budget, Spent};
use super::bundle::Bundle;
use super::der::{context, integer, octets, sequence};
use super::der_reader::{CONTEXT_0, CONTEXT_1, INTEGER, OCTET_STRING, Reader, SEQUENCE};
use super::pem::PRIVATE_KEY;
use super::private_key::{EC, Pkcs8, RSA, algorithm, convert, inner};
use super::{Content, ContentError, pem};
use zeroize::Zeroizing;

/// `tls.crt`: all certificates of the file; `None` when it has none.
///
/// # Errors
/// [`ContentError`] for a binary file that is not PKCS#12.
pub(crate) fn certificates(file: &[u8]) -> Result<Option<Content>, ContentError> {
    let text = text(file)?;
    Ok(chosen(&text, |_| true))
}

/// `ca.crt`: the certificates beside the private key without the first, or all of a file without a
/// private key; `None` when there are none.
///
/// # Errors
/// As [`certificates`].
pub(crate) fn authorities(file: &[u8]) -> Result<Option<Content>, ContentError> {
    let text = text(file)?;
    let has_key = pem::blocks(&text).iter().any(|block| !block.is_certificate());
    Ok(chosen(&text, |index| index > 0 || !has_key))
}

/// `tls.key`: the last block that is not a certificate. RSA keys become PKCS#1, EC keys SEC 1,
/// others stay PKCS#8; `None` without such a block, or if it holds something else.
///
/// # Errors
/// As [`certificates`], and for a key that takes too long.
pub(crate) fn private_key(file: &[u8]) -> Result<Option<Content>, ContentError> {
    let text = text(file)?;
    let blocks = pem::blocks(&text);
    let Some(last) = blocks.iter().rfind(|block| !block.is_certificate()) else { return Ok(None) };
    let key = convert(&last.der, &mut Budget::default());
    let Some(key) = key.map_err(|Spent| ContentError::TooMany)? else { return Ok(None) };
    let (label, der) = traditional(&key);
    let mut written = pem::buffer(der.len(), 1);
    pem::append(&mut written, label, &der);
    Ok(Some(Content::text(written)))
}

/// A key that [`convert`] made in the form that OpenSSL calls traditional, with its PEM label: RSA
/// as PKCS#1, EC as SEC 1 with its curve, others as PKCS#8.
fn traditional(key: &Pkcs8) -> (&'static str, Pkcs8) {
    let older = rsa_inner(key).map(|inner| ("RSA PRIVATE KEY", inner));
    let older = older.or_else(|| elliptic_inner(key).map(|inner| ("EC PRIVATE KEY", inner)));
    older.unwrap_or_else(|| (PRIVATE_KEY, key.clone()))
}

fn rsa_inner(key: &Pkcs8) -> Option<Pkcs8> {
    let is_rsa = algorithm(key)? == sequence(&[RSA]).as_slice();
    is_rsa.then(|| inner(key)).flatten().map(|inner| Zeroizing::new(inner.to_vec()))
}

fn elliptic_inner(key: &Pkcs8) -> Option<Pkcs8> {
    let mut algorithm = Reader::new(algorithm(key)?).inside(SEQUENCE)?;
    let curve = (algorithm.next()?.whole == EC).then(|| algorithm.next()).flatten()?.whole;
    let mut parts = Reader::new(inner(key)?).inside(SEQUENCE)?;
    parts.take(INTEGER)?;
    let number = octets(parts.take(OCTET_STRING)?);
    parts.optional(CONTEXT_0);
    let point = context(1, parts.optional(CONTEXT_1)?);
    Some(sequence(&[&integer(1), &number, &context(0, curve), &point]))
}

/// The file as PEM; one that is not text is PKCS#12.
fn text(file: &[u8]) -> Result<Zeroizing<String>, ContentError> {
    if let Ok(text) = std::str::from_utf8(file) {
        return Ok(Zeroizing::new(text.to_owned()));
    }
    let bundle = Bundle::of_pkcs12(file, &mut Budget::default())?;
    // The driver does not sort the certificates, and does not warn.
    Ok(bundle.pem(&mut Vec::new())?.into_text().unwrap_or_default())
}

fn chosen(text: &str, is_chosen: impl Fn(usize) -> bool) -> Option<Content> {
    let mut written = pem::buffer(text.len(), 0);
    let blocks = pem::blocks(text);
    let certificates = blocks.iter().filter(|block| block.is_certificate());
    for (_, block) in certificates.enumerate().filter(|(index, _)| is_chosen(*index)) {
        block.write(&mut written);
    }
    (!written.is_empty()).then(|| Content::text(written))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::fixtures::{der, pem as pem_of, pfx};

    fn written(content: Result<Option<Content>, ContentError>) -> String {
        String::from_utf8(content.unwrap().unwrap().expose().to_vec()).unwrap()
    }

    fn pem(label: &str, bytes: &[u8]) -> String {
        let mut written = pem::buffer(bytes.len(), 1);
        pem::append(&mut written, label, bytes);
        written.to_string()
    }

    #[test]
    fn private_keys_take_the_traditional_form() {
        for (name, label, same) in [
            ("rsa.key", "RSA PRIVATE KEY", "rsa.pkcs1"),
            ("leaf.key", "EC PRIVATE KEY", "leaf.sec1"),
            ("leaf.sec1", "EC PRIVATE KEY", "leaf.sec1"),
            ("ed25519.key", "PRIVATE KEY", "ed25519.key"),
        ] {
            let file = pem("PRIVATE KEY", &der(name)) + "text";
            assert_eq!(written(private_key(file.as_bytes())), pem(label, &der(same)), "{name}");
        }
        for file in ["", "no key", &pem("PRIVATE KEY", b"junk"), &pem("CERTIFICATE", b"x")] {
            assert!(private_key(file.as_bytes()).unwrap().is_none(), "{file}");
        }
    }

    #[test]
    fn the_last_key_counts_and_certificates_keep_their_order() {
        let file = pem("PRIVATE KEY", &der("rsa.key"))
            + &pem_of("leaf")
            + &pem("PRIVATE KEY", &der("leaf.key"))
            + &pem_of("root");
        let (leaf, root) = (pem("CERTIFICATE", &der("leaf")), pem("CERTIFICATE", &der("root")));
        assert_eq!(written(certificates(file.as_bytes())), leaf + &root);
        assert!(written(private_key(file.as_bytes())).contains("EC PRIVATE KEY"));
        assert_eq!(written(authorities(file.as_bytes())), root, "without the leaf");
        assert_eq!(written(authorities(root.as_bytes())), root);
        assert!(certificates(b"none").unwrap().is_none());
    }

    #[test]
    fn binary_files_are_pkcs12() {
        let file = pfx("default");
        assert_eq!(written(certificates(&file)), pem("CERTIFICATE", &der("rsa")));
        assert_eq!(written(private_key(&file)), pem("RSA PRIVATE KEY", &der("rsa.pkcs1")));
        assert!(matches!(certificates(&[0xFF, 0xFE]), Err(ContentError::Pkcs12(_))));
    }
}
