//! What the items of a volume have made: fetched and not committed yet, or standing in the current generation.

use crate::content::{Content, Fetched};
use crate::fault::{Class, Fault};
use crate::item::Item;
use crate::volume::Entry;
use keysluice_plan::reason::KS429;
use keysluice_plan::{RelativePath, Volume};
use std::collections::BTreeSet;

/// Per item the files it has made.
#[derive(Debug)]
pub(crate) struct Outputs(Vec<Made>);

#[derive(Debug, Default)]
struct Made {
    /// Its last good files, as they stand in the current generation.
    standing: Vec<RelativePath>,
    /// What replaces them at the next commit.
    pending: Option<Fetched>,
}

impl Made {
    /// What the next generation has of it; without content where the current one has it already.
    fn files(&self) -> impl Iterator<Item = (&RelativePath, Option<&Content>)> {
        let pending = self.pending.iter().flat_map(|fetched| &fetched.files);
        let standing = if self.pending.is_some() { &[][..] } else { &self.standing };
        pending.map(|file| (&file.path, Some(&file.content))).chain(standing.iter().map(|path| (path, None)))
    }
}

impl Outputs {
    /// What the items left in a generation with these files; whether it can be a whole generation of this volume. A pod keeps
    /// its Plan, so whose a file is follows from its path: no state that could disagree with the volume.
    pub(crate) fn of(volume: &Volume, files: &BTreeSet<RelativePath>) -> (Self, bool) {
        let owned = |path: &RelativePath| volume.files.iter().any(|file| Item::File(file).claims(path));
        let made = |item: Item<'_>| {
            let own = |path: &&RelativePath| item.claims(path) && (matches!(item, Item::File(_)) || !owned(path));
            Made { standing: files.iter().filter(own).cloned().collect(), pending: None }
        };
        let complete = Item::count(volume) > 0 && Item::all(volume).all(|item| item.may_have_made(files));
        (Self(Item::all(volume).map(made).collect()), complete)
    }

    /// Takes what was fetched for an item. A path that the Plan gives to a file is left to it; one that another selection has
    /// taken is refused.
    pub(crate) fn accept(&mut self, volume: &Volume, index: usize, mut fetched: Fetched) -> Result<(), Fault> {
        if let Item::Selection(selection) = Item::at(volume, index) {
            fetched.files.retain(|new| !volume.files.iter().any(|file| Item::File(file).claims(&new.path)));
            for new in &fetched.files {
                let file = volume.files.iter().map(|file| &file.path).find(|path| new.path.collides_with(path));
                let others =
                    self.0.iter().enumerate().filter(|(other, _)| *other != index && *other >= volume.files.len());
                let mut taken = others.flat_map(|(_, made)| made.files()).map(|(path, _)| path);
                if let Some(other) = file.or_else(|| taken.find(|path| new.path.collides_with(path))) {
                    let source = Item::Selection(selection).source();
                    let message = format_args!("{source}: file {} cannot stand beside file {other}", new.path);
                    return Err(Fault::new(KS429, Class::Slow, message));
                }
            }
        }
        self.0[index].pending = Some(fetched);
        Ok(())
    }

    /// Whether an item was fetched and not committed yet.
    pub(crate) fn is_pending(&self, index: usize) -> bool {
        self.0[index].pending.is_some()
    }

    /// The next generation. Two selections that share a directory may both keep a file after a restart.
    pub(crate) fn entries<'a>(&'a self, volume: &'a Volume) -> Vec<Entry<'a>> {
        let mut paths = BTreeSet::new();
        let entry = |(item, made): (Item<'a>, &'a Made)| {
            let (mode, group) = (item.mode(), item.group());
            made.files().map(move |(path, content)| Entry { path, mode, group, content })
        };
        let all = Item::all(volume).zip(&self.0).flat_map(entry).collect::<Vec<_>>();
        let (new, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(|entry| entry.content.is_some());
        new.into_iter().chain(kept).filter(|entry| paths.insert(entry.path)).collect()
    }

    /// Version of a file that is about to be committed.
    pub(crate) fn version(&self, path: &RelativePath) -> Option<&str> {
        let mut pending = self.0.iter().filter_map(|made| made.pending.as_ref()).flat_map(|fetched| &fetched.files);
        pending.find(|file| file.path == *path).map(|file| file.version.as_str())
    }

    /// The next generation is the current one.
    pub(crate) fn committed(&mut self) {
        for made in &mut self.0 {
            if let Some(fetched) = made.pending.take() {
                made.standing = fetched.files.into_iter().map(|file| file.path).collect();
            }
        }
    }
}
