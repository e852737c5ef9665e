use super::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::UNIX_EPOCH;

const NOW: SystemTime = UNIX_EPOCH;

pub(super) type Files<'a> = &'a [(&'a str, u32, Option<&'a [u8]>)];

pub(super) fn stage(volume: &mut Volume, files: Files<'_>) -> Result<Staged, VolumeError> {
    let owned: Vec<(RelativePath, FileMode, Option<Content>)> = files
        .iter()
        .map(|(path, mode, bytes)| {
            (
                path.parse().unwrap(),
                format!("{mode:o}").parse().unwrap(),
                bytes.map(|bytes| Content::new(bytes.to_vec())),
            )
        })
        .collect();
    let entries: Vec<Entry<'_>> = owned
        .iter()
        .map(|(path, mode, content)| Entry {
            path,
            mode: *mode,
            group: None,
            content: content.as_ref(),
        })
        .collect();
    volume.stage(&entries, NOW)
}

/// Writes a generation; whether something changed.
pub(super) fn commit(volume: &mut Volume, files: Files<'_>) -> bool {
    let staged = stage(volume, files).unwrap();
    let unchanged = staged.is_unchanged();
    volume.publish(staged).unwrap();
    !unchanged
}

pub(super) fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(super) fn generations(path: &Path) -> usize {
    names(path).iter().filter(|name| tree::is_generation(name)).count()
}

pub(super) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_layout_is_the_kubelets() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut volume = Volume::open(path).unwrap();
    assert!(commit(
        &mut volume,
        &[("db", 0o640, Some(b"x")), ("tls/crt", 0o777, Some(b"y")), ("tls/key", 0, Some(b""))]
    ));
    let data = fs::read_link(path.join("..data")).unwrap().into_os_string().into_string().unwrap();
    assert!(data.starts_with("..1970_01_01_00_00_00."), "{data}");
    assert_eq!(names(path), [data.as_str(), "..data", "db", "tls"]);
    assert_eq!(fs::read_link(path.join("db")).unwrap(), Path::new("..data/db"));
    assert_eq!(fs::read_link(path.join("tls")).unwrap(), Path::new("..data/tls"));
    assert_eq!(fs::read(path.join("tls/crt")).unwrap(), b"y");
    assert_eq!(
        (mode(&path.join("db")), mode(&path.join("tls/crt")), mode(&path.join("tls/key"))),
        (0o640, 0o777, 0)
    );
    assert_eq!((mode(&path.join("tls")), mode(&path.join("..data"))), (0o755, 0o755));
}

#[test]
fn with_fs_group_everything_belongs_to_the_volumes_group() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    // Only root may give it a group of its own; the bit can be seen in any case.
    let _ = std::os::unix::fs::chown(path, None, Some(2000));
    fs::set_permissions(path, fs::Permissions::from_mode(0o2777)).unwrap();
    let mut volume = Volume::open(path).unwrap();
    commit(&mut volume, &[("db", 0o440, Some(b"x")), ("tls/key", 0o440, Some(b"y"))]);
    let group = fs::metadata(path).unwrap().gid();
    for (name, wanted) in [("..data", 0o2755), ("tls", 0o2755), ("db", 0o440), ("tls/key", 0o440)] {
        let metadata = fs::metadata(path.join(name)).unwrap();
        assert_eq!((metadata.gid(), mode(&path.join(name))), (group, wanted), "{name}");
    }
}

#[test]
fn an_unchanged_generation_is_not_rewritten_and_a_changed_mode_is() {
    let directory = tempfile::tempdir().unwrap();
    let mut volume = Volume::open(directory.path()).unwrap();
    assert!(commit(&mut volume, &[("db", 0o644, Some(b"x")), ("b", 0, Some(b"y"))]));
    let first = volume.generation();
    assert!(!commit(&mut volume, &[("db", 0o644, Some(b"x")), ("b", 0, Some(b"y"))]));
    assert!(!commit(&mut volume, &[("db", 0o644, None), ("b", 0, None)]));
    assert_eq!(volume.generation(), first);
    assert!(commit(&mut volume, &[("db", 0o600, Some(b"x")), ("b", 0, None)]));
    assert_eq!(mode(&directory.path().join("db")), 0o600);
    assert!(commit(&mut volume, &[("db", 0o600, Some(b"x"))]), "one file less");
    let mut reopened = Volume::open(directory.path()).unwrap();
    assert!(!commit(&mut reopened, &[("db", 0o600, Some(b"x"))]), "a restart rewrites nothing");
}

#[test]
fn files_come_go_and_become_directories() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut volume = Volume::open(path).unwrap();
    commit(&mut volume, &[("a", 0o644, Some(b"1")), ("b", 0o644, Some(b"2"))]);
    commit(&mut volume, &[("a/x", 0o644, Some(b"3")), ("c", 0o644, Some(b"4"))]);
    assert_eq!(fs::read(path.join("a/x")).unwrap(), b"3");
    assert!(fs::symlink_metadata(path.join("b")).is_err());
    commit(&mut volume, &[("a", 0o644, Some(b"5")), ("c", 0o644, None)]);
    assert_eq!(
        (fs::read(path.join("a")).unwrap(), fs::read(path.join("c")).unwrap()),
        (b"5".to_vec(), b"4".to_vec())
    );
    commit(&mut volume, &[]);
    assert!(names(path).iter().all(|name| name.starts_with("..")), "an empty volume");
}

#[test]
fn the_files_that_go_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut volume = Volume::open(directory.path()).unwrap();
    let all: Files<'_> = &[("a", 0o644, Some(b"1")), ("b/c", 0o644, Some(b"2"))];
    for (files, expected) in [
        (all, &[][..]),
        (all, &[]),
        (&[("a", 0o644, Some(b"3"))], &["b/c"]),
        (&[("b", 0o644, Some(b"1"))], &["a"]),
        (&[], &["b"]),
    ] {
        let staged = stage(&mut volume, files).unwrap();
        let removed: Vec<_> = staged.removed().iter().map(RelativePath::as_str).collect();
        assert_eq!(removed, expected);
        volume.publish(staged).unwrap();
    }
}

#[test]
fn a_process_that_does_not_stay_removes_a_generation_of_any_size() {
    let directory = tempfile::tempdir().unwrap();
    let mut volume = Volume::open(directory.path()).unwrap();
    let paths: Vec<String> = (0..5000).map(|index| format!("f{index}")).collect();
    let files: Vec<_> = paths.iter().map(|path| (path.as_str(), 0o644, Some(&b"1"[..]))).collect();
    commit(&mut volume, &files);
    commit(&mut volume, &[("db", 0o644, Some(b"2"))]);
    assert!(volume.remove_previous_at_once().unwrap());
    assert_eq!(generations(directory.path()), 1);
}

#[test]
fn the_previous_generation_lingers_until_it_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let mut volume = Volume::open(directory.path()).unwrap();
    commit(&mut volume, &[("db", 0o644, Some(b"1"))]);
    let old = fs::File::open(directory.path().join("..data").canonicalize().unwrap()).unwrap();
    commit(&mut volume, &[("db", 0o644, Some(b"2"))]);
    assert_eq!(
        fs::read(format!("/proc/self/fd/{}/db", std::os::fd::AsRawFd::as_raw_fd(&old))).unwrap(),
        b"1"
    );
    assert_eq!(generations(directory.path()), 2);
    assert!(volume.remove_previous().unwrap());
    assert!(!volume.remove_previous().unwrap());
    assert_eq!(generations(directory.path()), 1);
}

#[test]
fn a_generation_that_could_not_be_removed_is_removed_later() {
    let directory = tempfile::tempdir().unwrap();
    let mut volume = Volume::open(directory.path()).unwrap();
    commit(&mut volume, &[("db", 0o644, Some(b"1"))]);
    let (old, away) =
        (directory.path().join(volume.generation().unwrap()), directory.path().join("away"));
    commit(&mut volume, &[("db", 0o644, Some(b"2"))]);
    fs::rename(&old, &away).unwrap();
    fs::File::create(&old).unwrap();
    assert!(volume.remove_previous().is_err(), "no directory");
    fs::remove_file(&old).unwrap();
    fs::rename(&away, &old).unwrap();
    assert!(volume.remove_previous().unwrap());
    assert_eq!((generations(directory.path()), volume.remove_previous().unwrap()), (1, false));
}

#[test]
fn a_foreign_file_in_the_way_is_refused_before_anything_changes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut volume = Volume::open(path).unwrap();
    commit(&mut volume, &[("db", 0o644, Some(b"1"))]);
    fs::File::create(path.join("theirs")).unwrap();
    symlink("/etc/passwd", path.join("link")).unwrap();
    for name in ["theirs", "link", "link/x"] {
        let error = stage(&mut volume, &[("db", 0o644, Some(b"2")), (name, 0o644, Some(b"3"))])
            .unwrap_err();
        assert_eq!(error.fault().reason.code, "KS504", "{error}");
    }
    assert_eq!(fs::read(path.join("db")).unwrap(), b"1");
    assert_eq!(generations(path), 1);
}

#[test]
fn a_publication_that_fails_or_is_withdrawn_leaves_all_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut volume = Volume::open(path).unwrap();
    let staged = stage(&mut volume, &[("db", 0o644, Some(b"1"))]).unwrap();
    let lingers = volume.publish(staged).unwrap();
    volume.withdraw(lingers);
    assert!(!lingers && names(path).is_empty(), "{:?}", names(path));
    commit(&mut volume, &[("db", 0o644, Some(b"1")), ("old", 0o644, Some(b"1"))]);
    let before = names(path);
    let staged =
        stage(&mut volume, &[("db", 0o644, Some(b"2")), ("new", 0o644, Some(b"2"))]).unwrap();
    let lingers = volume.publish(staged).unwrap();
    volume.withdraw(lingers);
    assert_eq!((lingers, names(path)), (true, before.clone()));
    let staged =
        stage(&mut volume, &[("db", 0o644, Some(b"2")), ("new", 0o644, Some(b"2"))]).unwrap();
    fs::File::create(path.join("new")).unwrap();
    assert_eq!(volume.publish(staged).unwrap_err().fault().reason.code, "KS504");
    fs::remove_file(path.join("new")).unwrap();
    assert_eq!((names(path), fs::read(path.join("db")).unwrap()), (before, b"1".to_vec()));
    assert!(!volume.remove_previous().unwrap(), "nothing lingers");
}

#[test]
fn a_full_volume_drops_what_lingers_then_keeps_the_last_good() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut volume = Volume::open(path).unwrap();
    volume.budget.limit_bytes.set(Some(250));
    commit(&mut volume, &[("db", 0o644, Some(&[1; 100]))]);
    commit(&mut volume, &[("db", 0o644, Some(&[2; 100]))]);
    assert_eq!(generations(path), 2);
    commit(&mut volume, &[("db", 0o644, Some(&[3; 100]))]);
    assert_eq!(generations(path), 2, "the first made room for the third");
    assert!(!volume.remove_previous().unwrap(), "the first went early: its removal is void");
    assert_eq!(generations(path), 2, "the second stays its time");
    let error =
        stage(&mut volume, &[("db", 0o644, Some(&[4; 100])), ("e", 0o644, Some(&[4; 100]))])
            .unwrap_err();
    let text = error.fault().to_string();
    assert!(
        text.starts_with("KS501 ")
            && text.contains("/e: No space left")
            && text.contains("sizeLimit"),
        "{text}"
    );
    assert_eq!(
        (generations(path), fs::read(path.join("db")).unwrap()),
        (1, vec![3; 100]),
        "no part of it stays"
    );
}

#[test]
fn a_missing_directory_is_named() {
    for path in ["/does/not/exist", "/etc/passwd"] {
        let fault = Volume::open(Path::new(path)).unwrap_err().fault();
        assert_eq!(fault.reason.code, "KS502");
        assert!(fault.message.starts_with(&format!("volume {path}: ")), "{fault}");
    }
}

#[test]
fn names_of_generations_differ_within_a_second() {
    let all: BTreeSet<u64> = (0..100).map(|_| unique()).collect();
    assert_eq!(all.len(), 100);
}

/// Writes a file for a group; tells its group or the fault.
fn commit_for_group(volume: &mut Volume, group: u32) -> Result<bool, VolumeError> {
    let (path, content) = ("db".parse().unwrap(), Content::new(b"1".to_vec()));
    let entry = Entry {
        path: &path,
        mode: "0640".parse().unwrap(),
        group: Some(group),
        content: Some(&content),
    };
    let staged = volume.stage(&[entry], NOW)?;
    let changed = !staged.is_unchanged();
    volume.publish(staged)?;
    Ok(changed)
}

#[test]
fn a_file_is_given_to_its_group_and_a_new_group_is_a_change() {
    let directory = tempfile::tempdir().unwrap();
    let mut volume = Volume::open(directory.path()).unwrap();
    let own = fs::metadata(directory.path()).unwrap().gid();
    assert!(commit_for_group(&mut volume, own).unwrap());
    assert!(!commit_for_group(&mut volume, own).unwrap());
    // Root may give it to anybody; others only to their own groups.
    let result = commit_for_group(&mut volume, own + 7);
    let file = fs::metadata(directory.path().join("db")).unwrap();
    match result {
        Ok(changed) => {
            assert_eq!((changed, file.gid(), file.mode() & 0o777), (true, own + 7, 0o640));
        }
        Err(error) => {
            let text = error.fault().to_string();
            assert!(
                text.starts_with("KS505 ")
                    && text.contains(&format!("/db cannot belong to group {}", own + 7)),
                "{text}"
            );
            assert_eq!(
                (file.gid(), generations(directory.path())),
                (own, 1),
                "the last good file stays"
            );
        }
    }
}
