//! The engine on images: presets, checkpoints, rejected inputs. Networks are tiny.

use std::{path::Path, sync::atomic::AtomicBool};

use candle_core::{DType, Device, Tensor};
use data::{Dataset, Labels};
use models::{
    Architecture, NetworkConfig, NetworkFile, Provenance, Role, TensorFile,
    unet::config::SongConfig,
};

use uni_instruct_train::{
    Config, Engine, Error, Outcome,
    assemble::{RunInputs, assemble},
    run::{self, Ending, Job, StopConditions},
    state::{TrainedParams, latest_checkpoint},
};

/// Name of the cache of the teacher's samples.
const SAMPLES: &str = "teacher-samples.safetensors";

pub(super) fn network(label_dim: usize) -> NetworkConfig {
    let song = SongConfig {
        model_channels: 8,
        channel_mult: vec![1, 2],
        num_blocks: 1,
        attn_resolutions: vec![],
        dropout: 0.0,
        ..SongConfig::default()
    };
    NetworkConfig { label_dim, ..NetworkConfig::new(Architecture::Song(song), 8, 1) }
}

fn dataset(classes: usize) -> Dataset {
    let pixels = (0..40 * 64).map(|i| (i * 37 % 251) as u8).collect();
    let of_image = (0..40).map(|i| i % classes as u32).collect();
    Dataset::new("test", [1, 8, 8], pixels, Labels::Classes { classes, of_image }).unwrap()
}

pub(super) fn inputs(label_dim: usize, classes: Option<usize>) -> RunInputs {
    let config = network(label_dim);
    let params = config.init(5).unwrap();
    RunInputs {
        teacher: NetworkFile {
            config,
            params,
            role: Role::Teacher,
            provenance: Provenance::default(),
        },
        teacher_hash: "of a test".into(),
        dataset: classes.map(dataset),
        features: None,
        student: None,
        device: Device::Cpu,
    }
}

pub(super) fn config(preset: &str, images: u64, extra: &str) -> Config {
    let text = format!(
        "batch = 4\nteacher_samples = 8\nteacher_steps = 2\n{extra}\n\
         [generator]\nlearning_rate = 1e-3\n[fake]\nlearning_rate = 1e-3\n\
         [[phase]]\npreset = \"{preset}\"\nimages = {images}\n"
    );
    Config::parse("test", &text, &[]).unwrap()
}

pub(super) fn engine(config: Config, inputs: RunInputs, folder: &Path) -> Result<Engine, Error> {
    assemble(config, inputs, folder, |_, _| Ok(()))
}

fn weights(engine: &Engine) -> Vec<f32> {
    let tensors = engine.state.ema.tensors().into_values();
    tensors.flat_map(|it| it.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
}

#[test]
fn every_preset_updates_both_networks() {
    let folder = tempfile::tempdir().unwrap();
    // The feature network of a reward takes larger images (tests of the program).
    for row in divergence::presets().iter().filter(|row| row.method.reward.is_none()) {
        for (label_dim, classes) in [(4, Some(4)), (0, Some(4)), (4, None)] {
            let data = if classes.is_some() { "" } else { "data = \"teacher-samples\"" };
            let config = config(row.name, 8, data);
            let mut engine = engine(config, inputs(label_dim, classes), folder.path()).unwrap();
            let before = weights(&engine);
            for _ in 0..2 {
                let outcome = engine.update().unwrap();
                assert!(matches!(outcome, Outcome::Applied(_)), "{}: {outcome:?}", row.name);
            }
            assert_ne!(before, weights(&engine), "{}", row.name);
            assert_eq!(engine.state.generator.updates, 2);
            let fake_updates = if row.method.needs_fake_score() {
                2 * u64::from(row.method.fake_updates.get())
            } else {
                0
            };
            assert_eq!(engine.state.fake.updates, fake_updates, "{}", row.name);
        }
    }
}

#[test]
fn a_resumed_run_ends_with_the_same_bits() {
    let at_once = tempfile::tempdir().unwrap();
    let in_two = tempfile::tempdir().unwrap();
    let config = config("uni-instruct", 24, "");
    let stop = AtomicBool::new(false);
    let conditions = StopConditions { stop: &stop, seconds: None };
    let mut whole = engine(config.clone(), inputs(4, Some(4)), at_once.path()).unwrap();
    let ending = run::run(&mut whole, at_once.path(), &mut [], &conditions).unwrap();
    assert_eq!(ending, Ending::Finished);

    let mut first = engine(config.clone(), inputs(4, Some(4)), in_two.path()).unwrap();
    for _ in 0..3 {
        first.update().unwrap();
    }
    first.save(&in_two.path().join("checkpoints")).unwrap();
    drop(first);
    let mut second = engine(config, inputs(4, Some(4)), in_two.path()).unwrap();
    run::run(&mut second, in_two.path(), &mut [], &conditions).unwrap();
    assert_eq!(second.state.progress.images, 24);
    assert_eq!(weights(&whole), weights(&second));
    assert_eq!(whole.state.ratio, second.state.ratio);
}

#[test]
fn a_stopped_run_leaves_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = engine(config("sid", 80, ""), inputs(0, None), folder.path()).unwrap();
    let stop = AtomicBool::new(true);
    let conditions = StopConditions { stop: &stop, seconds: None };
    let ending = run::run(&mut engine, folder.path(), &mut [], &conditions).unwrap();
    assert_eq!(ending, Ending::Interrupted);
    assert!(folder.path().join("checkpoints/000000000000.safetensors").exists());
}

#[test]
fn accumulation_does_not_change_the_gradient() {
    let folder = tempfile::tempdir().unwrap();
    let whole = config("sid", 16, "");
    let split = Config {
        batch: 2.try_into().unwrap(),
        accumulation: 2.try_into().unwrap(),
        ..whole.clone()
    };
    let [whole, split] = [whole, split].map(|config| {
        let mut engine = engine(config, inputs(4, Some(4)), folder.path()).unwrap();
        engine.update().unwrap();
        weights(&engine)
    });
    // Adam's first step is the gradient's sign times the step size: a tiny gradient may flip.
    let moved = whole.iter().zip(&split).filter(|(a, b)| 1e-5 < (*a - *b).abs()).count();
    assert!(moved * 100 < whole.len(), "{moved} of {} weights differ", whole.len());
}

#[test]
fn rejects_damaged_and_foreign_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let sid = config("sid", 8, "");
    let mut first = engine(sid.clone(), inputs(0, None), folder.path()).unwrap();
    let path = first.save(folder.path()).unwrap();
    let bytes = std::fs::read(&path).unwrap();

    let mut other = engine(Config { seed: 9, ..sid }, inputs(0, None), folder.path()).unwrap();
    assert!(matches!(other.resume(&path), Err(Error::ForeignCheckpoint { .. })));

    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let err = first.resume(&path).unwrap_err();
    assert!(matches!(err, Error::Model(_)), "{err}");

    let mut file = TensorFile::from_bytes("test", &bytes).unwrap();
    let key = file.tensors.keys().find(|key| key.starts_with("ema/")).unwrap().clone();
    let shape = file.tensors[&key].shape().clone();
    let broken = Tensor::full(f32::NAN, shape, &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
    file.tensors.insert(key.clone(), broken);
    file.save(&path).unwrap();
    let message = first.resume(&path).unwrap_err().to_string();
    assert!(message.contains(&key["ema/".len()..]), "{message}");

    // A non-finite moment would spoil the next step as well.
    let mut file = TensorFile::from_bytes("test", &bytes).unwrap();
    let moment = format!("generator/second/{}", &key["ema/".len()..]);
    let nan = Tensor::full(f32::NAN, file.tensors[&moment].shape(), &Device::Cpu).unwrap();
    file.tensors.insert(moment.clone(), nan);
    file.save(&path).unwrap();
    let message = first.resume(&path).unwrap_err().to_string();
    assert!(message.contains(&format!("`{moment}` holds a NaN")), "{message}");
}

#[test]
fn other_files_in_the_checkpoint_folder_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = engine(config("sid", 80, ""), inputs(0, None), folder.path()).unwrap();
    for name in ["best.safetensors", "000.safetensors", "999999999999.txt"] {
        std::fs::write(folder.path().join(name), "mine").unwrap();
    }
    for _ in 0..4 {
        engine.update().unwrap();
        engine.save(folder.path()).unwrap();
    }
    let newest = latest_checkpoint(folder.path()).unwrap().unwrap();
    assert_eq!(newest.file_name().unwrap(), "000000000016.safetensors");
    // Two checkpoints and the three other files remain.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 5);
}

#[test]
fn rejects_damaged_teacher_samples() {
    let folder = tempfile::tempdir().unwrap();
    let dmd = || engine(config("dmd", 8, ""), inputs(4, Some(4)), folder.path());
    dmd().unwrap();
    let path = folder.path().join(SAMPLES);
    let bytes = std::fs::read(&path).unwrap();
    let cases = [
        ("classes", Tensor::new(&[9u32; 8], &Device::Cpu).unwrap(), "do not fit"),
        ("classes", Tensor::new(&[0u32; 3], &Device::Cpu).unwrap(), "do not fit"),
        ("images", Tensor::zeros((8, 1, 4, 4), DType::F32, &Device::Cpu).unwrap(), "do not fit"),
        ("images", Tensor::full(f32::NAN, (8, 1, 8, 8), &Device::Cpu).unwrap(), "a NaN"),
    ];
    for (key, tensor, expected) in cases {
        let mut file = TensorFile::from_bytes("test", &bytes).unwrap();
        file.tensors.insert(key.into(), tensor);
        file.save(&path).unwrap();
        let message = dmd().err().expect("must be rejected").to_string();
        assert!(message.contains(SAMPLES) && message.contains(expected), "{message}");
    }
}

#[test]
fn rejects_mismatched_inputs_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let rejected = |config: Config, inputs: RunInputs, expected: &str| {
        let err =
            engine(config, inputs, folder.path()).err().expect("must be rejected").to_string();
        assert!(err.contains(expected), "`{expected}` is not in: {err}");
    };
    rejected(config("sid", 8, ""), inputs(4, Some(3)), "3 classes, the network requires 4");
    rejected(config("sid", 8, "augment = 0.5"), inputs(4, Some(4)), "set augment = 0");
    let values = vec![0.25; 40 * 4];
    let pixels = vec![0; 40 * 64];
    let soft = Dataset::new("test", [1, 8, 8], pixels, Labels::Soft { width: 4, values }).unwrap();
    let vectors = RunInputs { dataset: Some(soft), ..inputs(4, None) };
    rejected(config("dmd", 8, ""), vectors, "its labels are vectors");
    let mut two = config("sid", 8, "");
    two.phase.extend(config("dmd2", 8, "").phase);
    rejected(two, inputs(4, Some(4)), "phase.1.method.sigma_init");
}

#[test]
fn a_discriminator_counts_its_own_updates() {
    let folder = tempfile::tempdir().unwrap();
    let mut two = config("diff-instruct", 12, "dropout = 0.1");
    let mut second = config("uni-instruct", 8, "").phase;
    second[0].method.sigma_init = two.phase[0].method.sigma_init;
    two.phase.extend(second);
    let mut engine = engine(two, inputs(4, Some(4)), folder.path()).unwrap();
    let head = |engine: &Engine| engine.state.discriminator.as_ref().unwrap().updates;
    for expected in [0, 0, 0, 1, 2] {
        assert!(matches!(engine.update().unwrap(), Outcome::Applied(_)));
        assert_eq!(head(&engine), expected);
    }
}

#[test]
fn a_new_method_resets_the_ratio_statistics() {
    let folder = tempfile::tempdir().unwrap();
    let mut two = config("f-distill", 8, "");
    two.phase.extend(config("diff-instruct", 8, "").phase);
    two.phase[1].method.sigma_init = two.phase[0].method.sigma_init;
    let mut engine = engine(two, inputs(4, Some(4)), folder.path()).unwrap();
    for filled in [true, true, false] {
        engine.update().unwrap();
        assert_eq!(!engine.state.ratio.bins.is_empty(), filled);
    }
}

#[test]
fn a_head_without_parameters_trains() {
    let folder = tempfile::tempdir().unwrap();
    let config = config("sida", 8, "discriminator = \"bottleneck\"");
    let mut engine = engine(config, inputs(0, Some(4)), folder.path()).unwrap();
    assert!(engine.state.discriminator.is_none());
    let Outcome::Applied(stats) = engine.update().unwrap() else { panic!("must be applied") };
    assert!(0.0 < stats["Loss/adversarial"] && 0.0 < stats["Loss/discriminator"]);
}

#[test]
fn saturated_logits_do_not_stop_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let config = config("uni-instruct", 8, "");
    let mut engine = engine(config, inputs(4, Some(4)), folder.path()).unwrap();
    let head = &engine.state.discriminator.as_ref().unwrap().params;
    let (_, bias) = head.vars().iter().find(|(_, it)| it.elem_count() == 1).unwrap();
    bias.set(&Tensor::full(1e4f32, bias.shape(), &Device::Cpu).unwrap()).unwrap();
    let outcome = engine.update().unwrap();
    let Outcome::Applied(stats) = &outcome else { panic!("{outcome:?}") };
    assert!(1e3 < stats["Ratio/log_mean"] && stats["Ratio/clamped"] == 1.0, "{stats:?}");
}

#[test]
fn a_non_finite_step_changes_no_weight() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = engine(config("sid", 40, ""), inputs(4, Some(4)), folder.path()).unwrap();
    let name = engine.state.generator.params.vars().keys().next().unwrap().clone();
    let weight = engine.state.generator.params.vars()[&name].clone();
    let nan = Tensor::full(f32::NAN, weight.shape(), &Device::Cpu).unwrap();
    weight.set(&nan).unwrap();
    let state = |engine: &Engine| {
        let of = |set: &TrainedParams| {
            let tensors = set.params.tensors().into_iter().filter(|(key, _)| *key != name);
            let flat = tensors.map(|(_, it)| it.flatten_all().unwrap().to_vec1::<f32>().unwrap());
            flat.collect::<Vec<_>>()
        };
        (of(&engine.state.generator), of(&engine.state.fake), weights(engine))
    };
    let before = state(&engine);
    assert!(matches!(engine.update().unwrap(), Outcome::Skipped(_)));
    assert_eq!(before, state(&engine));
    assert_eq!((engine.state.progress.images, engine.state.progress.skipped), (4, 1));
    // Such a state is not saved.
    let message = engine.save(folder.path()).unwrap_err().to_string();
    assert!(message.contains("no checkpoint was written") && message.contains(&name), "{message}");
}
