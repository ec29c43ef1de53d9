//! The file of users in the state directory, which people mend by hand: what can be read survives
//! being written, with a user more; what cannot be is refused with its line, is left as it is, and
//! the refusal shows no hash.
//!
//! Input: a byte of length, the name of a user of that length, then the file.

use std::{
    cell::RefCell,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use lenscast::{
    credentials::{PasswordError, Store, StoreError, set_password},
    entropy::Entropy,
};
use rtsp_proto::auth::Ha1;
use tempfile::TempDir;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&length, rest)) = data.split_first() else { return };
    let (name, file) = rest.split_at(usize::from(length).min(rest.len()));
    let Ok(name) = str::from_utf8(name) else { return };
    DIRECTORY.with_borrow(|directory| in_directory(directory.path(), name, file));
}

fn in_directory(directory: &Path, name: &str, content: &[u8]) {
    let store = Store::new(directory.to_owned());
    write(&store.file(), content);
    let loaded = match store.load() {
        Ok(loaded) => loaded.expect("the file is there"),
        Err(error) => return refused(&store, &error, content),
    };
    assert_eq!(loaded.exposed, None, "only the owner can read it");
    let before = loaded.accounts;
    for name in before.users.keys() {
        assert!((1..=64).contains(&name.len()), "{name:?}");
        assert!(!name.contains([':', '"', '\\']) && !name.contains(char::is_control), "{name:?}");
    }

    let set = set_password(&store, Some(name), Some(PASSWORD), &Entropy::new(|_| {}));
    let after = store.load().expect("it can be read again").expect("it is there").accounts;
    match set {
        Ok(set) => {
            assert_eq!((set.user.as_str(), &set.generated), (name, &None));
            assert_eq!(set.is_new_user, !before.users.contains_key(name));
            let mut expected = before;
            let hash = Ha1::from_password(name, &expected.realm, PASSWORD);
            expected.users.insert(name.to_owned(), hash);
            assert_eq!(after, expected);
        }
        Err(PasswordError::Name(refused)) => {
            assert_eq!(refused, name);
            assert!(!before.users.contains_key(name), "read, and cannot be");
            assert_eq!(after, before);
            assert_eq!(fs::read(store.file()).expect("a file"), content, "written for nothing");
        }
        Err(error) => panic!("{error}"),
    }
}

fn refused(store: &Store, error: &StoreError, content: &[u8]) {
    let shown = error.to_string();
    match error {
        StoreError::Damaged { line, what, .. } => {
            let lines = 1 + content.iter().filter(|&&byte| byte == b'\n').count();
            assert!((1..=lines).contains(line), "line {line} of {lines}");
            assert!(!what.is_empty());
        }
        StoreError::Unreadable { .. } => assert!(str::from_utf8(content).is_err(), "{shown}"),
        other => panic!("{other}"),
    }
    let text = String::from_utf8_lossy(content);
    // Wherever it stands, also where a key or a name belongs; pieces of one are as bad.
    for digits in text.split(|character: char| !character.is_ascii_hexdigit()) {
        let is_secret = digits.len() >= SHORTEST_SECRET;
        assert!(!is_secret || !shown.contains(&digits[..SHORTEST_SECRET]), "{shown}");
    }
    let entropy = Entropy::new(|_| {});
    assert!(set_password(store, None, Some(PASSWORD), &entropy).is_err(), "it was replaced");
    assert_eq!(fs::read(store.file()).expect("a file"), content, "it was changed");
}

/// As `lenscast` writes it, for no eyes but its owner's.
fn write(file: &Path, content: &[u8]) {
    fs::write(file, content).expect("a file can be written");
    fs::set_permissions(file, Permissions::from_mode(0o600)).expect("it is ours");
}

thread_local! {
    /// In memory where there is such a place: each write waits until it is on the disk.
    static DIRECTORY: RefCell<TempDir> = RefCell::new(
        tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory"),
    );
}

const PASSWORD: &str = "a password";
/// Hexadecimal digits, of which no message or path has as many.
const SHORTEST_SECRET: usize = 9;
