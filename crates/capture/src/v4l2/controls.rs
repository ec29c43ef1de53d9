//! Controls of a camera by name, and what stands in the way of setting them.

use ::v4l2::{Control, ControlId, ControlKind, Device, Trouble, Value};

use crate::{Error, spelling::nearest};

/// Sets each of `wanted`, as names and values in text; automatics first, since they hold others.
///
/// # Errors
///
/// When there is no such control, and which there are; when it does not take the value, and which
/// it takes; when it cannot be set as things stand, and why.
pub fn set_all(device: &Device, wanted: &[(String, String)]) -> Result<(), Error> {
    if wanted.is_empty() {
        return Ok(());
    }
    let there = device.controls()?;
    let mut found = Vec::new();
    for (name, text) in wanted {
        found.push((find(device, &there, name)?, text));
    }
    found.sort_by_key(|(control, _)| !HOLDERS.iter().any(|(holder, _)| *holder == control.id));
    for (control, text) in found {
        set(device, &there, control, text)?;
    }
    Ok(())
}

/// The control of `there` that is called `name`: as v4l2-ctl spells it, or as the driver labels it,
/// in capitals or not.
///
/// # Errors
///
/// When there is none, and which there are.
pub fn find<'a>(device: &Device, there: &'a [Control], name: &str) -> Result<&'a Control, Error> {
    there.iter().find(|control| is_called(control, name)).ok_or_else(|| {
        let names: Vec<String> = there.iter().map(Control::name).collect();
        let meant = nearest(name, &names)
            .map(|meant| format!(" (did you mean {meant}?)"))
            .unwrap_or_default();
        let list = match names.is_empty() {
            true => "it has none at all".to_owned(),
            false => format!("there is {}", names.join(", ")),
        };
        unusable(device, format!("it has no control {name:?}{meant}; {list}"))
    })
}

/// Sets `control` to what `text` means for it.
///
/// # Errors
///
/// When it does not take that, and what it takes; when it cannot be set as things stand, and why.
pub fn set(device: &Device, there: &[Control], control: &Control, text: &str) -> Result<(), Error> {
    let value = control.parse(text).map_err(|wrong| unusable(device, wrong.to_string()))?;
    let Err(error) = device.set_value(control, &value) else { return Ok(()) };
    let name = control.name();
    Err(match error.trouble() {
        // The kernel's page on VIDIOC_S_EXT_CTRLS: read-only, or held by another control. That the
        // device could be opened rules out the rights of the user.
        Trouble::Forbidden => {
            let reason = match holder(device, there, control) {
                Some((holder, free)) => {
                    format!("{name} is held by {holder}: set {holder} to {free} first")
                }
                None => format!("{name} is held by another control, an automatic"),
            };
            unusable(device, reason)
        }
        Trouble::Busy => unusable(
            device,
            format!("{name} cannot be set while the camera is in use; stop what uses it first"),
        ),
        _ => error.into(),
    })
}

/// The automatic that keeps `control` from being set, and the value that frees it.
pub fn holder(device: &Device, there: &[Control], control: &Control) -> Option<(String, String)> {
    let (id, _) = HOLDERS.iter().find(|(_, held)| held.contains(&control.id))?;
    let holder = there.iter().find(|control| control.id == *id)?;
    let free = match &holder.kind {
        ControlKind::Menu { entries, .. } => {
            entries.iter().find(|entry| entry.value == EXPOSURE_MANUAL)?.to_string()
        }
        _ => "off".to_owned(),
    };
    let is_free = match device.value(holder) {
        Ok(Some(Value::Number(value))) => match holder.kind {
            ControlKind::Menu { .. } => value == EXPOSURE_MANUAL,
            _ => value == 0,
        },
        _ => false,
    };
    (!is_free).then(|| (holder.name(), free))
}

fn is_called(control: &Control, name: &str) -> bool {
    let letters = |text: &str| {
        let plain = text.chars().filter(char::is_ascii_alphanumeric);
        plain.map(|letter| letter.to_ascii_lowercase()).collect::<String>()
    };
    let wanted = letters(name);
    !wanted.is_empty() && letters(&control.label) == wanted
}

fn unusable(device: &Device, reason: String) -> Error {
    Error::Unusable { path: device.path().to_owned(), reason: reason.into(), remedy: None }
}

/// Automatics, and what cannot be set while they are on (the kernel's pages on user and camera
/// controls): V4L2_CID_*.
const HOLDERS: [(ControlId, &[ControlId]); 8] = [
    // AUTO_WHITE_BALANCE: WHITE_BALANCE_TEMPERATURE, RED_BALANCE, BLUE_BALANCE.
    (
        ControlId(0x0098_090c),
        &[ControlId(0x0098_091a), ControlId(0x0098_090e), ControlId(0x0098_090f)],
    ),
    // AUTOGAIN: GAIN.
    (ControlId(0x0098_0912), &[ControlId(0x0098_0913)]),
    // HUE_AUTO: HUE.
    (ControlId(0x0098_0919), &[ControlId(0x0098_0903)]),
    // CHROMA_AGC: CHROMA_GAIN.
    (ControlId(0x0098_091d), &[ControlId(0x0098_0924)]),
    // AUTOBRIGHTNESS: BRIGHTNESS.
    (ControlId(0x0098_0920), &[ControlId(0x0098_0900)]),
    // EXPOSURE_AUTO: EXPOSURE_ABSOLUTE.
    (ControlId(0x009a_0901), &[ControlId(0x009a_0902)]),
    // FOCUS_AUTO: FOCUS_ABSOLUTE, FOCUS_RELATIVE.
    (ControlId(0x009a_090c), &[ControlId(0x009a_090a), ControlId(0x009a_090b)]),
    // ISO_SENSITIVITY_AUTO: ISO_SENSITIVITY.
    (ControlId(0x009a_0918), &[ControlId(0x009a_0917)]),
];
/// V4L2_EXPOSURE_MANUAL: of menus of exposure the entry that frees the time.
const EXPOSURE_MANUAL: i64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_v4l2_ctl_spells_them_and_as_drivers_label_them() {
        let control = Control {
            id: ControlId(1),
            label: "White Balance, Automatic".to_owned(),
            kind: ControlKind::Boolean { default: true },
            access: Default::default(),
        };
        for (name, is_meant) in [
            ("white_balance_automatic", true),
            ("White Balance, Automatic", true),
            ("white-balance-automatic", true),
            ("white_balance", false),
            ("_", false),
            ("", false),
        ] {
            assert_eq!(is_called(&control, name), is_meant, "{name}");
        }
    }
}
