//! The files of the repository, without what is built or belongs to version control.

use std::path::{Path, PathBuf};

/// A file with its path from the top of the repository.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// The content; bytes that are no UTF-8 are replaced.
    pub(crate) text: String,
}

impl File {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.into(),
            text: text.to_owned(),
        }
    }

    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path
            .extension()
            .is_some_and(|extension| extension == "rs")
    }
}

/// What lies at the top and is not ours to judge.
pub(crate) const NOT_OURS: [&str; 2] = [".git", "target"];

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file, in order.
pub(crate) fn all() -> Vec<File> {
    let mut files = Vec::new();
    collect(root(), &mut files);
    files.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(
        files.iter().any(|file| file.name() == "src/lib.rs"),
        "src/lib.rs was not found"
    );
    files
}

/// Every Rust file below `src`.
pub(crate) fn sources() -> Vec<File> {
    let mut files = all();
    files.retain(|file| file.is_rust() && file.path.starts_with("src"));
    files
}

fn collect(folder: &Path, files: &mut Vec<File>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let entry = entry.unwrap();
        let path = entry.path();
        let from_top = path.strip_prefix(root()).unwrap();
        if NOT_OURS.iter().any(|name| from_top == Path::new(name)) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            collect(&path, files);
        } else {
            let bytes = std::fs::read(&path).expect("a readable file");
            files.push(File {
                path: from_top.to_owned(),
                text: String::from_utf8_lossy(&bytes).into_owned(),
            });
        }
    }
}
