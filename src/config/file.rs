//! The shape of the config file: every key, its default, and the text that an editor shows for it.
//!
//! The servers and the limits have files of their own.

use schemars::JsonSchema;

use super::limits::Limits;
use super::mcp_servers::McpServer;
use super::reader::{Map, Node, Placed, Read, Scope};
use super::section::section;
use super::servers::Server;
use super::values::{Anything, Count, Millis, Port, Scalar, SecretText, Text, choice};

section! {
    /// The config of host-mcp-gateway, which serves stdio MCP servers of this machine over authenticated HTTP.
    /// Strings may hold `${VAR}` or `${VAR:-default}`; `$$` is a `$`. Comments and trailing commas are allowed.
    #[expect(clippy::struct_field_names, reason = "the keys of the file")]
    #[schemars(title = "host-mcp-gateway config", extend("required" = ["allowed_clients"], "anyOf" = [{"required": ["servers"]}, {"required": ["mcpServers"]}]))]
    File {
        /// The schema of this file, for editors.
        #[expect(dead_code, reason = "only editors read it")]
        schema as "$schema": Anything,
        /// The IP address to listen on, or `localhost`. Anything but loopback needs `tls` or `allow_plaintext`.
        #[schemars(extend("examples" = ["127.0.0.1", "::1", "192.168.1.10", "0.0.0.0"]))]
        bind_host: Text = "127.0.0.1",
        /// The TCP port to listen on; 0 picks a free one and logs it.
        bind_port: Port = 7411_u64,
        /// How long to wait for a server's answer; progress from the server starts it anew.
        request_timeout_ms: Millis = 30_000_u64,
        /// The hard end of a request, whatever its progress.
        request_max_ms: Millis = 600_000_u64,
        /// The delay before the first restart of a server; it doubles with each one after, with 20 % jitter.
        restart_backoff_ms: Millis = 2_000_u64,
        /// The longest delay before a restart.
        restart_backoff_max_ms: Millis = 60_000_u64,
        /// When a server is given up.
        restart_limit: RestartLimit,
        /// One token with every right, at least 16 characters. Better taken from a variable, as `${MCP_TOKEN}`:
        /// with the token itself in it the file must be readable by its owner only.
        #[schemars(extend("examples" = ["${MCP_TOKEN}"]))]
        auth_token: SecretText,
        /// A file that holds the token of `auth_token`: one line, mode 0600.
        auth_token_file: Text,
        /// Tokens by name, each with rights of its own.
        tokens: Vec<Placed<Token>>,
        /// Who may connect: IP addresses, networks such as `192.168.1.0/24`, or `localhost`.
        #[schemars(extend("minItems" = 1, "examples" = [["localhost", "192.168.1.0/24"]]))]
        allowed_clients: Vec<Text>,
        /// Allows `0.0.0.0/0` and `::/0` in `allowed_clients`.
        allow_any_client: bool = false,
        /// The values of the Host header that are let in, as `host` or `host:port`. Default: `localhost`,
        /// `127.0.0.1`, `[::1]` and the bind address. A list given here replaces the default.
        #[schemars(extend("minItems" = 1, "examples" = [["localhost", "mac-mini.local"]]))]
        allowed_hosts: Vec<Text>,
        /// The values of the Origin header that are let in, for clients in a browser: exactly what the browser
        /// sends, with its port unless that is the scheme's own. Default: the default hosts, by HTTP and HTTPS (with
        /// `tls` by HTTPS alone) on the scheme's own port, and on `bind_port` by what is spoken there. An empty list
        /// lets no browser in.
        #[schemars(extend("examples" = [["http://localhost:6274"]]))]
        allowed_origins: Vec<Text>,
        /// Proxies whose forwarding header is believed: IP addresses, networks, or `localhost`.
        trusted_proxies: Vec<Text>,
        /// Allows to listen beyond loopback without TLS: tokens and answers can then be read on the network.
        allow_plaintext: bool = false,
        /// Serves HTTPS, and nothing else on this port. Without it the gateway speaks plain HTTP.
        tls: Tls,
        /// The folder for what outlives the gateway, such as the key of session ids. It is created with mode 0700; one that
        /// others can write is refused. A relative path begins at the folder of the config. Default: `$STATE_DIRECTORY`
        /// (systemd), else `$XDG_STATE_HOME/host-mcp-gateway`, else `~/.local/state/host-mcp-gateway`, on macOS
        /// `~/Library/Application Support/host-mcp-gateway`.
        #[schemars(extend("examples" = ["~/.local/state/host-mcp-gateway"]))]
        state_dir: Text,
        /// Variables for every server, over those that it inherits.
        env: Map<Scalar<Text>>,
        /// The variables that every server gets from the gateway's own environment; `["*"]` for all but the
        /// gateway's own. Default: those that a program needs to find its user, its language, the network and the
        /// certificates of this machine.
        inherit_env: Vec<Text>,
        /// Bounds and deadlines.
        limits: Limits,
        /// What is logged, and how.
        log: Log,
        /// The MCP servers.
        servers: ServerList,
        /// The MCP servers in the form that MCP clients use, pasted as they are. Names become server ids.
        mcp_servers as "mcpServers": Map<McpServer>,
    }
}

section! {
    /// When a server is given up: after more than `count` restarts within `window_ms`, or `count` failed starts in a row.
    RestartLimit {
        /// How many restarts are allowed.
        count: Count = 10_u64,
        /// The sliding window that they are counted in. It must be long enough for `count` restarts with their
        /// delays; the default grows with them.
        window_ms: Millis = 600_000_u64,
    }
}

section! {
    /// TLS 1.2 and 1.3 with one certificate, both files in PEM and writable by their owner or root only. A relative
    /// path begins at the folder of the config.
    #[schemars(extend("required" = ["cert_file", "key_file"]))]
    Tls {
        /// The certificate of the gateway first, then those that lead to its root.
        cert_file: Text,
        /// The private key of the first certificate, without a passphrase, mode 0600.
        key_file: Text,
    }
}

section! {
    /// One token: where it comes from, and what it may do.
    #[schemars(extend("required" = ["name"], "oneOf" = [{"required": ["sha256"]}, {"required": ["file"]}, {"required": ["env"]}]))]
    Token {
        /// The name of its holder in logs: letters, digits, `.`, `_`, `-` and `@`.
        #[schemars(extend("pattern" = "^[A-Za-z0-9._@-]{1,64}$"))]
        name: Text,
        /// The SHA-256 of the token, as 64 hex digits.
        #[schemars(extend("pattern" = "^(sha256:)?[0-9A-Fa-f]{64}$"))]
        sha256: Text,
        /// A file that holds the token: one line, mode 0600.
        file: Text,
        /// The name of a variable that holds the token. Servers do not inherit it.
        #[schemars(extend("examples" = ["MCP_TOKEN"]))]
        env: Text,
        /// The ids of the servers that it reaches. Default: all.
        #[schemars(extend("minItems" = 1))]
        servers: Vec<Text>,
        /// When it ends, as `2027-01-31T00:00:00Z`.
        #[schemars(extend("format" = "date-time"))]
        expires_at: Text,
        /// May start, stop and restart servers.
        admin: bool = false,
    }
}

section! {
    /// What is logged, and how.
    Log {
        /// A level (`error`, `warn`, `info`, `debug`, `trace`, `off`), or levels by module such as `info,host_mcp_gateway::http=debug`.
        #[schemars(extend("examples" = ["info", "debug", "info,host_mcp_gateway::http=debug"]))]
        level: Text = "info",
        /// The form of a line.
        format: LogFormat = "auto",
    }
}

choice! {
    /// The form of a log line.
    LogFormat {
        /// Text on a terminal, else JSON.
        Auto = "auto",
        /// One JSON object a line.
        Json = "json",
        /// For people.
        Text = "text",
    }
}

/// The list of `servers`, whose commonest mistake has an answer of its own.
#[derive(Debug, JsonSchema)]
#[schemars(transparent)]
pub(super) struct ServerList(pub(super) Vec<Server>);

impl Read for ServerList {
    fn read(node: &Node<'_>, scope: &mut Scope<'_>) -> Option<Self> {
        if node.value.as_object().is_some() {
            let text = "expected a list, found an object: servers by name, as MCP clients write them, go under \"mcpServers\"";
            return scope.fault(&node.place, text);
        }
        Vec::read(node, scope).map(Self)
    }
}
