//! From a vault's answer to the bytes of a file.

mod budget;
mod bundle;
mod certificate;
mod chain;
mod der;
mod der_reader;
mod json_field;
mod json_text;
mod key;
mod pem;
mod pem_lenient;
mod pkcs12;
mod private_key;
mod secret;
mod x509;

pub use pem_lenient::Unreadable;
pub use pkcs12::Pkcs12Error;

use crate::fault::{Class, Fault, FaultKind};
use crate::item::Item;
use crate::room::{Room, Share};
use keysluice_plan::reason::{KS421, KS422, KS423, KS424, KS425, KS426, KS427, KS432, KS601};
use keysluice_plan::{File, ObjectType, Part, PathError, RelativePath, Selection};
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox};
use secret::{Secret, Wanted};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Bytes of a file; prints nothing, zeroised when dropped.
#[derive(Debug)]
pub struct Content(SecretBox<Vec<u8>>, Option<Share>);

impl Content {
    /// From bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(SecretBox::new(Box::new(bytes)), None)
    }

    /// From text.
    fn text(mut text: Zeroizing<String>) -> Self {
        Self::new(std::mem::take(&mut *text).into_bytes())
    }

    /// The text again, if it is one.
    fn into_text(mut self) -> Option<Zeroizing<String>> {
        String::from_utf8(std::mem::take(self.0.expose_secret_mut())).ok().map(Zeroizing::new)
    }

    /// Counts the bytes until they are dropped; `false` where there is no room for them.
    pub(crate) fn charge(&mut self, room: &Arc<Room>) -> bool {
        self.1 = room.take(self.0.expose_secret().capacity());
        self.1.is_some()
    }

    /// The bytes, for the one write they go into.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

impl From<Zeroizing<Vec<u8>>> for Content {
    fn from(mut bytes: Zeroizing<Vec<u8>>) -> Self {
        Self::new(std::mem::take(&mut *bytes))
    }
}

/// One file that an item makes.
#[derive(Debug)]
pub struct Output {
    /// Below the volume.
    pub path: RelativePath,
    /// Its bytes.
    pub content: Content,
    /// 32 hexadecimal digits, for status and log.
    pub version: String,
}

/// All files that an item makes now; one of before that is not among them goes.
#[derive(Debug, Default)]
pub struct Fetched {
    /// In the order they are told.
    pub files: Vec<Output>,
    /// Worth a line in the log: nothing failed, but somebody may have meant something else.
    pub warnings: Vec<String>,
}

/// Bytes and the version they are of.
#[derive(Debug)]
pub(crate) struct Produced {
    pub(crate) content: Content,
    pub(crate) version: String,
}

/// Why an answer makes no file, in the Azure provider's words where it has some (not where Go's
/// libraries speak). They follow our code and the object's name; the provider's `failed to get
/// objectType:…, objectName:…` is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Not the JSON of this kind of object.
    #[error("the answer is not a {}", .0.as_str())]
    Json(ObjectType),
    /// A part is missing.
    #[error("{0} is nil")]
    Missing(&'static str),
    /// `objectEncoding: base64`.
    #[error("the value is not standard padded base64")]
    Base64,
    /// `objectEncoding: hex`.
    #[error("the value is not hexadecimal")]
    Hex,
    /// Certificate-backed secret of an unknown kind.
    #[error("failed to get certificate. unknown content type '{0}'")]
    ContentType(String),
    /// A part of something that has none.
    #[error("an object of type {0} has no parts")]
    Parts(&'static str),
    /// The part that was asked for is not in it.
    #[error("part {}: the secret holds no {what}", part.as_str())]
    NoPart {
        /// What was asked for.
        part: Part,
        /// What is missing.
        what: &'static str,
    },
    /// The secret behind a certificate.
    #[error("the certificate cannot be read: {0}")]
    Pkcs12(Pkcs12Error),
    /// Not X.509.
    #[error("a certificate is not X.509 in DER")]
    Certificate,
    /// A block of PEM that begins and cannot be read, or a private key that cannot be used.
    #[error("{0}")]
    Block(Unreadable),
    /// A key beside certificates of others.
    #[error("no certificate of the secret belongs to its private key")]
    NoPair,
    /// No key tells which it is.
    #[error("the secret holds no private key, and {0} certificates that may be the leaf")]
    SeveralLeaves(usize),
    /// More than one answer may cost.
    #[error(
        "the secret holds more than {} private keys or {} certificates, or keys that take too long",
        budget::MAX_KEYS,
        budget::MAX_CERTIFICATES
    )]
    TooMany,
    /// Every certificate issued another one.
    #[error("no leaf found")]
    NoLeaf,
    /// A certificate above itself.
    #[error("constructing chain resulted in cycle")]
    Cycle,
    /// `jsonKey`.
    #[error("jsonKey {path}: {problem}")]
    JsonField {
        /// The path.
        path: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A curve without a usual name in `SubjectPublicKeyInfo`.
    #[error("curve {0} is not supported")]
    Curve(String),
    /// A symmetric key.
    #[error("failed to get key. key type '{0}' currently not supported")]
    KeyType(String),
    /// A coordinate or modulus that cannot be.
    #[error("the key's {0} is not valid")]
    KeyField(&'static str),
    /// A file beside the one that was asked for.
    #[error("{0}")]
    Path(PathError),
}

impl ContentError {
    /// As code and message.
    pub fn fault(&self, object: &str) -> Fault {
        let (reason, class) = match self {
            Self::Curve(_) | Self::KeyType(_) => (KS421, Class::Slow),
            Self::Base64 | Self::Hex => (KS422, Class::Slow),
            Self::ContentType(_) => (KS423, Class::Slow),
            Self::NoPart { .. } => (KS425, Class::Slow),
            Self::Parts(_) => (KS425, Class::Permanent),
            Self::Pkcs12(_)
            | Self::Certificate
            | Self::Block(_)
            | Self::NoLeaf
            | Self::Cycle
            | Self::NoPair
            | Self::SeveralLeaves(_) => (KS426, Class::Slow),
            Self::TooMany => (KS432, Class::Slow),
            Self::JsonField { .. } => (KS427, Class::Slow),
            Self::Missing(_) | Self::KeyField(_) => (KS424, Class::Slow),
            Self::Path(_) => (KS601, Class::Permanent),
            Self::Json(_) => (keysluice_plan::reason::KS413, Class::Transient),
        };
        let kind = match self {
            Self::NoPart { .. } | Self::Parts(_) => FaultKind::NoPart,
            _ => FaultKind::Other,
        };
        Fault::new(reason, class, format_args!("{object}: {self}")).of_kind(kind)
    }
}

/// Whether the files of `item` can be made at all; known before anything is fetched.
pub(crate) fn supported(item: Item<'_>) -> Result<(), ContentError> {
    match item {
        Item::File(File { object_type: ObjectType::Key, part: Some(_), .. }) => {
            Err(ContentError::Parts("key"))
        }
        _ => Ok(()),
    }
}

/// Where a file's bytes are: of a certificate the vault gives only the leaf, all else is in the
/// secret of the same name.
pub(crate) fn source(file: &File) -> ObjectType {
    match (file.object_type, file.part) {
        (ObjectType::Cert, Some(Part::Chain | Part::Key | Part::Ca | Part::Pfx)) => {
            ObjectType::Secret
        }
        (kind, _) => kind,
    }
}

/// The files at `path` from the answer's body.
pub fn produce(file: &File, path: &RelativePath, body: &[u8]) -> Result<Fetched, ContentError> {
    Reading::new(body).file(file, path)
}

/// The body of an answer, read once for all files that come of it.
pub(crate) struct Reading<'a> {
    body: &'a [u8],
    secret: Option<Result<Secret, ContentError>>,
}

impl<'a> Reading<'a> {
    /// Of a body.
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { body, secret: None }
    }

    /// The files at `path`.
    pub(crate) fn file(
        &mut self,
        file: &File,
        path: &RelativePath,
    ) -> Result<Fetched, ContentError> {
        let Produced { content, version } = match source(file) {
            ObjectType::Key => key::produce(self.body)?,
            ObjectType::Cert => certificate::produce(self.body)?,
            ObjectType::Secret => {
                let (format, encoding, part, split) =
                    (file.format, file.encoding, file.part, file.split);
                let wanted =
                    Wanted { format, encoding, part, split, json_key: file.json_key.as_ref() };
                return fetched(path, self.secret()?.make(&wanted)?);
            }
        };
        Ok(Fetched {
            files: vec![Output { path: path.clone(), content, version }],
            warnings: Vec::new(),
        })
    }

    /// The file at `path` of a secret that was selected.
    pub(crate) fn selected(
        &mut self,
        selection: &Selection,
        path: &RelativePath,
    ) -> Result<Fetched, ContentError> {
        let wanted =
            Wanted { format: selection.format, encoding: selection.encoding, ..Wanted::default() };
        fetched(path, self.secret()?.make(&wanted)?)
    }

    fn secret(&mut self) -> Result<&mut Secret, ContentError> {
        self.secret
            .get_or_insert_with(|| Secret::read(self.body))
            .as_mut()
            .map_err(|error| error.clone())
    }
}

/// Whether making these files from a body may take longer than a moment: keys, certificates, or
/// much to read.
pub(crate) fn is_heavy<'a>(items: impl Iterator<Item = Item<'a>>, body: &[u8]) -> bool {
    let mut count = 0;
    for item in items {
        count += 1;
        if matches!(item, Item::File(file) if file.part.is_some() || file.json_key.is_some()) {
            return true;
        }
    }
    let has = |text: &[u8]| body.windows(text.len()).any(|window| window == text);
    body.len().saturating_mul(count) > LIGHT_BYTES || has(PKCS12) || has(ESCAPE)
}

/// Read and copied within a few milliseconds.
const LIGHT_BYTES: usize = 128 * 1024;
const PKCS12: &[u8] = b"x-pkcs12";
/// It may write the same in other letters.
const ESCAPE: &[u8] = b"\\u";

fn fetched(path: &RelativePath, made: secret::SecretFiles) -> Result<Fetched, ContentError> {
    let version = made.version;
    // The last bytes of a name may leave no room for what stands behind it.
    let output = |(suffix, content)| {
        let path = format!("{path}{suffix}").parse().map_err(ContentError::Path)?;
        Ok(Output { path, content, version: version.clone() })
    };
    Ok(Fetched {
        files: made.files.into_iter().map(output).collect::<Result<_, _>>()?,
        warnings: made.warnings,
    })
}

/// The last segment of `https://kv.vault.azure.net/secrets/db/VERSION`; cut, since it goes into a
/// log.
fn version_of(id: &str) -> String {
    let version = id.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    version.chars().filter(char::is_ascii_alphanumeric).take(64).collect()
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod part_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_never_printed() {
        let fetched = Produced { content: Content::new(b"canary".to_vec()), version: "v".into() };
        assert!(
            !format!("{fetched:?}").contains("canary")
                && !format!("{fetched:?}").contains("99, 97, 110")
        );
    }

    #[test]
    fn what_may_take_long_is_known_from_plan_and_body() {
        let file = |extra: serde_json::Value| -> File {
            let mut json = serde_json::json!({"path": "p", "mode": "0644", "identity": "a", "vault": "https://v/", "type": "secret", "name": "n"});
            json.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            serde_json::from_value(json).unwrap()
        };
        let plain = file(serde_json::json!({}));
        let heavy = |file: &File, count, body: &[u8]| {
            is_heavy(std::iter::repeat_n(Item::File(file), count), body)
        };
        assert!(
            !heavy(&plain, 1, b"{}")
                && !heavy(&plain, 5, &vec![b' '; 20_000])
                && heavy(&plain, 7, &vec![b' '; 20_000])
        );
        assert!(heavy(&plain, 1, br#"{"contentType": "application/x-pkcs12"}"#));
        assert!(heavy(&plain, 1, br#"{"contentType": "application/x\u002dpkcs12"}"#));
        for extra in [serde_json::json!({"part": "key"}), serde_json::json!({"jsonKey": "a"})] {
            assert!(heavy(&file(extra), 1, b"{}"));
        }
    }

    #[test]
    fn the_version_is_the_last_segment() {
        assert_eq!(version_of("https://kv.vault.azure.net/secrets/db/0a1b"), "0a1b");
        assert_eq!(version_of("no\nise"), "noise");
    }
}
