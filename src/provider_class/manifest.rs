//! The SecretProviderClass as JSON: what the API server sends, or a manifest read from a file.

use super::error::{ClassCause, ClassError};
use super::secret_objects::SecretObject;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

impl super::ProviderClass {
    /// Reads an object of the API server or a manifest; without a namespace it is in `default`.
    ///
    /// Stricter than a Go client in what the API server would refuse as well: every value of `parameters` is a string.
    pub fn from_value(value: &Value) -> Result<Self, ClassError> {
        let root = Object::new(value, "the manifest")?;
        let kind = root.text("kind")?;
        let version = root.text("apiVersion")?;
        // Elements of a list from the API server have neither.
        if kind.is_some_and(|kind| kind != "SecretProviderClass")
            || version.is_some_and(|version| !version.starts_with("secrets-store.csi.x-k8s.io/"))
        {
            let of_version = version.map(|version| format!(" of {version}")).unwrap_or_default();
            let what = format!("another kind of object, {}{of_version}", kind.unwrap_or("something"));
            return Err(ClassCause::OtherKind { what }.into());
        }
        let metadata = root.object("metadata")?;
        let name = metadata.text("name")?.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| wrong("metadata.name".to_owned(), "missing", "a name"))?.to_owned();
        let namespace = metadata.text("namespace")?.filter(|namespace| !namespace.is_empty());
        let namespace = namespace.unwrap_or("default").to_owned();
        let spec = root.object("spec")?;
        let secret_objects = spec.list("secretObjects")?;
        Ok(Self {
            namespace,
            name,
            provider: spec.text("provider")?.unwrap_or_default().to_owned(),
            parameters: parameters(&spec)?,
            secret_objects: secret_objects.iter().map(SecretObject::from_object).collect::<Result<_, _>>()?,
        })
    }
}

fn parameters(spec: &Object<'_>) -> Result<BTreeMap<String, String>, ClassError> {
    let entry = |(name, value): (&String, &Value)| match value {
        Value::String(text) => Ok((name.clone(), text.clone())),
        other => {
            let value = matches!(other, Value::Bool(_) | Value::Number(_)).then(|| other.to_string());
            Err(ClassCause::ParameterType { name: name.clone(), found: kind_of(other), value }.into())
        }
    };
    spec.object("parameters")?.fields.into_iter().flatten().map(entry).collect()
}

/// A JSON object and where it stands, for messages. An absent one and `null` have no fields.
pub(super) struct Object<'v> {
    path: String,
    fields: Option<&'v Map<String, Value>>,
}

impl<'v> Object<'v> {
    fn new(value: &'v Value, path: &str) -> Result<Self, ClassError> {
        let fields = value.as_object().ok_or_else(|| wrong(path.to_owned(), kind_of(value), "an object"))?;
        Ok(Self { path: String::new(), fields: Some(fields) })
    }

    fn field(&self, name: &str) -> Option<&'v Value> {
        self.fields?.get(name).filter(|value| !value.is_null())
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A string field.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'v str>, ClassError> {
        match self.field(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(self.path_of(name), kind_of(other), "a string")),
        }
    }

    /// A string field without the white space around it; absent is empty.
    pub(super) fn trimmed(&self, name: &str) -> Result<String, ClassError> {
        Ok(self.text(name)?.unwrap_or_default().trim().to_owned())
    }

    /// A field that is an object.
    pub(super) fn object(&self, name: &str) -> Result<Self, ClassError> {
        let fields = match self.field(name) {
            None => None,
            Some(Value::Object(fields)) => Some(fields),
            Some(other) => return Err(wrong(self.path_of(name), kind_of(other), "an object")),
        };
        Ok(Self { path: self.path_of(name), fields })
    }

    /// A field that is a list of objects.
    pub(super) fn list(&self, name: &str) -> Result<Vec<Self>, ClassError> {
        let items = match self.field(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(wrong(self.path_of(name), kind_of(other), "a list")),
        };
        let path = self.path_of(name);
        let element = |(index, item): (usize, &'v Value)| {
            let path = format!("{path}[{index}]");
            match item {
                Value::Object(fields) => Ok(Self { path, fields: Some(fields) }),
                other => Err(wrong(path, kind_of(other), "an object")),
            }
        };
        items.iter().enumerate().map(element).collect()
    }

    /// A field that maps strings to strings.
    pub(super) fn texts(&self, name: &str) -> Result<BTreeMap<String, String>, ClassError> {
        let object = self.object(name)?;
        let keys = object.fields.into_iter().flat_map(Map::keys);
        keys.map(|key| Ok((key.clone(), object.text(key)?.unwrap_or_default().to_owned()))).collect()
    }
}

fn wrong(field: String, found: &'static str, expected: &'static str) -> ClassError {
    ClassCause::Manifest { field, found, expected }.into()
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
