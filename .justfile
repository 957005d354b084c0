# The words for what one does all day. `just --list` shows them.

# Format the code.
fmt:
    cargo fmt

# Lints and documentation, without running anything.
check:
    cargo fmt --check
    cargo clippy --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-Dwarnings -Arustdoc::private_intra_doc_links" cargo doc --no-deps --document-private-items --locked

# Everything that has to pass.
test:
    tests/run

# A gateway on loopback with the built-in server and a fresh token.
demo:
    cargo run --release -- demo

# Write the schema of the config file anew.
schema:
    cargo run --quiet -- schema > config/host-mcp-gateway.schema.json
