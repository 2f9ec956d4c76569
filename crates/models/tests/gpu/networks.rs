//! Whole networks, forward and backward.

use candle_core::{DType, Device, Tensor, Var};
use kernels::noise::NoiseStream;
use uni_instruct_models::unet::config::{DhariwalConfig, SongConfig};
use uni_instruct_models::{
    Architecture, Conditioning, Denoiser, DropoutKey, NetworkConfig, ParamSet,
};

use crate::comparing::{device, error, normal};

/// Of outputs and gradients in f32, relative to the largest number.
const TOLERANCE: f64 = 2e-4;

fn song(change: impl FnOnce(&mut SongConfig)) -> Architecture {
    let mut song = SongConfig {
        model_channels: 8,
        channel_mult: vec![1, 2],
        num_blocks: 1,
        attn_resolutions: vec![4],
        ..SongConfig::default()
    };
    change(&mut song);
    Architecture::Song(song)
}

fn networks() -> Vec<(&'static str, NetworkConfig)> {
    let adm = DhariwalConfig {
        model_channels: 32,
        channel_mult: vec![1, 2],
        num_blocks: 1,
        attn_resolutions: vec![4],
        ..DhariwalConfig::default()
    };
    let ncsnpp = song(|it| {
        let small = it.clone();
        *it = SongConfig {
            model_channels: small.model_channels,
            channel_mult: small.channel_mult,
            num_blocks: small.num_blocks,
            attn_resolutions: small.attn_resolutions,
            ..SongConfig::ncsnpp()
        };
    });
    let of =
        |architecture| NetworkConfig { label_dim: 4, ..NetworkConfig::new(architecture, 8, 2) };
    vec![
        ("DDPM++", of(song(|_| ()))),
        ("NCSN++", of(ncsnpp)),
        ("ADM", of(Architecture::Dhariwal(adm))),
    ]
}

/// Weights of order one everywhere, so that no path is closed as at the start of training.
fn opened(config: &NetworkConfig) -> ParamSet {
    let params = config.init(0).unwrap();
    for (i, var) in params.vars().values().enumerate() {
        let noise = NoiseStream::new(9, i as u32);
        let fan_in = var.dims().iter().skip(1).product::<usize>().max(4) as f64;
        let noise = noise.normal_tensor(0, var.shape(), &Device::Cpu).unwrap();
        let start = if var.rank() == 1 { 0.5 } else { 0.0 };
        var.set(&noise.affine(fan_in.sqrt().recip(), start).unwrap()).unwrap();
    }
    params
}

/// The denoised images, and the gradients with respect to image and weights.
fn run(config: &NetworkConfig, params: &ParamSet, device: &Device, dtype: DType) -> Vec<Tensor> {
    let params = params.to_dtype(dtype).unwrap().to_device(device).unwrap();
    let to = |x: Tensor| x.to_dtype(dtype).unwrap().to_device(device).unwrap();
    let x = Var::from_tensor(&to(normal(5, &[3, 2, 8, 8]))).unwrap();
    let sigma = to(Tensor::new(&[0.1f32, 0.5, 2.0], &Device::Cpu).unwrap());
    let labels = to(Tensor::eye(4, DType::F32, &Device::Cpu).unwrap().narrow(0, 0, 3).unwrap());
    let mut cond = Conditioning::labels(Some(labels));
    cond.dropout = Some(DropoutKey { seed: 3, position: 8 });
    let network = config.build(&params.trainable()).unwrap();
    let y = network.denoise(&x, &sigma, &cond).unwrap();
    let loss = (&y * to(normal(6, &[3, 2, 8, 8]))).unwrap().sum_all().unwrap();
    let grads = loss.backward().unwrap();
    let of = |var: &Var| grads.get(var).unwrap().clone();
    [y.detach(), of(&x)].into_iter().chain(params.vars().values().map(of)).collect()
}

#[test]
fn networks_agree() {
    for (name, config) in networks() {
        let params = opened(&config);
        let expected = run(&config, &params, &Device::Cpu, DType::F64);
        let got = run(&config, &params, &device(), DType::F32);
        assert_eq!(got.len(), expected.len());
        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
            let e = error(got, expected);
            assert!(e < TOLERANCE, "{name}, number {i} {:?}: off by {e:.1e}", got.shape());
        }
    }
}

/// A network in half precision is off by some roundings at each of its layers.
#[test]
fn networks_in_half_precision_are_close() {
    for (name, config) in networks() {
        let params = opened(&config);
        let expected = run(&config, &params, &Device::Cpu, DType::F64);
        for (dtype, tolerance) in [(DType::F16, 0.02), (DType::BF16, 0.15)] {
            let got = run(&config, &params, &device(), dtype);
            let e = error(&got[0], &expected[0]);
            assert!(e < tolerance, "{name}, {dtype:?}: off by {e:.1e}");
        }
    }
}
