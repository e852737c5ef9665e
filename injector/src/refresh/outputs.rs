//! The files of the items of a volume: fetched and not committed yet, or standing in the current
//! generation.

mod certificates;

use super::replan::Origin;
use crate::content::{Content, Output};
use crate::fault::{Class, Fault, FaultKind};
use crate::fetch::ItemUpdate;
use crate::item::Item;
use crate::volume::Entry;
use keysluice_plan::reason::{KS429, KS431};
use keysluice_plan::{File, Layout, Part, RelativePath, Volume};
use std::collections::BTreeSet;

/// Per item the files it has.
#[derive(Debug)]
pub(crate) struct Outputs {
    items: Vec<ItemOutput>,
    /// Items that are of one certificate: their files change together.
    certificates: Vec<Vec<usize>>,
}

#[derive(Debug, Default)]
struct ItemOutput {
    /// Its last good files, as they stand in the current generation.
    standing: Vec<RelativePath>,
    /// What they are of; `None` when an earlier process wrote them.
    version: Option<String>,
    /// Not committed by this process: selections of one directory cannot tell whose a file is that
    /// an earlier one left.
    guessed: bool,
    /// What replaces them at the next commit.
    pending: Option<Pending>,
    /// Authorities that the newest version does not have: neither leaf nor key waits for them.
    without_ca: bool,
}

#[derive(Debug)]
struct Pending {
    files: Vec<Output>,
    /// Standing files that stay.
    kept: Vec<RelativePath>,
}

/// Of which version files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version<'a> {
    NoFiles,
    /// An earlier process wrote them.
    Unknown,
    Known(&'a str),
}

impl ItemOutput {
    /// What the next generation has of it; without content where the current one has it already.
    fn files(&self) -> impl Iterator<Item = (&RelativePath, Option<&Content>)> {
        let pending = self.pending.iter().flat_map(|pending| &pending.files);
        let kept = self.pending.as_ref().map_or(&self.standing, |pending| &pending.kept);
        pending
            .map(|file| (&file.path, Some(&file.content)))
            .chain(kept.iter().map(|path| (path, None)))
    }

    /// The version of its files in the next generation.
    fn next_version(&self) -> Version<'_> {
        match &self.pending {
            Some(pending) => {
                pending.files.first().map_or(Version::NoFiles, |file| Version::Known(&file.version))
            }
            None if self.standing.is_empty() => Version::NoFiles,
            None => self.version.as_deref().map_or(Version::Unknown, Version::Known),
        }
    }

    /// The same when what was fetched is held back.
    fn standing(&self) -> impl Iterator<Item = (&RelativePath, Option<&Content>)> {
        self.standing.iter().map(|path| (path, None))
    }
}

impl Outputs {
    /// What the items left in a generation with these files; whether it can be a whole generation
    /// of this volume. A pod keeps its Plan, so whose a file is follows from its path: no state
    /// that could disagree with the volume.
    pub(crate) fn of(volume: &Volume, files: &BTreeSet<RelativePath>) -> (Self, bool) {
        let layout = Layout::of(volume);
        let items = (0..Item::count(volume)).map(|index| {
            let own = files.iter().filter(|path| match index.checked_sub(volume.files.len()) {
                None => layout.file_of(path) == Some(index),
                Some(selection) => layout.may_be_selected(selection, path),
            });
            ItemOutput { standing: own.cloned().collect(), guessed: true, ..ItemOutput::default() }
        });
        let complete = Item::count(volume) + volume.templates.len() > 0
            && Item::all(volume).all(|item| item.may_have_made(files))
            && volume.templates.iter().all(|made| files.contains(&made.path));
        (Self { items: items.collect(), certificates: certificates::groups(volume) }, complete)
    }

    /// Of no volume.
    pub(super) fn none() -> Self {
        Self { items: Vec::new(), certificates: Vec::new() }
    }

    /// The same for other items of the volume: for each the one it was before. A file that stands
    /// where a new item writes stays until that has fetched its own.
    pub(super) fn replanned(self, volume: &Volume, same: &[Option<usize>]) -> (Self, Vec<Origin>) {
        let mut before: Vec<_> = self.items.into_iter().map(Some).collect();
        let mut items: Vec<Option<ItemOutput>> =
            same.iter().map(|known| before.get_mut((*known)?).and_then(Option::take)).collect();
        let rest = before.into_iter().flatten().flat_map(|output| output.standing);
        let (others, _) = Self::of(volume, &rest.collect());
        let mut origins = Vec::new();
        for ((item, other), known) in items.iter_mut().zip(others.items).zip(same) {
            origins.push(match known {
                Some(index) if item.is_some() => Origin::Same(*index),
                _ if other.standing.is_empty() => Origin::New,
                _ => Origin::Stands,
            });
            item.get_or_insert(other);
        }
        let items = items.into_iter().flatten().collect();
        (Self { items, certificates: certificates::groups(volume) }, origins)
    }

    /// Takes what was fetched for an item; answers with the worst that some of its objects failed
    /// with while their files stay. A path that the Plan gives to a file is left to it; one that
    /// another item has is refused.
    pub(crate) fn accept(
        &mut self,
        volume: &Volume,
        index: usize,
        update: ItemUpdate,
    ) -> Result<Option<Fault>, Fault> {
        let ItemUpdate { fetched, kept: asked } = update;
        let mut files = fetched.files;
        match Item::at(volume, index) {
            Item::File(file) if file.split && file.history.is_none() => {
                check_cert_and_key(volume, file, &files)?;
            }
            Item::File(_) => {}
            Item::Selection(_) => {
                let layout = Layout::of(volume);
                files.retain(|new| layout.file_of(&new.path).is_none());
                self.check_selected(volume, &layout, index, &files)?;
            }
        }
        let output = &mut self.items[index];
        let first = output.pending.is_none() && output.standing.is_empty();
        let (paths, faults): (BTreeSet<_>, Vec<_>) = asked.into_iter().unzip();
        let fault = faults.into_iter().flatten().max_by_key(|fault: &Fault| fault.class);
        if let Some(fault) = fault.as_ref().filter(|_| first) {
            return Err(fault.clone());
        }
        let kept = match output.pending.take() {
            None => output.standing.iter().filter(|path| paths.contains(path)).cloned().collect(),
            Some(earlier) => {
                files.extend(earlier.files.into_iter().filter(|file| paths.contains(&file.path)));
                earlier.kept.into_iter().filter(|path| paths.contains(path)).collect()
            }
        };
        output.pending = Some(Pending { files, kept });
        output.without_ca = false;
        Ok(fault)
    }

    /// An item could not be fetched or made.
    pub(crate) fn failed(&mut self, volume: &Volume, index: usize, fault: &Fault) {
        let of_ca = volume.files.get(index).is_some_and(|file| file.part == Some(Part::Ca));
        self.items[index].without_ca = of_ca && fault.kind == FaultKind::NoPart;
    }

    /// A secret that was selected may not stand where another item's file does.
    fn check_selected(
        &self,
        volume: &Volume,
        layout: &Layout<'_>,
        index: usize,
        files: &[Output],
    ) -> Result<(), Fault> {
        for new in files {
            let file = layout.colliding_path(&new.path);
            let mut others = self
                .items
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index && *other >= volume.files.len());
            let in_the_way = file.or_else(|| {
                others.find_map(|(_, output)| {
                    let guessed = output.guessed && output.pending.is_none();
                    let mut paths = output.files().map(|(path, _)| path);
                    let other = paths.find(|path| {
                        new.path.collides_with(path) && !(guessed && new.path == **path)
                    });
                    other.cloned()
                })
            });
            if let Some(other) = in_the_way {
                return Err(in_one_place(Item::at(volume, index), &new.path, &other));
            }
        }
        Ok(())
    }

    /// Certificates of whose files some are of another version than others, or may be: what was
    /// fetched of them is not committed.
    pub(crate) fn disagreeing(&self) -> impl Iterator<Item = &[usize]> {
        self.certificates.iter().map(Vec::as_slice).filter(|items| {
            let outputs =
                items.iter().map(|&item| &self.items[item]).filter(|output| !output.without_ca);
            let versions = outputs.map(ItemOutput::next_version);
            let mut versions = versions.filter(|version| *version != Version::NoFiles);
            let first = versions.next();
            let agree = first.is_none_or(|first| {
                first != Version::Unknown && versions.all(|version| version == first)
            });
            !agree && items.iter().any(|&item| self.items[item].pending.is_some())
        })
    }

    /// Whether an item is of such a certificate.
    pub(crate) fn is_disagreeing(&self, index: usize) -> bool {
        self.disagreeing().any(|items| items.contains(&index))
    }

    /// The items whose next files are what they have, not what they have fetched.
    fn held_back(&self) -> BTreeSet<usize> {
        self.disagreeing().flatten().copied().collect()
    }

    /// Forgets what was fetched for an item.
    pub(crate) fn forget(&mut self, index: usize) {
        self.items[index].pending = None;
    }

    /// What the current generation has.
    pub(crate) fn standing(&self) -> impl Iterator<Item = &RelativePath> {
        self.items.iter().flat_map(|output| &output.standing)
    }

    /// The next generation. Two selections that share a directory may both keep a file after a
    /// restart.
    pub(crate) fn entries<'a>(&'a self, volume: &'a Volume) -> Vec<Entry<'a>> {
        let (mut paths, held_back) = (BTreeSet::new(), self.held_back());
        let mut all = Vec::new();
        for (index, (item, output)) in Item::all(volume).zip(&self.items).enumerate() {
            let (mode, group) = (item.mode(), item.group());
            let entry = |(path, content)| Entry { path, mode, group, content };
            if held_back.contains(&index) {
                all.extend(output.standing().map(entry));
            } else {
                all.extend(output.files().map(entry));
            }
        }
        let (new, kept): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|entry| entry.content.is_some());
        new.into_iter().chain(kept).filter(|entry| paths.insert(entry.path)).collect()
    }

    /// Version of a file that is about to be committed.
    pub(crate) fn version(&self, path: &RelativePath) -> Option<&str> {
        let mut pending = self
            .items
            .iter()
            .filter_map(|output| output.pending.as_ref())
            .flat_map(|pending| &pending.files);
        pending.find(|file| file.path == *path).map(|file| file.version.as_str())
    }

    /// The next generation is the current one; answers with the items whose files are new.
    pub(crate) fn committed(&mut self) -> Vec<usize> {
        let (mut items, held_back) = (Vec::new(), self.held_back());
        for (index, output) in
            self.items.iter_mut().enumerate().filter(|(index, _)| !held_back.contains(index))
        {
            if let Some(Pending { files, mut kept }) = output.pending.take() {
                output.guessed = false;
                output.version = files.first().map(|file| file.version.clone());
                kept.extend(files.into_iter().map(|file| file.path));
                output.standing = kept;
                items.push(index);
            }
        }
        items
    }
}

/// Where certificate and key of a split secret are, no other file of the Plan may be.
fn check_cert_and_key(volume: &Volume, file: &File, files: &[Output]) -> Result<(), Fault> {
    let layout = Layout::of(volume);
    for path in files.iter().map(|new| &new.path).filter(|path| **path != file.path) {
        if let Some(other) = layout.colliding_file(path) {
            return Err(in_one_place(Item::File(file), path, other));
        }
    }
    Ok(())
}

/// What the items of such a certificate wait for; `index` is one of them.
pub(crate) fn of_two_versions(volume: &Volume, index: usize) -> Fault {
    let source = Item::at(volume, index).source();
    Fault::new(
        KS431,
        Class::Transient,
        format_args!("{source}: its files would be of different versions"),
    )
    .of_kind(FaultKind::TwoVersions)
}

/// Whether a fault is that.
pub(crate) fn is_of_two_versions(fault: &Fault) -> bool {
    fault.kind == FaultKind::TwoVersions
}

fn in_one_place(item: Item<'_>, path: &RelativePath, other: &RelativePath) -> Fault {
    let message = format_args!("{}: file {path} cannot stand beside file {other}", item.source());
    Fault::new(KS429, Class::Slow, message)
}

#[cfg(test)]
mod tests;
