//! The `#[session]` attribute macro.
use proc_macro::TokenStream;

/// Stub.
#[proc_macro_attribute]
pub fn session(_args: TokenStream, item: TokenStream) -> TokenStream {
    item
}
