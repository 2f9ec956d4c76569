//! Figures of generators: who is compared with what, as a table and as a picture.

use std::path::Path;

use candle_core::{Device, Tensor};
use data::{
    Dataset,
    png::{self, GridStyle},
};
use metrics::{
    DatasetId, ExtractorId, FeatureExtractor, FeatureSet, Reference, ReferenceStats, Wanted,
};
use train::{
    evaluate::{self, Drawing, Maker, Row},
    events::{Event, Sink},
};

use crate::{console::Console, feature_cache, figures};

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

/// Images padded to the size that the feature network takes, if it takes but one.
pub fn fitting(dataset: Dataset, extractor: &dyn FeatureExtractor) -> anyhow::Result<Dataset> {
    let [_, side, _] = extractor.image_shape().unwrap_or(dataset.shape());
    pad_to(dataset, side)
}

/// Images padded with black to this side, if they are smaller by an even margin; else as they are.
pub fn pad_to(dataset: Dataset, side: usize) -> anyhow::Result<Dataset> {
    let [_, height, _] = dataset.shape();
    match side.checked_sub(height) {
        Some(margin) if margin != 0 && margin % 2 == 0 => Ok(dataset.pad(margin / 2)?),
        _ => Ok(dataset),
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
    if LEAST <= count {
        Ok(())
    } else {
        Err(train::Error::unusable(name, format!("{count} are too few, at least {LEAST}")))
    }
}

/// What images are judged by.
#[derive(Clone, Copy)]
pub struct Against<'a> {
    /// Real images, with the name to call them by.
    pub data: Option<(&'a str, &'a Dataset)>,
    /// A file of their statistics.
    pub statistics: Option<&'a Path>,
    /// Images that the network was trained on, to see whether it repeats them.
    pub training: Option<&'a Dataset>,
    /// Resamples for intervals; 0 for none, `None` for as many as take little time.
    pub replicates: Option<usize>,
    /// Subsets for the kernel distance of older tables; 0 for none.
    pub kid_subsets: usize,
}

/// Resamples that settle an interval's width to a tenth or so.
const REPLICATES: usize = 100;
/// Resamples of many features, each of which takes seconds: they settle it to a sixth.
const FEW_REPLICATES: usize = 20;
/// More features than this are many.
const MANY_FEATURES: usize = 512;
/// Images in a subset for the kernel distance, as public tools have it.
const KID_SUBSET: usize = 1000;

impl<'a> Against<'a> {
    /// Real images alone, with intervals.
    pub fn images(name: &'a str, dataset: &'a Dataset) -> Self {
        let data = Some((name, dataset));
        Self { data, statistics: None, training: None, replicates: None, kid_subsets: 0 }
    }
}

/// A feature network, and what it sees in real images.
pub struct Judge<'a> {
    extractor: &'a dyn FeatureExtractor,
    reference: Reference,
    training: Option<FeatureSet>,
    count: usize,
    device: &'a Device,
    replicates: usize,
    kid_subsets: usize,
}

impl<'a> Judge<'a> {
    /// Sees to all references; generators will make `count` images.
    ///
    /// # Errors
    ///
    /// If there are too few images for figures, the network does not take them, or the statistics are
    /// of another network or of other images.
    pub fn new(
        against: Against<'_>,
        extractor: &'a dyn FeatureExtractor,
        count: usize,
        device: &'a Device,
    ) -> anyhow::Result<Self> {
        let Against { data, statistics, training, replicates, kid_subsets } = against;
        check_count("images to make", count)?;
        for (dataset, what) in data
            .map(|(_, it)| (it, "images to compare with"))
            .into_iter()
            .chain(training.map(|it| (it, "training images")))
        {
            check_fits(extractor, dataset.shape())?;
            check_count(what, dataset.len())?;
        }
        let statistics = statistics.map(ReferenceStats::read).transpose()?;
        if let Some(known) = &statistics {
            known.check_extractor(&ExtractorId::of(extractor), extractor.dim())?;
            if let Some((name, dataset)) = data {
                known.check_dataset(&dataset_id(name, dataset))?;
            }
        }
        let features = |what: &'static str, dataset: &Dataset| {
            feature_cache::features(what, dataset, extractor, device)
        };
        let images = data.map(|(_, it)| features("the real images", it)).transpose()?;
        let training = training.map(|it| features("the training images", it)).transpose()?;
        let reference = Reference::new(images, statistics)?;
        let many = MANY_FEATURES < extractor.dim();
        let replicates = replicates.unwrap_or(if many { FEW_REPLICATES } else { REPLICATES });
        Ok(Self { extractor, reference, training, count, device, replicates, kid_subsets })
    }

    /// The images that every maker is asked for.
    pub fn drawing<'b>(&self, seed: u64, sample: &'b [usize], label_dim: usize) -> Drawing<'b>
    where
        'a: 'b,
    {
        let (count, device) = (self.count, self.device);
        Drawing { seed, first: 0, count, batch: BATCH, sample, label_dim, class: None, device }
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
            let (extractor, reference) = (self.extractor, &self.reference);
            let wanted = self.wanted();
            let row =
                evaluate::row(name, *maker, drawing, extractor, reference, &wanted, progress)?;
            before += cost(maker) * drawing.count as u64;
            Ok(row)
        };
        makers.iter().map(row).collect()
    }

    /// The row of images that are there already.
    pub fn row_of_images(&self, name: &str, dataset: &Dataset) -> anyhow::Result<Row> {
        let (extractor, device) = (self.extractor, self.device);
        let features = feature_cache::features("the images", dataset, extractor, device)?;
        let labels: Option<Vec<u32>> = (0..dataset.len()).map(|i| dataset.label(i)).collect();
        let known = features.logits.as_ref().map_or(0, metrics::Rows::dim);
        let labels = labels.filter(|_| dataset.classes() == known);
        let wanted = Wanted { labels: labels.as_deref(), ..self.wanted() };
        let report = metrics::evaluate(&features, &self.reference, &wanted)?;
        Ok(Row { name: name.to_owned(), evaluations: None, milliseconds: None, report })
    }

    fn wanted(&self) -> Wanted<'_> {
        // Of fewer images a resample may hold but one.
        let resampled = self.replicates != 0 && metrics::Bootstrap::FEWEST <= self.count;
        let replicates = self.replicates;
        Wanted {
            labels: None,
            neighbors: evaluate::NEIGHBORS,
            kid_subsets: [self.kid_subsets, KID_SUBSET],
            training: self.training.as_ref(),
            bootstrap: resampled.then(|| metrics::Bootstrap { replicates, ..Default::default() }),
        }
    }
}

/// A data set as statistics of it name it.
pub fn dataset_id(name: &str, dataset: &Dataset) -> DatasetId {
    let (name, hash) = (name.to_owned(), dataset.content_hash());
    DatasetId { name, hash, images: dataset.len() as u64 }
}

/// The rows as a Markdown table.
pub fn table(rows: &[Row]) -> String {
    let distance = match rows.first() {
        Some(Row { report, .. }) if figures::is_fid(report) => "FID",
        _ => "FD",
    };
    let mut text = format!(
        "| model | evaluations | {distance} | KID | precision | recall | accuracy | ms an image |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let absent = || "-".to_owned();
    for Row { name, evaluations, milliseconds, report } in rows {
        let number = |value: Option<f64>, digits: usize| {
            value.map_or_else(absent, |it| format!("{it:.digits$}"))
        };
        let evaluations = evaluations.map_or_else(absent, |it| it.to_string());
        let accuracy = report.accuracy.map_or_else(absent, |it| format!("{:.1} %", 100.0 * it));
        text += &format!(
            "| {name} | {evaluations} | {:.3} | {} | {} | {} | {accuracy} | {} |\n",
            report.fd,
            number(report.kid, 5),
            number(report.precision, 3),
            number(report.recall, 3),
            number(*milliseconds, 2),
        );
    }
    if let Some(Row { report, .. }) = rows.first() {
        let references = report.references.map_or("an unknown number".into(), |it| it.to_string());
        text += &format!(
            "\n{} images each, against {references} of the reference; features of {}: figures of \
             other networks or numbers of images do not compare.\n",
            report.images, report.extractor.name,
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
    use metrics::{Inception, Report};

    use super::*;

    #[test]
    fn a_row_of_the_table_holds_its_figures() {
        let report = |name: &str| {
            let [hash, resize] = ["h", "none"].map(str::to_owned);
            let extractor = ExtractorId { name: name.to_owned(), hash, resize };
            Report {
                references: Some(20),
                kid: Some(0.5),
                precision: Some(0.75),
                recall: Some(0.25),
                accuracy: Some(0.9),
                ..Report::new(extractor, 10, 1.25)
            }
        };
        let row = |network| {
            let report = report(network);
            Row { name: "student".into(), evaluations: Some(1), milliseconds: Some(2.0), report }
        };
        let text = table(&[row("net")]);
        let expected = "| student | 1 | 1.250 | 0.50000 | 0.750 | 0.250 | 90.0 % | 2.00 |";
        assert!(text.lines().any(|line| line == expected), "{text}");
        assert!(text.contains("10 images each, against 20 of the reference; features of net"));
        assert!(text.starts_with("| model | evaluations | FD |"));
        assert!(table(&[row(Inception::NAME)]).starts_with("| model | evaluations | FID |"));
    }
}
