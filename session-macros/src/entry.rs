//! One option of `#[session(…)]`. Every mistake is reported, and reading goes on behind it.

use std::time::Duration;

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use session_core::field::OnUnreadable;
use session_core::nearest::advice;
use session_core::options::{self, SameSite, WhenFull};
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::spanned::Spanned as _;
use syn::token::Paren;
use syn::{Expr, ExprLit, ExprPath, Lit, Token};

use crate::errors::Errors;
use crate::mistake::Mistake;

/// What is no entry is reported and skipped, up to the next comma.
pub(crate) fn entries(list: TokenStream, errors: &mut Errors) -> Vec<Entry> {
    let read = |input: ParseStream<'_>| {
        let mut found = Vec::new();
        while !input.is_empty() {
            match Entry::parse(input) {
                Ok(entry) if is_over(input) => found.push(entry),
                Ok(_) => errors.report(input.span(), &Mistake::Syntax),
                Err(error) => errors.report_syntax(error),
            }
            skip(input)?;
            input.parse::<Option<Token![,]>>()?;
        }
        Ok(found)
    };
    match read.parse2(list) {
        Ok(found) => found,
        Err(error) => {
            errors.report_syntax(error);
            Vec::new()
        }
    }
}

fn skip(input: ParseStream<'_>) -> syn::Result<()> {
    while !is_over(input) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}

fn is_over(input: ParseStream<'_>) -> bool {
    input.is_empty() || input.peek(Token![,])
}

/// `key`, `key = value` or `key(…)`.
pub(crate) struct Entry {
    pub(crate) key: Ident,
    value: Value,
}

enum Value {
    Absent,
    Expression(Expr),
    List(Group),
    Unreadable(Span),
}

impl Entry {
    pub(crate) fn mark(&self, errors: &mut Errors) -> Option<Given<()>> {
        match self.value {
            Value::Absent => Some(self.given((), self.key.span())),
            _ => self.refuse("no value", &self.key.to_string(), errors),
        }
    }

    /// `key` alone means `true`.
    pub(crate) fn switch(&self, errors: &mut Errors) -> Option<Given<bool>> {
        match (&self.value, self.literal()) {
            (Value::Absent, _) => Some(self.given(true, self.key.span())),
            (_, Some(Lit::Bool(literal))) => Some(self.given(literal.value, literal.span)),
            _ => {
                let example = format!("{} = true", self.key);
                self.refuse("`true` or `false`", &example, errors)
            }
        }
    }

    pub(crate) fn text(&self, example: &str, errors: &mut Errors) -> Option<Given<String>> {
        self.quoted("a text in quotes", example, errors)
    }

    pub(crate) fn duration(&self, errors: &mut Errors) -> Option<Given<Duration>> {
        self.parsed(
            "a duration in quotes",
            "30m",
            options::parse_duration,
            errors,
        )
    }

    pub(crate) fn size(&self, errors: &mut Errors) -> Option<Given<usize>> {
        self.parsed("a size in quotes", "64KiB", options::parse_size, errors)
    }

    pub(crate) fn number(&self, errors: &mut Errors) -> Option<Given<usize>> {
        let number = match self.literal() {
            Some(Lit::Int(literal)) => literal.base10_parse().ok().zip(Some(literal.span())),
            _ => None,
        };
        match number {
            Some((number, span)) => Some(self.given(number, span)),
            None => self.refuse("a number", &format!("{} = 5", self.key), errors),
        }
    }

    pub(crate) fn when_full(&self, errors: &mut Errors) -> Option<Given<WhenFull>> {
        let parse = options::parse_when_full;
        self.parsed("a text in quotes", "end_oldest", parse, errors)
    }

    pub(crate) fn same_site(&self, errors: &mut Errors) -> Option<Given<SameSite>> {
        self.parsed("a text in quotes", "Lax", options::parse_same_site, errors)
    }

    pub(crate) fn on_unreadable(&self, errors: &mut Errors) -> Option<Given<OnUnreadable>> {
        let parse = |text: &str| match text {
            "default" => Ok(OnUnreadable::Default),
            "drop_session" => Ok(OnUnreadable::DropSession),
            "error" => Ok(OnUnreadable::Error),
            _ => Err(Mistake::OnUnreadableUnknown(text).to_string()),
        };
        self.parsed("a text in quotes", "drop_session", parse, errors)
    }

    fn parsed<T>(
        &self,
        wanted: &str,
        example: &str,
        parse: impl Fn(&str) -> Result<T, String>,
        errors: &mut Errors,
    ) -> Option<Given<T>> {
        let given = self.quoted(wanted, example, errors)?;
        match parse(&given.value) {
            Ok(value) => Some(self.given(value, given.span)),
            Err(message) => {
                errors.report(given.span, &Mistake::OfOption(&message));
                None
            }
        }
    }

    pub(crate) fn is_mark(&self) -> bool {
        matches!(self.value, Value::Absent)
    }

    pub(crate) fn path(&self) -> Option<&ExprPath> {
        match self.ungrouped()? {
            Expr::Path(path) => Some(path),
            _ => None,
        }
    }

    pub(crate) fn list(&self, errors: &mut Errors) -> Option<Vec<Self>> {
        match &self.value {
            Value::List(list) => Some(entries(list.stream(), errors)),
            _ => None,
        }
    }

    pub(crate) fn status(&self, errors: &mut Errors) -> Option<Given<u16>> {
        let literal = match self.literal() {
            Some(Lit::Int(literal)) => literal.base10_parse::<u16>().ok(),
            _ => None,
        };
        let status = literal.filter(|status| (400..600).contains(status));
        match (status, self.literal()) {
            (Some(status), Some(literal)) => Some(self.given(status, literal.span())),
            _ => {
                let example = format!("{} = 403", self.key);
                self.refuse("a status of 400 to 599", &example, errors)
            }
        }
    }

    pub(crate) fn function(&self, errors: &mut Errors) -> Option<Given<ExprPath>> {
        self.path_of("a function", "path::to::function", errors)
    }

    pub(crate) fn session_type(&self, errors: &mut Errors) -> Option<Given<ExprPath>> {
        self.path_of("a session type", "path::to::Type", errors)
    }

    fn path_of(&self, what: &str, example: &str, errors: &mut Errors) -> Option<Given<ExprPath>> {
        match self.path() {
            Some(path) => Some(self.given(path.clone(), path.span())),
            None => {
                let example = format!("{} = {example}", self.key);
                self.refuse(&format!("the path of {what}"), &example, errors)
            }
        }
    }

    pub(crate) fn expression(&self, errors: &mut Errors) -> Option<Given<Expr>> {
        match &self.value {
            Value::Expression(value) => Some(self.given(value.clone(), value.span())),
            _ => self.refuse("an expression", &format!("{} = …", self.key), errors),
        }
    }

    fn quoted(&self, wanted: &str, example: &str, errors: &mut Errors) -> Option<Given<String>> {
        match self.literal() {
            Some(Lit::Str(literal)) => Some(self.given(literal.value(), literal.span())),
            _ => {
                let example = format!("{} = \"{example}\"", self.key);
                self.refuse(wanted, &example, errors)
            }
        }
    }

    fn literal(&self) -> Option<&Lit> {
        match self.ungrouped()? {
            Expr::Lit(ExprLit { lit, .. }) => Some(lit),
            _ => None,
        }
    }

    /// The value out of the invisible groups in which a `macro_rules!` passes it on.
    fn ungrouped(&self) -> Option<&Expr> {
        let Value::Expression(value) = &self.value else {
            return None;
        };
        let mut value = value;
        while let Expr::Group(group) = value {
            value = &group.expr;
        }
        Some(value)
    }

    pub(crate) fn refuse<T>(&self, wanted: &str, example: &str, errors: &mut Errors) -> Option<T> {
        let key = self.key.to_string();
        let mistake = Mistake::Value(&key, wanted, example);
        match &self.value {
            Value::Absent => errors.report(self.key.span(), &mistake),
            Value::Expression(value) => errors.report_over(value, &mistake),
            Value::List(list) => errors.report(list.span(), &mistake),
            Value::Unreadable(span) => errors.report(*span, &mistake),
        }
        None
    }

    pub(crate) fn unknown(&self, known: &[&str], errors: &mut Errors) {
        let key = self.key.to_string();
        let mistake = Mistake::OptionUnknown(&key, &advice(&key, known));
        errors.report(self.key.span(), &mistake);
    }

    pub(crate) fn form(&self) -> String {
        match self.value {
            Value::Absent => self.key.to_string(),
            Value::List(_) => format!("{}(…)", self.key),
            Value::Expression(_) | Value::Unreadable(_) => format!("{} = …", self.key),
        }
    }

    pub(crate) fn given<T>(&self, value: T, span: Span) -> Given<T> {
        Given {
            value,
            key: self.key.span(),
            span,
        }
    }

    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let start = input.span();
        let key = Ident::parse_any(input);
        let key = key.map_err(|_| syn::Error::new(start, Mistake::Syntax))?;
        let value = if input.peek(Paren) {
            Value::List(input.parse()?)
        } else if input.parse::<Option<Token![=]>>()?.is_none() || is_over(input) {
            // `idle =` lacks its value just as `idle` does, and gets the same message.
            Value::Absent
        } else {
            match input.parse() {
                Ok(value) => Value::Expression(value),
                Err(error) => {
                    skip(input)?;
                    Value::Unreadable(error.span())
                }
            }
        };
        Ok(Self { key, value })
    }
}

pub(crate) struct Given<T> {
    pub(crate) value: T,
    pub(crate) key: Span,
    /// The value's place, or the key's.
    pub(crate) span: Span,
}
