//! Discriminator heads and perceptrons: gradients, conditioning, starts.

use candle_core::{DType, Device, Tensor, Var};
use kernels::noise::NoiseStream;
use uni_instruct_models::discriminator::{FeatureDiscriminator, Head, HeadConfig};
use uni_instruct_models::edm::sampler::{SamplerConfig, sample};
use uni_instruct_models::mlp::MlpConfig;
use uni_instruct_models::{Conditioning, Denoiser, LogRatio, ParamSet};

use crate::golden::{Golden, error};

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

#[test]
fn the_parameter_free_head_is_the_mean_of_the_bottleneck() {
    let golden = Golden::load("edm-ddpmpp-cond-augment");
    let network = golden.network();
    let (x, sigma, cond) = (golden.get("io.x"), golden.get("io.sigma"), golden.conditioning());
    let ratio = FeatureDiscriminator { network: &network, head: &Head::Bottleneck };
    let got = ratio.log_ratio(&x, &sigma, &cond).unwrap();
    let features = network.encode(&x, &sigma, &cond).unwrap();
    let want: Vec<f64> = (0..3)
        .map(|i| {
            let row = values(&features.get(i).unwrap().flatten_all().unwrap());
            row.iter().sum::<f64>() / row.len() as f64
        })
        .collect();
    for (got, want) in values(&got).into_iter().zip(want) {
        assert!((got - want).abs() < 1e-6, "{got} and {want}");
    }
}

#[test]
fn the_learned_head_trains_and_passes_gradients_on() {
    let golden = Golden::load("edm-ddpmpp-cond-augment");
    let network = golden.network();
    let params = HeadConfig::new(&golden.config, 16).init(0).unwrap();
    assert_eq!(HeadConfig::new(&golden.config, 16).features, 32);
    let head = HeadConfig::new(&golden.config, 16).build(&params.trainable()).unwrap();
    let head = Head::Learned(Box::new(head));
    let ratio = FeatureDiscriminator { network: &network, head: &head };
    let (sigma, cond) = (golden.get("io.sigma"), golden.conditioning());
    let x = Var::from_tensor(&golden.get("io.x")).unwrap();
    let logits = ratio.log_ratio(&x, &sigma, &cond).unwrap();
    assert_eq!(logits.dims(), [3]);
    assert!(values(&logits).iter().all(|logit| logit.abs() < 0.1), "no opinion at first");
    let grads = logits.sum_all().unwrap().backward().unwrap();
    let size =
        |var: &Var| grads.get(var).map(|it| values(&it.abs().unwrap().flatten_all().unwrap()));
    for (key, var) in params.vars().iter().chain(golden.params.vars()) {
        let in_decoder = key.contains(".dec.");
        match size(var) {
            Some(grad) => assert!(!in_decoder && 0.0 < grad.iter().sum::<f64>(), "{key}"),
            None => assert!(in_decoder, "no gradient for {key}"),
        }
    }
    assert!(size(&x).is_some());

    let frozen = HeadConfig::new(&golden.config, 16).build(&params.frozen()).unwrap();
    let network = golden.config.build(&golden.params.frozen()).unwrap();
    let head = Head::Learned(Box::new(frozen));
    let ratio = FeatureDiscriminator { network: &network, head: &head };
    let frozen = ratio.log_ratio(&x, &sigma, &cond).unwrap().sum_all().unwrap().backward().unwrap();
    assert!(error(frozen.get(&x).unwrap(), grads.get(&x).unwrap()) < 1e-5);
    let vars = params.vars().values().chain(golden.params.vars().values());
    assert!(vars.into_iter().all(|var| frozen.get(var).is_none()));
}

#[test]
fn the_learned_head_is_conditioned_on_noise_level_and_class() {
    let config = HeadConfig { features: 6, label_dim: 3, width: 8 };
    let params = config.init(2).unwrap();
    let head = Head::Learned(Box::new(config.build(&params.frozen()).unwrap()));
    let features = NoiseStream::new(0, 0).normal_tensor(0, (1, 6, 5, 3), &Device::Cpu).unwrap();
    let logit = |sigma: f32, class: Option<usize>| {
        let label = |class| Tensor::eye(3, DType::F32, &Device::Cpu).unwrap().narrow(0, class, 1);
        let cond = Conditioning::labels(class.map(|class| label(class).unwrap()));
        let sigma = Tensor::new(&[sigma], &Device::Cpu).unwrap();
        values(&head.logits(&features, &sigma, &cond).unwrap())[0]
    };
    let all = [logit(0.1, Some(0)), logit(10.0, Some(0)), logit(0.1, Some(2)), logit(0.1, None)];
    for i in 0..all.len() {
        assert!(all[i + 1..].iter().all(|other| *other != all[i]), "{all:?}");
    }
    let sigma = Tensor::new(&[1f32], &Device::Cpu).unwrap();
    let narrow = features.narrow(1, 0, 5).unwrap();
    let error = head.logits(&narrow, &sigma, &Conditioning::default()).unwrap_err();
    assert!(error.to_string().contains("6 channels"), "{error}");
    let error =
        head.logits(&features, &sigma, &Conditioning::labels(Some(sigma.clone()))).unwrap_err();
    assert!(error.to_string().contains("[1, 3]"), "{error}");
    assert!(HeadConfig { width: 0, ..config }.init(0).is_err());
}

#[test]
fn perceptron_gradients_match_finite_differences() {
    const STEP: f64 = 1e-4;
    let config = MlpConfig { width: 8, depth: 2, label_dim: 2, ..MlpConfig::default() };
    let double = |set: ParamSet| set.to_dtype(DType::F64).unwrap();
    let (denoiser, ratio) =
        (double(config.init(1).unwrap()), double(config.init_ratio(1).unwrap()));
    let (mlp, critic) =
        (config.build(&denoiser.trainable()), config.build_ratio(&ratio.trainable()));
    let (mlp, critic) = (mlp.unwrap(), critic.unwrap());
    let x = NoiseStream::new(1, 1).normal_tensor(0, (3, 2), &Device::Cpu).unwrap();
    let x = Var::from_tensor(&x.to_dtype(DType::F64).unwrap()).unwrap();
    let sigma = Tensor::new(&[0.05f64, 0.7, 9.0], &Device::Cpu).unwrap();
    let labels = Tensor::new(&[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0f64]], &Device::Cpu).unwrap();
    let cond = Conditioning::labels(Some(labels));
    let loss = || {
        let images = mlp.denoise(&x, &sigma, &cond).unwrap().sqr().unwrap().sum_all().unwrap();
        let logits = critic.log_ratio(&x, &sigma, &cond).unwrap();
        (images + logits.exp().unwrap().sum_all().unwrap()).unwrap()
    };
    let grads = loss().backward().unwrap();
    let vars: Vec<&Var> = denoiser.vars().values().chain(ratio.vars().values()).collect();
    for var in vars.into_iter().chain([&x]) {
        let grad = values(&grads.get(var).unwrap().flatten_all().unwrap());
        let before = var.as_tensor().copy().unwrap();
        let last = grad.len() - 1;
        let mut step = vec![0.0; grad.len()];
        step[last] = STEP;
        let step = Tensor::from_vec(step, var.shape(), &Device::Cpu).unwrap();
        let at = |scale: f64| {
            var.set(&(&before + (&step * scale).unwrap()).unwrap()).unwrap();
            loss().to_scalar::<f64>().unwrap()
        };
        let want = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * STEP);
        at(0.0);
        assert!((grad[last] - want).abs() < 1e-8 * (1.0 + want.abs()), "{} and {want}", grad[last]);
    }
}

#[test]
fn perceptrons_sample_and_reject_misfits() {
    let config = MlpConfig { width: 16, ..MlpConfig::default() };
    let params = config.init(0).unwrap();
    let mlp = config.build(&params.frozen()).unwrap();
    let z = NoiseStream::new(1, 1).normal_tensor(0, (5, 2), &Device::Cpu).unwrap();
    let cond = Conditioning::default();
    let x = sample(&mlp, &SamplerConfig::heun(4), &z, &cond, &mut |_, _| unreachable!()).unwrap();
    assert_eq!(x.dims(), [5, 2]);
    assert!(values(&x.flatten_all().unwrap()).iter().all(|it| it.is_finite()));
    let sigma = Tensor::new(&[1f32; 5], &Device::Cpu).unwrap();
    let wide = Tensor::cat(&[&z, &z], 1).unwrap();
    let message =
        |x: &Tensor, cond: &Conditioning| mlp.denoise(x, &sigma, cond).unwrap_err().to_string();
    assert!(message(&wide, &cond).contains("[B, 2]"));
    assert!(message(&z, &Conditioning::labels(Some(wide.clone()))).contains("[B, 0]"));
    assert!(MlpConfig { depth: 0, ..config }.init(0).is_err());
}
