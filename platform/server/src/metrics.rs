//! Numbers about the platform for Prometheus: counters and histograms per function, gauges, and the process itself.
//!
//! A function's numbers are atomics that its instances hold, so that counting costs a few additions. How many functions
//! have numbers of their own is bounded; those beyond share one set, labelled `other`. Deliberately knows nothing of HTTP.

mod histogram;
mod listen;
mod process;
mod text;

pub(crate) use listen::{Access, serve};
pub(crate) use text::Text;

use histogram::Histogram;
use model::{Span, TenantId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Functions that have numbers of their own; with 70 lines each a scrape is at most some MiB.
const FUNCTIONS: usize = 1000;
/// Label of what is beyond.
const OTHER: &str = "other";

/// Upper bounds of durations, in seconds.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 900.0,
];
/// Upper bounds of memory, in bytes: 16 MiB to 8 GiB.
const BYTES: &[f64] = &[
    16_777_216.0,
    33_554_432.0,
    67_108_864.0,
    134_217_728.0,
    268_435_456.0,
    536_870_912.0,
    1_073_741_824.0,
    2_147_483_648.0,
    4_294_967_296.0,
    8_589_934_592.0,
];

/// The numbers of all functions.
#[derive(Debug)]
pub(crate) struct Metrics {
    functions: Mutex<BTreeMap<(TenantId, String), Arc<FunctionMetrics>>>,
    other: Arc<FunctionMetrics>,
}

/// The numbers of one function, or of all that are beyond the bound.
#[derive(Debug)]
pub(crate) struct FunctionMetrics {
    tenant: String,
    function: String,
    pub invocations: AtomicU64,
    pub errors: AtomicU64,
    pub timeouts: AtomicU64,
    pub throttles: AtomicU64,
    pub cold_starts: AtomicU64,
    pub billed_ms: AtomicU64,
    pub cpu_us: AtomicU64,
    pub dropped_lines: AtomicU64,
    pub in_flight: AtomicU64,
    pub queue: Histogram,
    pub duration: Histogram,
    pub init: Histogram,
    pub memory: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let other = Arc::new(FunctionMetrics::new(OTHER.to_owned(), OTHER.to_owned()));
        Self { functions: Mutex::default(), other }
    }
}

impl Metrics {
    /// The numbers of a function.
    pub fn function(&self, tenant: TenantId, name: &str) -> Arc<FunctionMetrics> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant, name.to_owned());
        if let Some(metrics) = functions.get(&key) {
            return Arc::clone(metrics);
        }
        if functions.len() >= FUNCTIONS {
            return Arc::clone(&self.other);
        }
        let metrics = Arc::new(FunctionMetrics::new(tenant.to_string(), name.to_owned()));
        functions.insert(key, Arc::clone(&metrics));
        metrics
    }

    /// All of them, written down.
    pub fn write(&self, text: &mut Text) {
        let mut all: Vec<Arc<FunctionMetrics>> = {
            let functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
            functions.values().cloned().collect()
        };
        if self.other.invocations.load(Ordering::Relaxed) > 0
            || self.other.throttles.load(Ordering::Relaxed) > 0
        {
            all.push(Arc::clone(&self.other));
        }
        type Counter = fn(&FunctionMetrics) -> f64;
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed) as f64;
        let counters: [(&str, &str, Counter); 9] = [
            ("invocations", "Invocations that ended, however.", |it| it.invocations.count()),
            ("errors", "Invocations that ended in an error of their function.", |it| {
                it.errors.count()
            }),
            ("timeouts", "Invocations that ran into their limit.", |it| it.timeouts.count()),
            ("throttles", "Invocations refused by a limit of concurrency.", |it| {
                it.throttles.count()
            }),
            ("cold_starts", "Invocations that waited for an init.", |it| it.cold_starts.count()),
            ("billed_seconds", "Time that is billed.", |it| it.billed_ms.count() / 1e3),
            ("cpu_seconds", "CPU time that instances used.", |it| it.cpu_us.count() / 1e6),
            ("log_dropped_lines", "Lines that were too many to be kept.", |it| {
                it.dropped_lines.count()
            }),
            ("initializations", "Inits that ended well.", |it| it.init.count() as f64),
        ];
        for (name, help, value) in counters {
            text.family(&format!("peek_function_{name}_total"), "counter", help);
            all.iter().for_each(|it| text.value(&it.labels(), value(it)));
        }
        text.family("peek_function_concurrent_executions", "gauge", "Invocations that run.");
        all.iter().for_each(|it| text.value(&it.labels(), count(&it.in_flight)));
        type Drawn = fn(&FunctionMetrics) -> &Histogram;
        let histograms: [(&str, &str, &[f64], Drawn); 4] = [
            ("queue_seconds", "From arrival to dispatch.", SECONDS, |it| &it.queue),
            ("duration_seconds", "From dispatch to response.", SECONDS, |it| &it.duration),
            ("init_seconds", "Duration of inits.", SECONDS, |it| &it.init),
            ("memory_peak_bytes", "Highest memory of the instance.", BYTES, |it| &it.memory),
        ];
        for (name, help, bounds, drawn) in histograms {
            text.family(&format!("peek_function_{name}"), "histogram", help);
            all.iter().for_each(|it| drawn(it).write(text, &it.labels(), bounds));
        }
    }
}

impl FunctionMetrics {
    fn new(tenant: String, function: String) -> Self {
        Self {
            tenant,
            function,
            invocations: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            throttles: AtomicU64::new(0),
            cold_starts: AtomicU64::new(0),
            billed_ms: AtomicU64::new(0),
            cpu_us: AtomicU64::new(0),
            dropped_lines: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            queue: Histogram::new(),
            duration: Histogram::new(),
            init: Histogram::new(),
            memory: Histogram::new(),
        }
    }

    fn labels(&self) -> [(&str, &str); 2] {
        [("tenant", &self.tenant), ("function", &self.function)]
    }

    /// Notes how long something took.
    pub fn took(histogram: &Histogram, span: Span) {
        histogram.add(span.as_nanos() as f64 / 1e9, SECONDS);
    }

    /// Notes memory.
    pub fn used(&self, bytes: u64) {
        self.memory.add(bytes as f64, BYTES);
    }
}

/// Reading a counter as a number to write down.
trait Count {
    fn count(&self) -> f64;
}

impl Count for AtomicU64 {
    fn count(&self) -> f64 {
        self.load(Ordering::Relaxed) as f64
    }
}

/// The process's own numbers.
pub(crate) fn write_process(text: &mut Text) {
    process::write(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    // However many functions there are, the numbers are bounded, and what is beyond is counted together.
    #[test]
    fn functions_beyond_the_bound_share_one_set() {
        let metrics = Metrics::default();
        for number in 0..FUNCTIONS + 50 {
            let function = metrics.function(TenantId::from_number(1), &format!("f{number}"));
            function.invocations.fetch_add(1, Ordering::Relaxed);
            FunctionMetrics::took(&function.duration, Span::from_millis(3));
        }
        let mut text = Text::default();
        metrics.write(&mut text);
        let text = text.finish();
        let lines =
            text.lines().filter(|line| line.starts_with("peek_function_invocations_total{"));
        assert_eq!(lines.count(), FUNCTIONS + 1);
        assert!(
            text.contains(
                "peek_function_invocations_total{tenant=\"other\",function=\"other\"} 50\n"
            )
        );
        let bucket =
            "peek_function_duration_seconds_bucket{tenant=\"000000000001\",function=\"f7\",le=";
        assert!(text.contains(&format!("{bucket}\"0.0025\"}} 0\n")));
        assert!(text.contains(&format!("{bucket}\"0.005\"}} 1\n")));
        assert!(text.contains(&format!("{bucket}\"+Inf\"}} 1\n")));
    }
}
