//! Estimates of memory, and placeholders for missing files.

use std::collections::BTreeMap;

use candle_core::{Device, Var};

use super::engine::{config, engine, inputs, network};
use uni_instruct_train::{Config, Outcome, assemble::RunInputs, estimate::estimate, placeholder};

#[test]
fn estimates_count_the_memory_of_an_engine() {
    let folder = tempfile::tempdir().unwrap();
    for (preset, extra) in [
        ("sid", ""),
        ("sida", "discriminator = \"bottleneck\""),
        ("dmd2", "accumulation = 3"),
        ("uni-instruct", ""),
    ] {
        let config = config(preset, 8, extra);
        let inputs = inputs(4, Some(4));
        let found = estimate(&config, &inputs.teacher.config).unwrap();
        let teacher = inputs.teacher.params.parameter_count();
        let engine = engine(config, inputs, folder.path()).unwrap();
        let state = &engine.state;
        let trained = || [&state.generator, &state.fake].into_iter().chain(&state.discriminator);
        let numbers = |tensors: &BTreeMap<String, Var>| -> usize {
            tensors.values().map(|it| it.elem_count()).sum()
        };
        let weights: usize = trained().map(|it| it.params.parameter_count()).sum();
        let weights = teacher + state.ema.parameter_count() + weights;
        let moments: usize = trained().map(|it| numbers(&it.first) + numbers(&it.second)).sum();
        assert_eq!(found.memory.weights, 4 * weights as u64, "{preset}");
        assert_eq!(found.memory.moments, 4 * moments as u64, "{preset}");
        let head = state.discriminator.as_ref().map_or(0, |it| it.params.parameter_count());
        assert_eq!(found.head_parameters, head as u64, "{preset}");
        assert_eq!(found.fake_parameters, teacher as u64, "{preset}");
        let sets = if engine.config.accumulation.get() == 1 { 1 } else { 2 };
        assert_eq!(found.memory.gradients, sets * 4 * (teacher + head) as u64, "{preset}");
    }
}

#[test]
fn activations_grow_with_networks_and_batch() {
    let of = |preset: &str, extra: &str| {
        let text = format!("{extra}\n[[phase]]\npreset = \"{preset}\"\n");
        let config = Config::parse("test", &text, &[]).unwrap();
        estimate(&config, &network(4)).unwrap().memory.activations
    };
    let kept = network(4).kept().unwrap();
    let whole = (4 * (kept.encoder + kept.decoder)) as u64;
    // Diff-Instruct goes through the generator, SiD through teacher and fake score as well.
    assert_eq!(of("diff-instruct", "batch = 1"), whole);
    assert_eq!(of("sid", "batch = 1"), 3 * whole);
    assert_eq!(of("sid", "batch = 5"), 15 * whole);
    // The GAN term goes through the fake score.
    assert_eq!(of("dmd2", "batch = 1"), 2 * whole);
    // With dropout the fake score's step keeps more than the generator's of Diff-Instruct.
    let dropout = (4 * kept.dropout) as u64;
    assert_eq!(of("diff-instruct", "batch = 1\ndropout = 0.1"), whole + dropout);
}

#[test]
fn placeholders_fit_each_other() {
    let folder = tempfile::tempdir().unwrap();
    for label_dim in [0, 4] {
        let network = network(label_dim);
        let teacher = placeholder::teacher(&network, 3).unwrap();
        let images = placeholder::images(&network, 3).unwrap();
        assert_eq!(images, placeholder::images(&network, 3).unwrap());
        assert_ne!(images.pixels(), placeholder::images(&network, 4).unwrap().pixels());
        assert_eq!((images.shape(), images.classes()), ([1, 8, 8], label_dim));
        let inputs = RunInputs {
            teacher,
            teacher_hash: "none".into(),
            dataset: Some(images),
            features: None,
            student: None,
            device: Device::Cpu,
        };
        let mut engine = engine(config("sida", 8, ""), inputs, folder.path()).unwrap();
        assert!(matches!(engine.update().unwrap(), Outcome::Applied(_)));
    }
}

#[test]
fn rejects_a_teacher_of_another_architecture() {
    let folder = tempfile::tempdir().unwrap();
    let named = config("sid", 8, "architecture = \"cifar10-ddpmpp\"");
    let err = engine(named, inputs(4, Some(4)), folder.path()).err().expect("must be rejected");
    let message = err.to_string();
    for part in ["cifar10-ddpmpp", "img_resolution is 8, not 32", "label_dim is 4, not 0"] {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}
