//! `uni-instruct convert`: networks of other programs to our format, and back.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use candle_core::{DType, Device, Tensor};
use models::{Conditioning, Denoiser, NetworkConfig, NetworkFile, export, import::Import};
use pickle::{self, Contents, FileBytes, Kind, Limits, StateDict};

use crate::{
    exit::GateNotMet,
    inputs,
    output::{note, say},
    usage::Usage,
};

/// Name of the state dict with reference inputs and outputs of the network.
const REFERENCE: &str = "reference";
/// Allowed difference from the reference outputs, relative to their largest magnitude. It covers
/// the rounding of f32 sums in another order.
const TOLERANCE: f64 = 1e-4;

/// Arguments of `uni-instruct convert`.
#[derive(clap::Args)]
pub struct Args {
    /// An EDM pickle, a PyTorch state dict, or a network file of uni-instruct.
    file: String,
    /// File to write; with `--to diffusers`, folder.
    #[arg(long)]
    out: PathBuf,
    /// Format to write.
    #[arg(long, value_enum, default_value = "native")]
    to: Target,
    /// Name of the network or state dict, if the file holds several.
    #[arg(long)]
    key: Option<String>,
    /// TOML file with the configuration of a state dict, which does not contain one.
    #[arg(long)]
    config: Option<PathBuf>,
    /// License of the weights, stored in the file; a student inherits it.
    #[arg(long)]
    licence: Option<String>,
    /// Compute the reference outputs in the file again, and fail if they differ.
    #[arg(long)]
    verify: bool,
}

/// Formats to write.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Target {
    /// Our format: safetensors with configuration and provenance.
    Native,
    /// A state dict for torch.load.
    StateDict,
    /// A folder with safetensors and config.json.
    Diffusers,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if inputs::is_safetensors(&args.file) {
        for (option, given) in [
            ("--key", args.key.is_some()),
            ("--config", args.config.is_some()),
            ("--verify", args.verify),
        ] {
            if given {
                let reason = format!(
                    "`{}` is a file of uni-instruct, which needs no such option; leave it out",
                    args.file
                );
                return Err(Usage::new(option, reason).into());
            }
        }
        let (mut file, _) = inputs::network(&args.file)?;
        if let Some(licence) = &args.licence {
            file.provenance.entries.insert("licence".to_owned(), licence.clone());
        }
        write(&file, args)?;
        return done(&file.config, args);
    }
    let source = FileBytes::read(Path::new(&args.file)).map_err(models::Error::from)?;
    let contents = pickle::open(&source, &Limits::default()).map_err(models::Error::from)?;
    let mut import = import(&contents, args)?;
    let entries = &mut import.provenance.entries;
    let name = Path::new(&args.file).file_name().unwrap_or_default();
    entries.insert("source".to_owned(), name.to_string_lossy().into_owned());
    entries.insert("source_blake3".to_owned(), blake3::hash(source.bytes()).to_hex().to_string());
    match &args.licence {
        Some(licence) => {
            entries.insert("licence".to_owned(), licence.clone());
        }
        None => note!(
            "note: no --licence given. NVIDIA's EDM networks are licensed under CC BY-NC-SA 4.0; a \
             student inherits its teacher's license"
        ),
    }
    if args.verify {
        verify(&contents, &import)?;
    }
    match args.to {
        Target::Native => import.save(&args.out)?,
        Target::StateDict | Target::Diffusers => write(&import.to_file()?, args)?,
    }
    done(&import.config, args)
}

/// The selected network of the file.
fn import<'a>(contents: &'a Contents, args: &Args) -> anyhow::Result<Import<'a>> {
    if contents.kind == Kind::Script {
        bail!(Usage::new(
            &args.file,
            "it is a TorchScript program, which does not contain its configuration; give a state dict"
        ));
    }
    if !contents.networks.is_empty() && args.config.is_none() {
        let (network, _) = contents.network(args.key.as_deref()).map_err(models::Error::from)?;
        return Ok(Import::of_network(network).map_err(|err| err.in_file(&args.file))?);
    }
    let Some(path) = &args.config else {
        let reason = "the file holds weights alone; give their configuration, a TOML file with the \
                      keys that `uni-instruct inspect fashion-mnist` prints from `img_resolution` on";
        return Err(Usage::new("--config", reason).into());
    };
    let config: NetworkConfig = toml::from_str(&inputs::text(path)?)
        .map_err(|err| Usage::new(path.display().to_string(), err.to_string()))?;
    let (dict, _) = contents.state_dict(args.key.as_deref()).map_err(models::Error::from)?;
    Ok(Import::of_state_dict(dict, config).map_err(|err| err.in_file(&args.file))?)
}

/// Writes a network in the selected format.
fn write(file: &NetworkFile, args: &Args) -> anyhow::Result<()> {
    match args.to {
        Target::Native => file.save(&args.out)?,
        Target::StateDict => export::state_dict(file, &args.out)?,
        Target::Diffusers => export::diffusers(file, &args.out)?,
    }
    Ok(())
}

fn done(config: &NetworkConfig, args: &Args) -> anyhow::Result<()> {
    say!("{}: {} parameters", args.out.display(), config.parameter_count()?)
}

/// Denoises the reference inputs of the file, and compares.
fn verify(contents: &Contents, import: &Import<'_>) -> anyhow::Result<()> {
    let Some(dict) = contents.state_dicts.iter().find(|it| it.path == REFERENCE) else {
        let reason =
            format!("the file has no state dict `{REFERENCE}` to compare with; leave it out");
        return Err(Usage::new("--verify", reason).into());
    };
    let [x, sigma, denoised] = ["x", "sigma", "denoised"].map(|name| tensor(dict, name));
    let need = |name: &str| format!("`{REFERENCE}` has no tensor `{name}`");
    let (x, sigma) = (x?.with_context(|| need("x"))?, sigma?.with_context(|| need("sigma"))?);
    let expected = denoised?.with_context(|| need("denoised"))?;
    let conditioning = Conditioning {
        labels: tensor(dict, "class_labels")?,
        augment: tensor(dict, "augment_labels")?,
        dropout: None,
    };
    let file = import.to_file()?;
    let network = file.config.build(&file.params.frozen())?;
    let found = network.denoise(&x, &sigma, &conditioning)?;
    let largest = |it: &Tensor| -> anyhow::Result<f64> {
        Ok(f64::from(it.abs()?.flatten_all()?.max(0)?.to_dtype(DType::F32)?.to_scalar::<f32>()?))
    };
    let error = largest(&(found - &expected)?)? / largest(&expected)?;
    if error.is_nan() || TOLERANCE < error {
        bail!(GateNotMet(format!(
            "the reference differs by {error:.1e} of its largest magnitude, more than {TOLERANCE:.0e}"
        )));
    }
    note!("the reference differs by {error:.1e} of its largest magnitude");
    Ok(())
}

/// A tensor of a state dict in f32.
fn tensor(dict: &StateDict, name: &str) -> anyhow::Result<Option<Tensor>> {
    let Some(stored) = dict.tensors.iter().find(|it| it.name == name) else { return Ok(None) };
    let numbers = stored.to_f32().map_err(models::Error::from)?;
    Ok(Some(Tensor::from_vec(numbers, stored.shape(), &Device::Cpu)?))
}
