//! The pages of a search's results. A token says where the next page begins, and is good only for the same search over the
//! same rules: whoever changes either begins anew.

use crate::canonical::sha256_hex;
use crate::text::display_safe_within;

/// How many results a page has unless the asker says.
pub const DEFAULT_LIMIT: usize = 250;
/// The most results of a page.
pub const MAX_LIMIT: usize = 1_000;

/// Which page is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageAsk {
    /// The token of the page before; nothing for the first.
    pub token: Option<String>,
    /// How many results at most; `None` for [`DEFAULT_LIMIT`].
    pub limit: Option<u64>,
    /// What the search is, in any form that is the same for the same search.
    pub search: String,
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What is on it.
    pub results: Vec<String>,
    /// What leads to the next one; empty at the end.
    pub next_token: String,
    /// How many results there are in all.
    pub total: usize,
}

/// Why there is no such page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageFault {
    /// Not a token, or one of another search.
    #[error(
        "`page.token` is `{0}`, which leads nowhere in this search: send everything else as it was, or search anew without it"
    )]
    Token(String),
    /// No page has no results.
    #[error("`page.limit` is 0: ask for 1 to {MAX_LIMIT} results")]
    Limit,
}

impl PageAsk {
    /// The page of these results; `rules` names what they were found by.
    ///
    /// # Errors
    /// See [`PageFault`].
    pub fn of(&self, results: Vec<String>, rules: &str) -> Result<Page, PageFault> {
        let limit = match self.limit {
            None => DEFAULT_LIMIT,
            Some(0) => return Err(PageFault::Limit),
            Some(limit) => usize::try_from(limit).unwrap_or(MAX_LIMIT).min(MAX_LIMIT),
        };
        let token = |from: usize| {
            let bound = sha256_hex(format!("{from}\n{rules}\n{}", self.search).as_bytes());
            format!("{from}-{}", bound.get(..32).unwrap_or_default())
        };
        let from = match self.token.as_deref().filter(|token| !token.is_empty()) {
            None => 0,
            Some(given) => {
                let from = given.split_once('-').and_then(|(from, _)| from.parse::<usize>().ok());
                from.filter(|from| token(*from) == given)
                    .ok_or_else(|| PageFault::Token(display_safe_within(given, 64)))?
            }
        };
        let total = results.len();
        let end = from.saturating_add(limit).min(total);
        let next_token = if end < total { token(end) } else { String::new() };
        Ok(Page { results: results.into_iter().skip(from).take(limit).collect(), next_token, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(search: &str, token: &str, limit: Option<u64>) -> PageAsk {
        PageAsk { token: Some(token.to_owned()), limit, search: search.to_owned() }
    }

    #[test]
    fn pages_hold_everything_once() {
        let all: Vec<String> = (0..5).map(|number| number.to_string()).collect();
        let (mut found, mut token, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = ask("a", &token, Some(2)).of(all.clone(), "rules").unwrap();
            assert_eq!(page.total, 5);
            found.extend(page.results);
            pages += 1;
            token = page.next_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!((found, pages), (all, 3));
    }

    #[test]
    fn a_token_is_good_for_its_search_and_rules_only() {
        let all: Vec<String> = (0..5).map(|number| number.to_string()).collect();
        let token = ask("a", "", Some(2)).of(all.clone(), "rules").unwrap().next_token;
        assert!(ask("a", &token, Some(3)).of(all.clone(), "rules").is_ok());
        for (search, rules, token) in
            [("b", "rules", &*token), ("a", "other", &token), ("a", "rules", "4-x"), ("a", "rules", "x")]
        {
            assert!(matches!(ask(search, token, Some(2)).of(all.clone(), rules), Err(PageFault::Token(_))));
        }
        assert_eq!(ask("a", "", Some(0)).of(all, "rules"), Err(PageFault::Limit));
    }
}
