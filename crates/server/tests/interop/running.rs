//! A program that runs, what it writes, and when. Killed when dropped.

use std::{
    fmt,
    io::{self, Read},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

/// A started program. Whatever goes wrong panics with `name` and what the program said.
pub(crate) struct Running {
    name: String,
    child: Child,
    output: Receiver<(Vec<u8>, SystemTime)>,
    unread: Vec<u8>,
    errors: Option<JoinHandle<String>>,
    deadline: Instant,
}

/// A program that is over.
pub(crate) struct Finished {
    pub(crate) name: String,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Running {
    /// Starts `command`; it must be over within `limit`.
    pub(crate) fn start(name: impl fmt::Display, mut command: Command, limit: Duration) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(&name, &mut command);
        let mut stdout = child.stdout.take().expect("stdout is a pipe");
        let mut stderr = child.stderr.take().expect("stderr is a pipe");
        let (sender, output) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(length @ 1..) = stdout.read(&mut buffer) {
                if sender.send((buffer[..length].to_vec(), SystemTime::now())).is_err() {
                    break;
                }
            }
        });
        let errors = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let (errors, deadline) = (Some(errors), Instant::now() + limit);
        Self { name: name.to_string(), child, output, unread: Vec::new(), errors, deadline }
    }

    /// The next `length` bytes of its output and when the last of them came; `None` when it has
    /// ended before.
    pub(crate) fn read(&mut self, length: usize) -> Option<(Vec<u8>, SystemTime)> {
        let mut last = SystemTime::now();
        while self.unread.len() < length {
            let (bytes, at) = self.more()?;
            self.unread.extend(bytes);
            last = at;
        }
        let rest = self.unread.split_off(length);
        Some((std::mem::replace(&mut self.unread, rest), last))
    }

    /// The same; a program that ends before is a failure.
    pub(crate) fn read_whole(&mut self, length: usize) -> (Vec<u8>, SystemTime) {
        if let Some(read) = self.read(length) {
            return read;
        }
        let end = self.end();
        panic!("{} ended too early, with {}:\n{}", end.name, end.status, end.stderr);
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Finished {
        self.end()
    }

    fn end(&mut self) -> Finished {
        while let Some((bytes, _)) = self.more() {
            self.unread.extend(bytes);
        }
        // It has closed its output; a player that then hangs is ended by the limit of the runner.
        let status = self.child.wait().expect("a child can be waited for");
        let stderr = self.errors.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let stdout = std::mem::take(&mut self.unread);
        Finished { name: self.name.clone(), status, stdout, stderr }
    }

    fn more(&mut self) -> Option<(Vec<u8>, SystemTime)> {
        match self.output.recv_timeout(self.deadline.saturating_duration_since(Instant::now())) {
            Ok(read) => Some(read),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                let _ = self.child.kill();
                let stderr = self.errors.take().and_then(|thread| thread.join().ok());
                panic!(
                    "{} is not over in time, having written {} bytes that were not asked for:\n{}",
                    self.name,
                    self.unread.len(),
                    stderr.unwrap_or_default()
                );
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Finished {
    /// Panics when it failed.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        let Self { name, status, stderr, .. } = &self;
        let is_fine = status.success() || has_only_given_up_its_pause(stderr);
        assert!(is_fine, "{name} failed with {status}:\n{stderr}");
        self
    }
}

/// Whether all that gst-launch complains of is that rtspsrc did not send its PAUSE.
///
/// At the end gst-launch takes its pipeline from playing over paused to ready without waiting:
/// rtspsrc begins a PAUSE, and its own CLOSE interrupts it (`gst_rtspsrc_loop_send_cmd` with
/// `CMD_ALL` cancels what the connection is doing). Where the PAUSE has not been written by then,
/// it is an error and the exit status 1, although the pictures are all there and the TEARDOWN
/// follows on the same connection. One run in some fifty, with any server.
fn has_only_given_up_its_pause(stderr: &str) -> bool {
    let errors = stderr.lines().filter(|line| line.starts_with("ERROR")).count();
    let mut details = stderr.lines().filter(|line| line.contains("Could not send message."));
    errors > 0
        && stderr.matches("Could not write to resource.").count() == errors
        && details.all(|line| line.contains("(Received end-of-file)"))
        && stderr.contains("gst_rtspsrc_pause ()")
}

#[test]
fn only_an_interrupted_pause_is_no_failure() {
    let pause = "\
        ERROR: from element /GstPipeline:pipeline0/GstRTSPSrc:rtspsrc0: Could not write to resource.\n\
        gstrtspsrc.c(9240): gst_rtspsrc_pause (): /GstPipeline:pipeline0/GstRTSPSrc:rtspsrc0:\n\
        Could not send message. (Received end-of-file)\n";
    assert!(has_only_given_up_its_pause(pause));
    assert!(!has_only_given_up_its_pause(""));
    assert!(!has_only_given_up_its_pause(&pause.replace("_pause", "_play")));
    assert!(!has_only_given_up_its_pause(&pause.replace("end-of-file", "timeout")));
    assert!(!has_only_given_up_its_pause(&format!("{pause}ERROR: from element avdec: broken\n")));
}

/// A program whose output is another's input. Killed when dropped.
pub(crate) struct Feeder(Child);

impl Feeder {
    /// Starts it; its output is to be taken by [`Feeder::output`].
    pub(crate) fn start(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        Self(spawn(&name, &mut command))
    }

    /// The end of the pipe to read from.
    pub(crate) fn output(&mut self) -> ChildStdout {
        self.0.stdout.take().expect("taken once")
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `command` to its end, for what it writes.
pub(crate) fn output_of(name: &str, mut command: Command) -> Vec<u8> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = spawn(&name, &mut command).wait_with_output().expect("a child can be waited for");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} failed with {}:\n{errors}", output.status);
    output.stdout
}

fn spawn(name: &impl fmt::Display, command: &mut Command) -> Child {
    command.spawn().unwrap_or_else(|error| {
        let program = command.get_program().display();
        match error.kind() {
            io::ErrorKind::NotFound => panic!(
                "{name}: {program} is not installed. `cargo xtask test` lists what is missing and \
                 the command that installs it; `cargo xtask test --install` runs that"
            ),
            _ => panic!("{name}: cannot start {program}: {error}"),
        }
    })
}
