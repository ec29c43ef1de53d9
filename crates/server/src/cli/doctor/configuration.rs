//! What is to be served: whether it makes sense, and whether the files, cameras and encoders that
//! it names are there.

use std::fs;

use ::v4l2::Device;
use capture::v4l2::name::{Name, Places};
use encode::v4l2_m2m;

use super::finding::{Finding, Topic};
use crate::config::{Config, Errors, Source, Stream};

/// What can be said of a configuration that could not be made sense of.
pub(super) fn judge_errors(errors: &Errors) -> Vec<Finding> {
    let broken = |error: &crate::config::Error| {
        Finding::broken(Topic::Configuration, error.to_string())
            .advice("docs/configuration.md explains every key")
    };
    errors.iter().map(broken).collect()
}

/// What can be said of one that was.
pub(super) fn judge(config: &Config, places: &Places) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        config.streams.iter().filter_map(|stream| trouble(stream, places)).collect();
    if findings.is_empty() {
        let names: Vec<&str> = config.streams.iter().map(|stream| stream.name.as_str()).collect();
        let seen = match &names[..] {
            [] => "to be served: the first camera, or the test card".to_owned(),
            names => format!("to be served: {}", names.join(", ")),
        };
        findings.push(Finding::ok(Topic::Configuration, seen));
    }
    let notes = config.notes();
    findings.extend(notes.iter().map(|note| Finding::note(Topic::Configuration, note.to_string())));
    findings
}

/// What a stream needs and is not there.
fn trouble(stream: &Stream, places: &Places) -> Option<Finding> {
    let name = &stream.name;
    let broken =
        |why: String| Finding::broken(Topic::Configuration, format!("stream {name}: {why}"));
    match &stream.source {
        Source::File(file) => {
            let path = file.path.display();
            if let Err(error) = fs::File::open(&file.path) {
                let finding = broken(format!("cannot read {path}: {error}"));
                return Some(finding.command(format!("ls -l {path}")));
            }
        }
        Source::Camera(camera) => {
            let lists = "lenscast devices";
            match &camera.name {
                Name::Path(path) if !path.exists() => {
                    let finding = broken(format!("there is no {}", path.display()));
                    return Some(finding.command(lists).advice("says which cameras there are"));
                }
                Name::Stable(called) => {
                    if let Err(error) = places.find(called) {
                        let finding = broken(error.to_string());
                        return Some(finding.command(lists).advice("says which cameras there are"));
                    }
                }
                Name::Path(_) | Name::Any => {}
            }
        }
        Source::Test(_) | Source::Stdin(_) => {}
    }
    let encode::Choice::V4l2(path) = &stream.encoder else { return None };
    let examined = Device::open(path).map_err(v4l2_m2m::Reason::from);
    let reason = examined.and_then(|device| v4l2_m2m::examine(&device)).err()?;
    let finding = broken(format!("{} cannot encode: {reason}", path.display()));
    Some(finding.command("lenscast devices").advice("says which encoders there are"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::doctor::finding::Verdict,
        config::{Layer, Origin, resolve},
    };

    fn of(flags: &[&str]) -> Result<Config, Errors> {
        let mut layer = Layer::default();
        for source in flags {
            layer.source(source, Origin::Flag("--source"));
        }
        resolve(Layer::default(), Layer::default(), layer)
    }

    #[test]
    fn what_a_stream_needs_must_be_there() {
        let root = tempfile::tempdir().unwrap();
        let places = Places::new(root.path().to_owned(), root.path().to_owned());
        let file = root.path().join("a.mp4");
        fs::write(&file, "").unwrap();
        let there = format!("file:{}", file.display());
        for (source, word) in [
            ("test:", None),
            (&*there, None),
            ("v4l2:", None),
            ("file:/nowhere.mp4", Some("stream cam: cannot read /nowhere.mp4")),
            ("v4l2:/dev/video4711", Some("stream cam: there is no /dev/video4711")),
            ("v4l2:usb-1", Some("no camera is called that")),
            ("test:?encoder=/dev/null", Some("stream cam: /dev/null cannot encode")),
        ] {
            let findings = judge(&of(&[source]).unwrap(), &places);
            let [finding] = &findings[..] else { panic!("{findings:?}") };
            match word {
                None => assert_eq!(finding.seen, "to be served: cam", "{source}"),
                Some(word) => {
                    assert_eq!(finding.verdict, Verdict::Broken);
                    assert!(finding.command.is_some());
                    assert!(finding.seen.contains(word), "{finding}");
                }
            }
        }
    }

    #[test]
    fn each_mistake_is_a_finding() {
        let findings = judge_errors(&of(&["test:?fps=x", "tset:"]).unwrap_err());
        assert!(findings.len() >= 2, "{findings:?}");
        assert!(findings.iter().all(|finding| finding.verdict == Verdict::Broken));
    }
}
