//! The file `users.toml` in the state directory.
//!
//! ```toml
//! realm = "lenscast-k7m2qa9d"
//!
//! [[user]]
//! name = "lens"
//! md5 = "…32 hexadecimal digits…"
//! sha256 = "…64 hexadecimal digits…"
//! ```
//!
//! Whoever reads it can log in, so from its first moment only its owner can. It is replaced as a
//! whole or not at all; and a file that cannot be understood is never replaced.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    ops::Range,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;
use rtsp_proto::auth::{Ha1, Realm};
use serde::{Deserialize, Serialize};

use crate::credentials::{Accounts, check_name};

/// The users kept in a state directory.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// What a [`Store`] held.
#[derive(Debug)]
pub struct Loaded {
    /// The users.
    pub accounts: Accounts,
    /// The permission bits the file had, when they let others read or write it. They have been
    /// taken away.
    pub exposed: Option<u32>,
}

impl Store {
    /// Of this directory, which need not exist. Touches no file.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The file itself.
    pub fn file(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// Reads the file; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError`], except for [`StoreError::Unwritable`].
    pub fn load(&self) -> Result<Option<Loaded>, StoreError> {
        let path = self.file();
        let unreadable = |source| StoreError::Unreadable { path: path.clone(), source };
        let file = match OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(&path) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            // Where not even the directory can be entered (the home of another user, inherited by
            // a container), nothing was ever kept by this user.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return match fs::symlink_metadata(&path) {
                    Ok(_) => Err(unreadable(error)),
                    Err(_) => Ok(None),
                };
            }
            Err(error) => return Err(unreadable(error)),
        };
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(StoreError::NotAFile { path });
        }
        self.check_owner(metadata.uid(), &path)?;
        let exposed = take_from_others(&file, metadata.mode(), &path)?;
        let mut text = String::new();
        file.take(MAX_SIZE + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > MAX_SIZE {
            return Err(StoreError::Damaged {
                path,
                line: 1,
                what: format!("it has more than {MAX_SIZE} bytes"),
            });
        }
        let accounts =
            parse(&text).map_err(|(line, what)| StoreError::Damaged { path, line, what })?;
        Ok(Some(Loaded { accounts, exposed }))
    }

    /// Lets `change` see what is there, and writes what it returns, if anything. Two processes do
    /// this one after the other, and a reader sees the old or the new, whole.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`]; the file is then as it was.
    pub fn update<T>(
        &self,
        change: impl FnOnce(Option<Accounts>) -> (Option<Accounts>, T),
    ) -> Result<T, StoreError> {
        let unwritable =
            |source| StoreError::Unwritable { directory: self.directory.clone(), source };
        DirBuilder::new()
            .recursive(true)
            .mode(PRIVATE_DIRECTORY)
            .create(&self.directory)
            .map_err(unwritable)?;
        let directory = File::open(&self.directory).map_err(unwritable)?;
        // Some network file systems cannot lock a directory. There, of two first starts in the
        // same instant one would print a password that the other has replaced.
        let _ = directory.lock();
        let (changed, result) = change(self.load()?.map(|loaded| loaded.accounts));
        if let Some(accounts) = changed {
            self.replace(&directory, &accounts).map_err(unwritable)?;
        }
        Ok(result)
    }

    fn replace(&self, directory: &File, accounts: &Accounts) -> io::Result<()> {
        let new = self.directory.join(NEW_FILE);
        // Left by a process that was killed; the lock is ours.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let written = write_new(&new, directory, accounts)
            .and_then(|()| fs::rename(&new, self.file()))
            .and_then(|()| directory.sync_all());
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }

    /// A file that somebody else has put there would let him in.
    fn check_owner(&self, owner: u32, path: &Path) -> Result<(), StoreError> {
        let of_directory = fs::metadata(&self.directory).map(|metadata| metadata.uid()).ok();
        if [Some(0), Some(geteuid().as_raw()), of_directory].contains(&Some(owner)) {
            Ok(())
        } else {
            Err(StoreError::Foreign { path: path.to_owned(), owner })
        }
    }
}

/// What is wrong with the state directory.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is there but cannot be read.
    #[error(
        "cannot read the users in {}: {source}; run as its owner, or name another directory with \
         --state-dir",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory cannot be made, or not be written.
    #[error("cannot keep users in {}: {source}", directory.display())]
    Unwritable {
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what this program writes. Shows nothing of its content.
    #[error(
        "{}, line {line}: {what}; mend it, or move it away to begin anew with a new user and \
         password",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where, counted from 1.
        line: usize,
        /// What.
        what: String,
    },
    /// Others can read it, and that cannot be changed.
    #[error(
        "others can read {} (its mode is {mode:04o}), and that cannot be changed: {source}; take \
         it away from them with chmod 600",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Why they stay.
        source: io::Error,
    },
    /// It belongs to somebody who is neither we nor root nor the owner of the directory.
    #[error("{} belongs to the user with the number {owner}, and not to this server", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// A directory, a device or the like.
    #[error("{} is not a file", path.display())]
    NotAFile {
        /// What it is called.
        path: PathBuf,
    },
}

/// The file as it stands on disk.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    realm: RealmText,
    #[serde(default, rename = "user")]
    users: Vec<Entry>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: toml::Spanned<Name>,
    md5: Digits<32>,
    sha256: Digits<64>,
}

#[derive(Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
#[derive(Clone)]
struct RealmText(Realm);

#[derive(Clone, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
struct Name(String);

/// `N` hexadecimal digits.
#[derive(Clone, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
struct Digits<const N: usize>(String);

impl TryFrom<String> for RealmText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error: rtsp_proto::auth::RealmError| error.to_string())
    }
}

impl From<RealmText> for String {
    fn from(realm: RealmText) -> Self {
        realm.0.as_str().to_owned()
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        check_name(&text).map_err(|error| error.to_string())?;
        Ok(Self(text))
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl<const N: usize> TryFrom<String> for Digits<N> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.len() == N && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(text))
        } else {
            Err(format!("the hash must have {N} hexadecimal digits"))
        }
    }
}

impl<const N: usize> From<Digits<N>> for String {
    fn from(digits: Digits<N>) -> Self {
        digits.0
    }
}

/// The users, or the line and what is wrong there.
fn parse(text: &str) -> Result<Accounts, (usize, String)> {
    let line = |span: Option<Range<usize>>| {
        let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
        before.matches('\n').count() + 1
    };
    // Only the message: the whole of the error would quote the line, which may hold a hash.
    let document: Document = toml::from_str(text)
        .map_err(|error| (line(error.span()), without_hashes(error.message().trim())))?;
    let mut users = BTreeMap::new();
    for Entry { name, md5, sha256 } in document.users {
        let at = line(Some(name.span()));
        let Name(name) = name.into_inner();
        let ha1 = Ha1::from_hex(&md5.0, &sha256.0)
            .ok_or_else(|| (at, "the hashes cannot be read".to_owned()))?;
        if users.insert(name, ha1).is_some() {
            return Err((at, "this user is already there".to_owned()));
        }
    }
    Ok(Accounts { realm: document.realm.0, users })
}

/// A message may quote a key or a value, and a hash may have slipped into its place.
fn without_hashes(message: &str) -> String {
    let mut kept = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(character) = rest.chars().next() {
        let is_digit = |character: char| character.is_ascii_hexdigit();
        let digits = rest.find(|character| !is_digit(character)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(digits.max(character.len_utf8()));
        kept.push_str(if digits > MOST_DIGITS_SHOWN { "…" } else { run });
        rest = after;
    }
    kept
}

fn write_new(path: &Path, directory: &File, accounts: &Accounts) -> io::Result<()> {
    let entry = |(name, ha1): (&String, &Ha1)| Entry {
        name: toml::Spanned::new(0..0, Name(name.clone())),
        md5: Digits(ha1.md5_hex()),
        sha256: Digits(ha1.sha256_hex()),
    };
    let document = Document {
        realm: RealmText(accounts.realm.clone()),
        users: accounts.users.iter().map(entry).collect(),
    };
    let text = toml::to_string(&document).map_err(io::Error::other)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(path)?;
    // With `sudo lenscast passwd` the file must stay readable for the user the server runs as.
    let directory = directory.metadata()?;
    if geteuid().is_root() && directory.uid() != 0 {
        fchown(&file, Some(directory.uid()), Some(directory.gid()))?;
    }
    file.write_all(HEADING.as_bytes())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The permission bits that others had, when they had any.
fn take_from_others(file: &File, mode: u32, path: &Path) -> Result<Option<u32>, StoreError> {
    let mode = mode & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(None);
    }
    file.set_permissions(Permissions::from_mode(PRIVATE_FILE))
        .map_err(|source| StoreError::Exposed { path: path.to_owned(), mode, source })?;
    Ok(Some(mode))
}

/// Neither the file nor, perhaps, its directory exists.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

const FILE: &str = "users.toml";
const NEW_FILE: &str = ".users.toml.new";
const PRIVATE_FILE: u32 = 0o600;
const PRIVATE_DIRECTORY: u32 = 0o700;
/// Opening a FIFO in the file's place must not wait for a writer.
const O_NONBLOCK: i32 = nix::fcntl::OFlag::O_NONBLOCK.bits();
/// Of a hash; no word that a message is made of has as many.
const MOST_DIGITS_SHOWN: usize = 8;
/// Thousands of users.
const MAX_SIZE: u64 = 1024 * 1024;
const HEADING: &str = "\
# Who may watch. Written by lenscast; `lenscast passwd NAME` sets a new password.
# Whoever can read these hashes can log in with them. A new realm makes all of them useless.
";

#[cfg(test)]
mod tests;
