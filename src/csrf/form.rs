//! The tokens in the first bytes of a form. Parsing is lenient: nobody else knows a token, so it proves the
//! same wherever it was found.

use rocket::http::RawStr;

pub(crate) const FIELD: &str = "csrf_token";

/// A truncated token fails the later check.
pub(crate) fn in_url_encoded(bytes: &[u8]) -> Vec<String> {
    let fields = bytes.split(|byte| *byte == b'&');
    let tokens = fields.filter_map(|field| {
        let (name, value) = str::from_utf8(field).ok()?.split_once('=')?;
        let decode = |text| RawStr::new(text).url_decode().ok();
        (decode(name)? == FIELD).then(|| decode(value))?
    });
    tokens.map(Into::into).collect()
}

/// The tokens in a multipart form (RFC 7578).
pub(crate) fn in_multipart(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut tokens = Vec::new();
    // Anything after the last line end was cut off.
    let mut lines = text
        .rsplit_once("\r\n")
        .map_or("", |(lines, _)| lines)
        .split("\r\n");
    while let Some(line) = lines.next() {
        if names_field(line) {
            let value = lines
                .by_ref()
                .skip_while(|header| !header.is_empty())
                .nth(1);
            tokens.extend(value.map(str::to_owned));
        }
    }
    tokens
}

fn names_field(line: &str) -> bool {
    let Some((header, value)) = line.split_once(':') else {
        return false;
    };
    let names = |parameter: &str| {
        let name = parameter.trim().strip_prefix("name=");
        name.is_some_and(|name| name.trim_matches('"') == FIELD)
    };
    header.eq_ignore_ascii_case("Content-Disposition") && value.split(';').any(names)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_encoded_field_is_found_wherever_it_stands() {
        for (form, expected) in [
            ("csrf_token=abc", vec!["abc"]),
            ("a=b&csrf_token=abc&c=d", vec!["abc"]),
            ("csrf%5Ftoken=%61bc", vec!["abc"]),
            ("csrf_token=a+b", vec!["a b"]),
            ("csrf_token=a&csrf_token=b", vec!["a", "b"]),
            ("csrf_token=", vec![""]),
            ("csrf_token", vec![]),
            ("xcsrf_token=abc&csrf_tokenx=abc&CSRF_TOKEN=abc", vec![]),
            ("csrf_token=%FF&a=\u{e9}", vec![]),
            ("&&=&==&csrf_token=a=b", vec!["a=b"]),
        ] {
            assert_eq!(in_url_encoded(form.as_bytes()), expected, "{form}");
        }
        assert_eq!(in_url_encoded(b"a=\xff&csrf_token=abc&b=\xc3"), ["abc"]);
    }

    #[test]
    fn a_multipart_field_is_found_if_it_is_whole() {
        let form = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\ncsrf_token\r\n--b\r\n\
                    content-disposition: form-data; name=\"csrf_token\"\r\n\
                    Content-Type: text/plain\r\n\r\nabc\r\n--b--\r\n";
        let end = form.find("abc\r\n").unwrap() + "abc\r\n".len();
        for length in 0..=form.len() {
            let found = in_multipart(&form.as_bytes()[..length]);
            let expected: &[&str] = if length < end { &[] } else { &["abc"] };
            assert_eq!(found, expected, "{length}");
        }
        let other = form.replace("csrf_token\"", "csrf_tokens\"");
        assert!(in_multipart(other.as_bytes()).is_empty());
        let unquoted = form.replace("\"csrf_token\"", "csrf_token");
        assert_eq!(in_multipart(unquoted.as_bytes()), ["abc"]);
    }

    proptest! {
        #[test]
        fn junk_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = in_url_encoded(&bytes);
            let _ = in_multipart(&bytes);
        }
    }
}
