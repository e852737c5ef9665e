//! The memory limit of the process and how it is divided between what the webhook holds for others.
//!
//! Each share bounds what things *take* (allocations included), not bytes of text. The shares add
//! up to less than the limit: the rest is the program itself, its allocator's slack, and work of
//! the moment.

use crate::quantity;
use std::fs;
use std::path::Path;
use std::str::FromStr;

const MEBIBYTE: usize = 1 << 20;

/// The text that is no memory limit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a number of bytes such as 134217728 or 128Mi")]
pub struct BudgetError(String);

/// The memory limit and its shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    limit_bytes: usize,
}

impl Default for Budget {
    /// The chart's own limit.
    fn default() -> Self {
        Self::of(128 * MEBIBYTE)
    }
}

impl FromStr for Budget {
    type Err = BudgetError;

    /// Bytes, or with one of the suffixes Ki, Mi, Gi.
    fn from_str(text: &str) -> Result<Self, BudgetError> {
        let bytes = quantity::memory_bytes(text).and_then(|bytes| usize::try_from(bytes).ok());
        bytes.map(Self::of).ok_or_else(|| BudgetError(text.to_owned()))
    }
}

impl Budget {
    /// A budget for a process that may take this much. Less than 64 MiB counts as 64 MiB; more than
    /// 1 GiB as 1 GiB, which serves any cluster.
    pub fn of(limit_bytes: usize) -> Self {
        Self { limit_bytes: limit_bytes.clamp(64 * MEBIBYTE, 1024 * MEBIBYTE) }
    }

    /// The budget for the limit of the process's own cgroup (v2, then v1); the default where there
    /// is none.
    pub fn of_this_process() -> Self {
        limit_of_cgroup(Path::new("/")).map_or_else(Self::default, Self::of)
    }

    /// All of it.
    pub fn limit_bytes(self) -> usize {
        self.limit_bytes
    }

    /// Cached ServiceAccounts, all together.
    pub fn accounts_bytes(self) -> usize {
        self.limit_bytes / 8
    }

    /// Cached SecretProviderClasses, all together.
    pub fn classes_bytes(self) -> usize {
        self.limit_bytes / 16 * 3
    }

    /// Open connections with their TLS state and buffers.
    pub fn connections_bytes(self) -> usize {
        self.limit_bytes / 4
    }

    /// Connections of sidecars that ask for their Plan.
    pub fn plan_connections_bytes(self) -> usize {
        self.limit_bytes / 32
    }

    /// Their requests in hand.
    pub fn plan_bodies_bytes(self) -> usize {
        self.limit_bytes / 64
    }

    /// Their tokens, which were verified.
    pub fn plan_tokens_bytes(self) -> usize {
        self.limit_bytes / 64
    }

    /// Requests in hand: bodies, parsed reviews, patches, answers that have not left.
    pub fn reviews_bytes(self) -> usize {
        self.limit_bytes / 16 * 3
    }
}

/// The smallest limit on the way from the process's cgroup to the root, as far as the process sees
/// it.
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
        // In a container the path may be the host's, while the mount shows only its own end: then
        // the mount's root is ours.
        let mut directory = mount.join(path.trim_start_matches('/'));
        loop {
            let read = fs::read_to_string(directory.join(file)).ok();
            limits.extend(read.and_then(|text| text.trim().parse::<usize>().ok()));
            if directory == mount || !directory.pop() {
                break;
            }
        }
    }
    // cgroup v1 says "no limit" with a number near 2^63.
    limits.into_iter().min().filter(|limit| *limit < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn file(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn the_smallest_limit_of_the_cgroups_above_counts() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        assert_eq!(limit_of_cgroup(root), None);
        file(root, "proc/self/cgroup", "0::/pod/webhook\n");
        file(root, "sys/fs/cgroup/pod/webhook/memory.max", "max\n");
        file(root, "sys/fs/cgroup/pod/memory.max", "134217728\n");
        assert_eq!(limit_of_cgroup(root), Some(128 * MEBIBYTE));
        file(root, "proc/self/cgroup", "4:cpu:/x\n9:memory:/kubepods/pod1/c1\n0::/\n");
        file(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n");
        assert_eq!(limit_of_cgroup(root), Some(64 * MEBIBYTE));
        file(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit_of_cgroup(root), None);
    }

    #[test]
    fn a_limit_can_be_given_in_bytes_or_as_a_quantity() {
        for (text, bytes) in
            [("134217728", 128 * MEBIBYTE), ("131072Ki", 128 * MEBIBYTE), ("256Mi", 256 * MEBIBYTE)]
        {
            assert_eq!(text.parse::<Budget>(), Ok(Budget::of(bytes)), "{text}");
        }
        for text in
            ["", "Mi", "128M", "-1", "1e9", "99999999999999999999", "18446744073709551615Gi"]
        {
            assert_eq!(text.parse::<Budget>(), Err(BudgetError(text.to_owned())));
        }
    }

    #[test]
    fn the_shares_leave_a_quarter_of_the_limit_to_the_program() {
        for limit in [0, 128 * MEBIBYTE, usize::MAX] {
            let budget = Budget::of(limit);
            let shares = budget.accounts_bytes()
                + budget.classes_bytes()
                + budget.connections_bytes()
                + budget.reviews_bytes();
            assert!(shares <= budget.limit_bytes() / 4 * 3, "{limit}");
        }
    }
}
