//! A convolution with its gradient.

use candle_core::{Device, Var};
use uni_instruct_kernels::{backward, conv2d, noise::NoiseStream};

fn main() -> candle_core::Result<()> {
    let noise = NoiseStream::new(0, 1);
    let x = noise.normal_tensor(0, (2, 3, 8, 8), &Device::Cpu)?;
    let weight = Var::from_tensor(&noise.normal_tensor(9, (4, 3, 3, 3), &Device::Cpu)?)?;
    let loss = conv2d(&x, &weight, None)?.sqr()?.mean_all()?;
    let gradients = backward(&loss)?;
    let norm = gradients.get(&weight).expect("a gradient").sqr()?.sum_all()?.to_scalar::<f32>()?;
    assert!(norm.is_finite() && 0.0 < norm);
    println!("kernels: squared norm of the gradient {norm:.4}");
    Ok(())
}
