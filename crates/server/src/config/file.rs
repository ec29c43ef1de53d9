//! `lenscast.toml`: the keys of `docs/configuration.md`, read from a tree that knows where in the
//! text each value stands, so that every error names its line and key, and all are found at once.

use std::{
    borrow::Cow,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use self::stream::STREAM;
use crate::config::{Auth, Error, Layer, Origin, Place, Problem, value};

mod stream;

impl Layer {
    /// What the file at `path` says, whose content is `text`. Relative paths in it are relative to
    /// its directory.
    pub fn from_toml(path: &Path, text: &str) -> Self {
        let file = File { path: path.into(), text };
        let mut layer = Self::default();
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            file.read(table.get_ref(), &mut layer);
        } else {
            // What was guessed behind a slip of syntax would be complained of for no reason.
            layer.errors.extend(errors.iter().map(|error| file.syntax_error(error)));
        }
        layer
    }
}

/// Every key of the file, as it is written in it; `[]` for lists of tables.
pub fn keys() -> impl Iterator<Item = String> {
    TABLES
        .iter()
        .flat_map(|(table, keys)| keys.iter().map(move |key| format!("{table}{key}")))
        .filter(|key| {
            !TABLES.iter().any(|(table, _)| table.trim_end_matches(['.', '[', ']']) == key)
        })
}

/// A key that has one value or several.
struct List {
    /// What is missing from an empty one.
    what: &'static str,
    hint: &'static str,
    add: fn(&mut Layer, &str, Origin),
}

struct File<'a> {
    path: Arc<Path>,
    text: &'a str,
}

/// One `key = value`, or one element of a list.
struct Entry<'t> {
    key: &'t str,
    value: &'t DeValue<'t>,
    origin: Origin,
}

impl<'t> Entry<'t> {
    /// From the top of the file, as `stream[0].bitrate`.
    fn path(&self) -> &str {
        match &self.origin {
            Origin::File { key, .. } => key,
            Origin::Flag(_) | Origin::Variable(_) => self.key,
        }
    }

    fn place(&self) -> Place {
        Place::of(self.origin.clone())
    }

    fn wrong_type(&self, wanted: &'static str) -> Error {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.place().error(Problem::WrongType { found, wanted })
    }

    /// A string, or a number as it is written: `fps = 30` is as good as `fps = "30"`.
    fn text(&self, layer: &mut Layer) -> Option<Cow<'t, str>> {
        match self.value {
            DeValue::String(text) => Some(Cow::Borrowed(text)),
            DeValue::Integer(number) => Some(Cow::Owned(number.to_string())),
            DeValue::Float(number) => Some(Cow::Borrowed(number.as_str())),
            _ => {
                layer.errors.push(self.wrong_type("a string or a number"));
                None
            }
        }
    }

    fn string(&self, layer: &mut Layer) -> Option<&'t str> {
        if !self.value.is_str() {
            layer.errors.push(self.wrong_type("a string"));
        }
        self.value.as_str()
    }

    fn boolean(&self, layer: &mut Layer) -> Option<bool> {
        if !self.value.is_bool() {
            layer.errors.push(self.wrong_type("true or false"));
        }
        self.value.as_bool()
    }

    fn table(&self, layer: &mut Layer) -> Option<&'t DeTable<'t>> {
        if !self.value.is_table() {
            layer.errors.push(self.wrong_type("a table"));
        }
        self.value.as_table()
    }

    /// The text, read by `read`.
    fn read<T>(
        &self,
        layer: &mut Layer,
        read: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        let text = self.text(layer)?;
        layer.keep(&self.place(), read(&text))
    }
}

impl File<'_> {
    fn read(&self, table: &DeTable<'_>, layer: &mut Layer) {
        for entry in self.entries(table, "", TOP, layer) {
            match entry.key {
                "listen" => self.read_list(&entry, layer, &ADDRESSES),
                "udp-port" => layer.udp = entry.read(layer, value::udp_ports),
                "packet-size" => layer.packet_size = entry.read(layer, value::packet_size),
                "open" => {
                    if entry.boolean(layer) == Some(true) {
                        layer.open(entry.origin);
                    }
                }
                "state-dir" => {
                    if let Some(path) = entry.string(layer) {
                        let path = if path.is_empty() { path.into() } else { self.resolve(path) };
                        layer.state_dir(path, entry.origin);
                    }
                }
                "v4l2-library" => self.read_list(&entry, layer, &LIBRARIES),
                "auth" => self.read_auth(&entry, layer),
                "limits" => self.read_limits(&entry, layer),
                "user" => {
                    for table in self.tables(&entry, layer) {
                        self.read_user(&table, layer);
                    }
                }
                "stream" => {
                    for table in self.tables(&entry, layer) {
                        self.read_stream(&table, layer);
                    }
                }
                key => unknown_to_the_reader(key),
            }
        }
    }

    /// One text, or a list of them.
    fn read_list(&self, entry: &Entry<'_>, layer: &mut Layer, list: &List) {
        let List { what, hint, add } = *list;
        let list = match entry.value.as_array() {
            Some(list) if list.is_empty() => {
                let missing = Problem::Missing { what, hint };
                return layer.errors.push(entry.place().error(missing));
            }
            Some(_) => self.elements(entry),
            None => {
                if let Some(text) = entry.text(layer) {
                    add(layer, &text, entry.origin.clone());
                }
                return;
            }
        };
        for element in list {
            if let Some(text) = element.text(layer) {
                add(layer, &text, element.origin);
            }
        }
    }

    fn read_auth(&self, entry: &Entry<'_>, layer: &mut Layer) {
        let Some(table) = entry.table(layer) else { return };
        for entry in self.entries(table, "auth.", AUTH, layer) {
            let Some(on) = entry.boolean(layer) else { continue };
            match entry.key {
                "sha256" => layer.auth(Auth { sha256: on, basic: false }),
                "basic" => layer.auth(Auth { sha256: false, basic: on }),
                key => unknown_to_the_reader(key),
            }
        }
    }

    fn read_limits(&self, entry: &Entry<'_>, layer: &mut Layer) {
        let Some(table) = entry.table(layer) else { return };
        let mut limits = layer.limits.take().unwrap_or_default();
        let count = |text: &str| value::number(text, COUNTS).map(|count| count as usize);
        for entry in self.entries(table, "limits.", LIMITS, layer) {
            let counted = match entry.key {
                "connections" => &mut limits.connections,
                "connections-per-address" => &mut limits.connections_per_address,
                "unauthenticated" => &mut limits.unauthenticated,
                "sessions" => &mut limits.sessions,
                "idle-timeout" => {
                    let time = entry.read(layer, |text| value::time(text, IDLE_TIMES));
                    limits.idle_timeout = time.unwrap_or(limits.idle_timeout);
                    continue;
                }
                "session-timeout" => {
                    let time = entry.read(layer, session_timeout);
                    limits.session_timeout = time.unwrap_or(limits.session_timeout);
                    continue;
                }
                key => return unknown_to_the_reader(key),
            };
            *counted = entry.read(layer, count).unwrap_or(*counted);
        }
        layer.limits = Some(limits);
    }

    fn read_user(&self, entry: &Entry<'_>, layer: &mut Layer) {
        let Some(table) = entry.table(layer) else { return };
        let prefix = format!("{}.", entry.path());
        let (mut name, mut password) = (None, None);
        for entry in self.entries(table, &prefix, USER, layer) {
            let text = entry.string(layer);
            let Some(text) = text else { continue };
            match entry.key {
                "name" => {
                    name = layer
                        .keep(&entry.place(), value::user_name(text))
                        .map(|name| (name, entry.place()));
                }
                "password" => password = layer.keep(&entry.place(), value::password(text)),
                key => unknown_to_the_reader(key),
            }
        }
        self.require(entry, table, "name", "write name = \"alice\"", layer);
        self.require(entry, table, "password", "write password = \"…\"", layer);
        if let Some((name, place)) = name {
            layer.add_user(name, password, place);
        }
    }

    fn require(
        &self,
        entry: &Entry<'_>,
        table: &DeTable<'_>,
        what: &'static str,
        hint: &'static str,
        layer: &mut Layer,
    ) {
        if !table.contains_key(what) {
            layer.errors.push(entry.place().error(Problem::Missing { what, hint }));
        }
    }

    /// The entries of `table` whose key is `known`; the others are put among the errors.
    fn entries<'t>(
        &self,
        table: &'t DeTable<'t>,
        prefix: &str,
        known: &'static [&'static str],
        layer: &mut Layer,
    ) -> Vec<Entry<'t>> {
        let mut entries = Vec::new();
        for (key, value) in table {
            let key_text: &str = key.get_ref();
            if known.contains(&key_text) {
                let origin = self.origin(value.span().start, format!("{prefix}{key_text}"));
                entries.push(Entry { key: key_text, value: value.get_ref(), origin });
            } else {
                let origin = self.origin(key.span().start, prefix.trim_end_matches('.').to_owned());
                let problem = Problem::unknown_key(key_text, known);
                layer.errors.push(Place::of(origin).error(problem));
            }
        }
        entries
    }

    /// The elements of `[[key]]`, or the one table of `[key]`, which is an easy slip.
    fn tables<'t>(&self, entry: &Entry<'t>, layer: &mut Layer) -> Vec<Entry<'t>> {
        if entry.value.is_array() {
            return self.elements(entry);
        }
        layer.errors.push(entry.wrong_type("a list of tables (write the header in two brackets)"));
        Vec::new()
    }

    fn elements<'t>(&self, entry: &Entry<'t>) -> Vec<Entry<'t>> {
        let elements = entry.value.as_array().into_iter().flatten().enumerate();
        elements
            .map(|(index, element): (usize, &Spanned<_>)| {
                let origin =
                    self.origin(element.span().start, format!("{}[{index}]", entry.path()));
                Entry { key: entry.key, value: element.get_ref(), origin }
            })
            .collect()
    }

    fn origin(&self, offset: usize, key: String) -> Origin {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Origin::File { path: Arc::clone(&self.path), line, key }
    }

    fn syntax_error(&self, error: &toml::de::Error) -> Error {
        let offset = error.span().map_or(self.text.len(), |span| span.start);
        let place = Place::of(self.origin(offset, String::new()));
        place.error(Problem::Syntax(error.message().to_owned()))
    }

    fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }
}

fn session_timeout(text: &str) -> Result<Duration, Problem> {
    let time = value::time(text, SESSION_TIMES)?;
    if time.subsec_nanos() > 0 {
        return Err(Problem::impossible(text, "RTSP tells it to players in whole seconds"));
    }
    Ok(time)
}

/// A key that stands in a table of keys, but that nothing reads: a mistake in this file.
fn unknown_to_the_reader(key: &str) {
    debug_assert!(false, "{key} is a known key and is not read");
}

const TABLES: &[(&str, &[&str])] =
    &[("", TOP), ("auth.", AUTH), ("limits.", LIMITS), ("user[].", USER), ("stream[].", STREAM)];
const TOP: &[&str] = &[
    "listen",
    "udp-port",
    "packet-size",
    "open",
    "state-dir",
    "v4l2-library",
    "auth",
    "limits",
    "user",
    "stream",
];
const ADDRESSES: List = List {
    what: "an address",
    hint: "write listen = 8554, or leave the key out",
    add: |layer, text, origin| layer.listen(text, origin),
};
const LIBRARIES: List = List {
    what: "a device and its library",
    hint: "write v4l2-library = \"/dev/v4l2-nvenc=libnvv4l2.so\", or leave the key out",
    add: |layer, text, origin| layer.v4l2_library(text, origin),
};
const AUTH: &[&str] = &["sha256", "basic"];
const LIMITS: &[&str] = &[
    "connections",
    "connections-per-address",
    "unauthenticated",
    "sessions",
    "idle-timeout",
    "session-timeout",
];
const USER: &[&str] = &["name", "password"];
const COUNTS: RangeInclusive<u64> = 1..=1_000_000;
const IDLE_TIMES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// VLC sends its keep-alive two seconds before the time is over, and others do it less precisely.
const SESSION_TIMES: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(3600);

#[cfg(test)]
mod tests;
