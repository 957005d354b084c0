//! Which gateway a verb believes to talk to, where its config has a certificate.
//!
//! Whoever shows the very certificate of `tls.cert_file`, and proves to have its key, is the gateway of this config:
//! then neither the name in it matters, nor its issuer and dates, and one that somebody has signed with it does
//! not pass. Any other certificate is judged as the rest of this system would: one that was renewed and not
//! reloaded yet, or that of a proxy before the gateway, which `--url` names.

use std::fmt;
use std::sync::Arc;

use rustls_platform_verifier::Verifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
    verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme,
};

/// A client's side of TLS that knows the gateway by its certificate.
pub(super) fn client(own: CertificateDer<'static>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let trust = Trust {
        own,
        algorithms: provider.signature_verification_algorithms,
        provider: Arc::clone(&provider),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust))
        .with_no_client_auth();
    Ok(config)
}

#[derive(Debug)]
struct Trust {
    own: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
    provider: Arc<CryptoProvider>,
}

/// What is shown is not what was expected.
#[derive(Debug)]
struct NotOurs(Error);

impl fmt::Display for NotOurs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "its certificate is not that of tls.cert_file in the config, nor one that this system trusts ({})",
            self.0
        )
    }
}

impl std::error::Error for NotOurs {}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *shown == self.own {
            return Ok(ServerCertVerified::assertion());
        }
        // Made here because it reads the certificates of the whole system.
        Verifier::new(Arc::clone(&self.provider))
            .and_then(|system| system.verify_server_cert(shown, intermediates, name, ocsp, now))
            .map_err(|error| Error::Other(OtherError(Arc::new(NotOurs(error)))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, shown, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, shown, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_of_the_config_is_known_whatever_stands_in_it() {
        let key = rcgen::KeyPair::generate().unwrap();
        let made = |name: &str| {
            let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.self_signed(&key).unwrap().der().clone()
        };
        let (own, other) = (made("gateway.lan"), made("127.0.0.1"));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let trust = Trust {
            own: own.clone(),
            algorithms: provider.signature_verification_algorithms,
            provider,
        };
        let judge = |shown| {
            let name = ServerName::try_from("127.0.0.1").unwrap();
            let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(2_000_000_000));
            trust.verify_server_cert(shown, &[], &name, &[], now)
        };
        assert!(judge(&own).is_ok());
        let refused = judge(&other).unwrap_err().to_string();
        assert!(refused.contains("not that of tls.cert_file"), "{refused}");
    }
}
