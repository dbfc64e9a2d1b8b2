//! Opens the user's browser.

use std::io;

use url::Url;
use webbrowser::{Browser, BrowserOptions};

/// Opens `url` in the user's browser and returns as soon as it was started; nothing of it reaches our output.
/// Blocking for some milliseconds (it may ask `xdg-settings`).
///
/// # Errors
/// [`BrowserError`]: then show the address for the user to open.
pub fn open(url: &str) -> Result<(), BrowserError> {
    open_in(url, &Surroundings::of_this_process())
}

/// The same, with the session's facts given.
///
/// # Errors
/// As [`open`].
pub fn open_in(url: &str, surroundings: &Surroundings) -> Result<(), BrowserError> {
    let url = check(url, surroundings)?;
    let mut options = BrowserOptions::new();
    options.with_suppress_output(true);
    webbrowser::open_browser_with_options(Browser::Default, url.as_str(), &options)
        .map_err(BrowserError::NotOpened)
}

/// What there is to open a browser with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// There is a graphical session: `DISPLAY` or `WAYLAND_DISPLAY` is set. Not asked on macOS and Windows.
    pub display: bool,
    /// `BROWSER`, when set: the user's own choice, which may work without a graphical session.
    pub browser: Option<String>,
}

impl Surroundings {
    /// Those of this process. The `webbrowser` crate looks at `BROWSER` and the desktop's variables by itself, so that
    /// facts from elsewhere would not hold for it.
    #[allow(clippy::disallowed_methods, reason = "the same variables that the opening itself goes by")]
    pub fn of_this_process() -> Surroundings {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Surroundings {
            display: set("DISPLAY").or_else(|| set("WAYLAND_DISPLAY")).is_some(),
            browser: set("BROWSER").map(|value| value.to_string_lossy().into_owned()),
        }
    }
}

/// Browsers that draw into the terminal they were started from. They would write to our output, and cannot run the
/// provider's pages.
const TEXT_BROWSERS: [&str; 6] = ["elinks", "links", "links2", "lynx", "w3m", "www-browser"];

/// Everything that can be said before a program is started.
fn check(url: &str, surroundings: &Surroundings) -> Result<Url, BrowserError> {
    let url = Url::parse(url).map_err(BrowserError::NoAddress)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(BrowserError::Scheme { scheme: url.scheme().to_owned() });
    }
    let chosen = surroundings.browser.as_deref().unwrap_or_default();
    if cfg!(any(target_os = "macos", windows)) {
        return Ok(url);
    }
    if let Some(name) = chosen.split(':').find_map(text_browser) {
        return Err(BrowserError::TextBrowser { name: name.to_owned() });
    }
    if chosen.is_empty() && !surroundings.display {
        return Err(BrowserError::NoDisplay);
    }
    Ok(url)
}

/// The program's name, if one alternative of `BROWSER` is a text browser.
fn text_browser(command: &str) -> Option<&str> {
    let program = command.split_ascii_whitespace().next()?;
    let name = program.rsplit('/').next()?;
    TEXT_BROWSERS.contains(&name).then_some(name)
}

/// Why no browser was opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrowserError {
    /// The text is no address.
    #[error("what should be opened in the browser is not a whole address")]
    NoAddress(#[source] url::ParseError),
    /// The address is not one for a browser.
    #[error("an address with the scheme `{scheme}` is not opened in a browser: only http and https are")]
    Scheme {
        /// Its scheme.
        scheme: String,
    },
    /// There is no graphical session and no chosen browser.
    #[error(
        "there is no graphical session to open a browser in: set BROWSER if one can be started all the same"
    )]
    NoDisplay,
    /// The chosen browser would draw into our terminal.
    #[error(
        "the browser `{name}` cannot show the login page: choose another in BROWSER, or open the address yourself"
    )]
    TextBrowser {
        /// The program.
        name: String,
    },
    /// No browser could be started.
    #[error("no browser could be started: open the address yourself, or set BROWSER")]
    NotOpened(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graphical() -> Surroundings {
        Surroundings { display: true, browser: None }
    }

    #[test]
    fn only_web_addresses_are_opened() {
        for text in ["file:///etc/passwd", "javascript:alert(1)", "mailto:a@example.com", "ssh://host/"] {
            let refused = open_in(text, &graphical());
            assert!(matches!(refused, Err(BrowserError::Scheme { .. })), "{text}: {refused:?}");
        }
        check("https://auth.example.com/login?x=1", &graphical()).unwrap();
        check("http://127.0.0.1:7777/", &graphical()).unwrap();
    }

    #[cfg(all(unix, not(target_os = "macos")))]
    #[test]
    fn without_a_display_nothing_is_started() {
        let refused = open_in("https://example.com", &Surroundings::default());
        assert!(matches!(refused, Err(BrowserError::NoDisplay)), "{refused:?}");
        let chosen =
            Surroundings { display: false, browser: Some("/usr/local/bin/open-there %s".to_owned()) };
        check("https://example.com", &chosen).unwrap();
    }

    #[cfg(all(unix, not(target_os = "macos")))]
    #[test]
    fn a_browser_for_the_terminal_is_refused() {
        for browser in ["w3m", "/usr/bin/lynx -nopause %s", "firefox:elinks"] {
            let chosen = Surroundings { display: true, browser: Some(browser.to_owned()) };
            let refused = open_in("https://example.com", &chosen);
            assert!(matches!(refused, Err(BrowserError::TextBrowser { .. })), "{browser}: {refused:?}");
        }
    }
}
