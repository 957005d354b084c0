//! The eras that a program speaks, as its handshakes have shown it, and the memory of that.
//!
//! A program is known by its server, command, arguments and folder, and by the size and age of its files, so that
//! an upgrade is a new program. What is known outlives the gateway where there is a state directory: the probe
//! that ends a strict server is then paid for once in the life of an installation.

mod program;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::protocol::Era;
use crate::state_dir::StateDir;
pub(super) use program::ProgramKey;

const FILE: &str = "eras.json";
/// Programs that are remembered. Each is a server of some config of this gateway.
const MAX_PROGRAMS: usize = 1024;

/// The key `era` of a server: in which eras its processes are spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EraChoice {
    /// That of the client, as far as the server knows it.
    #[default]
    Auto,
    /// This one only.
    Only(Era),
}

/// The eras that a program is known to speak, or known not to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EraFacts {
    /// It has answered `initialize`, or said that it does not know it.
    pub legacy: Option<bool>,
    /// It has answered `server/discover`, or said that it does not know it.
    pub modern: Option<bool>,
    /// It did not survive `server/discover` as its first message, and became ready without it.
    pub dies_of_probe: bool,
    /// The era that was spoken last.
    #[serde(with = "era_word")]
    pub last: Option<Era>,
    /// It was silent on `server/discover`. That may be the silence of a slow start, and is not kept.
    #[serde(skip)]
    pub silent: bool,
    /// It was silent on `initialize` with client capabilities, and became ready without. That is not kept either.
    #[serde(skip)]
    pub silence: CapabilitySilence,
}

/// The silence of a program on client capabilities, which may be that of a slow start: once is no proof.
///
/// It holds for the text that it was silent on, since another client of the program may declare others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilitySilence {
    /// A digest of the capabilities.
    of: u64,
    /// How often in a row.
    times: u8,
}

impl CapabilitySilence {
    /// Counts one more silence on these.
    pub(super) fn count(&mut self, capabilities: &str) {
        let of = digest(capabilities);
        let times = if self.of == of { self.times } else { 0 };
        *self = Self {
            of,
            times: times.saturating_add(1),
        };
    }

    /// True where it is no accident that the program is silent on these.
    pub(super) fn is_certain_of(self, capabilities: &str) -> bool {
        self.times >= 2 && self.of == digest(capabilities)
    }
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl EraFacts {
    /// Whether it is worth trying to speak to it in this era.
    pub fn may_know(self, era: Era) -> bool {
        match era {
            Era::Legacy => self.legacy != Some(false),
            Era::Modern => !(self.modern == Some(false) || self.dies_of_probe || self.silent),
        }
    }
}

/// What is known of all programs; cheap to clone.
#[derive(Clone, Debug)]
pub struct EraMemory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: StateDir,
    programs: Mutex<BTreeMap<ProgramKey, EraFacts>>,
}

/// The file.
#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    programs: BTreeMap<ProgramKey, EraFacts>,
}

const VERSION: u32 = 1;

impl EraMemory {
    /// Reads what was known when the gateway ended. A file that is none is begun anew.
    pub fn open(state: StateDir) -> Self {
        let saved = match state.read(FILE) {
            Ok(bytes) => bytes.and_then(|bytes| serde_json::from_slice::<Saved>(&bytes).ok()),
            Err(error) => {
                tracing::warn!(%error, "what was known of the servers' eras is not read: {error}");
                None
            }
        };
        let saved = saved.filter(|saved| saved.version == VERSION);
        Self(Arc::new(Inner {
            state,
            programs: Mutex::new(saved.map(|saved| saved.programs).unwrap_or_default()),
        }))
    }

    fn programs(&self) -> MutexGuard<'_, BTreeMap<ProgramKey, EraFacts>> {
        self.0
            .programs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn facts(&self, program: &ProgramKey) -> EraFacts {
        self.programs().get(program).copied().unwrap_or_default()
    }

    pub(super) fn learn(&self, program: &ProgramKey, learned: impl FnOnce(&mut EraFacts)) {
        let mut programs = self.programs();
        let before = programs.get(program).copied();
        let mut facts = before.unwrap_or_default();
        learned(&mut facts);
        if before == Some(facts) {
            return;
        }
        if before.is_none() && programs.len() >= MAX_PROGRAMS {
            // Any will do: what is forgotten costs one probe.
            programs.pop_first();
        }
        programs.insert(program.clone(), facts);
        let saved = Saved {
            version: VERSION,
            programs: programs.clone(),
        };
        drop(programs);
        if let Ok(bytes) = serde_json::to_vec(&saved) {
            self.0.state.save(FILE, bytes);
        }
    }
}

/// The era in which the first client of a server spoke, which a process that was never ready is started for.
#[derive(Debug, Default)]
pub(super) struct EraWish(AtomicU8);

impl EraWish {
    /// The one that holds, if any.
    pub(super) fn get(&self) -> Option<Era> {
        let held = self.0.load(Ordering::Acquire);
        [Era::Legacy, Era::Modern]
            .into_iter()
            .find(|era| code(*era) == held)
    }

    /// Wishes for this era, unless another was wished for before. Gives the one that holds.
    pub(super) fn settle(&self, era: Era) -> Era {
        let new = code(era);
        match self
            .0
            .compare_exchange(0, new, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => era,
            Err(held) if held == code(Era::Modern) => Era::Modern,
            Err(_) => Era::Legacy,
        }
    }
}

fn code(era: Era) -> u8 {
    match era {
        Era::Legacy => 1,
        Era::Modern => 2,
    }
}

/// An era as a word of the file.
mod era_word {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::protocol::Era;

    #[expect(
        clippy::ref_option,
        clippy::trivially_copy_pass_by_ref,
        reason = "serde's own form"
    )]
    pub(super) fn serialize<S: Serializer>(
        era: &Option<Era>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        era.map(Era::as_str).serialize(serializer)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(
        deserializer: D,
    ) -> Result<Option<Era>, D::Error> {
        let word: Option<String> = Option::deserialize(deserializer)?;
        Ok(word.and_then(|word| match word.as_str() {
            "legacy" => Some(Era::Legacy),
            "modern" => Some(Era::Modern),
            _ => None,
        }))
    }
}

#[cfg(test)]
mod tests;
