use rocket::figment::Profile;
use rocket::figment::providers::{Format as _, Toml};
use session_core::users::WhenFull;

use super::*;

fn figment(profile: &str, toml: &str) -> Figment {
    Figment::from(Config::debug_default())
        .merge(Toml::string(toml).nested())
        .select(Profile::new(profile))
}

fn read(profile: &str, declared: &Options<'static>, toml: &str) -> Result<Settings, String> {
    Settings::read(&figment(profile, toml), "visit", declared)
}

#[test]
fn defaults_are_secure_in_release_and_work_without_tls_in_debug() {
    let release = read("release", &Options::new(), "").unwrap();
    assert_eq!(release.cookie.name, "__Host-id");
    assert!(release.cookie.secure);
    assert_eq!(release.cookie.same_site, SameSite::Lax);
    assert_eq!(release.cookie.path, "/");
    assert_eq!(release.lifetime, Lifetime::default());
    assert_eq!(release.remember, Options::REMEMBER);
    assert_eq!(release.max_size, Options::MAX_SIZE);
    let debug = read("debug", &Options::new(), "").unwrap();
    assert_eq!(debug.cookie.name, "id");
    assert!(!debug.cookie.secure);
    let declared = Options::new().cookie("__Host-visit");
    assert_eq!(read("debug", &declared, "").unwrap().cookie.name, "visit");
    assert_eq!(
        read("release", &declared, "").unwrap().cookie.name,
        "__Host-visit"
    );
    let elsewhere = Options::new().path("/app");
    assert_eq!(
        read("release", &elsewhere, "").unwrap().cookie.name,
        "__Secure-id"
    );
}

#[test]
fn the_configuration_overrides_every_declared_option() {
    let declared = Options::new()
        .cookie("a")
        .idle(Duration::from_secs(1))
        .absolute(Duration::from_secs(2))
        .touch(Duration::from_secs(1))
        .same_site(SameSite::Lax)
        .secure(false)
        .path("/a")
        .domain("a.example")
        .persistent(false)
        .remember(Duration::from_secs(1))
        .max_size(1);
    let toml = r#"
        [default.sessions.visit]
        cookie = "b"
        idle = "1h"
        absolute = "1day"
        touch = "1m 30s"
        same_site = "Strict"
        secure = true
        path = "/b"
        domain = "b.example"
        persistent = true
        remember = "90days"
        max_size = "2MiB"
        devices = true
        max_sessions = 4
        when_full = "refuse"
        capacity = 7
        prefix = "b:"
        timeout = "250ms"
        near = "2s"
        on_start = "fail"
    "#;
    let settings = read("release", &declared, toml).unwrap();
    let mut lifetime = Lifetime::new(Duration::from_secs(3600), Duration::from_secs(86_400));
    lifetime.touch_interval = Duration::from_secs(90);
    lifetime.persistent = true;
    assert_eq!(
        settings,
        Settings {
            cookie: CookieSettings {
                name: "b".into(),
                path: "/b".into(),
                domain: Some("b.example".into()),
                same_site: SameSite::Strict,
                secure: true,
            },
            lifetime,
            remember: Duration::from_secs(90 * 86_400),
            max_size: 2 << 20,
            indexed: true,
            devices: true,
            limit: Some(Limit::new(4, WhenFull::Refuse)),
            capacity: Some(7),
            prefix: Some("b:".into()),
            timeout: Some(Duration::from_millis(250)),
            fails_on_start: true,
            near: Some(Duration::from_secs(2)),
        }
    );
}

#[test]
fn faults_name_the_key_and_the_fix() {
    for (line, key, fix) in [
        ("idel = \"1h\"", "idel", "idle"),
        ("idle = \"1 fortnight\"", "idle", "30m"),
        ("idle = 30", "idle", "string"),
        ("idle = \"0s\"", "idle", "1ms"),
        ("idle = \"1ns\"", "idle", "1ms"),
        ("idle = \"18446744073709551615s 1000ms\"", "idle", "30m"),
        ("cookie = \"__host-id\"\nsecure = false", "cookie", "remove"),
        ("domain = \"a..b\"", "domain", "example.com"),
        ("absolute = \"0s\"", "absolute", "1ms"),
        ("idle = \"13h\"", "idle", "shorter"),
        ("absolute = \"1m\"", "absolute", "shorter"),
        ("touch = \"31m\"", "touch", "shorter"),
        ("same_site = \"lax\"", "same_site", "\"Lax\""),
        ("same_site = \"None\"", "same_site", "secure = true"),
        ("cookie = \"a b\"", "cookie", "letters"),
        ("cookie = \"a|b\"", "cookie", "percent-encoded"),
        ("cookie = \"\"", "cookie", "\"id\""),
        (
            "cookie = \"__Host-id\"\npath = \"/app\"",
            "cookie",
            "remove",
        ),
        (
            "cookie = \"__Host-id\"\ndomain = \"a.b\"",
            "cookie",
            "remove",
        ),
        ("cookie = \"__Host-id\"\nsecure = false", "cookie", "remove"),
        (
            "cookie = \"__Secure-id\"\nsecure = false",
            "cookie",
            "remove",
        ),
        ("path = \"app\"", "path", "begin it with `/`"),
        ("path = \"/;Domain=evil\"", "path", "without `;`"),
        ("domain = \"https://a.b\"", "domain", "example.com"),
        ("domain = \"\"", "domain", "remove `domain`"),
        ("remember = \"0s\"", "remember", "1ms"),
        ("max_size = \"much\"", "max_size", "64KiB"),
        ("max_size = \"0B\"", "max_size", "1MiB"),
        ("max_sessions = 0", "max_sessions", "= 1"),
        ("max_sessions = \"many\"", "max_sessions", "usize"),
        ("when_full = \"refuse\"", "when_full", "`max_sessions` too"),
        (
            "max_sessions = 2\nwhen_full = \"never\"",
            "when_full",
            "end_oldest",
        ),
        (
            "indexed = false\nmax_sessions = 2",
            "max_sessions",
            "remove `indexed = false`",
        ),
        ("indexed = false\ndevices = true", "devices", "remove"),
        ("colour = 1", "colour", "write one of"),
        ("maxAge = 60000", "maxAge", "`idle` for the time since"),
        ("rolling = true", "rolling", "remove it"),
        ("capacity = 0", "capacity", "at least 1"),
        ("on_start = \"die\"", "on_start", "\"fail\""),
        ("near = \"0s\"", "near", "10ms"),
        ("near = \"1h\"", "near", "1min"),
        ("timeout = \"0s\"", "timeout", "1ms"),
        ("timeout = \"500000000000years\"", "timeout", "an hour"),
        ("secure = \"yes\"", "secure", "bool"),
    ] {
        let toml = format!("[default.sessions.visit]\n{line}");
        let message = read("release", &Options::new(), &toml).unwrap_err();
        assert!(message.contains("sessions.visit"), "{line}: {message}");
        assert!(message.contains(key), "{line}: {message}");
        assert!(message.contains(fix), "{line}: {message}");
    }
}

#[test]
fn a_type_wins_over_all_types_and_these_over_the_declaration() {
    let declared = Options::new()
        .idle(Duration::from_secs(1))
        .absolute(Duration::from_secs(2))
        .max_size(3);
    let toml = r#"
        [default.sessions]
        idle = "2h"
        absolute = "20h"
        touch = "2m"
        remember = "2days"
        persistent = true
        capacity = 2
        prefix = "all:"
        timeout = "2ms"
        [default.sessions.visit]
        idle = "1h"
        prefix = "own:"
        # A session type with the name of an option.
        [default.sessions.max_size]
        idle = "3h"
    "#;
    let settings = read("release", &declared, toml).unwrap();
    let hour = Duration::from_secs(3600);
    assert_eq!(settings.lifetime.idle_timeout, hour);
    assert_eq!(settings.lifetime.absolute_timeout, 20 * hour);
    assert_eq!(settings.lifetime.touch_interval, hour / 30);
    assert!(settings.lifetime.persistent);
    assert_eq!(settings.remember, 48 * hour);
    assert_eq!(settings.max_size, 3);
    assert_eq!(settings.capacity, Some(2));
    assert_eq!(settings.prefix.as_deref(), Some("own:"));
    assert_eq!(settings.timeout, Some(Duration::from_millis(2)));
}

#[test]
fn what_configures_no_session_type_is_told() {
    let toml = r#"
        [default.sessions]
        prefix = "all:"
        cookie = "id"
        idel = "1h"
        [default.sessions.visit]
        idle = "1h"
        [default.sessions.vist]
        idle = "1h"
        [default.sessions.elsewhere]
    "#;
    let figment = figment("release", toml);
    let told = unknown_tables(&figment, &["shop", "visit"]);
    let expected = [
        ("`sessions.cookie` is neither", "`shop`, `visit`, `idle`"),
        ("`sessions.elsewhere` configures no", "`shop`, `visit`"),
        ("`sessions.idel` is neither", "did you mean `idle`?"),
        ("`sessions.vist` configures no", "did you mean `visit`?"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for (told, (start, end)) in told.iter().zip(expected) {
        assert!(told.starts_with(start) && told.contains(end), "{told}");
    }
    assert!(unknown_tables(&Figment::new(), &["visit"]).is_empty());
}

#[test]
fn a_table_that_is_none_is_refused() {
    let toml = "[default.sessions]\nvisit = \"1h\"";
    let message = read("release", &Options::new(), toml).unwrap_err();
    assert!(message.contains("[default.sessions.visit]"), "{message}");
}

#[test]
fn a_database_with_almost_the_right_name_is_told() {
    for (name, is_told) in [
        ("session", true),
        ("sesions", true),
        ("Sessions", true),
        ("sessions", false),
        ("main", false),
    ] {
        let toml = format!("[default.databases.{name}]\nurl = \"redis://localhost\"");
        let told = misnamed_database(&figment("release", &toml));
        assert_eq!(told.is_some(), is_told, "{told:?}");
    }
}
