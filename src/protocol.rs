//! Bytes: what MCP puts on the wire, without HTTP and without a tree.

pub mod trace_context;
