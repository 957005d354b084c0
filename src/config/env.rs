//! What the loader takes from the process around it, as a value, so that a test can bring its own.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

/// The variables, the home directory and the user that a config file is read with.
#[derive(Clone)]
pub struct Env {
    variables: BTreeMap<OsString, OsString>,
    home: Option<PathBuf>,
    uid: u32,
}

impl Env {
    /// That of this process. The home directory is `HOME`, or else the user database's.
    pub fn of_process() -> Self {
        let home = directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned());
        Self::new(
            std::env::vars_os(),
            home,
            rustix::process::geteuid().as_raw(),
        )
    }

    /// One of the caller's making.
    pub fn new(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        home: Option<PathBuf>,
        uid: u32,
    ) -> Self {
        Self {
            variables: variables.into_iter().collect(),
            home,
            uid,
        }
    }

    /// The value of a variable.
    pub fn var(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        self.variables.get(name.as_ref()).map(OsString::as_os_str)
    }

    /// All variables, by name.
    pub fn vars(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        let pairs = self.variables.iter();
        pairs.map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// The home directory, where there is one.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The effective user.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// A path as people write it: a leading `~/` is the home directory. `None` when there is none.
    pub(super) fn path(&self, text: &str) -> Option<PathBuf> {
        match text.strip_prefix('~') {
            Some("") => self.home.clone(),
            Some(rest) if rest.starts_with('/') => {
                let home = self.home.as_ref()?;
                Some(home.join(rest.trim_start_matches('/')))
            }
            Some(_) | None => Some(PathBuf::from(text)),
        }
    }
}

impl fmt::Debug for Env {
    /// Without values: any of them may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env")
            .field("variables", &self.variables.len())
            .field("home", &self.home)
            .field("uid", &self.uid)
            .finish()
    }
}

/// Where the config file is looked for when none is named: below `$XDG_CONFIG_HOME` if that is an
/// absolute path, else below `~/.config`, on every OS. `None` without a home directory.
pub fn default_path(env: &Env) -> Option<PathBuf> {
    let xdg = env.var("XDG_CONFIG_HOME").map(Path::new);
    let base = match xdg.filter(|path| path.is_absolute()) {
        Some(path) => path.to_owned(),
        None => env.home()?.join(".config"),
    };
    Some(base.join("host-mcp-gateway").join("config.json"))
}

/// The state directory where the file names none: the one that systemd made for the service, or below
/// `$XDG_STATE_HOME` if that is an absolute path, else below `~/.local/state`, on macOS below
/// `~/Library/Application Support`. `None` without a home directory.
pub(super) fn default_state_dir(env: &Env) -> Option<PathBuf> {
    let absolute = |path: &Path| Some(path.to_owned()).filter(|path| path.is_absolute());
    // One path for each `StateDirectory=` of the unit, separated by colons.
    let of_service = env.var("STATE_DIRECTORY");
    let of_service = of_service.and_then(|list| std::env::split_paths(list).next());
    if let Some(path) = of_service.as_deref().and_then(absolute) {
        return Some(path);
    }
    let xdg = env.var("XDG_STATE_HOME").map(Path::new).and_then(absolute);
    let base = match xdg {
        Some(path) => path,
        None if cfg!(target_os = "macos") => env.home()?.join("Library/Application Support"),
        None => env.home()?.join(".local/state"),
    };
    Some(base.join("host-mcp-gateway"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(xdg: Option<&str>, home: Option<&str>) -> Env {
        let xdg = xdg.map(|value| ("XDG_CONFIG_HOME".into(), value.into()));
        Env::new(xdg, home.map(PathBuf::from), 1000)
    }

    #[test]
    fn the_default_path_is_below_xdg_config_home_or_dot_config() {
        let path = |xdg, home| default_path(&env(xdg, home)).map(|p| p.display().to_string());
        let in_home = Some("/h/.config/host-mcp-gateway/config.json".to_owned());
        assert_eq!(path(None, Some("/h")), in_home);
        assert_eq!(path(Some("relative"), Some("/h")), in_home);
        assert_eq!(path(Some(""), Some("/h")), in_home);
        assert_eq!(
            path(Some("/x"), None).as_deref(),
            Some("/x/host-mcp-gateway/config.json")
        );
        assert_eq!(path(None, None), None);
    }

    #[test]
    fn the_state_lies_where_the_service_manager_or_the_platform_wants_it() {
        let at = |variables: &[(&str, &str)], home: Option<&str>| {
            let variables = variables
                .iter()
                .map(|(name, value)| (name.into(), value.into()));
            let env = Env::new(variables, home.map(PathBuf::from), 1000);
            default_state_dir(&env).map(|path| path.display().to_string())
        };
        let in_home = if cfg!(target_os = "macos") {
            "/h/Library/Application Support/host-mcp-gateway"
        } else {
            "/h/.local/state/host-mcp-gateway"
        };
        let xdg = |path| ("XDG_STATE_HOME", path);
        let service = |path| ("STATE_DIRECTORY", path);
        for (variables, home, expected) in [
            (&[][..], Some("/h"), Some(in_home)),
            (&[xdg("relative")], Some("/h"), Some(in_home)),
            (&[service(""), xdg("")], Some("/h"), Some(in_home)),
            (&[xdg("/x")], None, Some("/x/host-mcp-gateway")),
            (
                &[xdg("/x"), service("/var/lib/a:/b")],
                None,
                Some("/var/lib/a"),
            ),
            (&[], None, None),
        ] {
            assert_eq!(at(variables, home).as_deref(), expected, "{variables:?}");
        }
    }

    #[test]
    fn only_a_leading_tilde_and_slash_mean_home() {
        let at = |text| env(None, Some("/h")).path(text);
        assert_eq!(at("~/a/b"), Some("/h/a/b".into()));
        assert_eq!(at("~//etc"), Some("/h/etc".into()));
        assert_eq!(at("~"), Some("/h".into()));
        assert_eq!(at("~other/a"), Some("~other/a".into()));
        assert_eq!(at("/a/~/b"), Some("/a/~/b".into()));
        assert_eq!(env(None, None).path("~/a"), None);
    }

    #[test]
    fn debug_shows_no_value() {
        assert!(!format!("{:?}", env(Some("/canary"), None)).contains("canary"));
    }
}
