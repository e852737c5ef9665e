//! Files that templates make of the volume's other files, when a generation is written.

use crate::content::Content;
use crate::fault::{Class, Fault};
use crate::volume::{Entry, Volume, VolumeError};
use keysluice_plan::reason::KS681;
use keysluice_plan::{RelativePath, TemplateFile};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Most bytes that the templates of a volume make: all are in memory when they are written.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// What the templates of a volume come to.
#[derive(Debug, Default)]
pub(crate) struct Rendered<'p> {
    files: Vec<(&'p TemplateFile, Option<Content>)>,
    /// Of the first that cannot be filled; its last file stays.
    pub(crate) fault: Option<Fault>,
}

impl<'p> Rendered<'p> {
    /// Fills the templates from the files of the generation to be: what was fetched, else what the
    /// current generation has.
    ///
    /// # Errors
    /// What the volume fails with, and KS681 where a template cannot be filled and there is no
    /// generation yet.
    pub(crate) fn of(
        templates: &'p [TemplateFile],
        entries: &[Entry<'_>],
        volume: &Volume,
    ) -> Result<Self, Fault> {
        let (mut rendered, mut total) = (Self::default(), 0);
        let by_path: BTreeMap<&str, &Entry<'_>> =
            entries.iter().map(|entry| (entry.path.as_str(), entry)).collect();
        let paths: Vec<&str> = by_path.keys().copied().collect();
        for file in templates {
            let mut failed = None;
            let made = file.template.render(&paths, &mut |path: &str| {
                let read = by_path.get(path).map(|entry| bytes_of(entry, volume));
                read.transpose().unwrap_or_else(|error| {
                    failed = Some(error.fault());
                    None
                })?
            });
            if let Some(fault) = failed {
                return Err(fault);
            }
            let made = made.map_err(|error| error.to_string()).and_then(|text| {
                total += text.as_bytes().len();
                if total > MAX_BYTES {
                    return Err(format!("the volume's templates make more than {MAX_BYTES} bytes"));
                }
                Ok(text)
            });
            match made {
                Ok(text) => {
                    rendered.files.push((file, Some(Content::from(text.into_bytes()))));
                }
                Err(error) => {
                    let text = format_args!("template {}: {error}", file.path);
                    let fault = Fault::new(KS681, Class::Slow, text);
                    if volume.generation().is_none() {
                        return Err(fault);
                    }
                    rendered.fault.get_or_insert(fault);
                    let stays = volume.has_file(&file.path).map_err(|error| error.fault())?;
                    rendered.files.extend(stays.then_some((file, None)));
                }
            }
        }
        Ok(rendered)
    }

    /// The files.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.files.iter().map(|(file, content)| {
            let TemplateFile { path, mode, group, .. } = file;
            Entry { path, mode: *mode, group: *group, content: content.as_ref() }
        })
    }

    /// Whether a template makes this file.
    pub(crate) fn has(&self, path: &RelativePath) -> bool {
        self.files.iter().any(|(file, _)| file.path == *path)
    }
}

fn bytes_of(entry: &Entry<'_>, volume: &Volume) -> Result<Option<Zeroizing<Vec<u8>>>, VolumeError> {
    match entry.content {
        Some(content) => Ok(Some(Zeroizing::new(content.expose().to_vec()))),
        None => Ok(volume.read(entry.path)?.map(Content::into_bytes)),
    }
}
