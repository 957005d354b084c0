//! The token that the command line's own verbs send to the gateway which a config file describes.

use std::path::Path;

use super::env::Env;
use super::reader::Scope;
use super::{disk, parse, tokens};
use crate::types::Secret;

/// A token of a config file that [`load`](super::load) takes: `auth_token` or `auth_token_file`, else one
/// of `tokens` that stands in a file or a variable, one with every right first.
///
/// `None` where the file has digests only, or cannot be read. A daemon never asks for this: it keeps
/// digests.
pub fn operator_token(path: &Path, env: &Env) -> Option<Secret> {
    let absolute = std::path::absolute(path).ok()?;
    let source = disk::read(&absolute, env.uid()).ok()?;
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let mut scope = Scope::new(text, env);
    let file = parse(text, &mut scope)?;
    let folder = absolute.parent()?;
    if let Some(token) = file.auth_token.get() {
        return Some(token.value.clone());
    }
    if let Some(path) = file.auth_token_file.get() {
        return tokens::from_file(path, folder, &mut scope);
    }
    let mut listed: Vec<_> = file
        .tokens
        .get()?
        .iter()
        .map(|entry| &entry.value)
        .collect();
    listed.sort_by_key(|token| (token.servers.is_given(), token.admin.get() != Some(&true)));
    listed
        .into_iter()
        .find_map(|token| match (token.file.get(), token.env.get()) {
            (Some(path), _) => tokens::from_file(path, folder, &mut scope),
            (None, Some(name)) => {
                let value = env.var(&name.value)?;
                Some(Secret::new(value.to_string_lossy().into_owned()))
            }
            (None, None) => None,
        })
}
