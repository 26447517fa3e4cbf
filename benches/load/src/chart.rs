use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) parts: [f64; 2],
}

const COLOURS: [RGBColor; 3] = [
    RGBColor(52, 101, 164),
    RGBColor(204, 84, 60),
    RGBColor(78, 134, 64),
];
const WIDTH: u32 = 760;
const BAR: u32 = 34;
const FONT: &str = "sans-serif";

/// `names` are the names of the parts.
pub(crate) fn bars(
    path: &Path,
    title: &str,
    names: [&str; 2],
    bars: &[Bar],
) -> Result<(), Box<dyn Error>> {
    let longest = bars
        .iter()
        .map(|bar| bar.parts.iter().sum())
        .fold(0.0, f64::max);
    let count = bars.len() as f64;
    let height = 110 + BAR * u32::try_from(bars.len())?;
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, (FONT, 18))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(170)
        .build_cartesian_2d(0.0..longest * 1.3, 0.0..count)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .y_labels(0)
        .x_max_light_lines(0)
        .label_style((FONT, 13))
        .draw()?;
    for (part, (name, colour)) in names.into_iter().zip(COLOURS).enumerate() {
        if bars.iter().all(|bar| bar.parts[part] == 0.0) {
            continue;
        }
        let rectangles = bars.iter().rev().enumerate().map(|(row, bar)| {
            let from: f64 = bar.parts[..part].iter().sum();
            let corners = [
                (from, row as f64 + 0.2),
                (from + bar.parts[part], row as f64 + 0.8),
            ];
            Rectangle::new(corners, colour.filled())
        });
        let series = chart.draw_series(rectangles)?;
        series
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
    }
    for (row, bar) in bars.iter().rev().enumerate() {
        let total: f64 = bar.parts.iter().sum();
        let at = (total + longest * 0.01, row as f64 + 0.62);
        let text = format!("{total:.1}");
        chart.draw_series([Text::new(text, at, (FONT, 13))])?;
    }
    let row = |y: f64| chart.backend_coord(&(0.0, y));
    for (index, bar) in bars.iter().rev().enumerate() {
        let (x, y) = row(index as f64 + 0.62);
        area.draw(&Text::new(bar.label.clone(), (x - 165, y), (FONT, 13)))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .label_font((FONT, 13))
        .draw()?;
    area.present()?;
    Ok(())
}

pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) colour: usize,
    /// Tells two lines of one colour apart.
    pub(crate) is_filled: bool,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Both axes are logarithmic.
pub(crate) fn lines(
    path: &Path,
    title: &str,
    what_grows: &str,
    lines: &[Line],
) -> Result<(), Box<dyn Error>> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let high = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(0.0, f64::max);
    let left = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
    let width = left / 1.1..high(|point| point.0) * 1.1;
    // From 10 µs, and high enough that the legend covers no line.
    let height = 10.0..high(|point| point.1).max(700.0) * 1.5;
    let area = SVGBackend::new(path, (WIDTH, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, (FONT, 18))
        .margin(12)
        .margin_right(40)
        .x_label_area_size(46)
        .y_label_area_size(70)
        .build_cartesian_2d(width.log_scale(), height.log_scale())?;
    chart
        .configure_mesh()
        .x_desc(what_grows)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .label_style((FONT, 13))
        .light_line_style(WHITE)
        .draw()?;
    for line in lines {
        let colour = COLOURS[line.colour % COLOURS.len()];
        let style = ShapeStyle {
            filled: line.is_filled,
            ..colour.stroke_width(2)
        };
        let points = line.points.iter().copied();
        let series = LineSeries::new(points, style).point_size(4);
        let series = chart.draw_series(series)?;
        series
            .label(&line.label)
            .legend(move |(x, y)| Circle::new((x + 6, y), 4, style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .label_font((FONT, 13))
        .draw()?;
    area.present()?;
    Ok(())
}
