//! Numbers: how many, how much and how long.

use std::time::Duration;

use super::whole;
use crate::config::reader::{Node, Read, Scope};

/// Has a type made of a number be read from the file, within bounds, and be made of a default.
macro_rules! whole_number {
    ($name:ident, $least:expr, $most:expr) => {
        impl From<u64> for $name {
            /// A default.
            fn from(number: u64) -> Self {
                Self(number)
            }
        }

        impl Read for $name {
            fn read(node: &Node<'_>, scope: &mut Scope<'_>) -> Option<Self> {
                whole(node, $least, $most, scope).map(Self)
            }
        }
    };
}

/// A number of things or bytes; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Count(pub(in crate::config) u64);

impl Count {
    /// No bound in earnest is beyond this, and every counter of the gateway can hold it.
    pub(super) const MOST: u64 = i32::MAX as u64;

    pub(in crate::config) fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    pub(in crate::config) fn small(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

whole_number!(Count, 1, Count::MOST);

/// Bytes of memory; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Memory(u64);

impl Memory {
    /// The largest number that JSON readers hold exactly: nine petabytes.
    pub(super) const MOST: u64 = 1 << 53;

    pub(in crate::config) fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

whole_number!(Memory, 1, Memory::MOST);

/// A time in milliseconds; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Millis(pub(in crate::config) u64);

impl Millis {
    /// A year: far enough from where adding to a point in time overflows.
    pub(super) const MOST: u64 = 365 * 24 * 3600 * 1000;

    pub(in crate::config) fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

whole_number!(Millis, 1, Millis::MOST);

/// A time in milliseconds where 0 stands for the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct MillisOrDefault(pub(in crate::config) u64);

whole_number!(MillisOrDefault, 0, Millis::MOST);

/// A TCP port; 0 picks a free one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Port(pub(in crate::config) u16);

impl From<u64> for Port {
    /// A default.
    fn from(number: u64) -> Self {
        Self(u16::try_from(number).unwrap_or_default())
    }
}

impl Read for Port {
    fn read(node: &Node<'_>, scope: &mut Scope<'_>) -> Option<Self> {
        whole(node, 0, u16::MAX.into(), scope).map(Self::from)
    }
}
