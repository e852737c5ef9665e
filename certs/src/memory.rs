//! Both stores in memory, with the API server's optimistic locking: for tests and for a webhook without a cluster.

use crate::bundle::Published;
use crate::material::Data;
use crate::store::{BundleStore, ResourceVersion, SecretStore, StoreError, Stored};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A Secret in memory; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemorySecret(Arc<Mutex<Versioned<Option<Data>>>>);

/// A webhook configuration in memory; clones share it.
#[derive(Debug, Clone)]
pub struct MemoryBundle(Arc<Mutex<Versioned<Vec<String>>>>);

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

    /// Changes it as somebody else would.
    pub fn replace(&self, data: Option<Data>) {
        lock(&self.0).set(data);
    }
}

impl MemoryBundle {
    /// A configuration with so many entries, each without `caBundle`.
    pub fn with_entries(count: usize) -> Self {
        Self(Arc::new(Mutex::new(Versioned { value: vec![String::new(); count], version: 1 })))
    }

    /// `caBundle` of every entry.
    pub fn entries(&self) -> Vec<String> {
        lock(&self.0).value.clone()
    }

    /// Changes it as somebody else would.
    pub fn replace(&self, entries: Vec<String>) {
        lock(&self.0).set(entries);
    }
}

impl SecretStore for MemorySecret {
    async fn read(&self) -> Result<Option<Stored>, StoreError> {
        let secret = lock(&self.0);
        Ok(secret.value.clone().map(|data| Stored { data, version: secret.version() }))
    }

    async fn write(&self, data: &Data, version: Option<&ResourceVersion>) -> Result<(), StoreError> {
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
        Ok(Published::read(configuration.value.iter().map(String::as_bytes), configuration.version()))
    }

    async fn patch(&self, bundle: &str, version: &ResourceVersion) -> Result<(), StoreError> {
        let mut configuration = lock(&self.0);
        if configuration.version() != *version {
            return Err(StoreError::Conflict);
        }
        let entries = vec![bundle.to_owned(); configuration.value.len()];
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
