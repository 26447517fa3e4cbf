use figment::Jail;
use rocket::figment::Figment;
use rocket::figment::providers::{Format as _, Toml};

use super::*;

fn read(toml: &str) -> Result<RedisConfig, String> {
    RedisConfig::read(&Figment::from(Toml::string(toml)))
}

fn one(toml: &str) -> ConnectionInfo {
    match read(toml)
        .unwrap_or_else(|fault| panic!("{toml}: {fault}"))
        .servers
    {
        Servers::One(info) => info,
        _ => panic!("{toml}"),
    }
}

#[test]
fn each_kind_of_servers_is_read() {
    let info = one(r#"url = "redis://ann:secret@redis.example.org:6380/3""#);
    let settings = info.redis_settings();
    assert_eq!(info.addr().to_string(), "redis.example.org:6380");
    assert_eq!(
        (settings.username(), settings.password()),
        (Some("ann"), Some("secret"))
    );
    assert_eq!(settings.db(), 3);
    let info = one(r#"url = "redis+unix:///run/redis.sock""#);
    assert_eq!(info.addr().to_string(), "/run/redis.sock");

    let config = read(
        r#"
        urls = ["redis://one:7000", "redis://two:7000"]
        username = "ann"
        password = 1234
        connect_timeout = "500ms"
        max_connections = 3
        wait_replicas = 1
        "#,
    );
    let config = config.unwrap();
    let Servers::Cluster(nodes) = &config.servers else {
        panic!()
    };
    assert_eq!(nodes[1].addr().to_string(), "two:7000");
    assert_eq!(nodes[1].redis_settings().password(), Some("1234"));
    assert_eq!(config.connect_timeout, Some(Duration::from_millis(500)));
    assert_eq!((config.max_connections, config.wait_replicas), (Some(3), 1));
    assert!(config.store().is_ok());

    let config = read(
        r#"
        password = "of the server"
        connect_timeout = 2
        [sentinel]
        master = "mymaster"
        urls = ["redis://one:26379", "redis://two:26379"]
        password = "of the sentinels"
        "#,
    );
    let config = config.unwrap();
    assert_eq!(config.connect_timeout, Some(Duration::from_secs(2)));
    let Servers::Sentinel {
        master,
        sentinels,
        server,
    } = &config.servers
    else {
        panic!()
    };
    assert_eq!(master, "mymaster");
    assert_eq!(sentinels[0].addr().to_string(), "one:26379");
    assert_eq!(
        sentinels[1].redis_settings().password(),
        Some("of the sentinels")
    );
    assert_eq!(server.redis_settings().password(), Some("of the server"));
    assert!(config.store().is_ok());
}

#[test]
#[expect(clippy::result_large_err, reason = "Jail's own error")]
fn secrets_stand_in_files_and_in_the_environment() {
    Jail::expect_with(|jail| {
        jail.create_file("password", "of a file\n")?;
        jail.set_env("REDIS_URL", "redis://redis.example.org:6379");
        jail.create_file(
            "Rocket.toml",
            r#"
            url = { env = "REDIS_URL" }
            username = "ann"
            password = { file = "password" }
            "#,
        )?;
        let config = RedisConfig::read(&Figment::from(Toml::file("Rocket.toml"))).unwrap();
        let Servers::One(info) = &config.servers else {
            panic!()
        };
        assert_eq!(info.addr().to_string(), "redis.example.org:6379");
        assert_eq!(info.redis_settings().password(), Some("of a file"));
        assert_eq!(
            config.exposed_at().as_deref(),
            Some("redis.example.org:6379")
        );
        Ok(())
    });
}

#[test]
fn a_password_is_exposed_only_on_a_network() {
    for (url, exposed) in [
        ("redis://ann:secret@redis.example.org", true),
        ("redis://redis.example.org", false),
        ("redis://ann:secret@127.0.0.1", false),
        ("redis://ann:secret@[::1]", false),
        ("redis://ann:secret@localhost", false),
        ("redis+unix:///run/redis.sock?pass=secret", false),
    ] {
        let config = read(&format!("url = \"{url}\"")).unwrap();
        assert_eq!(config.exposed_at().is_some(), exposed, "{url}");
    }
}

#[test]
fn mistakes_are_named_with_their_fix() {
    for (toml, key, fix) in [
        ("", "url", "redis://127.0.0.1:6379"),
        ("url = 7.5", "url", "file"),
        ("url = \"http://secret@x\"", "url", "redis://127.0.0.1:6379"),
        (
            "url = \"redis://:secret@h/x\"",
            "url",
            "redis://127.0.0.1:6379",
        ),
        ("url = \"rediss://:secret@h#insecure\"", "url", "ca"),
        ("url = { file = \"missing\" }", "url.file", "missing"),
        (
            "url = { env = \"NO_SUCH_VARIABLE\" }",
            "url",
            "NO_SUCH_VARIABLE",
        ),
        ("url = { fil = \"x\" }", "url", "file"),
        ("ur = \"redis://h\"", "ur", "did you mean `url`"),
        (
            "url = \"redis://h\"\npasword = \"secret\"",
            "pasword",
            "did you mean `password`",
        ),
        (
            "url = \"redis://h\"\npassword = [\"secret\"]",
            "password",
            "file",
        ),
        (
            "url = \"redis://h\"\nurls = [\"redis://h\"]",
            "urls",
            "remove one",
        ),
        ("urls = []", "urls", "at least one"),
        ("urls = \"redis://:secret@h\"", "urls", "list"),
        ("urls = [\"redis://:secret@h/2\"]", "urls", "database 0"),
        (
            "urls = [\"redis://:secret@h\", \"redis://g\"]",
            "urls",
            "the same",
        ),
        ("[sentinel]\nmaster = \"m\"", "sentinel.urls", "26379"),
        (
            "[sentinel]\nurls = [\"redis://h:26379\"]",
            "sentinel.master",
            "name",
        ),
        (
            "[sentinel]\nmaster = \"m\"\nurl = \"redis://h\"",
            "url",
            "urls",
        ),
        ("sentinel = \"secret\"", "sentinel", "table"),
        (
            "url = \"redis://h\"\nmax_connections = 0",
            "max_connections",
            "at least 1",
        ),
        (
            "url = \"redis://h\"\nmax_connections = \"secret\"",
            "max_connections",
            "number",
        ),
        (
            "url = \"redis://h\"\nconnect_timeout = 0",
            "connect_timeout",
            "500ms",
        ),
        (
            "url = \"redis://h\"\nconnect_timeout = \"soon\"",
            "connect_timeout",
            "500ms",
        ),
        (
            "url = \"redis://h\"\nwait_replicas = -1",
            "wait_replicas",
            "number",
        ),
        (
            "url = \"rediss://h\"\ntls = { cert = \"missing\" }",
            "tls.cert",
            "missing",
        ),
        (
            "url = \"rediss://h\"\ntls = { crt = \"x\" }",
            "crt",
            "did you mean `cert`",
        ),
    ] {
        let Err(fault) = read(toml) else {
            panic!("{toml}");
        };
        assert!(fault.contains(&format!("`{key}`")), "{toml}: {fault}");
        assert!(fault.contains(fix), "{toml}: {fault}");
        assert!(!fault.contains("secret"), "{toml}: {fault}");
    }
}

#[cfg(feature = "tls")]
#[test]
#[expect(clippy::result_large_err, reason = "Jail's own error")]
fn certificates_need_tls_and_must_be_some() {
    Jail::expect_with(|jail| {
        jail.create_file("junk.pem", "no certificate")?;
        for (toml, fix) in [
            (
                "url = \"redis://h\"\ntls = { ca = \"junk.pem\" }",
                "rediss://",
            ),
            ("url = \"rediss://h\"\ntls = { ca = \"junk.pem\" }", "PEM"),
            (
                "url = \"rediss://h\"\ntls = { cert = \"junk.pem\" }",
                "belong together",
            ),
        ] {
            jail.create_file("Rocket.toml", toml)?;
            let Err(fault) = RedisConfig::read(&Figment::from(Toml::file("Rocket.toml"))) else {
                panic!("{toml}");
            };
            assert!(
                fault.contains("tls") && fault.contains(fix),
                "{toml}: {fault}"
            );
        }
        Ok(())
    });
}

#[cfg(not(feature = "tls"))]
#[test]
fn tls_needs_its_feature() {
    let Err(fault) = read("url = \"rediss://h\"") else {
        panic!();
    };
    assert!(fault.contains("feature `tls`"), "{fault}");
}
