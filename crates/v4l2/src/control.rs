//! Controls: brightness, exposure, bitrate … whatever a driver lets be set.

use std::fmt;

/// The number by which a driver knows a control: V4L2_CID_*.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ControlId(pub u32);

/// A control of a device, as its driver describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Control {
    /// Its number.
    pub id: ControlId,
    /// The driver's name for people: `White Balance Temperature`.
    pub label: String,
    /// What it takes.
    pub kind: ControlKind,
    /// How it may be used just now.
    pub access: Access,
}

/// What a control takes.
#[derive(Clone, Debug, PartialEq)]
pub enum ControlKind {
    /// A number within a range, in steps from its start.
    Integer {
        /// The least.
        minimum: i64,
        /// The greatest.
        maximum: i64,
        /// Between values; at least 1.
        step: u64,
        /// What the driver starts with.
        default: i64,
        /// Whether the driver keeps it in 64 bits.
        is_wide: bool,
    },
    /// Yes or no.
    Boolean {
        /// What the driver starts with.
        default: bool,
    },
    /// One of a list of words or numbers.
    Menu {
        /// Those there are; numbers may be left out.
        entries: Vec<MenuEntry>,
        /// What the driver starts with.
        default: i64,
    },
    /// A bit for each of several things.
    Bitmask {
        /// All bits there are.
        maximum: u32,
        /// What the driver starts with.
        default: u32,
    },
    /// Text.
    Text {
        /// Least length in bytes.
        minimum: u64,
        /// Greatest length in bytes.
        maximum: u64,
    },
    /// Something to do, without value.
    Button,
}

/// One entry of a menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MenuEntry {
    /// What is set.
    pub value: i64,
    /// What it means.
    pub label: MenuLabel,
}

/// What an entry of a menu means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MenuLabel {
    /// In words.
    Name(String),
    /// A number.
    Number(i64),
}

/// How a control may be used.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// It can only be read.
    pub read_only: bool,
    /// It can only be set.
    pub write_only: bool,
    /// It has no effect while other controls stand as they do.
    pub inactive: bool,
    /// It cannot be set while the device streams.
    pub grabbed: bool,
    /// It changes by itself.
    pub volatile: bool,
}

/// The value of a control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of an integer, boolean (0 or 1), menu or bitmask.
    Number(i64),
    /// Of a text.
    Text(String),
}

impl Control {
    /// Its name as one types it: lower case, words joined by `_`, as v4l2-ctl has it.
    pub fn name(&self) -> String {
        let mut name = String::new();
        for character in self.label.chars() {
            if character.is_ascii_alphanumeric() {
                name.push(character.to_ascii_lowercase());
            } else if !name.ends_with('_') && !name.is_empty() {
                name.push('_');
            }
        }
        name.truncate(name.trim_end_matches('_').len());
        name
    }

    /// The value that `text` means for it: a number within its range, an entry of its menu by
    /// number or by name, `on` or `off`, or the text itself.
    ///
    /// # Errors
    ///
    /// What would have been right.
    pub fn parse(&self, text: &str) -> Result<Value, WrongValue> {
        let wrong = || WrongValue {
            control: self.name(),
            given: text.to_owned(),
            wanted: self.kind.to_string(),
        };
        if self.access.read_only {
            return Err(WrongValue {
                wanted: "nothing: it can only be read".to_owned(),
                ..wrong()
            });
        }
        match &self.kind {
            ControlKind::Integer { minimum, maximum, step, .. } => {
                let value = integer(text).ok_or_else(wrong)?;
                let is_stepped = value.abs_diff(*minimum).is_multiple_of((*step).max(1));
                if !(*minimum..=*maximum).contains(&value) || !is_stepped {
                    return Err(wrong());
                }
                Ok(Value::Number(value))
            }
            ControlKind::Boolean { .. } => match text.to_ascii_lowercase().as_str() {
                "1" | "on" | "true" | "yes" => Ok(Value::Number(1)),
                "0" | "off" | "false" | "no" => Ok(Value::Number(0)),
                _ => Err(wrong()),
            },
            ControlKind::Menu { entries, .. } => {
                let named = entries.iter().find(|entry| match &entry.label {
                    MenuLabel::Name(name) => name.eq_ignore_ascii_case(text),
                    MenuLabel::Number(_) => false,
                });
                let numbered = || entries.iter().find(|entry| integer(text) == Some(entry.value));
                let entry = named.or_else(numbered).ok_or_else(wrong)?;
                Ok(Value::Number(entry.value))
            }
            ControlKind::Bitmask { maximum, .. } => {
                let value = integer(text).and_then(|value| u32::try_from(value).ok());
                let value = value.filter(|value| value & !maximum == 0).ok_or_else(wrong)?;
                Ok(Value::Number(value.into()))
            }
            ControlKind::Text { minimum, maximum } => {
                if !(*minimum..=*maximum).contains(&(text.len() as u64)) || text.contains('\0') {
                    return Err(wrong());
                }
                Ok(Value::Text(text.to_owned()))
            }
            ControlKind::Button => Ok(Value::Number(0)),
        }
    }
}

/// A value that a control does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{control} cannot be {given:?}: it takes {wanted}")]
pub struct WrongValue {
    /// The control's name as one types it.
    pub control: String,
    /// What was given.
    pub given: String,
    /// What would have been right.
    pub wanted: String,
}

/// What it takes, in words.
impl fmt::Display for ControlKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer { minimum, maximum, step: 0 | 1, .. } => {
                write!(f, "{minimum} to {maximum}")
            }
            Self::Integer { minimum, maximum, step, .. } => {
                write!(f, "{minimum} to {maximum} in steps of {step}")
            }
            Self::Boolean { .. } => f.write_str("on or off"),
            Self::Menu { entries, .. } => {
                for (index, entry) in entries.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{entry}")?;
                }
                Ok(())
            }
            Self::Bitmask { maximum, .. } => write!(f, "the bits of {maximum:#x}"),
            Self::Text { minimum, maximum } => write!(f, "text of {minimum} to {maximum} bytes"),
            Self::Button => f.write_str("no value"),
        }
    }
}

impl fmt::Display for MenuEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.label {
            MenuLabel::Name(name) => write!(f, "{} ({name})", self.value),
            MenuLabel::Number(number) => write!(f, "{} ({number})", self.value),
        }
    }
}

/// Decimal, or hexadecimal after `0x`.
fn integer(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(kind: ControlKind) -> Control {
        let label = "White Balance, Automatic!".to_owned();
        Control { id: ControlId(1), label, kind, access: Access::default() }
    }

    fn menu() -> Control {
        let name = |value, name: &str| MenuEntry { value, label: MenuLabel::Name(name.to_owned()) };
        let entries = vec![name(0, "Disabled"), name(2, "60 Hz"), name(60, "Auto")];
        control(ControlKind::Menu { entries, default: 0 })
    }

    #[test]
    fn names_as_one_types_them() {
        let named = |label: &str| Control { label: label.to_owned(), ..menu() }.name();
        assert_eq!(menu().name(), "white_balance_automatic");
        assert_eq!(named("Exposure Time, Absolute"), "exposure_time_absolute");
        assert_eq!(named("  H264 I-Frame Period "), "h264_i_frame_period");
        assert_eq!(named(""), "");
    }

    #[test]
    fn values_that_are_taken_and_refused() {
        let (minimum, maximum) = (-8, 8);
        let integer =
            ControlKind::Integer { minimum, maximum, step: 4, default: 0, is_wide: false };
        let integer = control(integer);
        let boolean = control(ControlKind::Boolean { default: false });
        let mask = control(ControlKind::Bitmask { maximum: 0b1010, default: 0 });
        let text = control(ControlKind::Text { minimum: 1, maximum: 4 });
        for (control, given, value) in [
            (&integer, "-8", Some(-8)),
            (&integer, "8", Some(8)),
            (&integer, "0x4", Some(4)),
            (&integer, "3", None),
            (&integer, "12", None),
            (&integer, "", None),
            (&boolean, "On", Some(1)),
            (&boolean, "0", Some(0)),
            (&boolean, "2", None),
            (&menu(), "60 hz", Some(2)),
            (&menu(), "60", Some(60)),
            (&menu(), "1", None),
            (&mask, "0xa", Some(10)),
            (&mask, "1", None),
            (&mask, "-2", None),
            (&control_button(), "anything", Some(0)),
        ] {
            let parsed = control.parse(given).ok();
            assert_eq!(parsed, value.map(Value::Number), "{given:?} for {:?}", control.kind);
        }
        assert_eq!(text.parse("abcd"), Ok(Value::Text("abcd".to_owned())));
        assert!(
            text.parse("abcde").is_err() && text.parse("").is_err() && text.parse("\0").is_err()
        );
    }

    fn control_button() -> Control {
        control(ControlKind::Button)
    }

    #[test]
    fn a_refusal_says_what_would_be_right() {
        let refusal = menu().parse("50 Hz").unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "white_balance_automatic cannot be \"50 Hz\": it takes 0 (Disabled), 2 (60 Hz), 60 (Auto)"
        );
        let access = Access { read_only: true, ..Access::default() };
        let refusal = Control { access, ..menu() }.parse("0").unwrap_err();
        assert!(refusal.to_string().ends_with("it can only be read"), "{refusal}");
    }
}
