//! What a connection or session has been let in with.

use smallvec::SmallVec;

use crate::auth::{UserName, nonce::Nonce};

/// What a connection or session has been let in with: a user, and the nonces that stay good here
/// however old they grow. Bounded: the nonce that was not used for longest is forgotten.
///
/// A session copies that of the connection that made it. When another connection goes on with the
/// session, it [learns](Accepted::learn) the session's before its requests are checked.
#[derive(Debug, Clone, Default)]
pub struct Accepted {
    user: Option<UserName>,
    /// The most recently used last.
    nonces: SmallVec<[Used; 2]>,
}

#[derive(Debug, Clone)]
struct Used {
    nonce: Nonce,
    /// Good for this user only.
    user: UserName,
    /// The highest nonce count there has been; 0 where none was held to.
    count: u32,
}

impl Accepted {
    /// Nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Who was let in last, by a header that proved it.
    pub fn user(&self) -> Option<&UserName> {
        self.user.as_ref()
    }

    /// Takes over the nonces of `other`, and the higher of their counts. Logs nobody in.
    pub fn learn(&mut self, other: &Self) {
        for used in &other.nonces {
            let count = self.count(&used.nonce, &used.user).unwrap_or(0).max(used.count);
            self.remember(Used { count, ..used.clone() });
        }
    }

    /// The highest count `nonce` was used with by `user`; `None` if it was not.
    pub(super) fn count(&self, nonce: &Nonce, user: &UserName) -> Option<u32> {
        self.nonces
            .iter()
            .find(|used| used.nonce == *nonce && used.user == *user)
            .map(|used| used.count)
    }

    /// `user` has proved to be that, with `nonce` and, where held to, `count`.
    pub(super) fn digest(&mut self, nonce: Nonce, user: UserName, count: u32) {
        self.user = Some(user.clone());
        self.remember(Used { nonce, user, count });
    }

    /// `user` has proved to be that, without a nonce.
    pub(super) fn basic(&mut self, user: UserName) {
        self.user = Some(user);
    }

    fn remember(&mut self, used: Used) {
        self.nonces.retain(|known| known.nonce != used.nonce || known.user != used.user);
        if self.nonces.len() >= MAX_NONCES {
            self.nonces.remove(0);
        }
        self.nonces.push(used);
    }
}

/// A client uses one, and a second when the first went stale before it was used.
const MAX_NONCES: usize = 8;
