//! The memory budget, looked at when metrics are collected.

use std::sync::{Arc, OnceLock};

use opentelemetry::metrics::Meter;

use super::own;
use crate::memory_budget::MemoryBudget;

/// The instruments of the memory budget, which have no value before there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryGauges(Arc<OnceLock<MemoryBudget>>);

impl MemoryGauges {
    pub(super) fn new(meter: &Meter) -> Self {
        let gauges = Self::default();
        let (held, limit, refusals) = (gauges.clone(), gauges.clone(), gauges.clone());
        meter
            .u64_observable_gauge(own!("memory.held"))
            .with_unit("By")
            .with_description("bytes of the memory budget that are held")
            .with_callback(move |observer| {
                held.look(|budget| observer.observe(budget.held() as u64, &[]));
            })
            .build();
        meter
            .u64_observable_gauge(own!("memory.limit"))
            .with_unit("By")
            .with_description("the memory budget")
            .with_callback(move |observer| {
                limit.look(|budget| observer.observe(budget.limit() as u64, &[]));
            })
            .build();
        meter
            .u64_observable_counter(own!("memory.refusals"))
            .with_unit("{refusal}")
            .with_description("messages that the memory budget had no room for")
            .with_callback(move |observer| {
                refusals.look(|budget| observer.observe(budget.refusals(), &[]));
            })
            .build();
        gauges
    }

    pub(super) fn watch(&self, budget: &MemoryBudget) {
        // Of two budgets, which no process has, the first one is shown.
        let _ = self.0.set(budget.clone());
    }

    fn look(&self, observe: impl FnOnce(&MemoryBudget)) {
        if let Some(budget) = self.0.get() {
            observe(budget);
        }
    }
}
