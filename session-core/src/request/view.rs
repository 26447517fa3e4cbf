use std::sync::Arc;

use super::{RequestSession, View};
use crate::changes::Changes;
use crate::error::{Error, described};
use crate::field::OnUnreadable;
use crate::fields::Fields;
use crate::merge::Change;
use crate::plan::{Commit, Live, Loaded, NoSession, Pending, plan};
use crate::schema::SessionData;

impl<T: SessionData> RequestSession<T> {
    /// The present data. Fails if a field with `on_unreadable = "error"` cannot be read, or a counter would
    /// leave its range.
    pub fn view(&self) -> Result<View<T>, Error> {
        let (loaded, pending, seen, epoch, logins) = {
            let state = self.state();
            let (epoch, logins) = (self.epoch(), self.logins());
            let (loaded, pending) = (state.loaded.clone(), state.pending.clone());
            (loaded, pending, state.handed_over, epoch, logins)
        };
        let view = |fields: &Fields| T::SCHEMA.decode(fields, self.engine.now());
        let live = loaded.live().filter(|_| !pending.destroyed);
        let is_another =
            matches!(plan(&loaded, &pending, false), Commit::Begin { .. }) && live.is_some();
        let record = live.filter(|_| !is_another);
        let record = record.map(|live| Arc::clone(&live.record));
        let decoded = match live {
            _ if pending.destroyed => view(&Fields::new()),
            Some(live) if !is_another => {
                let read = &live.record.fields;
                if pending.changes.is_empty() {
                    view(read)
                } else {
                    let mut fields = read.clone();
                    let applied = pending.changes.apply(&mut fields);
                    applied.map_err(|name| Error::overflow(&name))?;
                    view(&fields)
                }
            }
            _ => view(&self.begin_with(&loaded, &pending)?),
        };
        let mut faults = decoded.faults;
        if let Some(live) = live {
            let (sealed, opened) = (&live.sealed, &live.record.fields);
            let unopened = T::SCHEMA.unopened(sealed, opened, self.engine.now());
            let was_written = |name: &str| pending.changes.get(name).is_some();
            faults.extend(unopened.into_iter().filter(|(name, _)| !was_written(name)));
        }
        if let Some(live) = live
            && self.handle_unreadable(&faults, live)?
        {
            self.state().loaded = Loaded::None(NoSession {
                ends: vec![live.end()],
                ..NoSession::default()
            });
            return Ok(View {
                data: T::SCHEMA.defaults(),
                record: None,
                seen,
                epoch,
                logins,
            });
        }
        let data = decoded.data;
        Ok(View {
            data,
            record,
            seen,
            epoch,
            logins,
        })
    }

    /// Whether a guard changed the user. The next one must not see what it read.
    #[must_use]
    pub fn changes_user(&self, before: &Fields, data: &T) -> bool {
        let is_identified = {
            let state = self.state();
            let live = state.loaded.live();
            live.is_some_and(|live| live.is_identified && !state.pending.destroyed)
        };
        is_identified && T::SCHEMA.changes_identity(before, data)
    }

    /// The next session's data, and a guard's changes as that session sees them.
    pub fn next_user(&self, changes: &Changes) -> Result<(T, Changes), Error> {
        let (loaded, mut pending) = {
            let state = self.state();
            (state.loaded.clone(), state.pending.clone())
        };
        pending.merge(Self::pending(changes.clone()))?;
        let fields = self.begin_with(&loaded, &pending)?;
        let mut begun = changes.clone();
        for (name, change) in changes.iter() {
            if matches!(change, Change::Add { .. }) {
                // It continues from the new session's value.
                let value = fields.get(name).map(<[u8]>::to_vec);
                begun.insert(name.clone(), value.map_or(Change::Unset, Change::Set));
            }
        }
        Ok((T::SCHEMA.decode(&fields, self.engine.now()).data, begun))
    }

    pub(super) fn begin_with(&self, loaded: &Loaded, pending: &Pending) -> Result<Fields, Error> {
        let other = match loaded {
            Loaded::Live(live) => &live.record.fields,
            Loaded::None(none) => &none.kept,
        };
        T::SCHEMA.begin(other, &pending.changes)
    }

    /// Returns whether the session counts as absent.
    fn handle_unreadable(
        &self,
        faults: &[(String, OnUnreadable)],
        live: &Live,
    ) -> Result<bool, Error> {
        for (name, on_unreadable) in faults {
            let complain = |what: &str| {
                let field = described(name);
                let what = format!("{field} cannot be read as its declared type; {what}");
                self.engine.complain(live.key.id, what);
            };
            match on_unreadable {
                OnUnreadable::Default => {
                    complain(
                        "it has its default, and the stored value stays until the field is written",
                    );
                }
                OnUnreadable::DropSession => {
                    complain("the session counts as absent");
                    return Ok(true);
                }
                OnUnreadable::Error => return Err(Error::decode(name)),
            }
        }
        Ok(false)
    }
}
