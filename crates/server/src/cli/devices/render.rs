//! A list for people: what `v4l2-ctl --list-devices --list-formats-ext --list-ctrls` says, shorter.

use std::fmt;

use super::listing::{Control, Device, Format, Listing, Now, Rate, Rates, SizeAndRates, Sizes};

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.error {
            return writeln!(f, "{error}");
        }
        if self.cameras.is_empty() {
            writeln!(f, "No camera that can be served.")?;
        }
        if self.cameras.is_empty() && self.encoders.is_empty() && self.others.is_empty() {
            writeln!(f, "{NOTHING}")?;
        }
        for device in &self.cameras {
            writeln!(f, "{}", Heading(device))?;
            camera(f, device)?;
            writeln!(f)?;
        }
        for device in &self.encoders {
            writeln!(f, "{}", Heading(device))?;
            let from = device.encodes_from.as_deref().unwrap_or_default().join(", ");
            writeln!(f, "  encodes       H.264 from {from}")?;
            controls(f, &device.controls)?;
            writeln!(f)?;
        }
        let (known, unknown): (Vec<_>, Vec<_>) =
            self.others.iter().partition(|device| device.driver.is_some());
        for (heading, devices) in
            [("Neither camera nor encoder:", known), ("Cannot be asked what they are:", unknown)]
        {
            if devices.is_empty() {
                continue;
            }
            writeln!(f, "{heading}")?;
            for device in devices {
                let reason = device.reason.as_deref().unwrap_or("it says nothing of itself");
                writeln!(f, "  {}: {}", Heading(device), reason)?;
            }
            writeln!(f)?;
        }
        writeln!(f, "Pictures are encoded by {}: {}.", self.encoder.encoder, self.encoder.why)
    }
}

struct Heading<'a>(&'a Device);

impl fmt::Display for Heading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Device { node, driver, card, bus, .. } = self.0;
        write!(f, "{}", node.display())?;
        if let (Some(card), Some(driver), Some(bus)) = (card, driver, bus) {
            write!(f, "  {card} ({driver}, {bus})")?;
        }
        Ok(())
    }
}

fn camera(f: &mut fmt::Formatter<'_>, device: &Device) -> fmt::Result {
    for (index, name) in device.names.iter().enumerate() {
        writeln!(f, "  {:<13} v4l2:{name}", if index == 0 { "names" } else { "" })?;
    }
    if let Some(choice) = &device.would_give {
        let default = if device.is_default { "; a bare `lenscast` serves it" } else { "" };
        writeln!(f, "  {:<13} {choice}{default}", "by itself")?;
    }
    let (usable, others): (Vec<_>, Vec<_>) =
        device.formats.iter().partition(|format| format.usable_as.is_some());
    for format in usable {
        self::format(f, format)?;
    }
    if !others.is_empty() {
        let codes: Vec<&str> = others.iter().map(|format| format.format.as_str()).collect();
        let shown = codes.len().min(MOST_OTHERS);
        let rest = match codes.len() - shown {
            0 => String::new(),
            rest => format!(" and {rest} more"),
        };
        writeln!(f, "  {:<13} {}{rest}", "not usable", codes[..shown].join(" "))?;
    }
    controls(f, &device.controls)
}

fn format(f: &mut fmt::Formatter<'_>, format: &Format) -> fmt::Result {
    let name = format.usable_as.unwrap_or_default();
    let Format { description, sizes, .. } = format;
    write!(f, "  {name:<13} {description}")?;
    if format.is_emulated {
        f.write_str(", made by a library")?;
    }
    match sizes {
        None => writeln!(f),
        Some(Sizes::List(sizes)) => {
            writeln!(f)?;
            for SizeAndRates { width, height, rates } in sizes {
                let size = format!("{width}x{height}");
                writeln!(f, "  {:<13} {size:<11} {}", "", Shown(rates.as_ref()))?;
            }
            Ok(())
        }
        Some(Sizes::Range { min_width, min_height, max_width, max_height, rates, .. }) => {
            let range = format!("{min_width}x{min_height} to {max_width}x{max_height}");
            writeln!(f, "; {range}, the largest at {}", Shown(rates.as_ref()))
        }
    }
}

struct Shown<'a>(Option<&'a Rates>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("some rate"),
            Some(Rates::List(rates)) => {
                let rates: Vec<String> = rates.iter().map(ToString::to_string).collect();
                write!(f, "{} fps", rates.join(", "))
            }
            Some(Rates::Range { min, max }) => write!(f, "{min} to {max} fps"),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = f64::from(self.numerator) / f64::from(self.denominator.max(1));
        write!(f, "{}", (rate * 100.0).round() / 100.0)
    }
}

/// A line for each control, and for the entries of its menu below.
pub(in crate::cli) fn controls(f: &mut dyn fmt::Write, controls: &[Control]) -> fmt::Result {
    for control in controls {
        writeln!(f, "  {control}")?;
        for entry in &control.menu {
            writeln!(f, "  {:<31} {:>3} {}", "", entry.value, entry.label)?;
        }
    }
    Ok(())
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = match &self.value {
            Some(now) => format!("= {now}"),
            None => String::new(),
        };
        write!(f, "{:<31} {now:<10}", self.name)?;
        match (self.kind, self.minimum, self.maximum) {
            ("integer", Some(minimum), Some(maximum)) => {
                write!(f, " {minimum} to {maximum}")?;
                if let Some(step @ 2..) = self.step {
                    write!(f, " in steps of {step}")?;
                }
            }
            ("text", Some(minimum), Some(maximum)) => {
                write!(f, " text of {minimum} to {maximum} bytes")?;
            }
            ("bitmask", _, Some(maximum)) => write!(f, " the bits of {maximum:#x}")?,
            ("boolean", ..) => f.write_str(" on or off")?,
            (kind, ..) => write!(f, " {kind}")?,
        }
        if let Some(default) = self.default {
            let default = match self.kind {
                "boolean" => Now::Switch(default != 0),
                _ => Now::Number(default),
            };
            write!(f, ", by default {default}")?;
        }
        if !self.flags.is_empty() {
            write!(f, " [{}]", self.flags.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(true) => f.write_str("on"),
            Self::Switch(false) => f.write_str("off"),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// Formats that cannot be used, named.
const MOST_OTHERS: usize = 12;
const NOTHING: &str = "\
This machine shows no video device. For a USB camera: is it plugged in (`lsusb`), and is its driver \
there (`sudo modprobe uvcvideo`)? In a container, pass it on (`--device /dev/video0`).";

#[cfg(test)]
mod tests;
