//! Names that are checked once, where they enter: after that no code handles a raw string.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Derives `Serialize`/`Deserialize` through `Display`/`FromStr`, and `as_str`.
macro_rules! string_type {
    ($name:ident, $error:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}
pub(crate) use string_type;

/// Name of a Key Vault object: 1 to 127 letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectName(String);

string_type!(ObjectName, ObjectNameError);

impl ObjectName {
    /// The longest that Key Vault takes.
    pub const MAX_BYTES: usize = 127;
}

/// The name that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("object name {0:?} is not 1 to 127 letters, digits and hyphens, as Key Vault requires")]
pub struct ObjectNameError(String);

impl FromStr for ObjectName {
    type Err = ObjectNameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if text.is_empty() || text.len() > Self::MAX_BYTES || !plain {
            Err(ObjectNameError(text.to_owned()))
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

/// A pinned version of an object: letters and digits (Key Vault makes 32 hexadecimal ones).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectVersion(String);

string_type!(ObjectVersion, ObjectVersionError);

/// The version that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("object version {0:?} is not a Key Vault version (32 hexadecimal digits)")]
pub struct ObjectVersionError(String);

impl FromStr for ObjectVersion {
    type Err = ObjectVersionError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric());
        if text.is_empty() || text.len() > 127 || !plain {
            Err(ObjectVersionError(text.to_owned()))
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

/// A path below a secret volume: relative, every component a plain name, nowhere `..`.
///
/// Accepts what the Azure provider and the CSI driver accept together (the provider refuses `..`
/// anywhere, also in `a..b`; the driver refuses what is not its own cleaned form), but no NUL byte,
/// and at most 32 components.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelativePath(String);

string_type!(RelativePath, PathError);

impl RelativePath {
    /// The components, at least one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The first component: the name a user sees in the volume.
    pub fn top(&self) -> &str {
        self.0.split('/').next().unwrap_or(&self.0)
    }

    /// The path with this at its end, `.crt` or `/0`, if that is one.
    pub fn followed_by(&self, end: &str) -> Result<Self, PathError> {
        format!("{self}{end}").parse()
    }

    /// Whether both cannot exist at once: the same path, or one is a directory of the other.
    pub fn collides_with(&self, other: &Self) -> bool {
        let (short, long) =
            if self.0.len() <= other.0.len() { (self, other) } else { (other, self) };
        long.0.strip_prefix(&short.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Why a path was refused; the first three texts are the Azure provider's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing.
    #[error("file name must not be empty")]
    Empty,
    /// Starts with `/`.
    #[error("file name must be a relative path, but is {0:?}")]
    Absolute(String),
    /// Contains `..`.
    #[error("file name must not contain '..', but is {0:?}")]
    Parent(String),
    /// `a//b`, `./a`, `a/` or a NUL byte.
    #[error("file name {0:?} has an empty, \".\" or unprintable component")]
    Component(String),
    /// Longer than a file system takes.
    #[error(
        "file name {0:?} is too long (255 bytes a component, 4096 in all) or has more than 32 \
         components"
    )]
    Length(String),
}

impl FromStr for RelativePath {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        if text.starts_with('/') {
            return Err(PathError::Absolute(text.to_owned()));
        }
        if text.contains("..") {
            return Err(PathError::Parent(text.to_owned()));
        }
        if text.contains('\0') || text.split('/').any(|part| part.is_empty() || part == ".") {
            return Err(PathError::Component(text.to_owned()));
        }
        if text.len() > 4096
            || text.split('/').any(|part| part.len() > 255)
            || text.split('/').count() > 32
        {
            return Err(PathError::Length(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Permission bits of a file, 0000 to 0777; reads and prints as octal text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileMode(u32);

impl FileMode {
    /// 0644, what the CSI driver writes when nothing is said.
    pub const DEFAULT: Self = Self(0o644);

    /// The bits.
    pub fn bits(self) -> u32 {
        self.0
    }
}

/// The mode that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileModeError {
    /// No octal number.
    #[error("{0:?} is not octal")]
    Octal(String),
    /// Set-uid, set-gid or sticky, or no bits of a mode at all.
    #[error("{0:?} is above 0777")]
    Above(String),
}

impl FromStr for FileMode {
    type Err = FileModeError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Go's ParseInt, with which the provider reads it, takes a plus sign.
        let digits = text.strip_prefix('+').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
            return Err(FileModeError::Octal(text.to_owned()));
        }
        match u32::from_str_radix(digits, 8) {
            Ok(bits) if bits <= 0o777 => Ok(Self(bits)),
            _ => Err(FileModeError::Above(text.to_owned())),
        }
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl TryFrom<String> for FileMode {
    type Error = FileModeError;
    fn try_from(text: String) -> Result<Self, FileModeError> {
        text.parse()
    }
}

impl From<FileMode> for String {
    fn from(mode: FileMode) -> Self {
        mode.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_provider_and_driver() {
        for good in ["a", "a b", "dir/sub/file", "-", ".hidden", "a.b"] {
            assert_eq!(good.parse::<RelativePath>().unwrap().as_str(), good);
        }
        for (bad, error) in [
            ("", PathError::Empty),
            ("/a", PathError::Absolute("/a".into())),
            ("a/../b", PathError::Parent("a/../b".into())),
            ("a..b", PathError::Parent("a..b".into())),
            ("..data", PathError::Parent("..data".into())),
            ("a//b", PathError::Component("a//b".into())),
            ("./a", PathError::Component("./a".into())),
            ("a/", PathError::Component("a/".into())),
            (".", PathError::Component(".".into())),
            ("a\0", PathError::Component("a\0".into())),
        ] {
            assert_eq!(bad.parse::<RelativePath>(), Err(error), "{bad:?}");
        }
        for long in ["x".repeat(256), "x/".repeat(32) + "x"] {
            assert!(matches!(long.parse::<RelativePath>(), Err(PathError::Length(_))));
        }
    }

    #[test]
    fn collisions_are_seen_both_ways() {
        for (path, other, expected) in [
            ("s", "s/0", true),
            ("s/0", "s", true),
            ("s", "s", true),
            ("s", "s0", false),
            ("a/b", "a/c", false),
        ] {
            let (path, other): (RelativePath, RelativePath) =
                (path.parse().unwrap(), other.parse().unwrap());
            assert_eq!(path.collides_with(&other), expected, "{path} and {other}");
        }
    }

    #[test]
    fn modes_are_octal_up_to_0777() {
        for (text, bits) in
            [("0644", 0o644), ("400", 0o400), ("0", 0), ("00755", 0o755), ("+644", 0o644)]
        {
            assert_eq!(text.parse::<FileMode>().unwrap().bits(), bits);
        }
        for bad in ["", "+", "0o644", "0999", "rw-r--r--", "-1", "++644", "99999999999"] {
            assert_eq!(bad.parse::<FileMode>(), Err(FileModeError::Octal(bad.into())), "{bad:?}");
        }
        for bad in ["1777", "+1000", "77777777777777777777"] {
            assert_eq!(bad.parse::<FileMode>(), Err(FileModeError::Above(bad.into())), "{bad:?}");
        }
        assert_eq!(FileMode::DEFAULT.to_string(), "0644");
    }
}
