//! SecretProviderClasses, read once when they change and not once for each pod.

use super::cache::Table;
use super::client::OBJECTS;
use super::event::{Item, Object};
use super::shares::{Charged, Shares};
use crate::heap;
use crate::mutate::ClassFact;
use crate::provider_class::{ClassCause, ClassError, Plans, ProviderClass};
use serde_json::value::RawValue;
use std::sync::Arc;

/// More than a Plan of 96 KiB comes from: `objects` of at most 64 KiB (KS120), and as much again
/// for everything else, twice.
const SPEC_LIMIT_BYTES: usize = 256 << 10;
/// A class larger than this is not even parsed before a pod names it; then it is read live.
const CLASS_KEPT_BYTES: usize = 64 << 10;
/// Of a class beside what it holds: what it remembers of its plans.
const MEMORY_BYTES: usize = 1 << 10;

/// Classes by namespace and name.
#[derive(Debug)]
pub(super) struct ProviderClasses {
    classes: Shares<Box<str>, Class>,
    /// What the classes that are kept come to.
    plans: Arc<Plans>,
}

/// A class, or what is wrong with it.
#[derive(Debug)]
struct Class {
    fact: ClassFact,
    /// Of its name.
    name_bytes: usize,
}

impl ProviderClasses {
    /// The class, if it is known.
    pub(super) fn find(&self, namespace: &str, name: &str) -> Option<ClassFact> {
        self.classes.find(namespace, &Box::from(name)).map(|class| class.fact.clone())
    }

    /// Whether it is.
    pub(super) fn knows(&self, namespace: &str, name: &str) -> bool {
        self.classes.find(namespace, &Box::from(name)).is_some()
    }

    fn keep(&mut self, namespace: &str, name: &str, fact: ClassFact) {
        self.classes.keep(
            namespace,
            name.into(),
            Class { fact, name_bytes: heap::block(name.len()) },
        );
    }
}

impl Table for ProviderClasses {
    const NAME: &'static str = "secretproviderclasses";
    const PATH: &'static str = "/apis/secrets-store.csi.x-k8s.io/v1/secretproviderclasses";
    const ACCEPT: &'static str = OBJECTS;
    // Eight of the largest that etcd stores are 12 MiB: such a page is asked for again in halves.
    const PAGE_ITEMS: usize = 8;
    const OPTIONAL: bool = true;

    fn new(limit_bytes: usize) -> Self {
        // A quarter for what they come to: few of the classes in a cluster are in use at a time.
        Self {
            classes: Shares::new(limit_bytes / 4 * 3),
            plans: Arc::new(Plans::new(limit_bytes / 4)),
        }
    }

    fn upsert(&mut self, object: &Object<'_>) {
        let (namespace, name) = (&*object.metadata.namespace, &*object.metadata.name);
        if object.spec.is_some_and(|spec| spec.get().len() > CLASS_KEPT_BYTES) {
            return self.remove(namespace, name);
        }
        let read = readable(object).map(|class| class.counted_in(&self.plans));
        self.keep(namespace, name, fact(read));
    }

    fn unreadable(&mut self, namespace: &str, name: &str) {
        self.keep(namespace, name, fact(Err(unreadable())));
    }

    fn remove(&mut self, namespace: &str, name: &str) {
        self.classes.remove(namespace, &Box::from(name));
    }

    fn len(&self) -> usize {
        self.classes.len()
    }

    fn bytes(&self) -> usize {
        self.classes.bytes() + self.plans.limit_bytes()
    }

    fn shrink(&mut self, limit_bytes: usize) {
        self.classes.shrink(limit_bytes);
    }
}

impl Charged for Class {
    fn heap_bytes(&self) -> usize {
        let fact = match &self.fact {
            ClassFact::Missing => 0,
            ClassFact::Found(class) if class.is_azure() => class.memory_bytes() + MEMORY_BYTES,
            ClassFact::Found(class) => class.memory_bytes(),
            // The name of a field and a value, which the message holds as well.
            ClassFact::Invalid(error) => 512 + 2 * heap::block(error.to_string().len()),
        };
        self.name_bytes + fact
    }
}

/// Reads what the API server has under this name as a class.
pub(super) fn class(item: &Item<'_>) -> ClassFact {
    fact(match item {
        Item::Readable(object) => readable(object),
        Item::Unreadable(_) => Err(unreadable()),
    })
}

/// What is said of a class whose object is larger than is read.
pub(super) fn too_large() -> ClassFact {
    fact(Err(ClassCause::SpecSize { limit: SPEC_LIMIT_BYTES }.into()))
}

fn readable(object: &Object<'_>) -> Result<ProviderClass, ClassError> {
    if object.metadata.name.is_empty() {
        return Err(unreadable());
    }
    // What is not used need not be parsed.
    if object.spec.is_some_and(|spec| spec.get().len() > SPEC_LIMIT_BYTES) {
        return Err(ClassCause::SpecSize { limit: SPEC_LIMIT_BYTES }.into());
    }
    let spec = object.spec.map_or("null", RawValue::get);
    let mut class =
        ProviderClass::from_json(&object.metadata.namespace, &object.metadata.name, spec)?;
    if !class.is_azure() {
        // Another provider's pod is let through untouched: its parameters are nothing to us.
        class.parameters.clear();
        class.secret_objects = Vec::new();
    }
    Ok(class)
}

fn fact(read: Result<ProviderClass, ClassError>) -> ClassFact {
    read.map_or_else(
        |error| ClassFact::Invalid(Arc::new(error)),
        |class| ClassFact::Found(Arc::new(class)),
    )
}

fn unreadable() -> ClassError {
    let (found, expected) = ("unreadable", "metadata with strings as names and annotations");
    ClassCause::Manifest { field: "metadata".to_owned(), found, expected }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const MEBIBYTE: usize = 1 << 20;

    fn put(
        table: &mut ProviderClasses,
        namespace: &str,
        name: &str,
        spec: &Value,
    ) -> Option<ClassFact> {
        let object =
            json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec}).to_string();
        table.upsert(&serde_json::from_str(&object).unwrap());
        table.find(namespace, name)
    }

    fn azure(objects_bytes: usize) -> Value {
        let objects = "x".repeat(objects_bytes);
        json!({"provider": "azure", "parameters": {"keyvaultName": "kv-1", "objects": objects}})
    }

    fn parameter_count(fact: Option<ClassFact>) -> usize {
        match fact {
            Some(ClassFact::Found(class)) => class.parameters.len(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn classes_are_found_invalid_ones_too_and_foreign_parameters_are_not_kept() {
        let mut table = ProviderClasses::new(MEBIBYTE);
        let ours = json!({"provider": "azure", "parameters": {"keyvaultName": "kv"}});
        let theirs = json!({"provider": "aws", "parameters": {"objects": "x".repeat(60_000)}});
        let broken = json!({"provider": "azure", "parameters": {"a": 1}});
        assert_eq!(parameter_count(put(&mut table, "n", "ours", &ours)), 1);
        let bytes = table.bytes();
        assert_eq!(parameter_count(put(&mut table, "n", "theirs", &theirs)), 0);
        assert!(table.bytes() - bytes < 1024);
        assert!(matches!(put(&mut table, "n", "broken", &broken), Some(ClassFact::Invalid(_))));
        table.remove("n", "broken");
        assert!(table.find("n", "broken").is_none() && table.find("m", "ours").is_none());
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_class_larger_than_is_kept_is_not_parsed_and_one_larger_than_any_plan_is_refused() {
        let mut table = ProviderClasses::new(MEBIBYTE);
        assert!(put(&mut table, "n", "c", &azure(60_000)).is_some());
        assert!(
            put(&mut table, "n", "c", &azure(70_000)).is_none() && table.len() == 0,
            "what it was is not kept either"
        );
        let object = json!({"metadata": {"namespace": "n", "name": "c"}, "spec": azure(300_000)})
            .to_string();
        let ClassFact::Invalid(error) = class(&Item::read(object.as_bytes()).unwrap()) else {
            panic!("{object:.100}")
        };
        assert!(
            error.to_string().starts_with("KS147 spec has more than 262144 bytes; hint: "),
            "{error}"
        );
    }

    #[test]
    fn classes_are_charged_what_they_take_and_leave_room_for_those_of_another_namespace() {
        let parameters: serde_json::Map<_, _> =
            (0..4000).map(|at| (at.to_string(), json!(""))).collect();
        let shapes = [
            azure(60_000),
            json!({"provider": "azure", "secretObjects": [{"data": vec![json!({}); 2000]}]}),
            json!({"provider": "azure", "secretObjects": vec![json!({}); 2000]}),
            json!({"provider": "azure", "parameters": parameters}),
        ];
        for shape in shapes {
            let mut table = ProviderClasses::new(4 * MEBIBYTE);
            for number in 0..80 {
                put(&mut table, "greedy", &number.to_string(), &shape);
            }
            assert!((3..60).contains(&table.len()), "{}", table.len());
            assert!(table.bytes() <= 4 * MEBIBYTE && table.bytes() > 3 * MEBIBYTE);
            for number in 0..50 {
                assert!(
                    put(&mut table, "modest", &number.to_string(), &azure(300)).is_some(),
                    "{number}"
                );
            }
            assert!(table.find("modest", "0").is_some() && table.bytes() <= 4 * MEBIBYTE);
        }
    }
}
