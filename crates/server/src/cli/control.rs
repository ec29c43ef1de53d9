//! `lenscast control DEVICE [NAME=VALUE…]`: what can be set of a camera, and setting it. Works while
//! another program, also lenscast itself, takes pictures from it.

use std::io::{self, Write};

use ::v4l2::{Control, Device, Value};
use anyhow::{Context, bail};
use capture::v4l2::{controls, name::Places};

use crate::cli::{
    ControlArgs,
    devices::{self, listing},
};

/// Sets what is given; without, lists what there is to `out`.
///
/// # Errors
///
/// When there is no such device or control, or it does not take the value: which there are, and
/// what it takes. What stands before has been set then.
pub fn run(args: &ControlArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    args.libraries.load()?;
    let device = open(&args.device)?;
    if args.settings.is_empty() {
        return Ok(list(&device, out)?);
    }
    let mut settings = Vec::new();
    for setting in &args.settings {
        settings.push(match setting.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (setting.as_str(), None),
        });
    }
    for (name, value) in settings {
        // Anew for each: what was set before changes what others take.
        let there = device.controls()?;
        let control = controls::find(&device, &there, name)?;
        let is_button = matches!(control.kind, ::v4l2::ControlKind::Button);
        match value {
            Some(value) => controls::set(&device, &there, control, value)?,
            None if is_button => controls::set(&device, &there, control, "")?,
            None => {
                let described = describe(&device, control);
                bail!("{name} has no value; write {name}=VALUE: {described}")
            }
        }
        writeln!(out, "{}", describe(&device, control))?;
        if let Some(now) = device.control(control.id)?
            && now.access.inactive
        {
            let held = controls::holder(&device, &there, control)
                .map(|(holder, free)| format!(" ({holder} holds it: set it to {free})"))
                .unwrap_or_default();
            writeln!(out, "  it has no effect while other controls stand as they do{held}")?;
        }
    }
    Ok(())
}

/// By node, or by a name that stays, with or without `v4l2:` before it.
fn open(name: &str) -> anyhow::Result<Device> {
    let name = name.strip_prefix("v4l2:").unwrap_or(name);
    let path = match name.starts_with('/') {
        true => name.into(),
        false => Places::default().find(name).context("`lenscast devices` lists what there is")?,
    };
    Ok(Device::open(&path)?)
}

fn list(device: &Device, out: &mut dyn Write) -> io::Result<()> {
    let there = devices::controls(device);
    if there.is_empty() {
        return writeln!(out, "{} has no controls.", device.path().display());
    }
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = devices::render::controls(&mut text, &there);
    for line in text.lines() {
        writeln!(out, "{}", line.strip_prefix("  ").unwrap_or(line))?;
    }
    Ok(())
}

fn describe(device: &Device, control: &Control) -> listing::Control {
    let value: Option<Value> = device.value(control).ok().flatten();
    listing::Control::of(control, value)
}
