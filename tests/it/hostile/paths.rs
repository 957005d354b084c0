//! Paths and routing (H047 to H053).

mod ids;
mod routing;
mod wrapper;
