use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::Type;

/// The type as it is written, the same under every compiler and formatting: `stringify!` promises
/// nothing about blanks.
pub(crate) fn type_name(ty: &Type) -> String {
    let mut name = String::new();
    write(ty.to_token_stream(), &mut name);
    name
}

fn write(tokens: TokenStream, name: &mut String) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    // The invisible group in which a `macro_rules!` passes it on.
                    Delimiter::None => ("", ""),
                    Delimiter::Parenthesis => ("(", ")"),
                };
                name.push_str(open);
                write(group.stream(), name);
                name.push_str(close);
            }
            TokenTree::Punct(punct) => {
                name.push(punct.as_char());
                if matches!(punct.as_char(), ',' | ';') {
                    name.push(' ');
                }
            }
            word @ (TokenTree::Ident(_) | TokenTree::Literal(_)) => {
                if name.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                    name.push(' ');
                }
                name.push_str(&word.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(ty: &str) -> String {
        type_name(&syn::parse_str(ty).expect("a type"))
    }

    #[test]
    fn formatting_does_not_matter() {
        for ty in [
            "Option<Vec<u8>>",
            "Option < Vec<u8 > >",
            "Option<\n  Vec<u8>\n>",
        ] {
            assert_eq!(name(ty), "Option<Vec<u8>>");
        }
        assert_eq!(name("HashMap<String,u64>"), "HashMap<String, u64>");
    }

    #[test]
    fn words_stay_apart() {
        assert_eq!(name("Box<dyn Any>"), "Box<dyn Any>");
        assert_eq!(name("[&'static str; 4]"), "[&'static str; 4]");
        assert_eq!(name("(r#type::A, ::b::C)"), "(r#type::A, ::b::C)");
    }
}
