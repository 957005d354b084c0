//! Looks for secrets in texts, in every form in which one gets somewhere by accident.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// As much of a secret as is too much.
const PIECE: usize = 12;

/// The secrets that are looked for: every piece of each, as it is, in hex, percent-encoded and in base64.
#[derive(Debug, Default)]
pub(super) struct Sweep(Vec<(String, String)>);

impl Sweep {
    /// Looks for this secret, too; `name` is what a finding calls it.
    pub(super) fn secret(mut self, name: &str, secret: &str) -> Self {
        let bytes = secret.as_bytes();
        assert!(
            bytes.len() >= 2 * PIECE,
            "{name} is too short to be told from chance"
        );
        for piece in bytes.windows(PIECE) {
            let percent = percent_encoded(piece);
            let forms = [
                String::from_utf8(piece.to_vec()).unwrap(),
                hex::encode(piece),
                hex::encode_upper(piece),
                percent.to_uppercase(),
                percent,
                // The same piece, wherever in groups of three it begins.
                STANDARD.encode(piece),
                URL_SAFE.encode(piece),
            ];
            self.0.extend(forms.map(|form| (name.to_owned(), form)));
        }
        self
    }

    /// Which of the secrets are in a text.
    pub(super) fn found_in(&self, text: &str) -> Vec<&str> {
        let found = self.0.iter().filter(|(_, form)| text.contains(form));
        let mut names: Vec<_> = found.map(|(name, _)| name.as_str()).collect();
        names.dedup();
        names
    }
}

/// Every byte of it, also those that nobody has to encode.
fn percent_encoded(bytes: &[u8]) -> String {
    let encoded: Vec<_> = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
    encoded.concat()
}

#[test]
fn a_sweep_finds_a_piece_of_a_secret_in_any_form_and_nothing_else() {
    let secret = "q7Zk0vXw3Lr9Tb5Yc1Hn8Pd2Gs6Mf4";
    let sweep = Sweep::default().secret("it", secret);
    for start in 0..6 {
        let piece = &secret.as_bytes()[start..start + 18];
        for form in [
            String::from_utf8(piece.to_vec()).unwrap(),
            hex::encode(piece),
            percent_encoded(piece).to_uppercase(),
            STANDARD.encode(piece),
            URL_SAFE.encode([b"xy", piece].concat()),
            STANDARD.encode([b"z", piece].concat()),
        ] {
            assert_eq!(sweep.found_in(&format!("..{form}..")), ["it"], "{form}");
        }
    }
    assert_eq!(sweep.found_in(secret.split_at(PIECE - 1).0), [""; 0]);
}
