//! Lines with names in braces: filled in before they are sent, or matched with what came.

use std::collections::HashMap;

use rtsp_proto::auth::Ha1;

/// What has been taken so far, by name.
pub(super) type Names = HashMap<String, String>;

/// A line with names in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// `{name}`, or `{_}`.
    Name(String),
    /// `{name!}`: whatever was taken before is forgotten.
    Anew(String),
    /// `{*}`.
    Rest,
    /// `{digest user password}`: a whole value of Authorization.
    Digest {
        user: String,
        password: String,
    },
    /// `{response user password}`: its hash.
    Response {
        user: String,
        password: String,
    },
    /// `{response256 user password}`, or with `nc` and `cnonce`: the same by SHA-256.
    Response256 {
        user: String,
        password: String,
        /// `nc` and `cnonce` of `qop=auth`.
        count: Option<(String, String)>,
    },
}

/// The request that a line belongs to.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestLine {
    pub(super) method: String,
    pub(super) uri: String,
}

impl RequestLine {
    /// `None`: the line is not the first of a request.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (method, rest) = line.split_once(' ')?;
        let (uri, version) = rest.rsplit_once(' ')?;
        version
            .starts_with("RTSP/")
            .then(|| Self { method: method.to_owned(), uri: uri.to_owned() })
    }
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, inside)) = rest.split_once('{') {
            let (inside, after) = inside.split_once('}').ok_or("a brace is not closed")?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::parse(inside)?);
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// The line with all names filled in.
    pub(super) fn fill(&self, names: &Names, request: &RequestLine) -> Result<String, String> {
        let mut line = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => line += text,
                Piece::Name(name) => line += taken(names, name)?,
                Piece::Anew(_) => return Err("{name!} cannot be sent".to_owned()),
                Piece::Rest => return Err("{*} cannot be sent".to_owned()),
                Piece::Digest { user, password } => {
                    let (realm, nonce) = (taken(names, "realm")?, taken(names, "nonce")?);
                    let RequestLine { method, uri } = request;
                    let response = response(user, realm, password, nonce, method, uri)?;
                    line += &format!(
                        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", \
                         uri=\"{uri}\", response=\"{response}\""
                    );
                }
                Piece::Response { user, password } => {
                    let (realm, nonce) = (taken(names, "realm")?, taken(names, "nonce")?);
                    let uri = uri_in(&line).unwrap_or(&request.uri);
                    line += &response(user, realm, password, nonce, &request.method, uri)?;
                }
                Piece::Response256 { user, password, count } => {
                    let (realm, nonce) = (taken(names, "realm")?, taken(names, "nonce")?);
                    let uri = uri_in(&line).unwrap_or(&request.uri);
                    let ha1 = of_three(user, realm, password)?.sha256_hex();
                    let (scheme, rest) = split_url(uri)?;
                    let ha2 = of_three(&request.method, scheme, rest)?.sha256_hex();
                    let response = match count {
                        None => of_three(&ha1, nonce, &ha2)?,
                        // Three texts with colons between them, of which two hold more colons.
                        Some((nc, cnonce)) => {
                            let (left, right) =
                                (format!("{ha1}:{nonce}"), format!("{cnonce}:auth:{ha2}"));
                            of_three(&left, nc, &right)?
                        }
                    };
                    line += &response.sha256_hex();
                }
            }
        }
        Ok(line)
    }

    /// Whether `line` is of this form; new names are taken from it only if it is.
    pub(super) fn matches(&self, line: &str, names: &mut Names) -> bool {
        let mut new = Names::new();
        let mut rest = line;
        for (at, piece) in self.0.iter().enumerate() {
            match piece {
                Piece::Text(text) => match rest.strip_prefix(text.as_str()) {
                    Some(behind) => rest = behind,
                    None => return false,
                },
                Piece::Rest => {
                    names.extend(new);
                    return true;
                }
                Piece::Name(name) | Piece::Anew(name) => {
                    let stop = match self.0.get(at + 1) {
                        Some(Piece::Text(text)) => text.chars().next(),
                        _ => None,
                    };
                    let end = rest.find(|c| !is_of_token(c) || Some(c) == stop);
                    let (token, behind) = rest.split_at(end.unwrap_or(rest.len()));
                    if token.is_empty() {
                        return false;
                    }
                    let known = new.get(name).or_else(|| names.get(name));
                    match known.filter(|_| matches!(piece, Piece::Name(_))) {
                        _ if name == "_" => {}
                        Some(known) if known == token => {}
                        Some(_) => return false,
                        None => {
                            new.insert(name.clone(), token.to_owned());
                        }
                    }
                    rest = behind;
                }
                Piece::Digest { .. } | Piece::Response { .. } | Piece::Response256 { .. } => {
                    return false;
                }
            }
        }
        if rest.is_empty() {
            names.extend(new);
        }
        rest.is_empty()
    }

    /// As it was written, with the names that are known filled in: for messages.
    pub(super) fn display(&self, names: &Names) -> String {
        let shown = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Name(name) => names.get(name).cloned().unwrap_or_else(|| format!("{{{name}}}")),
            Piece::Anew(name) => format!("{{{name}!}}"),
            Piece::Rest => "{*}".to_owned(),
            Piece::Digest { user, .. } => format!("{{digest {user} …}}"),
            Piece::Response { user, .. } => format!("{{response {user} …}}"),
            Piece::Response256 { user, .. } => format!("{{response256 {user} …}}"),
        });
        shown.collect()
    }
}

impl Piece {
    fn parse(inside: &str) -> Result<Self, String> {
        let words: Vec<_> = inside.split(' ').collect();
        match words[..] {
            ["*"] => Ok(Self::Rest),
            ["digest", user, password] => {
                Ok(Self::Digest { user: user.to_owned(), password: password.to_owned() })
            }
            ["response", user, password] => {
                Ok(Self::Response { user: user.to_owned(), password: password.to_owned() })
            }
            ["response256", user, password, ref count @ ..] => Ok(Self::Response256 {
                user: user.to_owned(),
                password: password.to_owned(),
                count: match *count {
                    [] => None,
                    [nc, cnonce] => Some((nc.to_owned(), cnonce.to_owned())),
                    _ => return Err(format!("nothing is called {{{inside}}}")),
                },
            }),
            [name] if !name.is_empty() => Ok(match name.strip_suffix('!') {
                Some(name) => Self::Anew(name.to_owned()),
                None => Self::Name(name.to_owned()),
            }),
            _ => Err(format!("nothing is called {{{inside}}}")),
        }
    }
}

fn taken<'a>(names: &'a Names, name: &str) -> Result<&'a str, String> {
    names.get(name).map(String::as_str).ok_or_else(|| format!("{{{name}}} has not been taken yet"))
}

fn is_of_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// RFC 2617 section 3.2.2, without qop.
fn response(
    user: &str,
    realm: &str,
    password: &str,
    nonce: &str,
    method: &str,
    uri: &str,
) -> Result<String, String> {
    let ha1 = of_three(user, realm, password)?.md5_hex();
    let (scheme, rest) = split_url(uri)?;
    let ha2 = of_three(method, scheme, rest)?.md5_hex();
    Ok(of_three(&ha1, nonce, &ha2)?.md5_hex())
}

/// What a line says so far in `uri="…"`.
fn uri_in(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("uri=\"")?;
    Some(rest.split_once('"')?.0)
}

/// A URL at its first colon.
fn split_url(url: &str) -> Result<(&str, &str), String> {
    url.split_once(':').ok_or_else(|| format!("a digest needs an absolute URL, not {url:?}"))
}

/// The hashes of three texts with colons between them: HA1, HA2 (a URL has a colon itself) and the
/// response are all of this form.
fn of_three(first: &str, second: &str, third: &str) -> Result<Ha1, String> {
    let second = second.parse().map_err(|error| format!("{second:?}: {error}"))?;
    Ok(Ha1::from_password(first, &second, third))
}
