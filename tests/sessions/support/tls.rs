use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::process::Folder;

/// A certificate authority, its certificate for `127.0.0.1` and `localhost`, and one for a client, as PEM
/// files. The files exist until the last copy of this, and the last server that uses them, are dropped.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    folder: Arc<Folder>,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        Self::until(4096)
    }

    /// The certificates of the server and the client have expired, the authority's has not.
    pub(crate) fn expired() -> Self {
        Self::until(2020)
    }

    fn until(year: i32) -> Self {
        let folder = Arc::new(Folder::new("certificates"));
        let certificates = Self { folder };
        let key = KeyPair::generate().unwrap();
        let mut params = params("authority of the tests", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let ca = params.self_signed(&key).unwrap();
        fs::write(certificates.ca(), ca.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        certificates.issue("server", &["127.0.0.1", "localhost"], year, &issuer);
        certificates.issue("client", &[], year, &issuer);
        certificates
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.file("ca.crt")
    }

    pub(crate) fn server(&self) -> PathBuf {
        self.file("server.crt")
    }

    pub(crate) fn server_key(&self) -> PathBuf {
        self.file("server.key")
    }

    pub(crate) fn client(&self) -> PathBuf {
        self.file("client.crt")
    }

    pub(crate) fn client_key(&self) -> PathBuf {
        self.file("client.key")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn issue(&self, name: &str, hosts: &[&str], year: i32, issuer: &Issuer<'_, KeyPair>) {
        let key = KeyPair::generate().unwrap();
        let mut params = params(name, hosts);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        // Servers are also the clients of other servers.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !hosts.is_empty() {
            let server = ExtendedKeyUsagePurpose::ServerAuth;
            params.extended_key_usages.push(server);
        }
        let certificate = params.signed_by(&key, issuer).unwrap();
        fs::write(self.file(&format!("{name}.crt")), certificate.pem()).unwrap();
        fs::write(self.file(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

fn params(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

#[test]
fn a_tls_port_answers_no_plain_text() {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::redis::RedisServer;

    let server = RedisServer::start_tls(&Certificates::new(), true);
    assert_eq!(server.command::<String>(&["PING"]), "PONG");
    let mut client = TcpStream::connect(("127.0.0.1", server.tls_port())).unwrap();
    client.write_all(b"PING\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("PONG"));
}
