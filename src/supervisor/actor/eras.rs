//! What an actor knows of the eras of its program, and what it learns.

use super::Actor;
use crate::protocol::Era;
use crate::supervisor::eras::{CapabilitySilence, ProgramKey};
use crate::supervisor::handshake::{Probe, Shaken};
use crate::supervisor::machine::FirstMessage;
use crate::supervisor::process_name::log_process;

impl Actor {
    /// The first message of the life that begins now, of the program as it lies there now.
    pub(super) fn first_message(&mut self) -> FirstMessage {
        let program = ProgramKey::of(&self.shared.config.id, &self.shared.config.launch);
        let facts = self.shared.eras.facts(&program);
        self.program.send_replace(program);
        let usual = if self.ordered {
            facts.last.unwrap_or(Era::Legacy)
        } else {
            Era::Legacy
        };
        let wish = self.shared.era_wish.settle(usual);
        // An operator's order is a new beginning.
        let capabilities = &self.shared.config.client_capabilities;
        let known = facts.silence.is_certain_of(capabilities) && !self.ordered;
        self.is_bare = self.machine.is_bare(known);
        self.machine.first_message(wish, facts)
    }

    /// Tells the operator of a server that became ready once it was told of no client capabilities.
    fn tell_of_bare_start(&self) {
        let id = &self.shared.config.id;
        log_process!(
            warn,
            self.name(),
            "server {id} was silent on initialize with its client_capabilities, and became ready when it was told of none; \"client_capabilities\": [] in its entry spares the first try"
        );
    }

    /// Keeps what a handshake has shown.
    pub(super) fn learn(&mut self, shaken: &Shaken) {
        let era = shaken.handshake.era;
        let (first, fatal) = self.machine.settle_era(era);
        if let Some(why) = &shaken.capabilities_error {
            let id = &self.shared.config.id;
            log_process!(
                warn,
                self.name(),
                why,
                "server {id} fails on its client_capabilities and was told of none: {why}; \"client_capabilities\": [] in its entry spares the second try"
            );
        }
        let is_bare = self.is_bare && era == Era::Legacy;
        if is_bare {
            self.tell_of_bare_start();
        }
        let program = self.program.borrow().clone();
        let capabilities = &self.shared.config.client_capabilities;
        self.shared.eras.learn(&program, |facts| {
            facts.last = Some(era);
            if is_bare {
                facts.silence.count(capabilities);
            } else {
                facts.silence = CapabilitySilence::default();
            }
            match era {
                Era::Legacy => {
                    facts.legacy = Some(true);
                    facts.dies_of_probe |= fatal;
                    match shaken.probe {
                        Probe::NotSent => {}
                        Probe::Refused => facts.modern = Some(false),
                        Probe::Silent => facts.silent = true,
                        Probe::Answered => facts.modern = Some(true),
                    }
                }
                Era::Modern => {
                    facts.modern = Some(true);
                    (facts.dies_of_probe, facts.silent) = (false, false);
                    if first == FirstMessage::Initialize {
                        facts.legacy = Some(false);
                    } else if shaken.also_legacy {
                        facts.legacy = Some(true);
                    }
                }
            }
        });
    }
}
