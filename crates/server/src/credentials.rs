//! Who may watch, and where that is remembered.
//!
//! ```text
//!  config::Access ─▶ settle ─▶ Settled { access, notice, warnings }
//!                     ▲  │
//!           users.toml┘  └▶ users.toml      (state directory; hashes only, readable by its owner)
//! ```
//!
//! What is kept of a password is its HA1 hash, which logs in to its realm as well as the password
//! does. So the realm is made once, with the file, and never changes; and it is random, so that
//! hashes taken from one server are worth nothing at another where the same password is used.
//!
//! The password of the user that is made when there is none is told once, to whoever started the
//! server, and kept nowhere.

use std::{collections::BTreeMap, path::PathBuf};

use rtsp_proto::auth::{Ha1, Realm, Users};

use crate::{config, entropy::Entropy};

mod place;
mod secret;
mod store;

pub use place::state_directory;
pub use secret::Secret;
pub use store::{Loaded, Store, StoreError};

/// Who may watch, for the life of this server.
#[derive(Clone, Debug)]
pub enum Access {
    /// Everyone.
    Open,
    /// Those who log in.
    Users(Accounts),
}

/// Users and what is kept of their passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounts {
    /// What the hashes were made with.
    pub realm: Realm,
    /// The hashes, by name.
    pub users: BTreeMap<String, Ha1>,
}

impl Access {
    /// Whether `user`, who has logged in as that, may watch a stream; `stream_users` are those it
    /// is kept for, if it is not for all.
    ///
    /// An open server asks nobody who he is, so there the list of a stream has no meaning.
    pub fn allows(&self, user: Option<&str>, stream_users: Option<&[String]>) -> bool {
        match (self, user, stream_users) {
            (Self::Open, _, _) => true,
            (Self::Users(_), None, _) => false,
            (Self::Users(accounts), Some(user), None) => accounts.users.contains_key(user),
            (Self::Users(accounts), Some(user), Some(listed)) => {
                accounts.users.contains_key(user) && listed.iter().any(|name| name == user)
            }
        }
    }
}

impl Accounts {
    /// Nobody.
    fn new(realm: Realm) -> Self {
        Self { realm, users: BTreeMap::new() }
    }

    /// Adds a user or changes the password; whether the user is new.
    fn set(&mut self, name: &str, password: &str) -> bool {
        let ha1 = Ha1::from_password(name, &self.realm, password);
        self.users.insert(name.to_owned(), ha1).is_none()
    }

    fn names(&self) -> Vec<String> {
        self.users.keys().cloned().collect()
    }
}

impl Users for Accounts {
    fn ha1(&self, name: &str) -> Option<&Ha1> {
        self.users.get(name)
    }
}

/// What came of [`settle`].
#[derive(Debug)]
pub struct Settled {
    /// Who may watch.
    pub access: Access,
    /// What whoever started the server is told.
    pub notice: Notice,
    /// What is not as it should be, though the server can go on.
    pub warnings: Vec<Warning>,
}

/// What whoever started the server is told about who may watch.
#[derive(Debug, PartialEq, Eq)]
pub enum Notice {
    /// Everyone may, as was asked for.
    Open,
    /// Everyone on this machine may, and nobody else can connect.
    OpenOnLoopback,
    /// These users may, of those who started the server.
    Configured(Vec<String>),
    /// These users may, from an earlier start; `lenscast passwd NAME` sets a new password.
    Stored(Vec<String>),
    /// A user was made. Nobody will ever be told this password again.
    Generated {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
        /// Whether it is good at the next start too.
        kept: bool,
    },
}

/// What is not as it should be, though the server can go on.
#[derive(Debug, thiserror::Error)]
pub enum Warning {
    /// There is no directory to keep anything in.
    #[error(
        "there is no directory for state, so the password is for this run only: name one with \
         --state-dir, or set LENSCAST_USER and LENSCAST_PASSWORD"
    )]
    NoPlace,
    /// The directory cannot be written.
    #[error(
        "{0}; so the password is for this run only: name another directory with --state-dir, or \
         set LENSCAST_USER and LENSCAST_PASSWORD"
    )]
    NotKept(#[source] StoreError),
    /// The file could be read by others.
    #[error(
        "{} could be read by others (its mode was {mode:04o}); that is mended, but whoever has read \
         it can log in: set new passwords with `lenscast passwd NAME`",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// The permission bits it had.
        mode: u32,
    },
    /// The stored users do not matter now, but would at a start without configured users.
    #[error("the stored users are not used now, and could not be: {0}")]
    StoreUnusable(#[source] StoreError),
}

/// Decides who may watch.
///
/// `requested` already holds what flags, environment and file said; `store` is `None` where there
/// is no directory for state. Configured users are hashed with the stored realm when there is one;
/// for them alone nothing is written. With no user configured and others able to connect, the
/// stored users may watch; without any of these, the user `lens` is made.
///
/// # Errors
///
/// When the stored users are needed and cannot be read: going on would lock them out, or replace
/// them.
pub fn settle(
    requested: &config::Access,
    store: Option<&Store>,
    entropy: &Entropy,
) -> Result<Settled, StoreError> {
    let mut warnings = Vec::new();
    let loaded = match (requested, store.map(Store::load)) {
        (config::Access::Open | config::Access::OpenOnLoopback, _) | (_, None) => None,
        (config::Access::Users(_), Some(Err(error))) => {
            warnings.push(Warning::StoreUnusable(error));
            None
        }
        (_, Some(loaded)) => loaded?,
    };
    if let (Some(store), Some(mode)) = (store, loaded.as_ref().and_then(|loaded| loaded.exposed)) {
        warnings.push(Warning::Exposed { path: store.file(), mode });
    }
    let mut verdict = decide(requested, loaded.map(|loaded| loaded.accounts), entropy);
    if verdict.is_to_be_kept() {
        verdict = match keep(requested, store, entropy) {
            Ok(kept) => kept,
            Err(Some(error)) if !matches!(error, StoreError::Unwritable { .. }) => {
                return Err(error);
            }
            Err(reason) => {
                warnings.push(reason.map_or(Warning::NoPlace, Warning::NotKept));
                verdict.for_this_run_only()
            }
        };
    }
    Ok(Settled { access: verdict.access, notice: verdict.notice, warnings })
}

/// Decides again with the store locked, and writes what has been decided: another server may be
/// starting in the same directory, and who comes second uses what is there. `Err(None)`: nowhere
/// to write.
fn keep(
    requested: &config::Access,
    store: Option<&Store>,
    entropy: &Entropy,
) -> Result<Verdict, Option<StoreError>> {
    let store = store.ok_or(None)?;
    let decide_again = |found| {
        let verdict = decide(requested, found, entropy);
        let written = match &verdict.access {
            Access::Users(accounts) if verdict.is_to_be_kept() => Some(accounts.clone()),
            _ => None,
        };
        (written, verdict)
    };
    store.update(decide_again).map_err(Some)
}

/// The rules, apart from all files: `stored` is what the state directory holds.
fn decide(requested: &config::Access, stored: Option<Accounts>, entropy: &Entropy) -> Verdict {
    let in_realm = |stored: Option<Accounts>| {
        Accounts::new(stored.map_or_else(|| secret::realm(entropy), |stored| stored.realm))
    };
    let (accounts, notice) = match (requested, stored) {
        (config::Access::Open, _) => return Verdict::open(Notice::Open),
        (config::Access::OpenOnLoopback, _) => return Verdict::open(Notice::OpenOnLoopback),
        (config::Access::Users(users), stored) => {
            let mut accounts = in_realm(stored);
            for user in users {
                accounts.set(&user.name, user.password.reveal());
            }
            let notice = Notice::Configured(accounts.names());
            (accounts, notice)
        }
        (config::Access::Stored, Some(stored)) if !stored.users.is_empty() => {
            let notice = Notice::Stored(stored.names());
            (stored, notice)
        }
        (config::Access::Stored, stored) => {
            let mut accounts = in_realm(stored);
            let (user, password) = (MADE_USER.to_owned(), secret::password(entropy));
            accounts.set(&user, password.reveal());
            (accounts, Notice::Generated { user, password, kept: true })
        }
    };
    Verdict { access: Access::Users(accounts), notice }
}

/// What [`decide`] decided.
struct Verdict {
    access: Access,
    notice: Notice,
}

impl Verdict {
    fn open(notice: Notice) -> Self {
        Self { access: Access::Open, notice }
    }

    fn is_to_be_kept(&self) -> bool {
        matches!(self.notice, Notice::Generated { kept: true, .. })
    }

    fn for_this_run_only(mut self) -> Self {
        if let Notice::Generated { kept, .. } = &mut self.notice {
            *kept = false;
        }
        self
    }
}

/// What came of [`set_password`].
#[derive(Debug, PartialEq, Eq)]
pub struct NewPassword {
    /// Whose it is.
    pub user: String,
    /// The password, when it was made and not given: to be shown once.
    pub generated: Option<Secret>,
    /// Whether there was no such user before.
    pub is_new_user: bool,
}

/// Gives the user `name` (`lens`, if not named) a new password: the one given, else a strong one
/// that is made. A user who does not exist is added. A server that is running goes on with what it
/// has read at its start.
///
/// # Errors
///
/// When the name or password cannot be, or the file cannot be read or written.
pub fn set_password(
    store: &Store,
    name: Option<&str>,
    password: Option<&str>,
    entropy: &Entropy,
) -> Result<NewPassword, PasswordError> {
    let name = name.unwrap_or(MADE_USER);
    check_name(name)?;
    let generated = password.is_none().then(|| secret::password(entropy));
    let password = password.or(generated.as_ref().map(Secret::reveal)).unwrap_or_default();
    check_password(password)?;
    let is_new_user = store.update(|accounts| {
        let mut accounts = accounts.unwrap_or_else(|| Accounts::new(secret::realm(entropy)));
        let is_new_user = accounts.set(name, password);
        (Some(accounts), is_new_user)
    })?;
    Ok(NewPassword { user: name.to_owned(), generated, is_new_user })
}

/// Why no password was set.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Players could not send this name.
    #[error(
        "{0:?} cannot be the name of a user: it has from 1 to {MAX_NAME} bytes and no : \" \\ or \
         control character"
    )]
    Name(String),
    /// Players could not send this password.
    #[error("a password has from 1 to {MAX_PASSWORD} bytes and no control character")]
    Password,
    /// The file.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn check_name(name: &str) -> Result<(), PasswordError> {
    let impossible = |c: char| matches!(c, ':' | '"' | '\\') || c.is_control();
    if name.is_empty() || name.len() > MAX_NAME || name.contains(impossible) {
        return Err(PasswordError::Name(name.to_owned()));
    }
    Ok(())
}

fn check_password(password: &str) -> Result<(), PasswordError> {
    if password.is_empty() || password.len() > MAX_PASSWORD || password.contains(char::is_control) {
        return Err(PasswordError::Password);
    }
    Ok(())
}

/// The user who is made when there is none.
const MADE_USER: &str = "lens";
/// As for the users of a configuration file.
const MAX_NAME: usize = 64;
const MAX_PASSWORD: usize = 256;

#[cfg(test)]
mod tests;
