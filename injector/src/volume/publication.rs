//! Making a generation visible: `..data` is renamed onto it. Going back when that fails.

use super::error::{io, with_path};
use super::{DATA, DATA_TMP, Staged, Volume, VolumeError, entries, links, unique};
use rustix::fs::{AtFlags, renameat, symlinkat, unlinkat};
use rustix::io::Errno;

impl Volume {
    /// Makes a staged generation visible, or leaves all as it was. Returns whether a previous one
    /// lingers now.
    pub fn publish(&mut self, staged: Staged) -> Result<bool, VolumeError> {
        let Staged { generation, names, .. } = staged;
        let previous = self.replaced();
        let gone = previous.as_ref().map(|name| self.top_names(name)).unwrap_or_default();
        if let Some(generation) = &generation
            && let Err(errno) = self.point_to(generation)
        {
            self.remove(generation);
            return Err(io(&self.path, DATA, errno));
        }
        let linked = links::update(&self.directory, &names, &gone).map_err(with_path(&self.path));
        if generation.is_none() {
            return linked.map(|()| false);
        }
        if let Err(error) = linked {
            self.go_back(previous);
            return Err(error);
        }
        let lingers = previous.is_some();
        self.previous.extend(previous);
        self.published = generation;
        Ok(lingers)
    }

    /// The generation that a new one replaces: ours, wherever `..data` points by now.
    fn replaced(&self) -> Option<String> {
        let published = self.published.clone().filter(|name| self.own_generation(name).is_some());
        published.or_else(|| self.generation()).filter(|name| !self.previous.contains(name))
    }

    /// What is at the top of a generation.
    fn top_names(&self, generation: &str) -> Vec<String> {
        self.own_generation(generation)
            .and_then(|directory| entries::names(&directory).ok())
            .unwrap_or_default()
    }

    /// Undoes the last publication that changed something; `lingers` is what it returned.
    pub fn withdraw(&mut self, lingers: bool) {
        let previous = if lingers { self.previous.pop() } else { None };
        self.go_back(previous);
    }

    /// To a previous generation or to none, as far as that can be done.
    fn go_back(&mut self, previous: Option<String>) {
        let failed = self.generation();
        let gone = failed.as_ref().map(|name| self.top_names(name)).unwrap_or_default();
        let names = previous.as_ref().map(|name| self.top_names(name)).unwrap_or_default();
        let _ = match &previous {
            Some(previous) => self.point_to(previous),
            None => unlinkat(&self.directory, DATA, AtFlags::empty()),
        };
        let _ = links::update(&self.directory, &names.into_iter().collect(), &gone);
        self.published = previous;
        if let Some(failed) = failed.filter(|failed| self.generation().as_ref() != Some(failed)) {
            self.remove(&failed);
        }
    }

    fn point_to(&self, generation: &str) -> Result<(), Errno> {
        // A crash between the calls below leaves the link, and a container may put a directory in
        // its place.
        let mut link = DATA_TMP.to_owned();
        let _ = unlinkat(&self.directory, DATA_TMP, AtFlags::empty());
        if let Err(errno) = symlinkat(generation, &self.directory, link.as_str()) {
            if errno != Errno::EXIST {
                return Err(errno);
            }
            link = format!("{DATA_TMP}.{}", unique());
            symlinkat(generation, &self.directory, link.as_str())?;
        }
        let renamed = renameat(&self.directory, link.as_str(), &self.directory, DATA);
        if renamed.is_err() {
            let _ = unlinkat(&self.directory, link.as_str(), AtFlags::empty());
        }
        renamed
    }
}
