//! ServiceAccounts: the annotations of those that have ours; of all others that they exist.

use super::cache::Table;
use super::client::METADATA;
use super::event::Object;
use super::shares::{Charged, Shares};
use crate::heap;
use crate::mutate::ServiceAccount;
use std::hash::{BuildHasher, RandomState};

/// ServiceAccounts by namespace and name.
///
/// Nineteen of twenty carry no annotation of ours; of them a 64-bit hash is kept (25 bytes with the
/// table's slack). Its key is random in each process, so nobody can make names that collide, and
/// among 50,000 a missing name meets a hash by chance once in 10^14 look-ups. Even then the answer
/// is "exists, without annotations": the pod gets no client id, and a warning, never somebody
/// else's. The annotated ones are kept with their full names.
#[derive(Debug)]
pub(super) struct ServiceAccounts {
    accounts: Shares<u64, Account>,
    hasher: RandomState,
}

/// `None` for one without annotations of ours.
#[derive(Debug)]
struct Account(Option<Box<Annotated>>);

#[derive(Debug)]
struct Annotated {
    name: Box<str>,
    account: ServiceAccount,
}

impl ServiceAccounts {
    /// The ServiceAccount, if it is known.
    pub(super) fn find(&self, namespace: &str, name: &str) -> Option<ServiceAccount> {
        match &self.accounts.find(namespace, &self.hash(namespace, name))?.0 {
            None => Some(ServiceAccount::default()),
            Some(annotated) => (*annotated.name == *name).then(|| annotated.account.clone()),
        }
    }

    fn hash(&self, namespace: &str, name: &str) -> u64 {
        self.hasher.hash_one((namespace, name))
    }
}

impl Table for ServiceAccounts {
    const NAME: &'static str = "serviceaccounts";
    const PATH: &'static str = "/api/v1/serviceaccounts";
    const ACCEPT: &'static str = METADATA;

    fn new(limit_bytes: usize) -> Self {
        Self { accounts: Shares::new(limit_bytes), hasher: RandomState::new() }
    }

    fn upsert(&mut self, object: &Object<'_>) {
        let (namespace, name) = (&*object.metadata.namespace, &*object.metadata.name);
        let mut account = ServiceAccount::from_annotations(object.annotations());
        let annotated = if account == ServiceAccount::default() {
            None
        } else {
            account.misspelt.shrink_to_fit();
            account.too_long.shrink_to_fit();
            Some(Box::new(Annotated { name: name.into(), account }))
        };
        let hash = self.hash(namespace, name);
        self.accounts.keep(namespace, hash, Account(annotated));
    }

    fn remove(&mut self, namespace: &str, name: &str) {
        // If this was the hash of another name too, that one is a miss from now on and read live:
        // slower, not wrong.
        let hash = self.hash(namespace, name);
        self.accounts.remove(namespace, &hash);
    }

    fn len(&self) -> usize {
        self.accounts.len()
    }

    fn bytes(&self) -> usize {
        self.accounts.bytes()
    }

    fn shrink(&mut self, limit_bytes: usize) {
        self.accounts.shrink(limit_bytes);
    }
}

impl Charged for Account {
    fn heap_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |annotated| {
            heap::block(size_of::<Annotated>())
                + heap::block(annotated.name.len())
                + annotated.account.heap_bytes()
        })
    }
}

/// Neither part can hold a slash.
pub(super) fn key(namespace: &str, name: &str) -> Box<str> {
    [namespace, "/", name].concat().into_boxed_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn table() -> ServiceAccounts {
        ServiceAccounts::new(1 << 20)
    }

    fn upsert(table: &mut ServiceAccounts, json: &str) {
        table.upsert(&serde_json::from_str(json).unwrap());
    }

    fn annotated(namespace: &str, name: &str, annotations: &serde_json::Value) -> String {
        json!({"metadata": {"namespace": namespace, "name": name, "annotations": annotations}})
            .to_string()
    }

    #[test]
    fn an_account_with_annotations_without_end_is_known_and_takes_little() {
        let mut table = table();
        let keys = (0..78)
            .map(|number| (format!("azure.workload.identity/a{number}"), json!("x".repeat(2000))));
        let mut annotations: serde_json::Map<_, _> = keys.collect();
        annotations
            .insert("azure.workload.identity/client-id".to_owned(), json!("x".repeat(200_000)));
        upsert(&mut table, &annotated("n", "a", &annotations.into()));
        assert!(table.bytes() < 2048, "{}", table.bytes());
        let account = table.find("n", "a").unwrap();
        assert_eq!(
            (account.client_id, account.misspelt_count, account.too_long.len()),
            (None, 78, 1)
        );
    }

    #[test]
    fn accounts_without_end_leave_room_for_those_of_another_namespace() {
        let mut table = table();
        let filler = "x".repeat(200);
        for number in 0..20_000 {
            let name = format!("a{number}");
            let id = json!({"azure.workload.identity/client-id": format!("{name}{filler}")});
            upsert(&mut table, &annotated("greedy", &name, &id));
        }
        assert!((2000..4000).contains(&table.len()) && table.bytes() <= 1 << 20, "{}", table.len());
        for number in 0..100 {
            let name = format!("b{number}");
            let id = json!({"azure.workload.identity/client-id": format!("{name}{filler}")});
            upsert(&mut table, &annotated("modest", &name, &id));
            upsert(&mut table, &annotated("plain", &name, &json!({})));
        }
        for number in 0..100 {
            let name = format!("b{number}");
            let account = table.find("modest", &name).unwrap();
            assert!(account.client_id.unwrap().starts_with(&name));
            assert_eq!(table.find("plain", &name), Some(ServiceAccount::default()));
        }
        // Those that have no annotation count as well.
        for number in 0..200_000 {
            upsert(
                &mut table,
                &format!(r#"{{"metadata":{{"namespace":"many","name":"{number}"}}}}"#),
            );
        }
        assert!(table.bytes() <= 1 << 20 && table.find("modest", "b7").is_some());
    }

    #[test]
    fn an_account_moves_between_plain_and_annotated_as_its_annotations_come_and_go() {
        let mut table = table();
        assert_eq!(table.find("n", "a"), None);
        upsert(
            &mut table,
            r#"{"metadata":{"namespace":"n","name":"a","annotations":{"other":"x"}}}"#,
        );
        assert_eq!(table.find("n", "a"), Some(ServiceAccount::default()));
        assert_eq!(table.find("na", ""), None);
        let plain = table.bytes();
        upsert(
            &mut table,
            r#"{"metadata":{"namespace":"n","name":"a","annotations":{
                "azure.workload.identity/client-id":"id",
                "azure.workload.identity/client_id":"typo"}}}"#,
        );
        let account = table.find("n", "a").unwrap();
        assert_eq!(account.client_id.as_deref(), Some("id"));
        assert_eq!(account.misspelt, ["azure.workload.identity/client_id"]);
        assert!(table.len() == 1 && table.bytes() > plain);
        upsert(&mut table, r#"{"metadata":{"namespace":"n","name":"a"}}"#);
        assert_eq!((table.len(), table.bytes()), (1, plain));
        table.remove("n", "a");
        assert_eq!((table.find("n", "a"), table.len(), table.bytes()), (None, 0, 0));
    }
}
