//! The folders that lead to a file: whether another user can put something else in its place.
//!
//! A folder that everybody can write is enough, at any depth and on the way of every symbolic link: names in it can be
//! moved away and made anew. The sticky bit keeps names to their owners, so that what stands in such a folder must
//! belong to a trusted user.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, Stat};
use rustix::io::Errno;

use super::disk::{Refusal, because, is_trusted, refusal};

/// Symbolic links on one way; the system follows no more (`path_resolution`(7)).
const MAX_LINKS: usize = 40;

/// Checks every folder and symbolic link on the way to a file; `path` must be absolute.
pub(super) fn check(path: &Path, uid: u32) -> Result<(), Refusal> {
    let mut rest = components(path);
    let mut reached = PathBuf::from("/");
    let mut is_sticky = check_folder(&lstat(&reached)?, &reached)?;
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == ".." {
            reached.pop();
            continue;
        }
        let next = reached.join(&name);
        let stat = lstat(&next)?;
        let shown = next.display();
        if is_sticky && !is_trusted(stat.st_uid, uid) {
            return because(format!(
                "lies behind {shown}, which user {} has put into a folder of everybody: expected user {uid} or root",
                stat.st_uid
            ));
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(refusal(Errno::LOOP));
                }
                if !is_trusted(stat.st_uid, uid) {
                    return because(format!(
                        "lies behind the symbolic link {shown} of user {}, expected one of user {uid} or root",
                        stat.st_uid
                    ));
                }
                let target = rustix::fs::readlink(&next, Vec::new()).map_err(refusal)?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                if target.is_absolute() {
                    reached = PathBuf::from("/");
                    is_sticky = false;
                }
                rest.extend(components(&target));
            }
            FileType::Directory => {
                is_sticky = check_folder(&stat, &next)?;
                reached = next;
            }
            _ => reached = next,
        }
    }
    Ok(())
}

/// The names in a path, the last one first.
fn components(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut names: Vec<_> = names.collect();
    names.reverse();
    names
}

fn lstat(path: &Path) -> Result<Stat, Refusal> {
    rustix::fs::lstat(path).map_err(refusal)
}

/// Gives whether everybody can put names into a folder, and nobody can move those of others.
fn check_folder(stat: &Stat, folder: &Path) -> Result<bool, Refusal> {
    let mode = Mode::from_raw_mode(stat.st_mode);
    if mode.contains(Mode::WOTH) && !mode.contains(Mode::SVTX) {
        return because(format!(
            "lies in {}, where any user can put another file in its place: chmod o-w that directory; in a container, \
             where that is not possible, mount the file from a Secret, a ConfigMap or the host instead",
            folder.display()
        ));
    }
    Ok(mode.contains(Mode::WOTH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn refused(path: &Path) -> String {
        let uid = rustix::process::geteuid().as_raw();
        match check(path, uid) {
            Ok(()) => "passed".to_owned(),
            Err(refusal) => refusal.text().to_owned(),
        }
    }

    /// RG05: a folder of one's own below one of everybody can be swapped as a whole.
    #[test]
    fn every_folder_on_the_way_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("outer/inner");
        std::fs::create_dir_all(&inner).unwrap();
        let file = inner.join("c");
        std::fs::write(&file, "{}").unwrap();
        chmod(&inner, 0o755);
        chmod(&dir.path().join("outer"), 0o777);
        assert!(
            refused(&file).contains("outer, where any user"),
            "{}",
            refused(&file)
        );
        chmod(&dir.path().join("outer"), 0o1777);
        assert_eq!(refused(&file), "passed");
    }

    /// RG05: the way of a link counts, and so does the folder that the link itself is in.
    #[test]
    fn a_link_in_a_folder_of_everybody_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["open", "private", "private/..data"] {
            std::fs::create_dir(at(folder)).unwrap();
        }
        std::fs::write(at("private/..data/c"), "{}").unwrap();
        symlink(at("private/..data/c"), at("open/c")).unwrap();
        symlink("..data/c", at("private/c")).unwrap();
        assert_eq!(refused(&at("open/c")), "passed");
        chmod(&at("open"), 0o777);
        assert!(refused(&at("open/c")).contains("open, where any user"));
        // As Kubernetes mounts a ConfigMap: a link into a folder beside it.
        chmod(&at("private"), 0o1777);
        assert_eq!(refused(&at("private/c")), "passed");
        chmod(&at("private/..data"), 0o777);
        assert!(refused(&at("private/c")).contains("..data, where any user"));
    }
}
