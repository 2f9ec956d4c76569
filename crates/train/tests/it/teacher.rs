//! Training of teachers: all options at once, and resumed.

use std::sync::atomic::AtomicBool;

use candle_core::Device;
use data::{Dataset, Labels};

use uni_instruct_train::{
    run::{self, Job, StopConditions},
    state::AveragedState,
    teacher::{Teacher, TeacherConfig},
};

const CONFIG: &str = r#"
data = "a test's"
pad = 2
images = 16
batch = 2
accumulation = 2
augment = 0.5

[network]
img_resolution = 8
img_channels = 1
label_dim = 4
augment_dim = 9

[network.architecture]
kind = "song"
model_channels = 8
channel_mult = [1, 2]
num_blocks = 1
attn_resolutions = []
dropout = 0.1
"#;

fn teacher(overrides: &[&str]) -> Teacher {
    let overrides: Vec<String> = overrides.iter().map(|&it| it.into()).collect();
    let config = TeacherConfig::parse("teacher.toml", CONFIG, &overrides).unwrap();
    let pixels = (0..12 * 16).map(|i| (i * 37 % 251) as u8).collect();
    let labels = Labels::Classes { classes: 4, of_image: (0..12).map(|i| i % 4).collect() };
    Teacher::new(config, Dataset::new("test", [1, 4, 4], pixels, labels).unwrap(), Device::Cpu)
        .unwrap()
}

fn weights(state: &AveragedState) -> Vec<f32> {
    let tensors = state.ema.tensors().into_values();
    tensors.flat_map(|it| it.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
}

/// The averaged weights at the end of an uninterrupted run.
fn trained(overrides: &[&str]) -> Vec<f32> {
    let mut teacher = teacher(overrides);
    while teacher.progress().images < teacher.total() {
        teacher.update().unwrap();
    }
    weights(&teacher.state)
}

#[test]
fn a_resumed_teacher_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = teacher(&[]);
    for _ in 0..2 {
        first.update().unwrap();
    }
    first.save(&folder.path().join("checkpoints")).unwrap();
    drop(first);
    let mut second = teacher(&[]);
    let stop = AtomicBool::new(false);
    let conditions = StopConditions { stop: &stop, seconds: None };
    run::run(&mut second, folder.path(), &mut [], &conditions).unwrap();
    assert_eq!(second.state.progress.images, 16);
    assert_eq!(second.state.trained.updates, 4);
    assert!(weights(&second.state) == trained(&[]), "resumed or not, the weights differ");
}

#[test]
fn options_of_training_change_the_weights() {
    let base = trained(&[]);
    for change in [
        "augment=0.0",
        "network.architecture.dropout=0.0",
        "seed=2",
        "sigma_law={log-normal={mean=0.0,std=1.2}}",
        "optimizer.learning_rate=1e-3",
        "ema.ramp=1.0",
    ] {
        assert!(base != trained(&[change]), "{change}");
    }
}
