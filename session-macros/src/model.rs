use proc_macro2::{Ident, Span, TokenStream};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Attribute, Data, DeriveInput, Fields, Type, Visibility};

use crate::attr::{Attr, FieldAttrs, StructAttrs};
use crate::errors::Errors;
use crate::mistake::Mistake;

pub(crate) struct Session<'a> {
    /// Our attributes included.
    pub(crate) item: &'a DeriveInput,
    pub(crate) name: Name,
    pub(crate) attrs: StructAttrs,
    pub(crate) fields: Vec<Field<'a>>,
}

impl<'a> Session<'a> {
    /// A declaration that can be no session has no fields.
    pub(crate) fn declared(args: TokenStream, item: &'a DeriveInput, errors: &mut Errors) -> Self {
        let attrs = StructAttrs::read(args, &item.attrs, errors);
        let name = Name::declared(&attrs.name, || snake_case(&item.ident), item.ident.span());
        let fields = Field::all_declared(item, errors);
        Self {
            item,
            name,
            attrs,
            fields,
        }
    }
}

pub(crate) struct Field<'a> {
    pub(crate) vis: &'a Visibility,
    pub(crate) ident: &'a Ident,
    pub(crate) ty: &'a Type,
    pub(crate) cfgs: Vec<&'a Attribute>,
    pub(crate) name: Name,
    pub(crate) attrs: FieldAttrs,
}

impl<'a> Field<'a> {
    fn all_declared(item: &'a DeriveInput, errors: &mut Errors) -> Vec<Self> {
        let fields = match &item.data {
            Data::Struct(data) => &data.fields,
            Data::Enum(data) => {
                errors.report(data.enum_token.span, &Mistake::NotAStruct);
                return Vec::new();
            }
            Data::Union(data) => {
                errors.report(data.union_token.span, &Mistake::NotAStruct);
                return Vec::new();
            }
        };
        let Fields::Named(fields) = fields else {
            errors.report(item.ident.span(), &Mistake::NotNamedFields);
            return Vec::new();
        };
        let fields = fields.named.iter();
        fields
            .filter_map(|field| Self::declared(field, errors))
            .collect()
    }

    fn declared(field: &'a syn::Field, errors: &mut Errors) -> Option<Self> {
        let ident = field.ident.as_ref()?;
        let attrs = FieldAttrs::read(&field.attrs, errors);
        let cfgs = field.attrs.iter();
        Some(Self {
            vis: &field.vis,
            ident,
            ty: &field.ty,
            cfgs: cfgs.filter(|attr| attr.path().is_ident("cfg")).collect(),
            name: Name::declared(&attrs.rename, || ident.unraw().to_string(), ident.span()),
            attrs,
        })
    }

    pub(crate) fn is_stored(&self) -> bool {
        !self.attrs.skip.is_written()
    }

    /// They have the same identifier, so a `cfg` must remove one.
    pub(crate) fn excludes(&self, other: &Self) -> bool {
        self.ident == other.ident
    }

    pub(crate) fn ty_span(&self) -> Span {
        self.ty.span()
    }
}

pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) span: Span,
}

impl Name {
    fn declared(given: &Attr<String>, default: impl FnOnce() -> String, span: Span) -> Self {
        match given.get() {
            Some(given) => Self {
                text: given.value.clone(),
                span: given.span,
            },
            None => Self {
                text: default(),
                span,
            },
        }
    }
}

/// `VisitorData` as `visitor_data`, `HTTPVisit` as `http_visit`.
fn snake_case(ident: &Ident) -> String {
    let letters: Vec<char> = ident.unraw().to_string().chars().collect();
    let mut snake = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let after = letters.get(at + 1);
        let ends_a_word =
            before.is_some_and(|before| before.is_lowercase() || before.is_ascii_digit());
        let ends_an_acronym = before.is_some_and(|before| before.is_uppercase())
            && after.is_some_and(|after| after.is_lowercase());
        if letter.is_uppercase() && (ends_a_word || ends_an_acronym) {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_a_session_in_snake_case() {
        let snake_case = |name| snake_case(&Ident::new_raw(name, Span::call_site()));
        assert_eq!(snake_case("Visit"), "visit");
        assert_eq!(snake_case("VisitorData"), "visitor_data");
        assert_eq!(snake_case("HTTPVisit"), "http_visit");
        assert_eq!(snake_case("Visit2Go"), "visit2_go");
        assert_eq!(snake_case("already_snake"), "already_snake");
        assert_eq!(snake_case("Visit_Data"), "visit_data");
        assert_eq!(snake_case("type"), "type");
    }
}
