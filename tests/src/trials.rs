//! Attempts to be answered as the person, and the table of what each got.

use serde_json::Value;

use crate::cli::Outcome;
use crate::errand::Errand;
use crate::household::{Change, Household, Rights};
use crate::process::Owned;
use crate::{BOB, Person, wait};

/// What should come of an attempt.
#[derive(Clone, Debug)]
pub enum Expected {
    /// Nothing; the answer has these words in it.
    Refused(String),
    /// It passed for an answer of the person's in a terminal or on the page, and gave something that has these words in it.
    Forged(String),
    /// Something with these words in it is gone, and nothing was given.
    TakesAway(String),
}

/// Nothing, in these words.
pub fn refused(words: &str) -> Expected {
    Expected::Refused(words.to_owned())
}

/// A prompt that was forged, and what it gave.
pub fn forged(words: &str) -> Expected {
    Expected::Forged(words.to_owned())
}

/// How everything stood before an attempt.
pub struct Before {
    rights: Rights,
    answered: usize,
}

impl Before {
    /// As it stands now.
    pub fn of(house: &Household) -> Self {
        Self { rights: house.rights(), answered: house.records("consent.answered").len() }
    }
}

/// Less than before.
pub fn takes_away(words: &str) -> Expected {
    Expected::TakesAway(words.to_owned())
}

/// What was tried so far.
#[derive(Default)]
pub struct Trials {
    rows: Vec<[String; 5]>,
    faults: Vec<String>,
}

impl Trials {
    /// One attempt: what it did, in words of its own, and whether that is what should come of it. The attempt returns what
    /// it was answered.
    pub fn attempt(
        &mut self,
        house: &Household,
        (attack, way): (&str, &str),
        expected: &Expected,
        attempt: impl FnOnce() -> String,
    ) {
        let before = Before::of(house);
        let answer = attempt();
        self.attempted(house, (attack, way), expected, &before, &answer);
    }

    /// The same, of an attempt that was made meanwhile.
    pub fn attempted(
        &mut self,
        house: &Household,
        (attack, way): (&str, &str),
        expected: &Expected,
        before: &Before,
        answer: &str,
    ) {
        let change = before.rights.until(&house.rights());
        let yes: Vec<Value> = house
            .records("consent.answered")
            .split_off(before.answered)
            .into_iter()
            .filter(|record| record["decision"] == "allow")
            .collect();
        let strength = |record: &Value| {
            let word = |name: &str| record["details"][name].as_str().unwrap_or("?").to_owned();
            format!("{}, {}", word("strength"), record["details"]["grade"].as_str().unwrap_or("page"))
        };
        let strengths: Vec<_> = yes.iter().map(strength).collect();
        self.judge(attack, way, expected, answer, &change, &strengths);
        let or_none =
            |words: Vec<String>| if words.is_empty() { "none".to_owned() } else { words.join(", ") };
        let shown: String = answer.chars().take(150).collect();
        self.rows.push([attack.to_owned(), way.to_owned(), shown, or_none(strengths), or_none(change.words)]);
    }

    fn judge(
        &mut self,
        attack: &str,
        way: &str,
        expected: &Expected,
        answer: &str,
        change: &Change,
        strengths: &[String],
    ) {
        let mut fault =
            |what: String| self.faults.push(format!("{attack}, {way}: {what}; answered: {answer}"));
        if !change.beyond_a_prompt.is_empty() {
            fault(format!("MORE THAN A PROMPT GIVES: {:?}", change.beyond_a_prompt));
        }
        if strengths.iter().any(|strength| !strength.starts_with("prompt")) {
            fault(format!("passed for {strengths:?}"));
        }
        match expected {
            Expected::Refused(words) => {
                if !answer.contains(words) {
                    fault(format!("not refused with `{words}`"));
                }
                if !change.words.is_empty() || !strengths.is_empty() {
                    fault(format!("should get nothing, got {:?} {strengths:?}", change.words));
                }
            }
            Expected::TakesAway(words) => {
                let gone =
                    |change: &String| ["gone: ", "removed: "].iter().any(|way| change.starts_with(way));
                if !change.words.iter().any(|change| change.contains(words)) || !change.words.iter().all(gone)
                {
                    fault(format!(
                        "should have taken `{words}` away and nothing else, got {:?}",
                        change.words
                    ));
                }
            }
            Expected::Forged(words) => {
                if !change.words.iter().any(|change| change.contains(words)) {
                    fault(format!(
                        "should have got `{words}`, as the documentation says, got {:?}",
                        change.words
                    ));
                }
            }
        }
    }

    /// Notes what cannot be tried here, and why.
    pub fn not_tried(&mut self, attack: &str, way: &str, why: &str) {
        let [attack, way, why] = [attack, way, why].map(str::to_owned);
        self.rows.push([attack, way, format!("NOT TRIED HERE: {why}"), String::new(), String::new()]);
    }

    /// Prints the table, and fails if anything was otherwise than it should be.
    ///
    /// # Panics
    /// Then.
    #[track_caller]
    pub fn judgement(self) {
        let heads = ["attack", "way", "answered", "passed for", "rights that resulted"];
        let wide = |column: usize| {
            let longest = self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
            longest.max(heads[column].len())
        };
        let widths: [usize; 5] = std::array::from_fn(wide);
        let line = |row: &[String; 5]| {
            let cells: Vec<_> =
                row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            cells.join("  ").trim_end().to_owned()
        };
        println!("{}", line(&heads.map(str::to_owned)));
        for row in &self.rows {
            println!("{}", line(row));
        }
        let passed = self.rows.iter().filter(|row| row[3].starts_with("prompt")).count();
        println!(
            "{} attempts, {passed} passed for a prompt, {} otherwise than they should be",
            self.rows.len(),
            self.faults.len()
        );
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n"));
    }
}

/// Waits for an errand that an attacker started. Wherever it asks for a sign-in, the attacker signs in with an account of
/// their own, which is not the owner's.
///
/// # Panics
/// When it does not end.
#[track_caller]
pub fn carried_out(house: &Household, errand: &Errand, by: Owned) -> Outcome {
    signing_in(house, errand, by, BOB)
}

/// Waits for an errand. Wherever it asks for a sign-in, this person signs in.
///
/// # Panics
/// When it does not end.
#[track_caller]
pub fn signing_in(house: &Household, errand: &Errand, mut by: Owned, person: Person) -> Outcome {
    let mut signed_in = 0;
    let outcome = wait::within(wait::PATIENCE, || {
        let so_far = errand.so_far();
        if so_far.code.is_some() {
            return Some(so_far);
        }
        let whole = so_far.stdout.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(str::trim);
        let url = whole.filter(|line| line.contains("code_challenge=")).nth(signed_in).map(str::to_owned);
        if let Some(url) = url {
            signed_in += 1;
            house.world.provider.sign_in(&url, person.email, person.password);
        }
        None
    });
    by.kill();
    outcome.unwrap_or_else(|| panic!("the attempt did not end; so far: {:#?}", errand.so_far()))
}

/// What an outcome says, in one line.
pub fn said(outcome: &Outcome) -> String {
    let text = outcome.all();
    let error = text.lines().find_map(|line| line.strip_prefix("error: "));
    match (error, outcome.code) {
        (Some(error), _) => error.to_owned(),
        (None, Some(0)) => format!("done: {}", text.lines().last().unwrap_or_default().trim()),
        (None, code) => format!("{code:?}: {}", text.lines().last().unwrap_or_default().trim()),
    }
}
