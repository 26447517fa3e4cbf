use rocket::figment::Profile;
use rocket::figment::providers::{Format as _, Toml};

use super::*;

fn read(profile: &str, declared: &Options, toml: &str) -> Result<Settings, String> {
    let figment = Figment::from(Config::debug_default())
        .merge(Toml::string(toml).nested())
        .select(Profile::new(profile));
    Settings::read(&figment, "visit", declared)
}

#[test]
fn defaults_are_secure_in_release_and_work_without_tls_in_debug() {
    let release = read("release", &Options::new(), "").unwrap();
    assert_eq!(release.cookie.name, "__Host-id");
    assert!(release.cookie.secure);
    assert_eq!(release.cookie.same_site, SameSite::Lax);
    assert_eq!(release.cookie.path, "/");
    assert_eq!(release.expiry, Expiry::default());
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
        .persistent(false);
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
        capacity = 7
        prefix = "b:"
        timeout = "250ms"
    "#;
    let settings = read("release", &declared, toml).unwrap();
    let mut expiry = Expiry::new(Duration::from_secs(3600), Duration::from_secs(86_400));
    expiry.touch_interval = Duration::from_secs(90);
    expiry.persistent = true;
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
            expiry,
            capacity: Some(7),
            prefix: Some("b:".into()),
            timeout: Some(Duration::from_millis(250)),
        }
    );
}

#[test]
fn faults_name_the_key_and_the_fix() {
    for (line, key, fix) in [
        ("idel = \"1h\"", "idel", "idle"),
        ("idle = \"1 fortnight\"", "idle", "30m"),
        ("idle = 30", "idle", "string"),
        ("idle = \"0s\"", "idle", "a millisecond"),
        ("idle = \"1ns\"", "idle", "a millisecond"),
        ("idle = \"18446744073709551615s 1000ms\"", "idle", "30m"),
        ("cookie = \"__host-id\"\nsecure = false", "cookie", "remove"),
        ("domain = \"a..b\"", "domain", "example.com"),
        ("absolute = \"0s\"", "absolute", "a millisecond"),
        ("idle = \"13h\"", "idle", "shorter"),
        ("absolute = \"1m\"", "idle", "shorter"),
        ("touch = \"31m\"", "touch", "shorter"),
        ("same_site = \"lax\"", "same_site", "\"Lax\""),
        (
            "same_site = \"None\"\nsecure = false",
            "same_site",
            "secure = true",
        ),
        ("cookie = \"a b\"", "cookie", "letters"),
        ("cookie = \"\"", "cookie", "letters"),
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
        ("path = \"app\"", "path", "begin with `/`"),
        ("path = \"/;Domain=evil\"", "path", "without `;`"),
        ("domain = \"https://a.b\"", "domain", "example.com"),
        ("domain = \"\"", "domain", "example.com"),
        ("capacity = 0", "capacity", "at least 1"),
        ("timeout = \"0s\"", "timeout", "a millisecond"),
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
