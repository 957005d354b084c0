//! `token`: makes a token, shown once, or lists those of the config. The config keeps its SHA-256 only.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::args::{OutputForm, TokenArgs, TokenVerb};
use super::terminal::{FAINT, HEAD, columns};
use super::{Exit, assembly, terminal};
use crate::http::TokenEntry;
use crate::types::{Secret, ServerId, fresh_token, wall};

/// Characters of a digest that a list shows: enough to tell tokens apart.
const SHOWN_DIGITS: usize = 12;

pub(super) fn run(
    args: &TokenArgs,
    config: &dyn Fn() -> anyhow::Result<std::path::PathBuf>,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    match &args.verb {
        TokenVerb::New { name, output, .. } => {
            refuse_taken(name, config().ok().as_deref())?;
            let text = made(name, &fresh_token()?, *output);
            out.write_all(text.as_bytes())?;
            Ok(Exit::Fine)
        }
        TokenVerb::List { output, .. } => match assembly::tokens(&config()?) {
            Ok(entries) => {
                out.write_all(list(&entries, *output).as_bytes())?;
                Ok(Exit::Fine)
            }
            Err(refused) => Ok(refused.complain()),
        },
    }
}

/// A second token of a name would be refused by the config. One that cannot be read is no hindrance.
fn refuse_taken(name: &str, config: Option<&Path>) -> anyhow::Result<()> {
    let Some(Ok(entries)) = config.map(assembly::tokens) else {
        return Ok(());
    };
    let taken = entries.iter().any(|entry| &*entry.principal.name == name);
    anyhow::ensure!(!taken, "the config has a token with the name {name:?}");
    Ok(())
}

/// What is printed of a new token; the only place where it is ever shown.
fn made(name: &str, token: &Secret, output: OutputForm) -> String {
    let sha256 = hex::encode(Sha256::digest(token.expose()));
    if output == OutputForm::Json {
        let report = json!({"name": name, "token": token.expose(), "sha256": sha256});
        return format!("{report:#}\n");
    }
    format!(
        "{HEAD}The token, shown this once:{HEAD:#}\n\n{token}\n\n\
         {HEAD}Its entry in \"tokens\" of the config:{HEAD:#}\n\n\
         {{ \"name\": {name}, \"sha256\": \"{sha256}\" }}\n\n\
         {FAINT}\"servers\" limits what it reaches, \"expires_at\" ends it, \"admin\": true lets it start and stop servers{FAINT:#}\n",
        token = token.expose(),
        name = json!(name),
    )
}

fn list(entries: &[TokenEntry], output: OutputForm) -> String {
    if output == OutputForm::Json {
        let entries: Vec<Value> = entries.iter().map(facts).collect();
        return format!("{:#}\n", json!({ "tokens": entries }));
    }
    let heads = ["NAME", "ADMIN", "SERVERS", "EXPIRES", "SHA256"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(entries.iter().map(row));
    let mut lines = columns(&rows);
    if let Some(head) = lines.first_mut() {
        *head = format!("{HEAD}{head}{HEAD:#}");
    }
    lines.join("\n") + "\n"
}

fn row(entry: &TokenEntry) -> Vec<String> {
    let servers = servers(entry).map_or("all".to_owned(), |ids| ids.join(", "));
    let expires = match entry.expires_at {
        None => "never".to_owned(),
        Some(time) if time <= wall::now() => format!("{}, past", wall::rfc3339(time)),
        Some(time) => wall::rfc3339(time),
    };
    let digest = hex::encode(entry.sha256)
        .chars()
        .take(SHOWN_DIGITS)
        .collect();
    let admin = if entry.principal.admin { "yes" } else { "no" };
    let name = terminal::printable(&entry.principal.name);
    vec![name, admin.to_owned(), servers, expires, digest]
}

fn facts(entry: &TokenEntry) -> Value {
    json!({
        "name": &*entry.principal.name,
        "admin": entry.principal.admin,
        "servers": servers(entry),
        "expires_at": entry.expires_at.map(wall::rfc3339),
        "sha256": hex::encode(entry.sha256),
    })
}

/// The ids that a token is limited to.
fn servers(entry: &TokenEntry) -> Option<Vec<String>> {
    let ids = entry.principal.servers.as_ref()?;
    Some(ids.iter().map(ServerId::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::ConfigArg;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    /// Runs a verb with a config; answers what was printed, or the error.
    fn ran(verb: TokenVerb, config: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, config).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let mut out = Vec::new();
        let exit = run(&TokenArgs { verb }, &|| Ok(path.clone()), &mut out);
        assert_eq!(exit.map_err(|error| error.to_string())?, Exit::Fine);
        let text = String::from_utf8(out).unwrap();
        Ok(anstream::adapter::strip_str(&text).to_string())
    }

    fn config(tokens: &Value) -> String {
        json!({"allowed_clients": ["localhost"], "tokens": tokens, "servers": [
            {"server_id": "git", "command": "sh"},
        ]})
        .to_string()
    }

    #[test]
    fn a_new_token_is_one_of_ours_and_its_entry_lets_it_in() {
        let verb = TokenVerb::New {
            config: ConfigArg::default(),
            name: "agents".to_owned(),
            output: OutputForm::Text,
        };
        let text = ran(verb, "{}").unwrap();
        let token = text.lines().nth(2).unwrap();
        assert!(crate::types::is_own_token(token), "{text}");
        assert_eq!(text.matches(token).count(), 1);
        let entry = text.lines().find(|line| line.starts_with('{')).unwrap();
        let entry: Value = serde_json::from_str(entry).unwrap();
        assert_eq!(entry["sha256"], hex::encode(Sha256::digest(token)));
        let verb = TokenVerb::List {
            config: ConfigArg::default(),
            output: OutputForm::Json,
        };
        let listed: Value =
            serde_json::from_str(&ran(verb, &config(&json!([entry]))).unwrap()).unwrap();
        assert_eq!(listed["tokens"][0]["name"], "agents");
        assert_eq!(listed["tokens"][0]["sha256"], entry["sha256"]);
    }

    #[test]
    fn a_name_is_given_once() {
        let taken = json!([{"name": "agents", "sha256": "ab".repeat(32)}]);
        let verb = TokenVerb::New {
            config: ConfigArg::default(),
            name: "agents".to_owned(),
            output: OutputForm::Text,
        };
        let error = ran(verb, &config(&taken)).unwrap_err();
        assert!(error.contains("\"agents\""), "{error}");
    }

    #[test]
    fn the_list_says_what_each_token_may_do() {
        let tokens = json!([
            {"name": "owner", "sha256": "ab".repeat(32), "admin": true},
            {"name": "old", "sha256": "cd".repeat(32), "servers": ["git"], "expires_at": "2020-01-01T00:00:00Z"},
        ]);
        let verb = TokenVerb::List {
            config: ConfigArg::default(),
            output: OutputForm::Text,
        };
        insta::assert_snapshot!(ran(verb, &config(&tokens)).unwrap(), @r"
        NAME   ADMIN  SERVERS  EXPIRES                         SHA256
        owner  yes    all      never                           abababababab
        old    no     git      2020-01-01T00:00:00.000Z, past  cdcdcdcdcdcd
        ");
    }
}
