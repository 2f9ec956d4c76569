//! Every operation of [`benches::operation`], with the kernels of this processor and composed of
//! candle's operations.

use std::hint::black_box;
use std::time::Duration;

use benches::operation::{NOISES, OPERATIONS, WEIGHTS, normal};
use candle_core::{Device, Result, Tensor, Var};
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use kernels::adam::{AdamConfig, step};
use kernels::ema_update;
use kernels::noise::NoiseStream;
use kernels::runtime::{Kernels, limit_kernels};

const VARIANTS: [(&str, Kernels); 2] = [("kernel", Kernels::Best), ("composed", Kernels::Off)];

type Group<'a> = BenchmarkGroup<'a, criterion::measurement::WallTime>;

/// Times `run` with the kernels and in the composed form.
fn both_forms(group: &mut Group<'_>, what: &str, run: impl Fn() -> Result<()>) {
    for (variant, kernels) in VARIANTS {
        limit_kernels(kernels);
        group.bench_function(format!("{variant}/{what}"), |bencher| {
            bencher.iter(|| run().expect("the shapes fit"));
        });
    }
}

/// Times the forward pass with frozen operands, then forward and backward pass with all gradients.
fn operations(criterion: &mut Criterion) {
    for row in OPERATIONS {
        let mut group = criterion.benchmark_group(format!("{}/{}", row.recipe, row.name));
        group.throughput(match row.flop() {
            Some(flop) => Throughput::Elements(flop as u64),
            None => Throughput::Bytes(row.bytes() as u64),
        });
        let operands = row.operands(usize::MAX).expect("the CPU holds them");
        both_forms(&mut group, "forward", || {
            black_box((row.op)(black_box(&operands))?);
            Ok(())
        });
        let tracked: Vec<Tensor> = operands
            .iter()
            .map(|it| Var::from_tensor(it).expect("the CPU holds it").into_inner())
            .collect();
        both_forms(&mut group, "forward+backward", || {
            black_box((row.op)(black_box(&tracked))?.backward()?);
            Ok(())
        });
    }
}

/// Times Adam and the moving average over one weight.
fn updates(criterion: &mut Criterion) {
    for (recipe, len) in WEIGHTS {
        let tensor = |stream| normal(stream, &[1, len]).expect("the CPU holds it");
        let var = |it: Tensor| Var::from_tensor(&it).expect("the CPU holds it");
        let (param, m, gradient) = (var(tensor(0)), var(tensor(1)), tensor(3));
        // Second moments are not negative.
        let v = var(tensor(2).sqr().expect("the CPU holds it"));
        let config = AdamConfig::default();
        let mut group = criterion.benchmark_group(format!("{recipe}/adam"));
        group.throughput(Throughput::Elements(len as u64));
        both_forms(&mut group, "update", || step(&config, 1, &param, &m, &v, &gradient));
        group.finish();
        let mut group = criterion.benchmark_group(format!("{recipe}/ema"));
        group.throughput(Throughput::Elements(len as u64));
        both_forms(&mut group, "update", || ema_update(&m, &gradient, 0.999));
    }
}

/// Times noise, which has no composed form.
fn noise(criterion: &mut Criterion) {
    for (recipe, shape) in NOISES {
        let mut group = criterion.benchmark_group(format!("{recipe}/noise"));
        group.throughput(Throughput::Elements(shape.iter().product::<usize>() as u64));
        let stream = NoiseStream::new(1, 2);
        group.bench_function("normal", |bencher| {
            bencher.iter(|| stream.normal_tensor(0, &shape, &Device::Cpu).expect("it fits"));
        });
        group.bench_function("uniform", |bencher| {
            bencher.iter(|| stream.uniform_tensor(0, &shape, &Device::Cpu).expect("it fits"));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = operations, updates, noise
}
criterion_main!(benches);
