//! The SecretProviderClass as JSON: what the API server sends, or a manifest read from a file.
//!
//! `spec` is read by a visitor that makes the class and nothing beside it: no tree of values, no
//! path of a field unless that field is wrong, and only so many entries.

mod secret_objects;

use super::error::{ClassCause, ClassError};
use super::place::{Found, Place, Scalar, Seed};
use crate::json::Text;
use secret_objects::SecretObjects;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// Parameters, secret objects, their data, labels and annotations of one class, all together. A
/// thousand objects that also go into Secrets come to half of it.
const MOST_ENTRIES: usize = 4096;

impl super::ProviderClass {
    /// Reads an object of the API server or a manifest; without a namespace it is in `default`.
    ///
    /// Stricter than a Go client in what the API server would refuse as well: every value of
    /// `parameters` is a string. One without a value does not count, as the API server drops it.
    pub fn from_value(value: &Value) -> Result<Self, ClassError> {
        let root =
            value.as_object().ok_or_else(|| wrong("the manifest", kind_of(value), "an object"))?;
        let kind = text(root, "kind", "kind")?;
        let version = text(root, "apiVersion", "apiVersion")?;
        // Elements of a list from the API server have neither.
        if kind.is_some_and(|kind| kind != "SecretProviderClass")
            || version.is_some_and(|version| !version.starts_with("secrets-store.csi.x-k8s.io/"))
        {
            let of_version = version.map(|version| format!(" of {version}")).unwrap_or_default();
            let what =
                format!("another kind of object, {}{of_version}", kind.unwrap_or("something"));
            return Err(ClassCause::OtherKind { what }.into());
        }
        let nothing = Map::new();
        let metadata = match root.get("metadata") {
            None | Some(Value::Null) => &nothing,
            Some(Value::Object(metadata)) => metadata,
            Some(other) => return Err(wrong("metadata", kind_of(other), "an object")),
        };
        let name = text(metadata, "name", "metadata.name")?.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| wrong("metadata.name", "missing", "a name"))?;
        let namespace = text(metadata, "namespace", "metadata.namespace")?
            .filter(|namespace| !namespace.is_empty());
        Self::from_spec(
            namespace.unwrap_or("default"),
            name,
            root.get("spec").unwrap_or(&Value::Null),
        )
    }

    /// Reads the JSON text of a `spec`.
    pub(crate) fn from_json(namespace: &str, name: &str, spec: &str) -> Result<Self, ClassError> {
        Self::from_spec(namespace, name, &mut serde_json::Deserializer::from_str(spec))
    }

    fn from_spec<'de, D: Deserializer<'de>>(
        namespace: &str,
        name: &str,
        spec: D,
    ) -> Result<Self, ClassError> {
        let class =
            Self { namespace: namespace.to_owned(), name: name.to_owned(), ..Self::default() };
        let mut reader = Reader { class, entries: 0, error: None };
        let found = Seed(Spec(&mut reader)).deserialize(spec);
        // The text is JSON already; only its numbers or its depth can still be too much.
        let found = found.map_err(|_| {
            wrong(
                "spec",
                "nested too deeply, or has a number too large",
                "an object with parameters",
            )
        })?;
        if let Found::Other(kind, _) = found {
            return Err(wrong("spec", kind, "an object"));
        }
        let Reader { mut class, entries, error } = reader;
        // Of another provider's class nothing matters but whose it is.
        let is_foreign = !class.is_azure() && !class.provider.is_empty();
        match error {
            Some((_, error)) => Err(error),
            None if entries > MOST_ENTRIES && !is_foreign => {
                Err(ClassCause::Entries { limit: MOST_ENTRIES }.into())
            }
            None => {
                class.secret_objects.shrink_to_fit();
                Ok(class)
            }
        }
    }
}

/// A class that is being read.
struct Reader {
    class: super::ProviderClass,
    /// So far; what exceeds [`MOST_ENTRIES`] is read past.
    entries: usize,
    /// The one to tell: the provider's comes first, then that of the first parameter by name, then
    /// the secret objects'.
    error: Option<((Rank, String), ClassError)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Provider,
    Parameters,
    SecretObjects,
}

impl Reader {
    /// Counts an entry; whether there is room for it.
    fn takes_entry(&mut self) -> bool {
        self.entries = self.entries.saturating_add(1);
        self.entries <= MOST_ENTRIES
    }

    fn fail(&mut self, rank: Rank, name: &str, error: impl FnOnce() -> ClassError) {
        if self.error.as_ref().is_none_or(|((of, known), _)| (rank, name) < (*of, known.as_str())) {
            self.error = Some(((rank, name.to_owned()), error()));
        }
    }

    /// A string field; absent, null and anything else is empty.
    fn text<'de, A: MapAccess<'de>>(
        &mut self,
        object: &mut A,
        path: Path<'_>,
    ) -> Result<String, A::Error> {
        let found = object.next_value_seed(Seed(Scalar))?;
        Ok(self.settle(found, path, "a string").unwrap_or_default())
    }

    /// The same without the white space around it, as the driver reads the names of secret objects.
    fn trimmed<'de, A: MapAccess<'de>>(
        &mut self,
        object: &mut A,
        path: Path<'_>,
    ) -> Result<String, A::Error> {
        let text = self.text(object, path)?;
        Ok(if text.trim().len() == text.len() { text } else { text.trim().to_owned() })
    }

    /// What was read, if it is what was expected.
    fn settle<T>(&mut self, found: Found<T>, path: Path<'_>, expected: &'static str) -> Option<T> {
        match found {
            Found::Read(read) => return Some(read),
            Found::Null => {}
            Found::Other(kind, _) => {
                self.fail(path.rank(), "", || wrong(&path.to_string(), kind, expected));
            }
        }
        None
    }
}

/// `spec`.
struct Spec<'r>(&'r mut Reader);

impl<'de> Place<'de> for Spec<'_> {
    type Read = ();

    fn object<A: MapAccess<'de>>(self, mut spec: A) -> Result<Option<()>, A::Error> {
        let reader = self.0;
        while let Some(key) = spec.next_key::<Text<'de>>()? {
            let path = Path::Field(&Path::Spec, &key);
            match &*key {
                "provider" => reader.class.provider = reader.text(&mut spec, path)?,
                "parameters" => {
                    let found = spec.next_value_seed(Seed(Parameters(&mut *reader)))?;
                    reader.class.parameters =
                        reader.settle(found, path, "an object").unwrap_or_default();
                }
                "secretObjects" => {
                    let found = spec.next_value_seed(Seed(SecretObjects(&mut *reader, path)))?;
                    reader.class.secret_objects =
                        reader.settle(found, path, "a list").unwrap_or_default();
                }
                _ => drop(spec.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Some(()))
    }
}

/// `spec.parameters`.
struct Parameters<'r>(&'r mut Reader);

impl<'de> Place<'de> for Parameters<'_> {
    type Read = BTreeMap<String, String>;

    fn object<A: MapAccess<'de>>(self, mut object: A) -> Result<Option<Self::Read>, A::Error> {
        let (reader, mut parameters) = (self.0, BTreeMap::new());
        while let Some(name) = object.next_key::<Text<'de>>()? {
            if !reader.takes_entry() {
                object.next_value::<IgnoredAny>()?;
                continue;
            }
            match object.next_value_seed(Seed(Scalar))? {
                Found::Read(text) => drop(parameters.insert(name.to_string(), text)),
                Found::Null => {}
                Found::Other(found, value) => reader.fail(Rank::Parameters, &name, || {
                    ClassCause::ParameterType { name: name.to_string(), found, value }.into()
                }),
            }
        }
        Ok(Some(parameters))
    }
}

/// Where a field stands; written out only for a message.
#[derive(Clone, Copy)]
enum Path<'p> {
    Spec,
    Field(&'p Path<'p>, &'p str),
    Item(&'p Path<'p>, usize),
}

impl Path<'_> {
    /// Which error is told first.
    fn rank(&self) -> Rank {
        match self {
            Self::Field(Path::Spec, "provider") => Rank::Provider,
            Self::Field(Path::Spec, "parameters") => Rank::Parameters,
            _ => Rank::SecretObjects,
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spec => f.write_str("spec"),
            Self::Field(of, name) => write!(f, "{of}.{name}"),
            Self::Item(of, index) => write!(f, "{of}[{index}]"),
        }
    }
}

/// A string field of an object that is read as a value.
fn text<'v>(
    object: &'v Map<String, Value>,
    field: &str,
    path: &str,
) -> Result<Option<&'v str>, ClassError> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong(path, kind_of(other), "a string")),
    }
}

fn wrong(field: &str, found: &'static str, expected: &'static str) -> ClassError {
    ClassCause::Manifest { field: field.to_owned(), found, expected }.into()
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
