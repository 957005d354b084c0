//! Connections and HTTP framing, over raw sockets (H001 to H025).

mod alone;
mod bodies;
mod deadlines;
mod heads;
mod http2;
mod methods;
mod syntax;
mod targets;
