//! SecretProviderClasses, read once when they change and not once for each pod.

use super::cache::Table;
use super::client::OBJECTS;
use super::event::{Item, Object};
use super::service_accounts::key;
use crate::mutate::ClassFact;
use crate::provider_class::{ClassCause, ProviderClass};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// Classes by namespace and name.
#[derive(Debug, Default)]
pub(super) struct ProviderClasses {
    classes: HashMap<Box<str>, ClassFact>,
}

impl ProviderClasses {
    /// The class, if it is known.
    pub(super) fn find(&self, namespace: &str, name: &str) -> Option<ClassFact> {
        self.classes.get(&*key(namespace, name)).cloned()
    }
}

impl Table for ProviderClasses {
    const NAME: &'static str = "secretproviderclasses";
    const PATH: &'static str = "/apis/secrets-store.csi.x-k8s.io/v1/secretproviderclasses";
    const ACCEPT: &'static str = OBJECTS;

    fn upsert(&mut self, object: &Object<'_>) {
        self.classes.insert(key(&object.metadata.namespace, &object.metadata.name), readable(object));
    }

    fn unreadable(&mut self, namespace: &str, name: &str) {
        self.classes.insert(key(namespace, name), unreadable());
    }

    fn remove(&mut self, namespace: &str, name: &str) {
        self.classes.remove(&*key(namespace, name));
    }

    fn len(&self) -> usize {
        self.classes.len()
    }
}

/// Reads what the API server has under this name as a class.
pub(super) fn class(item: &Item<'_>) -> ClassFact {
    match item {
        Item::Readable(object) => readable(object),
        Item::Unreadable(_) => unreadable(),
    }
}

fn readable(object: &Object<'_>) -> ClassFact {
    // A RawValue is JSON already; only its numbers or its depth can still be too much.
    let Ok(spec) = object.spec.map_or(Ok(Value::Null), |spec| serde_json::from_str(spec.get())) else {
        return invalid("spec", "nested too deeply, or has a number too large", "an object with parameters");
    };
    let metadata = json!({"namespace": &*object.metadata.namespace, "name": &*object.metadata.name});
    match ProviderClass::from_value(&json!({"metadata": metadata, "spec": spec})) {
        Ok(mut class) => {
            if !class.is_azure() {
                // Another provider's pod is let through untouched: its parameters are nothing to us.
                class.parameters.clear();
                class.secret_objects.clear();
            }
            ClassFact::Found(Arc::new(class))
        }
        Err(error) => ClassFact::Invalid(Arc::new(error)),
    }
}

fn unreadable() -> ClassFact {
    invalid("metadata", "unreadable", "metadata with strings as names and annotations")
}

fn invalid(field: &str, found: &'static str, expected: &'static str) -> ClassFact {
    ClassFact::Invalid(Arc::new(ClassCause::Manifest { field: field.to_owned(), found, expected }.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_found_invalid_ones_too_and_foreign_parameters_are_not_kept() {
        let mut table = ProviderClasses::default();
        let objects = [
            r#"{"metadata":{"namespace":"n","name":"ours"},"spec":{"provider":"azure","parameters":{"keyvaultName":"kv"}}}"#,
            r#"{"metadata":{"namespace":"n","name":"theirs"},"spec":{"provider":"aws","parameters":{"objects":"x"}}}"#,
            r#"{"metadata":{"namespace":"n","name":"broken"},"spec":{"provider":"azure","parameters":{"a":1}}}"#,
        ];
        for object in objects {
            table.upsert(&serde_json::from_str(object).unwrap());
        }
        let parameters = |name| match table.find("n", name) {
            Some(ClassFact::Found(class)) => class.parameters.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!((parameters("ours"), parameters("theirs")), (1, 0));
        assert!(matches!(table.find("n", "broken"), Some(ClassFact::Invalid(_))));
        table.remove("n", "broken");
        assert!(table.find("n", "broken").is_none() && table.find("m", "ours").is_none());
        assert_eq!(table.len(), 2);
    }
}
