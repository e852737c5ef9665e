//! Both stores in memory, with the API server's optimistic locking: for tests and for a webhook
//! without a cluster.

use crate::bundle::{EntryPath, Published};
use crate::material::Data;
use crate::store::{BundleStore, Publication, ResourceVersion, SecretStore, StoreError, Stored};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A Secret in memory; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemorySecret(Arc<Mutex<Versioned<Option<Data>>>>);

/// A webhook configuration in memory; clones share it.
#[derive(Debug, Clone)]
pub struct MemoryBundle(Arc<Mutex<Versioned<Vec<Entry>>>>);

#[derive(Debug, Clone)]
struct Entry {
    bundle: String,
    path: String,
    is_replaceable: bool,
}

#[derive(Debug, Default)]
struct Versioned<T> {
    value: T,
    version: u64,
}

impl MemorySecret {
    /// What is in it.
    pub fn data(&self) -> Option<Data> {
        lock(&self.0).value.clone()
    }

    /// Replaces it, as another client would.
    pub fn replace(&self, data: Option<Data>) {
        lock(&self.0).set(data);
    }
}

impl MemoryBundle {
    /// A configuration with so many entries, each without `caBundle` and path.
    pub fn with_entries(count: usize) -> Self {
        let entry = Entry { bundle: String::new(), path: "/".to_owned(), is_replaceable: true };
        Self(Arc::new(Mutex::new(Versioned { value: vec![entry; count], version: 1 })))
    }

    /// `caBundle` of every entry.
    pub fn entries(&self) -> Vec<String> {
        lock(&self.0).value.iter().map(|entry| entry.bundle.clone()).collect()
    }

    /// Path of every entry.
    pub fn paths(&self) -> Vec<String> {
        lock(&self.0).value.iter().map(|entry| entry.path.clone()).collect()
    }

    /// Changes the path of every entry, as another client would. `is_replaceable` says whether a
    /// replica may change it again.
    pub fn lead(&self, path: &str, is_replaceable: bool) {
        let mut configuration = lock(&self.0);
        let entries = configuration.value.drain(..);
        let entries =
            entries.map(|entry| Entry { path: path.to_owned(), is_replaceable, ..entry }).collect();
        configuration.set(entries);
    }
}

impl SecretStore for MemorySecret {
    async fn read(&self) -> Result<Option<Stored>, StoreError> {
        let secret = lock(&self.0);
        Ok(secret.value.clone().map(|data| Stored { data, version: secret.version() }))
    }

    async fn write(
        &self,
        data: &Data,
        version: Option<&ResourceVersion>,
    ) -> Result<(), StoreError> {
        let mut secret = lock(&self.0);
        if secret.value.is_some().then(|| secret.version()).as_ref() != version {
            return Err(StoreError::Conflict);
        }
        secret.set(Some(data.clone()));
        Ok(())
    }
}

impl BundleStore for MemoryBundle {
    async fn read(&self) -> Result<Published, StoreError> {
        let configuration = lock(&self.0);
        let bundles = configuration.value.iter().map(|entry| entry.bundle.as_bytes());
        let paths = configuration
            .value
            .iter()
            .map(|entry| EntryPath::new(&entry.path, entry.is_replaceable));
        Ok(Published::read(bundles, configuration.version()).naming(paths))
    }

    async fn patch(
        &self,
        publication: &Publication,
        version: &ResourceVersion,
    ) -> Result<(), StoreError> {
        let mut configuration = lock(&self.0);
        if configuration.version() != *version {
            return Err(StoreError::Conflict);
        }
        let mut entries = configuration.value.clone();
        for entry in &mut entries {
            if let Some(bundle) = &publication.bundle {
                entry.bundle.clone_from(bundle);
            }
            if let Some(path) = publication.path.as_ref().filter(|_| entry.is_replaceable) {
                path.as_str().clone_into(&mut entry.path);
            }
        }
        configuration.set(entries);
        Ok(())
    }
}

impl<T> Versioned<T> {
    fn version(&self) -> ResourceVersion {
        ResourceVersion::from(self.version.to_string().as_str())
    }

    fn set(&mut self, value: T) {
        self.value = value;
        self.version += 1;
    }
}

/// Nothing is changed by halves under the lock, so a panic of another holder changes nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
