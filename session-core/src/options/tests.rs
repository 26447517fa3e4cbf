use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn faults(options: Options<'_>) -> Vec<&'static str> {
    let faults = options.check();
    for Fault { message, .. } in &faults {
        assert!(message.contains(';'), "says what to write: {message}");
    }
    faults.into_iter().map(|fault| fault.option).collect()
}

const NEW: Options<'_> = Options::new();

#[test]
fn the_defaults_are_faultless() {
    assert!(faults(NEW).is_empty());
    assert_eq!(NEW.lifetime(), Lifetime::default());
}

#[test]
fn a_prefix_is_held_to_its_promise_in_any_case() {
    for name in ["__Host-id", "__HOST-id", "__host-id"] {
        let host = NEW.cookie(name);
        assert!(faults(host).is_empty());
        assert!(faults(host.secure(true).path("/")).is_empty());
        let broken = host.secure(false).path("/a").domain("a.example");
        assert_eq!(faults(broken), ["secure", "path", "domain"]);
    }
    for name in ["__Secure-id", "__secure-id"] {
        let secure = NEW.cookie(name);
        assert!(faults(secure.path("/a").domain("a.example")).is_empty());
        assert_eq!(faults(secure.secure(false)), ["secure"]);
    }
    assert!(faults(NEW.cookie("__Hostid").secure(false)).is_empty());
    assert!(faults(NEW.cookie("__Hos").secure(false)).is_empty());
}

#[test]
fn names_paths_and_domains_are_what_browsers_take() {
    for name in ["", "__Host-", "a b", "a%b", "a|b", "a=b", "ä"] {
        assert_eq!(faults(NEW.cookie(name)), ["cookie"], "{name}");
    }
    for path in ["", "a", "/;a", "/ä", "/\n"] {
        assert_eq!(faults(NEW.path(path)), ["path"], "{path}");
    }
    for domain in ["", "a..b", "https://a.b", "a.b:80", "a.b/", ".a.b"] {
        assert_eq!(faults(NEW.domain(domain)), ["domain"], "{domain}");
    }
}

#[test]
fn same_site_none_needs_a_declared_secure() {
    let none = NEW.same_site(SameSite::None);
    assert_eq!(faults(none), ["same_site"]);
    assert_eq!(none.check()[0].undeclared, Some("secure"));
    assert_eq!(faults(none.secure(false)), ["same_site"]);
    assert!(faults(none.secure(true)).is_empty());
}

#[test]
fn lifetimes_are_compared_with_what_applies() {
    assert_eq!(faults(NEW.idle(13 * 3600 * SECOND)), ["idle"]);
    assert_eq!(faults(NEW.absolute(60 * SECOND)), ["absolute"]);
    let both = NEW.idle(2 * SECOND).absolute(SECOND);
    assert_eq!(faults(both), ["idle"]);
    assert_eq!(both.check()[0].undeclared, None);
    assert_eq!(faults(NEW.touch(31 * 60 * SECOND)), ["touch"]);
    assert_eq!(faults(both.touch(3 * SECOND)), ["touch", "idle"]);
    assert!(faults(NEW.remember(Duration::MAX)).is_empty());
}

#[test]
fn nothing_is_too_short_and_then_nothing_is_compared() {
    let nothing = Duration::from_micros(999);
    assert_eq!(faults(NEW.absolute(nothing)), ["absolute"]);
    assert_eq!(faults(NEW.idle(nothing).touch(SECOND)), ["idle"]);
    assert_eq!(faults(NEW.touch(nothing)), ["touch"]);
    assert_eq!(faults(NEW.remember(nothing)), ["remember"]);
    assert_eq!(faults(NEW.max_size(0)), ["max_size"]);
}

#[test]
fn what_is_left_open_is_as_the_others_say() {
    let options = NEW.path("/a").or(NEW.path("/b").domain("b"));
    assert_eq!(options, NEW.path("/a").domain("b"));
}

#[test]
fn durations_are_read_as_humantime_does() {
    assert_eq!(parse_duration("1h 30m"), Ok(5400 * SECOND));
    for (text, reason) in [
        ("30x", "unknown unit `x`"),
        ("", "empty"),
        ("30", "unit"),
        ("99999999999999999999999s", "out of range"),
        ("18446744073709551615s 1000ms", "out of range"),
    ] {
        let message = parse_duration(text).unwrap_err();
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn sizes_are_read_with_their_unit() {
    assert_eq!(parse_size("64KiB"), Ok(65_536));
    assert_eq!(parse_size("1.5 MB"), Ok(1_500_000));
    assert_eq!(parse_size("7"), Ok(7));
    for text in ["", "KiB", "1 apple", "-1B", "1.5B"] {
        assert!(parse_size(text).is_err(), "{text}");
    }
}
