//! Cases without golden files: skip encoders and decoders, dropout, gradients in f64.

use candle_core::{DType, Device, Tensor, Var};
use kernels::noise::NoiseStream;
use uni_instruct_models::unet::config::{
    Decoder, DhariwalConfig, Embedding, Encoder, ResampleFilter, SongConfig,
};
use uni_instruct_models::{
    Architecture, Conditioning, Denoiser, DropoutKey, NetworkConfig, ParamSet,
};

use crate::golden::error;

pub fn config(change: impl FnOnce(&mut SongConfig)) -> NetworkConfig {
    let mut song = SongConfig {
        model_channels: 8,
        channel_mult: vec![1, 2],
        num_blocks: 1,
        attn_resolutions: vec![4],
        ..SongConfig::default()
    };
    change(&mut song);
    NetworkConfig { label_dim: 4, ..NetworkConfig::new(Architecture::Song(song), 8, 2) }
}

/// Weights of order one everywhere, so that no path is closed as at the start of training.
pub fn opened(config: &NetworkConfig) -> ParamSet {
    let params = config.init(0).unwrap();
    for (i, var) in params.vars().values().enumerate() {
        let noise = NoiseStream::new(9, i as u32);
        let fan_in = var.dims().iter().skip(1).product::<usize>().max(4) as f64;
        let noise = noise.normal_tensor(0, var.shape(), &Device::Cpu).unwrap();
        let start = if var.rank() == 1 { 0.5 } else { 0.0 };
        var.set(&(noise.affine(fan_in.sqrt().recip(), start)).unwrap()).unwrap();
    }
    params
}

pub fn inputs() -> (Tensor, Tensor, Conditioning) {
    let x = NoiseStream::new(5, 0).normal_tensor(0, (4, 2, 8, 8), &Device::Cpu).unwrap();
    let sigma = Tensor::new(&[0.1f32, 0.5, 2.0, 10.0], &Device::Cpu).unwrap();
    let labels = Tensor::eye(4, DType::F32, &Device::Cpu).unwrap();
    (x, sigma, Conditioning::labels(Some(labels)))
}

fn run(config: &NetworkConfig, params: &ParamSet, cond: &Conditioning) -> Tensor {
    let (x, sigma, _) = inputs();
    config.build(&params.frozen()).unwrap().denoise(&x, &sigma, cond).unwrap()
}

/// Takes from `from` what both have, keeps the rest.
fn share(to: &ParamSet, from: &ParamSet) {
    let from = from.tensors();
    for (key, var) in to.vars() {
        if let Some(tensor) = from.get(key) {
            var.set(tensor).unwrap();
        }
    }
}

fn silence(params: &ParamSet, part: &str) {
    let mut found = false;
    for (_, var) in params.vars().iter().filter(|(key, _)| key.contains(part)) {
        var.set(&var.zeros_like().unwrap()).unwrap();
        found = true;
    }
    assert!(found, "{part}");
}

#[test]
fn a_skip_encoder_adds_the_downsampled_image() {
    let plain = config(|_| ());
    let skip = config(|it| it.encoder_type = Encoder::Skip);
    let (ours, theirs) = (opened(&skip), opened(&plain));
    share(&ours, &theirs);
    let (.., cond) = inputs();
    let standard = run(&plain, &theirs, &cond);
    assert!(error(&run(&skip, &ours, &cond), &standard) > 1e-3);
    silence(&ours, "aux_skip");
    assert!(error(&run(&skip, &ours, &cond), &standard) < 1e-6);
    assert!(skip.shapes().unwrap().contains_key("model.enc.4x4_aux_down.resample_filter"));
    assert_eq!(skip.shapes().unwrap()["model.enc.4x4_aux_skip.weight"], [8, 2, 1, 1]);
}

#[test]
fn a_skip_decoder_adds_the_images_of_all_levels() {
    let plain = config(|_| ());
    let skip = config(|it| it.decoder_type = Decoder::Skip);
    let (ours, theirs) = (opened(&skip), opened(&plain));
    share(&ours, &theirs);
    let (x, sigma, cond) = inputs();
    let standard = run(&plain, &theirs, &cond);
    assert!(error(&run(&skip, &ours, &cond), &standard) > 1e-3);
    // The lower level alone adds an image of 2×2 blocks to c_skip x.
    silence(&ours, "dec.8x8_aux_conv");
    let c_skip = sigma.sqr().unwrap().affine(1.0, 0.25).unwrap().recip().unwrap();
    let c_skip = kernels::per_sample(&(c_skip * 0.25).unwrap(), 4).unwrap();
    let raw = (run(&skip, &ours, &cond) - x.broadcast_mul(&c_skip).unwrap()).unwrap();
    let blocks = raw.reshape((4, 2, 4, 2, 4, 2)).unwrap();
    let means = blocks.mean_keepdim((3, 5)).unwrap().broadcast_as(blocks.shape()).unwrap();
    assert!(error(&blocks, &means.contiguous().unwrap()) < 1e-5);
    silence(&ours, "dec.4x4_aux_conv");
    let silent = x.broadcast_mul(&c_skip).unwrap();
    assert!(error(&run(&skip, &ours, &cond), &silent) < 1e-6);
    let names = skip.shapes().unwrap();
    assert!(names.contains_key("model.dec.8x8_aux_up.resample_filter"));
    assert!(!names.contains_key("model.dec.4x4_aux_up.resample_filter"));
}

/// Every path of the architecture, in f64 against central differences in random directions.
#[test]
fn gradients_match_finite_differences() {
    const STEP: f64 = 1e-4;
    let configs = [
        config(|it| (it.encoder_type, it.decoder_type) = (Encoder::Skip, Decoder::Skip)),
        config(|it| {
            it.encoder_type = Encoder::Residual;
            it.embedding_type = Embedding::Fourier;
            it.resample_filter = ResampleFilter::Tent;
        }),
    ];
    for config in configs {
        let params = opened(&config).to_dtype(DType::F64).unwrap();
        let (x, sigma, mut cond) = inputs();
        cond.dropout = Some(DropoutKey { seed: 1, position: 0 });
        let x = Var::from_tensor(&x.to_dtype(DType::F64).unwrap()).unwrap();
        let network = config.build(&params.trainable()).unwrap();
        let loss = || network.denoise(&x, &sigma, &cond).unwrap().sqr().unwrap().sum_all().unwrap();
        let grads = loss().backward().unwrap();
        let mut vars: Vec<(&str, &Var)> = vec![("x", &x)];
        vars.extend(params.vars().iter().map(|(key, var)| (key.as_str(), var)));
        // Every var at once along one random direction, then a few by themselves.
        let groups = [vars.clone(), vec![vars[0]], vec![vars[7]], vec![vars[vars.len() - 1]]];
        for (i, group) in groups.iter().enumerate() {
            let before: Vec<_> =
                group.iter().map(|(_, var)| var.as_tensor().copy().unwrap()).collect();
            let noise = NoiseStream::new(2, i as u32);
            let directions: Vec<_> = group
                .iter()
                .enumerate()
                .map(|(k, (_, var))| {
                    let noise = noise.normal_tensor(k as u64, (1, var.elem_count()), &Device::Cpu);
                    noise.unwrap().reshape(var.shape()).unwrap().to_dtype(DType::F64).unwrap()
                })
                .collect();
            let at = |step: f64| {
                for (((_, var), before), direction) in group.iter().zip(&before).zip(&directions) {
                    var.set(&(before + (direction * step).unwrap()).unwrap()).unwrap();
                }
                loss().to_scalar::<f64>().unwrap()
            };
            let want =
                (8.0 * (at(STEP) - at(-STEP)) - (at(2.0 * STEP) - at(-2.0 * STEP))) / (12.0 * STEP);
            at(0.0);
            let terms = group.iter().zip(&directions).map(|((key, var), direction)| {
                let grad = grads.get(var).unwrap_or_else(|| panic!("no gradient for {key}"));
                (grad * direction).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap()
            });
            let got: f64 = terms.sum();
            let error = (got - want).abs() / want.abs();
            assert!(error < 1e-7, "{:?}: {got} and {want}", group[0].0);
        }
    }
}

#[test]
fn dropout_is_a_function_of_key_and_sample() {
    let config = config(|it| it.dropout = 0.3);
    let params = opened(&config);
    let network = config.build(&params.frozen()).unwrap();
    let (x, sigma, plain) = inputs();
    let with = |position, x: &Tensor, sigma: &Tensor, labels: &Tensor| {
        let dropout = Some(DropoutKey { seed: 4, position });
        let cond = Conditioning { labels: Some(labels.clone()), augment: None, dropout };
        network.denoise(x, sigma, &cond).unwrap()
    };
    let labels = plain.labels.clone().unwrap();
    let whole = with(100, &x, &sigma, &labels);
    assert_eq!(error(&whole, &with(100, &x, &sigma, &labels)), 0.0);
    assert!(error(&whole, &with(101, &x, &sigma, &labels)) > 1e-3);
    assert!(error(&whole, &network.denoise(&x, &sigma, &plain).unwrap()) > 1e-3);
    let part = |it: &Tensor| it.narrow(0, 2, 2).unwrap();
    let tail = with(102, &part(&x), &part(&sigma), &part(&labels));
    assert!(error(&tail, &part(&whole)) < 1e-6);
}

#[test]
fn label_dropout_zeroes_whole_labels_in_training() {
    let config = config(|it| (it.dropout, it.label_dropout) = (0.0, 0.25));
    let params = opened(&config);
    let network = config.build(&params.frozen()).unwrap();
    let (x, sigma, labeled) = inputs();
    let rows = |tensor: Tensor| tensor.flatten_from(1).unwrap().to_vec2::<f32>().unwrap();
    let labeled_rows = rows(network.denoise(&x, &sigma, &labeled).unwrap());
    let unlabeled_rows = rows(network.denoise(&x, &sigma, &Conditioning::default()).unwrap());
    let (mut dropped, batches) = (0, 60);
    for batch in 0..batches {
        let dropout = Some(DropoutKey { seed: 8, position: batch * 4 });
        let cond = Conditioning { dropout, ..labeled.clone() };
        for (i, row) in rows(network.denoise(&x, &sigma, &cond).unwrap()).into_iter().enumerate() {
            assert_ne!(labeled_rows[i], unlabeled_rows[i]);
            assert!(row == labeled_rows[i] || row == unlabeled_rows[i]);
            dropped += usize::from(row == unlabeled_rows[i]);
        }
    }
    // 240 labels at p = 1/4: 60, standard deviation 6.7.
    assert!((27..=93).contains(&dropped), "{dropped}");
}

#[test]
fn adm_is_conditioned_on_class_augmentation_and_noise_level() {
    let adm = DhariwalConfig {
        model_channels: 64,
        channel_mult: vec![1],
        num_blocks: 1,
        attn_resolutions: vec![],
        ..DhariwalConfig::default()
    };
    let config = NetworkConfig {
        label_dim: 4,
        augment_dim: 2,
        ..NetworkConfig::new(Architecture::Dhariwal(adm), 8, 2)
    };
    let params = opened(&config);
    let network = config.build(&params.trainable()).unwrap();
    let (x, sigma, cond) = inputs();
    let run = |cond: &Conditioning, sigma: &Tensor| network.denoise(&x, sigma, cond).unwrap();
    let plain = run(&cond, &sigma);
    let augment = Some(Tensor::ones((4, 2), DType::F32, &Device::Cpu).unwrap());
    let augmented = Conditioning { augment, ..cond.clone() };
    let other = cond.labels.as_ref().map(|it| it.flip(&[0]).unwrap().contiguous().unwrap());
    assert!(error(&run(&augmented, &sigma), &plain) > 1e-3);
    assert!(error(&run(&Conditioning::labels(other), &sigma), &plain) > 1e-3);
    assert!(error(&run(&cond, &(&sigma * 1.1).unwrap()), &plain) > 1e-3);
    let grads = run(&augmented, &sigma).sqr().unwrap().sum_all().unwrap().backward().unwrap();
    assert!(params.vars().values().all(|var| grads.get(var).is_some()));
}
