//! Sessions, streams, and the wall between principals (H085 to H092).
