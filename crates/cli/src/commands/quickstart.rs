//! `uni-instruct quickstart`: distillation of a closed-form teacher in two dimensions.

use std::{fmt::Write, path::PathBuf};

use train::quickstart::{self, Coverage};

use crate::{job, output::say, run_folder};

/// Points of each panel.
const POINTS: usize = 1500;

/// Arguments of `uni-instruct quickstart`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder for the plot and the statistics.
    #[arg(long, default_value = "runs/quickstart")]
    out: PathBuf,
    /// Number of updates; the first fifth trains the fake score alone.
    #[arg(long, default_value_t = 2500, value_parser = clap::value_parser!(u64).range(10..1_000_000))]
    updates: u64,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut engine = quickstart::engine(args.updates, args.seed)?;
    let entries = [("kind", "quickstart".to_owned()), ("config", engine.config.fingerprint())];
    let provenance = run_folder::RunProvenance::new(entries, &["kind", "config"]);
    run_folder::claim(&args.out, &engine.config.to_toml(), &provenance)?;
    let start = quickstart::student_points(&engine, POINTS)?;
    job::run(&mut engine, &args.out, None)?;
    let student = quickstart::student_points(&engine, POINTS)?;
    let real = quickstart::real_points(POINTS, args.seed);
    let panels = [("teacher", &real), ("student before", &start), ("student after", &student)];
    let path = args.out.join("points.svg");
    run_folder::replace(&path, plot(&panels).as_bytes())?;
    say!("{}", path.display())?;
    for (name, points) in panels {
        let Coverage { on_mode, shares } = quickstart::coverage(points);
        let shares: Vec<String> = shares.iter().map(|it| format!("{:.0} %", 100.0 * it)).collect();
        let (share, shares) = (100.0 * on_mode, shares.join(", "));
        say!("{name:15} {share:5.1} % on a mode; modes: {shares}")?;
    }
    Ok(())
}

/// Points as panels side by side, each from -2 to 2 in both directions.
fn plot(panels: &[(&str, &Vec<[f64; 2]>)]) -> String {
    const SIDE: f64 = 300.0;
    const REACH: f64 = 2.0;
    let width = SIDE * panels.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {SIDE}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{width}\" height=\"{SIDE}\" fill=\"white\"/>\n"
    );
    for (panel, (name, points)) in panels.iter().enumerate() {
        let left = SIDE * panel as f64;
        let mut place = |text: std::fmt::Arguments<'_>| {
            svg.write_fmt(text).expect("a string takes all that is written");
        };
        place(format_args!("<text x=\"{}\" y=\"20\">{name}</text>\n", left + 10.0));
        place(format_args!("<g fill=\"steelblue\" fill-opacity=\"0.5\">\n"));
        for [x, y] in *points {
            if x.abs() < REACH && y.abs() < REACH {
                let scale = SIDE / (2.0 * REACH);
                let (x, y) = (left + (x + REACH) * scale, (REACH - y) * scale);
                place(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.5\"/>\n"));
            }
        }
        place(format_args!("</g>\n"));
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::plot;

    #[test]
    fn plots_visible_points_with_y_upward() {
        let points = vec![[0.0, 0.0], [9.0, 0.0], [1.0, 1.0]];
        let svg = plot(&[("a", &points)]);
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(
            svg.contains("cx=\"150.0\" cy=\"150.0\"") && svg.contains("cx=\"225.0\" cy=\"75.0\"")
        );
    }
}
