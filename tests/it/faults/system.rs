//! What the machine denies: descriptors, processes, memory, time, and whoever reads the logs.
