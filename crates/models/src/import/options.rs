//! EDM's arguments of a network, as its pickle keeps them, to our configuration.

use crate::edm::precond::Precond;
use crate::error::{Error, Result};
use crate::network::{Architecture, NetworkConfig};
use crate::unet::config::{
    Decoder, DhariwalConfig, Embedding, Encoder, ResampleFilter, SongConfig,
};
use pickle::{PickledModule, PlainRef};

/// The arguments of a class. Each must be read: an unknown one would mean another network.
struct Arguments<'a> {
    class: &'a str,
    entries: Vec<(&'a str, PlainRef<'a>, bool)>,
}

impl<'a> Arguments<'a> {
    fn new(module: &'a PickledModule) -> Result<Self> {
        let class = module.class_name.as_str();
        let positional = module.init_args.root().items().map_or(0, |it| it.len());
        if positional != 0 {
            let reason = format!("{class} was created with {positional} arguments without a name");
            return Err(Error::Option { option: "init_args", reason });
        }
        let unreadable = || Error::Option {
            option: "init_kwargs",
            reason: format!("the named arguments of {class} are not a dictionary of names"),
        };
        let mut entries = Vec::new();
        for (key, value) in module.init_kwargs.root().entries().ok_or_else(unreadable)? {
            entries.push((key.as_str().ok_or_else(unreadable)?, value, false));
        }
        Ok(Self { class, entries })
    }

    /// The argument, read by `read`; nothing if it was not given.
    fn take<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(PlainRef<'a>) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(entry) = self.entries.iter_mut().find(|it| it.0 == key) else { return Ok(None) };
        entry.2 = true;
        match read(entry.1) {
            Some(value) => Ok(Some(value)),
            None => Err(Error::Option {
                option: key,
                reason: format!("{} must have {expected} here", self.class),
            }),
        }
    }

    fn size(&mut self, key: &'static str) -> Result<Option<usize>> {
        self.take(key, "a number of at least 0", |it| usize::try_from(it.as_i64()?).ok())
    }

    fn required(&mut self, key: &'static str) -> Result<usize> {
        let missing = || Error::Option {
            option: key,
            reason: format!("{} was created without it", self.class),
        };
        let missing = missing();
        self.size(key)?.ok_or(missing)
    }

    fn sizes(&mut self, key: &'static str) -> Result<Option<Vec<usize>>> {
        self.take(key, "a list of numbers", |it| {
            it.items()?.map(|it| usize::try_from(it.as_i64()?).ok()).collect()
        })
    }

    fn number(&mut self, key: &'static str) -> Result<Option<f64>> {
        self.take(key, "a number", |it| it.as_f64().or_else(|| Some(it.as_i64()? as f64)))
    }

    /// One of several names.
    fn choice<T: Copy>(&mut self, key: &'static str, names: &[(&str, T)]) -> Result<Option<T>> {
        let expected: Vec<_> = names.iter().map(|it| it.0).collect();
        self.take(key, &expected.join(" or "), |it| {
            let found = it.as_str()?;
            names.iter().find(|name| name.0 == found).map(|name| name.1)
        })
    }

    /// Marks arguments as read that do not affect the output.
    fn ignore(&mut self, keys: &[&str]) {
        for entry in self.entries.iter_mut().filter(|it| keys.contains(&it.0)) {
            entry.2 = true;
        }
    }

    /// # Errors
    ///
    /// If an argument is left.
    fn finish(self) -> Result<()> {
        match self.entries.iter().find(|it| !it.2) {
            None => Ok(()),
            Some((key, value, _)) => Err(Error::Option {
                option: "init_kwargs",
                reason: format!(
                    "{} was created with `{key} = {value}`, which is not supported here",
                    self.class
                ),
            }),
        }
    }
}

/// The configuration of a network of EDM's classes, from the arguments of its outermost module.
///
/// # Errors
///
/// Naming the class, or the argument without a counterpart here.
pub(super) fn config(module: &PickledModule) -> Result<NetworkConfig> {
    let mut options = Arguments::new(module)?;
    let precond = precond(&mut options)?;
    let default = match precond {
        Precond::Edm {} | Precond::Iddpm { .. } => Model::Dhariwal,
        Precond::Vp { .. } | Precond::Ve {} => Model::Song,
    };
    let models = [("SongUNet", Model::Song), ("DhariwalUNet", Model::Dhariwal)];
    let architecture = match options.choice("model_type", &models)?.unwrap_or(default) {
        Model::Song => Architecture::Song(song(&mut options)?),
        Model::Dhariwal => Architecture::Dhariwal(dhariwal(&mut options)?),
    };
    let resolution = options.required("img_resolution")?;
    let channels = options.required("img_channels")?;
    let mut config =
        NetworkConfig { precond, ..NetworkConfig::new(architecture, resolution, channels) };
    config.label_dim = options.size("label_dim")?.unwrap_or(0);
    config.augment_dim = options.size("augment_dim")?.unwrap_or(0);
    if let Some(sigma_data) = options.number("sigma_data")? {
        config.sigma_data = sigma_data;
    }
    // EDM's limits are 0 and ∞ if the network states none.
    if let Some(least) = options.number("sigma_min")?.filter(|it| 0.0 < *it) {
        config.sigma_min = least;
    }
    if let Some(greatest) = options.number("sigma_max")?.filter(|it| it.is_finite()) {
        config.sigma_max = greatest;
    }
    options.ignore(&["use_fp16", "epsilon_t"]);
    options.finish()?;
    config.validate()?;
    Ok(config)
}

#[derive(Clone, Copy)]
enum Model {
    Song,
    Dhariwal,
}

fn precond(options: &mut Arguments<'_>) -> Result<Precond> {
    match options.class {
        "EDMPrecond" => Ok(Precond::Edm {}),
        "VEPrecond" => Ok(Precond::Ve {}),
        "VPPrecond" => {
            let Precond::Vp { beta_d, beta_min, steps } = Precond::vp() else {
                unreachable!("vp() is of its kind")
            };
            Ok(Precond::Vp {
                beta_d: options.number("beta_d")?.unwrap_or(beta_d),
                beta_min: options.number("beta_min")?.unwrap_or(beta_min),
                steps: count(options)?.unwrap_or(steps),
            })
        }
        "iDDPMPrecond" => {
            let Precond::Iddpm { c1, c2, steps } = Precond::iddpm() else {
                unreachable!("iddpm() is of its kind")
            };
            Ok(Precond::Iddpm {
                c1: options.number("C_1")?.unwrap_or(c1),
                c2: options.number("C_2")?.unwrap_or(c2),
                steps: count(options)?.unwrap_or(steps),
            })
        }
        other => Err(Error::Option {
            option: "class_name",
            reason: format!(
                "networks of class {other} are not supported; EDMPrecond, VPPrecond, VEPrecond and \
                 iDDPMPrecond are"
            ),
        }),
    }
}

fn count(options: &mut Arguments<'_>) -> Result<Option<u32>> {
    options.take("M", "a number of steps", |it| u32::try_from(it.as_i64()?).ok())
}

fn song(options: &mut Arguments<'_>) -> Result<SongConfig> {
    let embeddings = [("positional", Embedding::Positional), ("fourier", Embedding::Fourier)];
    let encoders =
        [("standard", Encoder::Standard), ("skip", Encoder::Skip), ("residual", Encoder::Residual)];
    let decoders = [("standard", Decoder::Standard), ("skip", Decoder::Skip)];
    let filter = options.sizes("resample_filter")?;
    let resample_filter = match filter.as_deref() {
        None | Some([1, 1]) => ResampleFilter::Box,
        Some([1, 3, 3, 1]) => ResampleFilter::Tent,
        Some(other) => {
            let reason = format!("{other:?} is neither [1, 1] nor [1, 3, 3, 1]");
            return Err(Error::Option { option: "resample_filter", reason });
        }
    };
    // A missing argument has EDM's default, which differs from the published networks.
    Ok(SongConfig {
        model_channels: options.size("model_channels")?.unwrap_or(128),
        channel_mult: options.sizes("channel_mult")?.unwrap_or_else(|| vec![1, 2, 2, 2]),
        channel_mult_emb: options.size("channel_mult_emb")?.unwrap_or(4),
        num_blocks: options.size("num_blocks")?.unwrap_or(4),
        attn_resolutions: options.sizes("attn_resolutions")?.unwrap_or_else(|| vec![16]),
        dropout: options.number("dropout")?.unwrap_or(0.1),
        label_dropout: options.number("label_dropout")?.unwrap_or(0.0),
        embedding_type: options
            .choice("embedding_type", &embeddings)?
            .unwrap_or(Embedding::Positional),
        channel_mult_noise: options.size("channel_mult_noise")?.unwrap_or(1),
        encoder_type: options.choice("encoder_type", &encoders)?.unwrap_or(Encoder::Standard),
        decoder_type: options.choice("decoder_type", &decoders)?.unwrap_or(Decoder::Standard),
        resample_filter,
    })
}

fn dhariwal(options: &mut Arguments<'_>) -> Result<DhariwalConfig> {
    let default = DhariwalConfig::default();
    Ok(DhariwalConfig {
        model_channels: options.size("model_channels")?.unwrap_or(default.model_channels),
        channel_mult: options.sizes("channel_mult")?.unwrap_or(default.channel_mult),
        channel_mult_emb: options.size("channel_mult_emb")?.unwrap_or(default.channel_mult_emb),
        num_blocks: options.size("num_blocks")?.unwrap_or(default.num_blocks),
        attn_resolutions: options.sizes("attn_resolutions")?.unwrap_or(default.attn_resolutions),
        dropout: options.number("dropout")?.unwrap_or(default.dropout),
        label_dropout: options.number("label_dropout")?.unwrap_or(default.label_dropout),
    })
}
