//! JSON and JSON-RPC from clients (H054 to H084).
