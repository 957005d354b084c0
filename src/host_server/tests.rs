//! Drives [`serve`](super::serve) over in-memory pipes, as a client of either era would.

mod client;
mod legacy;
mod modern;
mod tools;
