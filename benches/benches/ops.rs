//! The kernels of the CPU against the same operations composed of candle's, at shapes of a small
//! DDPM++ U-Net (32 to 64 channels, batch 32).

use std::hint::black_box;
use std::time::Duration;

use candle_core::{D, DType, Device, Result, Tensor, Var};
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use models::ops;

/// Batch, inputs, outputs, height and width, kernel.
const CONVOLUTIONS: [(&str, [usize; 5]); 4] = [
    ("32-32@32", [32, 32, 32, 32, 3]),
    ("64-64@16", [32, 64, 64, 16, 3]),
    ("1-32@32", [32, 1, 32, 32, 3]),
    ("64-192@16,k1", [32, 64, 192, 16, 1]),
];
/// Batch, channels, height, width.
const IMAGES: [usize; 4] = [32, 32, 32, 32];
const GROUPS: usize = 8;
const EPS: f64 = 1e-6;

type Group<'a> = BenchmarkGroup<'a, criterion::measurement::WallTime>;

fn ones(shape: &[usize]) -> Tensor {
    Tensor::ones(shape, DType::F32, &Device::Cpu).expect("the CPU holds it")
}

/// Forward with frozen operands, then forward and backward to all of them.
fn both_ways(
    group: &mut Group<'_>,
    variant: &str,
    operands: &[Tensor],
    op: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    group.bench_function(format!("{variant}/forward"), |bencher| {
        bencher.iter(|| op(black_box(operands)).expect("the shapes fit"));
    });
    let tracked: Vec<Tensor> = operands
        .iter()
        .map(|it| Var::from_tensor(it).expect("the CPU holds it").into_inner())
        .collect();
    group.bench_function(format!("{variant}/forward+backward"), |bencher| {
        bencher
            .iter(|| op(black_box(&tracked)).and_then(|y| y.backward()).expect("the shapes fit"));
    });
}

fn conv2d(criterion: &mut Criterion) {
    for (name, [batch, inputs, outputs, size, kernel]) in CONVOLUTIONS {
        let operands = [
            ones(&[batch, inputs, size, size]),
            ones(&[outputs, inputs, kernel, kernel]),
            ones(&[outputs]),
        ];
        let mut group = criterion.benchmark_group(format!("conv2d/{name}"));
        // Multiplications and additions of the forward pass.
        let flop = 2 * batch * inputs * outputs * size * size * kernel * kernel;
        group.throughput(Throughput::Elements(flop as u64));
        both_ways(&mut group, "kernel", &operands, |it| ops::conv2d(&it[0], &it[1], Some(&it[2])));
        both_ways(&mut group, "composed", &operands, |it| {
            let y = it[0].conv2d(&it[1], kernel / 2, 1, 1, 1)?;
            y.broadcast_add(&it[2].reshape((1, (), 1, 1))?)
        });
    }
}

fn group_norm_silu(criterion: &mut Criterion) {
    let [batch, channels, ..] = IMAGES;
    let operands = [ones(&IMAGES), ones(&[channels]), ones(&[channels])];
    let mut group = criterion.benchmark_group("group_norm_silu");
    group.throughput(Throughput::Bytes(4 * IMAGES.iter().product::<usize>() as u64));
    both_ways(&mut group, "kernel", &operands, |it| {
        ops::group_norm_silu(&it[0], &it[1], &it[2], GROUPS, EPS)
    });
    both_ways(&mut group, "composed", &operands, |it| {
        let x = it[0].reshape((batch, GROUPS, ()))?;
        let x = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = x.sqr()?.mean_keepdim(D::Minus1)?;
        let x = x.broadcast_div(&(variance + EPS)?.sqrt()?)?.reshape(it[0].shape())?;
        x.broadcast_mul(&it[1].reshape((1, (), 1, 1))?)?
            .broadcast_add(&it[2].reshape((1, (), 1, 1))?)?
            .silu()
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = conv2d, group_norm_silu
}
criterion_main!(benches);
