//! Comparison of student and teacher at the end of a distillation.

use std::{borrow::Cow, path::Path, time::Instant};

use data::{Dataset, Labels};
use eval::{Images, Plan, Request, Row, Subject, metric_log};
use metrics::FeatureExtractor;
use models::{
    NetworkConfig,
    sampling::{SampleSpec, Sampler},
};
use train::{
    Config, Engine,
    assemble::{check_data, needs_samples},
};

use crate::{
    console, inputs,
    output::{note, say},
    run_folder,
};

/// Options of the comparison.
#[derive(Clone, Copy)]
pub struct ComparisonOptions<'a> {
    /// Images of each sampler; 0 for no comparison.
    pub images: usize,
    /// Real images in place of the run's own.
    pub data: Option<&'a str>,
    /// Feature network.
    pub features: Option<&'a Path>,
    /// True in a smoke test, which samples as few images as possible.
    pub smoke: bool,
    /// Prints JSON in place of a table.
    pub json: bool,
}

/// Inputs of the comparison, checked against the run.
pub struct Comparison<'a> {
    options: ComparisonOptions<'a>,
    extractor: Box<dyn FeatureExtractor>,
    /// Real images in place of the run's own.
    reference: Option<Dataset>,
}

impl<'a> Comparison<'a> {
    /// Resolves the options before the first update, so that a misfit costs no training. `None` if
    /// there is nothing to compare with.
    pub fn resolve(
        options: ComparisonOptions<'a>,
        config: &Config,
        network: &NetworkConfig,
        dataset: Option<&Dataset>,
    ) -> anyhow::Result<Option<Self>> {
        let ComparisonOptions { images, data, features, smoke, .. } = options;
        if images == 0 {
            return Ok(None);
        }
        let images = if smoke { images.min(eval::FEWEST) } else { images };
        let shape = [network.img_channels, network.img_resolution, network.img_resolution];
        // Papers report FID. It takes minutes, too many for a smoke test.
        let fid = features.is_none() && !smoke && Path::new(inputs::INCEPTION).is_file();
        let extractor =
            inputs::extractor(if fid { Some(Path::new("inception")) } else { features })?;
        eval::check_count("--eval-images", images)?;
        let reference = data.map(|name| -> anyhow::Result<Dataset> {
            let dataset = inputs::dataset_for(network, name)?;
            check_data(network, &dataset, name)?;
            Ok(dataset)
        });
        let reference = reference.transpose()?;
        let none = |reason: &str| {
            note!("no metrics at the end: {reason}");
            Ok(None)
        };
        match reference.as_ref().or(dataset) {
            Some(dataset) if matches!(dataset.labels(), Labels::Soft { .. }) => {
                return none("labels are vectors, and images are sampled by class");
            }
            Some(dataset) => eval::check_count("real images", dataset.len())?,
            None if needs_samples(config) => {
                eval::check_count("teacher_samples", config.teacher_samples.get())?;
            }
            None => return none("there are neither real images nor samples of the teacher"),
        }
        match (eval::check_shape(&*extractor, shape), features) {
            (Ok(()), _) => {
                let options = ComparisonOptions { images, ..options };
                Ok(Some(Self { options, extractor, reference }))
            }
            (Err(err), Some(_)) => Err(err.into()),
            (Err(err), None) => none(&err.to_string()),
        }
    }

    /// Evaluates student and teacher: a table, `results.json`, and a picture in the run's folder.
    pub fn run(&self, engine: &Engine, folder: &Path) -> anyhow::Result<()> {
        let begun = Instant::now();
        let samples;
        let own = engine.source.dataset().map(|it| (engine.config.data.as_str(), it));
        let given = self.options.data.zip(self.reference.as_ref());
        let (name, dataset) = match (given.or(own), &engine.source.samples) {
            (Some(named), _) => named,
            (None, Some(cached)) => {
                note!("there are no real images: the metrics compare with the teacher's samples");
                samples = cached.to_dataset()?;
                (engine.config.data.as_str(), &samples)
            }
            (None, None) => return Ok(()),
        };
        let (shape, label_dim) = (engine.networks.sample.as_slice(), engine.source.label_dim);
        let spec = SampleSpec {
            seed: engine.config.seed,
            batch: eval::BATCH,
            ..SampleSpec::new(shape, label_dim, self.options.images, &engine.device)
        };
        let samplers = samplers(engine)?.into();
        let subject = Subject::Samplers { samplers, spec: spec.clone() };
        let plan = Plan::resolve(Request {
            real: Some(Images { name, dataset: Cow::Borrowed(dataset) }),
            cache: inputs::feature_cache(),
            ..Request::new(subject, &*self.extractor, &engine.device)
        })?;
        let rows = plan.run(&mut console::evaluation())?;
        if let Some(Row { report, .. }) = rows.first() {
            let (seconds, file) = (begun.elapsed().as_secs_f64(), "generator.safetensors");
            metric_log::append(folder, report, report.fd, seconds, file, &engine.device)?;
        }
        let results = serde_json::to_string_pretty(&rows)?;
        let table = eval::table(&rows);
        let write = |name: &str, bytes: &[u8]| run_folder::replace(&folder.join(name), bytes);
        write("results.json", results.as_bytes())?;
        write("results.md", table.as_bytes())?;
        write("grid.png", &eval::grid(dataset, &spec, &[heun(engine, 18), engine.sampler()?])?)?;
        say!("{}", if self.options.json { results } else { table })?;
        if !self.options.smoke {
            note!("rows of {}: real, teacher, student", folder.join("grid.png").display());
        }
        Ok(())
    }
}

/// The student, its starting point, and the teacher at four numbers of steps.
fn samplers(engine: &Engine) -> anyhow::Result<[(String, Sampler<'_>); 6]> {
    // A generator starts as the teacher at the generator's input noise level.
    let generator = engine.networks.teacher.as_ref();
    let untrained = Sampler::generator(generator, engine.schedule()?);
    let samplers = [
        ("student", engine.sampler()?),
        ("student, untrained", untrained),
        ("teacher", heun(engine, 1)),
        ("teacher", heun(engine, 5)),
        ("teacher", heun(engine, 9)),
        ("teacher", heun(engine, 18)),
    ];
    Ok(samplers.map(|(name, sampler)| (name.to_owned(), sampler)))
}

fn heun(engine: &Engine, steps: usize) -> Sampler<'_> {
    Sampler::Heun { teacher: engine.networks.teacher.as_ref(), steps }
}
