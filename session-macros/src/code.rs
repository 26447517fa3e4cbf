use std::time::Duration;

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote};
use session_core::field::OnUnreadable;
use session_core::options::{SameSite, WhenFull};

pub(crate) trait Code {
    fn code(&self, krate: &TokenStream) -> TokenStream;
}

impl Code for Duration {
    fn code(&self, _: &TokenStream) -> TokenStream {
        let (secs, nanos) = (self.as_secs(), self.subsec_nanos());
        quote!(::core::time::Duration::new(#secs, #nanos))
    }
}

impl Code for SameSite {
    fn code(&self, krate: &TokenStream) -> TokenStream {
        let variant = match self {
            Self::Lax => quote!(Lax),
            Self::None => quote!(None),
            Self::Strict => quote!(Strict),
        };
        quote!(#krate::__private::SameSite::#variant)
    }
}

impl Code for WhenFull {
    fn code(&self, krate: &TokenStream) -> TokenStream {
        let variant = match self {
            Self::EndOldest => quote!(EndOldest),
            Self::Refuse => quote!(Refuse),
        };
        quote!(#krate::__private::WhenFull::#variant)
    }
}

impl Code for OnUnreadable {
    fn code(&self, krate: &TokenStream) -> TokenStream {
        let variant = match self {
            Self::Default => quote!(Default),
            Self::DropSession => quote!(DropSession),
            Self::Error => quote!(Error),
        };
        quote!(#krate::__private::OnUnreadable::#variant)
    }
}

macro_rules! literals {
    ($($type:ty),*) => {$(
        impl Code for $type {
            fn code(&self, _: &TokenStream) -> TokenStream {
                self.to_token_stream()
            }
        }
    )*};
}

literals!(String, bool, usize);
