//! `spec.secretObjects`, read without a tree of values.

use super::{Path, Reader};
use crate::json::Text;
use crate::provider_class::place::{Place, Scalar, Seed};
use crate::provider_class::secret_objects::{SecretObject, SecretObjectData};
use serde::de::{IgnoredAny, MapAccess, SeqAccess};
use std::collections::BTreeMap;

/// `spec.secretObjects`.
pub(super) struct SecretObjects<'r, 'p>(pub(super) &'r mut Reader, pub(super) Path<'p>);

impl<'de> Place<'de> for SecretObjects<'_, '_> {
    type Read = Vec<SecretObject>;

    fn list<A: SeqAccess<'de>>(self, mut list: A) -> Result<Option<Self::Read>, A::Error> {
        let (Self(reader, path), mut objects) = (self, Vec::new());
        while reader.takes_entry() {
            let path = Path::Item(&path, objects.len());
            let Some(found) = list.next_element_seed(Seed(Secret(&mut *reader, path)))? else {
                break;
            };
            objects.push(reader.settle(found, path, "an object").unwrap_or_default());
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Some(objects))
    }
}

/// One secret object.
struct Secret<'r, 'p>(&'r mut Reader, Path<'p>);

impl<'de> Place<'de> for Secret<'_, '_> {
    type Read = SecretObject;

    fn object<A: MapAccess<'de>>(self, mut object: A) -> Result<Option<SecretObject>, A::Error> {
        let (Self(reader, path), mut secret) = (self, SecretObject::default());
        while let Some(key) = object.next_key::<Text<'de>>()? {
            let path = Path::Field(&path, &key);
            match &*key {
                "secretName" => secret.secret_name = reader.trimmed(&mut object, path)?,
                "type" => secret.secret_type = reader.trimmed(&mut object, path)?,
                "labels" | "annotations" => {
                    let found = object.next_value_seed(Seed(Texts(&mut *reader, path)))?;
                    let texts = reader.settle(found, path, "an object").unwrap_or_default();
                    *(if &*key == "labels" {
                        &mut secret.labels
                    } else {
                        &mut secret.annotations
                    }) = texts;
                }
                "data" => {
                    let found = object.next_value_seed(Seed(Data(&mut *reader, path)))?;
                    secret.data = reader.settle(found, path, "a list").unwrap_or_default();
                }
                _ => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Some(secret))
    }
}

/// A field that maps strings to strings.
struct Texts<'r, 'p>(&'r mut Reader, Path<'p>);

impl<'de> Place<'de> for Texts<'_, '_> {
    type Read = BTreeMap<String, String>;

    fn object<A: MapAccess<'de>>(self, mut object: A) -> Result<Option<Self::Read>, A::Error> {
        let (Self(reader, path), mut texts) = (self, BTreeMap::new());
        while let Some(name) = object.next_key::<Text<'de>>()? {
            if !reader.takes_entry() {
                object.next_value::<IgnoredAny>()?;
                continue;
            }
            let found = object.next_value_seed(Seed(Scalar))?;
            if let Some(text) = reader.settle(found, Path::Field(&path, &name), "a string") {
                texts.insert(name.to_string(), text);
            }
        }
        Ok(Some(texts))
    }
}

/// `data` of a secret object.
struct Data<'r, 'p>(&'r mut Reader, Path<'p>);

impl<'de> Place<'de> for Data<'_, '_> {
    type Read = Vec<SecretObjectData>;

    fn list<A: SeqAccess<'de>>(self, mut list: A) -> Result<Option<Self::Read>, A::Error> {
        let (Self(reader, path), mut data) = (self, Vec::new());
        while reader.takes_entry() {
            let path = Path::Item(&path, data.len());
            let Some(found) = list.next_element_seed(Seed(Datum(&mut *reader, path)))? else {
                break;
            };
            data.push(reader.settle(found, path, "an object").unwrap_or_default());
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        data.shrink_to_fit();
        Ok(Some(data))
    }
}

/// One element of it.
struct Datum<'r, 'p>(&'r mut Reader, Path<'p>);

impl<'de> Place<'de> for Datum<'_, '_> {
    type Read = SecretObjectData;

    fn object<A: MapAccess<'de>>(
        self,
        mut object: A,
    ) -> Result<Option<SecretObjectData>, A::Error> {
        let (Self(reader, path), mut datum) = (self, SecretObjectData::default());
        while let Some(key) = object.next_key::<Text<'de>>()? {
            let path = Path::Field(&path, &key);
            match &*key {
                "objectName" => datum.object_name = reader.trimmed(&mut object, path)?,
                "key" => datum.key = reader.trimmed(&mut object, path)?,
                _ => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Some(datum))
    }
}
