//! The `lenscast` command.

use std::{
    env,
    io::{self, BufRead, IsTerminal, Read},
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use clap::Parser;
use lenscast::{
    banner::{self, Banner, Described},
    cli::{
        CheckArgs, Cli, Command, DoctorArgs, Environment, PasswdArgs, ProbeArgs, ServeArgs,
        StatusArgs, check, control, devices, doctor, load_libraries, status,
    },
    clock::SystemClock,
    config::{self, Config},
    credentials::{self, Access, Store},
    entropy::Entropy,
    pipeline::End,
    probe, resources,
    serve::{Server, Stopped},
    shared::Shared,
    sources::{self, check_files},
    status::{About, place, socket::Socket},
};
use media::{Clock, MediaTime};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tracing::{debug, error, warn};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let environment = Environment::of_process();
    let _flushed_at_exit = match start_log(&cli, &environment) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("lenscast: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let result = match &cli.command {
        None => serve(&cli.serve, &environment),
        Some(Command::Serve(arguments)) => serve(arguments, &environment),
        Some(Command::Check(arguments)) => return run_check(arguments),
        Some(Command::Devices(arguments)) => devices::run(arguments, &mut io::stdout()),
        Some(Command::Doctor(arguments)) => return run_doctor(arguments, &environment),
        Some(Command::Control(arguments)) => control::run(arguments, &mut io::stdout()),
        Some(Command::Probe(arguments)) => return run_probe(arguments),
        Some(Command::Status(arguments)) => return run_status(arguments),
        Some(Command::Passwd(arguments)) => passwd(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lenscast: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Logs to standard error; what a person asked for is on standard output. Lines are dropped rather
/// than waited for: a standard error that nobody reads must not stop the pictures.
fn start_log(cli: &Cli, environment: &Environment) -> anyhow::Result<WorkerGuard> {
    let from_environment = environment.log.as_ref().and_then(|log| log.to_str());
    let directives = cli.log.as_deref().or(from_environment).unwrap_or(DEFAULT_LOG);
    let filter = EnvFilter::try_new(directives).with_context(|| {
        format!("{directives:?} is no log level (write error, warn, info, debug or trace)")
    })?;
    let unread = NonBlockingBuilder::default().buffered_lines_limit(MOST_LINES_UNREAD);
    let (writer, guard) = unread.finish(io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(io::stderr().is_terminal())
        .init();
    Ok(guard)
}

fn serve(arguments: &ServeArgs, environment: &Environment) -> anyhow::Result<()> {
    let mut config = arguments.config(environment)?;
    load_libraries(&config.libraries)?;
    sources::settle(&mut config);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    check_files(&config, &clock)?;
    resources::raise_open_files();
    log_panics();
    let entropy = Entropy::from_system();
    let store = store(config.state_dir.as_deref());
    let settled = credentials::settle(&config.access, store.as_ref(), &entropy)?;
    for warning in &settled.warnings {
        warn!("{warning}");
    }
    for note in config.notes() {
        warn!("{note}");
    }
    warn_of_strangers(&config, &settled.access);
    let runtime = runtime()?;
    let stopped = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        #[cfg(debug_assertions)]
        lenscast::pipeline::faults::listen();
        let started = clock.now();
        let server = Server::start(&config, settled.access, clock, entropy)?;
        let about = about(&config, server.addresses()?, started);
        let mut status = offer_status(&config, server.shared(), about);
        server.settled(PATIENCE).await;
        let (listening, own) = (server.addresses()?, banner::own_addresses());
        print!(
            "{}",
            Banner { config: &config, listening: &listening, own: &own, notice: &settled.notice }
        );
        let stopped = server.run(stop).await;
        // Its file goes with it.
        status.shutdown().await;
        anyhow::Ok(stopped)
    })?;
    // A thread that blocks in a read (a silent pipe) is not waited for.
    runtime.shutdown_background();
    match stopped {
        Stopped::Asked => Ok(()),
        Stopped::StreamsEnded(ends) => all_ended(ends),
    }
}

/// A panic is a line of the log, as any other failure; who has to live with it says how it goes on.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let place = panic.location().map(ToString::to_string);
        error!(
            thread = thread.name(),
            place,
            "a bug: {}",
            panic.payload_as_str().unwrap_or("a thread panicked")
        );
    }));
}

fn about(config: &Config, listening: Vec<SocketAddr>, started: MediaTime) -> About {
    let source = |stream: &config::Stream| {
        (stream.name.as_str().to_owned(), Described(&stream.source).to_string())
    };
    About { listening, started, sources: config.streams.iter().map(source).collect() }
}

/// Answers `lenscast status` as long as what is returned lives. Without it is served all the same.
fn offer_status(config: &Config, shared: &Arc<Shared>, about: About) -> JoinSet<()> {
    let mut task = JoinSet::new();
    let is_root = nix::unistd::geteuid().is_root();
    let places = place::for_server(config.state_dir.as_deref(), |name| env::var_os(name), is_root);
    match Socket::bind(&places) {
        Ok(socket) => {
            debug!(path = %socket.path().display(), "status");
            task.spawn(socket.serve(Arc::clone(shared), Arc::new(about)));
        }
        Err(error) => warn!(%error, "`lenscast status` will not see this server"),
    }
    task
}

fn run_status(arguments: &StatusArgs) -> ExitCode {
    let is_root = nix::unistd::geteuid().is_root();
    let state = arguments.state_dir.as_deref();
    let places = place::for_clients(state, |name| env::var_os(name), is_root);
    let is_screen = io::stdout().is_terminal();
    match status::run(arguments, &places, &SystemClock, is_screen, &mut io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lenscast: {error}");
            error.exit_code().into()
        }
    }
}

/// A stream kept for users nobody knows lets nobody in.
fn warn_of_strangers(config: &Config, access: &Access) {
    let Access::Users(accounts) = access else { return };
    for stream in &config.streams {
        for user in stream.users.iter().flatten() {
            if !accounts.users.contains_key(user) {
                warn!(
                    "stream {} is kept for user {user}, whom nobody knows; `lenscast passwd {user}` \
                     makes one",
                    stream.name
                );
            }
        }
    }
}

/// A pipe that was closed is a regular end; anything else is a failure.
fn all_ended(ends: Vec<(String, End)>) -> anyhow::Result<()> {
    for (name, end) in ends {
        match end {
            End::Finished | End::Stopped => {}
            failure => return Err(anyhow!(failure).context(format!("stream {name}"))),
        }
    }
    Ok(())
}

fn run_check(arguments: &CheckArgs) -> ExitCode {
    match check::run(arguments, &mut io::stdout(), &mut io::stderr()) {
        Ok(check::Verdict::Good) => ExitCode::SUCCESS,
        Ok(check::Verdict::Bad) | Err(_) => ExitCode::FAILURE,
    }
}

fn run_doctor(arguments: &DoctorArgs, environment: &Environment) -> ExitCode {
    match doctor::run(arguments, environment, &mut io::stdout()) {
        Ok(verdict) if verdict < doctor::Verdict::Broken => ExitCode::SUCCESS,
        Ok(_) | Err(_) => ExitCode::FAILURE,
    }
}

fn run_probe(arguments: &ProbeArgs) -> ExitCode {
    let options = probe::Options {
        transport: arguments.transport,
        seconds: arguments.seconds,
        json: arguments.json,
        ..probe::Options::new(arguments.url.clone())
    };
    let result = match runtime() {
        Ok(runtime) => runtime.block_on(probe::run(&options, &mut io::stdout())),
        Err(error) => {
            eprintln!("lenscast: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    match result {
        Ok(report) => report.verdict().exit_code().into(),
        Err(error) => {
            if !options.json {
                eprintln!("lenscast: {error}");
            }
            error.exit_code().into()
        }
    }
}

/// Takes the password from standard input where that is not a terminal and has a line; makes one
/// otherwise.
fn passwd(arguments: &PasswdArgs) -> anyhow::Result<()> {
    let Some(store) = store(arguments.state_dir.as_deref()) else {
        bail!("there is no directory for state; name one with --state-dir");
    };
    let mut given = String::new();
    if !io::stdin().is_terminal() {
        io::stdin()
            .lock()
            .take(MOST_PASSWORD)
            .read_line(&mut given)
            .context("cannot read a password")?;
    }
    let given = Some(given.trim_end_matches(['\r', '\n'])).filter(|given| !given.is_empty());
    let entropy = Entropy::from_system();
    let new = credentials::set_password(&store, arguments.name.as_deref(), given, &entropy)?;
    let what = if new.is_new_user { "new user" } else { "new password" };
    eprintln!(
        "{what} in {}; a running server takes it up when it is started again",
        store.file().display()
    );
    if let Some(password) = new.generated {
        println!("{}:{}", new.user, password.reveal());
    }
    Ok(())
}

/// Where users are kept between runs.
fn store(chosen: Option<&Path>) -> Option<Store> {
    let is_root = nix::unistd::geteuid().is_root();
    credentials::state_directory(chosen, |name| env::var_os(name), is_root).map(Store::new)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

const DEFAULT_LOG: &str = "info";
/// Lines of the log that may wait; room for all of them, 32 bytes each, is taken at once.
const MOST_LINES_UNREAD: usize = 4096;
/// How long the URLs wait for the streams to start, so that a failure is seen before them.
const PATIENCE: Duration = Duration::from_millis(500);
/// Bytes read of a password: more than is accepted, so that a longer one is refused and not cut.
const MOST_PASSWORD: u64 = 4096;
