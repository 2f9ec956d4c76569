//! From arguments to a plan: everything is checked before the first image is sampled.

use std::{borrow::Cow, path::Path};

use candle_core::Device;
use data::Dataset;
use metrics::{ExtractorId, FeatureExtractor, ReferenceStats};
use models::sampling::{Model, SampleSpec, Sampler};

use crate::{
    BATCH, Error, EvalProtocol, Result,
    fit::{check_count, check_shape, dataset_id, pad_for, pad_to},
};

/// Evaluated images.
pub enum Subject<'a> {
    /// Existing images.
    Images(Cow<'a, Dataset>),
    /// Images of samplers, each from the same latents and classes.
    Samplers {
        /// Samplers, with the names of their rows.
        samplers: Vec<(String, Sampler<'a>)>,
        /// Latents and classes.
        spec: SampleSpec,
    },
}

impl<'a> Subject<'a> {
    /// `count` images of a network; its row is called `student` or `teacher`.
    pub fn model(model: &'a Model, seed: u64, count: usize) -> Self {
        let name = if model.schedule().is_some() { "student" } else { "teacher" };
        let spec = SampleSpec { seed, batch: BATCH, ..model.spec(count) };
        Self::Samplers { samplers: vec![(name.to_owned(), model.sampler())], spec }
    }

    /// Number of images of each row.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Images(dataset) => dataset.len(),
            Self::Samplers { spec, .. } => spec.count,
        }
    }

    /// Real images at the size of the evaluated images.
    fn fitted<'b>(&self, images: Images<'b>) -> Result<Images<'b>> {
        let Images { name, dataset } = images;
        let unusable = |reason| Err(Error::unusable(format!("data `{name}`"), reason));
        let dataset = match self {
            Self::Images(evaluated) => {
                let [_, side, _] = evaluated.shape();
                let dataset = pad_to(dataset, side)?;
                let [_, found, _] = dataset.shape();
                if found != side {
                    return unusable(format!(
                        "its images have {found} pixels per side, the evaluated images {side}; \
                         resize one of the two sets first"
                    ));
                }
                dataset
            }
            Self::Samplers { spec, .. } => {
                let &[channels, height, width] = spec.shape.as_slice() else {
                    let reason = format!(
                        "the samples have shape {:?}, expected [channels, height, width]",
                        spec.shape
                    );
                    return unusable(reason);
                };
                let dataset = pad_to(dataset, height)?;
                if let Some(reason) = dataset.misfit([channels, height, width], spec.label_dim) {
                    return unusable(reason);
                }
                dataset
            }
        };
        Ok(Images { name, dataset })
    }
}

/// A set of real images, with the name for errors and provenance.
#[derive(Clone)]
pub struct Images<'a> {
    /// Name of the set.
    pub name: &'a str,
    /// The images.
    pub dataset: Cow<'a, Dataset>,
}

/// Arguments of an evaluation: set what differs from [`Request::new`], then [`Plan::resolve`].
pub struct Request<'a> {
    /// Evaluated images.
    pub subject: Subject<'a>,
    /// Feature network.
    pub extractor: &'a dyn FeatureExtractor,
    /// Real images.
    pub real: Option<Images<'a>>,
    /// File with statistics of real images. If it is given, Fréchet distances use it.
    pub statistics: Option<&'a Path>,
    /// Training images of the network, to detect copies of them. Needs real images that the network
    /// was not trained on.
    pub training: Option<Images<'a>>,
    /// Protocol of a paper; without it, one trial.
    pub protocol: Option<EvalProtocol>,
    /// Resamples for confidence intervals; 0 for no intervals, `None` for as many as are fast.
    pub replicates: Option<usize>,
    /// Subsets for the kernel distance of older tables; 0 for none.
    pub kid_subsets: usize,
    /// Folder that keeps Inception's features of data sets.
    pub cache: Option<&'a Path>,
    /// Device of the feature network.
    pub device: &'a Device,
}

impl<'a> Request<'a> {
    /// One trial with confidence intervals, without any real images.
    pub fn new(
        subject: Subject<'a>,
        extractor: &'a dyn FeatureExtractor,
        device: &'a Device,
    ) -> Self {
        Self {
            subject,
            extractor,
            real: None,
            statistics: None,
            training: None,
            protocol: None,
            replicates: None,
            kid_subsets: 0,
            cache: None,
            device,
        }
    }
}

/// Real images of an evaluation: images, statistics of images, or both.
pub struct RealImageSet<'a> {
    /// The images.
    pub images: Option<Cow<'a, Dataset>>,
    /// Their statistics.
    pub statistics: Option<ReferenceStats>,
}

/// An evaluation whose inputs fit each other.
pub struct Plan<'a> {
    pub(crate) subject: Subject<'a>,
    pub(crate) extractor: &'a dyn FeatureExtractor,
    pub(crate) reference: RealImageSet<'a>,
    pub(crate) training: Option<Cow<'a, Dataset>>,
    pub(crate) protocol: Option<EvalProtocol>,
    pub(crate) replicates: usize,
    pub(crate) kid_subsets: usize,
    pub(crate) cache: Option<&'a Path>,
    pub(crate) device: &'a Device,
}

/// Resamples that determine the width of an interval to about a tenth.
const REPLICATES: usize = 100;
/// Resamples of many features, each of which takes seconds: enough for about a sixth.
const FEW_REPLICATES: usize = 20;
/// Largest number of features that is not many.
const MANY_FEATURES: usize = 512;

impl<'a> Plan<'a> {
    /// Pads the images to one size and checks all inputs against each other.
    ///
    /// # Errors
    ///
    /// If there are too few images for all metrics, sizes or classes differ, the feature network does
    /// not accept the images, or the statistics belong to another network or to other images.
    pub fn resolve(request: Request<'a>) -> Result<Self> {
        let Request { extractor, real, statistics, training, .. } = request;
        let subject = match request.subject {
            Subject::Images(dataset) => Subject::Images(pad_for(extractor, dataset)?),
            samplers @ Subject::Samplers { .. } => samplers,
        };
        let real = real.map(|it| subject.fitted(it)).transpose()?;
        let training = training.map(|it| subject.fitted(it)).transpose()?;
        let training = match (training, &real) {
            (Some(training), Some(real)) => Some(training.dataset.thin(real.dataset.len())?),
            (Some(Images { name, .. }), None) => {
                let reason = "copies of training images are detected by comparison with images that \
                              the network was not trained on; add such images";
                return Err(Error::unusable(format!("training images `{name}`"), reason));
            }
            (None, _) => None,
        };
        let evaluated = match subject {
            Subject::Images(_) => "evaluated images",
            Subject::Samplers { .. } => "images to sample",
        };
        check_count(evaluated, subject.count())?;
        let sets = [
            ("real images", real.as_ref().map(|it| &*it.dataset)),
            ("training images", training.as_ref()),
        ];
        for (name, dataset) in sets {
            let Some(dataset) = dataset else { continue };
            check_shape(extractor, dataset.shape())?;
            check_count(name, dataset.len())?;
        }
        let statistics = statistics.map(ReferenceStats::read).transpose()?;
        if let Some(known) = &statistics {
            known.check_extractor(&ExtractorId::of(extractor), extractor.dim())?;
            if let Some(Images { name, dataset }) = &real {
                known.check_dataset(&dataset_id(name, dataset))?;
            }
        }
        let many = MANY_FEATURES < extractor.dim();
        let replicates = if many { FEW_REPLICATES } else { REPLICATES };
        Ok(Self {
            subject,
            extractor,
            reference: RealImageSet { images: real.map(|it| it.dataset), statistics },
            training: training.map(Cow::Owned),
            protocol: request.protocol,
            replicates: request.replicates.unwrap_or(replicates),
            kid_subsets: request.kid_subsets,
            cache: request.cache,
            device: request.device,
        })
    }

    /// Number of times that the images are sampled.
    pub fn trials(&self) -> usize {
        match self.subject {
            Subject::Images(_) => 1,
            Subject::Samplers { .. } => self.protocol.map_or(1, EvalProtocol::trials),
        }
    }
}
