//! Prometheus' text format, version 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).

use std::fmt::{self, Display, Write as _};
use std::time::Duration;

use super::{BOUNDS, Histogram};

/// The media type of a page.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page of metrics that is being written. Names and labels are the program's own, never a caller's text.
#[derive(Debug, Default)]
pub(super) struct Page(String);

/// A label: its name and its value.
pub(super) type Label<'a> = (&'static str, &'a str);

impl Page {
    /// A number that only grows.
    pub(super) fn counter(&mut self, name: &'static str, help: &'static str, value: impl Display) {
        self.counters(name, help, [(&[][..], value)]);
    }

    /// The same, with labels.
    pub(super) fn counters<'a, V: Display>(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (&'a [Label<'a>], V)>,
    ) {
        self.family(name, help, "counter");
        for (labels, value) in samples {
            self.line(name, "", labels, value);
        }
    }

    /// A number that goes up and down; left out where it is not known.
    pub(super) fn gauge(&mut self, name: &'static str, help: &'static str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.gauges(name, help, [(&[][..], value)]);
        }
    }

    /// The same, with labels.
    pub(super) fn gauges<'a, V: Display>(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (&'a [Label<'a>], V)>,
    ) {
        self.family(name, help, "gauge");
        for (labels, value) in samples {
            self.line(name, "", labels, value);
        }
    }

    /// Whether something is so.
    pub(super) fn flag(&mut self, name: &'static str, help: &'static str, is: Option<bool>) {
        self.gauge(name, help, is.map(u8::from));
    }

    /// How long something took. The buckets are read one after the other while others count on, so each is counted into
    /// those after it, which keeps them from ever shrinking.
    pub(super) fn histogram(&mut self, name: &'static str, help: &'static str, histogram: &Histogram) {
        self.family(name, help, "histogram");
        let mut all = 0;
        let ends = BOUNDS.iter().map(|bound| Seconds(*bound).to_string()).chain(["+Inf".to_owned()]);
        for (bucket, end) in histogram.buckets.iter().zip(ends) {
            all += bucket.get();
            self.line(name, "_bucket", &[("le", &end)], all);
        }
        let sum = histogram.sum.load(std::sync::atomic::Ordering::Relaxed);
        self.line(name, "_sum", &[], Seconds(sum));
        self.line(name, "_count", &[], all);
    }

    /// The page.
    pub(super) fn finish(self) -> String {
        self.0
    }

    fn family(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a `String` does not fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, suffix: &str, labels: &[Label<'_>], value: impl Display) {
        let _ = write!(self.0, "{name}{suffix}");
        for (place, (label, value)) in labels.iter().enumerate() {
            let begin = if place == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{begin}{label}=\"{}\"", Escaped(value));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }
}

/// Nanoseconds, written as seconds.
pub(super) struct Seconds(pub(super) u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The shortest text that gives the same number back.
        write!(f, "{}", Duration::from_nanos(self.0).as_secs_f64())
    }
}

/// A label's value, as it stands between quotation marks.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => f.write_str("\\\\"),
                '"' => f.write_str("\\\""),
                '\n' => f.write_str("\\n"),
                other => f.write_char(other),
            }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_what_the_format_says() {
        let mut page = Page::default();
        page.counters("a_total", "What a is.", [(&[("reason", "x\"\\\n")][..], 1), (&[][..], 2)]);
        page.gauge("b_seconds", "What b is.", Some(Seconds(1_500_000_000)));
        page.gauge("c", "Not known.", None::<u8>);
        page.flag("d", "Whether d.", Some(true));
        page.gauges("e_info", "Who e is.", [(&[("version", "1"), ("name", "n")][..], 1)]);
        assert_eq!(
            page.finish(),
            "# HELP a_total What a is.\n# TYPE a_total counter\na_total{reason=\"x\\\"\\\\\\n\"} 1\na_total 2\n\
             # HELP b_seconds What b is.\n# TYPE b_seconds gauge\nb_seconds 1.5\n\
             # HELP d Whether d.\n# TYPE d gauge\nd 1\n\
             # HELP e_info Who e is.\n# TYPE e_info gauge\ne_info{version=\"1\",name=\"n\"} 1\n"
        );
    }

    #[test]
    fn buckets_add_up() {
        let histogram = Histogram::default();
        for microseconds in [5, 30, 30, 1_000_000] {
            histogram.observe(Duration::from_micros(microseconds));
        }
        let mut page = Page::default();
        page.histogram("t_seconds", "How long.", &histogram);
        let text = page.finish();
        for line in [
            "t_seconds_bucket{le=\"0.00001\"} 1",
            "t_seconds_bucket{le=\"0.00005\"} 3",
            "t_seconds_bucket{le=\"0.1\"} 3",
            "t_seconds_bucket{le=\"+Inf\"} 4",
            "t_seconds_sum 1.000065",
            "t_seconds_count 4",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
        }
    }
}
