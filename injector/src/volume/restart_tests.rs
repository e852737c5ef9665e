//! What a volume holds when the process starts.

use super::tests::{commit, names, stage};
use super::*;
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn leftovers_of_a_crash_go_at_start_and_foreign_files_stay() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut volume = Volume::open(path).unwrap();
    commit(&mut volume, &[("db", 0o644, Some(b"1"))]);
    fs::create_dir_all(path.join("..2020_01_01_00_00_00.1/deep/er")).unwrap();
    fs::File::create(path.join("..2020_01_01_00_00_00.1/deep/er/file")).unwrap();
    symlink("..2020_01_01_00_00_00.1", path.join("..data_tmp")).unwrap();
    fs::File::create(path.join("..2020_01_01_00_00_00.2")).unwrap();
    symlink("/etc", path.join("..2020_01_01_00_00_00.3")).unwrap();
    fs::File::create(path.join("theirs")).unwrap();
    let mut volume = Volume::open(path).unwrap();
    assert!(
        !path.join("..2020_01_01_00_00_00.1").exists()
            && fs::symlink_metadata(path.join("..data_tmp")).is_err()
    );
    commit(&mut volume, &[("db", 0o644, Some(b"2"))]);
    assert!(
        path.join("theirs").exists()
            && path.join("..2020_01_01_00_00_00.2").exists()
            && Path::new("/etc/passwd").exists()
    );
}

#[test]
fn a_data_that_is_no_link_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fs::File::create(path.join("..data")).unwrap();
    let mut volume = Volume::open(path).unwrap();
    let error = stage(&mut volume, &[("db", 0o644, Some(b"1"))]).unwrap_err();
    assert_eq!(error.fault().reason.code, "KS504", "{error}");
    assert_eq!(names(path), ["..data"]);
}

fn left(volume: &Volume) -> Option<Vec<String>> {
    volume.left().map(|paths| paths.iter().map(RelativePath::to_string).collect())
}

#[test]
fn a_restart_knows_the_files_of_the_generation() {
    let directory = tempfile::tempdir().unwrap();
    let mut volume = Volume::open(directory.path()).unwrap();
    assert_eq!(left(&volume), None);
    commit(&mut volume, &[("a", 0o644, Some(b"1"))]);
    assert_eq!(left(&volume).unwrap(), ["a"]);
    commit(&mut volume, &[("a", 0o644, None), ("b/c", 0, Some(b"1"))]);
    assert_eq!(left(&volume).unwrap(), ["a", "b/c"]);
    let error = stage(&mut volume, &[("d", 0o644, None)]).unwrap_err();
    assert!(matches!(error, VolumeError::Incomplete { .. }), "{error}");
}

#[test]
fn a_restart_completes_the_links_of_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let paths: Vec<RelativePath> = ["a", "b/c"].iter().map(|path| path.parse().unwrap()).collect();
    commit(
        &mut Volume::open(path).unwrap(),
        &[("a", 0o644, Some(b"1")), ("b/c", 0o644, Some(b"2"))],
    );
    fs::remove_file(path.join("b")).unwrap();
    symlink("..data/gone", path.join("gone")).unwrap();
    let volume = Volume::open(path).unwrap();
    assert!(volume.resume(&paths));
    assert_eq!(fs::read(path.join("b/c")).unwrap(), b"2");
    assert!(fs::symlink_metadata(path.join("gone")).is_err());
    fs::remove_file(path.join("a")).unwrap();
    fs::File::create(path.join("a")).unwrap();
    assert!(!volume.resume(&paths), "somebody else's file hides ours");
}

#[test]
fn a_data_link_that_points_elsewhere_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    symlink("/etc", directory.path().join("..data")).unwrap();
    let mut volume = Volume::open(directory.path()).unwrap();
    assert_eq!(volume.generation(), None);
    assert_eq!(volume.left(), None);
    commit(&mut volume, &[("db", 0o644, Some(b"1"))]);
    assert_eq!(fs::read(directory.path().join("db")).unwrap(), b"1");
}
