//! `[[stream]]`: a source, and what is said about it beside it.

use std::borrow::Cow;

use super::{Entry, File, unknown_to_the_reader};
use crate::config::{
    Layer, Place, Problem, StreamName,
    source::{self, Draft, Setting},
    value,
};

impl File<'_> {
    pub(super) fn read_stream(&self, entry: &Entry<'_>, layer: &mut Layer) {
        let Some(table) = entry.table(layer) else { return };
        let prefix = format!("{}.", entry.path());
        let mut name = Some((StreamName::default(), entry.place()));
        let (mut draft, mut users, mut settings) = (None, None, Vec::new());
        for entry in self.entries(table, &prefix, STREAM, layer) {
            match entry.key {
                "name" => {
                    let text = entry.string(layer);
                    name = text
                        .and_then(|text| layer.keep(&entry.place(), value::stream_name(text)))
                        .map(|name| (name, entry.place()));
                }
                "source" => {
                    draft = entry.string(layer).and_then(|text| self.draft(text, &entry, layer));
                }
                "users" => users = self.read_stream_users(&entry, layer),
                source::CONTROLS => settings.extend(self.read_controls(&entry, layer)),
                source::ON_DEMAND => {
                    if let Some(value) = entry.boolean(layer) {
                        let (key, place) = (source::ON_DEMAND, entry.place());
                        settings.push(Setting { key, value: value.to_string(), place });
                    }
                }
                key => {
                    let Some(key) = source::KEYS.iter().find(|known| **known == key) else {
                        unknown_to_the_reader(key);
                        continue;
                    };
                    if let Some(value) = entry.text(layer) {
                        let place = entry.place();
                        settings.push(Setting { key, value: value.into_owned(), place });
                    }
                }
            }
        }
        self.require(entry, table, "source", "write source = \"test:\"", layer);
        if let Some(draft) = &mut draft {
            draft.settings.extend(settings);
        }
        let place = match &name {
            Some((_, place)) => place.clone(),
            None => entry.place(),
        };
        layer.add_stream(name.map(|(name, _)| name), draft, users, place);
    }

    /// `controls = { brightness = 10 }`, one setting for each.
    fn read_controls(&self, entry: &Entry<'_>, layer: &mut Layer) -> Vec<Setting> {
        let Some(table) = entry.table(layer) else { return Vec::new() };
        let mut settings = Vec::new();
        for (name, value) in table {
            let name: &str = name.get_ref();
            let origin = self.origin(value.span().start, format!("{}.{name}", entry.path()));
            let control = Entry { key: source::CONTROLS, value: value.get_ref(), origin };
            let value = match control.value.as_bool() {
                Some(on) => Some(on.to_string()),
                None => control.text(layer).map(Cow::into_owned),
            };
            if let Some(value) = value {
                let (value, place) = (format!("{name}={value}"), control.place());
                settings.push(Setting { key: source::CONTROLS, value, place });
            }
        }
        settings
    }

    fn draft(&self, text: &str, entry: &Entry<'_>, layer: &mut Layer) -> Option<Draft> {
        let mut draft = Draft::parse(text, &entry.origin, &mut layer.errors)?;
        if let Some((name, place)) = draft.name.take() {
            let why = format!("in a file the name is a key of its own (write name = {name:?})");
            layer.errors.push(place.error(Problem::impossible(format!("{name}="), why)));
        }
        draft.resolve_path(|path| self.resolve(path));
        Some(draft)
    }

    fn read_stream_users(
        &self,
        entry: &Entry<'_>,
        layer: &mut Layer,
    ) -> Option<Vec<(String, Place)>> {
        if !entry.value.is_array() {
            layer.errors.push(entry.wrong_type("a list of names, as [\"alice\"]"));
            return None;
        }
        let elements = self.elements(entry);
        if elements.is_empty() {
            let hint = "nobody could watch; leave the key out to let every user watch";
            let missing = Problem::Missing { what: "a name", hint };
            layer.errors.push(entry.place().error(missing));
            return None;
        }
        let named = |element: Entry<'_>| {
            element.string(layer).map(|name| (name.to_owned(), element.place()))
        };
        Some(elements.into_iter().filter_map(named).collect())
    }
}

/// Every key of a stream.
pub(super) const STREAM: &[&str] = &[
    "name",
    "source",
    "size",
    "fps",
    "format",
    "bitrate",
    "gop",
    "encoder",
    "controls",
    "on_demand",
    "offline",
    "users",
];
