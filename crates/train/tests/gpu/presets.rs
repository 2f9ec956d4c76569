//! Whole updates on a GPU against the CPU: networks, noise, loss, gradients, Adam, average.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use data::{Dataset, Labels};
use kernels::device::parse_device;
use models::unet::config::SongConfig;
use models::{Architecture, NetworkConfig, NetworkFile, ParamSet, Provenance, Role};
use uni_instruct_train::{
    Config, Engine, Outcome,
    assemble::{RunInputs, assemble},
    state::Stats,
};

const LEARNING_RATE: f64 = 1e-3;
const UPDATES: u64 = 2;

/// Largest difference between the devices of a weight's change, in learning rates. With the `eps`
/// below, an update is a smooth function of the gradient.
const TOLERANCE: f64 = 5e-3;

fn network() -> NetworkConfig {
    let song = SongConfig {
        model_channels: 8,
        channel_mult: vec![1, 2],
        num_blocks: 1,
        attn_resolutions: vec![4],
        dropout: 0.1,
        ..SongConfig::default()
    };
    NetworkConfig { label_dim: 4, ..NetworkConfig::new(Architecture::Song(song), 8, 1) }
}

fn dataset() -> Dataset {
    let pixels = (0..40 * 64).map(|i| (i * 37 % 251) as u8).collect();
    let of_image = (0..40).map(|i| i % 4).collect();
    Dataset::new("test", [1, 8, 8], pixels, Labels::Classes { classes: 4, of_image }).unwrap()
}

fn engine(preset: &str, device: Device) -> Engine {
    let optimizer = format!("learning_rate = {LEARNING_RATE:e}\neps = 0.1\n");
    let text = format!(
        "batch = 4\nteacher_samples = 8\nteacher_steps = 2\ndropout = 0.1\n\
         [generator]\n{optimizer}[fake]\n{optimizer}\
         [[phase]]\npreset = \"{preset}\"\nimages = 100\n"
    );
    let config = Config::parse("test", &text, &[]).unwrap();
    let network = network();
    let params = network.init(5).unwrap();
    let inputs = RunInputs {
        teacher: NetworkFile {
            config: network,
            params,
            role: Role::Teacher,
            provenance: Provenance::default(),
        },
        teacher_hash: "of a test".into(),
        dataset: Some(dataset()),
        features: None,
        student: None,
        device,
    };
    let folder = tempfile::tempdir().unwrap();
    assemble(config, inputs, folder.path(), |_, _| Ok(())).unwrap()
}

fn tensors(params: &ParamSet) -> BTreeMap<String, Tensor> {
    params.to_device(&Device::Cpu).unwrap().tensors()
}

/// Statistics of the updates, and the weights of generator, fake score and average after them.
fn trained(preset: &str, device: Device) -> (Vec<Stats>, [BTreeMap<String, Tensor>; 3]) {
    let mut engine = engine(preset, device);
    let stats = (0..UPDATES).map(|_| match engine.update().unwrap() {
        Outcome::Applied(stats) => stats,
        skipped => panic!("{preset}: {skipped:?}"),
    });
    let stats = stats.collect();
    let state = &engine.state;
    (stats, [&state.generator.params, &state.fake.params, &state.ema].map(tensors))
}

#[test]
fn every_preset_makes_the_same_updates_as_on_the_cpu() {
    let device = parse_device(crate::DEVICE).unwrap();
    let start = tensors(&network().init(5).unwrap());
    // The feature network of a reward takes larger images.
    for row in divergence::presets().iter().filter(|row| row.method.reward.is_none()) {
        let name = row.name;
        let (expected_stats, expected) = trained(name, Device::Cpu);
        let (stats, got) = trained(name, device.clone());
        for (stats, expected) in stats.iter().zip(&expected_stats) {
            for (key, expected) in expected {
                let (got, scale) = (stats[key], expected.abs().max(1.0));
                assert!((got - expected).abs() < 1e-3 * scale, "{name}, {key}: {got}, {expected}");
            }
        }
        let mut moved = 0.0f32;
        for (which, (got, expected)) in got.iter().zip(&expected).enumerate() {
            for (key, expected) in expected {
                let largest = |x: Tensor| {
                    x.abs()
                        .unwrap()
                        .flatten_all()
                        .unwrap()
                        .max(0)
                        .unwrap()
                        .to_scalar::<f32>()
                        .unwrap()
                };
                let error = largest((&got[key] - expected).unwrap());
                let limit = TOLERANCE * LEARNING_RATE;
                assert!(f64::from(error) < limit, "{name}, network {which}, {key}: {error:.1e}");
                moved = moved.max(largest((expected - &start[key]).unwrap()));
            }
        }
        assert!(0.1 * LEARNING_RATE < f64::from(moved), "{name}: nothing was trained");
    }
}
