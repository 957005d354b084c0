//! Who the gateway is towards TLS clients: its certificates and the key of the first one.
//!
//! What is wrong with them is found here, when a config is read, and not by the first client.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_rustls::rustls::client::verify_server_cert_signed_by_trust_anchor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::sign::{CertifiedKey, SigningKey};
use tokio_rustls::rustls::{CertificateError, Error, RootCertStore};

/// The one source of cryptography of this program.
pub(super) fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

/// A chain of certificates, the gateway's own first; each can be read.
#[derive(Debug)]
pub struct Certificates(Vec<CertificateDer<'static>>);

impl Certificates {
    /// Reads the certificates of a text in PEM (RFC 7468); other things in it are passed over. The error
    /// fits after the file's name.
    pub fn from_pem(text: &str) -> Result<Self, String> {
        let mut chain = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            chain.push(certificate.map_err(|error| pem_fault(&error, "certificate"))?);
        }
        if chain.is_empty() {
            return Err(pem_fault(&PemError::NoItemsFound, "certificate"));
        }
        for (number, certificate) in (1..).zip(&chain) {
            if let Err(error) = ParsedCertificate::try_from(certificate) {
                let error = match error {
                    Error::InvalidCertificate(error) => error.to_string(),
                    other => other.to_string(),
                };
                return Err(format!(
                    "certificate {number} in it cannot be read ({error}), expected X.509 version 3"
                ));
            }
        }
        Ok(Self(chain))
    }
}

/// A private key that can sign; its `Debug` shows nothing of it.
pub struct PrivateKey(Arc<dyn SigningKey>);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

impl PrivateKey {
    /// Reads the first private key of a text in PEM: PKCS#8, PKCS#1 or SEC1. The error fits after the
    /// file's name and shows nothing of the key.
    pub fn from_pem(text: &str) -> Result<Self, String> {
        let key = match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
            Ok(key) => key,
            Err(PemError::NoItemsFound) if text.contains("BEGIN ENCRYPTED PRIVATE KEY") => {
                return Err(
                    "is locked with a passphrase, expected a key without one: openssl pkey -in LOCKED -out OPEN"
                        .to_owned(),
                );
            }
            Err(error) => return Err(pem_fault(&error, "private key")),
        };
        let key = provider().key_provider.load_private_key(key);
        key.map(Self).map_err(|_says_no_more| {
            "has a private key of an unknown kind, expected RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519"
                .to_owned()
        })
    }
}

/// What is wrong with a text as PEM; the reader's own words show bytes of it.
fn pem_fault(error: &PemError, wanted: &str) -> String {
    let fault = match error {
        PemError::NoItemsFound => "has none",
        PemError::MissingSectionEnd { .. } => "ends before the end of a section",
        PemError::IllegalSectionStart { .. } => "has a section that begins with no proper line",
        PemError::Base64Decode(_) => "has a section that is no base64",
        _ => "cannot be read",
    };
    let label = wanted.to_ascii_uppercase();
    format!("{fault}, expected a {wanted} in PEM (\"-----BEGIN {label}-----\")")
}

/// A chain of certificates with the key of the first one.
#[derive(Clone)]
pub struct Identity(Arc<CertifiedKey>);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificates", &self.0.cert.len())
            .finish_non_exhaustive()
    }
}

/// Where a moment lies in the time for which a certificate was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Within it.
    Current,
    /// After its end.
    ExpiredAt(SystemTime),
    /// Before its begin.
    BeginsAt(SystemTime),
}

impl Identity {
    /// `None` where the key is not that of the first certificate.
    pub fn new(certificates: Certificates, key: PrivateKey) -> Option<Self> {
        let both = CertifiedKey::new(certificates.0, key.0);
        both.keys_match().ok().map(|()| Self(Arc::new(both)))
    }

    /// Whether clients will find the first certificate to be current.
    pub fn validity(&self, now: SystemTime) -> Validity {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = |time: UnixTime| UNIX_EPOCH + Duration::from_secs(time.as_secs());
        match self.first().map(|own| dates(own, since)) {
            Some(Err(CertificateError::ExpiredContext { not_after, .. })) => {
                Validity::ExpiredAt(at(not_after))
            }
            Some(Err(CertificateError::NotValidYetContext { not_before, .. })) => {
                Validity::BeginsAt(at(not_before))
            }
            Some(Ok(()) | Err(_)) | None => Validity::Current,
        }
    }

    /// The gateway's own certificate.
    pub fn first(&self) -> Option<&CertificateDer<'static>> {
        self.0.cert.first()
    }

    pub(super) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0)
    }
}

/// The judgement of a verifier that trusts nobody: it looks at the dates before it looks for an issuer.
fn dates(certificate: &CertificateDer<'_>, since_epoch: Duration) -> Result<(), CertificateError> {
    let parsed = match ParsedCertificate::try_from(certificate) {
        Ok(parsed) => parsed,
        Err(Error::InvalidCertificate(error)) => return Err(error),
        Err(_) => return Err(CertificateError::BadEncoding),
    };
    let judgement = verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &RootCertStore::empty(),
        &[],
        UnixTime::since_unix_epoch(since_epoch),
        provider().signature_verification_algorithms.all,
    );
    match judgement {
        Err(Error::InvalidCertificate(error)) => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    /// A certificate of the years 2020 to 2029 and its key.
    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2030, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn identity((certificate, key): (&str, &str)) -> Option<Identity> {
        let certificates = Certificates::from_pem(certificate).unwrap();
        Identity::new(certificates, PrivateKey::from_pem(key).unwrap())
    }

    #[test]
    fn a_key_fits_its_own_certificate_and_no_other() {
        let (certificate, key) = pair();
        assert!(identity((&certificate, &key)).is_some());
        assert!(identity((&certificate, &pair().1)).is_none());
        let both = format!("{key}\n{certificate}");
        assert!(identity((&both, &both)).is_some(), "both in one file");
        let (ca, _) = pair();
        let chain = format!("{certificate}{ca}");
        let chained = identity((&chain, &key)).unwrap();
        assert_eq!(chained.0.cert.len(), 2);
        assert!(identity((&format!("{ca}{certificate}"), &key)).is_none());
    }

    #[test]
    fn what_cannot_be_used_is_told_without_its_bytes() {
        let (certificate, key) = pair();
        let fault = |text: &str| Certificates::from_pem(text).unwrap_err();
        let broken = key.lines().nth(1).unwrap();
        let cut_off = certificate.lines().take(3).collect::<Vec<_>>().join("\n");
        for (text, part) in [
            ("", "has none, expected a certificate in PEM"),
            (&key, "has none"),
            (&cut_off, "ends before the end of a section"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "certificate 1 in it cannot be read",
            ),
        ] {
            assert!(fault(text).contains(part), "{}", fault(text));
        }
        let fault = |text: &str| PrivateKey::from_pem(text).unwrap_err();
        let section =
            |label: &str| format!("-----BEGIN {label}-----\n{broken}\n-----END {label}-----\n");
        for (text, part) in [
            (certificate, "has none, expected a private key in PEM"),
            (section("ENCRYPTED PRIVATE KEY"), "passphrase"),
            (section("PRIVATE KEY"), "of an unknown kind"),
        ] {
            assert!(fault(&text).contains(part), "{}", fault(&text));
            assert!(!fault(&text).contains(broken));
        }
    }

    #[test]
    fn a_certificate_is_current_between_its_dates() {
        let (certificate, key) = pair();
        let identity = identity((&certificate, &key)).unwrap();
        let year = |year: u64| {
            UNIX_EPOCH
                + Duration::from_secs(
                    date_time_ymd(i32::try_from(year).unwrap(), 1, 1)
                        .unix_timestamp()
                        .unsigned_abs(),
                )
        };
        assert_eq!(identity.validity(year(2025)), Validity::Current);
        assert_eq!(
            identity.validity(year(2031)),
            Validity::ExpiredAt(year(2030))
        );
        assert_eq!(
            identity.validity(year(2019)),
            Validity::BeginsAt(year(2020))
        );
    }

    #[test]
    fn debug_shows_no_key() {
        let (certificate, key) = pair();
        let shown = format!("{:?}", identity((&certificate, &key)).unwrap());
        assert_eq!(shown, "Identity { certificates: 1, .. }");
    }
}
