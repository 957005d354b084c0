//! Numbers: how many, how much and how long.

use std::time::Duration;

use super::whole;
use crate::config::reader::{Node, Read, Scope};

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

impl From<u64> for Count {
    /// A default.
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl Read for Count {
    fn read(node: &Node<'_>, scope: &mut Scope<'_>) -> Option<Self> {
        whole(node, 1, Self::MOST, scope).map(Self)
    }
}

/// Bytes of memory; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Memory(u64);

impl Memory {
    /// What JSON can say exactly: nine petabytes.
    pub(super) const MOST: u64 = 1 << 53;

    pub(in crate::config) fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl From<u64> for Memory {
    /// A default.
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl Read for Memory {
    fn read(node: &Node<'_>, scope: &mut Scope<'_>) -> Option<Self> {
        whole(node, 1, Self::MOST, scope).map(Self)
    }
}

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

impl From<u64> for Millis {
    /// A default.
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl Read for Millis {
    fn read(node: &Node<'_>, scope: &mut Scope<'_>) -> Option<Self> {
        whole(node, 1, Self::MOST, scope).map(Self)
    }
}

/// A time in milliseconds where 0 stands for the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct MillisOrDefault(pub(in crate::config) u64);

impl From<u64> for MillisOrDefault {
    /// A default.
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl Read for MillisOrDefault {
    fn read(node: &Node<'_>, scope: &mut Scope<'_>) -> Option<Self> {
        whole(node, 0, Millis::MOST, scope).map(Self)
    }
}

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
