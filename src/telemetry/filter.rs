//! Which events go to stderr and which to a collector, and how both are told that this has changed.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::reload::Error;

use super::config::{LogFilter, without_export_path};
use crate::spans;

/// What goes to stderr.
pub(super) fn own(filter: &LogFilter) -> Targets {
    let targets = filter.0.clone();
    targets.with_target(spans::TARGET, LevelFilter::OFF)
}

/// What goes to a collector, where there is one.
pub(super) fn exported(filter: &LogFilter, exports: bool) -> Targets {
    let exported = exports.then(|| without_export_path(&own(filter)));
    exported.unwrap_or_default()
}

/// Sets one of the filters.
type Set = Box<dyn Fn(&LogFilter) -> Result<(), Error> + Send + Sync>;

/// The filters of the process, wherever its subscriber is by now.
pub(super) struct Filters([Set; 2]);

impl Filters {
    /// Two filters, by what sets each.
    pub(super) fn new(
        own: impl Fn(&LogFilter) -> Result<(), Error> + Send + Sync + 'static,
        exported: impl Fn(&LogFilter) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Self {
        Self([Box::new(own), Box::new(exported)])
    }

    /// Sets both.
    pub(super) fn set(&self, filter: &LogFilter) {
        for set in &self.0 {
            if let Err(error) = set(filter) {
                tracing::error!(%error, "the log filter could not be changed: {error}");
            }
        }
    }
}

impl std::fmt::Debug for Filters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filters").finish_non_exhaustive()
    }
}
