//! Power and heat, where the kernel tells of them: a board that slows itself down encodes late.

use super::{
    finding::{Finding, Topic},
    machine::Machine,
};

/// What its sensors say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// A Raspberry Pi's supply is too weak just now; `None` where nothing tells.
    pub is_undervolted: Option<bool>,
    /// Each place with a temperature at which the machine slows down, or beyond.
    pub hot: Vec<Hot>,
}

/// A place that is too hot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hot {
    /// As `cpu-thermal`.
    pub name: String,
    /// Thousandths of a degree Celsius.
    pub temperature: i64,
    /// From here on it slows down; the same unit.
    pub limit: i64,
}

impl Facts {
    /// Of `machine`.
    pub fn of(machine: &Machine) -> Self {
        let sensors = machine.names(SENSORS).into_iter().map(|name| format!("{SENSORS}/{name}"));
        let is_undervolted = sensors
            .filter(|sensor| machine.text(format!("{sensor}/name")).as_deref() == Some("rpi_volt"))
            .find_map(|sensor| machine.number(format!("{sensor}/in0_lcrit_alarm")))
            .map(|alarm| alarm != 0);
        let zones =
            machine.names(ZONES).into_iter().filter(|name| name.starts_with("thermal_zone"));
        let hot = zones.filter_map(|name| hot(machine, &format!("{ZONES}/{name}"))).collect();
        Self { is_undervolted, hot }
    }

    /// What is to be said of them; nothing where nothing tells.
    pub fn judge(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        match self.is_undervolted {
            Some(true) => findings.push(
                Finding::warning(
                    Topic::Board,
                    "the supply is too weak just now (rpi_volt): the board slows down, and USB \
                     cameras drop out",
                )
                .command("vcgencmd get_throttled")
                .advice("shows it; take a supply and a cable made for this board"),
            ),
            Some(false) => findings.push(Finding::ok(Topic::Board, "the supply is strong enough")),
            None => {}
        }
        findings.extend(self.hot.iter().map(|Hot { name, temperature, limit }| {
            let (now, limit) = (temperature / 1000, limit / 1000);
            Finding::warning(
                Topic::Board,
                format!("{name} has {now} °C: from {limit} °C on the machine slows down"),
            )
            .advice("give it air or a heat sink, or less to encode")
        }));
        findings
    }
}

/// A zone that is as hot as where it is cooled by being slowed down.
fn hot(machine: &Machine, zone: &str) -> Option<Hot> {
    let temperature = machine.number(format!("{zone}/temp"))?;
    let kinds = machine.names(zone).into_iter();
    let kinds = kinds.filter_map(|name| {
        let point = name.strip_suffix("_type").filter(|point| point.starts_with("trip_point_"))?;
        let kind = machine.text(format!("{zone}/{name}"))?;
        SLOWING.contains(&kind.as_str()).then(|| format!("{zone}/{point}_temp"))
    });
    let limits = kinds.filter_map(|path| machine.number(path));
    let limit = limits.filter(|limit| *limit > 0).min()?;
    let name = machine.text(format!("{zone}/type")).unwrap_or_else(|| zone.to_owned());
    (temperature >= limit).then_some(Hot { name, temperature, limit })
}

const SENSORS: &str = "sys/class/hwmon";
const ZONES: &str = "sys/class/thermal";
/// Trip points at which the kernel takes speed away.
const SLOWING: [&str; 3] = ["passive", "hot", "critical"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::{finding::Verdict, machine::made_of};

    #[test]
    fn sensors_are_read_where_there_are_any() {
        let zone = |temperature: &'static str| {
            [
                ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
                ("sys/class/thermal/thermal_zone0/temp", temperature),
                ("sys/class/thermal/thermal_zone0/trip_point_0_type", "active\n"),
                ("sys/class/thermal/thermal_zone0/trip_point_0_temp", "40000\n"),
                ("sys/class/thermal/thermal_zone0/trip_point_1_type", "passive\n"),
                ("sys/class/thermal/thermal_zone0/trip_point_1_temp", "80000\n"),
                ("sys/class/thermal/cooling_device0/type", "fan\n"),
                ("sys/class/hwmon/hwmon0/name", "cpu_thermal\n"),
                ("sys/class/hwmon/hwmon1/name", "rpi_volt\n"),
                (
                    "sys/class/hwmon/hwmon1/in0_lcrit_alarm",
                    if temperature == "81500\n" { "1\n" } else { "0\n" },
                ),
            ]
        };
        let (_root, machine) = made_of(&zone("81500\n"));
        let facts = Facts::of(&machine);
        let hot = Hot { name: "cpu-thermal".to_owned(), temperature: 81500, limit: 80000 };
        assert_eq!(facts, Facts { is_undervolted: Some(true), hot: vec![hot] });
        let findings = facts.judge();
        assert!(findings.iter().all(|finding| finding.verdict == Verdict::Warning));
        assert_eq!(findings[1].seen, "cpu-thermal has 81 °C: from 80 °C on the machine slows down");

        let (_root, machine) = made_of(&zone("41000\n"));
        let facts = Facts::of(&machine);
        assert_eq!(facts, Facts { is_undervolted: Some(false), hot: vec![] });
        assert_eq!(facts.judge()[0].verdict, Verdict::Ok);

        let (_root, machine) = made_of(&[]);
        assert_eq!(Facts::of(&machine).judge(), []);
    }
}
