//! From a vault's answer to the bytes of a file.

mod der;
mod key;
mod secret;

use crate::fault::{Class, Fault};
use crate::item::Item;
use keysluice_plan::reason::{KS421, KS422, KS423, KS424};
use keysluice_plan::{File, ObjectType, RelativePath};
use secrecy::{ExposeSecret, SecretBox};

/// Bytes of a file; prints nothing, zeroised when dropped.
#[derive(Debug)]
pub struct Content(SecretBox<Vec<u8>>);

impl Content {
    /// From bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(SecretBox::new(Box::new(bytes)))
    }

    /// The bytes, for the one write they go into.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
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

/// Why an answer makes no file. Texts that a user of the Azure provider knows are the provider's.
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
    /// Waits for a later version of ours.
    #[error("{0} is not supported by this version")]
    Unsupported(&'static str),
    /// A curve without a usual name in `SubjectPublicKeyInfo`.
    #[error("curve {0} is not supported")]
    Curve(String),
    /// A symmetric key.
    #[error("failed to get key. key type '{0}' currently not supported")]
    KeyType(String),
    /// A coordinate or modulus that cannot be.
    #[error("the key's {0} is not valid")]
    KeyField(&'static str),
}

impl ContentError {
    /// As code and message.
    pub fn fault(&self, object: &str) -> Fault {
        let (reason, class) = match self {
            Self::Curve(_) | Self::KeyType(_) => (KS421, Class::Slow),
            Self::Base64 | Self::Hex => (KS422, Class::Slow),
            Self::ContentType(_) => (KS423, Class::Slow),
            Self::Unsupported(_) => (KS423, Class::Permanent),
            Self::Missing(_) | Self::KeyField(_) => (KS424, Class::Slow),
            Self::Json(_) => (keysluice_plan::reason::KS413, Class::Transient),
        };
        Fault::new(reason, class, format_args!("{object}: {self}"))
    }
}

/// Whether this version can make the files of `item` at all; known before anything is fetched.
pub(crate) fn supported(item: Item<'_>) -> Result<(), ContentError> {
    match item {
        Item::File(File { object_type: ObjectType::Cert, .. }) => Err(ContentError::Unsupported("objectType cert")),
        Item::File(_) => Ok(()),
        Item::Selection(_) => Err(ContentError::Unsupported("select")),
    }
}

/// The files at `path` from the answer's body.
pub fn produce(file: &File, path: &RelativePath, body: &[u8]) -> Result<Fetched, ContentError> {
    let Produced { content, version } = match file.object_type {
        ObjectType::Key => key::produce(body),
        ObjectType::Secret | ObjectType::Cert => secret::produce(body, file.format, file.encoding),
    }?;
    Ok(Fetched { files: vec![Output { path: path.clone(), content, version }], warnings: Vec::new() })
}

/// The last segment of `https://kv.vault.azure.net/secrets/db/VERSION`; cut, since it goes into a log.
fn version_of(id: &str) -> String {
    let version = id.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    version.chars().filter(char::is_ascii_alphanumeric).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_never_printed() {
        let fetched = Produced { content: Content::new(b"canary".to_vec()), version: "v".into() };
        assert!(!format!("{fetched:?}").contains("canary") && !format!("{fetched:?}").contains("99, 97, 110"));
    }

    #[test]
    fn the_version_is_the_last_segment() {
        assert_eq!(version_of("https://kv.vault.azure.net/secrets/db/0a1b"), "0a1b");
        assert_eq!(version_of("no\nise"), "noise");
    }
}
