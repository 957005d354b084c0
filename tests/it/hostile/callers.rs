//! Who may talk: addresses, tokens, hosts, origins (H026 to H046).
