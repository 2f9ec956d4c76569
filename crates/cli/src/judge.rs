//! Figures of generators: who is compared with what, as a table and as a picture.

use anyhow::Context;
use candle_core::{Device, Tensor};
use data::{
    Dataset,
    png::{self, GridStyle},
};
use metrics::{FeatureExtractor, FeatureSet, Inception, Report};
use train::{
    evaluate::{self, Drawing, Maker, Row},
    events::{Event, Sink},
};

use crate::console::Console;

/// Key of a generator's provenance under which the level of its input stands.
pub const SIGMA_INIT: &str = "sigma_init";

/// Images in one forward pass.
const BATCH: usize = 100;
/// Images of each maker in a picture, and its columns.
const SHOWN: usize = 20;
const COLUMNS: usize = 10;

/// Checks that a feature network takes images of this shape.
///
/// # Errors
///
/// If it does not.
pub fn check_fits(extractor: &dyn FeatureExtractor, shape: [usize; 3]) -> Result<(), train::Error> {
    match extractor.image_shape() {
        Some(taken) if taken != shape => {
            let reason = format!(
                "`{}` takes images {taken:?}, these are {shape:?} (channels, height, width); \
                 give --features FILE with a network that takes them",
                extractor.name()
            );
            Err(train::Error::unusable("feature network", reason))
        }
        _ => Ok(()),
    }
}

/// Fewest images that every figure can be made from: one more than the neighbours it looks at.
pub const LEAST: usize = evaluate::NEIGHBORS + 1;

/// Checks that figures can be made from so many images; `name` is what asked for them.
///
/// # Errors
///
/// If not.
pub fn check_count(name: &str, count: usize) -> Result<(), train::Error> {
    match LEAST <= count {
        true => Ok(()),
        false => {
            Err(train::Error::unusable(name, format!("{count} are too few, at least {LEAST}")))
        }
    }
}

/// A feature network, and the features of real images.
pub struct Judge<'a> {
    extractor: &'a dyn FeatureExtractor,
    reference: FeatureSet,
    count: usize,
    device: &'a Device,
}

impl<'a> Judge<'a> {
    /// Against all images of a data set; generators make `count` of them.
    pub fn new(
        dataset: &Dataset,
        extractor: &'a dyn FeatureExtractor,
        count: usize,
        device: &'a Device,
    ) -> anyhow::Result<Self> {
        check_fits(extractor, dataset.shape())?;
        check_count("images to make", count)?;
        check_count("images to compare with", dataset.len())?;
        let reference = evaluate::reference(dataset, dataset.len(), BATCH, extractor, device)
            .context("features of the real images")?;
        Ok(Self { extractor, reference, count, device })
    }

    /// The images that every maker is asked for.
    pub fn drawing<'b>(&self, seed: u64, sample: &'b [usize], label_dim: usize) -> Drawing<'b>
    where
        'a: 'b,
    {
        let (count, device) = (self.count, self.device);
        Drawing { seed, count, batch: BATCH, sample, label_dim, class: None, device }
    }

    /// A row a maker.
    pub fn rows(
        &self,
        makers: &[(&str, Maker<'_>)],
        drawing: &Drawing<'_>,
    ) -> anyhow::Result<Vec<Row>> {
        let mut console = Console::new();
        let cost = |maker: &Maker<'_>| maker.evaluations() as u64;
        let total = makers.iter().map(|(_, maker)| cost(maker)).sum::<u64>() * drawing.count as u64;
        let mut before = 0;
        let row = |(name, maker): &(&str, Maker<'_>)| -> anyhow::Result<Row> {
            let progress = |images| {
                let done = before + images * cost(maker);
                console.emit(&Event::Preparing { what: "figures", done, total })
            };
            let row =
                evaluate::row(name, *maker, drawing, self.extractor, &self.reference, progress)?;
            before += cost(maker) * drawing.count as u64;
            Ok(row)
        };
        makers.iter().map(row).collect()
    }
}

/// Whether the Fréchet distance of these figures is the field's FID.
pub fn is_fid(report: &Report) -> bool {
    report.extractor.name == Inception::NAME
}

/// The rows as a Markdown table.
pub fn table(rows: &[Row]) -> String {
    let distance = match rows.first() {
        Some(Row { report, .. }) if is_fid(report) => "FID",
        _ => "FD",
    };
    let mut text = format!(
        "| model | evaluations | {distance} | KID | precision | recall | accuracy | ms an image |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for Row { name, evaluations, milliseconds, report } in rows {
        let accuracy = report.accuracy.map_or("-".to_owned(), |it| format!("{:.1} %", 100.0 * it));
        text += &format!(
            "| {name} | {evaluations} | {:.3} | {:.5} | {:.3} | {:.3} | {accuracy} | {milliseconds:.2} |\n",
            report.fd, report.kid, report.precision, report.recall,
        );
    }
    if let Some(Row { report, .. }) = rows.first() {
        text += &format!(
            "\n{} images each, against {} of the reference; features of {}: figures of other networks \
             or numbers of images do not compare.\n",
            report.images, report.references, report.extractor.name,
        );
    }
    text
}

/// Rows of real images and of each maker's, of the same classes, over and over.
pub fn grid(
    dataset: &Dataset,
    drawing: &Drawing<'_>,
    makers: &[Maker<'_>],
) -> anyhow::Result<Vec<u8>> {
    let drawing = Drawing { count: SHOWN, ..drawing.clone() };
    let classes = drawing.classes();
    let mut next = vec![0; classes.iter().max().map_or(1, |&class| class as usize + 1)];
    let pick = |i: usize| {
        let Some(&class) = classes.get(i) else { return i % dataset.len() };
        let start = next[class as usize];
        let found = (start..dataset.len()).find(|&at| dataset.label(at) == Some(class));
        let found = found.unwrap_or(i % dataset.len());
        next[class as usize] = found + 1;
        found
    };
    let indices: Vec<usize> = (0..SHOWN).map(pick).collect();
    let mut sets = vec![dataset.batch(&indices, drawing.device)?.images];
    for maker in makers {
        sets.push(drawing.images(*maker, 0, SHOWN)?);
    }
    let mut rows = Vec::new();
    for start in (0..SHOWN).step_by(COLUMNS) {
        for set in &sets {
            rows.push(set.narrow(0, start, COLUMNS)?);
        }
    }
    let style = GridStyle { columns: COLUMNS, upscale: 2, padding: 2, background: 96 };
    Ok(png::grid_with(&Tensor::cat(&rows, 0)?, &style)?)
}

#[cfg(test)]
mod tests {
    use metrics::ExtractorId;

    use super::*;

    #[test]
    fn a_row_of_the_table_holds_its_figures() {
        let report = |name: &str| Report {
            extractor: ExtractorId { name: name.into(), hash: "h".into() },
            images: 10,
            references: 20,
            neighbors: 5,
            fd: 1.25,
            kid: 0.5,
            precision: 0.75,
            recall: 0.25,
            density: 1.0,
            coverage: 1.0,
            accuracy: Some(0.9),
            inception_score: None,
        };
        let row = |network| {
            let report = report(network);
            Row { name: "student".into(), evaluations: 1, milliseconds: 2.0, report }
        };
        let text = table(&[row("net")]);
        let expected = "| student | 1 | 1.250 | 0.50000 | 0.750 | 0.250 | 90.0 % | 2.00 |";
        assert!(text.lines().any(|line| line == expected), "{text}");
        assert!(text.contains("10 images each, against 20 of the reference; features of net"));
        assert!(text.starts_with("| model | evaluations | FD |"));
        assert!(table(&[row(Inception::NAME)]).starts_with("| model | evaluations | FID |"));
    }
}
