//! Sessions that end with another one, their parent. A session stores its parent's id and user, and opens
//! only beside that parent. So nothing has to happen when the parent ends; deleting its children only tidies
//! up.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tracing::warn;

use super::{Candidates, RequestSession};
use crate::error::Error;
use crate::event::Reason;
use crate::fields::{Fields, PARENT};
use crate::plan::{CookieChange, Identity, Live, Loaded, Pending};
use crate::schema::SessionData;
use crate::store::async_trait;
use crate::token::{SessionId, Token};

/// A session that others end with. Not generic, because each type may have a parent.
#[async_trait]
pub(super) trait Parent: Send + Sync {
    /// What its children must store.
    fn link(&self) -> Option<Link>;

    /// The link at the load.
    fn opened_as(&self) -> Option<Link>;

    /// Whether changes are dropped, because the token just changed.
    fn stores_nothing(&self) -> bool;

    /// Whether this request itself ended it. It cannot tell what another request did.
    fn has_ended(&self) -> bool;

    /// Whether a pending change will end it or change its user, so no child may begin.
    fn is_leaving(&self) -> bool;

    async fn reload(&self) -> Result<(), Error>;
}

#[async_trait]
impl<T: SessionData> Parent for RequestSession<T> {
    fn link(&self) -> Option<Link> {
        let live = self.live()?;
        Some(Link::of::<T>(live.key.id, &live.record.fields))
    }

    fn opened_as(&self) -> Option<Link> {
        *self.opened_as.get()?
    }

    fn stores_nothing(&self) -> bool {
        matches!(&self.state().loaded, Loaded::None(none) if none.stores_nothing)
    }

    fn has_ended(&self) -> bool {
        matches!(&self.state().loaded, Loaded::None(none) if none.has_ended)
    }

    fn is_leaving(&self) -> bool {
        let pending = &self.state().pending;
        let identity = pending.identity;
        pending.destroyed || matches!(identity, Some(Identity::Other | Identity::Nobody))
    }

    async fn reload(&self) -> Result<(), Error> {
        let doubt = self.state().doubt;
        let reloaded = Self::reload(self).await;
        // The request has not learned the commit's outcome.
        let untold = doubt.filter(|doubt| !doubt.told);
        if let Some(doubt) = untold {
            self.state().doubt.get_or_insert(doubt);
        }
        reloaded
    }
}

/// A child ends when either changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Link {
    pub(crate) id: SessionId,
    /// `None` if nobody is logged in.
    pub(crate) user: Option<[u8; 16]>,
}

impl Link {
    pub(crate) fn of<T: SessionData>(id: SessionId, fields: &Fields) -> Self {
        let user = T::SCHEMA.somebody_of(fields).map(|user| user.digest);
        Self { id, user }
    }

    fn to_bytes(self) -> Vec<u8> {
        let user = self.user.map(|user| URL_SAFE_NO_PAD.encode(user));
        let user = user.map_or_else(String::new, |user| format!("@{user}"));
        format!("{}{user}", self.id).into_bytes()
    }

    pub(crate) fn stored_in(fields: &Fields) -> Option<Self> {
        let text = str::from_utf8(fields.get(PARENT)?).ok()?;
        let (id, user) = match text.split_once('@') {
            Some((id, user)) => (id, Some(URL_SAFE_NO_PAD.decode(user).ok()?)),
            None => (text, None),
        };
        let user = match user {
            Some(user) => Some(user.try_into().ok()?),
            None => None,
        };
        let id = SessionId::parse(id)?;
        Some(Self { id, user })
    }
}

impl<T: SessionData> RequestSession<T> {
    pub(super) fn parent_link(&self) -> Option<Link> {
        self.parent.as_ref()?.link()
    }

    /// A session with any other link is over.
    pub(super) async fn load(&self, token: &Token) -> Result<Loaded, Error> {
        let loaded = self.engine.load(token).await?;
        let parent = self.parent_link();
        Ok(match loaded {
            Loaded::Live(live) if !is_beside::<T>(&live, parent) => Loaded::default(),
            loaded => loaded,
        })
    }

    /// While the parent stores nothing, no session begins.
    pub(super) fn beside_parent(&self, mut loaded: Loaded) -> Loaded {
        if let Loaded::None(none) = &mut loaded
            && let Some(parent) = &self.parent
        {
            none.stores_nothing |= parent.stores_nothing();
        }
        loaded
    }

    /// If the parent has ended, the session shows it.
    pub(super) async fn reload_parent(&self) -> Result<(), Error> {
        let Some(parent) = &self.parent else {
            return Ok(());
        };
        match parent.reload().await {
            Err(error) if error.is_gone() => Ok(()),
            reloaded => reloaded,
        }
    }

    /// Loads a session whose parent this request ended, so its record and cookie go too.
    pub async fn open_orphan(&self, candidates: impl FnOnce() -> Candidates) -> Result<(), Error> {
        let before = self.parent.as_ref().and_then(|parent| parent.opened_as());
        match before.is_some_and(|before| self.has_left(before)) {
            true => self.open_beside(before, candidates).await,
            false => Ok(()),
        }
    }

    /// Drops the session before another one opens beside it, if an unreadable field says so.
    pub fn settle(&self) {
        if T::SCHEMA.may_drop() {
            // A guard of this session reports any error itself.
            drop(self.view());
        }
    }

    /// Whether this request ended this parent, or changed its user. Another request may only have replaced
    /// the parent's token. Then its children go on.
    fn has_left(&self, before: Link) -> bool {
        self.parent
            .as_ref()
            .is_some_and(|parent| match parent.link() {
                Some(now) => now != before,
                None => parent.has_ended(),
            })
    }

    /// The session, if the request has left its parent.
    fn orphan(&self) -> Option<Live> {
        if !T::has_parent() {
            return None;
        }
        let live = self.state().loaded.live().cloned()?;
        let link = Link::stored_in(&live.record.fields)?;
        self.has_left(link).then_some(live)
    }

    /// Ends the session if its parent has ended. Returns whether that is all, and fails if changes are lost.
    /// A login goes on, in a new session.
    pub(super) async fn end_orphan(&self, pending: &Pending) -> Result<bool, Error> {
        let Some(live) = self.orphan() else {
            return Ok(false);
        };
        let key = live.key;
        self.over(&live);
        if let Loaded::None(none) = &mut self.state().loaded {
            none.has_ended = true;
        }
        if pending.logs_in() && !pending.failed && !pending.destroyed {
            return Ok(false);
        }
        let (ends, reason) = ([live.end()], Some(Reason::ParentEnded));
        let ended = self.engine.end(&ends, reason, self.engine.deadline());
        // Nothing depends on it: without its parent, it opens for nobody.
        if let Err(error) = ended.await {
            warn!("session {key}: it has ended with its parent, but is still stored: {error}");
        }
        self.state().cookie = CookieChange::Remove;
        if pending.destroyed || pending.is_empty() {
            return Ok(true);
        }
        self.dropped(key);
        Err(Error::gone())
    }

    /// Adds the link, if the type has a parent.
    pub(super) fn linked(&self, mut fields: Fields) -> Result<Fields, Error> {
        if T::has_parent() && !fields.is_empty() {
            let parent = self.parent.as_ref();
            let link = self.parent_link();
            let link = link.filter(|_| !parent.is_some_and(|parent| parent.is_leaving()));
            let link = link.ok_or_else(|| {
                match parent.is_some_and(|parent| parent.stores_nothing() && !parent.has_ended()) {
                    true => Error::parent_replaced(),
                    false => Error::no_parent(T::Parent::SCHEMA.name()),
                }
            })?;
            fields.insert(PARENT.into(), &link.to_bytes());
        }
        Ok(fields)
    }
}

/// Without a parent type, a session opens anywhere.
pub(super) fn is_beside<T: SessionData>(live: &Live, parent: Option<Link>) -> bool {
    !T::has_parent() || is_linked(live, parent)
}

fn is_linked(live: &Live, parent: Option<Link>) -> bool {
    let stored = live.record.fields.get(PARENT);
    stored == parent.map(Link::to_bytes).as_deref() && stored.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_read_as_it_was_written() {
        let id = Token::generate().unwrap().id();
        for user in [None, Some([7; 16])] {
            let link = Link { id, user };
            let mut fields = Fields::new();
            fields.insert(PARENT.into(), &link.to_bytes());
            assert_eq!(Link::stored_in(&fields), Some(link));
        }
        for text in [
            "",
            "@",
            "x",
            &format!("{id}@"),
            &format!("{id}@x"),
            &format!("{id} "),
        ] {
            let mut fields = Fields::new();
            fields.insert(PARENT.into(), text.as_bytes());
            assert_eq!(Link::stored_in(&fields), None, "{text}");
        }
    }
}
