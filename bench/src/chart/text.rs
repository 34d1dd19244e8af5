//! Text in a picture whose font is not known when it is drawn.

use super::paint::{Area, Drawn, INK};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Pixels of ordinary text: readable from the back of a room when the picture fills the screen.
pub const TEXT: f64 = 20.0;
/// plotters divides sizes by this before it writes them down.
const WRITTEN: f64 = 1.24;

/// Largest width of a text in pixels. Letters of DejaVu and Verdana, the widest common fonts, are 0.6 of the size wide on
/// average, and 0.68 when bold.
pub fn letters(text: &str, size: f64, bold: bool) -> f64 {
    text.chars().count() as f64 * size * if bold { 0.7 } else { 0.62 }
}

/// A line of text at a point, made smaller if it would be longer than its width.
pub struct Line<'a> {
    text: &'a str,
    at: (i32, i32),
    width: i32,
    size: f64,
    bold: bool,
    colour: RGBColor,
    side: HPos,
}

impl<'a> Line<'a> {
    /// A line that begins at this point, which is at half the letters' height.
    pub const fn new(text: &'a str, at: (i32, i32), width: i32) -> Self {
        Self { text, at, width, size: TEXT, bold: false, colour: INK, side: HPos::Left }
    }

    pub const fn size(self, size: f64) -> Self {
        Self { size, ..self }
    }

    pub const fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    pub const fn colour(self, colour: RGBColor) -> Self {
        Self { colour, ..self }
    }

    /// Makes the line end at its point.
    pub const fn ends(self) -> Self {
        Self { side: HPos::Right, ..self }
    }

    pub const fn centred(self) -> Self {
        Self { side: HPos::Center, ..self }
    }

    pub fn draw(&self, area: &Area) -> Drawn {
        let fits = f64::from(self.width) / letters(self.text, self.size, self.bold);
        let style = if self.bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = FontDesc::new(FontFamily::SansSerif, self.size * fits.min(1.0) * WRITTEN, style);
        let style = font.color(&self.colour).pos(Pos::new(self.side, VPos::Center));
        area.draw(&Text::new(self.text.to_owned(), self.at, style))
    }
}
