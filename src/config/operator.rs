//! The facts by which the command line's own verbs reach the gateway that a config file describes, also where the file
//! would be refused now.

use std::path::{Path, PathBuf};

use super::env::{Env, default_state_dir};
use super::expand::expand;
use super::reader::Scope;
use super::{disk, parse, tokens};
use crate::types::Secret;

/// A token of a config file, also of one that [`load`](super::load) refuses now: `auth_token` or `auth_token_file`, else one
/// of `tokens` that stands in a file or a variable, one with every right first.
///
/// `None` where the file has digests only, or cannot be read. A daemon never asks for this: it keeps
/// digests.
pub fn operator_token(path: &Path, env: &Env) -> Option<Secret> {
    let absolute = std::path::absolute(path).ok()?;
    let source = disk::read(&absolute, env.uid()).ok()?;
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let mut scope = Scope::new(text, env);
    let folder = absolute.parent()?;
    let Some(file) = parse(text, &mut scope) else {
        return member_of(text, "auth_token", env).map(Secret::new);
    };
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

/// The likely state directory of the gateway of a config file that [`load`](super::load) refuses: that of `state_dir`, or
/// the default one where it cannot be read.
pub fn likely_state_dir(path: &Path, env: &Env) -> Option<PathBuf> {
    named_state_dir(path, env).or_else(|| default_state_dir(env))
}

fn named_state_dir(path: &Path, env: &Env) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    let source = disk::read(&absolute, env.uid()).ok()?;
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let mut scope = Scope::new(text, env);
    let named = match parse(text, &mut scope) {
        Some(file) => file.state_dir.get()?.value.clone(),
        None => member_of(text, "state_dir", env)?,
    };
    let named = Some(named).filter(|named| !named.is_empty())?;
    Some(absolute.parent()?.join(env.path(&named)?))
}

/// The first text of this key in a file that is not JSON at the moment, most often for a comma.
fn member_of(text: &str, key: &str, env: &Env) -> Option<String> {
    let (_, after) = text.split_once(&format!("\"{key}\""))?;
    let after = after.trim_start().strip_prefix(':')?.trim_start();
    let mut literals = serde_json::Deserializer::from_str(after).into_iter::<String>();
    let literal = literals.next()?.ok()?;
    Some(expand(&literal, env).ok()?.text)
}
