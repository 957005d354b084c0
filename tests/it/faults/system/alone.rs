//! Rows of the machine that count, time or use much: nothing else may run beside them.

mod departures;
mod descriptors;
mod memory;
mod processes;
mod streams;
mod telemetry;
