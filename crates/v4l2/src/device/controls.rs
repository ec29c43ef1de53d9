//! The controls of a device: what there are, their values.

use zerocopy::FromZeros;

use crate::{
    calls::Request,
    control::{Access, Control, ControlId, ControlKind, MenuEntry, MenuLabel, Value},
    device::{Device, ENOUGH, text},
    error::Error,
    uapi::control::{self as ctl, v4l2_ext_control, v4l2_query_ext_ctrl, v4l2_querymenu},
};

impl Device {
    /// All controls that are in use, in the driver's order. Those of types unknown here are left
    /// out, headings too.
    ///
    /// # Errors
    ///
    /// When the driver fails.
    pub fn controls(&self) -> Result<Vec<Control>, Error> {
        let mut controls = Vec::new();
        let mut id = 0;
        for _ in 0..ENOUGH {
            let mut raw = v4l2_query_ext_ctrl::new_zeroed();
            raw.id = id | ctl::V4L2_CTRL_FLAG_NEXT_CTRL;
            let asked = self.node.ioctl(Request::QueryControl(&mut raw));
            if !self.is_there(asked, || format!("VIDIOC_QUERY_EXT_CTRL after {id:#x}"))? {
                break;
            }
            // A driver that does not move on would never end.
            if raw.id <= id {
                break;
            }
            id = raw.id;
            controls.extend(self.describe(&raw)?);
        }
        Ok(controls)
    }

    /// One control by its number; `None` when the driver does not have it.
    ///
    /// # Errors
    ///
    /// When the driver fails.
    pub fn control(&self, id: ControlId) -> Result<Option<Control>, Error> {
        let mut raw = v4l2_query_ext_ctrl::new_zeroed();
        raw.id = id.0;
        let asked = self.node.ioctl(Request::QueryControl(&mut raw));
        if !self.is_there(asked, || format!("VIDIOC_QUERY_EXT_CTRL {:#x}", id.0))? {
            return Ok(None);
        }
        self.describe(&raw)
    }

    /// The value of a control just now; `None` for buttons and what can only be set.
    ///
    /// # Errors
    ///
    /// When the driver fails.
    pub fn value(&self, control: &Control) -> Result<Option<Value>, Error> {
        let is_number = match &control.kind {
            ControlKind::Button => return Ok(None),
            _ if control.access.write_only => return Ok(None),
            ControlKind::Text { .. } => false,
            _ => true,
        };
        let mut raw = v4l2_ext_control::of(control.id.0);
        let mut memory = text_memory(control);
        let payload = (!is_number).then_some(&mut memory[..]);
        let asked = self.node.ioctl(Request::GetControl(&mut raw, payload));
        self.done(asked, || format!("VIDIOC_G_EXT_CTRLS {}", control.name()))?;
        Ok(Some(if is_number {
            Value::Number(number(control, &raw))
        } else {
            Value::Text(text(&memory))
        }))
    }

    /// Sets a control, to a value of [`Control::parse`].
    ///
    /// # Errors
    ///
    /// When the driver refuses, as while it streams (EBUSY).
    pub fn set_value(&self, control: &Control, value: &Value) -> Result<(), Error> {
        let mut raw = v4l2_ext_control::of(control.id.0);
        let mut memory = text_memory(control);
        let payload = match value {
            Value::Number(value) => {
                if is_wide(control) {
                    raw.set_value64(*value);
                } else {
                    // A bitmask uses all 32 bits; the rest fits, for it came from the range.
                    raw.set_value(*value as i32);
                }
                None
            }
            Value::Text(text) => {
                let length = text.len().min(memory.len().saturating_sub(1));
                memory[..length].copy_from_slice(&text.as_bytes()[..length]);
                Some(&mut memory[..])
            }
        };
        let asked = self.node.ioctl(Request::SetControl(&mut raw, payload));
        self.done(asked, || format!("VIDIOC_S_EXT_CTRLS {} = {value:?}", control.name()))
    }

    /// A control as described by the driver; `None` for what is no control, or not known here.
    fn describe(&self, raw: &v4l2_query_ext_ctrl) -> Result<Option<Control>, Error> {
        let flag = |flag| raw.flags & flag != 0;
        let is_array = raw.nr_of_dims > 0;
        if flag(ctl::V4L2_CTRL_FLAG_DISABLED) || is_array {
            return Ok(None);
        }
        let (minimum, maximum) = (raw.minimum, raw.maximum);
        let default = raw.default_value;
        let kind = match raw.r#type {
            ctl::V4L2_CTRL_TYPE_INTEGER | ctl::V4L2_CTRL_TYPE_INTEGER64 => {
                let is_wide = raw.r#type == ctl::V4L2_CTRL_TYPE_INTEGER64;
                ControlKind::Integer { minimum, maximum, step: raw.step.max(1), default, is_wide }
            }
            ctl::V4L2_CTRL_TYPE_BOOLEAN => ControlKind::Boolean { default: default != 0 },
            ctl::V4L2_CTRL_TYPE_MENU | ctl::V4L2_CTRL_TYPE_INTEGER_MENU => {
                ControlKind::Menu { entries: self.menu(raw)?, default }
            }
            // The kernel keeps these in 32 bits.
            ctl::V4L2_CTRL_TYPE_BITMASK => {
                ControlKind::Bitmask { maximum: maximum as u32, default: default as u32 }
            }
            ctl::V4L2_CTRL_TYPE_STRING => {
                let (minimum, maximum) = (minimum.max(0) as u64, maximum.max(0) as u64);
                ControlKind::Text { minimum, maximum }
            }
            ctl::V4L2_CTRL_TYPE_BUTTON => ControlKind::Button,
            _ => return Ok(None),
        };
        let access = Access {
            read_only: flag(ctl::V4L2_CTRL_FLAG_READ_ONLY),
            write_only: flag(ctl::V4L2_CTRL_FLAG_WRITE_ONLY),
            inactive: flag(ctl::V4L2_CTRL_FLAG_INACTIVE),
            grabbed: flag(ctl::V4L2_CTRL_FLAG_GRABBED),
            volatile: flag(ctl::V4L2_CTRL_FLAG_VOLATILE),
        };
        Ok(Some(Control { id: ControlId(raw.id), label: text(&raw.name), kind, access }))
    }

    fn menu(&self, control: &v4l2_query_ext_ctrl) -> Result<Vec<MenuEntry>, Error> {
        let mut entries = Vec::new();
        let first = u32::try_from(control.minimum).unwrap_or(0);
        let last = u32::try_from(control.maximum).unwrap_or(0).min(first.saturating_add(ENOUGH));
        for index in first..=last {
            let mut raw = v4l2_querymenu::new_zeroed();
            raw.id = control.id;
            raw.index = index;
            let asked = self.node.ioctl(Request::QueryMenu(&mut raw));
            // Drivers leave out what the hardware does not have.
            if !self.is_there(asked, || format!("VIDIOC_QUERYMENU {:#x} {index}", control.id))? {
                continue;
            }
            let memory = raw.u;
            let label = if control.r#type == ctl::V4L2_CTRL_TYPE_INTEGER_MENU {
                let [a, b, c, d, e, f, g, h, ..] = memory;
                MenuLabel::Number(i64::from_ne_bytes([a, b, c, d, e, f, g, h]))
            } else {
                MenuLabel::Name(text(&memory))
            };
            entries.push(MenuEntry { value: index.into(), label });
        }
        Ok(entries)
    }
}

/// Whether its value takes 64 bits.
fn is_wide(control: &Control) -> bool {
    matches!(control.kind, ControlKind::Integer { is_wide: true, .. })
}

fn number(control: &Control, raw: &v4l2_ext_control) -> i64 {
    match control.kind {
        _ if is_wide(control) => raw.value64(),
        ControlKind::Bitmask { .. } => i64::from(raw.value() as u32),
        _ => raw.value().into(),
    }
}

/// Room for a text and its NUL.
fn text_memory(control: &Control) -> Vec<u8> {
    let ControlKind::Text { maximum, .. } = control.kind else { return Vec::new() };
    vec![0; usize::try_from(maximum).unwrap_or(0).min(LONGEST_TEXT) + 1]
}

/// Bytes.
const LONGEST_TEXT: usize = 1 << 16;
