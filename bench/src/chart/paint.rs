//! The chart's layout: a row for each work, its bar from 1x to Postern's figure on a logarithmic scale, the other systems
//! as marks, and the figures in separate columns, which the bars do not reach.

use super::text::{Line, TEXT, letters};
use super::{CONTEXT, Picture, Work};
use crate::plan::System;
use plotters::coord::Shift;
use plotters::coord::combinators::IntoLogRange;
use plotters::prelude::*;

pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Width and height in pixels: 16:9, higher if targets are missed. All lengths here are in these pixels.
const SIZE: (i32, i32) = (1280, 720);
/// Height of a line for a missed target, below that.
const BELOW: i32 = 34;
const MARGIN: i32 = 30;
/// The area of the bars: between labels and figures, and between heading and axis.
const BARS: (i32, i32) = (306, 1040);
const ROWS: (i32, i32) = (212, 632);
/// Right end and width of the labels.
const LABEL: (i32, i32) = (BARS.0 - 16, BARS.0 - 16 - MARGIN - 8);
/// Right end of the figures, left end of the targets, middle of the verdicts.
const REACHED: i32 = 1138;
const WANTED: i32 = 1168;
const VERDICT: i32 = 1232;
/// Gap between the works of two groups, as a part of a row.
const GAP: f64 = 0.4;

/// Colours that colour-blind people can distinguish (of Okabe and Ito), with a border if they are light. In grey the bars
/// are the only dark areas, and each mark has its own shape.
const POSTERN: RGBColor = RGBColor(0, 114, 178);
const SKY: RGBColor = RGBColor(86, 180, 233);
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const MISSED: RGBColor = RGBColor(178, 60, 0);
pub const INK: RGBColor = RGBColor(34, 34, 34);
const QUIET: RGBColor = RGBColor(85, 85, 85);
const FAINT: RGBColor = RGBColor(214, 214, 214);
const BAND: RGBColor = RGBColor(244, 245, 247);

/// The picture as SVG.
pub fn svg(picture: &Picture) -> Result<String, DrawingAreaErrorKind<std::io::Error>> {
    let mut text = String::new();
    let below =
        if picture.missed.is_empty() { 0 } else { BELOW * (picture.missed.len() as i32 + 1) + BELOW / 2 };
    let size = (SIZE.0 as u32, (SIZE.1 + below) as u32);
    let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
    area.fill(&WHITE)?;
    heading(&area, picture)?;
    for (_, top, bottom) in rows(&picture.works).step_by(2) {
        area.draw(&Rectangle::new([(MARGIN, top), (SIZE.0 - MARGIN, bottom)], BAND.filled()))?;
    }
    let scale = Scale::of(&picture.works);
    axis(&area, picture, &scale)?;
    // All labels have one size, that of the longest.
    let longest = picture.works.iter().map(|work| letters(work.label, TEXT, false)).fold(1.0, f64::max);
    let size = TEXT * (f64::from(LABEL.1) / longest).min(1.0);
    for (work, top, bottom) in rows(&picture.works) {
        let middle = i32::midpoint(top, bottom);
        Line::new(work.label, (LABEL.0, middle), LABEL.1).size(size).ends().draw(&area)?;
        row(&area, work, &scale, middle, (bottom - top) * 3 / 10)?;
    }
    missed(&area, &picture.missed)?;
    area.present()?;
    drop(area);
    Ok(text)
}

/// The missed targets of all kinds.
fn missed(area: &Area, targets: &[String]) -> Drawn {
    let lines = targets.iter().zip((SIZE.1 + BELOW..).step_by(BELOW as usize));
    if !targets.is_empty() {
        let text = "Targets that are not met:";
        Line::new(text, (MARGIN, SIZE.1), SIZE.0 - 2 * MARGIN).bold().draw(area)?;
    }
    for (target, y) in lines {
        verdict(area, false, (MARGIN + 12, y))?;
        Line::new(target, (MARGIN + 36, y), SIZE.0 - 2 * MARGIN - 36).draw(area)?;
    }
    Ok(())
}

fn heading(area: &Area, picture: &Picture) -> Drawn {
    let width = SIZE.0 - 2 * MARGIN;
    Line::new(&picture.title, (MARGIN, 42), width).size(34.0).bold().draw(area)?;
    for (condition, y) in picture.conditions.iter().zip([86, 113]) {
        Line::new(condition, (MARGIN, y), width).colour(QUIET).draw(area)?;
    }
    legend(area, &picture.works)
}

/// The meaning of each sign in the picture.
fn legend(area: &Area, works: &[Work]) -> Drawn {
    let (y, mut x) = (152, MARGIN);
    let mut sign = |text: &str| {
        let (middle, width) = (x + 16, letters(text, TEXT, false) as i32);
        x += 36 + width + 18;
        Line::new(text, (middle + 20, y), width).draw(area).map(|()| (middle, y))
    };
    let (x, _) = sign(System::PosternBounced.name())?;
    area.draw(&Rectangle::new([(x - 14, y - 9), (x + 14, y + 9)], POSTERN.filled()))?;
    for system in CONTEXT {
        if works.iter().any(|work| work.context.iter().any(|(other, _)| *other == system)) {
            mark(area, system, sign(system.name())?)?;
        }
    }
    if works.iter().any(|work| work.wanted.is_some()) {
        tick(area, sign("target")?, 11)?;
    }
    Ok(())
}

/// The logarithmic scale.
struct Scale(LogCoord<f64>);

impl Scale {
    fn of(works: &[Work]) -> Self {
        let others =
            |work: &Work| work.context.iter().map(|(_, times)| *times).chain(work.wanted).collect::<Vec<_>>();
        let all: Vec<f64> =
            works.iter().flat_map(|work| others(work).into_iter().chain([work.postern])).collect();
        // With room for a mark at either end.
        let least = all.iter().copied().fold(1.0, f64::min) / 1.15;
        let most = all.iter().copied().fold(2.0, f64::max) * 1.15;
        Self((least..most).log_scale().into())
    }

    fn x(&self, times: f64) -> i32 {
        self.0.map(&times, BARS)
    }

    /// The axis labels: 1, 2 and 5 of each power of ten, or only the powers if there are many.
    fn labels(&self) -> Vec<f64> {
        let range = self.0.range();
        let steps: &[f64] = if range.end / range.start > 300.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let powers = (-9..10).map(|power| 10f64.powi(power));
        let all = powers.flat_map(|power| steps.iter().map(move |step| step * power));
        all.filter(|at| range.contains(at)).collect()
    }
}

fn axis(area: &Area, picture: &Picture, scale: &Scale) -> Drawn {
    for at in scale.labels() {
        let x = scale.x(at);
        area.draw(&PathElement::new([(x, ROWS.0), (x, ROWS.1)], FAINT))?;
        Line::new(&format!("{at}x"), (x, ROWS.1 + 18), 64).colour(QUIET).centred().draw(area)?;
    }
    let middle = i32::midpoint(BARS.0, BARS.1);
    let title = format!("times {} (logarithmic scale; right is better)", picture.base);
    Line::new(&title, (middle, ROWS.1 + 54), BARS.1 - BARS.0).centred().draw(area)?;

    let one = scale.x(1.0);
    area.draw(&PathElement::new([(one, ROWS.0 - 6), (one, ROWS.1 + 4)], INK.stroke_width(2)))?;
    let above = ROWS.0 - 22;
    // To the side where there is more room.
    let base = |room| Line::new(&picture.base, (one, above), room).bold();
    if one < middle { base(BARS.1 - one) } else { base(one - BARS.0).ends() }.draw(area)?;
    Line::new("Postern", (REACHED, above), REACHED - BARS.1).colour(QUIET).ends().draw(area)?;
    if picture.works.iter().all(|work| work.wanted.is_none()) {
        return Ok(());
    }
    Line::new("target", (WANTED, above), SIZE.0 - WANTED).colour(QUIET).draw(area)
}

/// Each work with its row's top and bottom.
fn rows(works: &[Work]) -> impl Iterator<Item = (&Work, i32, i32)> {
    let new = |at: usize| at > 0 && works[at].group != works[at - 1].group;
    let gaps = (0..works.len()).filter(|at| new(*at)).count();
    let high = f64::from(ROWS.1 - ROWS.0) / (works.len() as f64 + GAP * gaps as f64);
    let mut top = f64::from(ROWS.0);
    works.iter().enumerate().map(move |(at, work)| {
        top += if new(at) { high * GAP } else { 0.0 };
        let row = (work, top as i32, (top + high) as i32);
        top += high;
        row
    })
}

fn row(area: &Area, work: &Work, scale: &Scale, middle: i32, half: i32) -> Drawn {
    let half = half.min(18);
    let bar = [(scale.x(1.0), middle - half), (scale.x(work.postern), middle + half)];
    area.draw(&Rectangle::new(bar, POSTERN.filled()))?;
    if let Some(wanted) = work.wanted {
        tick(area, (scale.x(wanted), middle), half + 5)?;
    }
    for (system, times) in &work.context {
        mark(area, *system, (scale.x(*times), middle))?;
    }
    let reached = format!("{}x", work.reached());
    Line::new(&reached, (REACHED, middle), REACHED - BARS.1)
        .size(24.0)
        .bold()
        .colour(POSTERN)
        .ends()
        .draw(area)?;
    let Some(wanted) = work.wanted else { return Ok(()) };
    Line::new(&format!("{wanted}x"), (WANTED, middle), VERDICT - WANTED - 14).draw(area)?;
    verdict(area, work.postern >= wanted, (VERDICT, middle))
}

/// A target: dark, with a white border where it crosses a bar.
fn tick(area: &Area, (x, y): (i32, i32), half: i32) -> Drawn {
    area.draw(&Rectangle::new([(x - 3, y - half), (x + 3, y + half)], WHITE.filled()))?;
    area.draw(&Rectangle::new([(x - 2, y - half), (x + 2, y + half)], INK.filled()))
}

/// A check mark or a cross, drawn as lines, as not every font has them.
fn verdict(area: &Area, met: bool, (x, y): (i32, i32)) -> Drawn {
    let (colour, strokes) = if met {
        (POSTERN, vec![vec![(x - 9, y), (x - 3, y + 7), (x + 9, y - 8)]])
    } else {
        (MISSED, vec![vec![(x - 7, y - 7), (x + 7, y + 7)], vec![(x - 7, y + 7), (x + 7, y - 7)]])
    };
    strokes.into_iter().try_for_each(|stroke| area.draw(&PathElement::new(stroke, colour.stroke_width(4))))
}

/// The sign of a system that has no bar.
fn mark(area: &Area, system: System, (x, y): (i32, i32)) -> Drawn {
    let (colour, mut corners) = match system {
        System::VirtioDrivers => (ORANGE, vec![(x, y - 10), (x + 10, y), (x, y + 10), (x - 10, y)]),
        System::LinuxDirect => (FAINT, vec![(x - 9, y + 8), (x, y - 9), (x + 9, y + 8)]),
        _ => {
            area.draw(&Circle::new((x, y), 8, SKY.filled()))?;
            return area.draw(&Circle::new((x, y), 8, INK.stroke_width(2)));
        }
    };
    area.draw(&Polygon::new(corners.clone(), colour.filled()))?;
    corners.push(corners[0]);
    area.draw(&PathElement::new(corners, INK.stroke_width(2)))
}
