//! What one place says (a file, the environment, the command line), and how they become one.
//!
//! | | a later layer |
//! |---|---|
//! | `listen`, `udp-port`, `packet-size`, `state-dir` | replaces what an earlier one says |
//! | `user` | adds; one of the same name replaces the earlier password |
//! | `source` | adds; one of the same name replaces the earlier source, whose `users` stay |
//! | `v4l2-library` | adds; one of the same device replaces the earlier one |
//! | `open`, `auth`, | can be switched on, not off |
//!
//! Order: file, environment, command line.

use std::{
    ffi::OsStr,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use capture::spelling::nearest;

use crate::config::{
    Access, Auth, Config, Error, Errors, Library, Limits, Offline, Origin, Password, Place,
    Problem, Source, Stream, StreamName, UdpPorts, User, listen, source::Draft, value,
};

/// What one place says, and what is wrong there.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    pub(super) errors: Vec<Error>,
    pub(super) listen: Option<Vec<SocketAddr>>,
    pub(super) udp: Option<UdpPorts>,
    pub(super) packet_size: Option<u16>,
    pub(super) open: Option<Place>,
    pub(super) auth: Auth,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) limits: Option<Limits>,
    libraries: Vec<Library>,
    users: Vec<GivenUser>,
    streams: Vec<GivenStream>,
}

#[derive(Clone, Debug)]
struct GivenUser {
    name: String,
    /// `None`: it could not be read, which is among the errors.
    password: Option<Password>,
    place: Place,
}

#[derive(Clone, Debug)]
struct GivenStream {
    /// `None`: it could not be read, which is among the errors.
    name: Option<StreamName>,
    /// `None`: it could not be read, which is among the errors.
    source: Option<Source>,
    encoder: encode::Choice,
    /// `None`: as the source is by itself.
    on_demand: Option<bool>,
    offline: Offline,
    is_stdin: bool,
    users: Option<Vec<(String, Place)>>,
    /// Where the source is written.
    place: Place,
}

impl Layer {
    /// A layer that says only what is wrong.
    pub fn failed(error: Error) -> Self {
        Self { errors: vec![error], ..Self::default() }
    }

    /// The user named in the environment, as the values of `LENSCAST_USER` and
    /// `LENSCAST_PASSWORD`. Empty is as good as unset: compose files leave it so.
    pub fn from_environment(user: Option<&OsStr>, password: Option<&OsStr>) -> Self {
        let mut layer = Self::default();
        let user = user.filter(|user| !user.is_empty());
        let password = password.filter(|password| !password.is_empty());
        let place_of = |name| Place::of(Origin::Variable(name));
        let (user, password) = match (user, password) {
            (None, None) => return layer,
            (Some(user), Some(password)) => (user, password),
            (Some(_), None) => {
                let alone = Problem::Alone { other: PASSWORD_VARIABLE };
                return Self::failed(place_of(USER_VARIABLE).error(alone));
            }
            (None, Some(_)) => {
                let alone = Problem::Alone { other: USER_VARIABLE };
                return Self::failed(place_of(PASSWORD_VARIABLE).error(alone));
            }
        };
        let name_place = place_of(USER_VARIABLE);
        let name = user.to_str().ok_or(Problem::NotUtf8).and_then(value::user_name);
        let name = layer.keep(&name_place, name);
        let password = password.to_str().ok_or(Problem::NotUtf8).and_then(value::password);
        let password = layer.keep(&place_of(PASSWORD_VARIABLE), password);
        if let Some(name) = name {
            layer.add_user(name, password, name_place);
        }
        layer
    }

    /// Adds addresses to listen on: `8554`, `127.0.0.1:8554`, `localhost` and their like.
    pub fn listen(&mut self, text: &str, origin: Origin) {
        let addresses = self.keep(&Place::of(origin), listen::parse(text));
        self.listen.get_or_insert_default().extend(addresses.into_iter().flatten());
    }

    /// Sets the even UDP port.
    pub fn udp_port(&mut self, text: &str, origin: Origin) {
        self.udp = self.keep(&Place::of(origin), value::udp_ports(text));
    }

    /// Sets the largest RTP packet.
    pub fn packet_size(&mut self, text: &str, origin: Origin) {
        self.packet_size = self.keep(&Place::of(origin), value::packet_size(text));
    }

    /// Sets the directory of state.
    pub fn state_dir(&mut self, path: PathBuf, origin: Origin) {
        if path.as_os_str().is_empty() {
            let hint = "write the path of a directory";
            let missing = Problem::Missing { what: "the directory", hint };
            self.errors.push(Place::of(origin).error(missing));
        } else {
            self.state_dir = Some(path);
        }
    }

    /// Adds a device that a library answers for, as `NODE=LIBRARY`.
    pub fn v4l2_library(&mut self, text: &str, origin: Origin) {
        let place = Place::of(origin);
        let Some(library) = self.keep(&place, value::library(text)) else { return };
        if self.libraries.iter().any(|known| known.node == library.node) {
            let what = format!("a library for {}", library.node.display());
            self.errors.push(place.error(Problem::Twice { what, hint: "" }));
        } else {
            self.libraries.push(library);
        }
    }

    /// Lets everyone watch.
    pub fn open(&mut self, origin: Origin) {
        self.open = Some(Place::of(origin));
    }

    /// Offers Digest with SHA-256, or Basic, or both.
    pub fn auth(&mut self, auth: Auth) {
        self.auth.sha256 |= auth.sha256;
        self.auth.basic |= auth.basic;
    }

    /// Adds a user, as `NAME:PASSWORD`. No message shows the text.
    pub fn user(&mut self, text: &str, origin: Origin) {
        let place = Place::of(origin);
        let Some((name, password)) = text.split_once(':') else {
            let hint = "write NAME:PASSWORD";
            let missing = Problem::Missing { what: "the colon", hint };
            self.errors.push(place.error(missing));
            return;
        };
        let name = self.keep(&place, value::user_name(name));
        let password = self.keep(&place, value::password(password));
        if let Some(name) = name {
            self.add_user(name, password, place);
        }
    }

    /// Adds a stream, as `[NAME=]KIND:ARG[?key=value&…]`.
    pub fn source(&mut self, text: &str, origin: Origin) {
        let draft = Draft::parse(text, &origin, &mut self.errors);
        let name = match draft.as_ref().and_then(|draft| draft.name.clone()) {
            Some((name, place)) => self.keep(&place, value::stream_name(&name)),
            None => Some(StreamName::default()),
        };
        self.add_stream(name, draft, None, Place::of(origin));
    }

    /// What lies behind the layer's `file:` sources, each with its place.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &Place)> {
        self.streams.iter().filter_map(|stream| match &stream.source {
            Some(Source::File(file)) => Some((file.path.as_path(), &stream.place)),
            _ => None,
        })
    }

    pub(super) fn add_user(&mut self, name: String, password: Option<Password>, place: Place) {
        if self.users.iter().any(|user| user.name == name) {
            let what = format!("the user {name:?}");
            self.errors.push(place.error(Problem::Twice { what, hint: "" }));
        } else {
            self.users.push(GivenUser { name, password, place });
        }
    }

    pub(super) fn add_stream(
        &mut self,
        name: Option<StreamName>,
        draft: Option<Draft>,
        users: Option<Vec<(String, Place)>>,
        place: Place,
    ) {
        if let Some(name) = &name
            && self.streams.iter().any(|stream| stream.name.as_ref() == Some(name))
        {
            let what = format!("a stream named {:?}", name.as_str());
            let hint = ": give each its own name, as door=test: or name = \"door\"";
            self.errors.push(place.error(Problem::Twice { what, hint }));
        }
        let place = draft.as_ref().map_or(place, |draft| draft.place.clone());
        let is_stdin = draft.as_ref().is_some_and(Draft::is_stdin);
        let encoder =
            draft.as_ref().map_or_else(Default::default, |draft| draft.encoder(&mut self.errors));
        let on_demand = draft.as_ref().and_then(|draft| draft.on_demand(&mut self.errors));
        let offline =
            draft.as_ref().map_or_else(Default::default, |draft| draft.offline(&mut self.errors));
        let source = draft.and_then(|draft| draft.resolve(&mut self.errors));
        self.streams.push(GivenStream {
            name,
            source,
            encoder,
            on_demand,
            offline,
            is_stdin,
            users,
            place,
        });
    }

    /// The value, or its problem among the errors.
    pub(super) fn keep<T>(&mut self, place: &Place, read: Result<T, Problem>) -> Option<T> {
        read.map_err(|problem| self.errors.push(place.error(problem))).ok()
    }
}

/// Makes one of what `file`, `environment` and `flags` say.
///
/// # Errors
///
/// Everything that is wrong in any of them, and between them.
pub fn resolve(file: Layer, environment: Layer, flags: Layer) -> Result<Config, Errors> {
    let mut all = Layer::default();
    for layer in [file, environment, flags] {
        all.errors.extend(layer.errors);
        all.listen = layer.listen.or(all.listen);
        all.udp = layer.udp.or(all.udp);
        all.packet_size = layer.packet_size.or(all.packet_size);
        all.open = layer.open.or(all.open);
        all.auth.sha256 |= layer.auth.sha256;
        all.auth.basic |= layer.auth.basic;
        all.state_dir = layer.state_dir.or(all.state_dir);
        all.limits = layer.limits.or(all.limits);
        for library in layer.libraries {
            all.libraries.retain(|earlier| earlier.node != library.node);
            all.libraries.push(library);
        }
        for user in layer.users {
            match all.users.iter_mut().find(|earlier| earlier.name == user.name) {
                Some(earlier) => *earlier = user,
                None => all.users.push(user),
            }
        }
        let earlier = all.streams.len();
        for stream in layer.streams {
            let same = all.streams[..earlier]
                .iter_mut()
                .find(|earlier| earlier.name.is_some() && earlier.name == stream.name);
            match same {
                Some(same) => *same = GivenStream { users: same.users.take(), ..stream },
                None => all.streams.push(stream),
            }
        }
    }
    all.check_stdin();
    all.check_users();
    Errors::check(std::mem::take(&mut all.errors))?;
    Ok(all.into_config())
}

impl Layer {
    fn check_stdin(&mut self) {
        for stream in self.streams.iter().filter(|stream| stream.is_stdin).skip(1) {
            let what = "standard input".to_owned();
            let hint = ": only one stream can read it";
            self.errors.push(stream.place.error(Problem::Twice { what, hint }));
        }
    }

    fn check_users(&mut self) {
        let listed = || self.streams.iter().flat_map(|stream| stream.users.iter().flatten());
        let mut found = Vec::new();
        if let Some(open) = &self.open {
            let configured = self.users.iter().map(|user| (&user.name, &user.place));
            let listed = listed().map(|(name, place)| (name, place));
            if let Some((user, place)) = configured.chain(listed).next() {
                let (user, place) = (user.clone(), Box::new(place.clone()));
                found.push(open.error(Problem::OpenWithUsers { user, place }));
            }
        } else if !self.users.is_empty() {
            for (name, place) in listed() {
                if !self.users.iter().any(|user| user.name == *name) {
                    let names = self.users.iter().map(|user| user.name.as_str());
                    let nearest = nearest(name, names).map(str::to_owned);
                    let problem = Problem::NoSuchUser { name: name.clone(), nearest };
                    found.push(place.error(problem));
                }
            }
        }
        self.errors.append(&mut found);
    }

    /// Of a layer without errors.
    fn into_config(self) -> Config {
        let default = Config::default();
        let listen = match self.listen {
            Some(listen) => listen::normalize(listen),
            None => default.listen,
        };
        let users = self.users.into_iter().filter_map(|GivenUser { name, password, .. }| {
            password.map(|password| User { name, password })
        });
        let streams = self.streams.into_iter().filter_map(|stream| {
            let users = stream.users.map(|users| users.into_iter().map(|(name, _)| name).collect());
            let GivenStream { name, source, encoder, on_demand, offline, .. } = stream;
            let source = source?;
            let on_demand = on_demand.unwrap_or(source.is_on_demand());
            Some(Stream { name: name?, source, encoder, on_demand, offline, users })
        });
        let users: Vec<_> = users.collect();
        let streams: Vec<_> = streams.collect();
        let is_listed = streams.iter().any(|stream: &Stream| stream.users.is_some());
        let mut config = Config {
            listen,
            udp: self.udp.unwrap_or(default.udp),
            packet_size: self.packet_size.unwrap_or(default.packet_size),
            access: Access::Stored,
            auth: self.auth,
            state_dir: self.state_dir,
            limits: self.limits.unwrap_or_default(),
            libraries: self.libraries,
            streams,
        };
        if !users.is_empty() {
            config.access = Access::Users(users);
        } else if self.open.is_some() {
            config.access = Access::Open;
        } else if config.is_loopback_only() && !is_listed {
            config.access = Access::OpenOnLoopback;
        }
        config
    }
}

/// The name of a user in the environment.
pub const USER_VARIABLE: &str = "LENSCAST_USER";
/// Their password.
pub const PASSWORD_VARIABLE: &str = "LENSCAST_PASSWORD";

#[cfg(test)]
mod tests;
