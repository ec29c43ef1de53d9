use std::sync::atomic::{AtomicU64, Ordering};

use media::{MediaTime, WallTime};

use super::*;
use crate::{limits::Limits, status::socket::tests::House};

/// Time passes when somebody sleeps.
#[derive(Default)]
struct Sleeper(AtomicU64);

impl Clock for Sleeper {
    fn now(&self) -> MediaTime {
        MediaTime::from_nanos(self.0.load(Ordering::Relaxed))
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_nanos(0)
    }

    fn sleep_until(&self, deadline: MediaTime) {
        self.0.store(deadline.as_nanos(), Ordering::Relaxed);
    }
}

/// Somebody who looks so many times.
struct Reader {
    looks: usize,
    shown: String,
}

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.looks == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.shown += str::from_utf8(bytes).unwrap();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.looks -= 1;
        Ok(())
    }
}

/// What is shown, and how long that took.
async fn show(args: StatusArgs, is_screen: bool) -> (String, Duration) {
    let house = House::new(Limits::default());
    let directories = house.places();
    let show = move || {
        let (clock, mut reader) = (Sleeper::default(), Reader { looks: 3, shown: String::new() });
        run(&args, &directories, &clock, is_screen, &mut reader).unwrap();
        (reader.shown, clock.now().saturating_since(MediaTime::ZERO))
    };
    tokio::task::spawn_blocking(show).await.unwrap()
}

#[tokio::test]
async fn it_is_shown_once_or_each_second_for_as_long_as_somebody_looks() {
    let watch = || StatusArgs { watch: true, ..StatusArgs::default() };
    for (args, is_screen, count, clears, json, seconds) in [
        (StatusArgs::default(), true, 1, 0, false, 0),
        (StatusArgs { json: true, ..StatusArgs::default() }, true, 1, 0, true, 0),
        (watch(), true, 3, 3, false, 3),
        (watch(), false, 3, 0, false, 3),
        (StatusArgs { json: true, ..watch() }, false, 3, 0, true, 3),
    ] {
        let (shown, took) = show(args.clone(), is_screen).await;
        assert_eq!(shown.matches(CLEAR).count(), clears, "{args:?}");
        let mark = if json { "\"uptime\"" } else { "Nobody watches." };
        assert_eq!(shown.matches(mark).count(), count, "{args:?} shows\n{shown}");
        assert_eq!(took, Duration::from_secs(seconds), "{args:?}");
        if json && args.watch {
            let is_document = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
            assert!(shown.lines().all(is_document), "one in each line:\n{shown}");
        }
    }
}

#[test]
fn without_a_server_there_is_an_error_and_a_code() {
    let nowhere = [PathBuf::from("/nowhere/at/all")];
    let mut out = Vec::new();
    let error = run(&StatusArgs::default(), &nowhere, &Sleeper::default(), true, &mut out);
    let error = error.unwrap_err();
    assert_eq!((error.exit_code(), out.len()), (1, 0));
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    let several = client::Error::Several { wanted: None, servers: Vec::new() };
    assert_eq!(Error::from(several).exit_code(), 2);
}
