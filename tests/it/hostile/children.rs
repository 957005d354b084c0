//! What a hostile server writes, and tries (H093 to H107).
