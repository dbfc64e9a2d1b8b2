//! The table.

use std::time::Duration;

use crate::measure::Latency;

/// Prints numbers as they come, and at the end whether every budget was kept.
#[derive(Default)]
pub struct Report {
    /// Whether the budgets count for what follows.
    budgeted: bool,
    over: Vec<String>,
}

impl Report {
    pub fn heading(&self) {
        println!("{:<66} {:>10} {:>10}  {:<28} budget", "", "p50", "p99", "ratio");
    }

    /// A part of the table. Budgets are meant for what is pinned: unpinned, wake-ups across cores hide the work.
    pub fn part(&mut self, name: &str, budgeted: bool) {
        self.budgeted = budgeted;
        println!("\n{name}");
    }

    pub fn latency(&mut self, found: &Latency, ratio: Option<(&str, f64, Option<f64>)>) {
        let (ratio, budget) = match ratio {
            None => (String::new(), String::new()),
            Some((what, ratio, budget)) => {
                let kept = budget.map(|budget| self.judge(&found.name, ratio, budget, "≤", ratio <= budget));
                (format!("{ratio:.2} × {what}"), kept.unwrap_or_default())
            }
        };
        println!(
            "  {:<64} {:>10} {:>10}  {ratio:<28} {budget}",
            found.name,
            micros(found.p50),
            micros(found.p99)
        );
    }

    pub fn throughput(&mut self, name: &str, per_second: f64, ratio: Option<(f64, f64)>) {
        let name = format!("{name}, 8 connections");
        let (ratio, budget) = match ratio {
            None => (String::new(), String::new()),
            Some((ratio, budget)) => (
                format!("{ratio:.2} × empty handler"),
                self.judge(&name, ratio, budget, "≥", ratio >= budget),
            ),
        };
        println!("  {name:<64} {:>21}  {ratio:<28} {budget}", format!("{per_second:.0}/s"));
    }

    pub fn duration(&mut self, name: &str, found: Duration, budget: Option<Duration>) {
        let ms = found.as_secs_f64() * 1e3;
        let budget = budget.map(|budget| {
            let limit = budget.as_secs_f64() * 1e3;
            format!("{} ms", self.judge(name, ms, limit, "≤", ms <= limit))
        });
        println!("  {name:<64} {:>21}  {:<28} {}", format!("{ms:.1} ms"), "", budget.unwrap_or_default());
    }

    pub fn bytes(&mut self, name: &str, found: u64, budget: Option<u64>) {
        let mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
        let budget = budget
            .map(|budget| format!("{} MiB", self.judge(name, mib(found), mib(budget), "≤", found <= budget)));
        println!(
            "  {name:<64} {:>21}  {:<28} {}",
            format!("{:.1} MiB", mib(found)),
            "",
            budget.unwrap_or_default()
        );
    }

    pub fn end(self) {
        if self.over.is_empty() {
            println!("\nevery budget was kept");
        } else {
            println!("\nover budget: {}", self.over.join("; "));
            std::process::exit(1);
        }
    }

    fn judge(&mut self, name: &str, found: f64, budget: f64, sign: &str, kept: bool) -> String {
        if !self.budgeted {
            return String::new();
        }
        if !kept {
            self.over.push(format!("{name} ({found:.2}, not {sign} {budget})"));
        }
        format!("{} {sign} {budget}", if kept { "kept:" } else { "OVER:" })
    }
}

pub fn micros(micros: f64) -> String {
    format!("{micros:.1} µs")
}
