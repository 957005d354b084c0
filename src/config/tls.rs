//! `tls`: the certificate and key that clients know the gateway by.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::disk::{self, Refusal};
use super::file::File;
use super::reader::Scope;
use super::values::Text;
use crate::http::{Certificates, Identity, PrivateKey, Tls, Validity};
use crate::types::wall;

/// TLS as the file wants it; `None` where it wants none, and after a fault. `folder` is where relative paths
/// begin.
pub(super) fn build(file: &File, folder: &Path, scope: &mut Scope<'_>) -> Option<Tls> {
    let tls = file.tls.get()?;
    if file.allow_plaintext.get() == Some(&true) {
        let text = "changes nothing beside \"tls\": every connection is TLS";
        scope.warn(&file.allow_plaintext.place, text);
    }
    let why = "a file with the certificate of the gateway, and those that lead to its root, in PEM";
    let certificates = tls.cert_file.required(why, scope).and_then(|text| {
        let pem = read(text, folder, scope)?;
        let certificates = Certificates::from_pem(&pem.text);
        said(certificates, text, &pem, scope).map(|certificates| (certificates, text, pem))
    });
    let why = "a file with the private key of that certificate in PEM, mode 0600";
    let key = tls.key_file.required(why, scope).and_then(|text| {
        let pem = read(text, folder, scope)?;
        let private = pem.private.clone();
        said(private, text, &pem, scope)?;
        let key = PrivateKey::from_pem(&pem.text);
        said(key, text, &pem, scope).map(|key| (key, text, pem))
    });
    let ((certificates, cert_text, cert_pem), (key, key_text, key_pem)) = (certificates?, key?);
    let Some(identity) = Identity::new(certificates, key) else {
        let reason = format!(
            "is not the key of the first certificate in {}, expected the two that were made together",
            cert_pem.path.display()
        );
        return said(Err(reason), key_text, &key_pem, scope);
    };
    let dates = match identity.validity(wall::now()) {
        Validity::Current => None,
        Validity::ExpiredAt(end) => Some(format!("has expired on {}", wall::rfc3339(end))),
        Validity::BeginsAt(begin) => Some(format!("is not valid before {}", wall::rfc3339(begin))),
    };
    if let Some(dates) = dates {
        let path = cert_pem.path.display();
        let text = format!("{path}: the first certificate in it {dates}: clients will refuse it");
        scope.warn(&cert_text.place, text);
    }
    said(
        Tls::new(identity).map_err(|error| error.to_string()),
        cert_text,
        &cert_pem,
        scope,
    )
}

/// A file that was read.
struct Pem {
    path: PathBuf,
    text: Zeroizing<String>,
    /// Whether its owner alone can read it.
    private: Result<(), String>,
}

/// Reads a file by the rules of a config: no other user may change who the gateway is.
fn read(text: &Text, folder: &Path, scope: &mut Scope<'_>) -> Option<Pem> {
    // The key itself in the place of its path must not be shown as a path that does not exist.
    if text.value.contains("-----BEGIN") {
        let reason = "is a text in PEM, expected the path of a file that holds it";
        return scope.fault(&text.place, reason);
    }
    let Some(path) = scope.env.path(&text.value).map(|path| folder.join(path)) else {
        let reason = "begins with \"~\", and there is no home directory";
        return scope.fault(&text.place, reason);
    };
    match disk::read(&path, scope.env.uid()) {
        Ok(source) => Some(Pem {
            private: source.check_private(),
            path,
            text: source.text,
        }),
        Err(refusal) => {
            let expected = match &refusal {
                Refusal::NotText(_) => ", expected PEM",
                Refusal::Missing | Refusal::Because(_) => "",
            };
            let fault = format!("{}: {}{expected}", path.display(), refusal.text());
            scope.fault(&text.place, fault)
        }
    }
}

/// What was made of a file, or a fault that names it.
fn said<T>(made: Result<T, String>, text: &Text, pem: &Pem, scope: &mut Scope<'_>) -> Option<T> {
    match made {
        Ok(made) => Some(made),
        Err(reason) => scope.fault(&text.place, format!("{}: {reason}", pem.path.display())),
    }
}
