use std::sync::atomic::{AtomicU8, Ordering};

use super::*;

/// A source that never gives the same bytes twice.
fn entropy() -> Entropy {
    let next = AtomicU8::new(0);
    Entropy::new(move |bytes| {
        let first = next.fetch_add(1, Ordering::Relaxed);
        for (byte, n) in bytes.iter_mut().zip(0u8..) {
            *byte = n.wrapping_mul(7).wrapping_add(first.wrapping_mul(13));
        }
    })
}

fn accounts(realm: &str, users: &[(&str, &str)]) -> Accounts {
    let mut accounts = Accounts::new(realm.parse().expect("a realm"));
    for (name, password) in users {
        accounts.set(name, password);
    }
    accounts
}

/// Users as the environment gives them: the only way to a [`config::Password`].
fn configured(name: &str, password: &str) -> config::Access {
    let layer = config::Layer::from_environment(Some(name.as_ref()), Some(password.as_ref()));
    config::resolve(config::Layer::default(), layer, config::Layer::default())
        .expect("a user and a password")
        .access
}

fn users(access: &Access) -> &Accounts {
    match access {
        Access::Users(accounts) => accounts,
        Access::Open => panic!("open"),
    }
}

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = Store::new(directory.path().join("state"));
    (directory, store)
}

/// A directory nobody can make, not even root: a file is in its way.
fn unwritable_store() -> (tempfile::NamedTempFile, Store) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let store = Store::new(file.path().join("state"));
    (file, store)
}

fn generated(settled: &Settled) -> (&str, bool) {
    match &settled.notice {
        Notice::Generated { user, password, kept } => {
            let accounts = users(&settled.access);
            let expected = Ha1::from_password(user, &accounts.realm, password.reveal());
            assert_eq!(accounts.ha1(user), Some(&expected), "what is told is what logs in");
            (password.reveal(), *kept)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_rules() {
    let stored = || Some(accounts("stored-realm", &[("ann", "old")]));
    let empty = || Some(accounts("stored-realm", &[]));
    let bob = configured("bob", "new");
    #[derive(Debug, PartialEq)]
    enum Outcome {
        Open,
        OpenOnLoopback,
        Configured(&'static str),
        Stored(&'static str),
        Generated,
    }
    use Outcome::*;
    for (requested, stored, in_stored_realm, expected) in [
        (&config::Access::Open, None, false, Open),
        (&config::Access::Open, stored(), false, Open),
        (&config::Access::OpenOnLoopback, None, false, OpenOnLoopback),
        (&config::Access::OpenOnLoopback, stored(), false, OpenOnLoopback),
        (&bob, None, false, Configured("bob")),
        (&bob, stored(), true, Configured("bob")),
        (&bob, empty(), true, Configured("bob")),
        (&config::Access::Stored, stored(), true, Stored("ann")),
        (&config::Access::Stored, None, false, Generated),
        (&config::Access::Stored, empty(), true, Generated),
    ] {
        let described = format!("{requested:?} with {stored:?}");
        let Verdict { access, notice } = decide(requested, stored, &entropy());
        let (outcome, names): (_, &[&str]) = match notice {
            Notice::Open => (Open, &[]),
            Notice::OpenOnLoopback => (OpenOnLoopback, &[]),
            Notice::Configured(names) if names == ["bob"] => (Configured("bob"), &["bob"]),
            Notice::Stored(names) if names == ["ann"] => (Stored("ann"), &["ann"]),
            Notice::Generated { .. } => (Generated, &["lens"]),
            other => panic!("{described}: {other:?}"),
        };
        assert_eq!(outcome, expected, "{described}");
        match access {
            Access::Open => assert!(names.is_empty(), "{described}"),
            Access::Users(accounts) => {
                assert_eq!(accounts.names(), names, "{described}");
                assert_eq!(accounts.realm.as_str() == "stored-realm", in_stored_realm);
            }
        }
    }
}

#[test]
fn who_may_watch_what() {
    let closed = Access::Users(accounts("r", &[("ann", "x"), ("bob", "y")]));
    let only_ann = ["ann".to_owned()];
    let nobody: [String; 0] = [];
    let stranger = ["eve".to_owned()];
    for (access, user, listed, allowed) in [
        (&Access::Open, None, None, true),
        (&Access::Open, None, Some(&only_ann[..]), true),
        (&closed, None, None, false),
        (&closed, None, Some(&only_ann[..]), false),
        (&closed, Some("ann"), None, true),
        (&closed, Some("ann"), Some(&only_ann[..]), true),
        (&closed, Some("bob"), Some(&only_ann[..]), false),
        (&closed, Some("ann"), Some(&nobody[..]), false),
        (&closed, Some("eve"), None, false),
        (&closed, Some("eve"), Some(&stranger[..]), false),
    ] {
        assert_eq!(access.allows(user, listed), allowed, "{access:?} {user:?} {listed:?}");
    }
}

#[test]
fn a_password_is_told_once_and_good_ever_after() {
    let (_directory, store) = store();
    let first = settle(&config::Access::Stored, Some(&store), &entropy()).expect("first start");
    let (password, kept) = generated(&first);
    assert!(kept && first.warnings.is_empty());
    let file = std::fs::read_to_string(store.file()).expect("the file");
    assert!(!file.contains(password), "only hashes are kept");

    let second = settle(&config::Access::Stored, Some(&store), &entropy()).expect("second start");
    assert_eq!(second.notice, Notice::Stored(vec!["lens".to_owned()]));
    assert_eq!(users(&second.access), users(&first.access));
    assert!(second.warnings.is_empty());
}

#[test]
fn an_open_server_touches_no_file() {
    let (_directory, store) = store();
    for requested in [config::Access::Open, config::Access::OpenOnLoopback] {
        settle(&requested, Some(&store), &entropy()).expect("nothing can fail");
    }
    assert!(!store.file().parent().expect("a directory").exists());
}

#[test]
fn configured_users_use_the_stored_realm_and_write_nothing() {
    let (_directory, store) = store();
    let bob = configured("bob", "new");
    let alone = settle(&bob, Some(&store), &entropy()).expect("no file is needed");
    assert!(!store.file().exists() && alone.warnings.is_empty());

    let made = settle(&config::Access::Stored, Some(&store), &entropy()).expect("first start");
    let before = std::fs::read(store.file()).expect("the file");
    let settled = settle(&bob, Some(&store), &entropy()).expect("the realm is stored");
    let expected = Ha1::from_password("bob", &users(&made.access).realm, "new");
    assert_eq!(users(&settled.access).ha1("bob"), Some(&expected));
    assert_eq!(users(&settled.access).ha1("lens"), None, "only those configured");
    assert_eq!(std::fs::read(store.file()).expect("the file"), before);
}

#[test]
fn without_a_place_the_password_is_for_this_run() {
    let settled = settle(&config::Access::Stored, None, &entropy()).expect("goes on");
    assert!(!generated(&settled).1);
    assert!(matches!(&settled.warnings[..], [Warning::NoPlace]));

    let (_file, store) = unwritable_store();
    let settled = settle(&config::Access::Stored, Some(&store), &entropy()).expect("goes on");
    assert!(!generated(&settled).1);
    let [warning @ Warning::NotKept(StoreError::Unwritable { .. })] = &settled.warnings[..] else {
        panic!("{:?}", settled.warnings);
    };
    let text = warning.to_string();
    assert!(text.contains("for this run only") && text.contains("--state-dir"), "{text}");
}

#[test]
fn a_damaged_file_stops_only_a_server_that_needs_it() {
    let (_directory, store) = store();
    settle(&config::Access::Stored, Some(&store), &entropy()).expect("first start");
    std::fs::write(store.file(), "realm = \n").expect("it can be damaged");

    let error = settle(&config::Access::Stored, Some(&store), &entropy()).expect_err("needed");
    assert!(matches!(error, StoreError::Damaged { line: 1, .. }), "{error:?}");
    let settled = settle(&configured("bob", "x"), Some(&store), &entropy()).expect("not needed");
    assert!(matches!(&settled.warnings[..], [Warning::StoreUnusable(_)]));
    assert!(settle(&config::Access::Open, Some(&store), &entropy()).is_ok());
    let error = set_password(&store, None, None, &entropy()).expect_err("would lose users");
    assert!(matches!(error, PasswordError::Store(StoreError::Damaged { .. })));
    assert_eq!(std::fs::read_to_string(store.file()).expect("untouched"), "realm = \n");
}

#[test]
fn first_starts_at_the_same_time_agree() {
    let (_directory, store) = store();
    let settle_once = || {
        let entropy = Entropy::from_system();
        settle(&config::Access::Stored, Some(&store), &entropy).expect("a start")
    };
    let all: Vec<Settled> = std::thread::scope(|scope| {
        let starting: Vec<_> = (0..8).map(|_| scope.spawn(settle_once)).collect();
        starting.into_iter().map(|start| start.join().expect("no panic")).collect()
    });
    let told = all.iter().filter(|one| matches!(one.notice, Notice::Generated { .. })).count();
    assert_eq!(told, 1, "one made the user, the others found it");
    let kept = store.load().expect("readable").expect("there").accounts;
    for settled in &all {
        assert_eq!(users(&settled.access), &kept);
        assert!(settled.warnings.is_empty(), "{:?}", settled.warnings);
    }
}

#[test]
fn a_new_password_replaces_the_old_in_the_same_realm() {
    let (_directory, store) = store();
    let first = settle(&config::Access::Stored, Some(&store), &entropy()).expect("first start");
    let realm = &users(&first.access).realm;
    let hash_of = |name: &str| {
        let accounts = store.load().expect("readable").expect("there").accounts;
        assert_eq!(&accounts.realm, realm, "never changes");
        accounts.ha1(name).cloned()
    };

    let made = set_password(&store, None, None, &Entropy::from_system()).expect("set");
    let password = made.generated.as_ref().expect("made").reveal();
    assert_eq!((&*made.user, made.is_new_user), ("lens", false));
    assert_ne!(password, generated(&first).0);
    assert_eq!(hash_of("lens"), Some(Ha1::from_password("lens", realm, password)));

    let given = set_password(&store, Some("ann"), Some("s3:cret"), &entropy()).expect("set");
    let expected = NewPassword { user: "ann".to_owned(), generated: None, is_new_user: true };
    assert_eq!(given, expected);
    assert_eq!(hash_of("ann"), Some(Ha1::from_password("ann", realm, "s3:cret")));
    assert_eq!(hash_of("lens"), Some(Ha1::from_password("lens", realm, password)));
}

#[test]
fn a_password_can_be_set_before_the_first_start() {
    let (_directory, store) = store();
    let made = set_password(&store, Some("ann"), Some("x"), &entropy()).expect("set");
    assert!(made.is_new_user);
    let settled = settle(&config::Access::Stored, Some(&store), &entropy()).expect("a start");
    assert_eq!(settled.notice, Notice::Stored(vec!["ann".to_owned()]));
}

#[test]
fn names_and_passwords_that_players_could_not_send_are_refused() {
    let (_directory, store) = store();
    for name in ["", "a:b", "a\"b", "a\\b", "a\nb", &"n".repeat(65)] {
        let error = set_password(&store, Some(name), None, &entropy()).expect_err(name);
        assert!(matches!(error, PasswordError::Name(_)), "{name:?}: {error}");
    }
    for password in ["", "a\nb", &"p".repeat(257)] {
        let error = set_password(&store, None, Some(password), &entropy()).expect_err(password);
        assert!(matches!(error, PasswordError::Password), "{error}");
    }
    assert!(!store.file().exists());
    let longest = (&*"n".repeat(64), &*"é".repeat(128));
    set_password(&store, Some(longest.0), Some(longest.1), &entropy()).expect("just fits");
}

#[test]
fn nothing_shows_a_password_or_hash() {
    let (_directory, store) = store();
    let settled = settle(&config::Access::Stored, Some(&store), &entropy()).expect("first start");
    let (password, _) = generated(&settled);
    let hash = users(&settled.access).ha1("lens").expect("there").md5_hex();
    let shown = format!("{settled:?}");
    assert!(!shown.contains(password) && !shown.contains(&hash), "{shown}");
}
