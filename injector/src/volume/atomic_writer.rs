//! The cases the kubelet's `AtomicWriter` and the CSI driver's copy of it are held to: paths, what
//! goes, what is written once, what an update writes, sequences of updates, links.

use super::tests::{commit, generations, mode, names, stage};
use super::*;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

type Payload<'a> = &'a [(&'a str, u32, &'a [u8])];

/// Writes `payload`; whether something changed.
fn write(volume: &mut Volume, payload: Payload<'_>) -> bool {
    let files: Vec<_> =
        payload.iter().map(|&(path, mode, bytes)| (path, mode, Some(bytes))).collect();
    commit(volume, &files)
}

/// What a reader who follows the links finds: every file with mode and bytes.
fn visible(root: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    fn walk(directory: &Path, prefix: &str, found: &mut BTreeMap<String, (u32, Vec<u8>)>) {
        for name in names(directory)
            .into_iter()
            .filter(|name| !(prefix.is_empty() && name.starts_with("..")))
        {
            let (path, relative) = (directory.join(&name), format!("{prefix}{name}"));
            if path.is_dir() {
                assert!(!names(&path).is_empty(), "an empty directory: {relative}");
                walk(&path, &format!("{relative}/"), found);
            } else {
                found.insert(relative, (mode(&path), fs::read(&path).unwrap()));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(root, "", &mut found);
    found
}

fn expected(payload: Payload<'_>) -> BTreeMap<String, (u32, Vec<u8>)> {
    payload.iter().map(|&(path, mode, bytes)| (path.to_owned(), (mode, bytes.to_vec()))).collect()
}

#[test]
fn path_validation() {
    let long = "x".repeat(255);
    for (what, path, good) in [
        ("a plain name", "db-password", true),
        ("a nested path", "tls/server/key.pem", true),
        ("the longest name", long.as_str(), true),
        ("a hidden name", ".pgpass", true),
        ("a name one byte too long", &"x".repeat(256), false),
        ("a path too long", &"xxxxxxx/".repeat(600), false),
        ("an absolute path", "/etc/passwd", false),
        ("a way up at the start", "../passwd", false),
        ("a way up in the middle", "a/../../passwd", false),
        ("a reserved name", "..data", false),
        ("a reserved name below", "a/..data", false),
        ("an empty component", "a//b", false),
        ("this directory", ".", false),
        ("a directory", "a/", false),
        ("nothing", "", false),
        ("a NUL byte", "a\0b", false),
    ] {
        assert_eq!(path.parse::<RelativePath>().is_ok(), good, "{what}");
    }
}

#[test]
fn names_are_written_as_they_are() {
    // Hostile to shells, terminals and parsers, not to a file system.
    let names = [
        "a b",
        "-rf",
        "$(id)",
        "a\nb",
        "*",
        "~",
        "\u{202e}txt",
        "é",
        "a;b",
        "\"'`",
        ".hidden",
        "a\\b",
        "%2e%2e",
    ];
    let directory = tempfile::tempdir().unwrap();
    let mut volume = Volume::open(directory.path()).unwrap();
    let payload: Vec<(&str, u32, &[u8])> =
        names.iter().map(|name| (*name, 0o644, name.as_bytes())).collect();
    write(&mut volume, &payload);
    assert_eq!(visible(directory.path()), expected(&payload));
    write(&mut volume, &[]);
    assert!(visible(directory.path()).is_empty());
}

#[test]
fn paths_to_remove() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("one of two files", &["a", "b"], &["a"]),
        ("a file in a directory, and the directory", &["a", "d/b"], &["a"]),
        ("one of two files in a directory", &["d/a", "d/b"], &["d/a"]),
        ("a deep file with its directories", &["a", "d/e/f/g/b"], &["a"]),
        ("the deep one of two in a chain", &["d/a", "d/e/f/b"], &["d/a"]),
        ("one directory of two", &["d/a", "e/a"], &["e/a"]),
        ("everything", &["a", "d/b"], &[]),
    ];
    for (what, before, after) in cases {
        let directory = tempfile::tempdir().unwrap();
        let mut volume = Volume::open(directory.path()).unwrap();
        let [before, kept] = [before, after]
            .map(|paths| paths.iter().map(|&path| (path, 0o644, &b"x"[..])).collect::<Vec<_>>());
        write(&mut volume, &before);
        assert!(write(&mut volume, &kept), "{what}");
        assert_eq!(visible(directory.path()), expected(&kept), "{what}");
        let links = names(directory.path())
            .into_iter()
            .filter(|name| !name.starts_with(".."))
            .collect::<BTreeSet<_>>();
        let tops = after.iter().map(|path| path.split('/').next().unwrap().to_owned()).collect();
        assert_eq!(links, tops, "no link is left: {what}");
    }
}

#[test]
fn write_once() {
    let large = vec![7; 300_000];
    let cases: &[(&str, Payload<'_>)] = &[
        ("nothing", &[]),
        ("one file", &[("a", 0o644, b"1")]),
        ("two files", &[("a", 0o644, b"1"), ("b", 0o600, b"2")]),
        ("an empty file", &[("a", 0o644, b"")]),
        ("bytes that are no text", &[("a", 0o644, &[0, 255, 10, 13, 0])]),
        ("a large file", &[("a", 0o644, &large)]),
        ("a nested file", &[("d/a", 0o644, b"1")]),
        ("a deeply nested file", &[("d/e/f/g/h/a", 0o444, b"1")]),
        (
            "files at every depth",
            &[("a", 0o644, b"1"), ("d/a", 0o644, b"2"), ("d/e/a", 0o644, b"3")],
        ),
        ("two files in one directory", &[("d/a", 0o644, b"1"), ("d/b", 0o400, b"2")]),
        (
            "every kind of mode",
            &[("a", 0o777, b"1"), ("b", 0o440, b"2"), ("c", 0o007, b"3"), ("d", 0, b"4")],
        ),
        ("names that differ in case", &[("a", 0o644, b"1"), ("A", 0o644, b"2")]),
    ];
    for (what, payload) in cases {
        let directory = tempfile::tempdir().unwrap();
        let mut volume = Volume::open(directory.path()).unwrap();
        assert!(write(&mut volume, payload), "{what}");
        assert_eq!(visible(directory.path()), expected(payload), "{what}");
        assert!(!write(&mut volume, payload), "a second time: {what}");
        assert_eq!(generations(directory.path()), 1, "{what}");
    }
}

#[test]
fn update() {
    let cases: &[(&str, Payload<'_>, Payload<'_>, bool)] = &[
        ("the same", &[("a", 0o644, b"1")], &[("a", 0o644, b"1")], false),
        (
            "the same in another order",
            &[("a", 0o644, b"1"), ("b", 0o644, b"2")],
            &[("b", 0o644, b"2"), ("a", 0o644, b"1")],
            false,
        ),
        ("other bytes", &[("a", 0o644, b"1")], &[("a", 0o644, b"2")], true),
        ("shorter", &[("a", 0o644, b"12345")], &[("a", 0o644, b"1")], true),
        ("emptied", &[("a", 0o644, b"1")], &[("a", 0o644, b"")], true),
        ("another mode", &[("a", 0o644, b"1")], &[("a", 0o400, b"1")], true),
        ("one more file", &[("a", 0o644, b"1")], &[("a", 0o644, b"1"), ("b", 0o644, b"2")], true),
        ("one file less", &[("a", 0o644, b"1"), ("b", 0o644, b"2")], &[("a", 0o644, b"1")], true),
        ("a file renamed", &[("a", 0o644, b"1")], &[("b", 0o644, b"1")], true),
        (
            "a nested file changed",
            &[("d/e/a", 0o644, b"1"), ("b", 0o644, b"2")],
            &[("d/e/a", 0o644, b"3"), ("b", 0o644, b"2")],
            true,
        ),
        ("a file becomes a directory", &[("a", 0o644, b"1")], &[("a/b", 0o644, b"1")], true),
        ("a directory becomes a file", &[("a/b/c", 0o644, b"1")], &[("a", 0o644, b"1")], true),
        ("everything goes", &[("a", 0o644, b"1"), ("d/b", 0o644, b"2")], &[], true),
    ];
    for (what, before, after, changes) in cases {
        let directory = tempfile::tempdir().unwrap();
        let mut volume = Volume::open(directory.path()).unwrap();
        write(&mut volume, before);
        let generation = volume.generation();
        assert_eq!(write(&mut volume, after), *changes, "{what}");
        assert_eq!(volume.generation() != generation, *changes, "{what}");
        assert_eq!(visible(directory.path()), expected(after), "{what}");
    }
}

#[test]
fn multiple_updates() {
    let (one, two, three): (Payload<'_>, Payload<'_>, Payload<'_>) =
        (&[("a", 0o644, b"1")], &[("a", 0o600, b"2"), ("d/b", 0o644, b"2")], &[("d", 0o644, b"3")]);
    let cases: &[(&str, &[Payload<'_>])] = &[
        ("forth and back", &[one, two, one]),
        ("nothing in between", &[one, &[], one]),
        ("a file, a directory, a file", &[three, two, three]),
        ("the same over and over", &[two, two, two]),
        ("a growing set", &[&[], one, two]),
        ("a shrinking set", &[two, one, &[]]),
        ("all of them", &[one, two, three, &[], three, two, one]),
    ];
    for (what, history) in cases {
        let directory = tempfile::tempdir().unwrap();
        let mut volume = Volume::open(directory.path()).unwrap();
        for payload in *history {
            write(&mut volume, payload);
            assert_eq!(visible(directory.path()), expected(payload), "{what}");
            while volume.remove_previous().unwrap() {}
            assert_eq!(
                visible(directory.path()),
                expected(payload),
                "after the previous one went: {what}"
            );
            assert_eq!(generations(directory.path()), 1, "{what}");
        }
    }
}

#[test]
fn links() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut volume = Volume::open(root).unwrap();
    write(&mut volume, &[("a", 0o644, b"1"), ("d/e/b", 0o644, b"2")]);
    let data = fs::read_link(root.join("..data")).unwrap();
    assert!(
        data.is_relative() && data.components().count() == 1,
        "relative, so it holds in any mount: {data:?}"
    );
    for (name, target) in [("a", "..data/a"), ("d", "..data/d")] {
        assert_eq!(
            fs::read_link(root.join(name)).unwrap(),
            Path::new(target),
            "one link for each top name"
        );
    }
    let inode = |name: &str| fs::symlink_metadata(root.join(name)).unwrap().ino();
    let before = (inode("a"), inode("d"));
    write(&mut volume, &[("a", 0o644, b"3"), ("d/e/b", 0o644, b"4")]);
    assert_eq!((inode("a"), inode("d")), before, "an update changes ..data and no link of a file");
    assert!(
        !fs::symlink_metadata(root.join("a")).unwrap().is_file()
            && fs::symlink_metadata(root.join("..data/a")).unwrap().is_file()
    );
}

#[test]
fn a_volume_that_is_gone_is_told_and_one_in_its_place_is_used() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("v");
    fs::create_dir(&root).unwrap();
    let mut volume = Volume::open(&root).unwrap();
    write(&mut volume, &[("a", 0o644, b"1")]);
    write(&mut volume, &[("a", 0o644, b"2")]);
    fs::remove_dir_all(&root).unwrap();
    let fault = stage(&mut volume, &[("a", 0o644, Some(b"3"))]).unwrap_err().fault();
    assert_eq!(fault.reason.code, "KS502", "{fault}");
    fs::create_dir(&root).unwrap();
    let error = stage(&mut volume, &[("a", 0o644, None)]).unwrap_err();
    assert!(matches!(error, VolumeError::Incomplete { .. }), "what it held is lost: {error}");
    assert!(write(&mut volume, &[("a", 0o644, b"3")]));
    assert_eq!(visible(&root), expected(&[("a", 0o644, b"3")]));
    write(&mut volume, &[("a", 0o644, b"4")]);
    assert!(
        !volume.remove_previous().unwrap(),
        "that removal was of a generation that went with the old volume"
    );
    assert!(volume.remove_previous().unwrap());
}

/// The claim is 0 torn reads in 1,000,000 across 100 rotations; `make bench` makes as many, through
/// the sidecar.
/// Writes files that tell the number of the rotation in each of their 1,500 parts.
fn rotate(volume: &mut Volume, rotation: u64) {
    let bytes = format!("{rotation:03}").repeat(1500).into_bytes();
    write(volume, &[("a", 0o644, &bytes), ("d/b", 0o644, &bytes)]);
}

#[test]
fn no_read_is_torn_across_100_rotations() {
    const READS: u64 = 100_000;
    const ROTATIONS: u64 = 100;
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut volume = Volume::open(root).unwrap();
    rotate(&mut volume, 0);
    let (reads, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let seen = std::thread::scope(|scope| {
        let reader = || {
            let (mut seen, mut bytes, mut other) = (BTreeSet::new(), Vec::new(), Vec::new());
            while !over.load(Ordering::Relaxed) {
                let data = File::open(root.join("..data")).unwrap();
                let read = |name: &str, bytes: &mut Vec<u8>| {
                    bytes.clear();
                    File::open(format!("/proc/self/fd/{}/{name}", data.as_raw_fd()))?
                        .read_to_end(bytes)
                };
                match (read("a", &mut bytes), read("d/b", &mut other)) {
                    (Ok(_), Ok(_)) => assert!(bytes == other, "two generations at once"),
                    // A reader that slept through two rotations: its generation went.
                    _ => assert_ne!(
                        fs::metadata(root.join("..data")).unwrap().ino(),
                        data.metadata().unwrap().ino()
                    ),
                }
                // And by its name, as an application does.
                bytes.clear();
                File::open(root.join("a")).unwrap().read_to_end(&mut bytes).unwrap();
                assert!(
                    bytes.len() == 4500 && bytes.chunks(3).all(|part| part == &bytes[..3]),
                    "a torn file"
                );
                seen.insert(bytes[..3].to_vec());
                reads.fetch_add(3, Ordering::Relaxed);
            }
            seen
        };
        let readers = [scope.spawn(reader), scope.spawn(reader)];
        for rotation in 1..=ROTATIONS {
            while reads.load(Ordering::Relaxed) < rotation * READS / ROTATIONS {
                std::thread::yield_now();
            }
            rotate(&mut volume, rotation);
            if rotation > 1 {
                volume.remove_previous().unwrap();
            }
        }
        over.store(true, Ordering::Relaxed);
        readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect::<BTreeSet<_>>()
    });
    let reads = reads.load(Ordering::Relaxed);
    let _ =
        writeln!(std::io::stdout(), "{reads} reads, {} of {ROTATIONS} rotations seen", seen.len());
    assert!(
        reads >= READS && seen.len() as u64 > ROTATIONS / 2,
        "{reads} reads saw {} generations",
        seen.len()
    );
}
