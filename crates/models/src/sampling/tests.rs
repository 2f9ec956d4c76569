//! Tests of sample specs and samplers.

use super::*;
use crate::{Architecture, Provenance, unet::config::SongConfig};

const GENERATOR: Role = Role::Generator(StepSchedule { sigma_init: 2.5, steps: 1 });

fn file(role: Role) -> NetworkFile {
    let song = SongConfig {
        model_channels: 8,
        channel_mult: vec![1],
        num_blocks: 1,
        attn_resolutions: vec![],
        dropout: 0.0,
        ..SongConfig::default()
    };
    let config =
        NetworkConfig { label_dim: 3, ..NetworkConfig::new(Architecture::Song(song), 8, 1) };
    let params = config.init(1).unwrap();
    NetworkFile { config, params, role, provenance: Provenance::default() }
}

fn values(images: &Tensor) -> Vec<f32> {
    images.flatten_all().unwrap().to_vec1().unwrap()
}

/// An image depends on its position, not on the batch that it was computed in.
#[test]
fn images_do_not_depend_on_the_batch() {
    let few_steps = Role::Generator(StepSchedule { sigma_init: 2.5, steps: 3 });
    for (role, steps) in [(GENERATOR, 1), (few_steps, 2), (few_steps, 3), (Role::Teacher, 2)] {
        let mut model = Model::new(file(role), &Device::Cpu).unwrap();
        model.steps = steps;
        let whole = SampleSpec { batch: 5, ..model.spec(5) };
        let parts = SampleSpec { batch: 2, ..whole.clone() };
        let all = |spec: &SampleSpec| {
            let batches: candle_core::Result<Vec<_>> = spec.batches(model.sampler()).collect();
            Tensor::cat(&batches.unwrap(), 0).unwrap()
        };
        let (found, expected) = (values(&all(&parts)), values(&all(&whole)));
        let largest = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(largest < 1e-5, "{largest}");
        let later = SampleSpec { first: 3, count: 2, ..whole.clone() };
        assert_eq!(later.classes(), [0, 1]);
        let largest = values(&all(&later))
            .iter()
            .zip(&expected[3 * 64..])
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(largest < 1e-5, "{largest}");
    }
}

#[test]
fn the_role_decides_the_sampler() {
    let generator = Model::new(file(GENERATOR), &Device::Cpu).unwrap();
    assert!(generator.schedule().is_some() && generator.sampler().evaluations() == 1);
    let teacher = Model::new(file(Role::Teacher), &Device::Cpu).unwrap();
    assert!(teacher.schedule().is_none() && teacher.sampler().evaluations() == 35);
}

#[test]
fn classes_alternate_or_are_fixed() {
    let spec = SampleSpec::new([1, 8, 8], 3, 4, &Device::Cpu);
    assert_eq!(spec.classes(), [0, 1, 2, 0]);
    assert_eq!(SampleSpec { class: Some(2), ..spec.clone() }.classes(), [2; 4]);
    assert!(SampleSpec { label_dim: 0, ..spec }.classes().is_empty());
}
