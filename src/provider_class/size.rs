//! How large a class is: its texts in bytes, and the memory that it takes.

use super::{ENTRY_BYTES, SecretObject, SecretObjectData};
use crate::heap;
use std::collections::BTreeMap;

const fn of_pair(key: &str, value: &str) -> usize {
    ENTRY_BYTES + key.len() + value.len()
}

/// Bytes of names and values.
pub(super) fn of_texts(texts: &BTreeMap<String, String>) -> usize {
    texts.iter().map(|(key, value)| of_pair(key, value)).sum()
}

/// Bytes of the texts of a secret object.
pub(super) fn of_secret(secret: &SecretObject) -> usize {
    let data = secret.data.iter().map(|data| of_pair(&data.object_name, &data.key));
    of_pair(&secret.secret_name, &secret.secret_type)
        + of_texts(&secret.labels)
        + of_texts(&secret.annotations)
        + data.sum::<usize>()
}

/// The heap that names and values take.
pub(super) fn memory_of_texts(texts: &BTreeMap<String, String>) -> usize {
    let pairs = texts.iter().map(|(key, value)| memory_of_pair(key, value));
    heap::tree::<String, String>(texts.len()) + pairs.sum::<usize>()
}

/// The heap that a secret object takes.
pub(super) fn memory_of_secret(secret: &SecretObject) -> usize {
    let data = secret.data.iter().map(|data| memory_of_pair(&data.object_name, &data.key));
    memory_of_pair(&secret.secret_name, &secret.secret_type)
        + memory_of_texts(&secret.labels)
        + memory_of_texts(&secret.annotations)
        + heap::block(secret.data.capacity() * size_of::<SecretObjectData>())
        + data.sum::<usize>()
}

fn memory_of_pair(key: &String, value: &String) -> usize {
    heap::block(key.capacity()) + heap::block(value.capacity())
}
