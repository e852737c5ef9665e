//! How many bytes of files the process may hold until their generation is written. Beyond it an
//! item is refused in words: the kernel would end the process without any.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const MEBIBYTE: usize = 1 << 20;
/// The program itself, its connections, and answers in hand.
const PROGRAM_BYTES: usize = 10 * MEBIBYTE;
/// What there is room for in any case: the smallest limit that the webhook gives has so much.
const LEAST_BYTES: usize = 4 * MEBIBYTE;
/// Where the process finds no limit: more than any volume of a pod holds.
const UNLIMITED_BYTES: usize = 256 * MEBIBYTE;

/// Room for files that are fetched and not written yet.
#[derive(Debug)]
pub(crate) struct Room {
    held: AtomicUsize,
    most: usize,
}

/// Bytes within a room, given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    room: Arc<Room>,
    bytes: usize,
}

impl Room {
    /// Half of what the memory limit leaves: a generation is written from memory into memory.
    pub(crate) fn of_this_process() -> Arc<Self> {
        let limit = limit_of_cgroup(Path::new("/"));
        Self::of(
            limit
                .map_or(UNLIMITED_BYTES, |limit| limit.saturating_sub(PROGRAM_BYTES) / 2)
                .max(LEAST_BYTES),
        )
    }

    /// For so many bytes.
    pub(crate) fn of(most: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), most })
    }

    /// Takes a share, if it is free.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        self.held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(bytes).filter(|held| *held <= self.most)
            })
            .ok()?;
        Some(Share { room: Arc::clone(self), bytes })
    }

    /// Bytes that it has in all.
    pub(crate) fn most(&self) -> usize {
        self.most
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The smallest memory limit from the process's cgroup to the root, of version 2 or 1, as far as
/// the process sees it.
fn limit_of_cgroup(root: &Path) -> Option<usize> {
    let memberships = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mut limits = Vec::new();
    for line in memberships.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mount = root.join(mount);
        let mut directory = mount.join(path.trim_start_matches('/'));
        loop {
            let limit = fs::read_to_string(directory.join(file)).ok();
            limits.extend(limit.and_then(|text| text.trim().parse::<usize>().ok()));
            if directory == mount || !directory.pop() {
                break;
            }
        }
    }
    // Version 1 writes a number near 2^63 where there is none.
    limits.into_iter().min().filter(|limit| *limit < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_given_back_when_it_is_dropped() {
        let room = Room::of(10);
        let first = room.take(6);
        assert!(first.is_some() && room.take(5).is_none() && room.take(4).is_some());
        assert!(room.take(usize::MAX).is_none());
        drop(first);
        assert!(room.take(10).is_some() && room.take(11).is_none());
    }

    fn put(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::io::Write::write_all(&mut fs::File::create(path).unwrap(), text.as_bytes()).unwrap();
    }

    #[test]
    fn the_limit_of_either_version_is_found() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        assert_eq!(limit_of_cgroup(root), None);
        put(&root.join("proc/self/cgroup"), "0::/pod/c\n");
        put(&root.join("sys/fs/cgroup/pod/c/memory.max"), "max\n");
        assert_eq!(limit_of_cgroup(root), None);
        put(&root.join("sys/fs/cgroup/pod/memory.max"), "18874368\n");
        assert_eq!(limit_of_cgroup(root), Some(18 * MEBIBYTE));
        put(&root.join("proc/self/cgroup"), "9:memory:/x\n0::/\n");
        put(&root.join("sys/fs/cgroup/memory/memory.limit_in_bytes"), "9223372036854771712\n");
        assert_eq!(limit_of_cgroup(root), None);
        put(&root.join("sys/fs/cgroup/memory/x/memory.limit_in_bytes"), "20971520\n");
        assert_eq!(limit_of_cgroup(root), Some(20 * MEBIBYTE));
    }
}
