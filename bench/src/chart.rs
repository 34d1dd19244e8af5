//! One picture: how many times faster than bounced Linux.

use crate::measure::{NETWORK, START};
use crate::plan::{Backend, System};
use crate::results::Results;
use plotters::prelude::*;
use std::io;
use std::path::Path;

const SIZE: (u32, u32) = (1000, 560);
const SHOWN: [(System, RGBColor); 3] = [
    (System::PosternBounced, RGBColor(0, 92, 175)),
    (System::PosternDirect, RGBColor(130, 180, 225)),
    (System::LinuxDirect, RGBColor(190, 190, 190)),
];

/// Draws the chart, and says whether there is one: without Linux there is nothing to compare with.
pub fn draw(results: &Results, to: &Path) -> io::Result<bool> {
    let null = Backend::Null.name();
    let works = [
        (null, "4 KiB random read, depth 1", "4 KiB read, depth 1"),
        (null, "4 KiB random read, depth 32", "4 KiB read, depth 32"),
        (null, "4 KiB random write, depth 32", "4 KiB write, depth 32"),
        (null, "64 KiB read, depth 8", "64 KiB read, depth 8"),
        (null, "1 MiB read, depth 8", "1 MiB read, depth 8"),
        (NETWORK, "UDP echo, 64 bytes", "UDP echo, 64 bytes"),
        (NETWORK, "TCP echo, each way", "TCP echo"),
        (START, "QEMU start to drivers ready, VOF", "start (VOF)"),
    ];
    let groups: Vec<(&str, Vec<(RGBColor, f64)>)> = works
        .iter()
        .filter_map(|(group, work, label)| {
            let entry = results.find(group, work)?;
            let bars = SHOWN
                .iter()
                .filter_map(|(system, colour)| Some((*colour, entry.times(*system, System::LinuxBounced)?)))
                .collect::<Vec<_>>();
            (!bars.is_empty()).then_some((*label, bars))
        })
        .collect();
    if groups.is_empty() {
        return Ok(false);
    }
    paint(&groups, to).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(true)
}

fn paint(
    groups: &[(&str, Vec<(RGBColor, f64)>)],
    to: &Path,
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'static> as DrawingBackend>::ErrorType>> {
    let all = groups.iter().flat_map(|(_, bars)| bars).map(|(_, times)| *times);
    let most = all.clone().fold(1.0, f64::max) * 1.6;
    let least = all.fold(1.0, f64::min).min(0.5) / 1.3;
    let to = to.to_path_buf();
    let root = SVGBackend::new(&to, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("Times faster than Linux 6.1 with swiotlb=force and ACCESS_PLATFORM", ("sans-serif", 22))
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..groups.len() as f64, (least..most).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .light_line_style(WHITE)
        .y_labels(8)
        .y_label_formatter(&|times| {
            if *times >= 1.0 { format!("{times:.0}x") } else { format!("{times:.1}x") }
        })
        .draw()?;
    let slot = 0.8 / SHOWN.len() as f64;
    for (group, (_, bars)) in groups.iter().enumerate() {
        for (place, (colour, times)) in bars.iter().enumerate() {
            let left = group as f64 + 0.1 + slot * place as f64;
            let bar = [(left, 1.0), (left + slot * 0.92, *times)];
            chart.draw_series([Rectangle::new(bar, colour.filled())])?;
            let label = if *times >= 10.0 { format!("{times:.0}") } else { format!("{times:.1}") };
            let above = times.max(1.0) * 1.12;
            chart.draw_series([Text::new(label, (left + slot * 0.1, above), ("sans-serif", 13))])?;
        }
    }
    chart.draw_series([PathElement::new([(0.0, 1.0), (groups.len() as f64, 1.0)], BLACK)])?;
    let area = chart.plotting_area();
    for (group, (label, _)) in groups.iter().enumerate() {
        let (x, _) = area.map_coordinate(&(group as f64 + 0.5, 1.0));
        let style = ("sans-serif", 12).into_text_style(&root);
        let (width, _) = root.estimate_text_size(label, &style)?;
        let x = x - i32::try_from(width / 2).unwrap_or(0);
        root.draw(&Text::new((*label).to_owned(), (x, SIZE.1 as i32 - 44), ("sans-serif", 12)))?;
    }
    for (place, (system, colour)) in SHOWN.iter().enumerate() {
        let (x, y) = (200 + 220 * place as i32, SIZE.1 as i32 - 20);
        root.draw(&Rectangle::new([(x, y), (x + 12, y + 12)], colour.filled()))?;
        root.draw(&Text::new(system.name(), (x + 18, y), ("sans-serif", 14)))?;
    }
    root.present()
}
