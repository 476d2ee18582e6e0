//! The values of all metrics, and their text.
//!
//! Owns the text format of Prometheus, version 0.0.4. The labels of a series are written once,
//! when it is registered: a scrape only appends numbers to them, and an event only changes one.
//! Must not know which metrics there are.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

/// How long a line is, about.
const LINE_BYTES: usize = 96;

/// Observations, each in the narrowest bucket that it fits in.
#[derive(Debug)]
struct Buckets {
    /// The upper bounds, ascending.
    bounds: &'static [f64],
    /// How many observations each has, and behind them those that fit in none.
    counts: Box<[AtomicU64]>,
    /// The sum of all observations: the bits of a double.
    sum: AtomicU64,
}

impl Buckets {
    /// With nothing observed.
    fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let add = |sum| Some((f64::from_bits(sum) + value).to_bits());
        // It never refuses.
        self.sum
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .ok();
    }
}

/// The value of one series.
#[derive(Debug)]
enum Value {
    /// A count.
    Counter(Arc<AtomicU64>),
    /// The bits of a double.
    Gauge(Arc<AtomicU64>),
    /// Observations.
    Histogram(Arc<Buckets>),
}

impl Value {
    /// Appends its lines. `labels` are as they are written, without their braces.
    fn write(&self, text: &mut String, name: &str, labels: &str) -> fmt::Result {
        match self {
            Self::Counter(value) => {
                begin(text, name, "", labels, None);
                writeln!(text, "{}", value.load(Ordering::Relaxed))
            }
            Self::Gauge(value) => {
                begin(text, name, "", labels, None);
                writeln!(text, "{}", f64::from_bits(value.load(Ordering::Relaxed)))
            }
            Self::Histogram(buckets) => {
                let mut so_far = 0_u64;
                let bounds = buckets.bounds.iter().chain(&[f64::INFINITY]);
                for (bound, count) in bounds.zip(&buckets.counts) {
                    so_far = so_far.wrapping_add(count.load(Ordering::Relaxed));
                    begin(text, name, "_bucket", labels, Some(*bound));
                    writeln!(text, "{so_far}")?;
                }
                begin(text, name, "_sum", labels, None);
                let sum = f64::from_bits(buckets.sum.load(Ordering::Relaxed));
                writeln!(text, "{sum}")?;
                begin(text, name, "_count", labels, None);
                writeln!(text, "{so_far}")
            }
        }
    }
}

/// Begins a line. `bound` is that of a bucket; the last one has all.
fn begin(text: &mut String, name: &str, suffix: &str, labels: &str, bound: Option<f64>) {
    text.push_str(name);
    text.push_str(suffix);
    if !labels.is_empty() || bound.is_some() {
        text.push('{');
        text.push_str(labels);
        if let Some(bound) = bound {
            if !labels.is_empty() {
                text.push(',');
            }
            text.push_str("le=\"");
            if bound.is_finite() {
                // A string takes whatever is written.
                write!(text, "{bound}").unwrap_or_default();
            } else {
                text.push_str("+Inf");
            }
            text.push('"');
        }
        text.push('}');
    }
    text.push(' ');
}

/// All series of one metric.
#[derive(Debug, Default)]
struct Family {
    /// The lines that precede them.
    head: String,
    /// The upper bounds of a histogram's buckets.
    bounds: &'static [f64],
    /// By their labels, as they are written.
    series: BTreeMap<String, Value>,
}

/// Keeps all values. Every metric is described before it is registered.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// By name.
    families: Mutex<BTreeMap<String, Family>>,
    /// How long the last text was.
    text_bytes: AtomicU64,
}

impl Registry {
    /// The values in the text format.
    pub(super) fn render(&self) -> String {
        let room = self.text_bytes.load(Ordering::Relaxed);
        let room = usize::try_from(room).unwrap_or_default();
        let mut text = String::with_capacity(room.saturating_add(LINE_BYTES));
        for (name, family) in &*self.families() {
            if family.series.is_empty() {
                continue;
            }
            text.push_str(&family.head);
            for (labels, value) in &family.series {
                // A string takes whatever is written.
                value.write(&mut text, name, labels).unwrap_or_default();
            }
            text.push('\n');
        }
        let room = u64::try_from(text.len()).unwrap_or_default();
        self.text_bytes.store(room, Ordering::Relaxed);
        text
    }

    /// What a counter has come to.
    pub(super) fn count(&self, key: &Key) -> Option<u64> {
        let families = self.families();
        match families.get(key.name())?.series.get(&written(key))? {
            Value::Counter(value) => Some(value.load(Ordering::Relaxed)),
            Value::Gauge(_) | Value::Histogram(_) => None,
        }
    }

    /// Sets the upper bounds of a histogram's buckets.
    pub(super) fn bound(&self, name: &str, bounds: &'static [f64]) {
        self.families().entry(name.to_owned()).or_default().bounds = bounds;
    }

    /// The metrics.
    fn families(&self) -> MutexGuard<'_, BTreeMap<String, Family>> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the lines that precede a metric's series.
    fn describe(&self, name: &KeyName, kind: &str, help: &str) {
        let name = name.as_str();
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let head = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        self.families().entry(name.to_owned()).or_default().head = head;
    }

    /// What `look` makes of the value of a series, which is made if it is not there.
    fn register<T>(
        &self,
        key: &Key,
        make: impl FnOnce(&'static [f64]) -> Value,
        look: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let mut families = self.families();
        let family = families.entry(key.name().to_owned()).or_default();
        let bounds = family.bounds;
        let value = family.series.entry(written(key));
        look(value.or_insert_with(|| make(bounds)))
    }
}

/// The labels of a series as they are written, without their braces.
fn written(key: &Key) -> String {
    let mut text = String::new();
    for label in key.labels() {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(label.key());
        text.push_str("=\"");
        for character in label.value().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
    text
}

impl Recorder for Registry {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe(&key, "counter", &description);
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe(&key, "gauge", &description);
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe(&key, "histogram", &description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let make = |_| Value::Counter(Arc::default());
        let counter = self.register(key, make, |value| match value {
            Value::Counter(value) => Some(Counter::from_arc(Arc::clone(value))),
            Value::Gauge(_) | Value::Histogram(_) => None,
        });
        counter.unwrap_or_else(Counter::noop)
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let make = |_| Value::Gauge(Arc::default());
        let gauge = self.register(key, make, |value| match value {
            Value::Gauge(value) => Some(Gauge::from_arc(Arc::clone(value))),
            Value::Counter(_) | Value::Histogram(_) => None,
        });
        gauge.unwrap_or_else(Gauge::noop)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let make = |bounds| Value::Histogram(Arc::new(Buckets::new(bounds)));
        let histogram = self.register(key, make, |value| match value {
            Value::Histogram(value) => Some(Histogram::from_arc(Arc::clone(value))),
            Value::Counter(_) | Value::Gauge(_) => None,
        });
        histogram.unwrap_or_else(Histogram::noop)
    }
}

#[cfg(test)]
mod tests {
    use metrics::{Label, Level};

    use super::*;

    /// A series' key.
    fn key(name: &'static str, labels: &[(&'static str, &'static str)]) -> Key {
        let labels: Vec<Label> = labels
            .iter()
            .map(|(name, value)| Label::new(*name, *value))
            .collect();
        Key::from_parts(name, labels)
    }

    #[test]
    fn every_kind_is_written_as_the_format_has_it() {
        let metadata = Metadata::new("test", Level::INFO, None);
        let registry = Registry::default();
        registry.describe_counter("b_total".into(), None, "How many,\nand \\ why.".into());
        registry.describe_gauge("a".into(), None, "Now.".into());
        registry.describe_gauge("unused".into(), None, "Never.".into());
        registry.describe_histogram("c_seconds".into(), None, "How long.".into());
        registry.bound("c_seconds", &[0.005, 0.5, 10.0]);
        let odd = key("b_total", &[("name", "a \"b\" \\ c\n"), ("code", "226")]);
        registry.register_counter(&odd, &metadata).increment(2);
        registry
            .register_counter(&odd, &metadata)
            .increment(u64::MAX - 2);
        let plain = key("b_total", &[("name", "a"), ("code", "1")]);
        registry.register_counter(&plain, &metadata).increment(0);
        registry.register_gauge(&key("a", &[]), &metadata).set(-1.5);
        let time = key("c_seconds", &[("leg", "client")]);
        for seconds in [0.005, 0.005_1, 0.4, 11.0, 0.0] {
            registry
                .register_histogram(&time, &metadata)
                .record(seconds);
        }
        let unused = registry.register_histogram(&key("c_seconds", &[]), &metadata);
        // A name has one kind.
        registry.register_gauge(&plain, &metadata).set(7.0);
        drop(unused);
        assert_eq!(
            registry.render(),
            "# HELP a Now.\n# TYPE a gauge\na -1.5\n\n\
             # HELP b_total How many,\\nand \\\\ why.\n# TYPE b_total counter\n\
             b_total{name=\"a \\\"b\\\" \\\\ c\\n\",code=\"226\"} 18446744073709551615\n\
             b_total{name=\"a\",code=\"1\"} 0\n\n\
             # HELP c_seconds How long.\n# TYPE c_seconds histogram\n\
             c_seconds_bucket{le=\"0.005\"} 0\nc_seconds_bucket{le=\"0.5\"} 0\n\
             c_seconds_bucket{le=\"10\"} 0\nc_seconds_bucket{le=\"+Inf\"} 0\n\
             c_seconds_sum 0\nc_seconds_count 0\n\
             c_seconds_bucket{leg=\"client\",le=\"0.005\"} 2\n\
             c_seconds_bucket{leg=\"client\",le=\"0.5\"} 4\n\
             c_seconds_bucket{leg=\"client\",le=\"10\"} 4\n\
             c_seconds_bucket{leg=\"client\",le=\"+Inf\"} 5\n\
             c_seconds_sum{leg=\"client\"} 11.4101\nc_seconds_count{leg=\"client\"} 5\n\n"
        );
    }
}
