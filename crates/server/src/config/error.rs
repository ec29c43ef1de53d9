//! What is wrong with a configuration, and where it is written.

use std::{fmt, path::Path, sync::Arc};

use crate::config::suggest;

/// Everything wrong with a configuration, in the order it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors(Vec<Error>);

impl Errors {
    /// `Ok` when there is none.
    pub(super) fn check(mut errors: Vec<Error>) -> Result<(), Self> {
        errors.sort_by_key(|error| match error.place.origin {
            Origin::File { line, .. } => line,
            Origin::Variable(_) | Origin::Flag(_) => usize::MAX,
        });
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// Each of them; at least one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Error> {
        self.0.iter()
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for Errors {
    /// One line for each, without a newline at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", on_one_line(&format!("{place}: {problem}")))]
pub struct Error {
    /// Where it is written.
    pub place: Place,
    /// What is wrong there.
    pub problem: Problem,
}

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The value it stands in.
    pub origin: Origin,
    /// Where in that value, when it has parts.
    pub within: Option<Within>,
}

/// A value a person wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a file.
    File {
        /// As it was named.
        path: Arc<Path>,
        /// From 1; 0 for the file as a whole.
        line: usize,
        /// As `stream[0].bitrate`; empty where no key is concerned.
        key: String,
    },
    /// On the command line, as `--source`.
    Flag(&'static str),
    /// In an environment variable.
    Variable(&'static str),
}

/// A part of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Within {
    /// The whole value.
    pub text: Arc<str>,
    /// The character where the part begins, from 1.
    pub column: usize,
    /// The key it belongs to; empty where no key is concerned.
    pub key: &'static str,
}

impl Place {
    /// The whole value at `origin`.
    pub const fn of(origin: Origin) -> Self {
        Self { origin, within: None }
    }

    /// With what is wrong there.
    pub fn error(&self, problem: Problem) -> Error {
        Error { place: self.clone(), problem }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, key } => {
                write!(f, "{}", path.display())?;
                if *line > 0 {
                    write!(f, ":{line}")?;
                }
                if !key.is_empty() {
                    write!(f, ": {key}")?;
                }
                Ok(())
            }
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.fmt(f)?;
        if let Some(Within { text, column, key }) = &self.within {
            write!(f, ": {text:?} column {column}")?;
            if !key.is_empty() {
                write!(f, ": {key}")?;
            }
        }
        Ok(())
    }
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Text that is not what its key wants.
    #[error("{found:?} is not {what} (write {write})")]
    Malformed {
        /// What stands there.
        found: String,
        /// What is wanted, with its article.
        what: &'static str,
        /// How it is written.
        write: &'static str,
    },
    /// Well formed, and still impossible.
    #[error("{found} cannot be: {why}")]
    Impossible {
        /// What stands there.
        found: String,
        /// Why not, and what would do.
        why: String,
    },
    /// No such key.
    #[error("there is no key {found:?} here{}; there is {}", did_you_mean(*.nearest), .known.join(", "))]
    UnknownKey {
        /// What stands there.
        found: String,
        /// The key that was probably meant.
        nearest: Option<&'static str>,
        /// Every key there is in this place.
        known: &'static [&'static str],
    },
    /// A name that stands for nothing.
    #[error("{found:?} is no {what}{}; there is {}", did_you_mean(*.nearest), .known.join(", "))]
    UnknownName {
        /// What stands there.
        found: String,
        /// What was looked for.
        what: &'static str,
        /// The name that was probably meant.
        nearest: Option<&'static str>,
        /// Every name there is.
        known: &'static [&'static str],
    },
    /// A key of another kind of source.
    #[error("{key} does not go with {kind}, {why}; what does: {}", .fits.join(", "))]
    Unfit {
        /// The key.
        key: &'static str,
        /// The kind of source.
        kind: &'static str,
        /// Why not.
        why: &'static str,
        /// The keys that do.
        fits: &'static [&'static str],
    },
    /// What must be there is not.
    #[error("{what} is missing: {hint}")]
    Missing {
        /// What is not there.
        what: &'static str,
        /// How to write it.
        hint: &'static str,
    },
    /// A value of the wrong TOML type.
    #[error("this is {found}; wanted is {wanted}")]
    WrongType {
        /// What stands there, with its article.
        found: &'static str,
        /// What should, with its article.
        wanted: &'static str,
    },
    /// What may be there once is there twice.
    #[error("{what} is there twice{hint}")]
    Twice {
        /// What is.
        what: String,
        /// What to do, after a colon; or empty.
        hint: &'static str,
    },
    /// A user of whom nothing else is known.
    #[error("there is no user {name:?}{}", nearest.as_ref().map(|name| format!(" (did you mean {name}?)")).unwrap_or_else(|| ": add them as [[user]]".to_owned()))]
    NoSuchUser {
        /// The user that is named.
        name: String,
        /// The user that was probably meant.
        nearest: Option<String>,
    },
    /// Login is both wanted and not.
    #[error(
        "everyone may watch, and yet there is a user {user:?} ({place}): take one of them away"
    )]
    OpenWithUsers {
        /// A user.
        user: String,
        /// Where they are written.
        place: Box<Place>,
    },
    /// A variable that is useless without the other.
    #[error("it is set, but {other} is not: set both or neither")]
    Alone {
        /// The other.
        other: &'static str,
    },
    /// Text that is not what it must be made of.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// The file is not TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// The file cannot be read.
    #[error("cannot read it: {0}")]
    Unreadable(String),
}

impl Problem {
    /// [`Problem::UnknownKey`] with the nearest of `known`.
    pub(super) fn unknown_key(found: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownKey { found: shorten(found), nearest: suggest::key(found, known), known }
    }

    /// [`Problem::UnknownName`] with the nearest of `known`.
    pub(super) fn unknown_name(
        found: &str,
        what: &'static str,
        known: &'static [&'static str],
    ) -> Self {
        let nearest = suggest::key(found, known);
        Self::UnknownName { found: shorten(found), what, nearest, known }
    }

    /// [`Problem::Malformed`].
    pub(super) fn malformed(found: &str, what: &'static str, write: &'static str) -> Self {
        Self::Malformed { found: shorten(found), what, write }
    }

    /// [`Problem::Impossible`].
    pub(super) fn impossible(found: impl fmt::Display, why: impl Into<String>) -> Self {
        Self::Impossible { found: shorten(&found.to_string()), why: why.into() }
    }
}

/// Whatever a file or a command line holds is shown on a terminal, and must not command it.
fn on_one_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_debug());
        } else {
            shown.push(character);
        }
    }
    shown
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!(" (did you mean {nearest}?)")).unwrap_or_default()
}

/// Values are quoted in messages; a pasted novel is not.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

const MAX_QUOTED: usize = 80;
