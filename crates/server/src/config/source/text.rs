//! The parts of a source's text, each with its column: settings, kind, path.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf, sync::Arc};

use crate::config::{
    Error, Origin, Place, Problem, Within,
    source::{CONTROLS, KEYS, Kind, Setting},
};

/// What stands after the kind of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    /// Nothing, or what belongs to the kind.
    Nothing,
    /// A path.
    Path(PathBuf),
    /// A name of a device.
    Name(String),
}

/// Finds columns in one source.
pub(super) struct Spots<'a> {
    text: &'a str,
    shared: Arc<str>,
    origin: &'a Origin,
}

impl<'a> Spots<'a> {
    /// In `text`, which stands at `origin`.
    pub(super) fn new(text: &'a str, origin: &'a Origin) -> Self {
        Self { text, shared: text.into(), origin }
    }

    /// The place of byte `offset`, which begins a character.
    pub(super) fn at(&self, offset: usize, key: &'static str) -> Place {
        let column = self.text.get(..offset).unwrap_or(self.text).chars().count() + 1;
        let within = Within { text: Arc::clone(&self.shared), column, key };
        Place { origin: self.origin.clone(), within: Some(within) }
    }

    pub(super) fn settings(
        &self,
        query: &str,
        query_at: usize,
        known_here: &'static [&'static str],
        settings: &mut Vec<Setting>,
        errors: &mut Vec<Error>,
    ) {
        let mut at = query_at;
        for pair in query.split('&') {
            let (name, value) = match pair.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (pair, None),
            };
            let known = KEYS.iter().find(|key| **key == name);
            match (known, value) {
                (Some(&CONTROLS), Some(value)) => {
                    let mut at = at + name.len() + 1;
                    for control in value.split(',') {
                        let place = self.at(at, CONTROLS);
                        settings.push(Setting { key: CONTROLS, value: control.to_owned(), place });
                        at += control.len() + 1;
                    }
                }
                (Some(key), Some(value)) => {
                    let place = self.at(at + name.len() + 1, key);
                    settings.push(Setting { key, value: value.to_owned(), place });
                }
                (Some(key), None) => {
                    let hint = "write key=value";
                    let missing = Problem::Missing { what: "the value", hint };
                    errors.push(self.at(at, key).error(missing));
                }
                (None, _) if pair.is_empty() => {
                    let hint = "write key=value, and & between two of them";
                    let missing = Problem::Missing { what: "a setting", hint };
                    errors.push(self.at(at, "").error(missing));
                }
                (None, _) => {
                    let unknown = Problem::unknown_key(name, known_here);
                    errors.push(self.at(at, "").error(unknown));
                }
            }
            at += pair.len() + 1;
        }
    }
}

/// What kind of source, and what stands after it; or what is wrong at which byte.
pub(super) fn read_kind(
    kind: &str,
    argument: Option<&str>,
    kind_at: usize,
    argument_at: usize,
) -> Result<(Kind, Argument), (usize, Problem)> {
    let wrong = |at, problem| Err((at, problem));
    let argument = argument.unwrap_or_default();
    match kind {
        "test" if argument.is_empty() => Ok((Kind::Test, Argument::Nothing)),
        "test" => {
            let why = "the test card takes nothing after test: but ?key=value";
            wrong(argument_at, Problem::impossible(argument, why))
        }
        "stdin" => match argument {
            "yuv420p" => Ok((Kind::Yuv420p, Argument::Nothing)),
            "h264" => Ok((Kind::H264, Argument::Nothing)),
            "" => {
                let hint = "write stdin:yuv420p?size=640x480 or stdin:h264";
                wrong(kind_at, Problem::Missing { what: "what comes through the pipe", hint })
            }
            other => {
                let what = "format that lenscast reads from a pipe";
                wrong(argument_at, Problem::unknown_name(other, what, FORMATS))
            }
        },
        "file" => {
            let path = read_path(argument, argument_at)?;
            Ok((Kind::File, Argument::Path(path)))
        }
        "v4l2" => Ok((Kind::Camera, read_device(argument, argument_at)?)),
        "" => {
            let hint = "write v4l2:DEVICE, test:, file:PATH or stdin:FORMAT";
            wrong(kind_at, Problem::Missing { what: "the kind of source", hint })
        }
        _ if kind.contains(['/', '.']) => {
            let is_device = kind.starts_with("/dev/");
            let scheme = if is_device { "v4l2" } else { "file" };
            let why = format!("this looks like a path (write {scheme}:{kind})");
            wrong(kind_at, Problem::impossible(kind, why))
        }
        _ => wrong(kind_at, Problem::unknown_name(kind, "kind of source", KINDS)),
    }
}

/// A node of `/dev`, or a name that stays.
fn read_device(text: &str, text_at: usize) -> Result<Argument, (usize, Problem)> {
    if text.is_empty() {
        return Ok(Argument::Nothing);
    }
    let path = read_path(text, text_at)?;
    if path.is_absolute() {
        return Ok(Argument::Path(path));
    }
    let is_node = |text: &str| {
        let digits = text.strip_prefix("video").unwrap_or(text);
        digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    match path.into_os_string().into_string() {
        Ok(name) if is_node(&name) => {
            let number = name.strip_prefix("video").unwrap_or(&name);
            let why = format!("this looks like a node (write v4l2:/dev/video{number})");
            Err((text_at, Problem::impossible(name, why)))
        }
        Ok(name) => Ok(Argument::Name(name)),
        Err(_) => Err((text_at, Problem::NotUtf8)),
    }
}

/// Decodes `%3F` and its like.
fn read_path(text: &str, text_at: usize) -> Result<PathBuf, (usize, Problem)> {
    let wrong = |at: usize, problem| Err((text_at + at, problem));
    if text.is_empty() {
        return wrong(0, Problem::Missing { what: "the path", hint: "write file:/videos/a.mp4" });
    }
    if text == "~" || text.starts_with("~/") {
        let why = "the shell resolves ~ only where a word begins (write $HOME, or ./~ for a \
                   folder of that name)";
        return wrong(0, Problem::impossible(text, why));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let at = text.len() - rest.len();
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let decoded = match tail {
            [high, low, tail @ ..] => digit(high).zip(digit(low)).map(|pair| (pair, tail)),
            _ => None,
        };
        let Some(((high, low), tail)) = decoded else {
            let why = "it stands for a byte, with two hexadecimal digits after it (write %25 \
                       for % itself)";
            return wrong(at, Problem::impossible("%", why));
        };
        bytes.push((high << 4 | low) as u8);
        rest = tail;
    }
    if let Some(at) = text.find('\0').or(bytes.contains(&0).then_some(0)) {
        return wrong(at, Problem::impossible("a zero byte", "no path has one"));
    }
    Ok(OsString::from_vec(bytes).into())
}

const KINDS: &[&str] = &["v4l2", "test", "file", "stdin"];
const FORMATS: &[&str] = &["yuv420p", "h264"];
