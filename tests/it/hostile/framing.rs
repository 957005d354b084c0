//! Connections and HTTP framing, over raw sockets (H001 to H025).
