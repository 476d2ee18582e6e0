use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::Snapshot;

#[test]
fn every_change_of_a_file_is_seen() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (file, link) = (path("file"), path("link"));
    let take = || Snapshot::of([file.as_path(), link.as_path()]);
    let absent = take();
    assert!(!absent.has_changed());
    fs::write(&file, "one").unwrap();
    assert!(absent.has_changed());
    let before = take();
    assert!(!before.has_changed());
    fs::write(&file, "three").unwrap();
    assert!(before.has_changed());
    let before = take();
    fs::remove_file(&file).unwrap();
    assert!(before.has_changed());
}

#[test]
fn a_swapped_link_is_seen() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    for name in ["one", "two"] {
        fs::write(path(name), "same").unwrap();
    }
    symlink(path("one"), path("link")).unwrap();
    let before = Snapshot::of([path("link").as_path()]);
    symlink(path("two"), path("next")).unwrap();
    fs::rename(path("next"), path("link")).unwrap();
    assert!(before.has_changed());
}
