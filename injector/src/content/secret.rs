//! Secrets: the value as it is, decoded, as PEM of a certificate, or a part of it.

use super::budget::Budget;
use super::bundle::Bundle as Keys;
use super::pkcs12::Pkcs12Error;
use super::{Content, ContentError, json_field, json_text, pem, pem_lenient, version_of};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use keysluice_plan::{JsonPath, ObjectEncoding, ObjectFormat, ObjectType, Part};
use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// What Go's `base64.StdEncoding` takes: padding required, trailing bits ignored.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

#[derive(Deserialize)]
struct Bundle<'a> {
    /// As it is written in the body.
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    id: Option<String>,
    /// Only certificate-backed secrets have one; an empty one is none.
    kid: Option<String>,
    #[serde(rename = "contentType")]
    content_type: Option<String>,
}

/// What is to be made of a secret.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted<'a> {
    pub(super) format: ObjectFormat,
    pub(super) encoding: ObjectEncoding,
    pub(super) part: Option<Part>,
    pub(super) split: bool,
    pub(super) json_key: Option<&'a JsonPath>,
}

/// Contents with what stands behind the path.
#[derive(Debug)]
pub(super) struct SecretFiles {
    pub(super) files: Vec<(&'static str, Content)>,
    pub(super) version: String,
    pub(super) warnings: Vec<String>,
}

const PEM: &str = "application/x-pem-file";
const PKCS12: &str = "application/x-pkcs12";

/// The answer, read once for all files that come of it: what costs something is computed for the
/// first that needs it.
pub(super) struct Secret {
    value: Zeroizing<String>,
    version: String,
    /// Whether it backs a certificate.
    certificate: bool,
    content_type: Option<String>,
    budget: Budget,
    bundle: Memo<Keys>,
    /// Keys and chain of PKCS#12.
    text: Memo<(Zeroizing<String>, Vec<String>)>,
    /// One that is made from PEM.
    pfx: Memo<(Zeroizing<Vec<u8>>, Vec<String>)>,
}

type Memo<T> = Option<Result<T, ContentError>>;

impl Secret {
    /// Reads an answer.
    pub(super) fn read(body: &[u8]) -> Result<Self, ContentError> {
        let no_secret = ContentError::Json(ObjectType::Secret);
        let bundle: Bundle<'_> = serde_json::from_slice(body).map_err(|_| no_secret.clone())?;
        if bundle.value.is_none() && bundle.id.is_none() {
            return Err(no_secret);
        }
        let value = json_text::text(bundle.value.ok_or(ContentError::Missing("secret value"))?)
            .ok_or(no_secret)?;
        let version = version_of(&bundle.id.ok_or(ContentError::Missing("secret id"))?);
        Ok(Self {
            value,
            version,
            certificate: bundle.kid.is_some_and(|kid| !kid.is_empty()),
            content_type: bundle.content_type,
            budget: Budget::default(),
            bundle: None,
            text: None,
            pfx: None,
        })
    }

    /// The files' bytes. No newline is added and nothing is trimmed.
    pub(super) fn make(&mut self, wanted: &Wanted<'_>) -> Result<SecretFiles, ContentError> {
        let (version, certificate, mut warnings) =
            (self.version.clone(), self.certificate, Vec::new());
        if let Some(part) = wanted.part {
            let content = self.part(part, &mut warnings)?;
            return Ok(SecretFiles { files: vec![("", content)], version, warnings });
        }
        let value = match (certificate, self.content_type.as_deref(), wanted.format) {
            (false, ..) | (_, Some(PEM), _) | (_, Some(PKCS12), ObjectFormat::Pfx) => &self.value,
            (_, Some(PKCS12), ObjectFormat::Pem) => {
                let (text, told) = self.text()?;
                warnings.extend_from_slice(told);
                text
            }
            (_, other, _) => {
                return Err(ContentError::ContentType(crate::redact::short(
                    other.unwrap_or_default(),
                )));
            }
        };
        let mut files = Vec::new();
        if wanted.split && certificate {
            warnings.extend(passed_over(value));
            for (suffix, certificates) in [(".crt", true), (".key", false)] {
                files.push((suffix, decode(&blocks(value, certificates), wanted.encoding)?));
            }
        }
        let content = decode(value, wanted.encoding)?;
        files.push((
            "",
            match wanted.json_key {
                None => content,
                Some(path) => json_field::field(content.expose(), path)?,
            },
        ));
        Ok(SecretFiles { files, version, warnings })
    }

    /// Also of a secret that somebody wrote by hand, if it says what it is or looks like it.
    fn part(&mut self, part: Part, warnings: &mut Vec<String>) -> Result<Content, ContentError> {
        if part != Part::Pfx {
            return self.bundle()?.part(part, warnings);
        }
        if self.pfx.is_none() {
            let made = self.make_pfx();
            self.pfx = Some(made);
        }
        let (file, told) = memorised(self.pfx.as_ref())?;
        warnings.extend_from_slice(told);
        Ok(Content::from(file.clone()))
    }

    /// The vault's file, or one of ours.
    fn make_pfx(&mut self) -> Result<(Zeroizing<Vec<u8>>, Vec<String>), ContentError> {
        if !self.is_pkcs12() {
            let mut warnings = Vec::new();
            let content = self.bundle()?.part(Part::Pfx, &mut warnings)?;
            return Ok((Zeroizing::new(content.expose().to_vec()), warnings));
        }
        self.bundle()?.check_pair()?;
        Ok((pkcs12_of(&self.value)?, Vec::new()))
    }

    fn is_pkcs12(&self) -> bool {
        self.content_type.as_deref() == Some(PKCS12) || !pem_lenient::is_pem(&self.value)
    }

    fn bundle(&mut self) -> Result<&Keys, ContentError> {
        if self.bundle.is_none() {
            self.bundle = Some(if self.is_pkcs12() {
                pkcs12_of(&self.value).and_then(|file| Keys::of_pkcs12(&file, &mut self.budget))
            } else {
                Keys::of_pem(&self.value, &mut self.budget)
            });
        }
        memorised(self.bundle.as_ref())
    }

    fn text(&mut self) -> Result<&(Zeroizing<String>, Vec<String>), ContentError> {
        if self.text.is_none() {
            let mut warnings = Vec::new();
            let text = self.bundle().and_then(|keys| keys.pem(&mut warnings));
            self.text = Some(text.map(|text| (text.into_text().unwrap_or_default(), warnings)));
        }
        memorised(self.text.as_ref())
    }
}

fn memorised<T>(memo: Option<&Result<T, ContentError>>) -> Result<&T, ContentError> {
    // It is set before it is asked for.
    let known = memo.ok_or(ContentError::Json(ObjectType::Secret))?;
    known.as_ref().map_err(Clone::clone)
}

/// The certificates of a PEM text, or its other blocks.
fn blocks(text: &str, certificates: bool) -> Zeroizing<String> {
    let mut picked = pem::buffer(text.len(), 0);
    for block in pem::blocks(text).iter().filter(|block| block.is_certificate() == certificates) {
        block.write(&mut picked);
    }
    picked
}

/// What of a PEM text the halves do not hold although it begins as a block: the provider passes
/// over it in silence.
fn passed_over(text: &str) -> Option<String> {
    let (whole, strict) = match pem_lenient::blocks(text) {
        Err(error) => return Some(in_no_half(&error)),
        Ok(whole) => (whole, pem::blocks(text)),
    };
    let mut strict = strict.iter().map(|block| (block.label, &block.der)).peekable();
    let left_out = whole.iter().find(|block| {
        let same = strict.peek().is_some_and(|(label, der)| {
            *label == block.at.label
                && (block.der.is_empty() || der.as_slice() == block.der.as_slice())
        });
        strict.next_if(|_| same).is_none()
    });
    if let Some(block) = left_out {
        return Some(in_no_half(&block.at));
    }
    let misplaced =
        whole.iter().find(|block| block.is_certificate() && block.at.label != pem::CERTIFICATE)?;
    Some(format!("the half .key holds it, not .crt: {}", misplaced.at))
}

fn in_no_half(place: &dyn std::fmt::Display) -> String {
    format!("the halves do not hold it: {place}")
}

fn pkcs12_of(value: &Zeroizing<String>) -> Result<Zeroizing<Vec<u8>>, ContentError> {
    base64(value).map_err(|_| ContentError::Pkcs12(Pkcs12Error::Structure))
}

fn base64(value: &Zeroizing<String>) -> Result<Zeroizing<Vec<u8>>, ContentError> {
    let mut plain = Zeroizing::new(Vec::with_capacity(value.len()));
    plain.extend(value.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')));
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(plain.len())]);
    let length = BASE64.decode_slice(&*plain, &mut bytes).map_err(|_| ContentError::Base64)?;
    bytes.truncate(length);
    Ok(bytes)
}

fn decode(value: &Zeroizing<String>, encoding: ObjectEncoding) -> Result<Content, ContentError> {
    match encoding {
        ObjectEncoding::Utf8 => Ok(Content::text(value.clone())),
        ObjectEncoding::Base64 => base64(value).map(Content::from),
        ObjectEncoding::Hex => {
            let (pairs, rest) = value.as_bytes().as_chunks::<2>();
            // A vector that grows, or is dropped on an error, leaves a copy behind.
            let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
            for &[high, low] in pairs {
                bytes.push(
                    hex_digit(high)
                        .zip(hex_digit(low))
                        .map(|(high, low)| high << 4 | low)
                        .ok_or(ContentError::Hex)?,
                );
            }
            let whole = rest.is_empty().then(|| Content::new(std::mem::take(&mut *bytes)));
            whole.ok_or(ContentError::Hex)
        }
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// One file, as if it were the only one.
#[cfg(test)]
pub(super) fn produce(body: &[u8], wanted: &Wanted<'_>) -> Result<SecretFiles, ContentError> {
    Secret::read(body)?.make(wanted)
}

#[cfg(test)]
#[path = "secret_tests.rs"]
mod tests;
