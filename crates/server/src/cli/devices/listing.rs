//! What a machine has, as plain data. The names of the fields are those of the JSON that `lenscast
//! devices --json` writes: none is renamed or taken away; new ones may come.

use std::io;

use ::v4l2::{
    Interval, Intervals, Size, Value,
    control::{Control as Described, ControlKind, MenuLabel},
};
use capture::v4l2::name::Node;
use serde::Serialize;

/// All there is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Listing {
    /// Cameras that can be served, by node.
    pub cameras: Vec<Device>,
    /// Devices that make H.264, by node.
    pub encoders: Vec<Device>,
    /// Other video devices, each with the reason why it is neither.
    pub others: Vec<Device>,
    /// What encodes pictures unless a stream says otherwise.
    pub encoder: Choice,
    /// Why there is no list at all.
    pub error: Option<String>,
}

/// A video device.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Device {
    /// Its node just now: `/dev/video0`.
    pub node: std::path::PathBuf,
    /// Names that stay, as `by-id/usb-…`: `v4l2:` and any of them is a source.
    pub names: Vec<String>,
    /// The driver; `null` when it could not be asked. So with the two that follow.
    pub driver: Option<String>,
    /// The device, for people.
    pub card: Option<String>,
    /// Where it is.
    pub bus: Option<String>,
    /// Why it is neither camera nor encoder; `null` for those that are.
    pub reason: Option<String>,
    /// What is served of it unless a stream says otherwise: format, size and rate. Of cameras.
    pub would_give: Option<String>,
    /// A bare `lenscast` serves it.
    pub is_default: bool,
    /// Formats that pictures can be given in. Of encoders.
    pub encodes_from: Option<Vec<String>>,
    /// Formats that pictures come in. Of cameras, also those that cannot be served.
    pub formats: Vec<Format>,
    /// What can be set.
    pub controls: Vec<Control>,
}

/// A format of a camera.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Format {
    /// The kernel's code: `YUYV`.
    pub format: String,
    /// What a stream's `format` calls it; `null` when it cannot be served.
    pub usable_as: Option<&'static str>,
    /// The driver's words.
    pub description: String,
    /// Pictures are compressed.
    pub is_compressed: bool,
    /// It is made by a library and not by the device.
    pub is_emulated: bool,
    /// Its sizes; `null` when the driver does not tell.
    pub sizes: Option<Sizes>,
}

/// Sizes of a format: either a list or a range.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sizes {
    /// Each of them.
    List(Vec<SizeAndRates>),
    /// All between two, in steps.
    Range {
        /// Pixels in a row, at least.
        min_width: u32,
        /// Rows, at least.
        min_height: u32,
        /// Pixels in a row, at most.
        max_width: u32,
        /// Rows, at most.
        max_height: u32,
        /// Between widths.
        step_width: u32,
        /// Between heights.
        step_height: u32,
        /// Of the largest size.
        rates: Option<Rates>,
    },
}

/// A size and how fast it can be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SizeAndRates {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Its rates; `null` when the driver does not tell.
    pub rates: Option<Rates>,
}

/// Frames per second: either a list or a range.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rates {
    /// Each of them.
    List(Vec<Rate>),
    /// All between two.
    Range {
        /// The slowest.
        min: Rate,
        /// The fastest.
        max: Rate,
    },
}

/// Frames per second, `numerator / denominator`: the kernel's frame interval turned over.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// Frames.
    pub numerator: u32,
    /// In so many seconds.
    pub denominator: u32,
}

/// A control.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Control {
    /// As one types it: `white_balance_automatic`.
    pub name: String,
    /// The driver's label.
    pub label: String,
    /// `integer`, `boolean`, `menu`, `bitmask`, `text` or `button`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The least value, or length of a text.
    pub minimum: Option<i64>,
    /// The greatest value, or length of a text.
    pub maximum: Option<i64>,
    /// Between values.
    pub step: Option<u64>,
    /// What the driver starts with.
    pub default: Option<i64>,
    /// What holds now; `null` for buttons and what cannot be read.
    pub value: Option<Now>,
    /// Entries of a menu.
    pub menu: Vec<Entry>,
    /// Any of `read-only`, `write-only`, `inactive` (other controls keep it from having an effect),
    /// `grabbed` (not to be set while the device streams), `volatile` (changes by itself).
    pub flags: Vec<&'static str>,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Now {
    /// Of a switch.
    Switch(bool),
    /// Of an integer, menu or bitmask.
    Number(i64),
    /// Of a text.
    Text(String),
}

/// An entry of a menu.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// What is set.
    pub value: i64,
    /// What it means.
    pub label: String,
}

/// An encoder, and why that one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// `openh264`, or a node.
    pub encoder: String,
    /// For people.
    pub why: String,
}

impl Listing {
    pub(super) fn failed(error: &io::Error) -> Self {
        Self { error: Some(format!("cannot read /dev: {error}")), ..Self::default() }
    }
}

impl Device {
    pub(super) fn unknown(node: Node) -> Self {
        Self {
            node: node.path,
            names: node.names,
            driver: None,
            card: None,
            bus: None,
            reason: None,
            would_give: None,
            is_default: false,
            encodes_from: None,
            formats: Vec::new(),
            controls: Vec::new(),
        }
    }
}

impl Sizes {
    pub(super) fn of(sizes: &::v4l2::Sizes, rates: impl Fn(Size) -> Option<Rates>) -> Self {
        match sizes {
            ::v4l2::Sizes::Discrete(sizes) => Self::List(
                sizes
                    .iter()
                    .map(|size| SizeAndRates {
                        width: size.width,
                        height: size.height,
                        rates: rates(*size),
                    })
                    .collect(),
            ),
            ::v4l2::Sizes::Stepwise { width, width_step, height, height_step } => Self::Range {
                min_width: *width.start(),
                min_height: *height.start(),
                max_width: *width.end(),
                max_height: *height.end(),
                step_width: *width_step,
                step_height: *height_step,
                rates: rates(Size { width: *width.end(), height: *height.end() }),
            },
        }
    }
}

impl Rates {
    pub(super) fn of(intervals: &Intervals) -> Self {
        match intervals {
            Intervals::Discrete(intervals) => {
                Self::List(intervals.iter().copied().map(Rate::of).collect())
            }
            Intervals::Between(first, second) => {
                let (slow, fast) =
                    if first.rate() <= second.rate() { (first, second) } else { (second, first) };
                Self::Range { min: Rate::of(*slow), max: Rate::of(*fast) }
            }
        }
    }
}

impl Rate {
    fn of(interval: Interval) -> Self {
        Self { numerator: interval.denominator, denominator: interval.numerator }
    }
}

impl Control {
    pub(in crate::cli) fn of(control: &Described, value: Option<Value>) -> Self {
        let mut described = Self {
            name: control.name(),
            label: control.label.clone(),
            kind: "",
            minimum: None,
            maximum: None,
            step: None,
            default: None,
            value: value.map(|value| match value {
                Value::Number(number) => Now::Number(number),
                Value::Text(text) => Now::Text(text),
            }),
            menu: Vec::new(),
            flags: Vec::new(),
        };
        let length = |length: &u64| i64::try_from(*length).ok();
        match &control.kind {
            ControlKind::Integer { minimum, maximum, step, default, .. } => {
                described.kind = "integer";
                described.minimum = Some(*minimum);
                described.maximum = Some(*maximum);
                described.step = Some(*step);
                described.default = Some(*default);
            }
            ControlKind::Boolean { default } => {
                described.kind = "boolean";
                described.default = Some(i64::from(*default));
                if let Some(Now::Number(number)) = described.value {
                    described.value = Some(Now::Switch(number != 0));
                }
            }
            ControlKind::Menu { entries, default } => {
                described.kind = "menu";
                described.default = Some(*default);
                let entry = |entry: &::v4l2::control::MenuEntry| Entry {
                    value: entry.value,
                    label: match &entry.label {
                        MenuLabel::Name(name) => name.clone(),
                        MenuLabel::Number(number) => number.to_string(),
                    },
                };
                described.menu = entries.iter().map(entry).collect();
            }
            ControlKind::Bitmask { maximum, default } => {
                described.kind = "bitmask";
                described.maximum = Some((*maximum).into());
                described.default = Some((*default).into());
            }
            ControlKind::Text { minimum, maximum } => {
                described.kind = "text";
                (described.minimum, described.maximum) = (length(minimum), length(maximum));
            }
            ControlKind::Button => described.kind = "button",
        }
        let access = control.access;
        for (holds, flag) in [
            (access.read_only, "read-only"),
            (access.write_only, "write-only"),
            (access.inactive, "inactive"),
            (access.grabbed, "grabbed"),
            (access.volatile, "volatile"),
        ] {
            if holds {
                described.flags.push(flag);
            }
        }
        described
    }
}
