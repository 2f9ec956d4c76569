//! The networks' own reverse pass (f32 on the CPU) against candle's (f64), and what it promises
//! beyond: gradients that do not depend on the caller or on the threads, and errors instead of
//! gradients that are not there.

use candle_core::{DType, Result, Tensor, Var};
use kernels::noise::NoiseStream;
use uni_instruct_models::unet::config::{Decoder, DhariwalConfig, Encoder, ResampleFilter};
use uni_instruct_models::{
    Architecture, Conditioning, Denoiser, DropoutKey, Network, NetworkConfig, ParamSet,
};

use crate::golden::error;
use crate::variants::{config, inputs, opened};

const TOLERANCE: f64 = 1e-4;

/// Networks that between them take every step that a tape records.
fn networks() -> Vec<(&'static str, NetworkConfig)> {
    let dhariwal = DhariwalConfig {
        model_channels: 16,
        channel_mult: vec![1, 4],
        num_blocks: 1,
        attn_resolutions: vec![4],
        dropout: 0.1,
        ..DhariwalConfig::default()
    };
    let dhariwal = NetworkConfig::new(Architecture::Dhariwal(dhariwal), 8, 2);
    vec![
        ("DDPM++", config(|_| ())),
        ("dropout", config(|song| song.dropout = 0.3)),
        (
            "residual encoder, tent filter",
            config(|song| {
                song.encoder_type = Encoder::Residual;
                song.resample_filter = ResampleFilter::Tent;
            }),
        ),
        (
            "skip encoder and decoder",
            config(|song| {
                song.encoder_type = Encoder::Skip;
                song.decoder_type = Decoder::Skip;
            }),
        ),
        ("ADM", NetworkConfig { label_dim: 4, ..dhariwal }),
    ]
}

/// Output requested of a network.
#[derive(Clone, Copy, Debug)]
enum Request {
    Denoised,
    Encoded,
    Both,
}

impl Request {
    /// A weighted sum of each requested output.
    fn weigh(self, network: &Network, x: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        let sigma = inputs().1.to_dtype(x.dtype())?;
        let weighed = |y: &Tensor, stream: u32| {
            let weights = NoiseStream::new(8, stream).normal_tensor(0, y.shape(), y.device())?;
            (y * weights.to_dtype(y.dtype())?)?.sum_all()
        };
        match self {
            Self::Denoised => weighed(&network.denoise(x, &sigma, cond)?, 1),
            Self::Encoded => weighed(&network.encode(x, &sigma, cond)?, 2),
            Self::Both => {
                let both = network.denoise_and_encode(x, &sigma, cond)?;
                weighed(&both.x0, 1)? + weighed(&both.features, 2)?
            }
        }
    }
}

fn conditioning() -> Conditioning {
    let dropout = Some(DropoutKey { seed: 4, position: 2 });
    Conditioning { dropout, ..inputs().2 }
}

/// The loss and its gradients with respect to the input and the parameters, in this precision.
fn gradients(
    config: &NetworkConfig,
    params: &ParamSet,
    dtype: DType,
    request: Request,
) -> (Tensor, Tensor, Vec<(String, Tensor)>) {
    let params = params.to_dtype(dtype).unwrap();
    let network = config.build(&params.trainable()).unwrap();
    let x = Var::from_tensor(&inputs().0.to_dtype(dtype).unwrap()).unwrap();
    let loss = request.weigh(&network, &x, &conditioning()).unwrap();
    let store = uni_instruct_models::backward(&loss).unwrap();
    let of = |(key, var): (&String, &Var)| store.get(var).map(|it| (key.clone(), it.clone()));
    let grad_params = params.vars().iter().filter_map(of).collect();
    (loss.detach(), store.get(&x).unwrap().clone(), grad_params)
}

#[test]
fn gradients_match_candle_in_double_precision() {
    for (name, config) in networks() {
        let params = opened(&config);
        for request in [Request::Denoised, Request::Encoded, Request::Both] {
            let (loss, grad_x, grad_params) = gradients(&config, &params, DType::F32, request);
            let (loss64, grad_x64, grad_params64) =
                gradients(&config, &params, DType::F64, request);
            assert!(error(&loss, &loss64) < TOLERANCE, "{name} {request:?}: the loss");
            assert!(
                error(&grad_x, &grad_x64) < TOLERANCE,
                "{name} {request:?}: the gradient of the input"
            );
            assert_eq!(grad_params.len(), grad_params64.len(), "{name} {request:?}");
            for ((key, got), (_, expected)) in grad_params.iter().zip(&grad_params64) {
                let error = error(got, expected);
                assert!(error < 10.0 * TOLERANCE, "{name} {request:?}, {key}: {error:.1e}");
            }
        }
    }
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let numbers = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    numbers.into_iter().map(f32::to_bits).collect()
}

#[test]
fn both_backward_entry_points_agree() {
    let config = config(|_| ());
    let (params, cond) = (opened(&config), conditioning());
    let network = config.build(&params.trainable()).unwrap();
    let x = Var::from_tensor(&inputs().0).unwrap();
    let loss = || Request::Both.weigh(&network, &x, &cond).unwrap();
    let (ours, candle_s) =
        (uni_instruct_models::backward(&loss()).unwrap(), loss().backward().unwrap());
    for var in params.vars().values().chain([&x]) {
        assert_eq!(bits(ours.get(var).unwrap()), bits(candle_s.get(var).unwrap()));
    }
}

#[test]
fn gradients_do_not_depend_on_the_threads() {
    let (_, config) = networks().pop().unwrap();
    let params = opened(&config);
    let of = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let all = || gradients(&config, &params, DType::F32, Request::Both);
        let (loss, grad_x, grad_params) = pool.install(all);
        let all = grad_params.into_iter().map(|it| it.1).chain([loss, grad_x]);
        all.map(|it| bits(&it)).collect::<Vec<_>>()
    };
    let one = of(1);
    assert!(one == of(2) && one == of(3));
}

#[test]
fn a_network_may_be_used_twice_in_a_loss() {
    let config = config(|_| ());
    let (params, cond) = (opened(&config), conditioning());
    let network = config.build(&params.trainable()).unwrap();
    let weigh = |factor: f64| {
        let x = (inputs().0 * factor).unwrap();
        Request::Denoised.weigh(&network, &x, &cond).unwrap()
    };
    let [first, second] =
        [1.0, 0.5].map(|factor| uni_instruct_models::backward(&weigh(factor)).unwrap());
    let both = (weigh(1.0) + weigh(0.5)).unwrap();
    let both = [
        uni_instruct_models::backward(&both).unwrap(),
        (weigh(1.0) + weigh(0.5)).unwrap().backward().unwrap(),
    ];
    for (key, var) in params.vars() {
        let sum = (first.get(var).unwrap() + second.get(var).unwrap()).unwrap();
        for both in &both {
            let error = error(both.get(var).unwrap(), &sum);
            assert!(error < TOLERANCE, "{key}: {error:.1e}");
        }
    }
}

#[test]
fn rejects_a_second_backward_pass() {
    let config = config(|_| ());
    let params = opened(&config);
    let network = config.build(&params.trainable()).unwrap();
    let loss = Request::Denoised.weigh(&network, &inputs().0, &conditioning()).unwrap();
    uni_instruct_models::backward(&loss).unwrap();
    let message = uni_instruct_models::backward(&loss).unwrap_err().to_string();
    assert!(message.contains("twice") && message.contains("run the forward"), "{message}");
    // What it failed on has left nothing behind.
    let again = Request::Denoised.weigh(&network, &inputs().0, &conditioning()).unwrap();
    assert!(again.backward().unwrap().get(params.vars().values().next().unwrap()).is_some());
}

#[test]
fn frozen_networks_are_not_tracked() {
    let config = config(|_| ());
    let params = opened(&config);
    let network = config.build(&params.frozen()).unwrap();
    let loss = Request::Both.weigh(&network, &inputs().0, &conditioning()).unwrap();
    assert!(!loss.track_op());
}

#[test]
fn the_noise_level_gets_its_gradient_from_candle() {
    let config = config(|_| ());
    let params = opened(&config);
    let grad_sigma = |dtype: DType| {
        let params = params.to_dtype(dtype).unwrap();
        let network = config.build(&params.frozen()).unwrap();
        let (x, sigma, cond) = inputs();
        let sigma = Var::from_tensor(&sigma.to_dtype(dtype).unwrap()).unwrap();
        let y = network.denoise(&x.to_dtype(dtype).unwrap(), &sigma, &cond).unwrap();
        uni_instruct_models::backward(&y.sum_all().unwrap()).unwrap().get(&sigma).unwrap().clone()
    };
    let error = error(&grad_sigma(DType::F32), &grad_sigma(DType::F64));
    assert!(error < TOLERANCE, "{error:.1e}");
}
