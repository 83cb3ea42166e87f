//! Files on disk: nothing is passed over in silence.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::path::Path;

use jitney_policies::{FILE_BYTES_MAX, read_policies, read_text};
use tempfile::tempdir;

fn code(path: &Path) -> &'static str {
    read_policies(path).unwrap_err().problems[0].code
}

#[test]
fn a_directory_is_read_in_the_order_of_its_names() {
    let folder = tempdir().unwrap();
    for name in ["b.cedar", "a.cedar", "README.md", ".hidden"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    let files = read_policies(folder.path()).unwrap();
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["a.cedar", "b.cedar"]);
    let one = read_policies(&folder.path().join("b.cedar")).unwrap();
    assert_eq!(one[0].text, "b.cedar");
}

#[test]
fn a_file_of_another_name_is_not_passed_over() {
    for name in ["deny.cedr", "deny.cedar.bak", "deny.txt"] {
        let folder = tempdir().unwrap();
        fs::write(folder.path().join(name), "").unwrap();
        assert_eq!(code(folder.path()), "not_a_policy_file", "{name}");
    }
    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("more")).unwrap();
    assert_eq!(code(folder.path()), "not_a_policy_file");
    fs::remove_dir(folder.path().join("more")).unwrap();
    fs::create_dir(folder.path().join("more.cedar")).unwrap();
    assert_eq!(code(folder.path()), "unreadable");
}

#[test]
fn what_cannot_be_read_is_refused() {
    let folder = tempdir().unwrap();
    assert_eq!(code(&folder.path().join("none")), "unreadable");
    let path = folder.path().join("a.cedar");
    fs::write(&path, b"\xff\xfe").unwrap();
    assert_eq!(code(&path), "unreadable");
    let size = usize::try_from(FILE_BYTES_MAX).unwrap();
    fs::write(&path, vec![b' '; size]).unwrap();
    assert!(read_text(&path).is_ok());
    fs::write(&path, vec![b' '; size + 1]).unwrap();
    assert_eq!(code(&path), "too_large");
}
