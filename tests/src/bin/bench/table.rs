//! The table.

use std::fmt::Write as _;

/// One line of it.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// How much it is.
    pub value: String,
    /// How many times that is of what it is compared with.
    pub ratio: Option<f64>,
    /// What it should be.
    pub budget: String,
    /// Whether it is.
    pub within: Option<bool>,
}

impl Row {
    /// A row that is only reported.
    pub fn new(what: impl Into<String>, value: impl Into<String>) -> Self {
        Self { what: what.into(), value: value.into(), ..Self::default() }
    }

    /// With a ratio.
    pub fn ratio(self, ratio: f64) -> Self {
        Self { ratio: Some(ratio), ..self }
    }

    /// Whose ratio should be at most this.
    pub fn at_most(self, budget: f64) -> Self {
        let within = self.ratio.map(|ratio| ratio <= budget);
        self.judged(format!("<= {budget:.1} x"), within)
    }

    /// Whose ratio should be at least this.
    pub fn at_least(self, budget: f64) -> Self {
        let within = self.ratio.map(|ratio| ratio >= budget);
        self.judged(format!(">= {budget:.1} x"), within)
    }

    /// With a budget in other words.
    pub fn judged(self, budget: impl Into<String>, within: Option<bool>) -> Self {
        Self { budget: budget.into(), within, ..self }
    }

    /// Says so where answers were not what they should be: then the numbers are of something else.
    pub fn unless_wrong(mut self, wrong: u64) -> Self {
        if wrong > 0 {
            let _ = write!(self.what, " [VOID: {wrong} wrong answers]");
            self.within = None;
        }
        self
    }

    fn cells(&self) -> [String; 5] {
        let ratio = self.ratio.map_or(String::new(), |ratio| format!("{ratio:.2} x"));
        let verdict = self.within.map_or("", |within| if within { "within" } else { "OVER" });
        [self.what.clone(), self.value.clone(), ratio, self.budget.clone(), verdict.to_owned()]
    }
}

/// All parts, aligned alike.
pub fn text(parts: &[(&str, Vec<Row>)]) -> String {
    let heading = ["what", "value", "ratio", "budget", ""].map(str::to_owned);
    let rows = || parts.iter().flat_map(|(_, rows)| rows);
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| {
            let cells = rows().map(|row| row.cells()[column].chars().count());
            cells.chain([heading[column].len()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &[String; 5]| {
        let [what, value, ratio, budget, verdict] = cells;
        let text = format!(
            "{what:<0$}  {value:>1$}  {ratio:>2$}  {budget:>3$}  {verdict}",
            widths[0], widths[1], widths[2], widths[3]
        );
        format!("{}\n", text.trim_end())
    };
    let mut text = line(&heading);
    for (title, rows) in parts {
        let _ = writeln!(text, "\n-- {title}");
        rows.iter().for_each(|row| text.push_str(&line(&row.cells())));
    }
    text
}

/// The middle one.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Nanoseconds in words.
pub fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        short if short < 1e6 => format!("{:.1} us", short / 1e3),
        long => format!("{:.1} ms", long / 1e6),
    }
}

/// Bytes in words.
pub fn size(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / 1_048_576.0)
}
