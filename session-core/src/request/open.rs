//! Opens the session that a request's cookies name.

use super::parent::{Link, is_beside};
use super::{Candidates, RequestSession};
use crate::error::Error;
use crate::event::{EventKind, Reason};
use crate::plan::{Live, Loaded, NoSession};
use crate::schema::SessionData;

impl<T: SessionData> RequestSession<T> {
    /// Loads the session once. Its parent must be open. A missing session is no error.
    pub async fn open(&self, candidates: impl FnOnce() -> Candidates) -> Result<(), Error> {
        self.open_beside(self.parent_link(), candidates).await
    }

    pub(super) async fn open_beside(
        &self,
        parent: Option<Link>,
        candidates: impl FnOnce() -> Candidates,
    ) -> Result<(), Error> {
        let opening = self.opening.get_or_init(|| async {
            let loaded = self.load_one_of(&candidates(), parent).await?;
            if self.engine.has_children() {
                let live = loaded.live();
                let link = live.map(|live| Link::of::<T>(live.key.id, &live.record.fields));
                self.opened_as.get_or_init(|| link);
            }
            self.state().loaded = self.beside_parent(loaded);
            Ok(())
        });
        opening.await.clone()
    }

    /// If two tokens open sessions, somebody may have planted one: the request gets neither, but a logout
    /// ends both.
    async fn load_one_of(
        &self,
        candidates: &Candidates,
        parent: Option<Link>,
    ) -> Result<Loaded, Error> {
        if candidates.tampered {
            self.refuse_cookies();
            return Ok(Loaded::None(NoSession {
                stores_nothing: true,
                refuses_end: true,
                ..NoSession::default()
            }));
        }
        let mut living: Vec<Live> = Vec::new();
        let mut others = Vec::new();
        // No guard gets these, but their tokens may end them.
        let mut elsewhere = Vec::new();
        for token in &candidates.tokens {
            let loaded = match self.near(candidates, parent) {
                Some(live) => Loaded::Live(live),
                None => self.engine.load(token).await?,
            };
            match loaded {
                Loaded::Live(live) if is_beside::<T>(&live, parent) => living.push(live),
                Loaded::Live(live) => elsewhere.push(live.end()),
                Loaded::None(none) => others.push((token.id(), none)),
            }
        }
        if let [live] = &living[..] {
            // Cookies for other paths or domains may hold older tokens.
            others.retain(|(id, none)| *id != live.key.id && !none.is_default());
        }
        if living.len() == 1 && others.is_empty() {
            return Ok(living.pop().map_or_else(Loaded::default, Loaded::Live));
        }
        let others = others.into_iter().map(|(_, none)| none);
        let mut none = others.fold(NoSession::default(), NoSession::and);
        if !living.is_empty() {
            self.refuse_cookies();
            none.ends.extend(living.iter().map(Live::end));
            none.stores_nothing = true;
        }
        none.ends.append(&mut elsewhere);
        Ok(Loaded::None(none))
    }

    /// With several tokens or another parent, the store decides.
    fn near(&self, candidates: &Candidates, parent: Option<Link>) -> Option<Live> {
        let [token] = &candidates.tokens[..] else {
            return None;
        };
        let copy = self.may_be_near.then(|| self.engine.near(token)).flatten();
        copy.filter(|live| is_beside::<T>(live, parent))
    }

    fn refuse_cookies(&self) {
        let reason = Some(Reason::AmbiguousCookies);
        self.engine.tell(EventKind::Refused, reason, None);
    }
}
