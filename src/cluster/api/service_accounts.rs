//! ServiceAccounts: the annotations of those that have ours; of all others that they exist.

use super::cache::Table;
use super::client::METADATA;
use super::event::Object;
use crate::mutate::ServiceAccount;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

/// Two ids are 72 bytes. Annotations may have 256 KiB, and whoever writes them must not fill our memory: these are read live.
const ACCOUNT_KEPT_BYTES: usize = 2 << 10;

/// ServiceAccounts by namespace and name.
///
/// Nineteen of twenty carry no annotation of ours; of them a 64-bit hash is kept (9 to 18 bytes with the table's slack). Its key is
/// random in each process, so nobody can make names that collide, and among 50,000 a missing name meets a hash by chance once in
/// 10^14 look-ups. Even then the answer is "exists, without annotations": the pod gets no client id, and a warning, never somebody
/// else's. The annotated ones are kept under their full names.
#[derive(Debug, Default)]
pub(super) struct ServiceAccounts {
    annotated: HashMap<Box<str>, Annotated>,
    plain: HashSet<u64>,
    hasher: RandomState,
}

/// [`ServiceAccount`] without the room for growth.
#[derive(Debug)]
struct Annotated {
    client_id: Option<Box<str>>,
    tenant_id: Option<Box<str>>,
    token_expiration: Option<Box<str>>,
    misspelt: Box<[String]>,
}

impl ServiceAccounts {
    /// The ServiceAccount, if it is known.
    pub(super) fn find(&self, namespace: &str, name: &str) -> Option<ServiceAccount> {
        if let Some(annotated) = self.annotated.get(&*key(namespace, name)) {
            return Some(annotated.to_service_account());
        }
        self.plain.contains(&self.hash(namespace, name)).then(ServiceAccount::default)
    }

    fn hash(&self, namespace: &str, name: &str) -> u64 {
        self.hasher.hash_one((namespace, name))
    }
}

impl Table for ServiceAccounts {
    const NAME: &'static str = "serviceaccounts";
    const PATH: &'static str = "/api/v1/serviceaccounts";
    const ACCEPT: &'static str = METADATA;

    fn upsert(&mut self, object: &Object<'_>) {
        let (namespace, name) = (&*object.metadata.namespace, &*object.metadata.name);
        let account = ServiceAccount::from_annotations(object.annotations());
        let hash = self.hash(namespace, name);
        if kept_bytes(&account) > ACCOUNT_KEPT_BYTES {
            return self.remove(namespace, name);
        }
        if account == ServiceAccount::default() {
            self.annotated.remove(&*key(namespace, name));
            self.plain.insert(hash);
        } else {
            self.plain.remove(&hash);
            self.annotated.insert(key(namespace, name), Annotated::new(account));
        }
    }

    fn remove(&mut self, namespace: &str, name: &str) {
        if self.annotated.remove(&*key(namespace, name)).is_none() {
            // If this was the hash of another name too, that one is a miss from now on and read live: slower, not wrong.
            self.plain.remove(&self.hash(namespace, name));
        }
    }

    fn len(&self) -> usize {
        self.annotated.len() + self.plain.len()
    }
}

impl Annotated {
    fn new(account: ServiceAccount) -> Self {
        Self {
            client_id: account.client_id.map(String::into_boxed_str),
            tenant_id: account.tenant_id.map(String::into_boxed_str),
            token_expiration: account.token_expiration.map(String::into_boxed_str),
            misspelt: account.misspelt.into_boxed_slice(),
        }
    }

    fn to_service_account(&self) -> ServiceAccount {
        let owned = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        ServiceAccount {
            client_id: owned(&self.client_id),
            tenant_id: owned(&self.tenant_id),
            token_expiration: owned(&self.token_expiration),
            misspelt: self.misspelt.to_vec(),
        }
    }
}

fn kept_bytes(account: &ServiceAccount) -> usize {
    let ids = [&account.client_id, &account.tenant_id, &account.token_expiration].into_iter().flatten();
    ids.chain(&account.misspelt).map(String::len).sum()
}

/// Neither part can hold a slash.
pub(super) fn key(namespace: &str, name: &str) -> Box<str> {
    [namespace, "/", name].concat().into_boxed_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upsert(table: &mut ServiceAccounts, json: &str) {
        table.upsert(&serde_json::from_str(json).unwrap());
    }

    #[test]
    fn an_account_with_annotations_without_end_is_not_kept() {
        let mut table = ServiceAccounts::default();
        for (bytes, kept) in [(36, 1), (200_000, 0), (36, 1)] {
            let id = "x".repeat(bytes);
            let annotations = format!(r#"{{"azure.workload.identity/client-id":"{id}"}}"#);
            let metadata = format!(r#"{{"namespace":"n","name":"a","annotations":{annotations}}}"#);
            upsert(&mut table, &format!(r#"{{"metadata":{metadata}}}"#));
            assert_eq!(table.len(), kept);
        }
    }

    #[test]
    fn an_account_moves_between_plain_and_annotated_as_its_annotations_come_and_go() {
        let mut table = ServiceAccounts::default();
        assert_eq!(table.find("n", "a"), None);
        upsert(&mut table, r#"{"metadata":{"namespace":"n","name":"a","annotations":{"other":"x"}}}"#);
        assert_eq!(table.find("n", "a"), Some(ServiceAccount::default()));
        assert_eq!(table.find("na", ""), None);
        upsert(
            &mut table,
            r#"{"metadata":{"namespace":"n","name":"a","annotations":{"azure.workload.identity/client-id":"id","azure.workload.identity/client_id":"typo"}}}"#,
        );
        let account = table.find("n", "a").unwrap();
        assert_eq!(account.client_id.as_deref(), Some("id"));
        assert_eq!(account.misspelt, ["azure.workload.identity/client_id"]);
        assert_eq!((table.plain.len(), table.annotated.len()), (0, 1));
        upsert(&mut table, r#"{"metadata":{"namespace":"n","name":"a"}}"#);
        assert_eq!((table.plain.len(), table.annotated.len()), (1, 0));
        table.remove("n", "a");
        assert_eq!((table.find("n", "a"), table.len()), (None, 0));
    }
}
