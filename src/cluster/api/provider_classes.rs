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

/// More than any class needs: its `objects` may have 256 KiB (KS120).
const SPEC_LIMIT_BYTES: usize = 1 << 20;
/// A class larger than this is read live, by the few pods that use it.
const CLASS_KEPT_BYTES: usize = 64 << 10;
/// What all of them together may take, so that nobody fills our memory by creating classes; beyond that they are read live.
const ALL_KEPT_BYTES: usize = 16 << 20;
/// What those of one namespace may take of it: no tenant takes the room of all others.
const NAMESPACE_KEPT_BYTES: usize = 4 << 20;
/// Of a class beside its texts.
const OVERHEAD_BYTES: usize = 256;

/// Classes by namespace and name.
#[derive(Debug, Default)]
pub(super) struct ProviderClasses {
    classes: HashMap<Box<str>, (ClassFact, usize)>,
    /// Of all that are kept, about.
    bytes: usize,
    /// The same for each namespace that has any.
    namespaces: HashMap<Box<str>, usize>,
}

impl ProviderClasses {
    /// The class, if it is known.
    pub(super) fn find(&self, namespace: &str, name: &str) -> Option<ClassFact> {
        self.classes.get(&*key(namespace, name)).map(|(fact, _)| fact.clone())
    }

    fn keep(&mut self, namespace: &str, name: &str, fact: ClassFact, bytes: usize) {
        self.remove(namespace, name);
        let bytes = bytes + OVERHEAD_BYTES;
        let of_namespace = self.namespaces.get(namespace).copied().unwrap_or_default() + bytes;
        if bytes <= CLASS_KEPT_BYTES && of_namespace <= NAMESPACE_KEPT_BYTES && self.bytes + bytes <= ALL_KEPT_BYTES {
            self.bytes += bytes;
            self.namespaces.insert(namespace.into(), of_namespace);
            self.classes.insert(key(namespace, name), (fact, bytes));
        }
    }
}

impl Table for ProviderClasses {
    const NAME: &'static str = "secretproviderclasses";
    const PATH: &'static str = "/apis/secrets-store.csi.x-k8s.io/v1/secretproviderclasses";
    const ACCEPT: &'static str = OBJECTS;
    const PAGE_ITEMS: usize = 50;
    const OPTIONAL: bool = true;

    fn upsert(&mut self, object: &Object<'_>) {
        let fact = readable(object);
        let bytes = match &fact {
            ClassFact::Found(class) if !class.is_azure() => class.provider.len(),
            _ => object.spec.map_or(0, |spec| spec.get().len()),
        };
        self.keep(&object.metadata.namespace, &object.metadata.name, fact, bytes);
    }

    fn unreadable(&mut self, namespace: &str, name: &str) {
        self.keep(namespace, name, unreadable(), 0);
    }

    fn remove(&mut self, namespace: &str, name: &str) {
        if let Some((_, bytes)) = self.classes.remove(&*key(namespace, name)) {
            self.bytes -= bytes;
            if let Some(of_namespace) = self.namespaces.get_mut(namespace) {
                *of_namespace -= bytes;
                if *of_namespace == 0 {
                    self.namespaces.remove(namespace);
                }
            }
        }
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
    if object.spec.is_some_and(|spec| spec.get().len() > SPEC_LIMIT_BYTES) {
        return invalid("spec", "larger than 1 MiB", "objects of at most 256 KiB");
    }
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

    #[test]
    fn classes_without_end_take_a_bounded_memory() {
        let mut table = ProviderClasses::default();
        let class = |name: usize, bytes: usize| {
            let value = "x".repeat(bytes);
            let namespace = name / 100;
            format!(
                r#"{{"metadata":{{"namespace":"{namespace}","name":"{name}"}},"spec":{{"provider":"azure","parameters":{{"objects":"{value}"}}}}}}"#
            )
        };
        let put = |table: &mut ProviderClasses, name, bytes| {
            table.upsert(&serde_json::from_str(&class(name, bytes)).unwrap());
            table.len()
        };
        assert_eq!(put(&mut table, 0, 70_000), 0, "read live");
        for name in 0..1000 {
            put(&mut table, name, 60_000);
        }
        assert!((200..300).contains(&table.len()) && table.bytes <= ALL_KEPT_BYTES);
        let full = table.len();
        assert_eq!(put(&mut table, 0, 70_000), full - 1, "what it was is not kept either");
        for name in 0..1000 {
            table.remove(&(name / 100).to_string(), &name.to_string());
        }
        assert_eq!((table.len(), table.bytes, table.namespaces.len()), (0, 0, 0));
        let huge = class(0, SPEC_LIMIT_BYTES);
        assert!(matches!(class_of(&huge), ClassFact::Invalid(_)));
    }

    #[test]
    fn a_namespace_full_of_classes_leaves_room_for_the_others() {
        let mut table = ProviderClasses::default();
        let mut put = |namespace: &str, name: usize| {
            let parameters = json!({"keyvaultName": "kv", "objects": "x".repeat(30_000)});
            let metadata = json!({"namespace": namespace, "name": name.to_string()});
            let class = json!({"metadata": metadata, "spec": {"provider": "azure", "parameters": parameters}});
            table.upsert(&serde_json::from_str(&class.to_string()).unwrap());
            table.find(namespace, &name.to_string()).is_some()
        };
        let kept = (0..1000).filter(|name| put("greedy", *name)).count();
        assert!((130..140).contains(&kept), "{kept}");
        assert!(put("modest", 0) && put("greedy", 0) && !put("greedy", 1000));
    }

    fn class_of(text: &str) -> ClassFact {
        class(&Item::read(text.as_bytes()).unwrap())
    }
}
