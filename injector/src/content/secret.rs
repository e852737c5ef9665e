//! Secrets: the value as it is, decoded, as PEM of a certificate, or a part of it.

use super::bundle::Bundle as Keys;
use super::pkcs12::Pkcs12Error;
use super::{Content, ContentError, json_field, json_text, pem, version_of};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use keysluice_plan::{JsonPath, ObjectEncoding, ObjectFormat, ObjectType, Part};
use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// What Go's `base64.StdEncoding` takes: padding required, trailing bits ignored.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

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
pub(super) struct Made {
    pub(super) files: Vec<(&'static str, Content)>,
    pub(super) version: String,
    pub(super) warnings: Vec<String>,
}

const PEM: &str = "application/x-pem-file";
const PKCS12: &str = "application/x-pkcs12";

/// The files' bytes. No newline is added and nothing is trimmed.
pub(super) fn produce(body: &[u8], wanted: &Wanted<'_>) -> Result<Made, ContentError> {
    let no_secret = ContentError::Json(ObjectType::Secret);
    let bundle: Bundle<'_> = serde_json::from_slice(body).map_err(|_| no_secret.clone())?;
    let value = json_text::text(bundle.value.ok_or(ContentError::Missing("secret value"))?).ok_or(no_secret)?;
    let version = version_of(&bundle.id.ok_or(ContentError::Missing("secret id"))?);
    let (content_type, mut warnings) = (bundle.content_type.as_deref(), Vec::new());
    if let Some(part) = wanted.part {
        let content = part_of(part, &value, content_type, &mut warnings)?;
        return Ok(Made { files: vec![("", content)], version, warnings });
    }
    let certificate = bundle.kid.is_some_and(|kid| !kid.is_empty());
    let value = match (certificate, content_type, wanted.format) {
        (false, ..) | (_, Some(PEM), _) | (_, Some(PKCS12), ObjectFormat::Pfx) => value,
        (_, Some(PKCS12), ObjectFormat::Pem) => {
            Keys::of_pkcs12(&pkcs12_of(&value)?)?.pem(&mut warnings)?.into_text().unwrap_or_default()
        }
        (_, other, _) => {
            return Err(ContentError::ContentType(crate::identity::short(other.unwrap_or_default())));
        }
    };
    let mut files = Vec::new();
    if wanted.split && certificate {
        for (suffix, certificates) in [(".crt", true), (".key", false)] {
            files.push((suffix, decode(blocks(&value, certificates), wanted.encoding)?));
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
    Ok(Made { files, version, warnings })
}

/// The certificates of a PEM text, or its other blocks.
fn blocks(text: &str, certificates: bool) -> Zeroizing<String> {
    let mut picked = pem::buffer(text.len(), 0);
    for block in pem::blocks(text).iter().filter(|block| block.is_certificate() == certificates) {
        block.write(&mut picked);
    }
    picked
}

/// Also of a secret that somebody wrote by hand, if it says what it is or looks like it.
fn part_of(
    part: Part,
    value: &Zeroizing<String>,
    content_type: Option<&str>,
    warnings: &mut Vec<String>,
) -> Result<Content, ContentError> {
    if content_type != Some(PKCS12) && value.contains("-----BEGIN ") {
        return Keys::of_pem(value).part(part, warnings);
    }
    let file = pkcs12_of(value)?;
    let keys = Keys::of_pkcs12(&file)?;
    if part == Part::Pfx { Ok(Content::from(file)) } else { keys.part(part, warnings) }
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

fn decode(value: Zeroizing<String>, encoding: ObjectEncoding) -> Result<Content, ContentError> {
    match encoding {
        ObjectEncoding::Utf8 => Ok(Content::text(value)),
        ObjectEncoding::Base64 => base64(&value).map(Content::from),
        ObjectEncoding::Hex => {
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let (pairs, rest) = value.as_bytes().as_chunks::<2>();
            // A vector that grows, or is dropped on an error, leaves a copy behind.
            let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
            for &[high, low] in pairs {
                bytes.push(digit(high).zip(digit(low)).map(|(high, low)| high << 4 | low).ok_or(ContentError::Hex)?);
            }
            let whole = rest.is_empty().then(|| Content::new(std::mem::take(&mut *bytes)));
            whole.ok_or(ContentError::Hex)
        }
    }
}

#[cfg(test)]
#[path = "secret_tests.rs"]
mod tests;
