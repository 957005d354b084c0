//! The fault matrix: what a gateway is when its servers, its machine or its clients fail (rows F01 to F64).
//!
//! Rows that are the subject of another module are tested there; `tests/matrix` says which.

mod life;
mod system;
