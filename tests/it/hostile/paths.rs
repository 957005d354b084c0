//! Paths and routing (H047 to H053).
