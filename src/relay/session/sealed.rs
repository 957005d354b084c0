//! The id of a session: a sealed text with all that is needed to make the session anew where it is not in memory, because
//! the gateway was restarted or because nobody has used the session for a while.
//!
//! It is bound to the token's entry in the config and to the path that the session was opened on; a token whose entry has
//! changed in anything has no sessions. It lives for [`LIFE`], whoever uses it. 68 characters of base64url.

use std::time::{Duration, SystemTime};

use super::Agreed;
use crate::fault::Fault;
use crate::protocol::era::LEGACY_REVISIONS;
use crate::relay::api::Target;
use crate::relay::bridge::features::Features;
use crate::relay::seal::{Purpose, Sealer};
use crate::types::TokenFingerprint;

/// How long after a session was opened it can be made anew.
pub(super) const LIFE: Duration = Duration::from_hours(90 * 24);
/// The form of the content.
const VERSION: u8 = 1;
/// Version, revision and features, which stand before the time.
const HEAD: usize = 3;

/// A new id for a session; no two are the same.
pub(super) fn seal(
    sealer: &Sealer,
    token: &TokenFingerprint,
    target: &Target,
    agreed: &Agreed,
    now: SystemTime,
) -> Result<String, Fault> {
    let revision = LEGACY_REVISIONS
        .iter()
        .position(|known| *known == agreed.revision)
        .and_then(|at| u8::try_from(at).ok())
        .unwrap_or(u8::MAX);
    let features = agreed.features.to_bits();
    let time = seconds(now).to_be_bytes();
    let content = [&[VERSION, revision, features][..], &time].concat();
    sealer.seal(Purpose::SessionId, &binding(token, target), &content)
}

/// What was agreed on in the session with this id; `None` where it is not a genuine id of this token on this path, or has
/// expired.
///
/// Of the client's capabilities only those that the gateway knows are left: a process of the session's own is not told of
/// extensions and experimental ones again.
pub(super) fn open(
    sealer: &Sealer,
    token: &TokenFingerprint,
    target: &Target,
    id: &str,
    now: SystemTime,
) -> Option<Agreed> {
    let content = sealer.open(Purpose::SessionId, &binding(token, target), id);
    let content = content.ok()?;
    let ([version, revision, features], time) = content.split_first_chunk::<HEAD>()?;
    let opened = u64::from_be_bytes(time.try_into().ok()?);
    if *version != VERSION || seconds(now) >= opened.saturating_add(LIFE.as_secs()) {
        return None;
    }
    let features = Features::from_bits(*features);
    Some(Agreed {
        revision: LEGACY_REVISIONS.get(usize::from(*revision)).copied()?,
        features,
        capabilities: features.to_json().into(),
    })
}

fn binding<'a>(token: &'a TokenFingerprint, target: &'a Target) -> [&'a [u8]; 2] {
    let target = match target {
        Target::Server(server) => server.as_str(),
        // No server has an empty id.
        Target::All => "",
    };
    [token.bytes(), target.as_bytes()]
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::era::NEWEST_LEGACY;
    use crate::state_dir::StateDir;
    use crate::types::wall;

    const ALICE: TokenFingerprint = TokenFingerprint::new([7; 32]);
    const BOB: TokenFingerprint = TokenFingerprint::new([8; 32]);

    fn agreed(capabilities: &str) -> Agreed {
        Agreed {
            revision: NEWEST_LEGACY,
            features: Features::read(capabilities.as_bytes()).unwrap(),
            capabilities: capabilities.into(),
        }
    }

    /// RA13: an id says what was agreed on, to its own token on its own path, and for its time.
    #[test]
    fn an_id_opens_for_its_token_and_path_only() {
        let sealer = Sealer::load(&StateDir::in_memory()).unwrap();
        let (files, now) = (Target::Server("files".parse().unwrap()), wall::now());
        let said = agreed(r#"{"elicitation":{"url":{}},"roots":{"listChanged":true},"x":{}}"#);
        let id = seal(&sealer, &ALICE, &files, &said, now).unwrap();
        assert_eq!(id.len(), 68);
        assert_ne!(seal(&sealer, &ALICE, &files, &said, now).unwrap(), id);

        let found = open(&sealer, &ALICE, &files, &id, now).unwrap();
        assert_eq!(
            (found.revision, found.features),
            (said.revision, said.features)
        );
        assert_eq!(
            &*found.capabilities,
            r#"{"elicitation":{"url":{}},"roots":{}}"#
        );

        assert!(open(&sealer, &BOB, &files, &id, now).is_none());
        assert!(open(&sealer, &ALICE, &Target::All, &id, now).is_none());
        let file = Target::Server("file".parse().unwrap());
        assert!(open(&sealer, &ALICE, &file, &id, now).is_none());
        let at = |after| open(&sealer, &ALICE, &files, &id, now + after);
        assert!(at(LIFE.saturating_sub(Duration::from_secs(1))).is_some());
        assert!(at(LIFE).is_none());
        let other = Sealer::load(&StateDir::in_memory()).unwrap();
        assert!(open(&other, &ALICE, &files, &id, now).is_none());
    }
}
