//! Where the program runs: the directories that paths are resolved against.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::config::{self, Env};

/// The directories of the user, as values, so that a test can bring its own.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    /// The home directory, where there is one.
    pub(super) home: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`, where it is an absolute path.
    pub(super) xdg_config_home: Option<PathBuf>,
    /// The working directory.
    pub(super) cwd: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub(super) fn of_process() -> Self {
        let xdg = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
        Self {
            home: directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned()),
            xdg_config_home: xdg.filter(|path| path.is_absolute()),
            cwd: std::env::current_dir().ok(),
        }
    }

    /// The config file: the one that was named, with `~/` expanded, or the default one.
    pub(super) fn config_path(&self, named: Option<&Path>) -> anyhow::Result<PathBuf> {
        let no_home =
            || anyhow::anyhow!("no home directory is known, name the config with --config");
        if let Some(named) = named {
            return match named.strip_prefix("~") {
                Ok(rest) => Ok(self.home.as_ref().ok_or_else(no_home)?.join(rest)),
                Err(_not_in_home) => Ok(named.to_owned()),
            };
        }
        let xdg = self.xdg_config_home.as_ref();
        let xdg = xdg.map(|path| ("XDG_CONFIG_HOME".into(), path.into()));
        // Whose process it is does not matter for where the file is looked for.
        config::default_path(&Env::new(xdg, self.home.clone(), 0)).ok_or_else(no_home)
    }

    /// `$XDG_CONFIG_HOME`, or `~/.config`.
    pub(super) fn config_home(&self) -> Option<PathBuf> {
        let in_home = || Some(self.home.as_ref()?.join(".config"));
        self.xdg_config_home.clone().or_else(in_home)
    }

    /// A path as people write it: what is in the home directory begins with `~`.
    pub(super) fn short(&self, path: &Path) -> String {
        let in_home = self
            .home
            .as_ref()
            .and_then(|home| path.strip_prefix(home).ok());
        match in_home.filter(|rest| rest.as_os_str() != OsStr::new("")) {
            Some(rest) => format!("~/{}", rest.display()),
            None => path.display().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_is_the_named_one_or_lies_in_the_users_config_folder() {
        let mut at = Surroundings {
            home: Some("/h".into()),
            xdg_config_home: None,
            cwd: None,
        };
        let path = |at: &Surroundings, named: Option<&str>| {
            at.config_path(named.map(Path::new))
                .map(|path| path.display().to_string())
                .ok()
        };
        assert_eq!(
            path(&at, None).unwrap(),
            "/h/.config/host-mcp-gateway/config.json"
        );
        assert_eq!(path(&at, Some("~/a.json")).unwrap(), "/h/a.json");
        assert_eq!(path(&at, Some("a.json")).unwrap(), "a.json");
        at.xdg_config_home = Some("/x".into());
        assert_eq!(path(&at, None).unwrap(), "/x/host-mcp-gateway/config.json");
        at.xdg_config_home = None;
        at.home = None;
        assert_eq!(path(&at, None), None);
        assert_eq!(path(&at, Some("/c")).unwrap(), "/c");
    }
}
