//! What a container with a writable mount can do to the volume: generations go on, within bounds.

use super::tests::{commit, generations, mode, stage};
use super::*;
use rustix::fs::{FileType, RenameFlags, mkdirat, mknodat, renameat_with};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const PLANTED: &str = "..2026_01_01_00_00_00.1";
const STRANGER: u32 = 1000;

/// Far more than any of it takes, far less than a hang.
const PATIENCE: Duration = Duration::from_secs(60);

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// On a tmpfs, as a volume of a pod is: a disk takes milliseconds for what takes microseconds
/// there.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A volume whose `..data` points to a directory made by `plant`, of another user if there can be
/// one.
fn planted(owner: Option<u32>, plant: impl FnOnce(&Path)) -> tempfile::TempDir {
    let directory = scratch();
    let generation = directory.path().join(PLANTED);
    fs::create_dir(&generation).unwrap();
    plant(&generation);
    if let Some(owner) = owner.filter(|_| is_root()) {
        chown(&generation, Some(owner), Some(owner)).unwrap();
    }
    symlink(PLANTED, directory.path().join("..data")).unwrap();
    symlink("..data/db", directory.path().join("db")).unwrap();
    directory
}

fn put(path: &Path, bytes: &[u8]) {
    std::io::Write::write_all(&mut File::create(path).unwrap(), bytes).unwrap();
}

fn nested(root: &Path, depth: usize) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut directory = openat(CWD, root, flags, Mode::empty()).unwrap();
    for _ in 0..depth {
        mkdirat(&directory, "d", Mode::RWXU).unwrap();
        directory = openat(&directory, "d", flags, Mode::empty()).unwrap();
    }
}

#[test]
fn whatever_is_planted_rotation_goes_on() {
    let cases: &[(&str, fn(&Path))] = &[
        ("a FIFO", |root| {
            mknodat(CWD, root.join("db"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        }),
        ("a socket", |root| drop(std::os::unix::net::UnixListener::bind(root.join("db")).unwrap())),
        ("a sparse file of 1 TiB", |root| {
            File::create(root.join("db")).unwrap().set_len(1 << 40).unwrap();
        }),
        ("a sparse file beside", |root| {
            File::create(root.join("x")).unwrap().set_len(1 << 40).unwrap();
        }),
        ("a link to a device", |root| symlink("/dev/zero", root.join("db")).unwrap()),
        ("a link to itself", |root| symlink("db", root.join("db")).unwrap()),
        ("a directory", |root| fs::create_dir(root.join("db")).unwrap()),
        ("20,000 nested directories", |root| nested(root, 20_000)),
        ("100,000 files", |root| {
            (0..100_000).for_each(|n| drop(File::create(root.join(n.to_string())).unwrap()));
        }),
        ("names of 255 bytes", |root| {
            (0..20_000).for_each(|n| drop(File::create(root.join(format!("{n:0>255}"))).unwrap()));
        }),
        ("directories nobody may enter", |root| {
            fs::create_dir(root.join("closed")).unwrap();
            File::create(root.join("closed/file")).unwrap();
            fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o0)).unwrap();
        }),
    ];
    for owner in [None, Some(STRANGER)] {
        for (what, plant) in cases {
            let directory = planted(owner, plant);
            let started = Instant::now();
            let mut volume = Volume::open(directory.path()).unwrap();
            let wanted = "db".parse().unwrap();
            volume.left();
            assert!(!volume.has([&wanted]), "{what}");
            assert!(
                stage(&mut volume, &[("db", 0o640, None)]).is_err(),
                "{what}: nothing of it is taken over"
            );
            for bytes in [b"1", b"2"] {
                assert!(commit(&mut volume, &[("db", 0o640, Some(bytes))]), "{what}");
                assert_eq!(fs::read(directory.path().join("db")).unwrap(), bytes, "{what}");
            }
            let mut reopened = Volume::open(directory.path()).unwrap();
            assert!(
                !commit(&mut reopened, &[("db", 0o640, Some(b"2"))]),
                "{what}: ours is known again"
            );
            assert!(started.elapsed() < PATIENCE, "{what}: {:?}", started.elapsed());
            let theirs = owner.is_some() && is_root();
            if theirs {
                assert!(
                    directory.path().join(PLANTED).is_dir(),
                    "{what}: what another user made stays"
                );
            }
            let tries =
                (0..100).take_while(|_| generations(directory.path()) > 1 + usize::from(theirs));
            tries.for_each(|_| drop(volume.remove_previous()));
            assert_eq!(
                generations(directory.path()),
                1 + usize::from(theirs),
                "{what}: it goes, step by step"
            );
            if theirs {
                // The library that removes the scratch directory would descend into it.
                chown(directory.path().join(PLANTED), Some(0), None).unwrap();
                (0..100)
                    .take_while(|_| generations(directory.path()) > 1)
                    .for_each(|_| volume.clean_up());
            }
        }
    }
}

#[test]
fn a_generation_of_another_user_is_not_one_of_ours() {
    if !is_root() {
        return; // Nobody else can make a file of another user.
    }
    let directory = planted(Some(STRANGER), |root| {
        put(&root.join("db"), b"theirs");
    });
    let mut volume = Volume::open(directory.path()).unwrap();
    assert_eq!((volume.generation(), volume.left(), volume.generation_time()), (None, None, None));
    commit(&mut volume, &[("db", 0o640, Some(b"1"))]);
    let ours = volume.generation().unwrap();
    // Theirs again, and a file of theirs in ours.
    fs::remove_file(directory.path().join("..data")).unwrap();
    symlink(PLANTED, directory.path().join("..data")).unwrap();
    assert!(commit(&mut volume, &[("db", 0o640, Some(b"2"))]));
    assert!(
        volume.remove_previous().unwrap() && !directory.path().join(&ours).exists(),
        "ours went all the same"
    );
    let file = directory.path().join(volume.generation().unwrap()).join("db");
    chown(&file, Some(STRANGER), None).unwrap();
    assert!(!volume.has([&"db".parse().unwrap()]));
    assert!(commit(&mut volume, &[("db", 0o640, Some(b"2"))]));
}

#[test]
fn a_directory_in_the_place_of_the_temporary_link_is_not_in_the_way() {
    let directory = scratch();
    fs::create_dir_all(directory.path().join("..data_tmp/full")).unwrap();
    let mut volume = Volume::open(directory.path()).unwrap();
    for bytes in [b"1", b"2"] {
        commit(&mut volume, &[("db", 0o640, Some(bytes))]);
        assert_eq!(fs::read(directory.path().join("db")).unwrap(), bytes);
    }
    assert!(directory.path().join("..data_tmp/full").is_dir());
}

#[test]
fn generations_do_not_pile_up_where_data_is_turned_away_from_them() {
    let directory = scratch();
    let data = directory.path().join("..data");
    let mut volume = Volume::open(directory.path()).unwrap();
    for target in ["/etc", ".", "..data", "..", "gone", "/dev/zero", PLANTED].repeat(3) {
        commit(&mut volume, &[("db", 0o640, Some(target.as_bytes()))]);
        fs::remove_file(&data).unwrap();
        symlink(target, &data).unwrap();
        assert!(!volume.has([&"db".parse().unwrap()]), "{target}");
        volume.remove_previous().unwrap();
        assert!(generations(directory.path()) <= 2, "{target}");
    }
    commit(&mut volume, &[("db", 0o640, Some(b"1"))]);
    assert_eq!(fs::read(directory.path().join("db")).unwrap(), b"1");
}

#[test]
fn of_any_number_of_names_a_bounded_number_is_looked_at() {
    let directory = scratch();
    let mut volume = Volume::open(directory.path()).unwrap();
    commit(&mut volume, &[("db", 0o640, Some(b"1")), ("old", 0o640, Some(b"1"))]);
    for n in 0..50_000 {
        symlink(format!("..data/{n}"), directory.path().join(n.to_string())).unwrap();
    }
    commit(&mut volume, &[("db", 0o640, Some(b"2"))]);
    let left = super::tests::names(directory.path()).len();
    assert!((50_000 - entries::MAX_ENTRIES..50_000).contains(&left), "{left}");
    assert_eq!(fs::read(directory.path().join("db")).unwrap(), b"2");
    assert!(
        fs::symlink_metadata(directory.path().join("old")).is_err(),
        "the link of a file that is gone goes first"
    );
}

/// As a user who is not root the mode of a file shuts out its owner too.
#[test]
fn a_link_that_takes_a_files_place_gets_no_mode() {
    let directory = scratch();
    let (inside, secret) = (directory.path().join("v"), directory.path().join("secret"));
    fs::create_dir(&inside).unwrap();
    put(&secret, b"other");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o400)).unwrap();
    let mut volume = Volume::open(&inside).unwrap();
    commit(&mut volume, &[("db", 0, Some(b"1"))]);
    let generation = inside.join(volume.generation().unwrap());
    for (name, mode) in [("open", 0o777), ("closed", 0o0)] {
        put(&generation.join(name), b"1");
        fs::set_permissions(generation.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    symlink(&secret, generation.join("link")).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for name in ["open", "closed", "link"].iter().cycle() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let flags = RenameFlags::EXCHANGE;
                let _ =
                    renameat_with(CWD, generation.join("db"), CWD, generation.join(name), flags);
            }
        });
        let current =
            tree::open_own_directory(&volume.directory, &volume.generation().unwrap()).unwrap();
        for _ in 0..20_000 {
            if let Ok(Some(old)) = old::find(&current, &"db".parse().unwrap()) {
                assert!(old.holds(b"1").unwrap());
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(mode(&secret), 0o400);
}
