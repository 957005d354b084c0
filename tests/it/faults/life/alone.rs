//! Starts and ends whose times are measured, or that take all the machine has.

mod failed_starts;
mod many_times;
mod policy;
mod slow_reader;
mod starts;

use super::*;
