//! Who may talk: addresses, tokens, hosts, origins (H026 to H046).

mod addresses;
mod alone;
mod order;
mod origins;
mod starts;
mod tokens;
