//! From flags, environment and file to a [`Config`].

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Read},
    path::Path,
};

use crate::{
    cli::{LibraryArgs, ServeArgs},
    config::{
        self, Auth, Config, Errors, Layer, Origin, PASSWORD_VARIABLE, Place, Problem, USER_VARIABLE,
    },
};

/// The variables that lenscast looks at.
#[derive(Clone, Default)]
pub struct Environment {
    /// `LENSCAST_USER`.
    pub user: Option<OsString>,
    /// `LENSCAST_PASSWORD`.
    pub password: Option<OsString>,
    /// `LENSCAST_LOG`.
    pub log: Option<OsString>,
}

impl Environment {
    /// Those of this process.
    pub fn of_process() -> Self {
        Self {
            user: env::var_os(USER_VARIABLE),
            password: env::var_os(PASSWORD_VARIABLE),
            log: env::var_os(LOG_VARIABLE),
        }
    }
}

impl ServeArgs {
    /// What to serve: the file that `--config` names, over it the environment, over it the flags.
    ///
    /// # Errors
    ///
    /// Everything that is wrong in any of them, an unreadable file included.
    pub fn config(&self, environment: &Environment) -> Result<Config, Errors> {
        let file = self.config.as_deref().map(read_file).unwrap_or_default();
        let Environment { user, password, .. } = environment;
        let environment = Layer::from_environment(user.as_deref(), password.as_deref());
        config::resolve(file, environment, self.layer())
    }

    fn layer(&self) -> Layer {
        let mut layer = Layer::default();
        for source in &self.source {
            layer.source(source, Origin::Flag("--source"));
        }
        for address in &self.listen {
            layer.listen(address, Origin::Flag("--listen"));
        }
        for user in &self.user {
            layer.user(&user.0, Origin::Flag("--user"));
        }
        if let Some(port) = &self.udp_port {
            layer.udp_port(port, Origin::Flag("--udp-port"));
        }
        if let Some(bytes) = &self.packet_size {
            layer.packet_size(bytes, Origin::Flag("--packet-size"));
        }
        if let Some(path) = &self.state_dir {
            layer.state_dir(path.clone(), Origin::Flag("--state-dir"));
        }
        for library in &self.libraries.v4l2_library {
            layer.v4l2_library(library, LIBRARY_FLAG);
        }
        if self.open {
            layer.open(Origin::Flag("--open"));
        }
        layer.auth(Auth { sha256: self.auth_sha256, basic: self.auth_basic });
        layer
    }
}

impl LibraryArgs {
    /// Has these libraries answer from now on.
    ///
    /// # Errors
    ///
    /// When what was typed cannot be read, or a library not be loaded.
    pub fn load(&self) -> anyhow::Result<()> {
        let mut layer = Layer::default();
        for library in &self.v4l2_library {
            layer.v4l2_library(library, LIBRARY_FLAG);
        }
        let config = config::resolve(Layer::default(), Layer::default(), layer)?;
        Ok(load_libraries(&config.libraries)?)
    }
}

/// Has `libraries` answer for their devices from now on.
///
/// # Errors
///
/// The first that cannot be loaded.
pub fn load_libraries(libraries: &[config::Library]) -> Result<(), ::v4l2::library::Refusal> {
    libraries
        .iter()
        .try_for_each(|library| ::v4l2::library::answer_for(&library.node, &library.path))
}

/// What the file at `path` says, be it only that it cannot be read.
pub(super) fn read_file(path: &Path) -> Layer {
    let place = |line| Place::of(Origin::File { path: path.into(), line, key: String::new() });
    let unreadable = |why: String| Layer::failed(place(0).error(Problem::Unreadable(why)));
    let mut bytes = Vec::new();
    let read = fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map(|length| length as u64);
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return unreadable("there is no such file".to_owned());
        }
        Err(error) => return unreadable(error.to_string()),
        Ok(length) if length > MAX_FILE => {
            return unreadable(format!("it has more than {MAX_FILE} bytes"));
        }
        Ok(_) => {}
    }
    match str::from_utf8(&bytes) {
        Ok(text) => Layer::from_toml(path, text),
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            Layer::failed(place(line).error(Problem::NotUtf8))
        }
    }
}

const LIBRARY_FLAG: Origin = Origin::Flag("--v4l2-library");
const LOG_VARIABLE: &str = "LENSCAST_LOG";
/// A thousand streams fit in; `/dev/zero` does not.
const MAX_FILE: u64 = 1 << 20;
