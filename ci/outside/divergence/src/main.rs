//! Weights of a divergence, without candle.

use uni_instruct_divergence::{Divergence, Profile};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parsed: Divergence = "0.4*forward-kl+0.6*reverse-kl".parse()?;
    assert!((parsed.profile().eval(1.0) - (0.4 * 1f64.exp() + 0.6)).abs() < 1e-12);
    let own = Divergence::from(Profile::term(2.0, 0.0, 1, 1));
    assert!((own.profile().eval(0.0) - 0.5).abs() < 1e-12);
    println!("divergence: h(1) = {:.4}", parsed.profile().eval(1.0));
    Ok(())
}
