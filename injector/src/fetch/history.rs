//! A history: which versions it has, and what they hold.

use super::making::{FetchedItems, Job, Place};
use super::{Fetcher, ItemUpdate, Results, no_result};
use crate::changes::History;
use crate::content::Fetched;
use crate::fault::{Class, Fault, FaultKind};
use crate::vault::{Lifetime, Listed, Object, of_object};
use keysluice_plan::ObjectVersion;
use keysluice_plan::reason::KS404;
use secrecy::ExposeSecret;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::task::JoinSet;

/// What the vault has for a history.
enum Versions {
    /// What it had last time. The attributes may be others.
    Known(Lifetime),
    /// Newest first, what each of the items has of them, when the newest may be used, and what is
    /// odd about them.
    New {
        versions: Vec<ObjectVersion>,
        made: FetchedItems,
        lifetime: Lifetime,
        warnings: Vec<String>,
    },
}

impl Fetcher {
    pub(super) async fn history(
        self: Arc<Self>,
        volume: usize,
        newest: &Object,
        count: u32,
        items: Vec<usize>,
    ) -> Results {
        let known = self.known(volume, &items);
        let mut answer = self.versions(volume, newest, count, &items, known.as_deref()).await;
        // Another round may have had everything forgotten meanwhile, because the volume lost files.
        if matches!(answer, Ok(Versions::Known(_))) && self.known(volume, &items) != known {
            answer = self.versions(volume, newest, count, &items, None).await;
        }
        match answer {
            Err(fault) => self.failed(volume, items, &fault),
            Ok(Versions::Known(lifetime)) => {
                let kept = items.into_iter().map(|index| {
                    let paths = self
                        .tracker(volume)
                        .history(index)
                        .map(|known| known.paths)
                        .unwrap_or_default();
                    let kept = paths.into_iter().map(|path| (path, None)).collect();
                    let fetched = Fetched { lifetime: lifetime.clone(), ..Fetched::default() };
                    (index, Ok(ItemUpdate { fetched, kept }))
                });
                kept.collect()
            }
            Ok(Versions::New { versions, made, lifetime, warnings }) => {
                let noted = made.into_iter().map(|(index, made)| {
                    let update = made.map(|mut fetched| {
                        fetched.warnings.splice(0..0, warnings.iter().cloned());
                        fetched.warnings.dedup();
                        fetched.lifetime = lifetime.clone();
                        let paths = fetched.files.iter().map(|file| file.path.clone()).collect();
                        self.tracker(volume)
                            .set_history(index, History { versions: versions.clone(), paths });
                        fetched.into()
                    });
                    (index, update)
                });
                noted.collect()
            }
        }
    }

    /// The versions that the files of all these items are of.
    fn known(&self, volume: usize, items: &[usize]) -> Option<Vec<ObjectVersion>> {
        let versions = self.known_versions(volume, *items.first()?)?;
        items
            .iter()
            .all(|item| self.known_versions(volume, *item).as_ref() == Some(&versions))
            .then_some(versions)
    }

    fn known_versions(&self, volume: usize, item: usize) -> Option<Vec<ObjectVersion>> {
        self.tracker(volume).history(item).map(|known| known.versions)
    }

    /// The newest versions and their bodies, unless they are the `known` ones: what a version holds
    /// never changes.
    async fn versions(
        self: &Arc<Self>,
        volume: usize,
        newest: &Object,
        count: u32,
        items: &[usize],
        known: Option<&[ObjectVersion]>,
    ) -> Result<Versions, Fault> {
        let listed = self.vaults.versions(newest, self.source(newest.identity())?).await?;
        let start = newest.version().map(ObjectVersion::as_str);
        let Some(versions) = latest(&listed, start, count) else {
            let message =
                format!("{newest}: there is no such enabled version, so no file is written");
            let made = items.iter().map(|&index| (index, Ok(Fetched::default()))).collect();
            let (versions, lifetime) = (Vec::new(), Lifetime::default());
            return Ok(Versions::New { versions, made, lifetime, warnings: vec![message] });
        };
        let Some(first) = versions.first() else {
            let message = format_args!("{newest}: no version is there, or none is enabled");
            return Err(Fault::new(KS404, Class::Slow, message).of_kind(FaultKind::NotFound));
        };
        // Older versions are kept for those who still use them.
        let first = listed.iter().find(|one| one.name == first.as_str());
        let lifetime = first.map(Lifetime::of_listed).unwrap_or_default();
        if known.is_some_and(|known| known == versions) {
            return Ok(Versions::Known(lifetime));
        }
        let objects = versions.iter().map(|version| newest.at(version.clone())).collect();
        let made = self.make_all(volume, objects, items).await?;
        Ok(Versions::New { versions, made, lifetime, warnings: Vec::new() })
    }

    /// What these items have of several versions, in their order. Of an answer nothing is kept but
    /// its files.
    async fn make_all(
        self: &Arc<Self>,
        volume: usize,
        objects: Vec<Object>,
        items: &[usize],
    ) -> Result<FetchedItems, Fault> {
        let mut tasks = JoinSet::new();
        let mut answers: Vec<Option<FetchedItems>> = objects.iter().map(|_| None).collect();
        let mut failed = BTreeSet::new();
        for (number, object) in objects.into_iter().enumerate() {
            let (fetcher, items) = (Arc::clone(self), items.to_vec());
            tasks.spawn(
                async move { (number, fetcher.version(volume, object, number, items).await) },
            );
        }
        while let Some(done) = tasks.join_next().await {
            let (number, made) = done.map_err(|_| no_result("fetch"))?;
            // Without one there is no history, and where all items failed no other helps: dropping
            // the rest ends it.
            let made = made?;
            failed.extend(made.iter().filter(|(_, made)| made.is_err()).map(|(index, _)| *index));
            answers[number] = Some(made);
            if failed.len() == items.len() {
                break;
            }
        }
        let mut all: BTreeMap<usize, Result<Fetched, Fault>> =
            items.iter().map(|&index| (index, Ok(Fetched::default()))).collect();
        for (index, made) in answers.into_iter().flatten().flatten() {
            let Some(whole) = all.get_mut(&index) else { continue };
            match (whole.as_mut(), made) {
                (Ok(whole), Ok(one)) => {
                    whole.files.extend(one.files);
                    whole.updated = whole.updated.max(one.updated);
                    whole.warnings.extend(one.warnings);
                }
                (Ok(_), Err(fault)) => *whole = Err(fault),
                (Err(_), _) => {}
            }
        }
        Ok(all.into_iter().collect())
    }

    async fn version(
        &self,
        volume: usize,
        object: Object,
        number: usize,
        items: Vec<usize>,
    ) -> Result<FetchedItems, Fault> {
        let answer = self.vaults.get(&object, self.source(object.identity())?).await?;
        let (seen, _) = of_object(answer.body.expose_secret(), answer.date);
        let job = Job { volume, items, object, place: Place::Version(number), answer };
        let mut made = self.make(job).await;
        for fetched in made.iter_mut().filter_map(|(_, made)| made.as_mut().ok()) {
            fetched.updated = seen.map(|seen| seen.updated);
        }
        Ok(made)
    }
}

/// The newest `count` enabled versions that are not newer than `start`, newest first; `None` when
/// `start` is none of them.
fn latest(listed: &[Listed], start: Option<&str>, count: u32) -> Option<Vec<ObjectVersion>> {
    let mut versions: Vec<&Listed> =
        listed.iter().filter(|version| version.enabled == Some(true)).collect();
    // The service promises no order; of two within a second it is at least always the same.
    versions
        .sort_unstable_by(|a, b| (Reverse(a.created), &a.name).cmp(&(Reverse(b.created), &b.name)));
    let first = match start {
        None => 0,
        Some(start) => {
            versions.iter().position(|version| version.name.eq_ignore_ascii_case(start))?
        }
    };
    let names = versions.into_iter().skip(first).filter_map(|version| version.name.parse().ok());
    Some(names.take(usize::try_from(count).unwrap_or(usize::MAX)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, enabled: Option<bool>, created: i64) -> Listed {
        let (starts, expires, updated) = (None, None, None);
        Listed { name: name.to_owned(), enabled, created, starts, expires, updated }
    }

    #[test]
    #[allow(non_snake_case)] // the Azure provider's name of the same table
    fn TestGetLatestNKeyVaultObjects() {
        let versions = [
            listed("v2", Some(true), 20),
            listed("off", Some(false), 50),
            listed("v4", Some(true), 40),
            listed("bare", None, 60),
            listed("v1", Some(true), 10),
            listed("v3", Some(true), 30),
        ];
        let cases: &[(&str, Option<&str>, u32, Option<&[&str]>)] = &[
            (
                "sorts by created, newest first, without disabled ones",
                None,
                10,
                Some(&["v4", "v3", "v2", "v1"]),
            ),
            ("N means N", None, 2, Some(&["v4", "v3"])),
            ("N of exactly N", None, 4, Some(&["v4", "v3", "v2", "v1"])),
            ("starts at the named version", Some("v3"), 2, Some(&["v3", "v2"])),
            ("fewer than N gives all", Some("v2"), 5, Some(&["v2", "v1"])),
            ("names are compared without case", Some("V1"), 5, Some(&["v1"])),
            ("a disabled start is none", Some("off"), 5, None),
            ("an unknown start is none", Some("v9"), 5, None),
        ];
        for (case, start, count, expected) in cases {
            let found = latest(&versions, *start, *count);
            let found =
                found.as_ref().map(|all| all.iter().map(ObjectVersion::as_str).collect::<Vec<_>>());
            assert_eq!(found.as_deref(), *expected, "{case}");
        }
        assert_eq!(latest(&[], None, 2).unwrap(), []);
    }

    #[test]
    fn versions_of_one_second_have_a_fixed_order() {
        let mut versions = vec![listed("b", Some(true), 0), listed("a", Some(true), 0)];
        let first = latest(&versions, None, 1);
        versions.reverse();
        assert_eq!(first, latest(&versions, None, 1));
    }
}
