use std::{os::unix::fs::symlink, sync::mpsc};

use super::*;

const MD5: &str = "b4d2e5fcf4e2a93345e20d98b9b32f0e";
const SHA256: &str = "a0b2ed6354d679930016ce37533d1769dc0dbcaebd6fc9cb5451b498e5774caa";

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = Store::new(directory.path().join("a/state"));
    (directory, store)
}

fn accounts(names: &[&str]) -> Accounts {
    let ha1 = Ha1::from_hex(MD5, SHA256).expect("digits");
    Accounts {
        realm: "lenscast-test".parse().expect("a realm"),
        users: names.iter().map(|name| ((*name).to_owned(), ha1.clone())).collect(),
    }
}

fn write(store: &Store, names: &[&str]) {
    store.update(|_| (Some(accounts(names)), ())).expect("written");
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("there").permissions().mode() & 0o7777
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("there");
    entries.map(|entry| entry.expect("there").file_name().into_string().expect("text")).collect()
}

#[test]
fn what_is_written_is_read() {
    let (_directory, store) = store();
    assert!(store.load().expect("nothing there").is_none());
    for names in [&[][..], &["lens"], &["lens", "Müller, Jörg", "a'b # = [x]", " "]] {
        write(&store, names);
        let loaded = store.load().expect("readable").expect("there");
        assert_eq!((loaded.accounts, loaded.exposed), (accounts(names), None));
    }
}

#[test]
fn only_the_owner_can_read_from_the_first_moment() {
    let (directory, store) = store();
    write(&store, &["lens"]);
    assert_eq!(mode(&store.file()), 0o600);
    assert_eq!(mode(&store.directory), 0o700);
    assert_eq!(mode(&directory.path().join("a")), 0o700);
    assert_eq!(names_in(&store.directory), ["users.toml"], "nothing is left lying about");
    // A directory that somebody else has made is left as it is.
    fs::set_permissions(&store.directory, Permissions::from_mode(0o750)).expect("ours");
    write(&store, &["ann"]);
    assert_eq!((mode(&store.directory), mode(&store.file())), (0o750, 0o600));
}

#[test]
fn a_file_others_could_read_is_mended_and_said() {
    let (_directory, store) = store();
    for exposed in [0o644, 0o640, 0o602, 0o604, 0o610] {
        write(&store, &["lens"]);
        fs::set_permissions(store.file(), Permissions::from_mode(exposed)).expect("ours");
        let loaded = store.load().expect("readable").expect("there");
        assert_eq!(loaded.exposed, Some(exposed));
        assert_eq!(mode(&store.file()), 0o600);
        assert_eq!(store.load().expect("readable").expect("there").exposed, None);
    }
    fs::set_permissions(store.file(), Permissions::from_mode(0o400)).expect("ours");
    assert_eq!(store.load().expect("readable").expect("there").exposed, None);
    assert_eq!(mode(&store.file()), 0o400);
}

#[test]
fn damage_is_named_by_line_and_never_shows_a_hash() {
    let user = |name: &str, md5: &str, sha256: &str| {
        format!("[[user]]\nname = {name}\nmd5 = {md5}\nsha256 = {sha256}\n")
    };
    let quote = |text: &str| format!("\"{text}\"");
    let good = user("\"lens\"", &quote(MD5), &quote(SHA256));
    let realm = "# heading\nrealm = \"r\"\n\n";
    let short = &MD5[1..];
    for (text, line, part) in [
        (String::new(), 1, "realm"),
        (good.clone(), 1, "realm"),
        ("realm = \"\"\n".to_owned(), 1, "a realm has 1 to 64 characters"),
        ("realm = 'a\"b'\n".to_owned(), 1, "cannot hold"),
        (format!("{realm}{good}{good}"), 9, "already there"),
        (format!("{realm}{}", user("\"a:b\"", &quote(MD5), &quote(SHA256))), 5, "name of a user"),
        (format!("{realm}{}", user("\"a\"", &quote(short), &quote(SHA256))), 6, "32 hex"),
        (format!("{realm}{}", user("\"a\"", &quote(MD5), &quote(MD5))), 7, "64 hex"),
        (format!("{realm}{}", user("\"a\"", &format!("\"{MD5}"), "\"\"")), 6, ""),
        (format!("{realm}[[user]]\nname = \"a\"\nmd5 = \"{MD5}\"\n"), 4, "sha256"),
        (format!("{realm}{good}colour = \"{SHA256}\"\n"), 8, "colour"),
        (format!("{realm}{good}{SHA256}\n"), 8, ""),
        (format!("{realm}{good}{SHA256} = \"sha256\"\n"), 8, "unknown field"),
        (format!("{realm}user = \"{MD5}\"\n"), 4, "invalid type"),
        ("\0\0\0\0".to_owned(), 1, ""),
    ] {
        let (found, what) = parse(&text).expect_err(&text);
        assert_eq!(found, line, "{text}\n{what}");
        assert!(what.contains(part), "{text}\n{what}");
        assert!(!what.contains(short) && !what.contains(&SHA256[1..]), "{what}");
    }
    let (_directory, store) = store();
    write(&store, &["lens"]);
    fs::write(store.file(), format!("{realm}{good}oops\n")).expect("ours");
    let text = store.load().expect_err("damaged").to_string();
    let begin = format!("{}, line 8: ", store.file().display());
    assert!(text.starts_with(&begin) && text.contains("move it away"), "{text}");
}

#[test]
fn what_is_no_text_or_too_long_is_no_users() {
    let (_directory, store) = store();
    write(&store, &["lens"]);
    fs::write(store.file(), b"realm = \"\xff\"\n").expect("ours");
    assert!(matches!(store.load(), Err(StoreError::Unreadable { .. })));
    let long = format!("realm = \"r\"\n{}", "#\n".repeat(MAX_SIZE as usize / 2));
    fs::write(store.file(), long).expect("ours");
    assert!(matches!(store.load(), Err(StoreError::Damaged { .. })));
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    let (_directory, store) = store();
    fs::create_dir_all(store.file()).expect("a directory in its place");
    assert!(matches!(store.load(), Err(StoreError::NotAFile { .. })));
    fs::remove_dir(store.file()).expect("empty");
    let mode = nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR;
    nix::unistd::mkfifo(&store.file(), mode).expect("a FIFO in its place");
    assert!(matches!(store.load(), Err(StoreError::NotAFile { .. })));
    let update = store.update(|_| (Some(accounts(&["lens"])), ()));
    assert!(matches!(update, Err(StoreError::NotAFile { .. })), "nor is it replaced");
}

#[test]
fn a_link_to_the_file_is_followed() {
    let (directory, store) = store();
    write(&store, &["lens"]);
    let elsewhere = directory.path().join("secret.toml");
    fs::rename(store.file(), &elsewhere).expect("ours");
    symlink(&elsewhere, store.file()).expect("a link in its place");
    assert_eq!(store.load().expect("readable").expect("there").accounts, accounts(&["lens"]));
}

#[test]
fn a_failed_change_leaves_the_file() {
    let (_directory, store) = store();
    write(&store, &["lens"]);
    let before = fs::read(store.file()).expect("there");
    // Something that cannot be removed as a file is where the new one is written.
    fs::create_dir(store.directory.join(NEW_FILE)).expect("ours");
    let error = store.update(|_| (Some(accounts(&["ann"])), ())).expect_err("cannot write");
    assert!(matches!(error, StoreError::Unwritable { .. }), "{error:?}");
    assert_eq!(fs::read(store.file()).expect("there"), before);
}

#[test]
fn what_a_killed_process_left_is_no_hindrance() {
    let (_directory, store) = store();
    write(&store, &["lens"]);
    fs::write(store.directory.join(NEW_FILE), "half a fi").expect("ours");
    write(&store, &["ann"]);
    assert_eq!(store.load().expect("readable").expect("there").accounts, accounts(&["ann"]));
    assert_eq!(names_in(&store.directory), ["users.toml"]);
}

#[test]
fn a_directory_that_cannot_be_is_unwritable_and_holds_nothing() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let store = Store::new(file.path().join("state"));
    assert!(store.load().expect("nothing there").is_none());
    let error = store.update(|_| (Some(accounts(&[])), ())).expect_err("a file is in its way");
    let text = error.to_string();
    assert!(text.contains(&store.directory.display().to_string()), "{text}");
}

#[test]
fn changes_come_one_after_the_other() {
    let (_directory, store) = store();
    let (entered, wait_for_entry) = mpsc::channel();
    let (go_on, wait_for_others) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let store = &store;
        scope.spawn(move || {
            let first = |_| {
                entered.send(()).expect("the test waits");
                // Released only when the second has been started; whether that then really
                // waits shows in what it finds.
                wait_for_others.recv().expect("the test goes on");
                (Some(accounts(&["first"])), ())
            };
            store.update(first).expect("written");
        });
        wait_for_entry.recv().expect("the first is in");
        let second = scope.spawn(move || {
            store.update(|found| (None, found.map(|accounts| accounts.users.len())))
        });
        go_on.send(()).expect("the first waits");
        let found = second.join().expect("no panic").expect("readable");
        assert_eq!(found, Some(1), "the second saw what the first wrote");
    });
}

/// Root may do everything, so as root this shows less: that the owner of the directory stays able
/// to read what root writes there.
#[test]
fn the_owner_of_the_directory_keeps_the_file() {
    let (_directory, store) = store();
    write(&store, &["lens"]);
    if !geteuid().is_root() {
        fs::set_permissions(&store.directory, Permissions::from_mode(0o500)).expect("ours");
        let error = store.update(|_| (Some(accounts(&["ann"])), ())).expect_err("read-only");
        assert!(matches!(error, StoreError::Unwritable { .. }), "{error:?}");
        assert!(store.load().expect("still readable").is_some());
        fs::set_permissions(store.file(), Permissions::from_mode(0o000)).expect("ours");
        assert!(matches!(store.load(), Err(StoreError::Unreadable { .. })));
        fs::set_permissions(&store.directory, Permissions::from_mode(0o000)).expect("ours");
        assert!(store.load().expect("cannot be entered").is_none());
        fs::set_permissions(&store.directory, Permissions::from_mode(0o700)).expect("ours");
        return;
    }
    let (service, stranger) = (4711, 4712);
    std::os::unix::fs::chown(&store.directory, Some(service), Some(service)).expect("root may");
    write(&store, &["ann"]);
    let metadata = fs::metadata(store.file()).expect("there");
    assert_eq!((metadata.uid(), metadata.gid()), (service, service));
    assert!(store.load().expect("of the directory's owner").is_some());
    std::os::unix::fs::chown(store.file(), Some(stranger), None).expect("root may");
    let error = store.load().expect_err("planted");
    assert!(matches!(error, StoreError::Foreign { owner, .. } if owner == stranger));
}
