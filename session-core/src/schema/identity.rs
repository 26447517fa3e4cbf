//! Who is logged in, by the field marked `identity`.

use super::{NULL, Schema};
use crate::changes::Changes;
use crate::field::{Field, OnUnreadable};
use crate::fields::Fields;
use crate::merge::Change;
use crate::plan::Identity;
use crate::users::{self, UserKey};

impl<T> Schema<T> {
    pub(crate) fn identity_change(&self, changes: &Changes) -> Option<Identity> {
        Some(match changes.get(self.identity()?.name)? {
            Change::Unset => Identity::Nobody,
            _ => Identity::Other,
        })
    }

    /// Even if the value is unreadable.
    pub(crate) fn is_identified(&self, stored: &Fields) -> bool {
        let names = self.identity().into_iter().flat_map(Field::names);
        names.into_iter().any(|name| stored.get(name).is_some())
    }

    pub(crate) fn identity(&self) -> Option<&'static Field<T>> {
        self.fields.iter().find(|field| field.is_identity)
    }

    /// The key of the logged-in user, if readable. The stored value counts, unless this build writes it in
    /// another form, not merely in another order.
    pub(crate) fn user_of(&self, stored: &Fields) -> Option<UserKey> {
        let field = self.identity()?;
        let mut data = self.defaults();
        field.decode(&mut data, stored, &mut Vec::new());
        let written = self.encoded_identity(&data)?;
        let stored = field.names().find_map(|name| stored.get(name));
        let is_alike = |stored: &&[u8]| users::is_written_alike(stored, &written);
        let identity = stored.filter(is_alike).unwrap_or(&written);
        Some(UserKey::new(self.name, identity))
    }

    /// Like [`user_of`](Self::user_of), but counts an unreadable user.
    pub(crate) fn somebody_of(&self, stored: &Fields) -> Option<UserKey> {
        self.user_of(stored).or_else(|| {
            let mut names = self.identity()?.names();
            let identity = names.find_map(|name| stored.get(name))?;
            (identity != NULL).then(|| UserKey::new(self.name, identity))
        })
    }

    pub(crate) fn may_drop(&self) -> bool {
        let mut fields = self.fields.iter();
        fields.any(|field| field.on_unreadable == OnUnreadable::DropSession)
    }

    /// The key of the user in this data.
    #[must_use]
    pub fn user_in(&self, data: &T) -> Option<UserKey> {
        Some(UserKey::new(self.name, &self.encoded_identity(data)?))
    }

    fn encoded_identity(&self, data: &T) -> Option<Vec<u8>> {
        let encoded = self.identity()?.encoded(data).ok()?;
        let identity = encoded.iter().find(|(_, value)| *value != NULL);
        identity.map(|(_, value)| value.to_vec())
    }

    /// Whether `data` has another user than `before`, or none.
    pub(crate) fn changes_identity(&self, before: &Fields, data: &T) -> bool {
        let Some(field) = self.identity() else {
            return false;
        };
        let before = before.get(field.name);
        // Most have the same user, and reading is cheaper.
        if field.is_same(data, before) {
            return false;
        }
        // If it cannot be encoded, storing it reports that.
        field.encoded(data).is_ok_and(|after| {
            let after = after.get(field.name).filter(|value| *value != NULL);
            before != after
        })
    }
}
