use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

use crate::mistake::Mistake;

/// All mistakes found so far. Debug builds panic if nobody calls [`Errors::finish`].
#[derive(Debug, Default)]
pub(crate) struct Errors {
    found: Vec<syn::Error>,
    asked: bool,
}

impl Errors {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn report(&mut self, span: Span, mistake: &Mistake<'_>) {
        self.found.push(syn::Error::new(span, mistake));
    }

    /// Underlines all of `place`: a [`Span`] may be no more than its first token.
    pub(crate) fn report_over(&mut self, place: &dyn ToTokens, mistake: &Mistake<'_>) {
        self.found.push(syn::Error::new_spanned(place, mistake));
    }

    pub(crate) fn report_syntax(&mut self, error: syn::Error) {
        self.found.push(error);
    }

    /// One `compile_error!` for each mistake.
    pub(crate) fn finish(mut self) -> Result<(), TokenStream> {
        self.asked = true;
        if self.found.is_empty() {
            return Ok(());
        }
        Err(self
            .found
            .iter()
            .map(syn::Error::to_compile_error)
            .collect())
    }
}

impl Drop for Errors {
    fn drop(&mut self) {
        debug_assert!(
            self.asked || std::thread::panicking(),
            "nobody asked whether there were errors"
        );
    }
}
