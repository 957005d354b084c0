//! Starts, ends, restarts and liveness of a server.
