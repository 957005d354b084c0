//! What the loader promises about `tls`.

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::{Fixture, chmod, with};

/// A folder with `cert.pem` and `key.pem` in it.
fn fixture() -> Fixture {
    let fixture = Fixture::new(&[]);
    pair(&fixture, "cert.pem", "key.pem", 2090);
    fixture
}

/// Writes a certificate that is good until a year, and its key.
fn pair(fixture: &Fixture, certificate: &str, key: &str, until: i32) {
    let pair = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    fixture.write(certificate, &params.self_signed(&pair).unwrap().pem());
    fixture.write(key, &pair.serialize_pem());
}

fn tls(certificate: &str, key: &str) -> String {
    with(&format!(
        "\n\"tls\": {{ \"cert_file\": \"{certificate}\",\n\"key_file\": \"{key}\" }}"
    ))
}

/// The faults, the folder shortened to nothing.
fn faults(fixture: &Fixture, text: &str) -> String {
    let folder = format!("{}/", fixture.dir.path().display());
    fixture.faults(text).replace(&folder, "")
}

#[test]
fn with_tls_the_network_may_be_listened_on_and_only_pages_by_https_are_ours() {
    let fixture = fixture();
    let file =
        r#""bind_host": "192.0.2.1", "tls": { "cert_file": "cert.pem", "key_file": "~/key.pem" }"#;
    let config = fixture.load(&with(file)).expect("faults");
    assert_eq!(
        config.warnings,
        ["servers (line 1): no server is configured"]
    );
    assert!(config.http.tls.is_some());
    let origins = &config.http.admission.allowed_origins;
    assert!(origins.contains(&"https://192.0.2.1:7411".to_owned()));
    assert!(
        origins.iter().all(|origin| origin.starts_with("https://")),
        "{origins:?}"
    );

    let given = format!(r#"{file}, "allowed_origins": ["http://localhost:6274"]"#);
    let config = fixture.load(&with(&given)).expect("faults");
    assert_eq!(
        config.http.admission.allowed_origins,
        ["http://localhost:6274"]
    );
}

#[test]
fn each_file_is_named_with_what_is_wrong_and_what_was_expected() {
    let fixture = fixture();
    pair(&fixture, "other.pem", "other-key.pem", 2090);
    fixture.write("text.pem", "no PEM");
    std::fs::write(fixture.dir.path().join("cert.der"), b"\x30\x82").unwrap();
    let key = std::fs::read_to_string(fixture.dir.path().join("key.pem")).unwrap();
    fixture.write("locked.pem", &key.replace("PRIVATE", "ENCRYPTED PRIVATE"));

    insta::assert_snapshot!(faults(&fixture, &tls("none.pem", "none-key.pem")), @r##"
c.json: tls.cert_file (line 2): none.pem: there is no such file
c.json: tls.key_file (line 3): none-key.pem: there is no such file
"##);
    insta::assert_snapshot!(faults(&fixture, &tls("text.pem", "text.pem")), @r##"
c.json: tls.cert_file (line 2): text.pem: has none, expected a certificate in PEM ("-----BEGIN CERTIFICATE-----")
c.json: tls.key_file (line 3): text.pem: has none, expected a private key in PEM ("-----BEGIN PRIVATE KEY-----")
"##);
    insta::assert_snapshot!(faults(&fixture, &tls("key.pem", "cert.pem")), @r##"
c.json: tls.cert_file (line 2): key.pem: has none, expected a certificate in PEM ("-----BEGIN CERTIFICATE-----")
c.json: tls.key_file (line 3): cert.pem: has none, expected a private key in PEM ("-----BEGIN PRIVATE KEY-----")
"##);
    insta::assert_snapshot!(faults(&fixture, &tls("cert.der", "key.pem")), @"c.json: tls.cert_file (line 2): cert.der: is not UTF-8: the byte at offset 1 cannot stand there, expected PEM");
    insta::assert_snapshot!(faults(&fixture, &tls("cert.pem", "locked.pem")), @r##"c.json: tls.key_file (line 3): locked.pem: is locked with a passphrase, expected a key without one: openssl pkey -in LOCKED -out OPEN"##);
    insta::assert_snapshot!(faults(&fixture, &tls("cert.pem", "other-key.pem")), @r##"c.json: tls.key_file (line 3): other-key.pem: is not the key of the first certificate in cert.pem, expected the two that were made together"##);
    insta::assert_snapshot!(faults(&fixture, &with("\n\"tls\": {}")), @r##"
c.json: tls.cert_file (line 2): is required: a file with the certificate of the gateway, and those that lead to its root, in PEM
c.json: tls.key_file (line 2): is required: a file with the private key of that certificate in PEM, mode 0600
"##);
    let inline = key.replace('\n', "\\n");
    insta::assert_snapshot!(faults(&fixture, &tls("cert.pem", &inline)), @"c.json: tls.key_file (line 3): is a text in PEM, expected the path of a file that holds it");
    insta::assert_snapshot!(faults(&fixture, &with("\n\"tls\": true")), @r##"c.json: tls (line 2): expected an object, found true or false"##);
    insta::assert_snapshot!(faults(&fixture, &with("\n\"tls\": { \"cert\": \"x\" }")), @r##"
c.json: tls.cert (line 2): unknown key
c.json: tls.cert_file (line 2): is required: a file with the certificate of the gateway, and those that lead to its root, in PEM
c.json: tls.key_file (line 2): is required: a file with the private key of that certificate in PEM, mode 0600
"##);
}

#[test]
fn a_key_that_others_can_read_and_a_certificate_that_they_can_write_are_refused() {
    let fixture = fixture();
    let at = |name: &str| fixture.dir.path().join(name);
    chmod(&at("key.pem"), 0o604);
    chmod(&at("cert.pem"), 0o644);
    insta::assert_snapshot!(faults(&fixture, &tls("cert.pem", "key.pem")), @r##"c.json: tls.key_file (line 3): key.pem: can be read by others (mode 0604): chmod 600 it; a file that is mounted cannot be changed here, Kubernetes wants "defaultMode": 0440 and an "fsGroup", Docker "mode": 0400"##);
    chmod(&at("key.pem"), 0o400);
    assert!(fixture.load(&tls("cert.pem", "key.pem")).is_ok());
    chmod(&at("cert.pem"), 0o666);
    insta::assert_snapshot!(faults(&fixture, &tls("cert.pem", "key.pem")), @r##"c.json: tls.cert_file (line 2): cert.pem: can be written by others (mode 0666): chmod go-w it"##);
}

#[test]
fn what_clients_will_not_take_or_nobody_can_mean_is_warned_of() {
    let fixture = fixture();
    pair(&fixture, "old.pem", "old-key.pem", 2024);
    let files = r#""tls": { "cert_file": "old.pem", "key_file": "old-key.pem" }"#;
    let text = with(&format!(r#""allow_plaintext": true, {files}"#));
    let warnings = fixture.load(&text).expect("faults").warnings.join("\n");
    let folder = format!("{}/", fixture.dir.path().display());
    insta::assert_snapshot!(warnings.replace(&folder, ""), @r##"
servers (line 1): no server is configured
allow_plaintext (line 1): changes nothing beside "tls": every connection is TLS
tls.cert_file (line 1): old.pem: the first certificate in it has expired on 2024-01-01T00:00:00.000Z: clients will refuse it
"##);
}
