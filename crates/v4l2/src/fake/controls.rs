//! Controls of a stand-in: what may be set when, as the kernel's control framework and uvcvideo
//! have it.

use std::io;

use rustix::io::Errno;

use crate::{
    control::{Access, Control, ControlId, ControlKind, MenuEntry, MenuLabel, Value},
    uapi::control::{self as ctl, v4l2_ext_control, v4l2_query_ext_ctrl, v4l2_querymenu},
};

/// A control of a device, and what keeps it from being set.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// As the driver describes it; `access.inactive` and `access.grabbed` are worked out.
    pub control: Control,
    /// Inactive, and not to be set, while that control has that value.
    pub held_by: Option<(ControlId, i64)>,
    /// Not to be set while the device streams.
    pub is_grabbed: bool,
}

impl Setting {
    /// One that can always be set.
    pub fn new(id: u32, label: &str, kind: ControlKind) -> Self {
        let label = label.to_owned();
        let control = Control { id: ControlId(id), label, kind, access: Access::default() };
        Self { control, held_by: None, is_grabbed: false }
    }

    /// An integer in steps of 1.
    pub fn integer(id: u32, label: &str, range: (i64, i64), default: i64) -> Self {
        let (minimum, maximum) = range;
        let kind = ControlKind::Integer { minimum, maximum, step: 1, default, is_wide: false };
        Self::new(id, label, kind)
    }

    /// Yes or no.
    pub fn boolean(id: u32, label: &str, default: bool) -> Self {
        Self::new(id, label, ControlKind::Boolean { default })
    }

    /// A menu; entries without a name are left out.
    pub fn menu(id: u32, label: &str, names: &[&str], default: i64) -> Self {
        let entry = |(value, name): (usize, &&str)| MenuEntry {
            value: value as i64,
            label: MenuLabel::Name((*name).to_owned()),
        };
        let named = names.iter().enumerate().filter(|(_, name)| !name.is_empty());
        Self::new(id, label, ControlKind::Menu { entries: named.map(entry).collect(), default })
    }

    /// Held while the control `id` has `value`, as an exposure by its automatic.
    #[must_use]
    pub fn held_by(self, id: u32, value: i64) -> Self {
        Self { held_by: Some((ControlId(id), value)), ..self }
    }

    /// Not to be set while the device streams.
    #[must_use]
    pub fn grabbed(self) -> Self {
        Self { is_grabbed: true, ..self }
    }

    /// Only to be read.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.control.access.read_only = true;
        self
    }
}

/// All controls of a device, or of one who has it open, in the order of their numbers.
#[derive(Clone, Debug)]
pub(super) struct Controls {
    settings: Vec<(Setting, Value)>,
}

impl Controls {
    pub(super) fn new(settings: &[Setting]) -> Self {
        let start = |setting: &Setting| (setting.clone(), first_value(&setting.control.kind));
        let mut settings: Vec<_> = settings.iter().map(start).collect();
        settings.sort_by_key(|(setting, _)| setting.control.id);
        Self { settings }
    }

    /// The value of a number; `None` when there is no such control.
    pub(super) fn number(&self, id: u32) -> Option<i64> {
        match self.find(id)?.1 {
            Value::Number(number) => Some(number),
            Value::Text(_) => None,
        }
    }

    pub(super) fn has(&self, id: u32) -> bool {
        self.find(id).is_some()
    }

    /// VIDIOC_QUERY_EXT_CTRL.
    pub(super) fn query(&self, raw: &mut v4l2_query_ext_ctrl, streams: bool) -> io::Result<()> {
        let next = raw.id & ctl::V4L2_CTRL_FLAG_NEXT_CTRL != 0;
        let id = raw.id & !(ctl::V4L2_CTRL_FLAG_NEXT_CTRL | ctl::V4L2_CTRL_FLAG_NEXT_COMPOUND);
        let wanted = |(setting, _): &&(Setting, Value)| {
            let has = setting.control.id.0;
            if next { has > id } else { has == id }
        };
        let (setting, _) = self.settings.iter().find(wanted).ok_or(Errno::INVAL)?;
        raw.id = setting.control.id.0;
        raw.name = name(&setting.control.label);
        raw.flags = self.flags(setting, streams);
        (raw.elems, raw.elem_size, raw.nr_of_dims) = (1, 4, 0);
        raw.dims = [0; 4];
        let (kind, range, step, default) = match &setting.control.kind {
            ControlKind::Integer { minimum, maximum, step, default, is_wide } => {
                let kind = match is_wide {
                    true => ctl::V4L2_CTRL_TYPE_INTEGER64,
                    false => ctl::V4L2_CTRL_TYPE_INTEGER,
                };
                (kind, (*minimum, *maximum), *step, *default)
            }
            ControlKind::Boolean { default } => {
                (ctl::V4L2_CTRL_TYPE_BOOLEAN, (0, 1), 1, i64::from(*default))
            }
            ControlKind::Menu { entries, default } => {
                let has_names =
                    entries.iter().any(|entry| matches!(entry.label, MenuLabel::Name(_)));
                let kind = match has_names {
                    true => ctl::V4L2_CTRL_TYPE_MENU,
                    false => ctl::V4L2_CTRL_TYPE_INTEGER_MENU,
                };
                (kind, ends(entries), 1, *default)
            }
            ControlKind::Bitmask { maximum, default } => {
                (ctl::V4L2_CTRL_TYPE_BITMASK, (0, i64::from(*maximum)), 0, i64::from(*default))
            }
            ControlKind::Text { minimum, maximum } => {
                raw.elem_size = *maximum as u32 + 1;
                raw.flags |= ctl::V4L2_CTRL_FLAG_HAS_PAYLOAD;
                (ctl::V4L2_CTRL_TYPE_STRING, (*minimum as i64, *maximum as i64), 1, 0)
            }
            ControlKind::Button => {
                raw.flags |= ctl::V4L2_CTRL_FLAG_WRITE_ONLY;
                (ctl::V4L2_CTRL_TYPE_BUTTON, (0, 0), 0, 0)
            }
        };
        (raw.r#type, raw.step, raw.default_value) = (kind, step, default);
        (raw.minimum, raw.maximum) = range;
        Ok(())
    }

    /// VIDIOC_QUERYMENU.
    pub(super) fn menu(&self, raw: &mut v4l2_querymenu) -> io::Result<()> {
        let (setting, _) = self.find(raw.id).ok_or(Errno::INVAL)?;
        let ControlKind::Menu { entries, .. } = &setting.control.kind else {
            return Err(Errno::INVAL.into());
        };
        let index = i64::from(raw.index);
        let entry = entries.iter().find(|entry| entry.value == index).ok_or(Errno::INVAL)?;
        raw.u = match &entry.label {
            MenuLabel::Name(text) => name(text),
            MenuLabel::Number(number) => {
                let mut memory = [0; 32];
                memory[..8].copy_from_slice(&number.to_ne_bytes());
                memory
            }
        };
        Ok(())
    }

    /// VIDIOC_G_EXT_CTRLS of one.
    pub(super) fn read(
        &self,
        raw: &mut v4l2_ext_control,
        payload: Option<&mut [u8]>,
    ) -> io::Result<()> {
        let (setting, value) = self.find(raw.id).ok_or(Errno::INVAL)?;
        let Control { kind, access, .. } = &setting.control;
        if access.write_only || *kind == ControlKind::Button {
            return Err(Errno::ACCESS.into());
        }
        match (value, payload) {
            (Value::Number(number), None) => write_number(kind, raw, *number),
            (Value::Text(text), Some(memory)) => {
                if memory.len() <= text.len() {
                    return Err(Errno::NOSPC.into());
                }
                memory.fill(0);
                memory[..text.len()].copy_from_slice(text.as_bytes());
            }
            (Value::Text(_), None) => return Err(Errno::NOSPC.into()),
            (Value::Number(_), Some(_)) => return Err(Errno::INVAL.into()),
        }
        Ok(())
    }

    /// VIDIOC_S_EXT_CTRLS of one.
    pub(super) fn write(
        &mut self,
        raw: &mut v4l2_ext_control,
        payload: Option<&mut [u8]>,
        streams: bool,
        complaints: &mut Vec<String>,
    ) -> io::Result<()> {
        let id = raw.id;
        let (setting, _) = self.find(id).ok_or(Errno::INVAL)?;
        let flags = self.flags(setting, streams);
        if flags & ctl::V4L2_CTRL_FLAG_READ_ONLY != 0 {
            return Err(Errno::ACCESS.into());
        }
        if flags & ctl::V4L2_CTRL_FLAG_GRABBED != 0 {
            return Err(Errno::BUSY.into());
        }
        if flags & ctl::V4L2_CTRL_FLAG_INACTIVE != 0 {
            return Err(Errno::ACCESS.into());
        }
        let kind = &setting.control.kind;
        let given = match kind {
            ControlKind::Integer { is_wide: true, .. } => raw.value64(),
            ControlKind::Bitmask { .. } => i64::from(raw.value() as u32),
            _ => raw.value().into(),
        };
        let value = match (kind, payload) {
            (ControlKind::Text { minimum, maximum }, Some(memory)) => {
                // The last byte is taken for the NUL, whatever it is.
                let room = memory.len().saturating_sub(1);
                let end = memory.iter().position(|byte| *byte == 0).unwrap_or(room);
                if !(*minimum..=*maximum).contains(&(end as u64)) {
                    return Err(Errno::RANGE.into());
                }
                Value::Text(String::from_utf8_lossy(&memory[..end]).into_owned())
            }
            (ControlKind::Text { .. }, None) => return Err(Errno::RANGE.into()),
            (_, Some(_)) => return Err(Errno::INVAL.into()),
            (kind, None) => Value::Number(taken(kind, given)?),
        };
        if let Value::Number(taken) = value
            && taken != given
        {
            let label = &setting.control.label;
            complaints.push(format!("{label} cannot be {given}, and was made {taken}"));
        }
        if let Value::Number(taken) = value {
            let kind = kind.clone();
            write_number(&kind, raw, taken);
        }
        if let Some((_, has)) =
            self.settings.iter_mut().find(|(setting, _)| setting.control.id.0 == id)
        {
            *has = value;
        }
        Ok(())
    }

    fn find(&self, id: u32) -> Option<&(Setting, Value)> {
        self.settings.iter().find(|(setting, _)| setting.control.id.0 == id)
    }

    fn flags(&self, setting: &Setting, streams: bool) -> u32 {
        let Access { read_only, write_only, volatile, .. } = setting.control.access;
        let is_held = |(id, value): (ControlId, i64)| self.number(id.0) == Some(value);
        [
            (read_only, ctl::V4L2_CTRL_FLAG_READ_ONLY),
            (write_only, ctl::V4L2_CTRL_FLAG_WRITE_ONLY),
            (volatile, ctl::V4L2_CTRL_FLAG_VOLATILE),
            (setting.is_grabbed && streams, ctl::V4L2_CTRL_FLAG_GRABBED),
            (setting.held_by.is_some_and(is_held), ctl::V4L2_CTRL_FLAG_INACTIVE),
        ]
        .into_iter()
        .fold(0, |flags, (is_set, flag)| if is_set { flags | flag } else { flags })
    }
}

/// What the driver makes of a number: integers are brought into their range.
fn taken(kind: &ControlKind, given: i64) -> io::Result<i64> {
    match kind {
        ControlKind::Integer { minimum, maximum, step, .. } => {
            let step = i64::try_from(*step).unwrap_or(1).max(1);
            let value = given.clamp(*minimum, *maximum);
            Ok(value - (value - minimum) % step)
        }
        ControlKind::Boolean { .. } => Ok((given != 0).into()),
        ControlKind::Menu { entries, .. } => {
            let (first, last) = ends(entries);
            if !(first..=last).contains(&given) {
                return Err(Errno::RANGE.into());
            }
            let has = entries.iter().any(|entry| entry.value == given);
            if has { Ok(given) } else { Err(Errno::INVAL.into()) }
        }
        ControlKind::Bitmask { maximum, .. } => Ok(given & i64::from(*maximum)),
        // The value of a button is not looked at.
        ControlKind::Text { .. } | ControlKind::Button => Ok(given),
    }
}

fn first_value(kind: &ControlKind) -> Value {
    Value::Number(match kind {
        ControlKind::Integer { default, .. } | ControlKind::Menu { default, .. } => *default,
        ControlKind::Boolean { default } => (*default).into(),
        ControlKind::Bitmask { default, .. } => (*default).into(),
        ControlKind::Button => 0,
        ControlKind::Text { minimum, .. } => {
            return Value::Text(" ".repeat(usize::try_from(*minimum).unwrap_or(0)));
        }
    })
}

fn write_number(kind: &ControlKind, raw: &mut v4l2_ext_control, number: i64) {
    match kind {
        ControlKind::Integer { is_wide: true, .. } => raw.set_value64(number),
        _ => raw.set_value(number as i32),
    }
}

/// The first and the last entry; there may be gaps between.
fn ends(entries: &[MenuEntry]) -> (i64, i64) {
    let values = || entries.iter().map(|entry| entry.value);
    (values().min().unwrap_or(0), values().max().unwrap_or(0))
}

/// As drivers write names: cut to 31 bytes and a NUL.
pub(super) fn name<const LENGTH: usize>(text: &str) -> [u8; LENGTH] {
    let mut memory = [0; LENGTH];
    let length = text.len().min(LENGTH - 1);
    memory[..length].copy_from_slice(&text.as_bytes()[..length]);
    memory
}
