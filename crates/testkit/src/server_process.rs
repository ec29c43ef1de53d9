//! The real binary as a process: started on free ports, asked to stop, killed when dropped.
//!
//! Made for tests, so whatever goes wrong panics, with what the server logged.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    net::IpAddr,
    path::{Path, PathBuf},
    process::{self, Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// A running `lenscast serve`. Dropping it kills it and removes its state directory.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    said: Arc<Said>,
    state: StateDirectory,
}

impl ServerProcess {
    /// Starts `binary` with `serve`, loopback and free ports, a state directory of its own and
    /// then `arguments`, and waits until it has printed a URL. Its standard input is empty.
    ///
    /// # Panics
    ///
    /// When it cannot be started, or ends or is silent instead of printing a URL.
    pub fn start(binary: impl AsRef<Path>, arguments: &[&str]) -> Self {
        Self::start_with_input(binary, arguments, Stdio::null())
    }

    /// The same with `input` as its standard input.
    ///
    /// # Panics
    ///
    /// As [`ServerProcess::start`].
    pub fn start_with_input(
        binary: impl AsRef<Path>,
        arguments: &[&str],
        input: impl Into<Stdio>,
    ) -> Self {
        let binary = binary.as_ref();
        let state = StateDirectory::make();
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--udp-port", "0", "--state-dir"])
            .arg(&state.0)
            .args(["--log", "info,lenscast=debug"])
            .args(arguments)
            .env_remove("LENSCAST_USER")
            .env_remove("LENSCAST_PASSWORD")
            .env_remove("LENSCAST_LOG")
            // Where `lenscast status` finds it, and the tests of others do not look.
            .env("RUNTIME_DIRECTORY", &state.0)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", binary.display()));
        let said = Arc::new(Said::default());
        if let Some(stdout) = child.stdout.take() {
            let said = Arc::clone(&said);
            thread::spawn(move || said.listen(stdout, |spoken, line| spoken.stdout.push(line)));
        }
        if let Some(stderr) = child.stderr.take() {
            let said = Arc::clone(&said);
            thread::spawn(move || said.listen(stderr, |spoken, line| spoken.stderr.push(line)));
        }
        let server = Self { child, said, state };
        server.said.wait(START, "print a URL", |spoken| url_lines(spoken).next().map(|_| ()));
        server
    }

    /// The URL of a stream as the server prints it, without login.
    ///
    /// # Panics
    ///
    /// When the server does not print one for `stream`.
    pub fn url(&self, stream: &str) -> String {
        self.said.wait(START, &format!("print the URL of {stream}"), |spoken| {
            url_lines(spoken)
                .find(|url| url.split('/').skip(3).eq(stream.split('/')))
                .map(str::to_owned)
        })
    }

    /// The URL of a stream at one of the addresses the server listens on, without login.
    ///
    /// # Panics
    ///
    /// When the server does not print one for `stream` at `host`.
    pub fn url_at(&self, host: IpAddr, stream: &str) -> String {
        let start = match host {
            IpAddr::V4(host) => format!("rtsp://{host}:"),
            IpAddr::V6(host) => format!("rtsp://[{host}]:"),
        };
        self.said.wait(START, &format!("print the URL of {stream} at {host}"), |spoken| {
            url_lines(spoken)
                .filter(|url| url.starts_with(&start))
                .find(|url| url.split('/').skip(3).eq(stream.split('/')))
                .map(str::to_owned)
        })
    }

    /// The runtime directory it was given, to be named in `RUNTIME_DIRECTORY` of who asks for its
    /// status.
    pub fn runtime_directory(&self) -> &Path {
        &self.state.0
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The URL of [`ServerProcess::url`] with a login, `NAME:PASSWORD`.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn url_with_login(&self, stream: &str, login: &str) -> String {
        self.url(stream).replacen("rtsp://", &format!("rtsp://{login}@"), 1)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.said.spoken().stderr.join("\n")
    }

    /// Sends SIGTERM.
    ///
    /// # Panics
    ///
    /// When there is no `sh` to send it with.
    pub fn terminate(&self) {
        // The shell's own `kill`: no unsafe code, and no package of that name is needed.
        let status = Command::new("sh")
            .args(["-c", "kill -TERM \"$0\""])
            .arg(self.child.id().to_string())
            .status();
        assert!(status.is_ok_and(|status| status.success()), "cannot send SIGTERM to the server");
    }

    /// Waits until it ends by itself, for at most `within`.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        // A process that is over has closed its output: no polling is needed to know.
        self.said.wait_for_silence(within);
        self.child.wait().unwrap_or_else(|error| panic!("cannot wait for the server: {error}"))
    }

    /// Sends SIGTERM, asserts that the server ends well within a second, and returns its log.
    ///
    /// # Panics
    ///
    /// When it takes longer or exits with another code than 0.
    pub fn stop(mut self) -> String {
        let asked = Instant::now();
        self.terminate();
        let status = self.wait(GOODBYE);
        let took = asked.elapsed();
        assert!(status.success(), "the server ended with {status} on SIGTERM:\n{}", self.log());
        assert!(took <= GOODBYE, "the server took {took:?} to end on SIGTERM:\n{}", self.log());
        self.log()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

/// What a process has said, by line.
#[derive(Debug, Default)]
struct Said {
    spoken: Mutex<Spoken>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Spoken {
    stdout: Vec<String>,
    stderr: Vec<String>,
    /// Outputs that were closed.
    closed: usize,
}

impl Said {
    fn listen(&self, output: impl Read, add: impl Fn(&mut Spoken, String)) {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            add(&mut self.spoken(), line);
            self.more.notify_all();
        }
        self.spoken().closed += 1;
        self.more.notify_all();
    }

    /// Waits until `find` finds something.
    fn wait<T>(&self, within: Duration, what: &str, find: impl Fn(&Spoken) -> Option<T>) -> T {
        let deadline = Instant::now() + within;
        let mut spoken = self.spoken();
        loop {
            if let Some(found) = find(&spoken) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if spoken.closed == OUTPUTS || left.is_zero() {
                let how = if left.is_zero() { "in time" } else { "but ended" };
                let (stdout, stderr) = (spoken.stdout.join("\n"), spoken.stderr.join("\n"));
                drop(spoken);
                panic!("the server did not {what} {how}; it printed:\n{stdout}\n{stderr}");
            }
            spoken = self.more.wait_timeout(spoken, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn wait_for_silence(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let mut spoken = self.spoken();
        while spoken.closed < OUTPUTS {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(spoken);
                panic!("the server does not end within {within:?}");
            }
            spoken = self.more.wait_timeout(spoken, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn spoken(&self) -> MutexGuard<'_, Spoken> {
        self.spoken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn url_lines(spoken: &Spoken) -> impl Iterator<Item = &str> {
    spoken.stdout.iter().map(|line| line.trim()).filter(|line| line.starts_with("rtsp://"))
}

/// A directory that goes when its server does.
#[derive(Debug)]
struct StateDirectory(PathBuf);

impl StateDirectory {
    fn make() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("lenscast-test-{}-{number}", process::id()));
        fs::create_dir(&path)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        Self(path)
    }
}

impl Drop for StateDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Standard output and standard error.
const OUTPUTS: usize = 2;
/// Generous: on a loaded machine a start takes seconds.
const START: Duration = Duration::from_secs(10);
/// What the server promises.
const GOODBYE: Duration = Duration::from_secs(1);
