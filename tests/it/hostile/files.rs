//! The config, its files, and where secrets may not show up (H108 to H122).
//!
//! What is decided at load (H108 to H113) is tested beside the loader, in `src/config`.

mod launched;
mod printed;
mod secrets;
mod sweep;
