//! A preconditioned U-Net, the denoiser behind teacher, generator and fake score alike.

pub mod config;
pub mod file;
pub mod kept;
pub mod named;

pub use config::{Architecture, NetworkConfig};
pub use file::{NetworkFile, Provenance, Role};
pub use kept::Kept;
pub use named::NAMED;

use candle_core::{Result, Shape, Tensor};
use kernels::tape::{self, Value, layers};

use crate::denoiser::{Conditioning, Denoiser};
use crate::edm::precond::{Coefficients, Preconditioner};
use crate::unet::UNetOutput;
use crate::unet::dhariwal::DhariwalUNet;
use crate::unet::song::SongUNet;

/// A network over the tensors that it was built from ([`NetworkConfig::build`]).
///
/// If the tensors are trainable, the network is trained. If they are frozen, it follows their
/// updates and passes gradients to its input alone.
#[derive(Debug)]
pub struct Network {
    config: NetworkConfig,
    precond: Preconditioner,
    unet: UNet,
}

#[derive(Debug)]
pub(crate) enum UNet {
    Song(Box<SongUNet>),
    Dhariwal(Box<DhariwalUNet>),
}

impl UNet {
    fn forward(&self, x: &Value, noise: &Tensor, cond: &Conditioning) -> Result<UNetOutput> {
        match self {
            Self::Song(unet) => unet.forward(x, noise, cond),
            Self::Dhariwal(unet) => unet.forward(x, noise, cond),
        }
    }

    fn bottleneck(&self, x: &Value, noise: &Tensor, cond: &Conditioning) -> Result<Value> {
        match self {
            Self::Song(unet) => unet.bottleneck(x, noise, cond),
            Self::Dhariwal(unet) => unet.bottleneck(x, noise, cond),
        }
    }
}

/// Outputs of one pass through a network: denoised images, and features for a discriminator.
#[derive(Clone, Debug)]
pub struct NetworkOutput {
    /// The denoised images: `[B, C, H, W]`.
    pub x0: Tensor,
    /// The activation of the last encoder block: `[B, C', h, w]`.
    pub features: Tensor,
}

impl Network {
    pub(crate) fn new(config: NetworkConfig, unet: UNet) -> Self {
        let precond = Preconditioner::new(config.precond, config.sigma_data);
        Self { config, precond, unet }
    }

    /// Configuration that it was built from.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// The activation of the last encoder block (the bottleneck) at a noised image: `[B, C', h,
    /// w]`.
    ///
    /// # Shapes
    ///
    /// - `x`: `[B, C, H, W]`; `sigma`: `[B]`
    ///
    /// # Errors
    ///
    /// If shapes or conditioning do not fit the network.
    pub fn encode(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        self.run(x, sigma, cond, |x, c| {
            self.unet.bottleneck(&layers::scale_samples(x, &c.c_in)?, &c.c_noise, cond)
        })
    }

    /// [`Denoiser::denoise`] and [`Self::encode`] in one pass.
    ///
    /// # Errors
    ///
    /// If shapes or conditioning do not fit the network.
    pub fn denoise_and_encode(
        &self,
        x: &Tensor,
        sigma: &Tensor,
        cond: &Conditioning,
    ) -> Result<NetworkOutput> {
        let mut shapes = None;
        let both = self.run(x, sigma, cond, |x, c| {
            let UNetOutput { raw, bottleneck } = self.forward(x, c, cond)?;
            let x0 = self.denoised(x, &raw, c)?;
            shapes = Some([&x0, &bottleneck].map(|it| it.tensor().shape().clone()));
            layers::pack([&x0, &bottleneck])
        })?;
        let [x0, features] = shapes.expect("the network has run");
        let part = |start, shape: Shape| both.narrow(0, start, shape.elem_count())?.reshape(shape);
        Ok(NetworkOutput { features: part(x0.elem_count(), features)?, x0: part(0, x0)? })
    }

    /// The U-Net on preconditioned images.
    fn forward(&self, x: &Value, c: &Coefficients, cond: &Conditioning) -> Result<UNetOutput> {
        self.unet.forward(&layers::scale_samples(x, &c.c_in)?, &c.c_noise, cond)
    }

    /// The denoised image, from the network's raw output.
    fn denoised(&self, x: &Value, raw: &Value, c: &Coefficients) -> Result<Value> {
        // iDDPM networks also output a variance, which nothing here uses.
        let raw = layers::first_channels(raw, self.config.img_channels)?;
        layers::mix_samples([(x, &c.c_skip), (&raw, &c.c_out)])
    }

    fn run(
        &self,
        x: &Tensor,
        sigma: &Tensor,
        cond: &Conditioning,
        forward: impl FnOnce(&Value, &Coefficients) -> Result<Value>,
    ) -> Result<Tensor> {
        let c = self.coefficients(x, sigma)?;
        let others = [Some(&c.c_noise), cond.labels.as_ref(), cond.augment.as_ref()];
        tape::run(x, &others, |x| forward(x, &c))
    }

    fn coefficients(&self, x: &Tensor, sigma: &Tensor) -> Result<Coefficients> {
        let batch = x.dim(0)?;
        if sigma.dims() != [batch] {
            candle_core::bail!("sigma is {:?}, expected [{batch}]", sigma.shape());
        }
        self.precond.coefficients(&sigma.to_dtype(x.dtype())?)
    }
}

impl Denoiser for Network {
    fn denoise(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        self.run(x, sigma, cond, |x, c| self.denoised(x, &self.forward(x, c, cond)?.raw, c))
    }

    fn sigma_range(&self) -> [f64; 2] {
        [self.config.sigma_min, self.config.sigma_max]
    }

    fn round_sigma(&self, sigma: f64) -> f64 {
        self.precond.round_sigma(sigma)
    }
}
