//! What was found: a line for each thing looked at, and where something is wrong what mends it.

use std::fmt;

use serde::Serialize;

/// All findings. The names of the fields are those of the JSON that `lenscast doctor --json`
/// writes: none is renamed or taken away; new ones may come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The worst of them.
    pub verdict: Verdict,
    /// Each of them, in the order in which they were looked for.
    pub findings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub topic: Topic,
    /// How it stands.
    pub verdict: Verdict,
    /// What was seen: device, number, path.
    pub seen: String,
    /// What to type; `null` where nothing is to be done, or nothing that can be typed.
    pub command: Option<String>,
    /// What else to do or to know, for people.
    pub advice: Option<String>,
}

/// How something stands, from good to bad.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Nothing is wrong, but it may not be what was meant.
    Note,
    /// It works, but not as well as it could, or not for ever.
    Warning,
    /// Something that was asked for does not work.
    Broken,
}

/// What a finding is about.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// What is to be served.
    Configuration,
    /// Where pictures come from.
    Cameras,
    /// What makes H.264.
    Encoders,
    /// Memory that devices share.
    Memory,
    /// TCP and UDP ports.
    Ports,
    /// What the system allows.
    Limits,
    /// The time of day.
    Clock,
    /// This binary.
    Build,
    /// Power and heat.
    Board,
}

impl Finding {
    pub(super) fn ok(topic: Topic, seen: impl Into<String>) -> Self {
        Self { topic, verdict: Verdict::Ok, seen: seen.into(), command: None, advice: None }
    }

    pub(super) fn note(topic: Topic, seen: impl Into<String>) -> Self {
        Self { verdict: Verdict::Note, ..Self::ok(topic, seen) }
    }

    pub(super) fn warning(topic: Topic, seen: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, ..Self::ok(topic, seen) }
    }

    pub(super) fn broken(topic: Topic, seen: impl Into<String>) -> Self {
        Self { verdict: Verdict::Broken, ..Self::ok(topic, seen) }
    }

    /// With what to type.
    pub(super) fn command(self, command: impl Into<String>) -> Self {
        Self { command: Some(command.into()), ..self }
    }

    /// With what else to do.
    pub(super) fn advice(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

impl From<Vec<Finding>> for Report {
    fn from(findings: Vec<Finding>) -> Self {
        let worst = findings.iter().map(|finding| finding.verdict).max();
        Self { verdict: worst.unwrap_or(Verdict::Ok), findings }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        let count = |verdict| self.findings.iter().filter(|one| one.verdict == verdict).count();
        let (broken, warnings) = (count(Verdict::Broken), count(Verdict::Warning));
        match broken {
            0 => f.write_str("Nothing is broken")?,
            1 => f.write_str("One thing is broken")?,
            _ => write!(f, "{broken} things are broken")?,
        }
        match warnings {
            0 => writeln!(f, "."),
            1 => writeln!(f, "; there is one warning."),
            _ => writeln!(f, "; there are {warnings} warnings."),
        }
    }
}

/// Without a newline at the end.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {:<13}  {}", self.verdict.name(), self.topic.name(), self.seen)?;
        if let Some(command) = &self.command {
            write!(f, "\n{:<24}try: {command}", "")?;
        }
        if let Some(advice) = &self.advice {
            write!(f, "\n{:<24}{advice}", "")?;
        }
        Ok(())
    }
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Broken => "broken",
        }
    }
}

impl Topic {
    const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Cameras => "cameras",
            Self::Encoders => "encoders",
            Self::Memory => "memory",
            Self::Ports => "ports",
            Self::Limits => "limits",
            Self::Clock => "clock",
            Self::Build => "build",
            Self::Board => "board",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_for_people_and_for_programs() {
        let report = Report::from(vec![
            Finding::ok(Topic::Build, "all is well"),
            Finding::broken(Topic::Ports, "taken").command("kill 1").advice("or wait"),
            Finding::warning(Topic::Clock, "late").advice("wind it up"),
        ]);
        let expected = "\
ok       build          all is well
broken   ports          taken
                        try: kill 1
                        or wait
warning  clock          late
                        wind it up
One thing is broken; there is one warning.
";
        assert_eq!(report.to_string(), expected);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["verdict"], "broken");
        assert_eq!(json["findings"][1]["command"], "kill 1");
        assert_eq!(json["findings"][0]["command"], serde_json::Value::Null);
        let nothing = Report::from(Vec::new());
        assert_eq!(nothing.to_string(), "Nothing is broken.\n");
    }
}
