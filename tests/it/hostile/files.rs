//! The config, its files, and where secrets may not show up (H108 to H122).
