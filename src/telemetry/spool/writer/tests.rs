use super::{LOOK_EVERY, Target};

#[test]
fn a_name_that_means_another_file_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let Target::File(mut open) = Target::file(&path).unwrap() else {
        panic!("a file was asked for");
    };
    let long_ago = open.looked.checked_sub(LOOK_EVERY * 2).unwrap();
    open.looked = long_ago;
    assert!(!open.has_moved());
    std::fs::remove_file(&path).unwrap();
    assert!(!open.has_moved(), "it was looked up just now");
    open.looked = long_ago;
    assert!(open.has_moved(), "the name is gone");
    std::fs::write(&path, "").unwrap();
    open.looked = long_ago;
    assert!(open.has_moved(), "the name means another file");
}

#[test]
fn a_new_file_is_not_for_everybody() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    Target::file(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o137, 0, "{mode:o}");
}
