//! From a vault's answer to the bytes of a file.

mod bundle;
mod certificate;
mod chain;
mod error;
mod json_field;
mod json_text;
mod key;
mod secret;
pub(crate) mod tls;
mod variable;

pub use crate::pki::pem_lenient::Unreadable;
pub use crate::pki::pkcs12::Pkcs12Error;
pub use error::ContentError;
pub use variable::VariableProblem;

use crate::item::Item;
#[cfg(test)]
use crate::pki::fixtures;
use crate::pki::{budget, der, der_reader, pem, pem_lenient, pkcs12, private_key, x509};
use crate::room::{Room, Share};
use crate::vault::Lifetime;
use keysluice_plan::{File, ObjectType, Part, RelativePath, Selection};
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox};
use secret::{Secret, Wanted};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Bytes of a file; prints nothing, zeroised when dropped.
#[derive(Debug)]
pub struct Content(SecretBox<Vec<u8>>, Option<Share>);

impl Fetched {
    /// What stands for an object that the vault does not have: for a variable an empty file, since
    /// the kubelet fails without one; nothing else.
    pub(crate) fn missing(file: &File) -> Self {
        let empty = file.variable.iter().map(|_| Output {
            path: file.path.clone(),
            content: Content::new(Vec::new()),
            version: String::new(),
        });
        Self { files: empty.collect(), ..Self::default() }
    }
}

impl Content {
    /// From bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(SecretBox::new(Box::new(bytes)), None)
    }

    /// From text.
    fn text(mut text: Zeroizing<String>) -> Self {
        Self::new(std::mem::take(&mut *text).into_bytes())
    }

    /// The bytes, for whoever zeroises them.
    pub(crate) fn into_bytes(mut self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(std::mem::take(self.0.expose_secret_mut()))
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
    /// When the newest of its objects was updated, if that is known; seconds since 1970.
    pub updated: Option<i64>,
    /// From when until when its objects may be used by their attributes.
    pub lifetime: Lifetime,
}

/// Bytes and the version they are of.
#[derive(Debug)]
pub(crate) struct Produced {
    pub(crate) content: Content,
    pub(crate) version: String,
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
        let mut fetched = self.values(file, path)?;
        if let Some(name) = &file.variable {
            for output in &mut fetched.files {
                output.content = variable::assignment(name, &output.content, file.optional)?;
            }
        }
        Ok(fetched)
    }

    fn values(&mut self, file: &File, path: &RelativePath) -> Result<Fetched, ContentError> {
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
            updated: None,
            lifetime: Lifetime::default(),
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
    body.len().saturating_mul(count) > LIGHT_BYTES
        || [PKCS12, ESCAPE].iter().any(|text| body.windows(text.len()).any(|part| part == *text))
}

/// Read and copied within a few milliseconds.
const LIGHT_BYTES: usize = 128 * 1024;
const PKCS12: &[u8] = b"x-pkcs12";
/// It may write the same in other letters.
const ESCAPE: &[u8] = b"\\u";

fn fetched(path: &RelativePath, made: secret::SecretFiles) -> Result<Fetched, ContentError> {
    let version = made.version;
    // The last bytes of a name may leave no room for what stands behind it.
    let files = made.files.into_iter().map(|(suffix, content)| {
        let path = format!("{path}{suffix}").parse().map_err(ContentError::Path)?;
        Ok(Output { path, content, version: version.clone() })
    });
    Ok(Fetched {
        updated: None,
        lifetime: Lifetime::default(),
        files: files.collect::<Result<_, _>>()?,
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

    /// A file of the Plan with more fields.
    fn file(extra: &serde_json::Value) -> File {
        let mut json = serde_json::json!({"path": "p", "mode": "0644", "identity": "a",
            "vault": "https://v/", "type": "secret", "name": "n"});
        json.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(json).unwrap()
    }

    fn heavy(file: &File, count: usize, body: &[u8]) -> bool {
        is_heavy(std::iter::repeat_n(Item::File(file), count), body)
    }

    #[test]
    fn what_may_take_long_is_known_from_plan_and_body() {
        let plain = file(&serde_json::json!({}));
        assert!(
            !heavy(&plain, 1, b"{}")
                && !heavy(&plain, 5, &vec![b' '; 20_000])
                && heavy(&plain, 7, &vec![b' '; 20_000])
        );
        assert!(heavy(&plain, 1, br#"{"contentType": "application/x-pkcs12"}"#));
        assert!(heavy(&plain, 1, br#"{"contentType": "application/x\u002dpkcs12"}"#));
        for extra in [serde_json::json!({"part": "key"}), serde_json::json!({"jsonKey": "a"})] {
            assert!(heavy(&file(&extra), 1, b"{}"));
        }
    }

    #[test]
    fn the_version_is_the_last_segment() {
        assert_eq!(version_of("https://kv.vault.azure.net/secrets/db/0a1b"), "0a1b");
        assert_eq!(version_of("no\nise"), "noise");
    }
}
