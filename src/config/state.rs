//! Where the state of the gateway is kept.

use std::path::{Path, PathBuf};

use super::env::default_state_dir;
use super::file::File;
use super::reader::Scope;
use crate::state_dir::{check_directory, unusable};

/// The state directory; relative paths begin at `folder`. `None` after a fault, and where there is no place for one.
pub(super) fn build(file: &File, folder: &Path, scope: &mut Scope<'_>) -> Option<PathBuf> {
    let place = &file.state_dir.place;
    let Some(named) = file.state_dir.get() else {
        if file.state_dir.is_given() {
            // It was read with a fault, which is noted.
            return None;
        }
        // One that was not asked for does not keep the gateway from starting.
        let default = default_state_dir(scope.env);
        let checked = default.as_deref().map(check_directory);
        if let (Some(path), Some(Err(reason))) = (&default, checked) {
            let text = format!("is not given, and {} {reason}", path.display());
            scope.warn(place, text);
        }
        return default;
    };
    if named.value.is_empty() {
        let text = "is empty, expected a folder; leave the key out for the default one";
        return scope.fault(place, text);
    }
    let Some(path) = scope.env.path(&named.value).map(|path| folder.join(path)) else {
        return scope.fault(place, "begins with \"~\", and there is no home directory");
    };
    match check_directory(&path) {
        Ok(()) => {
            if let Some(reason) = unusable(&path) {
                let text = format!(
                    "{} cannot be used as it is now ({reason}), so sessions and what is known of servers would end with \
                     the gateway: name a folder that this user can write",
                    path.display()
                );
                scope.warn(place, text);
            }
            Some(path)
        }
        Err(reason) => scope.fault(place, format!("{} {reason}", path.display())),
    }
}
