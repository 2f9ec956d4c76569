//! Times of operations and networks on a CUDA device, with the kernels of this workspace and
//! composed of candle's operations. Prints one line for each; compares with no other program.

use std::hint::black_box;
use std::time::{Duration, Instant};

use benches::{networks, pass::Pass};
use candle_core::{DType, Device, Result, Tensor, Var};
use kernels::noise::NoiseStream;
use kernels::runtime::{Kernels, limit_kernels};

/// Largest time of a measurement, without its first run.
const BUDGET: Duration = Duration::from_millis(700);

/// Measures the median time of `f`, in milliseconds. The first run loads modules and is not
/// counted.
fn time(device: &Device, mut f: impl FnMut() -> Result<()>) -> Result<f64> {
    f()?;
    device.synchronize()?;
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < 3 || (start.elapsed() < BUDGET && times.len() < 50) {
        let start = Instant::now();
        f()?;
        device.synchronize()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        if BUDGET * 8 < start.elapsed() {
            break;
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn normal(device: &Device, dtype: DType, shape: &[usize]) -> Result<Tensor> {
    NoiseStream::new(1, 1).normal_tensor(0, shape, device)?.to_dtype(dtype)
}

/// Prints the times of the forward pass, and of forward and backward pass, of `f` at the inputs.
fn report(
    device: &Device,
    what: &str,
    gflop: f64,
    inputs: &[Tensor],
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<()> {
    for (name, kernels) in [("ours", Kernels::Best), ("candle", Kernels::Off)] {
        limit_kernels(kernels);
        let vars: Vec<Var> = inputs.iter().map(Var::from_tensor).collect::<Result<_>>()?;
        let tracked: Vec<Tensor> = vars.iter().map(|it| it.as_tensor().clone()).collect();
        let forward = time(device, || {
            black_box(f(inputs)?);
            Ok(())
        })?;
        let both = time(device, || {
            black_box(f(&tracked)?.backward()?);
            Ok(())
        })?;
        let rate = if gflop == 0.0 {
            String::new()
        } else {
            format!(" {:8.1} GFLOP/s", gflop / forward * 1e3)
        };
        println!(
            "{what:<44} {name:<7} forward {forward:9.3} ms, with backward {both:9.3} ms{rate}"
        );
    }
    Ok(())
}

fn convolutions(device: &Device, dtype: DType) -> Result<()> {
    #[rustfmt::skip]
    let table = [
        [64,   3, 128, 32, 3],
        [64, 128, 128, 32, 3],
        [64, 256, 256, 32, 3],
        [64, 256, 256, 16, 3],
        [64, 512, 256, 16, 3],
        [64, 256, 256,  8, 3],
        [64, 256, 768, 16, 1],
        [64, 512, 256, 32, 1],
    ];
    for [batch, inputs, outputs, side, kernel] in table {
        let x = normal(device, dtype, &[batch, inputs, side, side])?;
        let weight = normal(device, dtype, &[outputs, inputs, kernel, kernel])?;
        let bias = normal(device, dtype, &[outputs])?;
        let gflop = 2e-9 * (batch * inputs * outputs * side * side * kernel * kernel) as f64;
        let what = format!("conv {kernel}x{kernel} {inputs}->{outputs} at {side} {dtype:?}");
        report(device, &what, gflop, &[x, weight, bias], |it| {
            kernels::conv2d(&it[0], &it[1], Some(&it[2]))
        })?;
    }
    Ok(())
}

fn others(device: &Device, dtype: DType) -> Result<()> {
    let x = normal(device, dtype, &[64, 256, 32, 32])?;
    let channels = normal(device, dtype, &[256])?;
    let what = format!("group norm and silu, 64x256x32x32 {dtype:?}");
    report(device, &what, 0.0, &[x.clone(), channels.clone(), channels], |it| {
        kernels::group_norm_silu(&it[0], &it[1], &it[2], 32, 1e-5)
    })?;
    for (heads, channels, side, batch) in [(1, 256, 16, 64), (6, 384, 32, 16)] {
        let qkv = normal(device, dtype, &[batch, 3 * channels, side, side])?;
        let gflop = 4e-9 * (batch * channels * side.pow(4)) as f64;
        let what = format!("attention, {heads} of {} at {side} {dtype:?}", channels / heads);
        report(device, &what, gflop, &[qkv], |it| kernels::attention(&it[0], heads))?;
    }
    let what = format!("down, 64x256x32x32 {dtype:?}");
    let one = [x.clone()];
    report(device, &what, 0.0, &one, |it| kernels::downsample2(&it[0], kernels::Filter::Tent))?;
    let what = format!("silu, 64x256x32x32 {dtype:?}");
    report(device, &what, 0.0, &one, |it| kernels::silu(&it[0]))?;
    let what = format!("add_scaled, 64x256x32x32 {dtype:?}");
    report(device, &what, 0.0, &[x.clone(), x], |it| kernels::add_scaled(&it[0], &it[1], 0.7))
}

fn network(
    device: &Device,
    dtype: DType,
    batch: usize,
    all: &[(&str, Kernels)],
) -> benches::Result<()> {
    for (name, kernels) in all {
        limit_kernels(Kernels::Best);
        let pass = Pass::on(&networks::cifar10(), batch, device, dtype)?;
        limit_kernels(*kernels);
        let forward = time(device, || pass.forward().map(|it| drop(black_box(it))))?;
        let weights = time(device, || pass.grad_weights().map(|it| drop(black_box(it))))?;
        let input = time(device, || pass.grad_input().map(|it| drop(black_box(it))))?;
        println!(
            "DDPM++ for CIFAR-10, batch {batch} {dtype:?} {name:<7} forward {forward:9.2} ms, \
             with gradients of weights {weights:9.2} ms, of the images {input:9.2} ms"
        );
    }
    Ok(())
}

fn main() -> benches::Result<()> {
    let device = kernels::device::parse_device("cuda")?;
    let both = [("ours", Kernels::Best), ("candle", Kernels::Off)];
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["network", batch] => {
            network(&device, DType::F32, batch.parse()?, &both)?;
            for dtype in [DType::BF16, DType::F16] {
                network(&device, dtype, batch.parse()?, &both[..1])?;
            }
        }
        ["operations"] => {
            for dtype in [DType::F32, DType::BF16] {
                convolutions(&device, dtype)?;
                others(&device, dtype)?;
            }
        }
        _ => return Err("expected `network <batch>` or `operations`".into()),
    }
    Ok(())
}
