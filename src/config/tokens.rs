//! Who may enter: tokens from the file, from files of their own and from variables. Only their SHA-256
//! is kept.

use std::collections::BTreeSet;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::disk::{self, Refusal};
use super::expand::likely_name;
use super::fault::Place;
use super::file::{File, Token};
use super::nearest::nearest;
use super::reader::{Field, Placed, Scope};
use super::strength::{Strength, strength};
use super::time::parse_rfc3339;
use super::values::Text;
use crate::http::TokenEntry;
use crate::types::{Principal, PrincipalId, Secret, ServerId, wall};

/// The name of the principal behind `auth_token`.
const DEFAULT_NAME: &str = "default";

/// The tokens, and what must be known of where they came from.
#[derive(Default)]
pub(super) struct Tokens {
    pub(super) entries: Vec<TokenEntry>,
    /// Variables that hold a token, so that no server inherits them.
    pub(super) variables: BTreeSet<String>,
    /// The place of a token that stands in the config file itself.
    pub(super) inline: Option<Place>,
    places: Vec<Place>,
}

/// Reads all tokens. `servers` are the ids that a token may be limited to, `folder` is where relative
/// paths begin.
pub(super) fn build(
    file: &File,
    servers: &[ServerId],
    folder: &Path,
    scope: &mut Scope<'_>,
) -> Tokens {
    let mut tokens = Tokens::default();
    if let Some(digest) = own_token(file, folder, &mut tokens, scope) {
        let place = if file.auth_token.is_given() {
            &file.auth_token.place
        } else {
            &file.auth_token_file.place
        };
        let principal = (DEFAULT_NAME, true, None);
        tokens.add(digest, place, principal, None, scope);
    }
    for token in file.tokens.get().map(Vec::as_slice).unwrap_or_default() {
        listed(token, servers, folder, &mut tokens, scope);
    }
    let listed = file
        .tokens
        .get()
        .map_or(file.tokens.is_given(), |list| !list.is_empty());
    if !file.auth_token.is_given() && !file.auth_token_file.is_given() && !listed {
        let text = "is required: nobody could enter without a token, give \"auth_token\", \"auth_token_file\" or \"tokens\"";
        scope.fault::<()>(&file.auth_token.place, text);
    }
    tokens
}

/// The digest of `auth_token` or of the token in `auth_token_file`.
fn own_token(
    file: &File,
    folder: &Path,
    tokens: &mut Tokens,
    scope: &mut Scope<'_>,
) -> Option<[u8; 32]> {
    let (inline, in_file) = (&file.auth_token, &file.auth_token_file);
    if inline.is_given() && in_file.is_given() {
        let text = "stands beside \"auth_token\", give one of them";
        return scope.fault(&in_file.place, text);
    }
    if let Some(token) = inline.get() {
        if token.variables.is_empty() {
            tokens.inline = Some(inline.place.clone());
        }
        tokens.variables.extend(token.variables.iter().cloned());
        return digest(&token.value, &inline.place, scope);
    }
    let secret = from_file(in_file.get()?, folder, scope)?;
    digest(&secret, &in_file.place, scope)
}

/// One entry of `tokens`.
fn listed(
    Placed {
        place,
        value: token,
    }: &Placed<Token>,
    servers: &[ServerId],
    folder: &Path,
    tokens: &mut Tokens,
    scope: &mut Scope<'_>,
) {
    let name = token_name(token, scope);
    let digest = listed_digest(token, place, (folder, tokens), scope);
    let reach = token
        .servers
        .get()
        .map(|list| reach(token, list, servers, scope));
    let expires_at = token.expires_at.get().and_then(|text| {
        let Some(time) = parse_rfc3339(&text.value) else {
            let text_shown = text.shown();
            let reason = "is no time, expected such as \"2027-01-31T00:00:00Z\"";
            return scope.fault(&text.place, format!("{text_shown} {reason}"));
        };
        if time <= wall::now() {
            scope.warn(&text.place, "is past: the token is refused");
        }
        Some(time)
    });
    if let (Some(name), Some(digest)) = (name, digest) {
        let admin = token.admin.get() == Some(&true);
        let principal = (name, admin, reach);
        tokens.add(digest, place, principal, expires_at, scope);
    }
}

fn token_name<'t>(token: &'t Token, scope: &mut Scope<'_>) -> Option<&'t str> {
    let name = token
        .name
        .required("the name of its holder in logs", scope)?;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
    if name.value.is_empty() || name.value.len() > 64 || !name.value.chars().all(legal) {
        let text = "expected 1 to 64 letters, digits, \".\", \"_\", \"-\" or \"@\"";
        return scope.fault(&name.place, text);
    }
    Some(&name.value)
}

/// The digest from whichever one of `sha256`, `file` and `env` is given.
fn listed_digest(
    token: &Token,
    place: &Place,
    (folder, tokens): (&Path, &mut Tokens),
    scope: &mut Scope<'_>,
) -> Option<[u8; 32]> {
    let given = [&token.sha256, &token.file, &token.env].map(Field::is_given);
    if given.into_iter().filter(|given| *given).count() != 1 {
        let text = "expected exactly one of \"sha256\", \"file\" and \"env\"";
        return scope.fault(place, text);
    }
    if let Some(text) = token.sha256.get() {
        let hex = text.value.strip_prefix("sha256:").unwrap_or(&text.value);
        let mut digest = [0; 32];
        if hex::decode_to_slice(hex, &mut digest).is_err() {
            let expected = "expected the SHA-256 of the token, 64 hex digits";
            return scope.fault(&text.place, expected);
        }
        if digest == <[u8; 32]>::from(Sha256::digest("")) {
            return scope.fault(&text.place, "is the SHA-256 of nothing");
        }
        return Some(digest);
    }
    if let Some(text) = token.file.get() {
        let secret = from_file(text, folder, scope)?;
        return digest(&secret, &text.place, scope);
    }
    let name = token.env.get()?;
    let Some(value) = scope.env.var(&name.value) else {
        let text = match likely_name(&name.value) {
            Some(name) => format!("the variable {name} is not set"),
            None => "no variable of that name is set, expected a name such as MCP_TOKEN".to_owned(),
        };
        return scope.unset_fault(&name.place, text);
    };
    tokens.variables.insert(name.value.clone());
    let secret = Secret::new(value.to_string_lossy().into_owned());
    digest(&secret, &name.place, scope)
}

/// The servers that a token reaches.
fn reach<'s>(
    token: &Token,
    list: &[Text],
    servers: &'s [ServerId],
    scope: &mut Scope<'_>,
) -> Vec<&'s ServerId> {
    if list.is_empty() && token.servers.is_given() {
        let text =
            "is empty: the token would reach nothing, leave the key out to reach all servers";
        scope.fault::<()>(&token.servers.place, text);
    }
    let mut reached = Vec::with_capacity(list.len());
    for text in list {
        let Some(id) = servers.iter().find(|id| id.as_str() == text.value) else {
            let known = servers.iter().map(ServerId::as_str);
            let hint = nearest(&text.value, known)
                .map_or_else(String::new, |near| format!(", did you mean {near:?}"));
            let shown = text.shown();
            scope.fault::<()>(&text.place, format!("no server is called {shown}{hint}"));
            continue;
        };
        reached.push(id);
    }
    reached
}

/// A token in a file of its own: one line, with or without a newline at its end.
pub(super) fn from_file(path: &Text, folder: &Path, scope: &mut Scope<'_>) -> Option<Secret> {
    let place = &path.place;
    let Some(file) = scope.env.path(&path.value).map(|path| folder.join(path)) else {
        return scope.fault(place, "begins with \"~\", and there is no home directory");
    };
    let source = match disk::read(&file, scope.env.uid()) {
        Ok(source) => source,
        // A name without a folder may be the token itself in the wrong key: it is not shown.
        Err(Refusal::Missing) if !path.value.contains('/') => {
            let text = format!("there is no file of that name in {}", folder.display());
            return scope.fault(place, text);
        }
        Err(refusal) => {
            let text = format!("{}: {}", file.display(), refusal.text());
            return scope.fault(place, text);
        }
    };
    let line = source.text.strip_suffix('\n').unwrap_or(&source.text);
    let reason = match source.check_private() {
        Err(reason) => Some(reason),
        Ok(()) if line.starts_with('\u{feff}') => Some("begins with a byte order mark".to_owned()),
        Ok(()) if line.contains('\r') => {
            Some("has a carriage return (Windows line end)".to_owned())
        }
        Ok(()) if line.contains('\n') => Some("has more than one line".to_owned()),
        Ok(()) => None,
    };
    match reason {
        Some(reason) => scope.fault(place, format!("{}: {reason}", file.display())),
        None => Some(Secret::new(line.to_owned())),
    }
}

/// The SHA-256 of a token that is strong enough.
fn digest(secret: &Secret, place: &Place, scope: &mut Scope<'_>) -> Option<[u8; 32]> {
    match strength(secret.expose()) {
        Strength::Refused(reason) => return scope.fault(place, reason),
        Strength::Short => scope.warn(
            place,
            "is shorter than 32 characters, better one of 256 random bits",
        ),
        Strength::Good => {}
    }
    Some(Sha256::digest(secret.expose()).into())
}

impl Tokens {
    fn add(
        &mut self,
        sha256: [u8; 32],
        place: &Place,
        (name, admin, servers): (&str, bool, Option<Vec<&ServerId>>),
        expires_at: Option<std::time::SystemTime>,
        scope: &mut Scope<'_>,
    ) {
        let before = self.entries.iter().zip(&self.places);
        for (entry, first) in before {
            if entry.sha256 == sha256 {
                let text = format!("is the same token as {first}");
                return scope.fault(place, text).unwrap_or_default();
            }
            if &*entry.principal.name == name {
                let text = format!("has the name {name:?} like {first}");
                return scope.fault(place, text).unwrap_or_default();
            }
        }
        let id = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let servers: Option<Vec<ServerId>> =
            servers.map(|servers| servers.into_iter().cloned().collect());
        self.places.push(place.clone());
        self.entries.push(TokenEntry {
            sha256,
            expires_at,
            principal: Principal {
                id: PrincipalId(id),
                fingerprint: crate::types::TokenFingerprint::default(),
                name: name.into(),
                admin,
                servers: servers.map(Into::into),
            },
        });
    }
}
