//! A QR code in the terminal.
//!
//! Where colour may be used, it is drawn in black on white whatever the terminal's own colours are, since not every
//! reader takes an inverted code. Without colour, what is drawn stands for light: right on a dark terminal, and inverted
//! on a light one, which most readers take.

use anstyle::{Ansi256Color, Style};
use qrcode::{Color, EcLevel, QrCode};

/// The light border that a reader needs, in modules (ISO/IEC 18004, 6.3.8).
const QUIET: usize = 4;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Half blocks: two modules in one character.
    pub(super) unicode: bool,
    /// Colours of our own.
    pub(super) colour: bool,
}

/// The modules of a code, dark or light, with the border.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    side: usize,
    dark: Vec<bool>,
}

impl Picture {
    /// The code for a text; `None` when it is too long for one.
    pub(super) fn of(text: &str) -> Option<Self> {
        let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
        let inner = code.width();
        let side = inner + 2 * QUIET;
        let modules = code.to_colors();
        let module = |x: usize, y: usize| {
            let (x, y) = (x.checked_sub(QUIET)?, y.checked_sub(QUIET)?);
            (x < inner && y < inner).then(|| modules.get(y * inner + x))?
        };
        let dark = (0..side * side).map(|at| module(at % side, at / side) == Some(&Color::Dark)).collect();
        Some(Self { side, dark })
    }

    /// How many columns the drawing takes.
    pub(super) fn columns(&self, look: Look) -> usize {
        if look.unicode { self.side } else { 2 * self.side }
    }

    /// The drawing, a line for each one or two rows of modules.
    pub(super) fn draw(&self, look: Look) -> String {
        let lines = if look.unicode { self.half_blocks(look.colour) } else { self.full_blocks(look.colour) };
        lines.join("\n")
    }

    fn half_blocks(&self, colour: bool) -> Vec<String> {
        let style = if colour { ink() } else { Style::new() };
        let row = |y: usize| {
            let drawn = (0..self.side).map(|x| {
                // Ink is dark on our own white, and light on the terminal's own background.
                let ink = |y: usize| self.is_dark(x, y) == colour;
                match (ink(y), ink(y + 1)) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                }
            });
            format!("{style}{}{style:#}", drawn.collect::<String>())
        };
        (0..self.side).step_by(2).map(row).collect()
    }

    fn full_blocks(&self, colour: bool) -> Vec<String> {
        let row = |y: usize| {
            let drawn = (0..self.side).map(|x| match (self.is_dark(x, y), colour) {
                (dark, true) => {
                    let style = paper(dark);
                    format!("{style}  {style:#}")
                }
                (true, false) => "  ".to_owned(),
                (false, false) => "##".to_owned(),
            });
            drawn.collect::<String>()
        };
        (0..self.side).map(row).collect()
    }

    /// Below the last row, everything is light.
    fn is_dark(&self, x: usize, y: usize) -> bool {
        self.dark.get(y * self.side + x).copied().unwrap_or_default()
    }
}

/// The colour cube's black and white: themes change the first sixteen colours.
const BLACK: Ansi256Color = Ansi256Color(16);
const WHITE: Ansi256Color = Ansi256Color(231);

fn ink() -> Style {
    Style::new().fg_color(Some(BLACK.into())).bg_color(Some(WHITE.into()))
}

fn paper(dark: bool) -> Style {
    Style::new().bg_color(Some(if dark { BLACK } else { WHITE }.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "https://auth.example.com/device/P2EmulatedProjectOfAcme00001?user_code=WDJB-MJHT";

    /// What somebody sees who looks at the terminal: for each pixel, whether it is dark.
    fn seen(drawing: &str, look: Look, dark_terminal: bool) -> Vec<Vec<bool>> {
        let mut rows = Vec::new();
        for line in drawing.lines() {
            let (mut above, mut below) = (Vec::new(), Vec::new());
            // Colour of ink and paper at this place.
            let (mut ink_dark, mut paper_dark) = (!dark_terminal, dark_terminal);
            let mut rest = line;
            while let Some(character) = rest.chars().next() {
                if let Some(sequence) = rest.strip_prefix("\u{1b}[") {
                    let (codes, tail) = sequence.split_once('m').unwrap();
                    match codes {
                        "0" => (ink_dark, paper_dark) = (!dark_terminal, dark_terminal),
                        "38;5;16" => ink_dark = true,
                        "48;5;16" => paper_dark = true,
                        "48;5;231" => paper_dark = false,
                        other => panic!("unexpected sequence {other}"),
                    }
                    rest = tail;
                    continue;
                }
                let (top, bottom) = match character {
                    '█' | '#' => (ink_dark, ink_dark),
                    '▀' => (ink_dark, paper_dark),
                    '▄' => (paper_dark, ink_dark),
                    ' ' => (paper_dark, paper_dark),
                    other => panic!("unexpected character {other}"),
                };
                above.push(top);
                below.push(bottom);
                rest = &rest[character.len_utf8()..];
            }
            rows.push(above);
            if look.unicode {
                rows.push(below);
            }
        }
        // Two characters for a module make it a square.
        if !look.unicode {
            for row in &mut rows {
                *row = row.chunks(2).map(|pair| pair[0]).collect();
            }
        }
        rows
    }

    /// Reads the picture as a telephone does, with some terminal around it.
    fn read(pixels: &[Vec<bool>], inverted: bool, around_dark: bool) -> Option<String> {
        const SCALE: usize = 4;
        const MARGIN: usize = 16;
        let (width, height) = (pixels[0].len() * SCALE + 2 * MARGIN, pixels.len() * SCALE + 2 * MARGIN);
        let dark = |x: usize, y: usize| {
            let inside = x.checked_sub(MARGIN).zip(y.checked_sub(MARGIN));
            let pixel = inside.and_then(|(x, y)| pixels.get(y / SCALE)?.get(x / SCALE).copied());
            pixel.unwrap_or(around_dark) != inverted
        };
        let mut image =
            rqrr::PreparedImage::prepare_from_greyscale(
                width,
                height,
                |x, y| {
                    if dark(x, y) { 0 } else { 255 }
                },
            );
        let grids = image.detect_grids();
        Some(grids.first()?.decode().ok()?.1)
    }

    #[test]
    fn a_reader_reads_it_on_dark_and_light_terminals() {
        let picture = Picture::of(ADDRESS).unwrap();
        for unicode in [true, false] {
            for colour in [true, false] {
                let look = Look { unicode, colour };
                let drawing = picture.draw(look);
                for dark_terminal in [true, false] {
                    let pixels = seen(&drawing, look, dark_terminal);
                    // Without colours, a light terminal shows the code inverted.
                    let inverted = !colour && !dark_terminal;
                    let text = read(&pixels, inverted, dark_terminal);
                    assert_eq!(text.as_deref(), Some(ADDRESS), "{look:?}, dark: {dark_terminal}\n{drawing}");
                }
            }
        }
    }

    #[test]
    fn without_unicode_it_is_drawn_in_ascii() {
        let picture = Picture::of(ADDRESS).unwrap();
        for colour in [true, false] {
            assert!(picture.draw(Look { unicode: false, colour }).is_ascii());
        }
        let look = Look { unicode: true, colour: false };
        let drawing = picture.draw(look);
        assert!(drawing.lines().all(|line| line.chars().count() == picture.columns(look)));
        assert!(picture.columns(look) < 80, "it fits a usual terminal");
        assert!(!drawing.contains('\u{1b}'));
    }

    #[test]
    fn what_is_too_long_has_no_picture() {
        assert!(Picture::of(&"x".repeat(4_000)).is_none());
    }
}
