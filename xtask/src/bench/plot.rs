//! Plots of time against size, as SVG: two logarithmic axes, a line per variant.

use std::fmt::Write;

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Title above the plot.
    pub title: String,
    /// Label of the horizontal axis.
    pub across: String,
    /// Label of the vertical axis.
    pub up: String,
    /// Lines of the plot.
    pub lines: Vec<Line>,
}

/// Line of one variant.
#[derive(Clone, Debug)]
pub struct Line {
    /// Name in the legend.
    pub name: String,
    /// Points in ascending order, all positive.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 320.0;
/// Margins around the axes: left, top, right, bottom.
const MARGIN: [f64; 4] = [62.0, 34.0, 18.0, 46.0];
/// Colors that color-blind readers can distinguish (Okabe and Ito's palette).
const COLORS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// Renders the plot as an SVG file.
pub fn svg(plot: &Plot) -> String {
    let points = || plot.lines.iter().flat_map(|line| &line.points);
    let across = Scale::of(points().map(|it| it.0), [MARGIN[0], WIDTH - MARGIN[2]]);
    let up = Scale::of(points().map(|it| it.1), [HEIGHT - MARGIN[3], MARGIN[1]]);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    label(&mut text, WIDTH / 2.0, 18.0, "middle", &plot.title);
    label(&mut text, (MARGIN[0] + WIDTH - MARGIN[2]) / 2.0, HEIGHT - 8.0, "middle", &plot.across);
    let (x, y) = (14.0, (MARGIN[1] + HEIGHT - MARGIN[3]) / 2.0);
    let _ = writeln!(
        text,
        "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" transform=\"rotate(-90 {x} {y})\">{}</text>",
        escaped(&plot.up)
    );
    // Vertical grid lines at the measured sizes, horizontal ones at 1, 2 and 5 times the powers of
    // ten.
    let mut measured: Vec<f64> = points().map(|it| it.0).collect();
    measured.sort_by(f64::total_cmp);
    measured.dedup();
    for value in measured {
        let x = across.at(value);
        rule(&mut text, [x, MARGIN[1]], [x, HEIGHT - MARGIN[3]]);
        label(&mut text, x, HEIGHT - MARGIN[3] + 16.0, "middle", &format!("{value}"));
    }
    for value in up.ticks() {
        let y = up.at(value);
        rule(&mut text, [MARGIN[0], y], [WIDTH - MARGIN[2], y]);
        label(&mut text, MARGIN[0] - 6.0, y + 4.0, "end", &format!("{value}"));
    }
    for (index, line) in plot.lines.iter().enumerate() {
        draw(&mut text, line, index, &across, &up);
    }
    text + "</svg>\n"
}

fn draw(text: &mut String, line: &Line, index: usize, across: &Scale, up: &Scale) {
    let color = COLORS[index % COLORS.len()];
    let places: Vec<[f64; 2]> =
        line.points.iter().map(|&(x, y)| [across.at(x), up.at(y)]).collect();
    let path: Vec<String> = places.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        text,
        "<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"2\" points=\"{}\"/>",
        path.join(" ")
    );
    for [x, y] in places {
        let _ = writeln!(text, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>");
    }
    let (x, y) = (MARGIN[0] + 12.0, MARGIN[1] + 16.0 + 16.0 * index as f64);
    let _ = writeln!(text, "<circle cx=\"{x}\" cy=\"{}\" r=\"4\" fill=\"{color}\"/>", y - 4.0);
    label(text, x + 10.0, y, "start", &line.name);
}

fn label(text: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let _ = writeln!(
        text,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
        escaped(words)
    );
}

fn rule(text: &mut String, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2]) {
    let _ = writeln!(
        text,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#dddddd\"/>"
    );
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Logarithmic axis that maps values to coordinates.
struct Scale {
    values: [f64; 2],
    places: [f64; 2],
}

impl Scale {
    /// Space next to the outermost values, as a factor.
    const ROOM: f64 = 1.25;

    fn of(values: impl Iterator<Item = f64>, places: [f64; 2]) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for value in values {
            (low, high) = (low.min(value), high.max(value));
        }
        // A single value is drawn in the middle, and so are the axes without one.
        let (low, high) = if low <= high { (low, high) } else { (1.0, 1.0) };
        Self { values: [low / Self::ROOM, high * Self::ROOM], places }
    }

    fn at(&self, value: f64) -> f64 {
        let [low, high] = self.values.map(f64::ln);
        let [from, to] = self.places;
        from + (to - from) * (value.ln() - low) / (high - low)
    }

    /// Returns 1, 2 and 5 times the powers of ten within the axis.
    fn ticks(&self) -> Vec<f64> {
        let [low, high] = self.values;
        let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
        decades
            // A negative power is a division: 5 / 10 is exactly 0.5, 5 · 0.1 may differ from it.
            .flat_map(|it| {
                [1.0, 2.0, 5.0].map(|digit| match it {
                    0.. => digit * 10f64.powi(it),
                    _ => digit / 10f64.powi(-it),
                })
            })
            .filter(|tick| (low..=high).contains(tick))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_factors_have_equal_distances() {
        let scale = Scale::of([1.0, 16.0].into_iter(), [0.0, 100.0]);
        let steps = [1.0, 2.0, 4.0, 8.0, 16.0].map(|it| scale.at(it));
        for pair in steps.windows(2) {
            assert!((pair[1] - pair[0] - (steps[1] - steps[0])).abs() < 1e-9, "{steps:?}");
        }
        assert!((steps[0] - (100.0 - steps[4])).abs() < 1e-9);
    }

    #[test]
    fn ticks_lie_within_the_axis() {
        let scale = Scale { values: [0.3, 25.0], places: [0.0, 1.0] };
        assert_eq!(scale.ticks(), [0.5, 1.0, 2.0, 5.0, 10.0, 20.0]);
    }

    #[test]
    fn draws_and_names_every_line() {
        let line = |name: &str| Line { name: name.into(), points: vec![(1.0, 10.0), (2.0, 30.0)] };
        let plot = Plot {
            title: "a < b".into(),
            across: "batch".into(),
            up: "ms".into(),
            lines: vec![line("kernels"), line("eager")],
        };
        let text = svg(&plot);
        assert_eq!(text.matches("<polyline").count(), 2);
        assert!(text.contains(">eager</text>") && text.contains("a &lt; b"), "{text}");
        assert!(!text.contains("NaN"), "{text}");
    }
}
