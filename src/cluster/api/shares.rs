//! Objects by namespace within one bound of memory, which namespaces share.
//!
//! A namespace may take whatever is free. Once all is taken, the one that holds most gives way to
//! any that holds less: what is dropped so is read live, by the pods of the namespace that made so
//! much of it.

use crate::heap;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What is charged for an object.
pub(super) trait Charged {
    /// Everything on the heap that belongs to it.
    fn heap_bytes(&self) -> usize;
}

/// Objects of one kind.
#[derive(Debug)]
pub(super) struct Shares<K, E> {
    limit_bytes: usize,
    bytes: usize,
    objects: usize,
    namespaces: HashMap<Arc<str>, Namespace<K, E>>,
    /// Who holds how much, so that the largest is found at once.
    by_size: BTreeSet<(usize, Arc<str>)>,
}

/// What one namespace holds.
#[derive(Debug)]
struct Namespace<K, E> {
    objects: BTreeMap<K, E>,
    bytes: usize,
}

impl<K: Ord, E: Charged> Shares<K, E> {
    /// Of an object beside what it has on the heap: a slot in nodes that are two thirds full.
    const SLOT_BYTES: usize = (size_of::<K>() + size_of::<E>()) * 8 / 5 + 4;

    pub(super) fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            bytes: 0,
            objects: 0,
            namespaces: HashMap::new(),
            by_size: BTreeSet::new(),
        }
    }

    pub(super) fn find(&self, namespace: &str, key: &K) -> Option<&E> {
        self.namespaces.get(namespace)?.objects.get(key)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.objects
    }

    /// What they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps an object in the place of an older one of its name, if there is room; whether it is
    /// kept.
    pub(super) fn keep(&mut self, namespace: &str, key: K, object: E) -> bool {
        self.remove(namespace, &key);
        let held = self.namespaces.get(namespace).map(|held| held.bytes);
        let bytes = Self::SLOT_BYTES + object.heap_bytes();
        let new = bytes + if held.is_none() { Self::namespace_bytes(namespace) } else { 0 };
        let wanted = held.unwrap_or_default() + new;
        while self.bytes + new > self.limit_bytes {
            // Taking from one that holds no more than this one would makes nothing fairer.
            match self.by_size.last() {
                Some((most, of)) if *most > wanted && **of != *namespace => {
                    drop(self.drop_one(&Arc::clone(of)));
                }
                _ => return false,
            }
        }
        let name = match self.namespaces.get_key_value(namespace) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(namespace),
        };
        let held = self.namespaces.entry(Arc::clone(&name));
        let held = held.or_insert_with(|| Namespace { objects: BTreeMap::new(), bytes: 0 });
        self.by_size.remove(&(held.bytes, Arc::clone(&name)));
        held.bytes += new;
        held.objects.insert(key, object);
        self.by_size.insert((held.bytes, name));
        self.bytes += new;
        self.objects += 1;
        true
    }

    /// Forgets an object; whether it was there.
    pub(super) fn remove(&mut self, namespace: &str, key: &K) -> bool {
        let Some((name, held)) = self.namespaces.get_key_value(namespace) else { return false };
        let (name, held) = (Arc::clone(name), held.objects.contains_key(key));
        held && self.take(&name, |objects| objects.remove(key)).is_some()
    }

    /// Drops objects of the largest until no more than this is held.
    pub(super) fn shrink(&mut self, limit_bytes: usize) {
        while self.bytes > limit_bytes {
            let Some((_, largest)) = self.by_size.last() else { return };
            self.drop_one(&Arc::clone(largest));
        }
    }

    fn drop_one(&mut self, namespace: &Arc<str>) -> Option<E> {
        self.take(namespace, |objects| objects.pop_last().map(|(_, object)| object))
    }

    fn take(
        &mut self,
        name: &Arc<str>,
        take: impl FnOnce(&mut BTreeMap<K, E>) -> Option<E>,
    ) -> Option<E> {
        let held = self.namespaces.get_mut(name)?;
        let object = take(&mut held.objects)?;
        self.by_size.remove(&(held.bytes, Arc::clone(name)));
        let bytes = if held.objects.is_empty() {
            held.bytes
        } else {
            Self::SLOT_BYTES + object.heap_bytes()
        };
        held.bytes -= bytes;
        self.bytes -= bytes;
        self.objects -= 1;
        if held.objects.is_empty() {
            self.namespaces.remove(name);
        } else {
            self.by_size.insert((held.bytes, Arc::clone(name)));
        }
        Some(object)
    }

    /// Of a namespace beside its objects: its name, its slots in the two tables, the first node of
    /// its own.
    fn namespace_bytes(name: &str) -> usize {
        let slots =
            2 * size_of::<(Arc<str>, Namespace<K, E>)>() + 2 * size_of::<(usize, Arc<str>)>();
        slots + heap::block(name.len() + 2 * size_of::<usize>()) + heap::tree::<K, E>(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq)]
    struct Bytes(usize);

    impl Charged for Bytes {
        fn heap_bytes(&self) -> usize {
            self.0
        }
    }

    fn held(shares: &Shares<u32, Bytes>, namespace: &str) -> usize {
        shares.namespaces.get(namespace).map_or(0, |held| held.bytes)
    }

    #[test]
    fn one_namespace_may_take_all_until_another_needs_room() {
        let mut shares = Shares::new(1 << 20);
        let kept = (0..2000).filter(|key| shares.keep("greedy", *key, Bytes(1000))).count();
        assert!((950..1050).contains(&kept) && shares.len() == kept, "{kept}");
        for key in 0..100 {
            assert!(shares.keep("modest", key, Bytes(1000)), "{key}");
        }
        assert_eq!(shares.namespaces["modest"].objects.len(), 100);
        // Two who want all of it share it.
        let kept = (0..2000).filter(|key| shares.keep("modest", *key, Bytes(1000))).count();
        assert!((400..600).contains(&kept), "{kept}");
        let (greedy, modest) = (held(&shares, "greedy"), held(&shares, "modest"));
        assert!(greedy.abs_diff(modest) < 3000 && shares.bytes() <= 1 << 20, "{greedy} {modest}");
        // Changing its own objects wins nothing.
        assert!(shares.find("greedy", &0).is_some() && shares.keep("greedy", 0, Bytes(1000)));
        assert_eq!(held(&shares, "modest"), modest);
    }

    #[test]
    fn an_object_larger_than_the_share_of_its_namespace_is_not_kept() {
        let mut shares = Shares::new(10_000);
        assert!(shares.keep("a", 1, Bytes(4000)) && shares.keep("b", 1, Bytes(1000)));
        assert!(!shares.keep("b", 2, Bytes(6000)) && shares.find("a", &1).is_some());
        assert!(!shares.keep("a", 1, Bytes(20_000)), "what it was is not kept either");
        assert_eq!((shares.find("a", &1), shares.len()), (None, 1));
        shares.shrink(0);
        assert_eq!(
            (shares.len(), shares.bytes(), shares.namespaces.len(), shares.by_size.len()),
            (0, 0, 0, 0)
        );
    }

    proptest! {
        #[test]
        fn the_sums_are_the_objects(
            steps in prop::collection::vec((0usize..6, 0u32..8, 0usize..3000), 0..200)
        ) {
            let mut shares = Shares::new(20_000);
            for (namespace, key, bytes) in steps {
                let name = format!("n{namespace}");
                let known = if bytes < 500 {
                    !shares.remove(&name, &key)
                } else {
                    shares.keep(&name, key, Bytes(bytes))
                };
                prop_assert_eq!(shares.find(&name, &key).is_some(), known && bytes >= 500);
                let sum: usize = shares.namespaces.values().map(|held| held.bytes).sum();
                let counts = shares.namespaces.values().map(|held| held.objects.len());
                let objects: usize = counts.sum();
                prop_assert_eq!((sum, objects), (shares.bytes(), shares.len()));
                prop_assert!(shares.bytes() <= 20_000);
                let namespaces = shares.namespaces.iter();
                let sizes: BTreeSet<_> =
                    namespaces.map(|(name, held)| (held.bytes, Arc::clone(name))).collect();
                prop_assert_eq!(&sizes, &shares.by_size);
            }
        }
    }
}
